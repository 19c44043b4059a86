"""How every connection's price feed is, told by the process that holds it to all others: a key in Redis that lapses."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from market.feed import FeedReport, FeedState

logger = logging.getLogger(__name__)

TOLD_MILLISECONDS = 5000


class Told(msgspec.Struct, frozen=True):
    """The state of a connection's price feed. `reason` is in words of ours, empty where there is none."""

    state: FeedState
    since: datetime
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """It is live, or opened for the first time."""
        return self.state is FeedState.LIVE or (self.state is FeedState.CONNECTING and not self.reason)


_told = msgspec.json.Decoder(Told)


class FeedStates:
    """What one process tells of the feeds that it holds. Raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[tuple[UUID, str], Told] = {}

    async def tell(self, reports: Mapping[UUID, Mapping[str, FeedReport]]) -> None:
        """Renew the keys of these connections, and log each change of a feed's state once."""
        before = self._known
        self._known = {
            (connection, name): _settled(before.get((connection, name)), report)
            for connection, feeds in reports.items()
            for name, report in feeds.items()
        }
        self._log(before)
        pipe = self._redis.pipeline(transaction=False)
        for (connection, name), state in self._known.items():
            key = _key(connection) if name == "prices" else _orders_key(connection)
            pipe.set(key, msgspec.json.encode(state), px=TOLD_MILLISECONDS)
        await pipe.execute()

    def _log(self, before: Mapping[tuple[UUID, str], Told]) -> None:
        for (connection, name), state in self._known.items():
            if before.get((connection, name)) != state:
                level = logging.INFO if state.is_well else logging.WARNING
                logger.log(level, "Stream of %s of connection %s: %s %s", name, connection, state.state, state.reason)
        for connection, name in before.keys() - self._known.keys():
            logger.info("Stream of %s of connection %s is not held here any more", name, connection)


def _settled(before: Told | None, report: FeedReport) -> Told:
    """A feed that is tried again and again is what it was before, since the first failure, until it is live."""
    state = report.state
    if state is FeedState.CONNECTING and report.reason:
        state = before.state if before is not None else FeedState.DOWN
    if before is not None and (before.state, before.reason) == (state, report.reason):
        return before
    return Told(state, report.since, report.reason)


async def told(redis: Redis, connections: Iterable[UUID]) -> dict[UUID, Told]:
    """Of those that somebody holds. Raises RedisError."""
    asked = list(connections)
    return _found(asked, await redis.mget(map(_key, asked)) if asked else [])


def told_now(redis: BlockingRedis, connections: Iterable[UUID]) -> dict[UUID, Told]:
    """The same, in a thread."""
    asked = list(connections)
    return _found(asked, redis.mget(map(_key, asked)) if asked else [])


def orders_told_now(redis: BlockingRedis, connections: Iterable[UUID]) -> dict[UUID, Told]:
    """How news of orders come in, of those connections that somebody holds, in a thread. Raises RedisError.

    By a feed of their own, or by that of the prices.
    """
    asked = list(connections)
    prices = told_now(redis, asked)
    return prices | _found(asked, redis.mget(map(_orders_key, asked)) if asked else [])


def _found(asked: list[UUID], values: Sequence[bytes | str | None]) -> dict[UUID, Told]:
    return {key: _told.decode(value) for key, value in zip(asked, values, strict=True) if value is not None}


def _key(connection: UUID) -> str:
    return f"feed:{connection}"


def _orders_key(connection: UUID) -> str:
    return f"feed:{connection}:orders"
