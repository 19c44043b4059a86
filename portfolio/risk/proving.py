"""What of a day's loss is proved: the least it can be, whatever is not known. Pure.

A lock that nobody lifts before the close stands on this alone. It is stricter than what a limit's state goes by:

- A thing has moved today once its own exchange has begun its day, and as an answer from after that tells. Before, what
  a broker shows is another day's change.
- Of shares owned whose day is not known, as much as the widest circuit may have been gained. Of anything else whose
  day is not known, or of an account that was never heard of, any amount: then nothing is proved.
- An account that does not answer counts in what the day began with by its last good answer. Where a part of what there
  was is not known, such as an account's cash, there may have been as much again as is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.domain import ZERO, Exchange
from portfolio.domain import SourceState
from portfolio.risk.equity import Equity, counts_in_full
from portfolio.risk.margins import EXHAUSTED
from portfolio.risk.words import Kind, Line, Purse, RiskBook
from portfolio.sums import HUNDRED, percent

# When each exchange that trades today begins, or has begun; one that does not trade is not in it.
Openings = Mapping[Exchange, datetime]
# The exchanges' widest circuit for a share, of its price.
MOST_GAINED = Decimal("0.20")
UNTOLD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """INR and percent, zero on a day of gains. None: whatever was lost may have been gained where nobody looks."""

    loss: Decimal | None
    loss_pct: Decimal | None
    by_account: Mapping[str, Decimal | None]


def proved(book: RiskBook, worth: Equity, openings: Openings) -> Proved:
    """`worth` is that of the whole book."""
    lines: dict[str, list[Line]] = {purse.connection_id: [] for purse in book.purses}
    for line in book.lines:
        lines[line.connection_id].append(line)
    losses = {
        purse.connection_id: _least_loss(purse, lines[purse.connection_id], book.now, openings) for purse in book.purses
    }
    if book.unreadable or not losses or any(each is None for each in losses.values()):
        whole = None
    else:
        whole = sum((each for each in losses.values() if each is not None), ZERO)
    return Proved(
        loss=_floored(whole),
        loss_pct=_pct(whole, worth, book.known_day_pnl),
        by_account={key: None if book.unreadable else _floored(each) for key, each in losses.items()},
    )


def _least_loss(purse: Purse, lines: Sequence[Line], now: datetime, openings: Openings) -> Decimal | None:
    """Signed: of a gain that is proved it is negative."""
    if purse.state is SourceState.MISSING or purse.as_of is None:
        return None
    loss = ZERO
    for line in lines:
        begins = openings.get(line.exchange)
        if begins is None or now < begins:
            continue  # it has not moved yet
        if line.day_pnl is not None and purse.as_of >= begins:
            loss -= line.day_pnl
        elif line.kind is Kind.SPOT and counts_in_full(line) and line.value is not None:
            loss -= abs(line.value) * MOST_GAINED
        else:
            return None
    closed = _closed(purse, lines)
    if closed is None:
        return None
    have_begun = bool(openings) and max(openings.values()) <= purse.as_of
    return loss - (closed if have_begun else max(ZERO, closed))


def _closed(purse: Purse, lines: Sequence[Line]) -> Decimal | None:
    """What of an account's day is of things that are held no more. None: it is not known.

    Where a line's own day is not known, what is known of the account is of all the others.
    """
    told = purse.day_pnl if purse.day_pnl is not None else purse.known_day_pnl
    days = [line.day_pnl for line in lines]
    if purse.day_pnl is None and None not in days:
        return None
    return (told or ZERO) - sum((each for each in days if each is not None), ZERO)


def _pct(loss: Decimal | None, worth: Equity, known_day: Decimal | None) -> Decimal | None:
    if loss is None or worth.amount is None:
        return None
    if loss <= 0:
        return ZERO
    began = worth.amount - (known_day or ZERO)
    if began > 0:
        return percent(loss, began if worth.complete else began * UNTOLD)
    return EXHAUSTED * HUNDRED if worth.complete else None


def _floored(loss: Decimal | None) -> Decimal | None:
    return None if loss is None else max(ZERO, loss)
