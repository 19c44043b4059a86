"""Many broker accounts into one portfolio. Pure: no Django, no I/O, no clock.

Shares merge by ISIN, whatever the listing and the broker; derivative and intraday positions stay under their own
broker. An unknown number is None and makes every sum that needs it say what it covers; it is never taken for zero.
Nothing here is rounded: that happens once, in `presentation.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.domain import ZERO, Exchange, Funds, Product
from brokers.wire import IST
from portfolio.domain import (
    AssetAllocation,
    AssetClass,
    BorrowedPrice,
    BrokerBreakdown,
    BrokerFunds,
    BrokerPosition,
    ConsolidatedPortfolio,
    ConsolidatedPosition,
    Coverage,
    FundsTotal,
    PriceState,
    Source,
    SourceReport,
    SourceState,
    TradingPosition,
    TradingSummary,
    Unpriced,
)
from portfolio.lots import Lot, directory_of, split
from portfolio.trades import Trade, derivative, is_matched, line, marked, whole_sum

HUNDRED = Decimal(100)
# Of nobody anything is known: not a day without trades.
NO_TRADING = TradingSummary(unrealized_pnl=None, realized_pnl=None, day_pnl=None)


@dataclass(frozen=True, slots=True)
class Mark:
    """The one price of a position in this snapshot, and where it is from."""

    price: Decimal | None = None
    close: Decimal | None = None
    source: str | None = None
    as_of: datetime | None = None
    state: PriceState | None = None

    def value(self, quantity: Decimal) -> Decimal | None:
        return None if self.price is None else quantity * self.price

    def day_change(self, lot: Lot) -> Decimal | None:
        """Since the previous close; since the purchase for what was bought today."""
        if self.price is None:
            return None
        carried, change = lot.quantity - lot.today, ZERO
        if carried:
            if self.close is None:
                return None
            change += carried * (self.price - self.close)
        if lot.today:
            if lot.average_price is None:
                return None
            change += lot.today * (self.price - lot.average_price)
        return change


@dataclass(frozen=True, slots=True)
class Book:
    """What all sources hold, not yet valued: lots by share, and trades."""

    sources: Sequence[Source]
    inside: Sequence[Source]
    lots: Mapping[str, Sequence[Lot]]
    trades: Sequence[Trade]

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Book:
        inside = sorted((source for source in sources if source.portfolio), key=_order)
        directory = directory_of(inside)
        lots: dict[str, list[Lot]] = defaultdict(list)
        trades: list[Trade] = []
        for source in inside:
            owned, traded = split(source, directory)
            trades += traded
            for lot in owned:
                lots[lot.key].append(lot)
        return cls(sources, inside, lots, trades)

    def unpriced(self) -> list[Unpriced]:
        """Shares that no live source prices, or gives a previous close for: another broker may be asked.

        Of a share with a price the listing is the one that bears it, so that the close is the same exchange's.
        """
        wanted = []
        for group in self.lots.values():
            ranked = _ranked(group)
            mark = _mark(ranked)
            has_price = mark.state is PriceState.HELD
            face = (_best(ranked) if has_price else None) or ranked[0]
            if face.isin is not None and not (has_price and mark.close is not None):
                wanted.append(Unpriced(isin=face.isin, exchange=face.exchange, symbol=face.symbol, has_price=has_price))
        return wanted


def consolidate(
    user_id: int, sources: Sequence[Source], *, now: datetime, borrowed: Mapping[str, BorrowedPrice] | None = None
) -> ConsolidatedPortfolio:
    """Merge what the sources hold. Those without a portfolio are reported and stay out of every sum."""
    return valued(user_id, Book.of(sources), now=now, borrowed=borrowed)


def valued(
    user_id: int, book: Book, *, now: datetime, borrowed: Mapping[str, BorrowedPrice] | None = None
) -> ConsolidatedPortfolio:
    """Value a book, each share at its one price. `borrowed` (ISIN → price) serves where no live source has one."""
    inside, lots = book.inside, book.lots
    ranked = {key: _ranked(group) for key, group in lots.items()}
    marks = {key: _mark(group, (borrowed or {}).get(key)) for key, group in ranked.items()}
    total_value = _known_sum(marks[key].value(_quantity(group)) for key, group in lots.items()) if inside else None
    positions = sorted(
        (_position(ranked[key][0], group, marks[key], total_value) for key, group in lots.items()),
        key=lambda position: (-(position.current_value or ZERO), position.symbol, position.isin or ""),
    )
    trades, contracts = marked(book.trades)
    trading_positions = tuple(line(trade) for trade in trades)
    coverage = _coverage(positions, book, marks, contracts)
    unrealized, base = _unrealized(lots, marks)
    day_change = _known_sum(position.day_change for position in positions) if inside else None
    day_base = _known_sum(
        None
        if position.day_change is None or position.current_value is None
        else position.current_value - position.day_change
        for position in positions
    )
    return ConsolidatedPortfolio(
        user_id=user_id,
        as_of=min((source.portfolio.as_of for source in inside if source.portfolio), default=None),
        last_updated=now,
        complete=_is_complete(coverage),
        currency="INR",
        total_value=total_value,
        total_cost=_known_sum(lot.cost for group in lots.values() for lot in group) if inside else None,
        unrealized_pnl=unrealized if inside else None,
        unrealized_pnl_percent=_percent(unrealized, base) if inside else None,
        day_change=day_change,
        day_change_percent=_percent(day_change, day_base),
        mtf_funded_amount=_funded(lots) if inside else None,
        coverage=coverage,
        positions=tuple(positions),
        trading_positions=trading_positions,
        derivatives=tuple(derivative(contract) for contract in contracts),
        trading=_trading_summary(trading_positions) if inside else NO_TRADING,
        broker_breakdown=tuple(_breakdown(source, lots, marks, total_value) for source in inside),
        asset_allocation=_allocation(positions, total_value),
        funds=_funds(inside, book.sources),
        sources=tuple(_report(source, now) for source in sorted(book.sources, key=_order)),
    )


# --- lots of one share into a position --------------------------------------------------------------------------------
def _ranked(lots: Sequence[Lot]) -> Sequence[Lot]:
    """Whose price counts first: a live answer before a stale one, NSE before BSE, the freshest, registry order."""
    return sorted(lots, key=_price_rank) if len(lots) > 1 else lots


def _mark(ranked: Sequence[Lot], borrowed: BorrowedPrice | None = None) -> Mark:
    """One price per share: a live source's, else another broker's, else the one in the last good answer.

    Who holds a share and has its price is the first of the ranked lots.
    """
    best = _best(ranked)
    live = best is not None and best.source.state is SourceState.LIVE
    if borrowed and borrowed.price is not None and not live:
        close = borrowed.close if borrowed.close is not None else _close(ranked, borrowed.exchange, borrowed.as_of)
        return Mark(borrowed.price, close, borrowed.broker_type, borrowed.as_of, PriceState.BORROWED)
    if best is None:
        return Mark(close=borrowed.close) if borrowed else Mark()
    as_of = _as_of(best.source)
    close = _close(ranked, best.exchange, as_of)
    if close is None and borrowed and borrowed.exchange is best.exchange and _same_day(borrowed.as_of, as_of):
        close = borrowed.close
    state = PriceState.HELD if live else PriceState.STALE
    return Mark(best.last_price, close, best.source.broker_type, as_of, state)


def _best(ranked: Sequence[Lot]) -> Lot | None:
    return next((lot for lot in ranked if lot.last_price is not None), None)


def _close(ranked: Sequence[Lot], exchange: Exchange, as_of: datetime) -> Decimal | None:
    """The previous close to hold against a price of this exchange and day: not another's, nor one of days ago."""
    return next(
        (
            lot.close_price
            for lot in ranked
            if lot.close_price is not None and lot.exchange is exchange and _same_day(_as_of(lot.source), as_of)
        ),
        None,
    )


