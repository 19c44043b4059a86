"""When the exchanges trade, from the first order that is taken to the last trade. Pure, but for reading `circulars`.

A year that no circular tells of is unknown, and an unknown weekday is never said to be open. Currency has more holidays
than are listed there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from brokers import circulars
from brokers.circulars import Wire
from brokers.domain import Exchange, Segment
from brokers.wire import IST

NEW_YORK = ZoneInfo("America/New_York")
SATURDAY = 5
# Whose days are asked for a segment's.
FACE = {
    Segment.EQUITY: Exchange.NSE,
    Segment.FNO: Exchange.NFO,
    Segment.CURRENCY: Exchange.CDS,
    Segment.COMMODITY: Exchange.MCX,
}
MCX_CLOSES, MCX_CLOSES_IN_US_WINTER = time(23, 30), time(23, 55)
# No two sessions lie further apart than this.
FURTHEST = 14


@dataclass(frozen=True, slots=True)
class Hours:
    """From the first order that is taken to the last trade, both in IST."""

    opens: datetime
    closes: datetime


def is_trading_day(day: date) -> bool | None:
    """Whether NSE and BSE trade on this day, if only for an hour; None for a weekday of a year we know nothing of."""
    told = circulars.planned_on(FACE[Segment.EQUITY], day)
    if told is None:
        return False if day.weekday() >= SATURDAY else None
    return told.kind != "CLOSED"


def hours_on(day: date, segment: Segment) -> Hours | None:
    """The day's hours of a segment; None where it does not trade.

    Of a day that `is_trading_day` does not know: the hours it has if it trades at all.
    """
    told = circulars.planned_on(FACE[segment], day)
    if told is None:
        return None if day.weekday() >= SATURDAY else _usual(day, segment)
    if told.kind == "CLOSED":
        return None
    sessions = told.sessions or _of_another(day)
    return _hours(day, sessions) if sessions else None


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


def _hours(day: date, sessions: Wire) -> Hours:
    opens = min(time.fromisoformat(each["from"]) for each in sessions)
    closes = max(time.fromisoformat(each["until"]) for each in sessions)
    return Hours(datetime.combine(day, opens, IST), datetime.combine(day, closes, IST))


def _usual(day: date, segment: Segment) -> Hours:
    """Of a weekday that no circular tells of, if it trades at all. MCX follows New York's clocks, set on Sundays."""
    usual = _hours(day, circulars.newest_sessions(FACE[segment]))
    if segment is not Segment.COMMODITY:
        return usual
    is_summer = bool(datetime.combine(day, time(12), NEW_YORK).dst())
    closes = MCX_CLOSES if is_summer else MCX_CLOSES_IN_US_WINTER
    return Hours(usual.opens, datetime.combine(day, closes, IST))


def _of_another(day: date) -> Wire:
    """UNCONFIRMED: a special session of which one exchange's hour is not known yet is held when another's is."""
    told = (circulars.planned_on(exchange, day) for exchange in FACE.values())
    return next((each.sessions for each in told if each and each.sessions), [])
