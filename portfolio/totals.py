"""The sums of one book, kept running: what a price moves, and what none does. Pure.

A full recompute counts every share once; the live engine takes a share out and counts it again at its new price. Both
read the answer off the same sums. To be used within `EXACT` arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from brokers.domain import ZERO, Product
from portfolio.domain import AssetClass, Source, TradingPosition, TradingSummary
from portfolio.lots import Lot, Trade
from portfolio.marks import Mark
from portfolio.sums import Tally, known_sum, whole_sum
from portfolio.trades import day_base, is_contract, is_matched, paid_for_open


class Mover:
    """Tallies that always move together. What they moved by waits in one place until somebody reads them."""

    __slots__ = ("moved", "tallies")

    def __init__(self, tallies: Iterable[Tally]) -> None:
        self.moved = ZERO
        self.tallies = tuple(tallies)

    def settle(self) -> None:
        for tally in self.tallies:
            tally.amount += self.moved
        self.moved = ZERO


# How a price moves sums: every unit of the price is so much of each of these.
Movers = tuple[tuple[Decimal, Mover], ...]


class Gains:
    """Gains, and what those that are known are measured against: `base`, which no price moves."""

    __slots__ = ("base", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self.base = ZERO

    def count(self, gain: Decimal | None, base: Decimal, sign: int = 1) -> None:
        self.tally.count(gain, sign)
        if gain is not None:
            self.base += sign * base


class Part:
    """What one connection adds, lot by lot.

    `streamed` is the part of `day` that is today's whenever the account answered: what a stream prices, less what the
    account shows as bought on the day of its answer.
    """

    __slots__ = ("day", "gain", "streamed", "value")

    def __init__(self) -> None:
        self.value = Tally()
        self.gain = Tally()
        self.day = Gains()
        self.streamed = Gains()


class Totals:
    """Sums over all shares. `covered_cost` is of the lots whose gain is known, `day_base` the value before the day's
    change of the positions whose change is known, `owing` the value of lots whose loan is unknown, `paid_uncounted`
    what was paid today for lots that are in no worth. Settle them before they are read."""

    __slots__ = ("_movers", "covered_cost", "day", "day_base", "kinds", "owing", "paid_uncounted", "parts")

    def __init__(self, inside: Sequence[Source]) -> None:
        self.parts = {source.connection_id: Part() for source in inside}
        self.kinds: dict[AssetClass, Tally] = {kind: Tally() for kind in AssetClass}
        self.day = Tally()
        self.day_base = ZERO
        self.covered_cost = ZERO
        self.owing = Tally()
        self.paid_uncounted = ZERO
        # The same few tallies move together for many shares.
        self._movers: dict[tuple[object, ...], Mover] = {}

    def count(self, lots: Sequence[Lot], mark: Mark, sign: int = 1) -> None:
        """Put all lots of one share in at this price; with `sign` -1 take them out again."""
        day_changes = []
        for lot in lots:
            part, gain, day_change = self.parts[lot.source.connection_id], mark.gain(lot), mark.day_change(lot)
            worth = mark.value(lot.quantity)
            base = ZERO if worth is None or day_change is None else worth - day_change
            part.value.count(worth, sign)
            part.gain.count(gain, sign)
            part.day.count(day_change, base, sign)
            if mark.told is not None and not lot.today:
                part.streamed.count(day_change, base, sign)
            if lot.owes_unknown:
                self.owing.count(worth, sign)
            if worth is None or lot.owes_unknown:
                self.paid_uncounted += sign * lot.paid_today
            if gain is not None:
                self.covered_cost += sign * (lot.cost or ZERO)
            day_changes.append(day_change)
        value, day_change = mark.value(quantity_of(lots)), whole_sum(day_changes)
        self.kinds[asset_class(lots[0].isin)].count(value, sign)
        self.day.count(day_change, sign)
        if value is not None and day_change is not None:
            self.day_base += sign * (value - day_change)

    def movers(self, lots: Sequence[Lot], mark: Mark) -> Movers:
        """What a move of the (known) price alone does: what is known now stays known, and moves by its quantity."""
        has_days = [mark.day_change(lot) is not None for lot in lots]
        face = ("position", asset_class(lots[0].isin), all(has_days))
        names = [
            (lot.source.connection_id, lot.cost is not None, has_day, not lot.today, lot.owes_unknown)
            for lot, has_day in zip(lots, has_days, strict=True)
        ]
        if len(lots) == 1:
            return ((lots[0].quantity, self._mover(face, names[0])),)
        own = tuple((lot.quantity, self._mover(name)) for lot, name in zip(lots, names, strict=True))
        return ((quantity_of(lots), self._mover(face)), *own)

    def settle(self) -> None:
        for mover in self._movers.values():
            mover.settle()

    @property
    def value(self) -> Tally:
        return Tally.together(self.kinds.values())

    @property
    def lots_known(self) -> int:
        """How many lots have a price: `value` counts shares."""
        return sum(part.value.known for part in self.parts.values())

    @property
    def gain(self) -> Tally:
        return Tally.together(part.gain for part in self.parts.values())

    def _mover(self, *names: tuple[object, ...]) -> Mover:
        if names not in self._movers:
            self._movers[names] = Mover(tally for name in names for tally in self._tallies(name))
        return self._movers[names]

    def _tallies(self, name: tuple[object, ...]) -> list[Tally]:
        who, fact, has_day, *more = name
        if isinstance(fact, AssetClass):
            return [self.kinds[fact], *([self.day] if has_day else [])]
        is_carried, owes_unknown = more
        part = self.parts[str(who)]
        found = [(part.value, True), (part.gain, fact), (part.day.tally, has_day)]
        found += [(part.streamed.tally, has_day and is_carried), (self.owing, owes_unknown)]
        return [tally for tally, moves in found if moves]


class Trading:
    """Sums over the rows that are not shares owned; `parts` are the day's, by connection. Settle them before they are
    read."""

    __slots__ = ("_day_movers", "_open_mover", "parts", "realized", "unrealized")

    def __init__(self, inside: Sequence[Source]) -> None:
        self.unrealized = Gains()
        self.realized = Tally()
        self.parts = {source.connection_id: Gains() for source in inside}
        self._open_mover = Mover([self.unrealized.tally])
        self._day_movers = {connection: Mover([part.tally]) for connection, part in self.parts.items()}

    def count(self, trades: Iterable[Trade], lines: Iterable[TradingPosition], sign: int = 1) -> None:
        """`trades` are at their price, `lines` the same as they are shown."""
        for trade, line in zip(trades, lines, strict=True):
            self.unrealized.count(line.unrealized_pnl, paid_for_open(trade), sign)
            self.realized.count(line.realized_pnl, sign)
            self.parts[line.connection_id].count(line.day_pnl, day_base(trade), sign)

    def movers(self, lines: Iterable[TradingPosition]) -> Movers:
        """The same for rows at a known price. What is booked does not move with it."""
        return tuple(
            (line.quantity, mover)
            for line in lines
            for mover, figure in (
                (self._open_mover, line.unrealized_pnl),
                (self._day_movers[line.connection_id], line.day_pnl),
            )
            if figure is not None
        )

    def settle(self) -> None:
        for mover in (self._open_mover, *self._day_movers.values()):
            mover.settle()

    def summary(self) -> TradingSummary:
        return TradingSummary(
            unrealized_pnl=self.unrealized.tally.whole,
            realized_pnl=self.realized.whole,
            day_pnl=Tally.together(part.tally for part in self.parts.values()).whole,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is at the brokers beside shares: what they hold and lent, and what today's deals may do to it yet."""

    cash: Decimal | None
    cash_unknown: tuple[str, ...]
    lent: Decimal | None
    loans_unknown: int
    bought_today: Decimal
    sold_today: Decimal

    @classmethod
    def of(cls, inside: Sequence[Source], lots: Sequence[Lot]) -> Standing:
        cash = {source.connection_id: cash_of(source) for source in inside}
        deals = [
            position.day_buy_value - position.day_sell_value
            for source in inside
            if source.portfolio
            for position in source.portfolio.positions
            if position.is_delivery
        ]
        return cls(
            cash=known_sum(cash.values()),
            cash_unknown=tuple(connection for connection, amount in cash.items() if amount is None),
            lent=known_sum(lot.funded_amount for lot in lots if lot.is_borrowed),
            loans_unknown=sum(lot.owes_unknown for lot in lots),
            bought_today=sum((deal for deal in deals if deal > 0), ZERO),
            sold_today=sum((-deal for deal in deals if deal < 0), ZERO),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """What no price moves, counted once for each set of sources. `part_*` are by connection."""

    total_cost: Decimal | None
    mtf_funded_amount: Decimal | None
    standing: Standing
    positions: int
    without_cost: int
    lots_with_cost: int
    sales_unsettled: int
    unmatched: int
    part_positions: Mapping[str, int]
    part_costs: Mapping[str, Decimal | None]

    @classmethod
    def of(
        cls, inside: Sequence[Source], shares: Mapping[str, Sequence[Lot]], groups: Sequence[Sequence[Trade]]
    ) -> Fixed:
        lots = [lot for group in shares.values() for lot in group]
        keys: dict[str, set[str]] = {source.connection_id: set() for source in inside}
        costs: dict[str, list[Decimal | None]] = {source.connection_id: [] for source in inside}
        for lot in lots:
            keys[lot.source.connection_id].add(lot.key)
            costs[lot.source.connection_id].append(lot.cost)
        return cls(
            total_cost=known_sum(lot.cost for lot in lots),
            mtf_funded_amount=whole_sum(lot.funded_amount for lot in lots if lot.product is Product.MTF),
            standing=Standing.of(inside, lots),
            positions=len(shares),
            without_cost=sum(any(lot.cost is None for lot in group) for group in shares.values()),
            lots_with_cost=sum(lot.cost is not None for lot in lots),
            sales_unsettled=sum(lot.sale_unsettled for lot in lots),
            unmatched=sum(group[0].isin is None for group in shares.values())
            + sum(is_contract(group) and not is_matched(group) for group in groups),
            part_positions={connection: len(held) for connection, held in keys.items()},
            part_costs={connection: known_sum(values) for connection, values in costs.items()},
        )


def cash_of(source: Source) -> Decimal | None:
    funds = source.portfolio.funds if source.portfolio else None
    return funds.cash if funds else None


def quantity_of(lots: Iterable[Lot]) -> Decimal:
    return sum((lot.quantity for lot in lots), ZERO)


# The third letter of an Indian ISIN is the kind of issuer; for companies (E) digits 8 and 9 are the kind of security.
FUND_PREFIX = "INF"
COMPANY_PREFIX = "INE"
GOVERNMENT_PREFIXES = ("IN0", "IN1", "IN2", "IN3", "IN4")
COMPANY_SECURITIES = {"01": AssetClass.EQUITY, "07": AssetClass.DEBT, "08": AssetClass.DEBT}


@lru_cache(maxsize=65_536)
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
