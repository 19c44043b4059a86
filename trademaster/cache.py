"""The cache, for who can do without it: counts of requests, so far."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.redis import RedisCache

from brokers.shared import if_redis_is_there


class ForgivingRedisCache(RedisCache):
    """Where Redis is away nothing is found and nothing is kept: a page that could be served is served."""

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        found = default
        with if_redis_is_there("reading the cache"):
            found = super().get(key, default, version)
        return found

    def set(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_is_there("writing the cache"):
            super().set(*args, **kwargs)
