"""When contracts end, and how much of a year is left until then. Calendar time, to the hour of the exchange's rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from brokers.domain import SEGMENT_OF, Exchange, Segment
from brokers.wire import IST

YEAR = timedelta(days=365)
WEEKEND = 5  # the first weekday that is none
WEEK = 7
HOLIDAYS_A_WEEK = 2  # at most so many weekdays without trading have come within seven days


@dataclass(frozen=True, slots=True)
class EndOfDay:
    """From `since` on, contracts of a segment end at this hour (IST) of their last day."""

    since: date
    hour: time


# Newest first. F&O: to 15:40 since the closing auction came, and NSE's delta rule counts to then; to 15:30 before.
# UNCONFIRMED for currency (12:30, the hour known for the last day of USDINR, though others trade to 17:00) and for
# commodities (23:30, the earlier of the two closes, though in the American winter they trade to 23:55): the earlier
# hour never gives a contract more time than it has.
ENDS: dict[Segment, tuple[EndOfDay, ...]] = {
    Segment.FNO: (EndOfDay(date(2026, 8, 3), time(15, 40)), EndOfDay(date.min, time(15, 30))),
    Segment.CURRENCY: (EndOfDay(date.min, time(12, 30)),),
    Segment.COMMODITY: (EndOfDay(date.min, time(23, 30)),),
    Segment.EQUITY: (EndOfDay(date.min, time(15, 30)),),
}


def expires_at(exchange: Exchange, expiry: date) -> datetime:
    """The instant at which a contract has no time left."""
    rule = next(each for each in ENDS[SEGMENT_OF[exchange]] if each.since <= expiry)
    return datetime.combine(expiry, rule.hour, IST)


def years_to_expiry(exchange: Exchange, expiry: date, now: datetime) -> float:
    """Calendar time as a part of 365 days; 0 from the end on, never less."""
    return max((expires_at(exchange, expiry) - now) / YEAR, 0.0)


def trading_days_left(expiry: date, today: date, trading_days: Sequence[date]) -> int:
    """Trading days after `today` up to `expiry`: 4 on E-4, 0 on the day itself.

    Where the known days end before the expiry it is the fewest that they can be: beyond them weekdays count less
    HOLIDAYS_A_WEEK, so that nothing is told too late. The last day itself is always one of trading.
    """
    known = {day for day in trading_days if today < day <= expiry}
    horizon = max(trading_days, default=today)
    beyond = max(horizon, today) + timedelta(days=1)
    ahead = max((expiry - beyond).days + 1, 0)
    weekdays = sum((beyond + timedelta(days=each)).weekday() < WEEKEND for each in range(ahead))
    guessed = max(weekdays - HOLIDAYS_A_WEEK * math.ceil(ahead / WEEK), 1) if ahead else 0
    return len(known) + guessed


def has_ended(expiry: date | None, now: datetime) -> bool:
    """Whether the day of its expiry is over: what its row still shows is then no open contract any more.

    On the day itself, after its hour, it is still worth what it is in the money.
    """
    return expiry is not None and expiry < now.astimezone(IST).date()
