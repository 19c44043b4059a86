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
from decimal import Decimal, localcontext
from typing import Any

from brokers.domain import ZERO, Funds, Product
from portfolio.domain import (
    AssetAllocation,
    BorrowedPrice,
    BrokerBreakdown,
    BrokerFunds,
    BrokerPosition,
    ConsolidatedPortfolio,
    ConsolidatedPosition,
    Coverage,
    FundsTotal,
    LivePrice,
    LivePrices,
    PriceState,
    Source,
    SourceReport,
    SourceState,
    TradingSummary,
    Unpriced,
)
from portfolio.lots import Lot, Trade, directory_of, split
from portfolio.marks import Mark, bearer, mark_of, ranked, with_close
from portfolio.sums import EXACT, known_sum, percent, quotient, whole_sum
from portfolio.totals import Fixed, Part, Totals, Trading, asset_class, quantity_of
from portfolio.trades import at_mark, derivative, grouped, instrument_of, is_contract, line, trade_mark
from portfolio.worth import NOTHING_TOLD, Day, all_told, day_of

# Of nobody anything is known: not a day without trades.
NO_TRADING = TradingSummary(unrealized_pnl=None, realized_pnl=None, day_pnl=None)
NOTHING_STREAMS = LivePrices()


@dataclass(frozen=True, slots=True)
class Book:
    """What all sources hold, not yet valued: lots by share, and trades."""

    sources: Sequence[Source]
    inside: Sequence[Source]
    lots: Mapping[str, Sequence[Lot]]
    trades: Sequence[Trade]

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Book:
        inside = sorted((source for source in sources if source.portfolio), key=in_order)
        directory = directory_of(inside)
        lots: dict[str, list[Lot]] = defaultdict(list)
        trades: list[Trade] = []
        for source in inside:
            owned, traded = split(source, directory)
            trades += traded
            for lot in owned:
                lots[lot.key].append(lot)
        return cls(sources, inside, lots, trades)

    def dealt(self, borrowed: Mapping[str, BorrowedPrice] | None = None) -> list[list[Trade]]:
        """The trades, together as they are shown; a sale beside its share's previous close, whoever tells that."""
        lent = borrowed or {}
        return grouped([with_close(each, self.lots.get(each.share, ()), lent.get(each.share)) for each in self.trades])

    def unpriced(self) -> list[Unpriced]:
        """Shares that no live source prices, or gives a previous close for: another broker may be asked.

        Of a share with a price the listing is the one that bears it, so that the close is the same exchange's.
        """
        wanted = []
        for group in self.lots.values():
            lots = ranked(group)
            mark = mark_of(lots)
            has_price = mark.state is PriceState.HELD
            face = (bearer(lots) if has_price else None) or lots[0]
            if face.isin is not None and not (has_price and mark.close is not None):
                wanted.append(Unpriced(isin=face.isin, exchange=face.exchange, symbol=face.symbol, has_price=has_price))
        # Of what was sold altogether nothing is left to be priced, but its last day is measured from the close.
        gone = [trade.owned for trade in self.trades if trade.owned is not None and trade.share not in self.lots]
        return wanted + [
            Unpriced(isin=owned.isin, exchange=owned.exchange, symbol=owned.tradingsymbol, has_price=True)
            for owned in gone
            if owned.isin is not None and owned.close_price is None
        ]


def consolidate(
    user_id: int,
    sources: Sequence[Source],
    *,
    now: datetime,
    borrowed: Mapping[str, BorrowedPrice] | None = None,
    streamed: LivePrices = NOTHING_STREAMS,
) -> ConsolidatedPortfolio:
    """Merge what the sources hold. Those without a portfolio are reported and stay out of every sum."""
    return valued(user_id, Book.of(sources), now=now, borrowed=borrowed, streamed=streamed)