def _same_day(one: datetime, other: datetime) -> bool:
    return one.astimezone(IST).date() == other.astimezone(IST).date()


def _price_rank(lot: Lot) -> tuple[bool, bool, float, int, str]:
    return (
        lot.source.state is not SourceState.LIVE,
        lot.exchange is not Exchange.NSE,
        -_as_of(lot.source).timestamp(),
        lot.source.rank,
        lot.source.connection_id,
    )


def _position(face: Lot, lots: Sequence[Lot], mark: Mark, total_value: Decimal | None) -> ConsolidatedPosition:
    """All lots of one share; `face` is the one whose names are shown."""
    quantity = _quantity(lots)
    own = [lot for lot in lots if lot.product is not Product.MTF]
    known = [lot for lot in lots if lot.average_price is not None]
    known_cost = _cost(known)
    all_known = len(known) == len(lots)
    value = mark.value(quantity)
    unrealized = value - known_cost if value is not None and all_known else None
    day_change = whole_sum(mark.day_change(lot) for lot in lots)
    return ConsolidatedPosition(
        key=face.key,
        isin=face.isin,
        symbol=face.symbol,
        exchange=face.exchange,
        company_name=next((lot.company_name for lot in lots if lot.company_name), None),
        asset_class=asset_class(face.isin),
        total_quantity=quantity,
        settled_quantity=sum((lot.settled for lot in own), ZERO),
        t1_quantity=sum((lot.t1 for lot in own), ZERO),
        pledged_quantity=sum((lot.pledged for lot in own), ZERO),
        today_quantity=sum((lot.today for lot in own), ZERO),
        mtf_quantity=quantity - _quantity(own),
        avg_price=known_cost / quantity if all_known and quantity else None,
        current_price=mark.price,
        close_price=mark.close,
        price_source=mark.source,
        price_state=mark.state,
        price_as_of=mark.as_of,
        total_cost=known_cost if all_known else None,
        known_cost=known_cost,
        known_quantity=_quantity(known),
        current_value=value,
        unrealized_pnl=unrealized,
        unrealized_pnl_percent=_percent(unrealized, known_cost),
        day_change=day_change,
        day_change_percent=_percent(day_change, None if value is None or day_change is None else value - day_change),
        weight_percent=_percent(value, total_value),
        stale=any(lot.source.state is SourceState.STALE for lot in lots),
        broker_positions=tuple(_broker_position(lot, mark) for lot in lots),
    )


