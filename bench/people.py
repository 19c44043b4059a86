"""More traders than one: accounts copied from the house's trader, signed in without a page."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from copy import copy
from typing import TypeVar

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from accounts.models import Role, User
from brokers import vault
from brokers.models import BrokerApp, BrokerConnection

BACKEND = "django.contrib.auth.backends.ModelBackend"
AT_A_TIME = 1000
Row = TypeVar("Row", BrokerApp, BrokerConnection)


def crowd(name: str, number: int, slugs: Collection[str]) -> list[User]:
    """So many new traders, each connected to these brokers with the session of the house's trader."""
    apps = list(BrokerApp.objects.filter(user__username="trader", broker_type__in=slugs))
    connections = list(BrokerConnection.objects.filter(user__username="trader", broker_type__in=slugs))
    users = User.objects.bulk_create(
        User(username=f"{name}{count}", role=Role.TRADER, password="!")  # noqa: S106 - nobody signs in with it
        for count in range(number)
    )
    BrokerApp.objects.bulk_create([_of(user, app) for user in users for app in apps], AT_A_TIME)
    BrokerConnection.objects.bulk_create([_of(user, row) for user in users for row in connections], AT_A_TIME)
    return users


def cookies_of(user: User) -> dict[str, str]:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    assert session.session_key
    return {"sessionid": session.session_key}


def _of(user: User, row: Row) -> Row:
    vault.open_all(row)
    copied = copy(row)
    copied.pk = uuid.uuid4() if isinstance(row, BrokerConnection) else None
    copied.user = user
    return copied
