"""Whose page is open: these users' portfolios are kept fresh. A watch lapses when its page stops renewing it."""

from __future__ import annotations

import time

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
