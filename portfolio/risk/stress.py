"""Stress by full revaluation: what scenarios, a broker that is out for a day, and a locked circuit do to the book.

Losses are negative P&L here: a scenario's result is what the book would have gained. What cannot be valued is left out
of a result, and every result says how much that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio.risk.arrays import BookArrays, Driver, Flags, Floats, Integers
from portfolio.risk.numbers import rupees
from portfolio.risk.revaluation import revalue_moves
from portfolio.risk.scenarios import GRID, Basis, Scenario

ZERO = Decimal(0)
LARGEST_DAY = Decimal("0.10")  # beyond it the market halts: no broker is frozen through more on one day
ONE_DAY = tuple(each for each in GRID if abs(each.index) <= LARGEST_DAY)
LOCKED_DAYS = 2
WIDEST_BAND = Decimal("0.20")  # of a share whose band is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a result leaves out. `value` is INR, by size; `unpriced` lines have not even a value."""

    lines: int
    value: Decimal
    unpriced: int


NOTHING_LEFT = Left(lines=0, value=ZERO, unpriced=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """INR. `pnl` is the sum of `by_broker`, to the paisa; None where no line could be valued.

    `by_issuer` has those that gain or lose anything. `worst_company`: the one that costs most, where a scenario moves
    each by itself. `unmatched`: issuers that the scenario names and no line has; their moves moved nothing.
    """

    scenario: Scenario
    pnl: Decimal | None
    by_broker: Mapping[str, Decimal | None]
    by_issuer: Mapping[str, Decimal]
    left_out: Left
    worst_company: str | None = None
    unmatched: tuple[str, ...] = ()

    @property
    def basis(self) -> Basis:
        return self.scenario.basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One broker's positions frozen for a day, in the scenario in which most stays unhedged. INR, losses positive.

    `frozen_loss` is what they lose (negative: gain). `offset` is what the same issuers gain at the other brokers, up to
    what they lose here: positions that are there already. `unhedgeable_loss` is what remains. No hedge is assumed that
    would have to be made first, with margin that nobody knows to be free.
    """

    broker: str
    scenario: str
    frozen_loss: Decimal
    offset: Decimal
    unhedgeable_loss: Decimal
    left_out: Left


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitLock:
    """One company at its lower circuit for days, with no exit. INR, losses positive; `move` is the ratio over all days.

    `band_known`: False where the widest band was taken. `loss` None: no line of it could be valued.
    """

    issuer: str
    move: Decimal
    band_known: bool
    loss: Decimal | None
    left_out: Left


def stress(
    book: BookArrays, scenarios: Sequence[Scenario], *, most_issuers: int | None = None
) -> tuple[ScenarioResult, ...]:
    """Value every line under every scenario; one result each, in their order.

    `most_issuers`: `by_issuer` has no more than so many, those that lose most.
    """
    plain = scenario_pnl(book, scenarios)
    worst: list[str | None] = [None] * len(scenarios)
    for place, scenario in enumerate(scenarios):
        if scenario.each_company is not None:
            plain[place], worst[place] = _worst_company(book, plain[place], scenario)
    known = ~np.isnan(plain)
    amounts = np.where(known, plain, 0.0)
    of_brokers = _sums(amounts, book.broker, len(book.brokers))
    of_issuers = _sums(amounts, book.issuer, len(book.issuers))
    is_told = _sums(known, book.broker, len(book.brokers)) > 0
    return tuple(
        _result(
            book,
            scenario,
            of_brokers[place],
            is_told[place],
            _by_issuer(book, of_issuers[place], most_issuers),
            ~known[place],
            worst[place],
        )
        for place, scenario in enumerate(scenarios)
    )


def scenario_pnl(book: BookArrays, scenarios: Sequence[Scenario]) -> Floats:
    """P&L of each line under each scenario: INR, shape (n_scenarios, n_lines); `each_company` is not applied."""
    return revalue_moves(
        book,
        scenario_moves(book, scenarios),
        volatility=_column(scenarios, "volatility"),
        rate=_column(scenarios, "rate"),
        days=_column(scenarios, "days"),
    )


def scenario_moves(book: BookArrays, scenarios: Sequence[Scenario]) -> Floats:
    """How far each line's underlying moves: ratios, shape (n_scenarios, n_lines); NaN where that is not known.

    What a scenario does not move stays, known beta or not.
    """
    index, rupee, crude, rate = (_column(scenarios, name) for name in ("index", "rupee", "crude", "rate"))
    moves = np.zeros((len(scenarios), len(book)))
    by_driver = {
        Driver.INDEX: np.where(index == 0, 0.0, index * book.beta),
        Driver.RUPEE: rupee,
        Driver.CRUDE: (1 + crude) * (1 + rupee) - 1,
        Driver.COMMODITY: rupee,
        Driver.RATE: np.where(rate == 0, 0.0, -book.duration * rate),
    }
    for driver, move in by_driver.items():
        moves = np.where(book.driver == driver, move, moves)
    numbers = {issuer: number for number, issuer in enumerate(book.issuers)}
    for place, scenario in enumerate(scenarios):
        for issuer, own in scenario.issuers.items():
            moves[place, book.issuer == numbers.get(issuer, -1)] = float(own)
    return np.asarray(moves)


def outages(book: BookArrays, scenarios: Sequence[Scenario] = ONE_DAY) -> tuple[Outage, ...]:
    """Freeze each broker's positions in turn, in the scenario that leaves most unhedged; the worst broker first."""
    plain = scenario_pnl(book, scenarios)
    amounts = np.nan_to_num(plain)
    everywhere = _sums(amounts, book.issuer, len(book.issuers))
    found = []
    for number, broker in enumerate(book.brokers):
        here = book.broker == number
        frozen = _sums(amounts[:, here], book.issuer[here], len(book.issuers))
        offset = np.minimum(np.maximum(-frozen, 0.0), np.maximum(everywhere - frozen, 0.0)).sum(axis=1)
        loss = -frozen.sum(axis=1)
        unhedgeable = np.maximum(loss - offset, 0.0)
        worst = int(np.lexsort((loss, np.round(unhedgeable, 2)))[-1])  # of equals the one in which most is frozen
        found.append(
            Outage(
                broker=broker,
                scenario=scenarios[worst].code,
                frozen_loss=rupees(loss[worst]),
                offset=rupees(offset[worst]),
                unhedgeable_loss=rupees(unhedgeable[worst]),
                left_out=_left(book, np.isnan(plain[worst]) & here),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.unhedgeable_loss, each.broker)))


