"""Step-up: before what cannot be taken back, whoever is signed in shows again, and freshly, that it is they.

What counts is what django-allauth noted in this session: for who has a second factor the factor, for others the
password, at most `STEP_UP_LIFETIME` ago. A trusted device spares nobody this.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.credentials import Credential, Kind
from accounts.models import User

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
View = Callable[..., HttpResponseBase]


class StepUpRequired(exceptions.PermissionDenied):
    default_detail = "This needs a fresh proof that it is you."
    default_code = "step_up_required"

    @property
    def where(self) -> dict[str, str]:
        """The page that takes the proof; add `?next=` and where to come back to."""
        return {"url": reverse("step_up")}


class ClientStepUpRequired(StepUpRequired):
    remedy = "POST your code to `details.url`, or your password where you have no second factor, and ask again."

    @property
    def where(self) -> dict[str, str]:
        return {"url": reverse("api-step-up")}


class NotByToken(StepUpRequired):
    remedy = "A personal token cannot do this. Do it in the browser, or log in."

    @property
    def where(self) -> dict[str, str]:
        return {"url": reverse("step_up")}


REFUSALS = {Kind.SESSION: ClientStepUpRequired, Kind.TOKEN: NotByToken}


class FreshlyProven(BasePermission):
    """API permission. Raises StepUpRequired, which says where to go; beside IsTrader, after it."""

    def has_permission(self, request: Request, view: Any) -> bool:
        shown = request.auth
        if not isinstance(shown, Credential):
            fresh, refusal = is_fresh(request._request), StepUpRequired
        else:  # a browser's session that happens to come along proves nothing for a token
            fresh, refusal = shown.is_fresh(timezone.now()), REFUSALS[shown.kind]
        if not fresh:
            raise refusal
        return True


def required(view: View) -> View:
    """Decorator of a page: leads to the proof first, and back."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not is_fresh(request):
            return redirect(page(request.get_full_path()))
        return view(request, *args, **kwargs)

    return guarded


def is_fresh(request: HttpRequest) -> bool:
    """Whether this session's user showed the strongest thing they have a short while ago."""
    until = fresh_until(request)
    return until is not None and until > timezone.now()


def fresh_until(request: HttpRequest) -> datetime | None:
    """When what this session's user showed last, of the strongest they have, is too old; None where nothing was."""
    if not isinstance(request.user, User):
        return None
    method = "mfa" if has_factor(request.user) else "password"
    shown = [record["at"] for record in _records(request) if record["method"] == method]
    return datetime.fromtimestamp(max(shown), UTC) + settings.STEP_UP_LIFETIME if shown else None


def showed_factor(request: HttpRequest) -> bool:
    """Whether a second factor was shown in this session at all."""
    return any(record["method"] == "mfa" for record in _records(request))


def has_factor(user: User) -> bool:
    """Recovery codes alone are none: they are what is left of one."""
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


@login_required
def step_up(request: HttpRequest) -> HttpResponse:
    """/step-up?next=…: lead to the page that asks for what this user has."""
    from allauth.account.adapter import get_adapter

    methods = get_adapter(request).get_reauthentication_methods(request.user)
    if not methods:  # nothing to show: no password, no factor
        raise PermissionDenied
    onward = request.GET.get("next", "")
    return redirect(f"{methods[0]['url']}?{urlencode({'next': onward})}" if onward else methods[0]["url"])


def page(onward: str) -> str:
    """The address at which the proof is asked for, and which leads on to `onward`."""
    return f"{reverse('step_up')}?{urlencode({'next': onward})}"


def _records(request: HttpRequest) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", get_authentication_records(request, request.user))
