"""The day's value series of one user, kept in Redis too, so that the next host goes on where the last one ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

from redis.asyncio import Redis

from portfolio.day_series import MINUTE, DaySeries

KEPT_SECONDS = 2 * 86_400
TradingDay = tuple[datetime, datetime] | None


class KeptSeries:
    """Methods raise RedisError. `total` is the book's latest value, for its host to keep.

    One hash per user and day: minutes since the opening → value, empty where it was unknown.
    """

    def __init__(self, redis: Redis, user_id: int) -> None:
        self.series: DaySeries | None = None
        self.total: Decimal | None = None
        self._redis = redis
        self._user_id = user_id
        self._written: tuple[int, Decimal | None] | None = None

    async def load(self, day: TradingDay) -> None:
        """Begin with the day's points that are known already."""
        if day is None:
            self.series = None
            return
        series = DaySeries(*day)
        known = cast(dict[bytes, bytes], await self._redis.hgetall(self._key(series)))
        for minute, value in sorted((int(minute), value) for minute, value in known.items()):
            series.note(series.opens + minute * MINUTE, Decimal(value.decode()) if value else None)
        self.series = series

    async def note(self, now: datetime, day: TradingDay, value: Decimal | None) -> None:
        """Remember the value of this minute; None: nobody knows it."""
        if day != (self.series and (self.series.opens, self.series.closes)):
            await self.load(day)
        if self.series is None or not self.series.note(now, value):
            return
        minute = (now - self.series.opens) // MINUTE
        if self._written == (minute, value):
            return
        key = self._key(self.series)
        pipe = self._redis.pipeline(transaction=False)
        pipe.hset(key, str(minute), "" if value is None else str(value))
        pipe.expire(key, timedelta(seconds=KEPT_SECONDS))
        await pipe.execute()
        self._written = minute, value

    def _key(self, series: DaySeries) -> str:
        return f"live:series:{self._user_id}:{series.opens:%Y-%m-%d}"