def circuit_locks(
    book: BookArrays, bands: Mapping[str, Decimal] | None = None, *, days: int = LOCKED_DAYS
) -> tuple[CircuitLock, ...]:
    """Lock each company's share at its lower circuit for so many days; the greatest loss first.

    `bands`: the daily price band of an issuer's share, as a ratio; the widest one where it is not known. As companies
    are summed apart, one valuation with all of them down tells of each.
    """
    known = bands or {}
    falls = np.array([_fall(known.get(issuer, WIDEST_BAND), days) for issuer in book.issuers], dtype=np.float64)
    moves = np.where(book.is_company, falls[book.issuer], 0.0) if len(book) else np.zeros(0)
    pnl = revalue_moves(book, moves[np.newaxis, :], days=float(days))[0]
    told = book.is_company & ~np.isnan(pnl)
    gains = np.bincount(book.issuer[told], weights=pnl[told], minlength=len(book.issuers))
    is_told = np.bincount(book.issuer[told], minlength=len(book.issuers)) > 0
    left_out = book.is_company & np.isnan(pnl)
    found = []
    for number in np.unique(book.issuer[book.is_company]).tolist():
        issuer = book.issuers[number]
        found.append(
            CircuitLock(
                issuer=issuer,
                move=_move(known.get(issuer, WIDEST_BAND), days),
                band_known=issuer in known,
                loss=rupees(-float(gains[number])) if is_told[number] else None,
                left_out=_left(book, left_out & (book.issuer == number)) if left_out.any() else NOTHING_LEFT,
            )
        )
    return tuple(sorted(found, key=lambda each: (each.loss is None, -(each.loss or ZERO), each.issuer)))


@lru_cache(maxsize=64)
def _move(band: Decimal, days: int) -> Decimal:
    return (1 - band) ** days - 1


def _fall(band: Decimal, days: int) -> float:
    return float(_move(band, days))


def _worst_company(book: BookArrays, plain: Floats, scenario: Scenario) -> tuple[Floats, str | None]:
    """The scenario's P&L by line with the one company moved that costs most. Companies are summed apart, so that one
    valuation with all of them moved tells of each."""
    moves = scenario_moves(book, [scenario])
    moves[0, book.is_company] = float(scenario.each_company or 0)
    moved = revalue_moves(
        book,
        moves,
        volatility=float(scenario.volatility),
        rate=float(scenario.rate),
        days=float(scenario.days),
    )[0]
    companies = np.unique(book.issuer[book.is_company])
    if not len(companies):
        return plain, None
    # A line that only the company's own move can value (no beta, where the index moves, too) counts with all of it.
    by_line = np.nan_to_num(moved) - np.nan_to_num(plain)
    change = np.bincount(book.issuer, weights=by_line, minlength=len(book.issuers))
    number = int(companies[np.argmin(change[companies])])
    return np.where(book.is_company & (book.issuer == number), moved, plain), book.issuers[number]


def _result(
    book: BookArrays,
    scenario: Scenario,
    of_brokers: Floats,
    is_told: Flags,
    by_issuer: Mapping[str, Decimal],
    unvalued: Flags,
    worst: str | None,
) -> ScenarioResult:
    by_broker = {
        broker: rupees(float(of_brokers[place])) if is_told[place] or not len(book) else None
        for place, broker in enumerate(book.brokers)
    }
    parts = [part for part in by_broker.values() if part is not None]
    return ScenarioResult(
        scenario=scenario,
        pnl=sum(parts, ZERO) if parts or not len(book) else None,
        by_broker=by_broker,
        by_issuer=by_issuer,
        left_out=_left(book, unvalued),
        worst_company=worst,
        unmatched=tuple(sorted(set(scenario.issuers) - set(book.issuers))),
    )


def _by_issuer(book: BookArrays, amounts: Floats, most: int | None) -> dict[str, Decimal]:
    places = np.flatnonzero(amounts)
    if most is not None:
        places = places[np.argsort(amounts[places], kind="stable")[:most]]
    return {book.issuers[place]: rupees(float(amounts[place])) for place in places.tolist()}


def _left(book: BookArrays, unvalued: Flags) -> Left:
    value = np.abs(book.value[unvalued])
    return Left(lines=int(unvalued.sum()), value=rupees(float(np.nansum(value))), unpriced=int(np.isnan(value).sum()))


def _sums(amounts: NDArray[Any], numbers: Integers, groups: int) -> Floats:
    """Sums by group: `amounts` (n_scenarios, n_lines) and the group of each line make (n_scenarios, groups)."""
    rows = [np.bincount(numbers, weights=row, minlength=groups) for row in amounts]
    return np.array(rows, dtype=np.float64).reshape(len(amounts), groups)


def _column(scenarios: Sequence[Scenario], name: str) -> Floats:
    return np.array([[float(getattr(scenario, name))] for scenario in scenarios], dtype=np.float64).reshape(-1, 1)
