"""One-use tickets: how an API client opens a WebSocket, whose handshake carries no Authorization header everywhere.

A ticket is worth half a minute and one socket. It stands in Redis as its hash, and names the API session or personal
token that asked for it, which must still be good when it is spent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
from django.conf import settings
from redis import Redis

from accounts import api_sessions, personal_tokens
from accounts.credentials import Credential, Kind
from accounts.models import User

LIFETIME_SECONDS = 30
STILL_STANDS: dict[Kind, Callable[..., tuple[User, Credential] | None]] = {
    Kind.SESSION: api_sessions.still_stands,
    Kind.TOKEN: personal_tokens.still_stands,
}


class Holder(msgspec.Struct, frozen=True):
    """Whose ticket it is."""

    user_id: int
    kind: Kind
    credential_id: str


def make(user: User, shown: Credential) -> str:
    """Raises RedisError where Redis is away."""
    ticket = secrets.token_urlsafe(32)
    holder = Holder(user.pk, shown.kind, shown.id)
    redis().set(_key(ticket), msgspec.json.encode(holder), ex=LIFETIME_SECONDS)
    return ticket


def spend(ticket: str, *, now: datetime) -> tuple[User, Credential] | None:
    """Who stands behind a ticket; None where it is unknown, spent, too old, or what stood behind it is over."""
    kept: Any = redis().getdel(_key(ticket))
    if kept is None:
        return None
    holder = msgspec.json.decode(kept, type=Holder)
    return still_stands(holder.user_id, holder.kind, holder.credential_id, now=now)


def still_stands(user_id: int, kind: Kind, credential_id: str, *, now: datetime) -> tuple[User, Credential] | None:
    return STILL_STANDS[kind](credential_id, user_id, now=now)


def redis() -> Redis:
    """One pooled client per process, on the cache's database."""
    return _client(str(settings.CACHES["default"]["LOCATION"]))


@cache
def _client(location: str) -> Redis:
    timeout = settings.REDIS_TIMEOUT_SECONDS
    client: Redis = Redis.from_url(location, socket_timeout=timeout, socket_connect_timeout=timeout)
    return client


def _key(ticket: str) -> str:
    return f"ticket:{sha256(ticket.encode()).hexdigest()}"