def _broker_position(lot: Lot, mark: Mark) -> BrokerPosition:
    value, cost = mark.value(lot.quantity), lot.cost
    return BrokerPosition(
        connection_id=lot.source.connection_id,
        broker_id=lot.source.broker_type,
        broker_name=lot.source.broker_name,
        product=lot.product,
        quantity=lot.quantity,
        settled_quantity=lot.settled,
        t1_quantity=lot.t1,
        pledged_quantity=lot.pledged,
        today_quantity=lot.today,
        avg_price=lot.average_price,
        total_cost=cost,
        current_value=value,
        unrealized_pnl=None if value is None or cost is None else value - cost,
        day_change=mark.day_change(lot),
        funded_amount=lot.funded_amount,
        stale=lot.source.state is SourceState.STALE,
        sale_unsettled=lot.sale_unsettled,
    )


# The third letter of an Indian ISIN is the kind of issuer; for companies (E) digits 8 and 9 are the kind of security.
FUND_PREFIX = "INF"
COMPANY_PREFIX = "INE"
GOVERNMENT_PREFIXES = ("IN0", "IN1", "IN2", "IN3", "IN4")
COMPANY_SECURITIES = {"01": AssetClass.EQUITY, "07": AssetClass.DEBT, "08": AssetClass.DEBT}


def asset_class(isin: str | None) -> AssetClass:
    """What an ISIN says of itself; a listing without one is OTHER."""
    if isin is None:
        return AssetClass.OTHER
    if isin.startswith(FUND_PREFIX):
        return AssetClass.FUND
    if isin.startswith(GOVERNMENT_PREFIXES):
        return AssetClass.DEBT
    if isin.startswith(COMPANY_PREFIX):
        return COMPANY_SECURITIES.get(isin[7:9], AssetClass.OTHER)
    return AssetClass.OTHER


# --- sums -------------------------------------------------------------------------------------------------------------
def _breakdown(
    source: Source, lots: Mapping[str, Sequence[Lot]], marks: Mapping[str, Mark], total_value: Decimal | None
) -> BrokerBreakdown:
    own = [(lot, marks[key]) for key, group in lots.items() for lot in group if lot.source is source]
    value = _known_sum(mark.value(lot.quantity) for lot, mark in own)
    return BrokerBreakdown(
        connection_id=source.connection_id,
        broker_id=source.broker_type,
        broker_name=source.broker_name,
        display_name=source.display_name,
        positions=len({lot.key for lot, _ in own}),
        total_value=value,
        total_cost=_known_sum(lot.cost for lot, _ in own),
        unrealized_pnl=_known_sum(_gain(lot, mark) for lot, mark in own),
        day_change=_known_sum(mark.day_change(lot) for lot, mark in own),
        weight_percent=_percent(value, total_value),
        as_of=_as_of(source),
        stale=source.state is SourceState.STALE,
    )


def _unrealized(lots: Mapping[str, Sequence[Lot]], marks: Mapping[str, Mark]) -> tuple[Decimal | None, Decimal | None]:
    """Gain and cost over the lots whose cost and price are both known."""
    pairs = [(lot, marks[key]) for key, group in lots.items() for lot in group]
    covered = [(lot, mark) for lot, mark in pairs if lot.cost is not None and mark.price is not None]
    if pairs and not covered:
        return None, None
    return sum((_gain(lot, mark) or ZERO for lot, mark in covered), ZERO), _cost(lot for lot, _ in covered)


def _gain(lot: Lot, mark: Mark) -> Decimal | None:
    value, cost = mark.value(lot.quantity), lot.cost
    return None if value is None or cost is None else value - cost