def valued(
    user_id: int,
    book: Book,
    *,
    now: datetime,
    borrowed: Mapping[str, BorrowedPrice] | None = None,
    streamed: LivePrices = NOTHING_STREAMS,
) -> ConsolidatedPortfolio:
    """Value a book, each share at its one price. `borrowed` (ISIN → price) serves where no live source has one."""
    with localcontext(EXACT):
        shares = [(ranked(group), group) for group in book.lots.values()]
        marks = [
            mark_of(lots, (borrowed or {}).get(lots[0].key), streamed.shares.get(lots[0].key)) for lots, _ in shares
        ]
        totals, trading = Totals(book.inside), Trading(book.inside)
        for (_, group), mark in zip(shares, marks, strict=True):
            totals.count(group, mark)
        total_value = totals.value.of_known if book.inside else None
        positions = [
            position_of(lots[0], group, mark, total_value) for (lots, group), mark in zip(shares, marks, strict=True)
        ]
        groups = book.dealt(borrowed)
        priced = [at_mark(group, trade_mark(group, told(group, streamed))) for group in groups]
        trades = [trade for group in priced for trade in group]
        lines = tuple(line(trade) for trade in trades)
        trading.count(trades, lines)
        return ConsolidatedPortfolio(
            user_id=user_id,
            positions=tuple(sorted(positions, key=by_value)),
            trading_positions=lines,
            derivatives=tuple(derivative(group) for group in priced if is_contract(group)),
            **figures(book, Fixed.of(book.inside, book.lots, groups), totals, trading, now),
            **standing(book, now),
        )


def told(group: Sequence[Trade], streamed: LivePrices) -> LivePrice | None:
    instrument = instrument_of(group)
    return None if instrument is None else streamed.instruments.get(instrument)


def figures(book: Book, fixed: Fixed, totals: Totals, trading: Trading, now: datetime) -> dict[str, Any]:
    """The fields of a portfolio that are read off the sums."""
    inside = book.inside
    value, gain = totals.value, totals.gain
    total_value = value.of_known if inside else None
    # Gain and cost over the lots whose cost and price are both known.
    unrealized = gain.of_known if inside else None
    day_change = totals.day.of_known if inside else None
    coverage = _coverage(book, fixed, totals)
    days = {each.connection_id: day_of(each, totals, trading, now) for each in inside}
    is_whole = len(inside) == len(book.sources) and not coverage.unreadable_rows
    return {
        "as_of": min((source.answered_at for source in inside), default=None),
        "last_updated": now,
        "complete": _is_complete(coverage),
        "currency": "INR",
        "total_value": total_value,
        "total_cost": fixed.total_cost if inside else None,
        "unrealized_pnl": unrealized,
        "unrealized_pnl_percent": percent(unrealized, totals.covered_cost),
        "day_change": day_change,
        "day_change_percent": percent(day_change, totals.day_base),
        "mtf_funded_amount": fixed.mtf_funded_amount if inside else None,
        **(all_told(fixed.standing, totals, trading, days.values(), is_whole=is_whole) if inside else NOTHING_TOLD),
        "coverage": coverage,
        "trading": trading.summary() if inside else NO_TRADING,
        "broker_breakdown": tuple(
            _breakdown(source, fixed, totals.parts[source.connection_id], days[source.connection_id], total_value)
            for source in inside
        ),
        "asset_allocation": _allocation(totals, total_value),
    }


def standing(book: Book, now: datetime) -> dict[str, Any]:
    """The fields that stay as they are until a broker answers anew."""
    return {
        "funds": _funds(book.inside, book.sources),
        "sources": tuple(_report(source, now) for source in sorted(book.sources, key=in_order)),
    }


# --- lots of one share into a position --------------------------------------------------------------------------------
def position_of(face: Lot, lots: Sequence[Lot], mark: Mark, total_value: Decimal | None) -> ConsolidatedPosition:
    """All lots of one share; `face` is the one whose names are shown."""
    quantity = quantity_of(lots)
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
        mtf_quantity=quantity - quantity_of(own),
        avg_price=quotient(known_cost, quantity) if all_known and quantity else None,
        current_price=mark.price,
        close_price=mark.close,
        price_source=mark.source,
        price_state=mark.state,
        price_as_of=mark.as_of,
        total_cost=known_cost if all_known else None,
        known_cost=known_cost,
        known_quantity=quantity_of(known),
        current_value=value,
        unrealized_pnl=unrealized,
        unrealized_pnl_percent=percent(unrealized, known_cost),
        day_change=day_change,
        day_change_percent=percent(day_change, None if value is None or day_change is None else value - day_change),
        weight_percent=percent(value, total_value),
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
        unrealized_pnl=mark.gain(lot),
        day_change=mark.day_change(lot),
        funded_amount=lot.funded_amount,
        stale=lot.source.state is SourceState.STALE,
        sale_unsettled=lot.sale_unsettled,
    )


