"""What a book is stressed with: the shipped set, days of the past, and scenarios of somebody's own.

A scenario says how far each driver moves; everything that it does not name stays. Ratios throughout: -0.1 is 10% down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import product
from typing import Any

from portfolio.risk.remembered import INDEX_CLOSES, VOLATILITY_CLOSES, Closes

ZERO = Decimal(0)


class Basis(StrEnum):
    """Where the moves come from."""

    SET = "SET"  # shipped: assumptions, not forecasts
    OWN = "OWN"  # somebody's own
    DATA = "DATA"  # what prices did then
    REFERENCE = "REFERENCE"  # published closes, written down in `remembered`: there are no prices of that day here


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`index` moves shares by their beta, `rupee` is how much a dollar gains in rupees, `crude` oil in dollars.

    `volatility` is relative (0.6: 60% more), `rate` absolute (0.01: one percentage point), `days` calendar days that
    pass. `issuers` are moved by their own ratio, whatever the index does. `each_company`: every company by itself moves
    by so much, and the worst one is the result.
    """

    code: str
    title: str
    basis: Basis = Basis.SET
    index: Decimal = ZERO
    volatility: Decimal = ZERO
    rate: Decimal = ZERO
    rupee: Decimal = ZERO
    crude: Decimal = ZERO
    days: int = 0
    each_company: Decimal | None = None
    issuers: Mapping[str, Decimal] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The scenario as JSON values; `own_scenarios.read` reads them back."""
        return {
            **{item.name: _written(getattr(self, item.name)) for item in fields(self)},
            "issuers": {issuer: str(move) for issuer, move in self.issuers.items()},
        }


# --- the shipped set --------------------------------------------------------------------------------------------------
INDEX_MOVES = (Decimal("-0.20"), Decimal("-0.10"), Decimal("-0.05"), Decimal("0.05"), Decimal("0.10"))
VOLATILITY_MOVES = (Decimal("0.60"), Decimal("0.30"), ZERO, Decimal("-0.20"))


def _percent(move: Decimal) -> str:
    return f"{100 * move:+.0f}%"


def _word(move: Decimal) -> str:
    """A signed ratio as part of a code: m20 is 20% down, p5 5% up."""
    return f"{'m' if move < 0 else 'p'}{abs(100 * move):.0f}"


def _grid() -> Iterator[Scenario]:
    for index, volatility in product(INDEX_MOVES, VOLATILITY_MOVES):
        yield Scenario(
            code=f"index_{_word(index)}_vol_{_word(volatility)}",
            title=f"Index {_percent(index)}, volatility {_percent(volatility)}",
            index=index,
            volatility=volatility,
        )


GRID = tuple(_grid())
SHIPPED: tuple[Scenario, ...] = (
    *GRID,
    Scenario(code="single_name_m20", title="The worst single company -20%", each_company=Decimal("-0.20")),
    Scenario(code="rates_p100bp", title="Rates +100 basis points", rate=Decimal("0.01")),
    Scenario(code="rupee_weaker_p5", title="Rupee 5% weaker", rupee=Decimal("0.05")),
    Scenario(code="rupee_stronger_m5", title="Rupee 5% stronger", rupee=Decimal("-0.05")),
    Scenario(code="crude_m15", title="Crude oil -15%", crude=Decimal("-0.15")),
    Scenario(code="crude_p15", title="Crude oil +15%", crude=Decimal("0.15")),
)


# --- days of the past -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Episode:
    """Days that are remembered: `first` to `last`, both trading."""

    code: str
    title: str
    first: date
    last: date


def _one_day(code: str, title: str, day: date) -> Episode:
    return Episode(code, title, day, day)


LONGEST_BREAK = 6  # days without trading
EPISODES = (
    _one_day("october_2008", "24 October 2008", date(2008, 10, 24)),
    _one_day("covid_2020", "23 March 2020", date(2020, 3, 23)),
    _one_day("invasion_2022", "24 February 2022", date(2022, 2, 24)),
    _one_day("election_2024", "4 June 2024", date(2024, 6, 4)),
)


@dataclass(frozen=True, slots=True)
class NotTold:
    """An episode that there are no prices of, neither here nor written down."""

    code: str
    title: str


def episodes(
    index_closes: Mapping[date, Decimal],
    volatility_closes: Mapping[date, Decimal] | None = None,
    *,
    written: Closes = INDEX_CLOSES,
    written_volatility: Closes = VOLATILITY_CLOSES,
) -> tuple[tuple[Scenario, ...], tuple[NotTold, ...]]:
    """The remembered days as scenarios: by the index's daily closes where they reach so far, else by those `written`.

    `volatility_closes` are a volatility index's, with `written_volatility` behind them. Where neither tells of a day,
    volatility is taken as unmoved, and the title says so.
    """
    told, untold = [], []
    for episode in EPISODES:
        own = _move(index_closes, episode)
        index = _move(written, episode) if own is None else own
        if index is None:
            untold.append(NotTold(episode.code, episode.title))
            continue
        volatility = _move(volatility_closes or {}, episode)
        if volatility is None:
            volatility = _move(written_volatility, episode)
        told.append(
            Scenario(
                code=episode.code,
                title=episode.title if volatility is not None else f"{episode.title} (volatility unknown: unmoved)",
                basis=Basis.REFERENCE if own is None else Basis.DATA,
                index=index,
                volatility=ZERO if volatility is None else volatility,
            )
        )
    return tuple(told), tuple(untold)


def _move(closes: Mapping[date, Decimal], episode: Episode) -> Decimal | None:
    """From the last close before the episode to its last. A close of weeks before is none of the day before."""
    before = max((day for day in closes if day < episode.first), default=None)
    last = max((day for day in closes if episode.first <= day <= episode.last), default=None)
    if before is None or last is None or (episode.first - before).days > LONGEST_BREAK or closes[before] <= 0:
        return None
    if (episode.last - last).days > LONGEST_BREAK:
        return None
    return closes[last] / closes[before] - 1


def _written(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal | Basis) else value
