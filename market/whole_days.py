"""Which days are over, when the next one will be, and how a stretch of them is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from brokers import hours
from brokers.domain import Exchange
from brokers.wire import IST

# After the midnight that begins it, a day's candle is taken for final: well after the close, when brokers have settled
# its closing price. MCX trades until shortly before the next midnight.
FINAL_AFTER = timedelta(hours=18)
FINAL_AFTER_AT = {Exchange.MCX: timedelta(hours=24, minutes=10)}
DAY = timedelta(days=1)


def last_whole_day(exchange: Exchange, now: datetime) -> date:
    """The latest day whose candle is final, be it one of trading or not."""
    return (now.astimezone(IST) - FINAL_AFTER_AT.get(exchange, FINAL_AFTER)).date()


def next_evening(exchange: Exchange, now: datetime) -> datetime:
    """When the next day of trading will be over. A weekday of a year whose holidays nobody knows counts as one."""
    day = last_whole_day(exchange, now) + DAY
    while hours.is_trading_day(day) is False:
        day += DAY
    return datetime.combine(day, time(), IST) + FINAL_AFTER_AT.get(exchange, FINAL_AFTER)


def last_trading_day(until: date) -> date:
    """The latest day, `until` or before, that is not known to be one without trading."""
    while hours.is_trading_day(until) is False:
        until -= DAY
    return until


def chunks(first: date, last: date, days: int) -> Iterator[tuple[date, date]]:
    """The stretch in pieces of at most so many calendar days, both ends included, oldest first."""
    while first <= last:
        until = min(last, first + (days - 1) * DAY)
        yield first, until
        first = until + DAY


def number_of_calls(first: date, last: date, days: int) -> int:
    """In how many such pieces."""
    return max(0, -((first - last - DAY) // DAY // days))
