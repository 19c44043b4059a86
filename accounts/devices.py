"""Browsers and where they are: which ones a user trusts at sign-in, and which ones were never seen before.

A trusted device is a random cookie, for one user, and a row: what is forgotten here is trusted no more. It spares the
second factor at sign-in, and nothing else: see `step_up`.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from hashlib import sha256

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from accounts import audit
from accounts.events import Event
from accounts.models import SignInPlace, TrustedDevice, User

AGENT_LENGTH = 200
# Of several that fit, the first counts: most browsers claim to be others too.
BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
           ("Linux", "Linux"))  # fmt: skip


def trust(request: HttpRequest, response: HttpResponse, user: User, *, now: datetime) -> TrustedDevice:
    """Trust the browser that this response goes to."""
    token = secrets.token_urlsafe(32)
    device = TrustedDevice.objects.create(
        user=user,
        name=named(agent_of(request)),
        token_hash=hashed(token),
        password_mark=user.get_session_auth_hash(),
        address=get_adapter(request).get_client_ip(request),
        created_at=now,
        last_used_at=now,
        expires_at=now + settings.TRUSTED_DEVICE_LIFETIME,
    )
    audit.record(Event.DEVICE_TRUSTED, subject=user, actor=user, thing=("device", device.pk), now=now)
    response.set_cookie(
        cookie_of(user),
        token,
        max_age=settings.TRUSTED_DEVICE_LIFETIME,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return device


def is_trusted(request: HttpRequest, user: User, *, now: datetime) -> bool:
    token = request.COOKIES.get(cookie_of(user), "")
    known = TrustedDevice.objects.filter(
        user=user, token_hash=hashed(token), password_mark=user.get_session_auth_hash(), expires_at__gt=now
    )
    return known.update(last_used_at=now) == 1


def trusted_by(user: User, *, now: datetime) -> list[TrustedDevice]:
    """Those that would spare the second factor today."""
    mark = user.get_session_auth_hash()
    return list(TrustedDevice.objects.filter(user=user, password_mark=mark, expires_at__gt=now))


def forget_all(user: User) -> None:
    for device in TrustedDevice.objects.filter(user=user):
        forget(device)


def forget(device: TrustedDevice) -> None:
    """It spares nobody the second factor any more."""
    with transaction.atomic():
        pk = device.pk
        device.delete()
        audit.record(Event.DEVICE_REVOKED, subject=device.user_id, thing=("device", pk))


def is_new_place(request: HttpRequest, user: User, *, now: datetime) -> bool:
    """Note where this sign-in comes from; whether that is new, for a user who signed in elsewhere before."""
    is_first = not SignInPlace.objects.filter(user=user).exists()
    _, is_new = SignInPlace.objects.update_or_create(
        user=user,
        address=get_adapter(request).get_client_ip(request),
        user_agent=agent_of(request),
        defaults={"last_seen_at": now},
        create_defaults={"first_seen_at": now, "last_seen_at": now},
    )
    return is_new and not is_first


def agent_of(request: HttpRequest) -> str:
    """What the browser says it is, printable and short."""
    return re.sub(r"[^ -~]", "?", request.headers.get("User-Agent", ""))[:AGENT_LENGTH]


def named(agent: str) -> str:
    """`Chrome on Linux`, from the browser's own long name."""
    browser = next((name for mark, name in BROWSERS if mark in agent), "A browser")
    system = next((name for mark, name in SYSTEMS if mark in agent), "")
    return f"{browser} on {system}" if system else browser


def cookie_of(user: User) -> str:
    return f"trusted_device_{user.pk}"


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()
