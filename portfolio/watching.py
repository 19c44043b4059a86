"""Whose page is open: these users' portfolios are kept fresh. A watch lapses when its page stops renewing it.

A user whose book a live host holds is left to it; the sign of that lapses too, a few seconds after the host's death.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from brokers.shared import redis

WATCHERS = "portfolio:watchers"
WATCH_SECONDS = 30


def watch(user_id: int) -> None:
    redis().zadd(WATCHERS, {str(user_id): time.time() + WATCH_SECONDS})


def watchers() -> list[int]:
    """Users with an open page, lapsed ones removed."""
    redis().zremrangebyscore(WATCHERS, "-inf", time.time())
    members: list[bytes] = redis().zrange(WATCHERS, 0, -1)  # type: ignore[assignment]
    return [int(user_id) for user_id in members]


def unhosted(user_ids: Sequence[int]) -> list[int]:
    """Those for whom no live host answers."""
    if not user_ids:
        return []
    hosts: list[bytes | None] = redis().mget(map(host_key, user_ids))  # type: ignore[assignment]
    return [user_id for user_id, host in zip(user_ids, hosts, strict=True) if host is None]


def host_key(user_id: int) -> str:
    return f"live:host:{user_id}"
