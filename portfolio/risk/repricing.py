"""The same risk book at other prices, by differences: between two answers of the brokers only prices move. Pure.

Making the book anew costs some milliseconds, this a fraction of that. What was unknown for want of a first price stays
so until the book is made anew; and so is what the day did once midnight in India has passed: no answer is of that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, localcontext

from brokers.domain import ZERO
from portfolio.marks import same_day
from portfolio.risk.equity import counts_in_full
from portfolio.risk.words import Kind, Line, RiskBook
from portfolio.sums import EXACT

NOTHING: Mapping[str, Decimal] = {}


def repriced(
    book: RiskBook, prices: Mapping[str, Decimal], *, spots: Mapping[str, Decimal] = NOTHING, now: datetime
) -> RiskBook:
    """`prices` are INR by instrument, as the lines name it; `spots` by issuer, of indices and of shares not held."""
    with localcontext(EXACT):
        book = book if same_day(book.now, now) else _without_day(book)
        lines = [_at(line, prices, spots) for line in book.lines]
        gained: dict[str, Decimal] = {}
        settling: dict[str, Decimal] = {}
        for old, new in zip(book.lines, lines, strict=True):
            if new is old or new.price is None or old.price is None:
                continue
            by = old.units * (new.price - old.price)
            if old.day_pnl is not None:
                gained[old.connection_id] = gained.get(old.connection_id, ZERO) + by
            if not counts_in_full(old):
                settling[old.connection_id] = settling.get(old.connection_id, ZERO) + by
        moved = sum(gained.values(), ZERO)
        purses = tuple(
            replace(
                purse,
                unsettled=_plus(purse.unsettled, settling.get(purse.connection_id, ZERO)),
                day_pnl=_plus(purse.day_pnl, gained.get(purse.connection_id, ZERO)),
                known_day_pnl=_plus(purse.known_day_pnl, gained.get(purse.connection_id, ZERO)),
            )
            for purse in book.purses
        )
        return replace(
            book,
            now=now,
            lines=tuple(lines),
            purses=purses,
            day_pnl=_plus(book.day_pnl, moved),
            known_day_pnl=_plus(book.known_day_pnl, moved),
        )


def _without_day(book: RiskBook) -> RiskBook:
    """The book without what its day did: yesterday's loss locks nobody today."""
    return replace(
        book,
        lines=tuple(replace(line, day_pnl=None) for line in book.lines),
        purses=tuple(replace(purse, day_pnl=None, known_day_pnl=None) for purse in book.purses),
        day_pnl=None,
        known_day_pnl=None,
    )


def _plus(amount: Decimal | None, by: Decimal) -> Decimal | None:
    return None if amount is None else amount + by


def _at(line: Line, prices: Mapping[str, Decimal], spots: Mapping[str, Decimal]) -> Line:
    """The line itself where nothing about it has moved."""
    price = prices.get(line.instrument, line.price)
    underlying_price = line.underlying_price if line.kind is Kind.SPOT else _underlying(line, prices, spots)
    if price == line.price:
        if underlying_price == line.underlying_price:
            return line
        return replace(line, underlying_price=underlying_price)
    if price is None or line.price is None:
        return replace(line, price=price, underlying_price=underlying_price)
    by = line.units * (price - line.price)
    return replace(
        line,
        price=price,
        underlying_price=underlying_price,
        unrealised=None if line.unrealised is None else line.unrealised + by,
        day_pnl=None if line.day_pnl is None else line.day_pnl + by,
    )


def _underlying(line: Line, prices: Mapping[str, Decimal], spots: Mapping[str, Decimal]) -> Decimal | None:
    """What it hung on before, at its price now: never a future in place of a spot, or the other way round."""
    if not line.underlying_is_future:
        return prices.get(line.issuer, spots.get(line.issuer, line.underlying_price))
    if line.kind is Kind.FUTURE:
        return prices.get(line.instrument, line.underlying_price)
    expiry = line.underlying_expiry or line.expiry
    if expiry is None:
        return line.underlying_price
    return prices.get(f"{line.exchange}|{line.underlying}|{expiry.isoformat()}|FUT", line.underlying_price)
