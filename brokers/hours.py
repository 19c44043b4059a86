"""When the Indian exchanges trade. Pure; for 2026, as announced by November of that year.

Small on purpose: a dated table of the `market` room will own this. A year that is not in HOLIDAYS is unknown, and an
unknown weekday is never said to be open. Currency has more holidays than are listed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from brokers.domain import Segment
from brokers.wire import IST

NEW_YORK = ZoneInfo("America/New_York")


def _days(year: int, *days: tuple[int, int]) -> frozenset[date]:
    return frozenset(date(year, month, day) for month, day in days)


# Weekdays on which NSE and BSE are closed, by year.
HOLIDAYS = {
    2026: _days(
        2026,
        *((1, 15), (1, 26), (3, 3), (3, 26), (3, 31), (4, 3), (4, 14), (5, 1)),
        *((5, 28), (6, 26), (9, 14), (10, 2), (10, 20), (11, 10), (11, 24), (12, 25)),
    )
}
# MCX opens in the evening of most of them; not of these.
MCX_CLOSED = _days(2026, (1, 26), (4, 3), (10, 2), (12, 25))
MCX_EVENING = time(17, 0)
# Sessions on a day that is none otherwise. UNCONFIRMED for NSE and BSE: the hour comes by circular, this one is MCX's.
SPECIAL = {date(2026, 11, 8): (time(18, 0), time(19, 0))}
# From the first pre-open to the end of the post-close session.
HOURS = {
    Segment.EQUITY: (time(9, 0), time(16, 0)),
    Segment.FNO: (time(9, 0), time(15, 40)),
    Segment.CURRENCY: (time(9, 0), time(17, 0)),
}
MCX_OPENS, MCX_CLOSES, MCX_CLOSES_IN_US_WINTER = time(9, 0), time(23, 30), time(23, 55)
# No two sessions lie further apart than this.
FURTHEST = 14


@dataclass(frozen=True, slots=True)
class Hours:
    """From the first order that is taken to the last trade, both in IST."""

    opens: datetime
    closes: datetime


def is_trading_day(day: date) -> bool | None:
    """Whether NSE and BSE trade on this day, if only for an hour; None for a weekday of a year we know nothing of."""
    if day in SPECIAL:
        return True
    if day.weekday() >= 5:
        return False
    holidays = HOLIDAYS.get(day.year)
    return None if holidays is None else day not in holidays


def hours_on(day: date, segment: Segment) -> Hours | None:
    """The day's hours of a segment; None where it does not trade.

    Of a day that `is_trading_day` does not know: the hours it has if it trades at all.
    """
    if day in SPECIAL:
        return _hours(day, *SPECIAL[day])
    if day.weekday() >= 5:
        return None
    is_holiday = is_trading_day(day) is False
    if segment is Segment.COMMODITY:
        if day in MCX_CLOSED:
            return None
        return _hours(day, MCX_EVENING if is_holiday else MCX_OPENS, _mcx_closes(day))
    return None if is_holiday else _hours(day, *HOURS[segment])


def markets_open(now: datetime) -> frozenset[Segment] | None:
    """The segments in which orders are taken now; None where that hangs on a holiday calendar we do not have."""
    day = now.astimezone(IST).date()
    trading = [(segment, hours_on(day, segment)) for segment in Segment]
    open_now = frozenset(segment for segment, hours in trading if hours and hours.opens <= now < hours.closes)
    return None if open_now and is_trading_day(day) is None else open_now


def trading_ends(now: datetime, segments: Iterable[Segment] = tuple(Segment)) -> datetime | None:
    """The end of today's trading in these segments; None where there is none, or none is left."""
    day = now.astimezone(IST).date()
    ends = [hours.closes for segment in segments if (hours := hours_on(day, segment)) and hours.closes > now]
    return max(ends, default=None)


def next_session_start(now: datetime, segments: Iterable[Segment] = tuple(Segment)) -> datetime | None:
    """The next opening in any of these segments; None where that hangs on a holiday calendar we do not have."""
    wanted, today = tuple(segments), now.astimezone(IST).date()
    for ahead in range(FURTHEST):
        day = today + timedelta(days=ahead)
        starts = [hours.opens for segment in wanted if (hours := hours_on(day, segment)) and hours.opens > now]
        if starts:
            return None if is_trading_day(day) is None else min(starts)
    return None


def _hours(day: date, opens: time, closes: time) -> Hours:
    return Hours(datetime.combine(day, opens, IST), datetime.combine(day, closes, IST))


def _mcx_closes(day: date) -> time:
    """It follows the clocks of New York, which change on Sundays."""
    is_summer = bool(datetime.combine(day, time(12), NEW_YORK).dst())
    return MCX_CLOSES if is_summer else MCX_CLOSES_IN_US_WINTER
