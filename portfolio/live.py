"""Portfolios that move with every tick. Pure: no Django, no I/O, no clock.

`LiveBooks` holds the books of all watched users over one set of prices. A tick costs what the rows of its instrument
cost, whoever holds it; the sums follow by differences, exactly, and `reconcile` holds them against a full recompute.
Rows become answers only when they are asked for. Not for several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from portfolio.consolidate import Book, by_value, figures, standing, valued
from portfolio.deltas import Difference, LiveDelta, MovedPosition, PlacedDerivative, PlacedTrade, differences
from portfolio.domain import (
    BorrowedPrice,
    ConsolidatedPortfolio,
    InstrumentKey,
    LivePrice,
    LivePrices,
    Source,
)
from portfolio.live_rows import Cell, Row, ShareRow, TradeRow
from portfolio.marks import believed
from portfolio.sums import EXACT
from portfolio.totals import Fixed, Totals, Trading
from portfolio.trades import instrument_of

CellKey = str | InstrumentKey


class LiveBooks:
    """The books of many users, and the latest price of every instrument.

    `listings` says which share (ISIN) an instrument is, from the instrument master; what is not in it prices contracts
    and intraday rows alone.
    """

    def __init__(self, listings: Mapping[InstrumentKey, str]) -> None:
        self.books: dict[int, LiveBook] = {}
        self._listings = listings
        self._latest: dict[InstrumentKey, LivePrice] = {}
        # Of a share that is listed twice: the latest price of each listing.
        self._shares: dict[str, dict[InstrumentKey, LivePrice]] = {}
        self._cells: dict[CellKey, Cell] = {}

    def hold(
        self, user_id: int, sources: Sequence[Source], borrowed: Mapping[str, BorrowedPrice] | None = None
    ) -> LiveBook:
        """Watch a user's book, or give a watched one what the brokers tell now."""
        if user_id in self.books:
            self.books[user_id].replace_sources(sources, borrowed)
        else:
            self.books[user_id] = LiveBook(self, user_id, sources, borrowed)
        return self.books[user_id]

    def drop(self, user_id: int) -> None:
        """Nobody watches this user any more."""
        book = self.books.pop(user_id, None)
        if book is not None:
            self.forget(book.rows)

    def apply(self, instrument: InstrumentKey, price: LivePrice | None) -> set[int]:
        """Take in what a stream told; None withdraws it. Returns the users whose books changed."""
        if price is None or price.stale:
            price = None
            self._latest.pop(instrument, None)
        else:
            self._latest[instrument] = price
        users: set[int] = set()
        with localcontext(EXACT):
            own = self._cells.get(instrument)
            if own is not None:
                own.move(price, users)
            isin = self._listings.get(instrument)
            if isin is not None:
                self._move_share(isin, instrument, price, users)
        return users

    def _move_share(self, isin: str, instrument: InstrumentKey, price: LivePrice | None, users: set[int]) -> None:
        told = self._shares.setdefault(isin, {})
        if price is None:
            told.pop(instrument, None)
        else:
            told[instrument] = price
        cell = self._cells.get(isin)
        if cell is not None:
            cell.move(believed(told.values()), users)

    @property
    def wanted(self) -> Set[CellKey]:
        """What somebody holds, and a stream might tell of: shares by their key, all else by instrument."""
        return self._cells.keys()

    def cell(self, key: CellKey) -> Cell:
        """Where rows of this share or instrument stand."""
        if key not in self._cells:
            self._cells[key] = Cell(self._price(key))
        return self._cells[key]

    def prices_of(self, keys: Iterable[CellKey]) -> LivePrices:
        """What streams of these shares and instruments, chosen anew."""
        found = [(key, self._price(key)) for key in keys]
        return LivePrices(
            {key: price for key, price in found if price is not None and isinstance(key, str)},
            {key: price for key, price in found if price is not None and not isinstance(key, str)},
        )

    def _price(self, key: CellKey) -> LivePrice | None:
        return believed(self._shares.get(key, {}).values()) if isinstance(key, str) else self._latest.get(key)

    def forget(self, rows: Mapping[CellKey, Sequence[Row]]) -> None:
        """Take rows from their cells; a cell without rows is not kept."""
        for key, group in rows.items():
            cell = self._cells[key]
            cell.rows.difference_update(group)
            if not cell.rows:
                del self._cells[key]


@dataclass(slots=True)
class _State:
    """A book counted at one set of sources."""

    book: Book
    fixed: Fixed
    totals: Totals
    trading: Trading
    shares: dict[str, ShareRow]
    trades: list[TradeRow]


