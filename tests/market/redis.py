"""A Redis database of these tests' own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings
from redis.asyncio import Redis

from trademaster.environment import redis_database

DATABASE = 5


def url() -> str:
    return redis_database(settings.CACHES["default"]["LOCATION"], DATABASE)


@asynccontextmanager
async def emptied() -> AsyncIterator[Redis]:
    async with Redis.from_url(url()) as client:
        await client.flushdb()
        yield client
        await client.flushdb()
