"""One answer per user for everybody who asks at the same time, in this process and in the others."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import cast

import msgspec
from django.conf import settings
from redis.exceptions import RedisError

from brokers.changes import generation_key
from brokers.shared import if_redis_is_there, redis

_flights: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)


class Rendered(msgspec.Struct, frozen=True):
    """The JSON of one portfolio: with stale sources inside, and without them."""

    include: bytes
    exclude: bytes


class Kept(msgspec.Struct, frozen=True):
    """An answer in the cache, and the state of the user's connections that it was made from."""

    generation: bytes
    rendered: Rendered


def shared(user_id: int, make: Callable[[], Rendered]) -> Rendered:
    """The cached answer, or one made now by whoever came first; the others wait for it."""
    found = cached(user_id)
    if found is not None:
        return found
    with _flights[user_id]:
        found = cached(user_id)
        if found is not None:
            return found
        wait = settings.PORTFOLIO_DEADLINE_SECONDS + 2
        lock = redis().lock(
            _key(user_id, "lock"), timeout=wait, blocking_timeout=wait, sleep=0.02, raise_on_release_error=False
        )
        try:
            with lock:
                return cached(user_id) or renewed(user_id, make)
        except (
            RedisError
        ):  # away; or whoever holds the lock is stuck: asking the brokers twice is better than no answer
            return renewed(user_id, make)


def renewed_once(user_id: int, make: Callable[[], Rendered]) -> Rendered | None:
    """A fresh answer, unless somebody is making one at this moment: then None, and theirs will do."""
    lock = redis().lock(
        _key(user_id, "lock"), timeout=settings.PORTFOLIO_DEADLINE_SECONDS + 2, raise_on_release_error=False
    )
    if not lock.acquire(blocking=False):
        return None
    try:
        return renewed(user_id, make)
    finally:
        with if_redis_is_there("giving a lock back"):
            lock.release()


def renewed(user_id: int, make: Callable[[], Rendered]) -> Rendered:
    """A fresh answer, whatever the cache holds. If the connections change meanwhile, it is served but not kept."""
    generation = None
    with if_redis_is_there("the state of the connections"):
        generation = cast(bytes | None, redis().get(generation_key(user_id))) or b""
    rendered = make()
    if generation is not None:
        kept = msgspec.msgpack.encode(Kept(generation, rendered))
        with if_redis_is_there("keeping the answer"):
            redis().set(_key(user_id, "answer"), kept, px=int(settings.PORTFOLIO_CACHE_SECONDS * 1000))
    return rendered


def cached(user_id: int) -> Rendered | None:
    """The answer kept for this user, if the connections are still those it was made from."""
    stored = generation = None
    with if_redis_is_there("the kept answer"):
        stored, generation = cast(list[bytes | None], redis().mget(_key(user_id, "answer"), generation_key(user_id)))
    if stored is None:
        return None
    kept = msgspec.msgpack.decode(stored, type=Kept)
    return kept.rendered if kept.generation == (generation or b"") else None


def _key(user_id: int, part: str) -> str:
    return f"portfolio:{user_id}:{part}"
