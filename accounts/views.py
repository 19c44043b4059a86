"""Our own pages of an account: an invitation's link, trusted devices, sessions. The others are django-allauth's."""

from __future__ import annotations

from typing import cast

from allauth.account.adapter import get_adapter
from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from accounts import api_sessions, audit, devices, invitations, sockets
from accounts.events import Event
from accounts.forms import DeviceName
from accounts.models import TrustedDevice, User


@never_cache
@require_GET
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Keep in the session which invitation this browser was given, and take the token out of the address.

    Following the link spends nothing: mail scanners follow links too.
    """
    if request.user.is_authenticated:
        messages.warning(request, "You are signed in already. Sign out first to make another account.")
        return redirect("dashboard")
    request.session[invitations.SESSION_KEY] = invitations.hashed(token)
    return redirect("account_signup")


@never_cache
@require_safe
@login_required
def trusted_devices(request: HttpRequest) -> HttpResponse:
    found = devices.trusted_by(_user(request), now=timezone.now())
    here = devices.hashed(request.COOKIES.get(devices.cookie_of(_user(request)), ""))
    return render(request, "account/devices.html", {"devices": found, "here": here})


@require_POST
@login_required
def device(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename a trusted device, or forget it."""
    found = get_object_or_404(TrustedDevice, pk=pk, user=_user(request))
    form = DeviceName(request.POST)
    if request.POST.get("action") == "forget":
        devices.forget(found)
        messages.success(request, f"“{found.name}” is trusted no more.")
    elif form.is_valid():
        found.name = form.cleaned_data["name"]
        found.save(update_fields=["name"])
    else:
        messages.error(request, "A name has 1 to 100 characters.")
    return redirect("trusted_devices")


@require_POST
@login_required
def forget_devices(request: HttpRequest) -> HttpResponse:
    devices.forget_all(_user(request))
    messages.success(request, "No device is trusted any more.")
    return redirect("trusted_devices")


@never_cache
@require_safe
@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    found = sorted(UserSession.objects.purge_and_list(_user(request)), key=lambda row: row.created_at, reverse=True)
    shown = [{"row": row, "name": devices.named(row.user_agent), "is_here": row.is_current()} for row in found]
    return render(request, "account/sessions.html", {"sessions": shown})


@require_POST
@login_required
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(UserSession, pk=pk, user=_user(request))
    end_sessions(request, [found])
    audit.record(Event.SESSION_REVOKED, subject=_user(request), actor=_user(request), thing=("session", pk))
    return redirect("usersessions_list")


@require_POST
@login_required
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """End every session, of API clients too, this one last."""
    user = _user(request)
    found = list(UserSession.objects.filter(user=user))
    end_sessions(request, found)
    api_sessions.end_all(user)
    sockets.close_user(user.pk)
    audit.record(Event.SESSION_REVOKED, subject=user, actor=user, sessions=len(found), everywhere=True)
    get_adapter(request).logout(request)
    return redirect("login")


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
