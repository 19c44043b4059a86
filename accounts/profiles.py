"""What a person is called."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.events import Event
from accounts.models import User


def shown_as(user: User) -> str:
    """The name that others read: the one they chose, else the one they sign in with."""
    return user.first_name or user.get_username()


@transaction.atomic
def rename(user: User, *, name: str, now: datetime) -> None:
    """Keep by what name others know them; empty: by the one they sign in with. The log says that, and not which."""
    if name == user.first_name:
        return
    user.first_name = name
    user.save(update_fields=["first_name"])
    audit.record(Event.PROFILE_CHANGED, subject=user, thing=("user", user.pk), now=now)
