"""The pages a trader sees. What moves comes by websocket and API once the page stands; the rest stands in it."""

import sys
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from brokers import consents, morning
from portfolio import risk_page
from portfolio.services import NoBrokerConnections
from trademaster import api
from trademaster.demo import market_days


def installation(request: HttpRequest | None) -> dict[str, Any]:
    """Context processor: what every page must say about where it runs."""
    return {"simulated": settings.SIMULATED_BROKERS}


@require_safe
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    return trader_page(request, "dashboard.html", trade_consent=consents.current(consents.TRADE))


@require_safe
@login_required
def logins(request: HttpRequest) -> HttpResponse:
    """The queue as it is now; a script lets time pass in it, and begins the logins."""
    user = request.user
    queue = morning.queue(user, timezone.now()) if isinstance(user, User) and user.is_trader else None
    return trader_page(
        request, "logins.html", consent=consents.current(), queue=queue, all_day=market_days.is_open_all_day()
    )


@require_safe
@login_required
def risk(request: HttpRequest) -> HttpResponse:
    """It carries its numbers, and works without JavaScript."""
    context: dict[str, Any] = {}
    user = request.user
    if isinstance(user, User) and user.is_trader:
        with suppress(NoBrokerConnections):  # the page then says what to do about it
            context = risk_page.shown(user, now=timezone.now())
    return trader_page(request, "risk.html", **context)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: no context processor runs, because what failed may be what they need."""
    error = sys.exc_info()[1]
    if request.path.startswith("/api/"):
        return api.server_error(error)
    if isinstance(error, api.AWAY):
        return HttpResponse(
            render_to_string("503.html", installation(None)), status=503, headers={"Retry-After": api.COME_BACK_SECONDS}
        )
    return HttpResponseServerError(render_to_string("500.html", installation(None)))


def trader_page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    """Support has no portfolio of its own: its desk is the admin."""
    if not getattr(request.user, "is_trader", False):
        return redirect("admin:index")
    return render(request, template, context)
