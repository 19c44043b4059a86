"""The lines of risk out of the merged book's own lots and trades. Pure.

What is owned comes from `lots.split`, as in the merged book, and so is counted once: settled, T1, pledged and funded
shares, today's purchases in, today's sales out. Derivatives and intraday shares are lines of their own; a sale of a
holding is none (those shares have left), and nor is a row that is flat.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any

from brokers.domain import SEGMENT_OF, ZERO, Exchange, Product
from portfolio.consolidate import NOTHING_STREAMS, Book
from portfolio.domain import BorrowedPrice, LivePrices, PriceState, Source, SourceState, TradeKind
from portfolio.lots import Directory as Holdings
from portfolio.lots import Lot, Trade, directory_of
from portfolio.marks import Mark, mark_of, ranked, same_day
from portfolio.risk.directory import NOTHING_KNOWN, Described, Directory, described, share_class
from portfolio.risk.equity import unsettled
from portfolio.risk.underlyings import Underlyings
from portfolio.risk.words import Kind, Line, Purse, RiskBook
from portfolio.sums import EXACT, Tally
from portfolio.trades import at_mark, instrument_of, trade_mark
from portfolio.trades import line as shown

NOTHING_LENT: Mapping[str, BorrowedPrice] = {}


def risk_book(
    sources: Sequence[Source],
    *,
    now: datetime,
    streamed: LivePrices = NOTHING_STREAMS,
    borrowed: Mapping[str, BorrowedPrice] | None = None,
    directory: Directory = NOTHING_KNOWN,
    day_pnl: Decimal | None = None,
) -> RiskBook:
    """Everything that the sources hold, at the prices of the merged book.

    `borrowed` is by ISIN. `day_pnl` is what the caller knows of the whole book's day; without it the rows are added up,
    and a single unknown one, or a missing account, makes the sum unknown.
    """
    return risk_book_of(
        Book.of(sources), now=now, streamed=streamed, borrowed=borrowed, directory=directory, day_pnl=day_pnl
    )


def risk_book_of(
    book: Book,
    *,
    now: datetime,
    streamed: LivePrices = NOTHING_STREAMS,
    borrowed: Mapping[str, BorrowedPrice] | None = None,
    directory: Directory = NOTHING_KNOWN,
    day_pnl: Decimal | None = None,
) -> RiskBook:
    """The same for a book whose lots and trades are made already."""
    with localcontext(EXACT):
        return _Maker(book, now, streamed, borrowed or NOTHING_LENT, directory).made(day_pnl)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A trade at its price, with what it is: `what` of a derivative, `isin` of a share."""

    trade: Trade
    mark: Mark
    what: Described | None = None
    isin: str | None = None


