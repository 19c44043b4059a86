"""How somebody gets an account: by a link that works once, for some days, and for nobody else's address."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.events import Event
from accounts.models import Invitation, User

LIFETIME = timedelta(days=7)
SESSION_KEY = "invitation"


class AlreadyHere(Exception):
    """Somebody has an account with this address."""


class InvitationSpent(Exception):
    """It was accepted meanwhile, taken back, or is too old."""


def invite(*, email: str, invited_by: User | None, now: datetime, was_mailed: bool) -> tuple[Invitation, str]:
    """Make an invitation in place of any open one; return it, and the link, which nobody can learn again.

    Raises AlreadyHere.
    """
    email = email.strip().lower()
    if User.objects.filter(email__iexact=email).exists():
        raise AlreadyHere
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        Invitation.objects.filter(email=email, accepted_at=None).delete()
        invitation = Invitation.objects.create(
            email=email,
            token_hash=hashed(token),
            was_mailed=was_mailed,
            invited_by=invited_by,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        audit.record(Event.INVITED, actor=invited_by, thing=("invitation", invitation.pk), now=now)
    return invitation, settings.PUBLIC_URL + reverse("invitation", args=[token])


def open_one(token_hash: Any, *, now: datetime) -> Invitation | None:
    """The invitation, if it can still be accepted."""
    return Invitation.objects.filter(token_hash=str(token_hash), accepted_at=None, expires_at__gt=now).first()


def of_session(request: HttpRequest) -> Invitation | None:
    """The open invitation whose link this browser followed."""
    return open_one(request.session.get(SESSION_KEY, ""), now=timezone.now())


def accept(invitation: Invitation, *, user: User, now: datetime) -> None:
    """Spend it. Of two who try at once, one gets InvitationSpent."""
    still_open = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, expires_at__gt=now)
    if still_open.update(accepted_at=now, accepted_by=user) != 1:
        raise InvitationSpent


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()
