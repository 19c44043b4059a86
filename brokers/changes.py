"""A counter per user that moves when their connections change: whoever keeps something made from them compares it."""

from __future__ import annotations

from django.db import transaction

from brokers.shared import if_redis_is_there, redis


def generation_key(user_id: int) -> str:
    return f"connections:{user_id}:generation"


def connections_changed(user_id: int) -> None:
    """Count a change, once it is committed: kept answers are outdated, and live books are read anew."""

    def count() -> None:
        with if_redis_is_there("marking kept answers as outdated"):
            redis().incr(generation_key(user_id))

    transaction.on_commit(count)
