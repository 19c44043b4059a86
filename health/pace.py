"""How soon a connection is checked again: often while markets are open, fast while it fails, slowly at night. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum

from brokers import hours
from brokers.spec import DailyWindow
from brokers.wire import IST
from health.models import CheckType


class Phase(StrEnum):
    """The time of day as far as checks are concerned."""

    OPEN = "OPEN"  # markets are open
    QUIET = "QUIET"  # a trading day, before or after
    SLOW = "SLOW"  # night, weekend, holiday


# How many times the basic interval passes between two checks of a connection that is well.
EVERY: Mapping[CheckType, Mapping[Phase, int]] = {
    CheckType.SESSION: {Phase.OPEN: 1, Phase.QUIET: 2, Phase.SLOW: 10},
    CheckType.HOLDINGS: {Phase.OPEN: 4, Phase.QUIET: 10, Phase.SLOW: 40},
    CheckType.QUOTES: {Phase.OPEN: 4, Phase.QUIET: 20, Phase.SLOW: 60},
    CheckType.ORDERS: {Phase.OPEN: 4, Phase.QUIET: 20, Phase.SLOW: 60},
}
# A failing one is looked at sooner, each time twice as late as before, and never later than a well one.
LONGEST_DOUBLING = 10
# Rows come a little earlier than their interval, each by another part of it, so that they do not stay in step.
JITTER = 0.2
MARKET_HOURS = (time(9), time(15, 30))
NIGHT = DailyWindow(starts_at=time(23, 30), ends_at=time(6))
# How long after a maintenance window, or a closed circuit, the first checks are spread over.
AFTER_SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The settings, in seconds. With `around_the_clock` there is no night: for brokers that are simulated."""

    usual: float
    failing: float
    around_the_clock: bool = False


def phase_of(now: datetime, markets_open: bool | None) -> Phase:
    """`markets_open` None: nobody knows that year's holidays; a working day then counts as one of trading."""
    local = now.astimezone(IST)
    no_trading = hours.is_trading_day(local.date()) is False
    in_hours = MARKET_HOURS[0] <= local.time() < MARKET_HOURS[1]
    if markets_open or (markets_open is None and in_hours and not no_trading):
        return Phase.OPEN
    if no_trading or in_hours or NIGHT.end_if_within(now) is not None:
        return Phase.SLOW
    return Phase.QUIET


def next_due(
    check_type: CheckType,
    *,
    row_id: int,
    now: datetime,
    failures: int,
    markets_open: bool | None,
    maintenance: Sequence[DailyWindow],
    intervals: Intervals,
) -> datetime:
    """When this check is due again, after so many `failures` in a row; `row_id` gives each row a moment of its own."""
    phase = Phase.OPEN if intervals.around_the_clock else phase_of(now, markets_open)
    seconds = intervals.usual * EVERY[check_type][phase]
    if failures:
        seconds = min(seconds, intervals.failing * 2 ** min(failures - 1, LONGEST_DOUBLING))
    due = now + timedelta(seconds=seconds * (1 - JITTER * spread_of(row_id)))
    ends = None if intervals.around_the_clock else maintenance_ends(maintenance, due)
    return due if ends is None else ends + AFTER_SILENCE * spread_of(row_id)


def maintenance_ends(windows: Sequence[DailyWindow], at: datetime) -> datetime | None:
    """When the maintenance ends that the broker is in at that time; None where it is in none."""
    ends = [end for window in windows if (end := window.end_if_within(at)) is not None]
    return max(ends, default=None)


def spread_of(row_id: int) -> float:
    """A place between 0 and 1 that is the row's own; neighbours lie far apart."""
    return row_id * 0.6180339887 % 1
