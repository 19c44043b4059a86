"""What changed in a portfolio since somebody last looked, and how the looker brings their copy up to date. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from decimal import localcontext
from typing import Any, TypeVar

from portfolio.consolidate import age_seconds, by_value
from portfolio.domain import (
    AssetAllocation,
    BrokerBreakdown,
    ConsolidatedDerivative,
    ConsolidatedPortfolio,
    ConsolidatedPosition,
    Coverage,
    FundsTotal,
    PnlParts,
    PriceState,
    SourceReport,
    TradingPosition,
    TradingSummary,
    WorthParts,
)
from portfolio.presentation import Money, Percent, Price
from portfolio.sums import EXACT, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedPart:
    """What follows from the price in one of the `broker_positions`."""

    current_value: Money | None
    unrealized_pnl: Money | None
    day_change: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedPosition:
    """A share of which the price moved, and nothing else: all that follows from it. `parts` are in the order of its
    `broker_positions`. Every field is told each time, so that it fits onto whichever state of the row somebody has.
    """

    key: str
    current_price: Price | None
    close_price: Price | None
    price_source: str | None
    price_state: PriceState | None
    price_as_of: datetime | None
    current_value: Money | None
    unrealized_pnl: Money | None
    unrealized_pnl_percent: Percent | None
    day_change: Money | None
    day_change_percent: Percent | None
    parts: tuple[MovedPart, ...]

    @classmethod
    def of(cls, position: ConsolidatedPosition) -> MovedPosition:
        parts = tuple(
            MovedPart(**{name: getattr(part, name) for name in MOVED_IN_PARTS}) for part in position.broker_positions
        )
        return cls(**{name: getattr(position, name) for name in MOVED}, parts=parts)

    def onto(self, row: ConsolidatedPosition) -> ConsolidatedPosition:
        parts = [
            replace(part, **{name: getattr(moved, name) for name in MOVED_IN_PARTS})
            for part, moved in zip(row.broker_positions, self.parts, strict=True)
        ]
        return replace(row, **{name: getattr(self, name) for name in MOVED}, broker_positions=tuple(parts))


MOVED_IN_PARTS = [field.name for field in fields(MovedPart)]
MOVED = [field.name for field in fields(MovedPosition) if field.name != "parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTrade:
    """A row of `trading_positions`, and where it stands there, from 0."""

    place: int
    row: TradingPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedDerivative:
    """A row of `derivatives`, and where it stands there, from 0."""

    place: int
    row: ConsolidatedDerivative


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDelta:
    """A difference between two portfolios: rows, and every field that is a sum.

    `positions` are whole rows that replace or join those of the same `key`; `moved` are of others, of which the price
    alone moved, as ticks are the rule and rows are long; `removed` are keys that are gone. Trading rows and derivatives
    have no key: they are placed, and the lists end after `trading_count` and `derivative_count`. `funds` and `sources`
    are None where they are as before; the sources' ages follow from `last_updated`.
    """

    user_id: int
    as_of: datetime | None
    last_updated: datetime
    complete: bool
    currency: str
    total_value: Money | None
    total_cost: Money | None
    unrealized_pnl: Money | None
    unrealized_pnl_percent: Percent | None
    day_change: Money | None
    day_change_percent: Percent | None
    mtf_funded_amount: Money | None
    net_worth: Money | None
    net_worth_parts: WorthParts
    day_pnl: Money | None
    day_pnl_percent: Percent | None
    day_pnl_parts: PnlParts
    open_pnl: Money | None
    open_pnl_percent: Percent | None
    open_pnl_parts: PnlParts
    coverage: Coverage
    positions: tuple[ConsolidatedPosition, ...]
    moved: tuple[MovedPosition, ...]
    removed: tuple[str, ...]
    trading_positions: tuple[PlacedTrade, ...]
    trading_count: int
    derivatives: tuple[PlacedDerivative, ...]
    derivative_count: int
    trading: TradingSummary
    broker_breakdown: tuple[BrokerBreakdown, ...]
    asset_allocation: tuple[AssetAllocation, ...]
    funds: FundsTotal | None
    sources: tuple[SourceReport, ...] | None

    @property
    def is_empty(self) -> bool:
        """Nobody touched the book: there is nothing to send."""
        rows = self.positions or self.moved or self.removed or self.trading_positions or self.derivatives
        return not rows and self.funds is None and self.sources is None


ROWS = {"positions", "trading_positions", "derivatives", "funds", "sources"}
SUMS = [field.name for field in fields(ConsolidatedPortfolio) if field.name not in ROWS]


def apply_delta(snapshot: ConsolidatedPortfolio, delta: LiveDelta) -> ConsolidatedPortfolio:
    """What a client does with a delta. Weights are not sent anew for every row: they follow from value and total."""
    rows = {position.key: position for position in snapshot.positions if position.key not in delta.removed}
    rows.update({position.key: position for position in delta.positions})
    rows.update({moved.key: moved.onto(rows[moved.key]) for moved in delta.moved})
    sources = snapshot.sources if delta.sources is None else delta.sources
    with localcontext(EXACT):
        weighed = [replace(row, weight_percent=percent(row.current_value, delta.total_value)) for row in rows.values()]
        return replace(
            snapshot,
            **{name: getattr(delta, name) for name in SUMS},
            positions=tuple(sorted(weighed, key=by_value)),
            trading_positions=_placed(
                snapshot.trading_positions,
                [(each.place, each.row) for each in delta.trading_positions],
                delta.trading_count,
            ),
            derivatives=_placed(
                snapshot.derivatives, [(each.place, each.row) for each in delta.derivatives], delta.derivative_count
            ),
            funds=snapshot.funds if delta.funds is None else delta.funds,
            sources=tuple(replace(each, age_seconds=age_seconds(each.as_of, delta.last_updated)) for each in sources),
        )


T = TypeVar("T")


def _placed(rows: Sequence[T], changed: Iterable[tuple[int, T]], count: int) -> tuple[T, ...]:
    """The rows with the changed ones in their places, cut off or grown to `count`."""
    found = dict(enumerate(rows)) | dict(changed)
    return tuple(found[place] for place in range(count))


# --- two portfolios that should be one --------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field (such as `positions[INE009A01021].current_value`) in which the live book is not what it should be."""

    field: str
    live: Any
    recomputed: Any


def differences(live: Any, recomputed: Any, field: str = "") -> list[Difference]:
    """Where two answers of the same shape differ, down to single fields."""
    if live == recomputed:
        return []
    if is_dataclass(live) and type(live) is type(recomputed):
        pairs = [
            (getattr(live, each.name), getattr(recomputed, each.name), f"{field}.{each.name}".lstrip("."))
            for each in fields(live)
        ]
        return [found for one, other, name in pairs for found in differences(one, other, name)]
    if isinstance(live, tuple) and isinstance(recomputed, tuple) and _names(live) == _names(recomputed):
        trios = zip(live, recomputed, _names(live), strict=True)
        return [found for one, other, name in trios for found in differences(one, other, f"{field}[{name}]")]
    return [Difference(field=field, live=live, recomputed=recomputed)]


def _names(rows: tuple[Any, ...]) -> list[Any]:
    return [getattr(row, "key", place) for place, row in enumerate(rows)]
