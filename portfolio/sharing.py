"""One answer for everybody who asks the same at the same time, in this process and in the others.

What is the same is said by a `Scope`: a user's own book, or the part of it that one grant opens.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import msgspec
from django.conf import settings
from redis.exceptions import RedisError

from brokers.changes import generation_key
from brokers.shared import if_redis_is_there, redis

_flights: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which answer: `key` is its place in the cache and nobody else's; it is outdated when `owner_id`'s connections
    change.
    """

    key: str
    owner_id: int


def own(user_id: int) -> Scope:
    """A user's own book."""
    return Scope(f"portfolio:{user_id}", user_id)


def granted(grant_id: UUID, owner_id: int) -> Scope:
    """What one grant opens of its owner's book."""
    return Scope(f"portfolio:grant:{grant_id}", owner_id)


class Rendered(msgspec.Struct, frozen=True):
    """The JSON of one portfolio: with stale sources inside, and without them."""

    include: bytes
    exclude: bytes


class Kept(msgspec.Struct, frozen=True):
    """An answer in the cache, and the state of the user's connections that it was made from."""

    generation: bytes
    rendered: Rendered


def shared(scope: Scope, make: Callable[[], Rendered]) -> Rendered:
    """The cached answer, or one made now by whoever came first; the others wait for it."""
    found = cached(scope)
    if found is not None:
        return found
    with _flights[scope.key]:
        found = cached(scope)
        if found is not None:
            return found
        wait = settings.PORTFOLIO_DEADLINE_SECONDS + 2
        lock = redis().lock(
            f"{scope.key}:lock", timeout=wait, blocking_timeout=wait, sleep=0.02, raise_on_release_error=False
        )
        try:
            with lock:
                return cached(scope) or renewed(scope, make)
        except (
            RedisError
        ):  # away; or whoever holds the lock is stuck: asking the brokers twice is better than no answer
            return renewed(scope, make)


def renewed_once(scope: Scope, make: Callable[[], Rendered]) -> Rendered | None:
    """A fresh answer, unless somebody is making one at this moment: then None, and theirs will do."""
    lock = redis().lock(
        f"{scope.key}:lock", timeout=settings.PORTFOLIO_DEADLINE_SECONDS + 2, raise_on_release_error=False
    )
    if not lock.acquire(blocking=False):
        return None
    try:
        return renewed(scope, make)
    finally:
        with if_redis_is_there("giving a lock back"):
            lock.release()


def renewed(scope: Scope, make: Callable[[], Rendered]) -> Rendered:
    """A fresh answer, whatever the cache holds. If the connections change meanwhile, it is served but not kept."""
    generation = None
    with if_redis_is_there("the state of the connections"):
        generation = cast(bytes | None, redis().get(generation_key(scope.owner_id))) or b""
    rendered = make()
    if generation is not None:
        kept = msgspec.msgpack.encode(Kept(generation, rendered))
        with if_redis_is_there("keeping the answer"):
            redis().set(f"{scope.key}:answer", kept, px=int(settings.PORTFOLIO_CACHE_SECONDS * 1000))
    return rendered


def cached(scope: Scope) -> Rendered | None:
    """The answer kept of this, if the connections are still those it was made from."""
    stored = generation = None
    with if_redis_is_there("the kept answer"):
        stored, generation = cast(
            list[bytes | None], redis().mget(f"{scope.key}:answer", generation_key(scope.owner_id))
        )
    if stored is None:
        return None
    kept = msgspec.msgpack.decode(stored, type=Kept)
    return kept.rendered if kept.generation == (generation or b"") else None
