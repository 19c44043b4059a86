"""The kill switch as a page: plain forms, for the day on which no script runs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts import step_up
from accounts.models import User
from orders import halting
from orders.halt_views import DEAD_MAN, PULLED, history, shown
from portfolio import halting as switch
from portfolio.halt_refusals import HaltRefused
from portfolio.risk_models import HaltKind, HaltLevel

PAGE = "kill-switch"


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def kill_switch(request: HttpRequest) -> HttpResponse:
    """How it stands; POST pulls it, if it says which level and that it is meant."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    if request.method == "POST":
        return _pulled(request, user)
    levels = [(level.value, level.label) for level in HaltLevel if level.value in PULLED]
    told = {"switch": shown(user), "history": history(user)[:20], "levels": levels, "dead_man": DEAD_MAN}
    return render(request, "kill_switch.html", told)


def _pulled(request: HttpRequest, user: User) -> HttpResponse:
    level, confirmed = request.POST.get("level", ""), request.POST.get("confirm") == "true"
    if level not in PULLED or not confirmed:
        messages.error(request, "Nothing was stopped: choose what to stop, and tick that it is meant.")
        return redirect(PAGE)
    reason = request.POST.get("reason", "")[:300]
    stopped = halting.pull(user, level=HaltLevel(level), reason=reason, by=user, now=timezone.now())
    messages.success(request, f"{switch.words_of(stopped.row)} What became of open orders stands below.")
    return redirect(PAGE)


@require_http_methods(["GET", "HEAD", "POST"])
@step_up.required
def rearm(request: HttpRequest) -> HttpResponseBase:
    """After a fresh proof: the form, and what it asks for."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    context: dict[str, Any] = {"switch": shown(user), "kinds": HaltKind}
    if request.method == "POST":
        kind = request.POST.get("kind", HaltKind.KILL)
        try:
            switch.end(
                user,
                kind=HaltKind(kind) if kind in HaltKind.values else HaltKind.KILL,
                reason=request.POST.get("reason", ""),
                by=user,
                now=timezone.now(),
            )
        except HaltRefused as refusal:
            messages.error(request, f"{refusal.detail} {refusal.remedy}")
            return redirect("kill-switch-re-arm")
        messages.success(request, "Trading goes on again.")
        return redirect(PAGE)
    return render(request, "kill_switch_re_arm.html", context)
