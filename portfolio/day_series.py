"""How a portfolio's value went through one trading day: one point a minute, and a gap where nobody knew it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

MINUTE = timedelta(minutes=1)
LONGEST = timedelta(days=1)


class Point(NamedTuple):
    """The last value of the minute that begins at `at`; None: nobody knew it."""

    at: datetime
    value: Decimal | None


class DaySeries:
    """The minutes from `opens` up to `closes`, which the calendar gives; at most a day of them.

    The latest word within a minute counts, also when it is that the value is unknown.
    """

    __slots__ = ("_values", "closes", "opens")

    def __init__(self, opens: datetime, closes: datetime) -> None:
        if not timedelta(0) < closes - opens <= LONGEST:
            raise ValueError("a trading day ends after it begins, and within a day")
        self.opens = opens
        self.closes = closes
        self._values: list[Decimal | None] = []

    def note(self, now: datetime, value: Decimal | None) -> bool:
        """Remember the value of this minute. False outside the trading day, where nothing is kept."""
        if not self.opens <= now < self.closes:
            return False
        minute = (now - self.opens) // MINUTE
        self._values.extend([None] * (minute + 1 - len(self._values)))
        self._values[minute] = value
        return True

    def points(self, now: datetime) -> list[Point]:
        """A point for every minute that has begun, so that a gap at the end shows too."""
        latest = min(now, self.closes - timedelta.resolution)
        begun = (latest - self.opens) // MINUTE + 1
        values = [*self._values, *[None] * max(0, begun - len(self._values))]
        return [Point(self.opens + number * MINUTE, value) for number, value in enumerate(values)]
