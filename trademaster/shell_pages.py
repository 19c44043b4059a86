"""Pages for reading: what every number means, and the portfolio without a script."""

from __future__ import annotations

from typing import Any

import msgspec
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from portfolio.services import NoBrokerConnections, consolidated
from trademaster.glossary import TERMS


@require_safe
@login_required
def help_page(request: HttpRequest) -> HttpResponse:
    terms = sorted(TERMS.values(), key=lambda term: term.name.casefold())
    return render(request, "help.html", {"terms": terms})


@require_safe
@login_required
def strip(request: HttpRequest) -> HttpResponse:
    """The strip and what stops trading, for pages that ask for them again."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    return render(request, "parts/strip_again.html")


@require_safe
@login_required
def plain(request: HttpRequest) -> HttpResponse:
    """The answer of the API, as a page that needs no script and can be printed."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    context: dict[str, Any] = {"portfolio": None}
    try:
        context["portfolio"] = msgspec.json.decode(consolidated(user, now=timezone.now()).include)
    except NoBrokerConnections as refusal:
        context["refusal"] = refusal
    return render(request, "plain.html", context)
