"""How every connection's price feed is, told by the process that holds it to all others: a key in Redis that lapses."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
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
        self._logged: dict[tuple[UUID, str], datetime] = {}

    async def tell(self, reports: Mapping[UUID, Mapping[str, FeedReport]]) -> None:
        """Renew the keys of these connections, and log each change of a feed's state once."""
        self._log(reports)
        pipe = self._redis.pipeline(transaction=False)
        for connection, feeds in reports.items():
            if "prices" in feeds:
                report = feeds["prices"]
                told = Told(report.state, report.since, report.reason)
                pipe.set(_key(connection), msgspec.json.encode(told), px=TOLD_MILLISECONDS)
        await pipe.execute()

    def _log(self, reports: Mapping[UUID, Mapping[str, FeedReport]]) -> None:
        now = {(connection, name): report for connection, feeds in reports.items() for name, report in feeds.items()}
        for key, report in now.items():
            if self._logged.get(key) != report.since:
                level = logging.INFO if report.state in (FeedState.LIVE, FeedState.CONNECTING) else logging.WARNING
                logger.log(level, "Stream of %s of connection %s: %s %s", key[1], key[0], report.state, report.reason)
        for connection, name in self._logged.keys() - now.keys():
            logger.info("Stream of %s of connection %s is no longer held here", name, connection)
        self._logged = {key: report.since for key, report in now.items()}


async def told(redis: Redis, connections: Iterable[UUID]) -> dict[UUID, Told]:
    """Of those that somebody holds. Raises RedisError."""
    asked = list(connections)
    return _found(asked, await redis.mget(map(_key, asked)) if asked else [])


def told_now(redis: BlockingRedis, connections: Iterable[UUID]) -> dict[UUID, Told]:
    """The same, in a thread."""
    asked = list(connections)
    return _found(asked, redis.mget(map(_key, asked)) if asked else [])  # type: ignore[arg-type]


def _found(asked: list[UUID], values: list[bytes | None]) -> dict[UUID, Told]:
    return {key: _told.decode(value) for key, value in zip(asked, values, strict=True) if value is not None}


def _key(connection: UUID) -> str:
    return f"feed:{connection}"
