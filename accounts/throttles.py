"""How often somebody may ask, counted together by all processes.

The framework's own throttle reads a list from the cache, adds to it and writes it back: two processes at once lose
counts, and nothing is counted at all while the cache is away. Here one script in Redis counts exactly; while Redis is
away each process counts for itself, so that the limit is loosened to as many times as there are processes, not lifted.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

from django.conf import settings
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

SECONDS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


class PerUser(BaseThrottle):
    """At most as many requests of one user as DEFAULT_THROTTLE_RATES says for `scope`, in any window of that length."""

    scope = "user"

    def allow_request(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return True  # the permissions have refused them, or let everybody in
        self._limit, self._who = limit_of(self.scope), str(request.user.pk)
        self._counter = counter = shared()
        try:
            return counter.hit(self._limit, self.scope, self._who)
        except StorageError as error:
            logger.warning("Redis is away (%s): this process counts requests alone", type(error.__cause__).__name__)
            self._counter = alone
            return alone.hit(self._limit, self.scope, self._who)

    def wait(self) -> float | None:
        """Seconds until the oldest request that counts is forgotten."""
        try:
            stats = self._counter.get_window_stats(self._limit, self.scope, self._who)
        except StorageError:
            return None
        return max(stats.reset_time - time.time(), 0.0)


def count(scope: str, who: str) -> float | None:
    """Count one more of `scope` for `who`; seconds to wait where that is one too many, else None."""
    limit, counter = limit_of(scope), shared()
    try:
        allowed = counter.hit(limit, scope, who)
    except StorageError as error:
        logger.warning("Redis is away (%s): this process counts requests alone", type(error.__cause__).__name__)
        counter = alone
        allowed = counter.hit(limit, scope, who)
    if allowed:
        return None
    try:
        return max(counter.get_window_stats(limit, scope, who).reset_time - time.time(), 0.0)
    except StorageError:
        return float(limit.get_expiry())


def limit_of(scope: str) -> RateLimitItem:
    """`600/min` and the like, as the framework spells them: only the unit's first letter counts."""
    rates: Any = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    number, _, unit = rates[scope].partition("/")
    return parse(f"{number}/{SECONDS[unit[0]]}")


def shared() -> MovingWindowRateLimiter:
    """The count of all processes, on the cache's database."""
    return counter_at(str(settings.CACHES["default"]["LOCATION"]))


@cache
def counter_at(location: str) -> MovingWindowRateLimiter:
    """One per process and address."""
    timeout = settings.REDIS_TIMEOUT_SECONDS
    storage = RedisStorage(
        location,
        key_prefix="asked",
        wrap_exceptions=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
    )
    return MovingWindowRateLimiter(storage)


alone = MovingWindowRateLimiter(MemoryStorage())
