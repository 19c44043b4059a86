"""The Redis that all processes share, for what the cache's own interface does not offer: locks, sets, scripts.

Nothing in it is the only copy of anything, so that whoever finds it away goes on without it, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


@cache
def redis() -> Redis:
    """One pooled client per process, on the cache's database."""
    client: Redis = Redis.from_url(settings.CACHES["default"]["LOCATION"], socket_timeout=5, socket_connect_timeout=2)
    return client


@contextmanager
def if_redis_is_there(purpose: str) -> Iterator[None]:
    """Do something in Redis; where it is away that is said, and left out."""
    try:
        yield
    except RedisError as error:
        logger.warning("Redis is away (%s): %s is left out", type(error).__name__, purpose)
