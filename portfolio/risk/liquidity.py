"""How long getting out takes, and what it costs. Exact in Decimal: there is nothing here to vectorise.

Volume is the market's: what several accounts hold of one instrument leaves through the same door, long or short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from portfolio.risk.words import Kind, Line

ZERO = Decimal(0)
PAISA = Decimal("0.01")
FINEST_DAYS = Decimal("0.001")
PARTICIPATION = Decimal("0.10")  # the careful end of the usual 10 to 20% of a day's volume
IMPACT = Decimal(1)  # k of the square-root law: of the order of one in what is published
HORIZONS = (1, 5, 20)  # trading days

# Series in which nothing is netted within a day, or lots are large and buyers few.
SLOW_SERIES = frozenset({"BE", "BZ", "T", "TS", "X", "XT", "Z", "SM", "ST", "SME", "M", "MT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What the market takes of one instrument. `volume` is the average day's, in units; the others are ratios.

    `half_spread` is half of ask less bid over their middle, `volatility` the standard deviation of daily returns.
    """

    volume: Decimal | None = None
    half_spread: Decimal | None = None
    volatility: Decimal | None = None
    is_at_lower_circuit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """One instrument over all accounts. `units` and `value` (INR) count long and short parts alike: both must go.

    `days` to exit at the participation; `spread_cost` and `impact_cost` INR for leaving at once. None: not known.
    `pledged` and `t1` units are owned, and cannot be sold today.
    """

    instrument: str
    symbol: str
    units: Decimal
    value: Decimal | None
    days: Decimal | None
    spread_cost: Decimal | None
    impact_cost: Decimal | None
    pledged: Decimal
    t1: Decimal
    is_slow_series: bool
    is_at_lower_circuit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidity:
    """The whole book; the slowest exit first, those that are not known before all.

    Values are INR. `days` is the slowest known exit. `within` tells, by horizon in days, which value can have left by
    then, selling everything side by side: T1 shares from the second day on, pledged ones not at all, for they would
    have to be freed first; None where of nothing that is held the volume is known. Costs are sums over what is known.
    `unknown_value` has no known volume and is in no horizon; `unpriced` instruments have not even a value.
    `slow_value`, `pledged_value`, `t1_value` and `locked_value` are what stands in slow series, is pledged, is not yet
    delivered, and is at its lower circuit.
    """

    exits: tuple[Exit, ...]
    value: Decimal
    days: Decimal | None
    within: Mapping[int, Decimal | None]
    spread_cost: Decimal | None
    impact_cost: Decimal | None
    unknown_value: Decimal
    unknown_pct: Decimal | None
    unpriced: int
    slow_value: Decimal
    pledged_value: Decimal
    t1_value: Decimal
    locked_value: Decimal


def liquidity(
    lines: Sequence[Line], depths: Mapping[str, Depth], *, participation: Decimal = PARTICIPATION
) -> Liquidity:
    """How soon, and at what cost, the lines can be left. `depths` is by instrument; who is not there is not known."""
    grouped: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.units:
            grouped[line.instrument].append(line)
    exits = [_exit(group, depths.get(key, Depth()), participation) for key, group in grouped.items()]
    exits.sort(key=lambda each: (each.days is not None, -(each.days or ZERO), each.instrument))
    priced = [(each, each.value) for each in exits if each.value is not None]
    value = _sum(amount for _, amount in priced)
    unknown = _sum(amount for each, amount in priced if each.days is None)
    return Liquidity(
        exits=tuple(exits),
        value=_paise(value),
        days=max((each.days for each in exits if each.days is not None), default=None),
        within={horizon: _left_by(priced, horizon) for horizon in HORIZONS},
        spread_cost=_total(each.spread_cost for each in exits),
        impact_cost=_total(each.impact_cost for each in exits),
        unknown_value=_paise(unknown),
        unknown_pct=_paise(100 * unknown / value) if value else None,
        unpriced=len(exits) - len(priced),
        slow_value=_paise(_sum(amount for each, amount in priced if each.is_slow_series)),
        pledged_value=_paise(_sum(amount * each.pledged / each.units for each, amount in priced)),
        t1_value=_paise(_sum(amount * each.t1 / each.units for each, amount in priced)),
        locked_value=_paise(_sum(amount for each, amount in priced if each.is_at_lower_circuit)),
    )


def _exit(group: Sequence[Line], depth: Depth, participation: Decimal) -> Exit:
    first = group[0]
    units = _sum(abs(line.units) for line in group)
    price = next((line.price for line in group if line.price is not None), None)
    value = None if price is None else units * price
    takes = depth.volume if depth.volume is not None and depth.volume > 0 else None
    spread = None if value is None or depth.half_spread is None else _paise(value * depth.half_spread)
    return Exit(
        instrument=first.instrument,
        symbol=first.symbol,
        units=units,
        value=None if value is None else _paise(value),
        days=None if takes is None else (units / (participation * takes)).quantize(FINEST_DAYS, ROUND_HALF_UP),
        spread_cost=spread,
        impact_cost=_impact(units, value, takes, depth.volatility),
        pledged=_sum(line.pledged for line in group),
        t1=_sum(line.t1 for line in group),
        is_slow_series=any(line.kind is Kind.SPOT and line.series.upper() in SLOW_SERIES for line in group),
        is_at_lower_circuit=depth.is_at_lower_circuit,
    )


def _impact(
    units: Decimal, value: Decimal | None, volume: Decimal | None, volatility: Decimal | None
) -> Decimal | None:
    """k × daily volatility × the root of units over a day's volume, of the value."""
    if value is None or volume is None or volatility is None:
        return None
    return _paise(value * IMPACT * volatility * (units / volume).sqrt())


def _left_by(priced: Sequence[tuple[Exit, Decimal]], horizon: int) -> Decimal | None:
    if priced and all(each.days is None for each, _ in priced):
        return None
    return _paise(_sum(_gone(each, amount, horizon) for each, amount in priced))


def _gone(each: Exit, value: Decimal, horizon: int) -> Decimal:
    """What of it can have left by then. From its lower circuit nothing does; nor do pledged shares, nor T1 at once."""
    if each.days is None or each.is_at_lower_circuit:
        return ZERO
    daily = each.units if each.days <= 1 else each.units / each.days
    first = min(daily, each.units - each.pledged - each.t1)
    gone = min(first + (horizon - 1) * daily, each.units - each.pledged) if horizon > 1 else first
    return value * gone / each.units


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)


def _total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Over what is known; None where nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, ZERO) if known else None


def _paise(value: Decimal) -> Decimal:
    return value.quantize(PAISA, ROUND_HALF_UP)