def _coverage(
    positions: Sequence[ConsolidatedPosition],
    book: Book,
    marks: Mapping[str, Mark],
    contracts: Sequence[Sequence[Trade]],
) -> Coverage:
    lots, sources = book.lots, book.sources
    states = [source.state for source in sources]
    return Coverage(
        positions=len(positions),
        without_price=sum(position.current_price is None for position in positions),
        without_cost=sum(position.total_cost is None for position in positions),
        without_day_change=sum(position.day_change is None for position in positions),
        sales_unsettled=sum(lot.sale_unsettled for group in lots.values() for lot in group),
        unreadable_rows=sum(len(source.portfolio.problems) for source in sources if source.portfolio),
        unmatched_instruments=sum(position.isin is None for position in positions)
        + sum(not is_matched(contract) for contract in contracts),
        value_with_known_cost=_known_sum(
            marks[key].value(lot.quantity) for key, group in lots.items() for lot in group if lot.cost is not None
        ),
        sources=len(states),
        sources_live=states.count(SourceState.LIVE),
        sources_stale=states.count(SourceState.STALE),
        sources_missing=states.count(SourceState.MISSING),
    )


def _is_complete(coverage: Coverage) -> bool:
    return coverage.sources_live == coverage.sources and not (coverage.without_price or coverage.unreadable_rows)


def _funded(lots: Mapping[str, Sequence[Lot]]) -> Decimal | None:
    """The brokers' loans behind MTF shares: 0 where there are none, None where one is unknown."""
    return whole_sum(lot.funded_amount for group in lots.values() for lot in group if lot.product is Product.MTF)


def _trading_summary(trades: Sequence[TradingPosition]) -> TradingSummary:
    return TradingSummary(
        unrealized_pnl=whole_sum(trade.unrealized_pnl for trade in trades),
        realized_pnl=whole_sum(trade.realized_pnl for trade in trades),
        day_pnl=whole_sum(trade.day_pnl for trade in trades),
    )


def _allocation(positions: Sequence[ConsolidatedPosition], total_value: Decimal | None) -> tuple[AssetAllocation, ...]:
    values: dict[AssetClass, Decimal] = defaultdict(Decimal)
    for position in positions:
        if position.current_value is not None:
            values[position.asset_class] += position.current_value
    return tuple(
        AssetAllocation(asset_class=kind, current_value=value, weight_percent=_percent(value, total_value))
        for kind, value in sorted(values.items(), key=lambda item: (-item[1], item[0]))
    )


def _funds(inside: Sequence[Source], sources: Sequence[Source]) -> FundsTotal:
    lines = tuple(_broker_funds(source, source.portfolio.funds) for source in inside if source.portfolio)
    fresh = len(lines) == len(sources) and all(not line.stale and line.available is not None for line in lines)
    return FundsTotal(
        available=_known_sum(line.available for line in lines) if lines else None,
        used=_known_sum(line.used for line in lines) if lines else None,
        collateral=_known_sum(line.collateral for line in lines) if lines else None,
        cash=_known_sum(line.cash for line in lines) if lines else None,
        complete=fresh,
        brokers=lines,
    )


def _broker_funds(source: Source, funds: Funds | None) -> BrokerFunds:
    as_of = source.funds_as_of or (_as_of(source) if funds else None)
    return BrokerFunds(
        connection_id=source.connection_id,
        broker_id=source.broker_type,
        broker_name=source.broker_name,
        available=funds.available if funds else None,
        used=funds.used if funds else None,
        collateral=funds.collateral if funds else None,
        cash=funds.cash if funds else None,
        as_of=as_of,
        stale=source.state is SourceState.STALE or (as_of is not None and as_of < _as_of(source)),
    )


def _report(source: Source, now: datetime) -> SourceReport:
    as_of = source.portfolio.as_of if source.portfolio else None
    problems = source.portfolio.problems if source.portfolio else ()
    return SourceReport(
        connection_id=source.connection_id,
        broker_id=source.broker_type,
        broker_name=source.broker_name,
        display_name=source.display_name,
        state=source.state,
        in_totals=source.portfolio is not None,
        as_of=as_of,
        age_seconds=None if as_of is None else max(0, int((now - as_of).total_seconds())),
        error_code=source.error_code,
        error_message=source.error_message,
        user_action=source.user_action,
        unreadable_rows=len(problems),
        unreadable_fields=tuple(sorted({f"{problem.part}.{problem.field}" for problem in problems})),
    )


def _order(source: Source) -> tuple[int, str]:
    return (source.rank, source.connection_id)


def _as_of(source: Source) -> datetime:
    assert source.portfolio is not None  # noqa: S101 - only sources inside the totals are asked
    return source.portfolio.as_of


def _quantity(lots: Iterable[Lot]) -> Decimal:
    return sum((lot.quantity for lot in lots), ZERO)


def _cost(lots: Iterable[Lot]) -> Decimal:
    return sum((lot.cost or ZERO for lot in lots), ZERO)


def _known_sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known; None where there are values and none of them is known."""
    seen = list(values)
    known = [value for value in seen if value is not None]
    return sum(known, ZERO) if known or not seen else None


def _percent(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    return None if part is None or not whole else part / whole * HUNDRED
