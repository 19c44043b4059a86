"""What a figure of risk stands on: who answered, what could be valued, and what moves by another's history. Pure."""

from __future__ import annotations

from decimal import Decimal, localcontext

from brokers.domain import ZERO
from portfolio.domain import SourceState
from portfolio.risk.words import Coverage, RiskBook
from portfolio.sums import EXACT, percent


def coverage(
    book: RiskBook,
    *,
    unvalued: int | None = None,
    gross: Decimal | None = None,
    proxied: Decimal | None = None,
    unmodelled: Decimal | None = None,
) -> Coverage:
    """Of a figure over the whole book.

    `unvalued` counts lines that could not be judged (without it: those that have no price), `gross` is the value that
    could be (without it: of all lines at their price). `proxied` and `unmodelled` are parts of it in INR; None where
    the figure needs no history. What there is none of is complete.
    """
    with localcontext(EXACT):
        values = [abs(value) for line in book.lines if (value := line.value) is not None]
        missed = len(book.lines) - len(values) if unvalued is None else unvalued
        judged = gross if gross is not None else sum(values, ZERO) if values or not book.lines else None
        answered = all(purse.state is SourceState.LIVE for purse in book.purses)
        return Coverage(
            complete=answered and not (missed or book.unreadable or proxied or unmodelled),
            as_of=book.as_of,
            accounts=len(book.purses),
            stale=tuple(purse.connection_id for purse in book.purses if purse.state is SourceState.STALE),
            missing=tuple(purse.connection_id for purse in book.missing),
            lines=len(book.lines),
            unvalued=missed,
            gross=judged,
            proxied_pct=_part(proxied, judged),
            unmodelled_pct=_part(unmodelled, judged),
            unreadable=book.unreadable,
        )


def _part(amount: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Percent of the whole; of nothing nothing is missing."""
    if amount is not None and not amount:
        return ZERO
    return percent(amount, whole)
