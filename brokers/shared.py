"""The Redis that all processes share, for what the cache's own interface does not offer: locks, sets, scripts."""

from functools import cache

from django.conf import settings
from redis import Redis


@cache
def redis() -> Redis:
    """One pooled client per process, on the cache's database: nothing in it is the only copy of anything."""
    client: Redis = Redis.from_url(settings.CACHES["default"]["LOCATION"], socket_timeout=5, socket_connect_timeout=2)
    return client