# --- sums -------------------------------------------------------------------------------------------------------------
def _breakdown(source: Source, fixed: Fixed, part: Part, day: Day, total_value: Decimal | None) -> BrokerBreakdown:
    value = part.value.of_known
    return BrokerBreakdown(
        connection_id=source.connection_id,
        broker_id=source.broker_type,
        broker_name=source.broker_name,
        display_name=source.display_name,
        positions=fixed.part_positions[source.connection_id],
        total_value=value,
        total_cost=fixed.part_costs[source.connection_id],
        unrealized_pnl=part.gain.of_known,
        day_change=part.day.tally.of_known,
        day_pnl=day.amount,
        weight_percent=percent(value, total_value),
        as_of=source.answered_at,
        stale=source.state is SourceState.STALE,
    )


def _coverage(book: Book, fixed: Fixed, totals: Totals) -> Coverage:
    states = [source.state for source in book.sources]
    has_covered = totals.gain.known or not fixed.lots_with_cost
    return Coverage(
        positions=fixed.positions,
        without_price=totals.value.unknown,
        without_cost=fixed.without_cost,
        without_day_change=totals.day.unknown,
        sales_unsettled=fixed.sales_unsettled,
        unreadable_rows=sum(len(source.portfolio.problems) for source in book.sources if source.portfolio),
        unmatched_instruments=fixed.unmatched,
        value_with_known_cost=totals.gain.amount + totals.covered_cost if has_covered else None,
        sources=len(states),
        sources_live=states.count(SourceState.LIVE),
        sources_stale=states.count(SourceState.STALE),
        sources_missing=states.count(SourceState.MISSING),
    )


def _is_complete(coverage: Coverage) -> bool:
    return coverage.sources_live == coverage.sources and not (coverage.without_price or coverage.unreadable_rows)


def _allocation(totals: Totals, total_value: Decimal | None) -> tuple[AssetAllocation, ...]:
    values = {kind: tally.amount for kind, tally in totals.kinds.items() if tally.known}
    return tuple(
        AssetAllocation(asset_class=kind, current_value=value, weight_percent=percent(value, total_value))
        for kind, value in sorted(values.items(), key=lambda item: (-item[1], item[0]))
    )


def _funds(inside: Sequence[Source], sources: Sequence[Source]) -> FundsTotal:
    lines = tuple(_broker_funds(source, source.portfolio.funds) for source in inside if source.portfolio)
    fresh = len(lines) == len(sources) and all(not line.stale and line.available is not None for line in lines)
    return FundsTotal(
        available=known_sum(line.available for line in lines) if lines else None,
        used=known_sum(line.used for line in lines) if lines else None,
        collateral=known_sum(line.collateral for line in lines) if lines else None,
        cash=known_sum(line.cash for line in lines) if lines else None,
        complete=fresh,
        brokers=lines,
    )


def _broker_funds(source: Source, funds: Funds | None) -> BrokerFunds:
    as_of = source.funds_as_of or (source.answered_at if funds else None)
    return BrokerFunds(
        connection_id=source.connection_id,
        broker_id=source.broker_type,
        broker_name=source.broker_name,
        available=funds.available if funds else None,
        used=funds.used if funds else None,
        collateral=funds.collateral if funds else None,
        cash=funds.cash if funds else None,
        as_of=as_of,
        stale=source.state is SourceState.STALE or (as_of is not None and as_of < source.answered_at),
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
        age_seconds=age_seconds(as_of, now),
        error_code=source.error_code,
        error_message=source.error_message,
        user_action=source.user_action,
        unreadable_rows=len(problems),
        unreadable_fields=tuple(sorted({f"{problem.part}.{problem.field}" for problem in problems})),
    )


def age_seconds(as_of: datetime | None, now: datetime) -> int | None:
    return None if as_of is None else max(0, int((now - as_of).total_seconds()))


def in_order(source: Source) -> tuple[int, str]:
    return (source.rank, source.connection_id)


def by_value(position: ConsolidatedPosition) -> tuple[Decimal, str, str, str]:
    """The order of positions: the most valuable first."""
    return (-(position.current_value or ZERO), position.symbol, position.isin or "", position.key)


def _cost(lots: Iterable[Lot]) -> Decimal:
    return sum((lot.cost or ZERO for lot in lots), ZERO)
