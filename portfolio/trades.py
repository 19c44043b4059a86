"""Positions that are not shares owned: per broker line by line, and derivatives merged by contract. Pure.

Two brokers' rows are one contract if the exchange segment is the same and so is the exchange's token, or underlying,
expiry, strike and type; a row that says neither joins by its symbol if exactly one contract bears it. An NFO and a BFO
contract never net. What nobody can match stays alone, under its own broker.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal

from brokers.domain import ZERO, Position
from portfolio.domain import (
    BrokerDerivative,
    ConsolidatedDerivative,
    InstrumentKey,
    LivePrice,
    SourceState,
    TradeKind,
    TradingPosition,
)
from portfolio.lots import Trade
from portfolio.marks import Mark, same_day
from portfolio.sums import quotient, whole_sum


def line(trade: Trade) -> TradingPosition:
    """A row as it is shown.

    Of a sale out of holdings the booked profit is measured from what the shares cost, today's from their last close.
    """
    position = trade.position
    shown = TradingPosition(
        connection_id=trade.source.connection_id,
        broker_id=trade.source.broker_type,
        broker_name=trade.source.broker_name,
        kind=trade.kind,
        exchange=position.exchange,
        symbol=position.tradingsymbol,
        product=position.product,
        quantity=position.quantity,
        avg_price=position.average_price,
        current_price=position.last_price,
        unrealized_pnl=position.unrealised,
        realized_pnl=position.realised,
        day_pnl=position.day_pnl,
        stale=trade.source.state is SourceState.STALE,
    )
    if trade.kind is not TradeKind.SALE_OF_HOLDING:
        return shown
    price = quotient(position.day_sell_value, position.day_sell_quantity) if position.day_sell_quantity else None
    cost = trade.owned.average_price if trade.owned else None
    close = trade.owned.close_price if trade.owned else None
    return replace(
        shown,
        quantity=-trade.sold,
        avg_price=price,
        unrealized_pnl=ZERO,
        realized_pnl=None if price is None or cost is None else trade.sold * (price - cost),
        day_pnl=None if price is None or close is None else trade.sold * (price - close),
    )


def grouped(trades: Sequence[Trade]) -> list[list[Trade]]:
    """The trades in the order in which they are shown: alone, then derivatives, together by contract."""
    others = [[each] for each in trades if each.kind is not TradeKind.DERIVATIVE]
    return others + _contracts([each for each in trades if each.kind is TradeKind.DERIVATIVE])


def is_contract(group: Sequence[Trade]) -> bool:
    return group[0].kind is TradeKind.DERIVATIVE


def instrument_of(group: Sequence[Trade]) -> InstrumentKey | None:
    """What a stream would call it; None where no row says, or where no price moves it any more."""
    if group[0].kind not in (TradeKind.DERIVATIVE, TradeKind.INTRADAY):
        return None
    token = _token(group)
    return (group[0].position.exchange, token) if token else None


def trade_mark(group: Sequence[Trade], told: LivePrice | None = None) -> Mark:
    """One price and one previous close: a stream's, else live before stale, the freshest, the registry's order."""
    if told is not None:
        return Mark.streamed(told, streamed_close(group, told))
    if not is_contract(group):
        return Mark(price=group[0].position.last_price, close=group[0].position.close_price)
    ranks = sorted(group, key=_price_rank)
    priced = [each.position for each in ranks if each.position.last_price is not None]
    close = next((position.close_price for position in priced if position.close_price is not None), None)
    return Mark(price=priced[0].last_price if priced else None, close=close)


def streamed_close(group: Sequence[Trade], told: LivePrice) -> Decimal | None:
    """The stream's own close; where it told none, that of a row of the same day."""
    if told.close is not None:
        return told.close
    ranks = sorted(group, key=_price_rank)
    closes = (each.position.close_price for each in ranks if same_day(each.source.answered_at, told.as_of))
    return next((close for close in closes if close is not None), None)


def day_base(trade: Trade) -> Decimal:
    """What a known day's profit is measured against, long and short alike: what was carried at the previous close, and
    what today's trades opened at their prices. Of a round trip the larger side."""
    position = trade.position
    if trade.kind is TradeKind.SALE_OF_HOLDING:
        close = trade.owned.close_price if trade.owned else None
        return ZERO if close is None else trade.sold * close
    carried = position.overnight_quantity
    if not carried:
        return max(position.day_buy_value, position.day_sell_value)
    opened = position.day_buy_value if carried > 0 else position.day_sell_value
    return opened if position.close_price is None else abs(carried * position.close_price) + opened


def paid_for_open(trade: Trade) -> Decimal:
    """What a known open profit is measured against: what is open at its average price, long and short alike."""
    average = trade.position.average_price
    if trade.kind is TradeKind.SALE_OF_HOLDING or average is None:
        return ZERO
    return abs(trade.position.quantity * average)


