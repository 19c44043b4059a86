"""What an account, and the whole book, is worth to its owner. Pure.

    equity = cash + shares owned + options at their price − loans + what today's deals do that `cash` does not know yet

What today's deals do is read safely, as brokers do not say whether their cash knows of it (docs/adr/0006): a net
purchase of today is taken off, a net sale is not added. Futures and intraday shares count with the profit that is open
since the last settlement alone: what came before is in the cash. What was closed of them today counts if it lost, and
not if it earned: an opening cash does not know of it, a running one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.domain import ZERO, Position
from portfolio.domain import SourceState, TradeKind
from portfolio.lots import Trade
from portfolio.risk.words import Kind, Line, Purse, RiskBook
from portfolio.sums import quotient, whole_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Equity:
    """INR. `amount` is the sum of the parts that are known, None where there is none; `unknown` names what is not.

    A funded share whose loan is unknown is left out with its whole value: what is owed might be as much.
    """

    amount: Decimal | None
    cash: Decimal | None
    owned: Decimal
    options: Decimal
    loans: Decimal
    unsettled: Decimal | None
    unknown: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.unknown


def account_equity(purse: Purse, lines: Iterable[Line]) -> Equity:
    """Of one account; `lines` are its own."""
    if purse.state is SourceState.MISSING:
        return Equity(
            amount=None, cash=None, owned=ZERO, options=ZERO, loans=ZERO, unsettled=None, unknown=("account",)
        )
    owned = options = loans = ZERO
    unknown: list[str] = []
    for line in lines:
        if not counts_in_full(line):
            continue
        value = line.value
        if value is None:
            unknown.append(f"price of {line.symbol}")
        elif line.kind is Kind.OPTION:
            options += value
        elif line.funded and line.loan is None:
            unknown.append(f"loan for {line.symbol}")
        else:
            owned += value
            loans += line.loan or ZERO  # shares bought today with the broker's money are paid for in `unsettled`
    if purse.cash is None:
        unknown.append("cash")
    if purse.unsettled is None:
        unknown.append("today's deals")
    amount = (purse.cash or ZERO) + owned + options - loans + (purse.unsettled or ZERO)
    return Equity(
        amount=amount,
        cash=purse.cash,
        owned=owned,
        options=options,
        loans=loans,
        unsettled=purse.unsettled,
        unknown=tuple(unknown),
    )


def book_equity(accounts: Sequence[Equity]) -> Equity:
    """The sum over accounts. A missing one makes it incomplete, and no smaller figure than it is said to be."""
    known = [account for account in accounts if account.amount is not None]
    return Equity(
        amount=sum((account.amount or ZERO for account in known), ZERO) if known else None,
        cash=whole_sum(account.cash for account in accounts),
        owned=sum((account.owned for account in accounts), ZERO),
        options=sum((account.options for account in accounts), ZERO),
        loans=sum((account.loans for account in accounts), ZERO),
        unsettled=whole_sum(account.unsettled for account in accounts),
        unknown=tuple(dict.fromkeys(name for account in accounts for name in account.unknown)),
    )


def equities(book: RiskBook) -> dict[str, Equity]:
    """By connection, those without an answer among them."""
    lines: dict[str, list[Line]] = {purse.connection_id: [] for purse in book.purses}
    for line in book.lines:
        lines[line.connection_id].append(line)
    return {purse.connection_id: account_equity(purse, lines[purse.connection_id]) for purse in book.purses}


def counts_in_full(line: Line) -> bool:
    """Shares owned and options are worth their price; futures and intraday shares, what they have earned."""
    return line.kind is Kind.OPTION or (line.kind is Kind.SPOT and not line.is_intraday)


# --- today's deals ----------------------------------------------------------------------------------------------------
def unsettled(positions: Iterable[Position], traded: Iterable[tuple[Trade, Kind]]) -> Decimal | None:
    """INR, signed. `positions` are an account's rows, of which those for delivery count; `traded` its other rows at
    their price. None where a single one is not known."""
    parts: list[Decimal | None] = [_net_purchase(row) for row in positions if row.is_delivery]
    for trade, kind in traded:
        if trade.kind not in (TradeKind.DERIVATIVE, TradeKind.INTRADAY):
            continue
        if kind is Kind.OPTION:
            parts.append(_net_purchase(trade.position))
        else:
            parts += [open_since_settlement(trade.position), lost_by_closing(trade.position)]
    return whole_sum(parts)


def _net_purchase(position: Position) -> Decimal:
    return min(ZERO, position.day_sell_value - position.day_buy_value)


def open_since_settlement(position: Position) -> Decimal | None:
    """What is open has earned since the previous close, or since today's trades where it was opened today.

    What was closed today closed the carried part first.
    """
    quantity = position.quantity
    if not quantity:
        return ZERO
    if position.last_price is None:
        return None
    left = _left(position)
    if left and position.close_price is None:
        return None
    earned = left * (position.last_price - position.close_price) if position.close_price is not None else ZERO
    opened = quantity - left
    if not opened:
        return earned
    paid = _paid_for(position, opened)
    return None if paid is None else earned + opened * position.last_price - paid


def lost_by_closing(position: Position) -> Decimal | None:
    """What was closed today has lost since the previous close or since today's trades, ≤ 0; a gain is none."""
    traded = position.day_buy_quantity - position.day_sell_quantity
    is_flat = not position.quantity
    if not is_flat and position.overnight_quantity + traded != position.quantity:
        return ZERO  # its day is not told: what is open is measured from its average then
    left = _left(position)
    closed = position.overnight_quantity - left
    if closed and position.close_price is None:
        return None
    opened = position.quantity - left
    paid = _paid_for(position, opened) if opened else ZERO
    if paid is None:
        return None
    cost = closed * position.close_price if position.close_price is not None else ZERO
    return min(ZERO, position.day_sell_value - position.day_buy_value - cost + paid)


def _left(position: Position) -> Decimal:
    """Units that were carried and are open still, signed."""
    quantity, carried = position.quantity, position.overnight_quantity
    if not quantity or not carried or (quantity > 0) != (carried > 0):
        return ZERO
    return min(abs(quantity), abs(carried)).copy_sign(quantity)


def _paid_for(position: Position, opened: Decimal) -> Decimal | None:
    """What units opened today cost (negative: brought), at the average of today's trades on their side."""
    is_long = opened > 0
    units = position.day_buy_quantity if is_long else position.day_sell_quantity
    value = position.day_buy_value if is_long else position.day_sell_value
    if units:
        return quotient(value * opened, units)
    return None if position.average_price is None else opened * position.average_price
