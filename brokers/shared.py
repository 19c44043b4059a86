"""The Redis that all processes share, for what the cache's own interface does not offer: locks, sets, scripts.

Nothing in it is the only copy of anything, so that whoever finds it away goes on without it, and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, TimeoutError
from redis.retry import Retry

logger = logging.getLogger(__name__)

AWAY_SECONDS = 3.0
Answer = TypeVar("Answer")


def redis() -> Redis:
    """One pooled client per process, on the cache's database."""
    return _client(str(settings.CACHES["default"]["LOCATION"]))


@cache
def _client(location: str) -> Redis:
    timeout = settings.REDIS_TIMEOUT_SECONDS
    client: Redis = Redis.from_url(location, socket_timeout=timeout, socket_connect_timeout=timeout)
    return client


@contextmanager
def if_redis_is_there(purpose: str) -> Iterator[None]:
    """Do something in Redis; where it is away that is said, and left out."""
    try:
        yield
    except RedisError as error:
        logger.warning("Redis is away (%s): %s is left out", type(error).__name__, purpose)


class RedisAway(Exception):
    """Redis does not answer, or did not a moment ago."""


class Ledger:
    """The database of budgets and circuits. Broker calls wait for it, so its patience is short, and its silence is
    remembered for some seconds: only then is it asked again.
    """

    def __init__(self, url: str) -> None:
        # A pooled connection that died unnoticed is replaced and the question asked once more; a silence is not.
        retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
        timeout = settings.REDIS_TIMEOUT_SECONDS
        self._client: Redis = Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=retry)
        self._lock = Lock()
        self._is_away = False
        self._ask_again_at = 0.0

    def ask(self, question: Callable[[Redis], Answer], *, afresh: bool = False) -> Answer:
        """`afresh`: whether it was silent a moment ago or not. Raises RedisAway."""
        if not afresh and self._is_away and time.monotonic() < self._ask_again_at:
            raise RedisAway
        try:
            answer = question(self._client)
        except (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError) as error:
            self._note(away=True, why=type(error).__name__)
            raise RedisAway from None
        if self._is_away:
            self._note(away=False, why="")
        return answer

    def _note(self, *, away: bool, why: str) -> None:
        with self._lock:
            changed, self._is_away = self._is_away != away, away
            self._ask_again_at = time.monotonic() + AWAY_SECONDS
        if changed and away:
            logger.error("Redis is away (%s): each process holds a part of the rate budgets, circuits are closed", why)
        elif changed:
            logger.warning("Redis is back: rate budgets and circuits are shared again")


def ledger() -> Ledger:
    """One per process, in a database of its own: emptying the cache must not forget what a broker was asked."""
    return _ledger(settings.GOVERNOR_REDIS_URL)


_ledger = cache(Ledger)
