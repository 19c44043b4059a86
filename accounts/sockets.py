"""Which sockets a person has open, and closing them: a socket reads its session once, when it is opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

# Nobody waits longer for Redis to sign out.
PATIENCE_SECONDS = 2
# How a socket is closed whose session is over: an application's own code, for "not signed in".
SIGNED_OUT = 4401


def group_of(user_id: int) -> str:
    """All sockets of one user."""
    return f"user.{user_id}"


def group_of_session(session_key: str) -> str:
    """All sockets of one browser session. The key itself would be a credential in Redis."""
    return f"session.{sha256(session_key.encode()).hexdigest()[:32]}"


def group_of_credential(kind: str, credential_id: str) -> str:
    """All sockets of one API session or personal token."""
    return f"{kind}-credential.{credential_id}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What an open socket stands on: the group that is told of its end, and the question whether it has come."""

    group: str
    stands: Callable[[], bool]


def of_browser(scope: Any) -> Standing | None:
    key = getattr(scope.get("session"), "session_key", None)
    user_id = getattr(scope.get("user"), "pk", None)
    return Standing(group_of_session(key), partial(is_signed_in, key, user_id)) if key and user_id else None


def close_user(user_id: int) -> None:
    """Close every socket of the user, in whatever process."""
    _close([group_of(user_id)])


def close_sessions(session_keys: Iterable[str]) -> None:
    """Close every socket of these sessions, in whatever process."""
    _close([group_of_session(key) for key in session_keys])


def close_credentials(kind: str, ids: Iterable[str]) -> None:
    """Close every socket that these API sessions or personal tokens opened, in whatever process."""
    _close([group_of_credential(kind, each) for each in ids])


def is_signed_in(session_key: str, user_id: int) -> bool:
    """Whether a session that opened a socket still stands for that user, by the database."""
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return bool(get_user(cast(HttpRequest, SimpleNamespace(session=store))).pk == user_id)


def _close(groups: list[str]) -> None:
    try:
        async_to_sync(_tell)(groups)
    except (RedisError, TimeoutError) as error:  # each socket finds out by itself, within a minute
        logger.warning("Redis is away (%s): sockets are not told that their session is over", type(error).__name__)


async def _tell(groups: list[str]) -> None:
    layer = get_channel_layer()
    assert layer is not None  # noqa: S101 - settings name one
    async with asyncio.timeout(PATIENCE_SECONDS):
        for group in groups:
            await layer.group_send(group, {"type": "signed.out"})
