"""Asking once more, before something that cannot be undone, whether it is really the person who is signed in.

Whoever needs it calls `confirm`; how it is done is one setting, CONFIRMATION, so that a fresh second factor can take
the password's place without anybody here knowing of it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

from accounts import audit
from accounts.events import Event
from accounts.permissions import trader


class ConfirmationRefused(exceptions.PermissionDenied):
    default_detail = "The password is missing or wrong."
    default_code = "confirmation_refused"


class ConfirmThrottle(UserRateThrottle):
    """So that nobody who finds an open browser can try passwords."""

    scope = "confirm"


class ConfirmRequest(serializers.Serializer[Any]):
    password = serializers.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        write_only=True,
        help_text="The user's own, once more.",
    )


def confirm(request: Request) -> None:
    """Raises ConfirmationRefused, or whatever else the installation's way of confirming answers."""
    import_string(settings.CONFIRMATION)(request)


def by_password(request: Request) -> None:
    """By the `password` in the body. A wrong one is an event of the audit log. Raises ConfirmationRefused."""
    user = trader(request)
    body = ConfirmRequest(data=request.data)
    body.is_valid(raise_exception=True)
    if not user.check_password(body.validated_data.get("password", "")):
        audit.record(Event.PASSWORD_REFUSED, subject=user, actor=user)
        raise ConfirmationRefused
