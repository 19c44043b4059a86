"""What a tick touches: one cell per instrument or share, and under it the rows of everybody who holds it. Pure.

A tick that moves the price alone is the rule: then each row notes quantity × move for the few sums that know it, and
nothing is built. Everything else (a first price, a withdrawn one, another close) takes the row out of its user's sums
and counts it again. Nothing is rendered here before somebody asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from portfolio.consolidate import position_of
from portfolio.domain import (
    BorrowedPrice,
    ConsolidatedDerivative,
    ConsolidatedPosition,
    LivePrice,
    TradingPosition,
)
from portfolio.lots import Lot, Trade
from portfolio.marks import Mark, close_beside, mark_of, ranked, same_close
from portfolio.totals import Movers, Totals, Trading
from portfolio.trades import at_mark, derivative, is_contract, line, streamed_close, trade_mark


class Owner(Protocol):
    """Whose row it is, and the list in which a row that changed is noted once."""

    @property
    def user_id(self) -> int: ...

    @property
    def touched(self) -> list[Row]: ...


class Cell:
    """One price that rows stand at: a share's, or that of one instrument. None: nothing trustworthy streams."""

    __slots__ = ("_marks", "price", "rows")

    def __init__(self, price: LivePrice | None) -> None:
        self.price = price
        self.rows: set[Row] = set()
        self._marks: dict[Decimal | None, Mark] = {}

    def mark(self, close: Decimal | None) -> Mark:
        """The streamed price beside this close: one object for all rows that agree."""
        assert self.price is not None  # noqa: S101 - for the type checker
        if close not in self._marks:
            self._marks[close] = Mark.streamed(self.price, close)
        return self._marks[close]

    def move(self, price: LivePrice | None, users: set[int]) -> None:
        """Bring all rows to this price and add the users whose rows changed. Within `EXACT` arithmetic."""
        if price == self.price:
            return
        self.price = price
        self._marks = {}
        steps: dict[int, tuple[Mark, Mark | None, Decimal]] = {}
        for row in self.rows:
            old = row.mark
            step = steps.get(id(old))
            if step is None:
                step = steps[id(old)] = self._step(old)
            _, mark, moved = step
            if mark is not None:
                row.mark = mark
                for quantity, mover in row.movers:
                    mover.moved += quantity * moved
            else:
                row.remark()
            owner = row.owner
            if not row.touched:
                row.touched = True
                owner.touched.append(row)
            users.add(owner.user_id)

    def _step(self, old: Mark) -> tuple[Mark, Mark | None, Decimal]:
        """The old mark (kept, so that its id stays its own), the new one if the price alone moves, and by how much."""
        if old.told is None or self.price is None or not same_close(old.told, self.price):
            return old, None, Decimal(0)
        return old, self.mark(old.close), self.price.price - old.told.price


class Row(ABC):
    """A line of one user's book that has one price. `cell` is None where no stream could tell it.

    Once it is `touched` it waits to be told; as a whole where it `is_another`, of which not the price alone moved.
    """

    __slots__ = ("cell", "is_another", "mark", "movers", "owner", "touched")

    mark: Mark
    movers: Movers

    def __init__(self, owner: Owner, cell: Cell | None) -> None:
        self.owner = owner
        self.cell = cell
        self.touched = self.is_another = False
        if cell is not None:
            cell.rows.add(self)

    @abstractmethod
    def remark(self) -> None:
        """Choose the price anew, take the row out of the sums, and count it again."""

    def touch(self) -> None:
        """The brokers tell something else of it."""
        self.is_another = True
        if not self.touched:
            self.touched = True
            self.owner.touched.append(self)


class ShareRow(Row):
    """One share, all its lots. `lots` are in the order of the sources."""

    __slots__ = ("borrowed", "lots", "ranked", "totals")

    def __init__(
        self, owner: Owner, cell: Cell, totals: Totals, lots: Sequence[Lot], borrowed: BorrowedPrice | None
    ) -> None:
        super().__init__(owner, cell)
        self.totals = totals
        self.lots = lots
        self.ranked = ranked(lots)
        self.borrowed = borrowed
        self._count()

    @property
    def key(self) -> str:
        return self.lots[0].key

    def remark(self) -> None:
        self.totals.count(self.lots, self.mark, -1)
        self._count()

    def position(self, total_value: Decimal | None) -> ConsolidatedPosition:
        return position_of(self.ranked[0], self.lots, self.mark, total_value)

    def _chosen(self) -> Mark:
        if self.cell is None or self.cell.price is None:
            return mark_of(self.ranked, self.borrowed)
        return self.cell.mark(close_beside(self.cell.price, self.ranked, self.borrowed))

    def _count(self) -> None:
        self.mark = self._chosen()
        self.totals.count(self.lots, self.mark)
        self.movers = self.totals.movers(self.lots, self.mark) if self.mark.told else ()


class TradeRow(Row):
    """One contract over all brokers, or one line that stays alone. `group` is as the brokers told it."""

    __slots__ = ("group", "trading")

    def __init__(self, owner: Owner, cell: Cell | None, trading: Trading, group: Sequence[Trade]) -> None:
        super().__init__(owner, cell)
        self.trading = trading
        self.group = group
        self._count()

    @property
    def is_contract(self) -> bool:
        return is_contract(self.group)

    def remark(self) -> None:
        trades = at_mark(self.group, self.mark)
        self.trading.count(trades, [line(trade) for trade in trades], -1)
        self._count()

    def lines(self) -> list[TradingPosition]:
        return [line(trade) for trade in at_mark(self.group, self.mark)]

    def derivative(self) -> ConsolidatedDerivative:
        return derivative(at_mark(self.group, self.mark))

    def _chosen(self) -> Mark:
        if self.cell is None or self.cell.price is None:
            return trade_mark(self.group)
        return self.cell.mark(streamed_close(self.group, self.cell.price))

    def _count(self) -> None:
        self.mark = self._chosen()
        trades = at_mark(self.group, self.mark)
        lines = [line(trade) for trade in trades]
        self.trading.count(trades, lines)
        self.movers = self.trading.movers(lines) if self.mark.told else ()
