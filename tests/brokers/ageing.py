"""Time that passes for budgets without anybody sleeping."""

from __future__ import annotations

from redis import Redis


def grow_older(redis: Redis, seconds: float) -> None:
    """Let every grant have been made so much earlier."""
    for key in redis.keys("budget:*"):
        if redis.type(key) == b"list":
            times = [int(granted) - round(seconds * 1000) for granted in redis.lrange(key, 0, -1)]
            expires = redis.pttl(key)
            redis.delete(key)
            redis.rpush(key, *times)
            redis.pexpire(key, expires)
