"""The pages of the demo: plain forms that work without a script; the fragments are for a page that asks for news."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from brokers.domain import Exchange
from market.days import market_state
from trademaster.demo import first_run, market_days, switches
from trademaster.demo.acts import ACTS
from trademaster.demo.gate import demo_only
from trademaster.demo.switches import SwitchRefused
from trademaster.pages import trader_page

# Kept in the browser: it outlasts a sign-in, another browser has the checklist still, and a demo needs no table for it.
HIDDEN = "first_run_hidden"
HIDDEN_SECONDS = 365 * 24 * 3600
# Where a form may lead back to.
BACK = ("demo", "dashboard")


@demo_only
@require_safe
@login_required
def demo(request: HttpRequest) -> HttpResponse:
    """/demo/: the switchboard, the checklist, and whether the market is open."""
    user = _trader(request)
    if user is None:
        return redirect("admin:index")
    return trader_page(request, "demo.html", acts=ACTS, **_board(user), **_first_run(request, user), **_market())


@demo_only
@require_safe
@login_required
def panel(request: HttpRequest) -> HttpResponse:
    """The four big switches, to stand on another page."""
    user = _trader(request)
    return redirect("admin:index") if user is None else render(request, "parts/switchboard.html", _board(user))


@demo_only
@require_safe
@login_required
def checklist(request: HttpRequest) -> HttpResponse:
    """The checklist, to stand on another page; nothing (204) where it was put away."""
    user = _trader(request)
    if user is None:
        return redirect("admin:index")
    context = _first_run(request, user)
    return render(request, "parts/first_run.html", context) if context["steps"] else HttpResponse(status=204)


@demo_only
@require_POST
@login_required
def turn(request: HttpRequest) -> HttpResponse:
    """Turn a switch (`do`), or mend everything."""
    user = _trader(request)
    if user is None:
        return redirect("admin:index")
    asked = request.POST.get("do", "")
    try:
        messages.success(request, switches.mend_everything() if asked == "mend" else switches.turn(user, asked))
    except SwitchRefused as refused:
        messages.error(request, str(refused))
    return _back(request)


@demo_only
@require_POST
@login_required
def show_checklist(request: HttpRequest) -> HttpResponse:
    """Put the checklist away, or take it out again: in this browser, whoever signs in there."""
    if _trader(request) is None:
        return redirect("admin:index")
    response = _back(request)
    if request.POST.get("show") == "1":
        response.delete_cookie(HIDDEN)
    else:
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(HIDDEN, "1", max_age=HIDDEN_SECONDS, httponly=True, samesite="Lax", secure=secure)
    return response


@demo_only
@require_POST
@login_required
def market(request: HttpRequest) -> HttpResponse:
    """Open the simulated market all day, or have it follow the exchanges' hours."""
    if _trader(request) is None:
        return redirect("admin:index")
    hours = request.POST.get("hours")
    if hours == "all_day":
        market_days.open_all_day(timezone.now())
        messages.success(request, "The simulated market is open all day: orders are taken at any hour.")
    elif hours == "exchange":
        market_days.follow_exchanges()
        messages.success(request, "The market follows the exchanges’ hours: outside of them orders are refused.")
    else:
        messages.error(request, "Nothing was changed: choose which hours the market keeps.")
    return _back(request)


def _trader(request: HttpRequest) -> User | None:
    """Whoever is signed in, if they trade."""
    return request.user if isinstance(request.user, User) and request.user.is_trader else None


def _back(request: HttpRequest) -> HttpResponse:
    wanted = request.POST.get("back", "")
    return redirect(reverse(wanted if wanted in BACK else BACK[0]))


def _board(user: User) -> dict[str, Any]:
    return {"board": switches.board(user)}


def _first_run(request: HttpRequest, user: User) -> dict[str, Any]:
    steps = [] if request.COOKIES.get(HIDDEN) else first_run.steps(user)
    return {"steps": steps, "done": sum(step.seen.is_done for step in steps)}


def _market() -> dict[str, Any]:
    return {"all_day": market_days.is_open_all_day(), "session": market_state(Exchange.NSE, now=timezone.now())}
