"""What we do when django-allauth, or Django, says that something happened to an account."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.account.signals import user_logged_in
from allauth.mfa.signals import authenticator_added, authenticator_removed
from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import credentials, devices, letters, sockets
from accounts.models import ApiSession, User

logger = logging.getLogger(__name__)

TRUST_DEVICE = "trust_device"


@receiver(user_logged_in)
def on_sign_in(request: HttpRequest, user: User, response: HttpResponse | None = None, **kwargs: Any) -> None:
    """Trust the browser if that was asked for beside the second factor; tell of a sign-in from somewhere new."""
    now = timezone.now()
    bound(request, now=now)
    if request.session.pop(TRUST_DEVICE, False) and response is not None:
        devices.trust(request, response, user, now=now)
    if devices.is_new_place(request, user, now=now):
        alert(request, user)


def bound(request: HttpRequest, *, now: datetime) -> None:
    """Let the session end at an hour, which nothing that is noted in it later moves."""
    request.session.set_expiry(now + timedelta(seconds=settings.SESSION_COOKIE_AGE))


@receiver(user_logged_out)
def on_sign_out(request: HttpRequest | None, **kwargs: Any) -> None:
    if request is not None and request.session.session_key:
        sockets.close_sessions([request.session.session_key])


@receiver([authenticator_added, authenticator_removed])
def on_other_factors(user: User, **kwargs: Any) -> None:
    """What was trusted, and what was proven, was so beside other factors."""
    devices.forget_all(user)
    ApiSession.objects.filter(user=user).update(proven_at=None)


@receiver(credentials.reused)
def on_stolen_token(user: User, **kwargs: Any) -> None:
    """Tell the user that two had one refresh token. That nothing can be sent changes nothing."""
    email = EmailAddress.objects.get_primary_email(user) or user.email
    if not email:
        return
    try:
        letters.send_token_reused(user, email)
    except (SMTPException, OSError) as error:
        logger.error("User %s was not told of a refresh token used twice: %s", user.pk, type(error).__name__)


def alert(request: HttpRequest, user: User) -> None:
    """Write to the user that somebody signed in from somewhere new. That nothing can be sent stops no sign-in."""
    email = EmailAddress.objects.get_primary_email(user) or user.email
    if not email:
        return
    adapter = get_adapter(request)
    told = {
        "user": user,
        "device": devices.named(devices.agent_of(request)),
        "address": adapter.get_client_ip(request),
        "at": timezone.localtime(),
    }
    try:
        adapter.send_mail("account/email/new_sign_in", email, told)
    except (SMTPException, OSError) as error:
        logger.error("User %s was not told of a sign-in from somewhere new: %s", user.pk, type(error).__name__)