def at_mark(group: Sequence[Trade], mark: Mark) -> list[Trade]:
    return [
        replace(each, position=replace(each.position, last_price=mark.price, close_price=mark.close)) for each in group
    ]


def derivative(group: Sequence[Trade]) -> ConsolidatedDerivative:
    """One contract over all brokers; long here and short there are netted in `net_quantity` and shown beside it."""
    face = group[0].position
    contract = next((each.position.contract for each in group if each.position.contract), None)
    quantities = [each.position.quantity for each in group]
    return ConsolidatedDerivative(
        exchange=face.exchange,
        symbol=face.tradingsymbol,
        exchange_token=_token(group),
        underlying=contract.underlying if contract else None,
        expiry=contract.expiry if contract else None,
        strike=contract.strike if contract else None,
        option_type=contract.option_type if contract else None,
        net_quantity=sum(quantities, ZERO),
        long_quantity=sum((quantity for quantity in quantities if quantity > 0), ZERO),
        short_quantity=sum((-quantity for quantity in quantities if quantity < 0), ZERO),
        current_price=face.last_price,
        unrealized_pnl=whole_sum(each.position.unrealised for each in group),
        realized_pnl=whole_sum(each.position.realised for each in group),
        day_pnl=whole_sum(each.position.day_pnl for each in group),
        matched=is_matched(group),
        stale=any(each.source.state is SourceState.STALE for each in group),
        broker_positions=tuple(_broker_line(each) for each in group),
    )


def is_matched(group: Sequence[Trade]) -> bool:
    """Whether anything but a broker's own symbol says which contract this is."""
    return any(each.position.exchange_token or each.position.contract for each in group)


def _broker_line(trade: Trade) -> BrokerDerivative:
    position = trade.position
    return BrokerDerivative(
        connection_id=trade.source.connection_id,
        broker_id=trade.source.broker_type,
        broker_name=trade.source.broker_name,
        symbol=position.tradingsymbol,
        product=position.product,
        quantity=position.quantity,
        avg_price=position.average_price,
        unrealized_pnl=position.unrealised,
        realized_pnl=position.realised,
        day_pnl=position.day_pnl,
        stale=trade.source.state is SourceState.STALE,
    )


@dataclass(slots=True, eq=False)
class _Contract:
    """Rows that are one contract. `last`: the place of the row that came last."""

    last: int = 0
    rows: deque[Trade] = field(default_factory=deque)


def _contracts(trades: Sequence[Trade]) -> list[list[Trade]]:
    """Group by contract: rows that share an identity are joined, step by step. Each stands where its last row came.

    Every row is looked at once, and the fewer rows go to the more: an account may have thousands.
    """
    named: dict[Hashable, _Contract] = {}
    nameless: list[Trade] = []
    for place, trade in enumerate(trades):
        names = _identities(trade.position)
        if not names:
            nameless.append(trade)
            continue
        contract = _joined({named[name] for name in names if name in named}, named)
        contract.last = place
        contract.rows.append(trade)
        named.update(dict.fromkeys(names, contract))
    found = sorted(set(named.values()), key=_last)
    bearers: dict[Hashable, set[_Contract]] = defaultdict(set)
    for contract in found:
        for trade in contract.rows:
            bearers[_symbol(trade.position)].add(contract)
    alone: dict[Hashable, list[Trade]] = defaultdict(list)
    for trade in nameless:
        symbol = _symbol(trade.position)
        match list(bearers[symbol]):
            case [contract]:
                contract.rows.append(trade)
            case _:
                alone[trade.source.connection_id, symbol].append(trade)
    return [list(contract.rows) for contract in found] + list(alone.values())


def _joined(same: Set[_Contract], named: dict[Hashable, _Contract]) -> _Contract:
    """One of all these, their rows one after the other; `named` leads to it."""
    if not same:
        return _Contract()
    parts = sorted(same, key=_last)
    whole = max(parts, key=lambda each: len(each.rows))
    place = parts.index(whole)
    for each in parts[:place] + parts[place + 1 :]:
        named.update((name, whole) for row in each.rows for name in _identities(row.position))
    for each in reversed(parts[:place]):
        whole.rows.extendleft(reversed(each.rows))
    for each in parts[place + 1 :]:
        whole.rows.extend(each.rows)
    return whole


def _last(contract: _Contract) -> int:
    return contract.last


def _identities(position: Position) -> set[Hashable]:
    names: set[Hashable] = set()
    if position.exchange_token:
        names.add((position.exchange, position.exchange_token))
    if position.contract:
        names.add((position.exchange, position.contract))
    return names


def _symbol(position: Position) -> tuple[str, str]:
    return (position.exchange, position.tradingsymbol)


def _token(group: Sequence[Trade]) -> str | None:
    return next((each.position.exchange_token for each in group if each.position.exchange_token), None)


def _price_rank(trade: Trade) -> tuple[bool, float, int, str]:
    source = trade.source
    return (source.state is not SourceState.LIVE, -source.answered_at.timestamp(), source.rank, source.connection_id)