@dataclass(slots=True)
class _Maker:
    book: Book
    now: datetime
    streamed: LivePrices
    borrowed: Mapping[str, BorrowedPrice]
    directory: Directory
    lines: list[Line] = field(default_factory=list)
    days: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    shares: dict[str, Decimal] = field(default_factory=dict)
    futures: dict[tuple[Exchange, str], dict[date, Decimal]] = field(default_factory=lambda: defaultdict(dict))
    aged: dict[tuple[Exchange, str], dict[date, Decimal]] = field(default_factory=lambda: defaultdict(dict))
    held: Holdings = field(init=False)
    fresh: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        inside = self.book.inside
        self.held = directory_of(inside)
        self.fresh = frozenset(each.connection_id for each in inside if same_day(each.answered_at, self.now))

    def made(self, day_pnl: Decimal | None) -> RiskBook:
        for group in self.book.lots.values():
            self._own(group)
        rows = [row for group in self.book.dealt(self.borrowed) for row in self._rows(group)]
        rows = self._at_one_price(rows)
        self._note_futures(rows)
        hung_on = Underlyings(self.shares, self.futures, self.streamed, self.borrowed, self.directory, self.aged)
        for row in rows:
            self.days[row.trade.source.connection_id].count(self._day_of(row))
            if row.trade.position.quantity and row.trade.kind in (TradeKind.INTRADAY, TradeKind.DERIVATIVE):
                self.lines.append(self._traded(row, hung_on))
        day = Tally.together(self.days.values())
        is_whole = len(self.book.inside) == len(self.book.sources)
        return RiskBook(
            now=self.now,
            lines=tuple(self.lines),
            purses=tuple(self._purses(rows)),
            day_pnl=day_pnl if day_pnl is not None else day.whole if is_whole else None,
            known_day_pnl=day_pnl if day_pnl is not None else day.of_known if self.book.inside else None,
            unreadable=sum(len(source.portfolio.problems) for source in self.book.sources if source.portfolio),
        )

    # --- shares owned -------------------------------------------------------------------------------------------------
    def _own(self, group: Sequence[Lot]) -> None:
        lots = ranked(group)
        key = lots[0].key
        mark = mark_of(lots, self.borrowed.get(key), self.streamed.shares.get(key))
        for lot in group:
            line = self._owned(lot, mark)
            self.lines.append(line)
            self.days[line.connection_id].count(line.day_pnl)
            if mark.price is not None:
                self.shares.setdefault(line.instrument, mark.price)

    def _owned(self, lot: Lot, mark: Mark) -> Line:
        known = self.directory.share(lot.isin, lot.exchange, lot.symbol)
        isin = lot.isin or (known.isin if known else None)
        instrument = isin or _alone(lot.source, lot.exchange, lot.symbol)
        is_funded = lot.product is Product.MTF
        return Line(
            **_whose(lot.source),
            kind=Kind.SPOT,
            instrument=instrument,
            issuer=instrument,
            factor=instrument,
            symbol=lot.symbol,
            name=lot.company_name or (known.name if known else None),
            exchange=lot.exchange,
            segment=SEGMENT_OF[lot.exchange],
            product=lot.product,
            risk_class=share_class(isin, known),
            units=lot.quantity,
            price=mark.price,
            close_price=mark.close,
            average_price=lot.average_price,
            as_of=_oldest(lot.source, mark),
            sector=self.directory.sector_of(isin),
            series=known.series if known else "",
            settled=ZERO if is_funded else lot.settled,
            t1=ZERO if is_funded else lot.t1,
            pledged=ZERO if is_funded else lot.pledged,
            funded=lot.quantity - lot.today if is_funded else ZERO,
            loan=lot.funded_amount if is_funded else ZERO,
            unrealised=mark.gain(lot),
            day_pnl=mark.day_change(lot) if self._is_of_today(lot, mark) else None,
            stale=_is_stale(lot.source, mark),
        )

    def _is_of_today(self, lot: Lot, mark: Mark) -> bool:
        """An answer of another day tells that day's change; only a stream's price makes it one of today."""
        if lot.source.connection_id in self.fresh:
            return True
        return mark.told is not None and not lot.today and same_day(mark.told.as_of, self.now)

    # --- what is traded -----------------------------------------------------------------------------------------------
    def _rows(self, group: Sequence[Trade]) -> list[_Row]:
        key = instrument_of(group)
        mark = trade_mark(group, self.streamed.instruments.get(key) if key else None)
        priced = [_at(trade, mark) for trade in group]
        if group[0].kind is not TradeKind.DERIVATIVE:
            return [_Row(trade=trade, mark=mark, isin=self._isin(trade)) for trade in priced]
        face = next((each for each in group if each.position.contract), group[0])
        unmatched = _alone(face.source, face.position.exchange, face.position.tradingsymbol)
        what = described(face.position, key[1] if key else None, unmatched, self.directory)
        return [_Row(trade=trade, mark=mark, what=what) for trade in priced]

    def _isin(self, trade: Trade) -> str | None:
        position = trade.position
        if position.isin:
            return position.isin
        held = self.held.get((position.exchange, position.tradingsymbol))
        known = self.directory.share(None, position.exchange, position.tradingsymbol)
        return (held.isin if held else None) or (known.isin if known else None)

    def _at_one_price(self, rows: Iterable[_Row]) -> list[_Row]:
        """Intraday shares at the price of the share itself, so that long here and short there cancel out."""
        ordered = list(rows)
        intraday = [row for row in ordered if row.trade.kind is TradeKind.INTRADAY]
        for row in sorted(intraday, key=_price_rank):
            if row.isin:
                told = self.streamed.shares.get(row.isin)
                price = row.mark.price if told is None or told.stale else told.price
                if price is not None:
                    self.shares.setdefault(row.isin, price)
        return [
            _Row(trade=_at(row.trade, mark), mark=mark, isin=row.isin)
            if row.trade.kind is TradeKind.INTRADAY and (mark := self._share_mark(row)) is not row.mark
            else row
            for row in ordered
        ]

    def _share_mark(self, row: _Row) -> Mark:
        price = self.shares.get(row.isin) if row.isin else None
        if price is None or price == row.mark.price:
            return row.mark
        return Mark(price=price, close=row.mark.close, as_of=row.mark.as_of, state=row.mark.state)

    def _note_futures(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            what = row.what
            if what is None or what.kind is not Kind.FUTURE or what.contract is None or row.mark.price is None:
                continue
            known = self.aged if _is_stale(row.trade.source, row.mark) else self.futures
            known[row.trade.position.exchange, what.underlying].setdefault(what.contract.expiry, row.mark.price)

    def _day_of(self, row: _Row) -> Decimal | None:
        trade = row.trade
        if trade.source.connection_id not in self.fresh:
            return None
        return shown(trade).day_pnl if trade.kind is TradeKind.SALE_OF_HOLDING else trade.position.day_pnl

    def _traded(self, row: _Row, hung_on: Underlyings) -> Line:
        trade, position = row.trade, row.trade.position
        facts = self._derivative(row, row.what, hung_on) if row.what else self._intraday(row)
        return Line(
            **_whose(trade.source),
            **facts,
            symbol=position.tradingsymbol,
            exchange=position.exchange,
            segment=position.segment,
            product=position.product,
            units=position.quantity,
            price=position.last_price,
            close_price=position.close_price,
            average_price=position.average_price,
            as_of=_oldest(trade.source, row.mark),
            is_intraday=trade.kind is TradeKind.INTRADAY or position.product is Product.MIS,
            loan=ZERO,
            unrealised=position.unrealised,
            day_pnl=self._day_of(row),
            stale=_is_stale(trade.source, row.mark),
        )

    def _intraday(self, row: _Row) -> dict[str, Any]:
        position = row.trade.position
        known = self.directory.share(row.isin, position.exchange, position.tradingsymbol)
        instrument = row.isin or _alone(row.trade.source, position.exchange, position.tradingsymbol)
        return {
            "kind": Kind.SPOT,
            "instrument": instrument,
            "issuer": instrument,
            "factor": instrument,
            "name": known.name if known else None,
            "risk_class": share_class(row.isin, known),
            "sector": self.directory.sector_of(row.isin),
            "series": known.series if known else "",
        }

    def _derivative(self, row: _Row, what: Described, hung_on: Underlyings) -> dict[str, Any]:
        hung = hung_on.hung(what, row.trade.position.exchange)
        contract, known = what.contract, what.known
        price, is_future = hung.price, hung.expiry is not None
        if price is None and what.kind is Kind.FUTURE:
            price, is_future = row.mark.price, row.mark.price is not None
        return {
            "kind": what.kind,
            "instrument": what.instrument,
            "issuer": what.issuer,
            "factor": what.issuer,
            "name": known.name if known else None,
            "risk_class": what.risk_class,
            "sector": self.directory.sector_of(what.issuer_isin),
            "underlying": what.underlying,
            "underlying_price": price,
            "underlying_is_future": is_future,
            "underlying_expiry": hung.expiry,
            "expiry": contract.expiry if contract else None,
            "strike": contract.strike if contract else None,
            "option_type": contract.option_type if contract else None,
            "lot_size": known.lot_size if known else None,
            "series": known.series if known else "",
        }

    # --- money --------------------------------------------------------------------------------------------------------
    def _purses(self, rows: Sequence[_Row]) -> Iterable[Purse]:
        dealt: dict[str, list[tuple[Trade, Kind]]] = defaultdict(list)
        for row in rows:
            dealt[row.trade.source.connection_id].append((row.trade, row.what.kind if row.what else Kind.SPOT))
        for source in sorted(self.book.sources, key=lambda source: (source.rank, source.connection_id)):
            funds = source.portfolio.funds if source.portfolio else None
            settling = None
            if source.portfolio is not None:
                settling = unsettled(source.portfolio.positions, dealt[source.connection_id])
            yield Purse(
                **_whose(source),
                display_name=source.display_name,
                state=source.state if source.portfolio is not None else SourceState.MISSING,
                as_of=source.answered_at if source.portfolio is not None else None,
                cash=funds.cash if funds else None,
                available=funds.available if funds else None,
                used=funds.used if funds else None,
                collateral=funds.collateral if funds else None,
                unsettled=settling,
                day_pnl=None if source.portfolio is None else self.days[source.connection_id].whole,
                known_day_pnl=None if source.portfolio is None else self.days[source.connection_id].of_known,
            )


def _at(trade: Trade, mark: Mark) -> Trade:
    """The trade at its group's price; itself where its broker told just that."""
    position = trade.position
    if position.last_price == mark.price and position.close_price == mark.close:
        return trade
    return at_mark([trade], mark)[0]


def _whose(source: Source) -> dict[str, Any]:
    return {
        "connection_id": source.connection_id,
        "broker_type": source.broker_type,
        "broker_name": source.broker_name,
    }


def _alone(source: Source, exchange: Exchange, symbol: str) -> str:
    return f"{source.connection_id}|{exchange}|{symbol}"


def _oldest(source: Source, mark: Mark) -> datetime:
    return source.answered_at if mark.as_of is None else min(source.answered_at, mark.as_of)


def _is_stale(source: Source, mark: Mark) -> bool:
    return source.state is SourceState.STALE or mark.state is PriceState.STALE


def _price_rank(row: _Row) -> tuple[bool, float, int, str]:
    """A streamed price first, then the freshest of a live answer, in the registry's order."""
    source = row.trade.source
    return (source.state is not SourceState.LIVE, -source.answered_at.timestamp(), source.rank, source.connection_id)
