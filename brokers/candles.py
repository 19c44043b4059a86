"""Daily prices as brokers list them: rows of columns, in whatever order. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from brokers.domain import Candle, Rows
from brokers.errors import UnexpectedResponse
from brokers.wire import IST, Row, as_rows, each, number, positive, required, text

PART = "candles"
COLUMNS = ("time", "open", "high", "low", "close", "volume")  # what a broker writes behind these is left alone


def daily(rows: object, day: Callable[[Row], date], first: date, last: date) -> Rows[Candle]:
    """Read rows of `[time, open, high, low, close, volume, …]`: the days of both ends and between, oldest first.

    `day` reads a row's day from its `time`. Rows of other days are left out unread: today's, which is not over, may be
    among them. A row that cannot be read is a problem, and so is the second of one day.
    """
    found: dict[date, Candle] = {}

    def read(row: Row) -> list[Candle]:
        on = day(row)
        if not first <= on <= last:
            return []
        if on in found:
            raise UnexpectedResponse("time", "is of a day that is there already")
        found[on] = _candle(on, row)
        return [found[on]]

    answer = each(PART, read, [_named(row) for row in as_rows(rows, PART)])
    return Rows(tuple(found[on] for on in sorted(found)), answer.problems)


def ist_day(row: Row) -> date:
    """The Indian day of an ISO time; without an offset it is IST."""
    try:
        at = datetime.fromisoformat(text(row, "time"))
    except ValueError:
        raise UnexpectedResponse("time", "is not a time") from None
    return at.astimezone(IST).date() if at.tzinfo else at.date()


def _named(row: object) -> object:
    """A row by the names of its columns; what is no list is for the reader to refuse."""
    return dict(zip(COLUMNS, row, strict=False)) if isinstance(row, list) else row


def _candle(on: date, row: Row) -> Candle:
    high, low = _price(row, "high"), _price(row, "low")
    if high < low:
        raise UnexpectedResponse("high", "is below the low")
    return Candle(
        day=on,
        open_price=_price(row, "open"),
        high_price=high,
        low_price=low,
        close_price=_price(row, "close"),
        volume=_volume(row),
    )


def _price(row: Row, name: str) -> Decimal:
    """Nothing trades at 0: a row that says so knows no price."""
    exact = positive(row, name)
    if exact is None:
        raise UnexpectedResponse(name, "has no number")
    return exact


def _volume(row: Row) -> Decimal | None:
    exact = number(required(row, "volume"), "volume")
    if exact is not None and exact < 0:
        raise UnexpectedResponse("volume", "is negative")
    return exact


def without_volumes(rows: Rows[Candle]) -> Rows[Candle]:
    """The same days, where it is not known what their volumes count."""
    return Rows(tuple(replace(candle, volume=None) for candle in rows.items), rows.problems)