class LiveBook:
    """One user's book. It is made by `LiveBooks.hold`."""

    __slots__ = ("_books", "_borrowed", "_is_replaced", "_removed", "_state", "touched", "user_id")

    def __init__(
        self,
        books: LiveBooks,
        user_id: int,
        sources: Sequence[Source],
        borrowed: Mapping[str, BorrowedPrice] | None = None,
    ) -> None:
        self.user_id = user_id
        # Rows that changed since the last `changes()`, each once.
        self.touched: list[Row] = []
        self._books = books
        self._borrowed = dict(borrowed or {})
        self._removed: set[str] = set()
        self._is_replaced = False
        self._state = self._counted(sources)

    def replace_sources(self, sources: Sequence[Source], borrowed: Mapping[str, BorrowedPrice] | None = None) -> bool:
        """What the brokers tell now, in place of what they told before. False where it is the same."""
        if list(sources) == list(self.sources) and dict(borrowed or {}) == self._borrowed:
            return False
        before = self._state
        self._books.forget(self.rows)
        self._borrowed = dict(borrowed or {})
        self._state = self._counted(sources)
        self._is_replaced = True
        self.touched = []
        with localcontext(EXACT):
            for key, row in self._state.shares.items():
                old = before.shares.get(key)
                if old is None or old.touched or old.position(None) != row.position(None):
                    row.touch()
            self._removed = (self._removed | before.shares.keys()) - self._state.shares.keys()
            if any(row.touched for row in before.trades) or _rendered(before.trades) != _rendered(self._state.trades):
                for trade in self._state.trades:
                    trade.touch()
        return True

    def portfolio(self, now: datetime) -> ConsolidatedPortfolio:
        """The whole book. Changes that nobody has read yet are in it, and stay to be read."""
        with localcontext(EXACT):
            state, total_value = self._settled(), self._total_value
            positions = [row.position(total_value) for row in state.shares.values()]
            return ConsolidatedPortfolio(
                user_id=self.user_id,
                positions=tuple(sorted(positions, key=by_value)),
                trading_positions=tuple(line for row in state.trades for line in row.lines()),
                derivatives=tuple(row.derivative() for row in state.trades if row.is_contract),
                **figures(state.book, state.fixed, state.totals, state.trading, now),
                **standing(state.book, now),
            )

    def changes(self, now: datetime) -> LiveDelta:
        """What changed since this was last asked, or since the book is held."""
        with localcontext(EXACT):
            state, total_value = self._settled(), self._total_value
            shares = [row for row in self.touched if isinstance(row, ShareRow)]
            positions = [row.position(total_value) for row in shares if row.is_another]
            is_trading = len(shares) < len(self.touched)
            delta = LiveDelta(
                user_id=self.user_id,
                positions=tuple(sorted(positions, key=by_value)),
                moved=tuple(MovedPosition.of(row.position(None)) for row in shares if not row.is_another),
                removed=tuple(sorted(self._removed)),
                trading_positions=tuple(_changed_lines(state.trades)) if is_trading else (),
                trading_count=sum(len(row.group) for row in state.trades),
                derivatives=tuple(_changed_derivatives(state.trades)) if is_trading else (),
                derivative_count=sum(row.is_contract for row in state.trades),
                **figures(state.book, state.fixed, state.totals, state.trading, now),
                **(standing(state.book, now) if self._is_replaced else {"funds": None, "sources": None}),
            )
        for row in self.touched:
            row.touched = row.is_another = False
        self.touched.clear()
        self._removed = set()
        self._is_replaced = False
        return delta

    def reconcile(self, now: datetime) -> list[Difference]:
        """Where the running sums are not what a full recompute of the same inputs gives: nowhere, or we err."""
        book, prices = Book.of(self.sources), self._books.prices_of(self.rows)
        recomputed = valued(self.user_id, book, now=now, borrowed=self._borrowed, streamed=prices)
        return differences(self.portfolio(now), recomputed)

    @property
    def sources(self) -> Sequence[Source]:
        return self._state.book.sources

    @property
    def _total_value(self) -> Decimal | None:
        return self._state.totals.value.of_known if self._state.book.inside else None

    @property
    def rows(self) -> dict[CellKey, list[Row]]:
        """The rows that a stream could move, by what it would have to tell of."""
        found: dict[CellKey, list[Row]] = {key: [row] for key, row in self._state.shares.items()}
        for row in self._state.trades:
            instrument = instrument_of(row.group)
            if instrument is not None:
                found.setdefault(instrument, []).append(row)
        return found

    def _settled(self) -> _State:
        self._state.totals.settle()
        self._state.trading.settle()
        return self._state

    def _counted(self, sources: Sequence[Source]) -> _State:
        book = Book.of(sources)
        totals, trading, cell = Totals(book.inside), Trading(book.inside), self._books.cell
        groups = book.dealt(self._borrowed)
        with localcontext(EXACT):
            return _State(
                book=book,
                fixed=Fixed.of(book.inside, book.lots, groups),
                totals=totals,
                trading=trading,
                shares={
                    key: ShareRow(self, cell(key), totals, lots, self._borrowed.get(key))
                    for key, lots in book.lots.items()
                },
                trades=[
                    TradeRow(self, cell(instrument) if (instrument := instrument_of(group)) else None, trading, group)
                    for group in groups
                ],
            )


def _rendered(trades: Sequence[TradeRow]) -> list[object]:
    return [(row.lines(), row.derivative() if row.is_contract else None) for row in trades]


def _changed_lines(trades: Sequence[TradeRow]) -> Iterator[PlacedTrade]:
    place = 0
    for row in trades:
        if row.touched:
            yield from (PlacedTrade(place=place + number, row=line) for number, line in enumerate(row.lines()))
        place += len(row.group)


def _changed_derivatives(trades: Sequence[TradeRow]) -> Iterator[PlacedDerivative]:
    contracts = enumerate(row for row in trades if row.is_contract)
    return (PlacedDerivative(place=place, row=row.derivative()) for place, row in contracts if row.touched)
