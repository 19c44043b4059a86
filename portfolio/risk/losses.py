"""VaR and ES of today's book in four ways, what each factor adds, and whether it held: the losses of a report. Pure.

Every line is valued anew under every past day. A line that cannot be (no price, no volatility, no past) is in no
figure, and the section's coverage says how much that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from portfolio.risk import backtest as testing
from portfolio.risk.arrays import ABSENT, BookArrays, Flags, Floats, chosen
from portfolio.risk.errors import RiskError, TooFewDays
from portfolio.risk.numbers import Array, ratio, rupees
from portfolio.risk.past import Past
from portfolio.risk.revaluation import revalue
from portfolio.risk.sections import (
    BadDay,
    Component,
    Likelihood,
    Losses,
    LossFigure,
    Method,
    Refused,
    StoodFor,
    Tested,
)
from portfolio.risk.tail import ENOUGH_DAYS, historical, parametric
from portfolio.sums import percent

CONFIDENCES = (Decimal("95"), Decimal("97.5"), Decimal("99"))
COMPONENTS_AT = Decimal("99")
WORST_DAYS = 5
FEWEST_TESTED = 100  # the shortest window that tells of one day in a hundred
NO_HISTORY = Refused(
    code="no_history",
    message="There are no daily prices of anything that this book holds.",
    remedy="They are read from your brokers by and by: look again in a few minutes, with a broker connected.",
)
Names = Mapping[str, str]
Told = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Revalued:
    """P&L of the whole book on each past day: INR, shape (days,), of the lines that are `told` (lines,).

    `filtered` is the same in today's market. `exposures` is INR by factor, options by their delta.
    """

    past: Past
    plain: Array
    filtered: Array
    told: Flags
    exposures: Array

    @property
    def days(self) -> int:
        return len(self.past.factors.days)


def revalued(arrays: BookArrays, deltas: Floats, past: Past) -> Revalued:
    """`arrays.factors` must be those of the past. Raises RiskError without a single day.

    What is no option moves in proportion, so that its lines are added up by factor first; options are valued anew, line
    by line and day by day.
    """
    if not len(past.factors.days):
        raise RiskError(NO_HISTORY.message, code=NO_HISTORY.code, remedy=NO_HISTORY.remedy)
    is_option = arrays.is_option
    options = chosen(arrays, is_option)
    plain, filtered = revalue(options, past.factors.returns), revalue(options, past.filtered)
    told: Flags = np.isfinite(arrays.value) & (arrays.factor != ABSENT)
    told[is_option] = np.isfinite(plain).all(axis=0)
    straight = _by_factor(arrays, arrays.value, told & ~is_option)
    return Revalued(
        past=past,
        plain=_in_proportion(past.factors.returns, straight) + np.where(told[is_option], plain, 0.0).sum(axis=1),
        filtered=_in_proportion(past.filtered, straight) + np.where(told[is_option], filtered, 0.0).sum(axis=1),
        told=told,
        exposures=_by_factor(arrays, arrays.units * deltas * arrays.underlying, told),
    )


def _by_factor(arrays: BookArrays, amounts: Floats, those: Flags) -> Array:
    weights = (amounts * arrays.factor_beta)[those]
    sums: Array = np.bincount(arrays.factor[those], weights=weights, minlength=len(arrays.factors)).astype(np.float64)
    return sums


def _in_proportion(returns: Array, amounts: Array) -> Array:
    """Nothing falls by more than its whole price."""
    pnl: Array = np.maximum(returns, -1.0) @ amounts
    return pnl


def losses(found: Revalued, names: Names, equity: Decimal | None) -> Losses:
    """`names` of factors, for people. `equity` is what percentages are of."""
    past, factors = found.past, found.past.factors
    plain, filtered = found.plain, found.filtered
    ways: dict[Method, Callable[[Decimal], Told]] = {
        Method.HISTORICAL: lambda level: _of_days(plain, level),
        Method.FILTERED: lambda level: _of_days(filtered, level),
        Method.PARAMETRIC: lambda level: _of_normal(found.exposures, past.covariance, level, found.days),
        Method.EWMA: lambda level: _of_normal(found.exposures, past.ewma, level, found.days),
    }
    base = equity if equity is not None and equity > 0 else None
    return Losses(
        figures=tuple(_figure(method, level, way, base) for method, way in ways.items() for level in CONFIDENCES),
        components=_components(found, names),
        worst_days=_worst(plain, found),
        days=found.days,
        first_day=factors.days[0],
        last_day=factors.days[-1],
        is_thin=found.days < ENOUGH_DAYS,
        proxied=tuple(
            StoodFor(factor=name, name=names.get(name, name), by=proxy.factor, beta=ratio(proxy.beta))
            for name, proxy in sorted(factors.proxied.items())
            if name in names
        ),
        unmodelled=tuple(sorted(name for name in names if name not in factors.names)),
    )


def tested(found: Revalued, confidence_pct: Decimal) -> Tested:
    """Hold VaR against the days that followed. Raises TooFewDays."""
    plain, days = found.plain, found.past.factors.days
    window = min(ENOUGH_DAYS, max(FEWEST_TESTED, len(plain) - ENOUGH_DAYS))
    if len(plain) <= window + 1:
        raise TooFewDays(days=len(plain), needed=window + 2)
    level = confidence_pct / 100
    judged = testing.backtest(plain[window:], testing.rolling_var(plain, window, level), level)
    exceptions = np.flatnonzero(judged.exceptions) + window
    return Tested(
        confidence_pct=confidence_pct,
        window=window,
        days=judged.days,
        exceptions=tuple(BadDay(day=days[at], loss=rupees(-float(plain[at]))) for at in exceptions.tolist()),
        count=judged.count,
        expected=ratio(judged.expected),
        zone=judged.zone,
        coverage_test=_likelihood(judged.coverage),
        independence_test=_likelihood(judged.independence),
        conditional_test=_likelihood(judged.conditional),
    )


def _of_days(pnl: Array, level: Decimal) -> Told:
    tail = historical(pnl, level)
    return tail.var, tail.es


def _of_normal(exposures: Array, covariance: Array, level: Decimal, days: int) -> Told:
    if days < 2:
        raise TooFewDays(days=days, needed=2)
    told = parametric(exposures, covariance, level)
    return told.var, told.es


def _figure(method: Method, level: Decimal, way: Callable[[Decimal], Told], equity: Decimal | None) -> LossFigure:
    try:
        var, es = (rupees(amount) for amount in way(level / 100))
    except RiskError as error:
        refused = Refused(code=error.code, message=str(error), remedy=error.remedy)
        return LossFigure(method=method, confidence_pct=level, refused=refused)
    return LossFigure(
        method=method,
        confidence_pct=level,
        var=var,
        es=es,
        var_pct=percent(var, equity),
        es_pct=percent(es, equity),
    )


def _components(found: Revalued, names: Names) -> tuple[Component, ...]:
    """The largest first. What rounding each to a paisa leaves over goes to the largest, so that they sum to VaR."""
    if found.days < 2:
        return ()
    told = parametric(found.exposures, found.past.covariance, COMPONENTS_AT / 100)
    whole = rupees(told.var)
    order = [int(at) for at in np.argsort(-np.abs(told.component), kind="stable") if found.exposures[at] != 0]
    amounts = [rupees(float(told.component[at])) for at in order]
    if amounts:
        amounts[0] += whole - sum(amounts)
    return tuple(
        Component(
            factor=(name := found.past.factors.names[at]),
            name=names.get(name, name),
            exposure=rupees(float(found.exposures[at])),
            marginal=None if told.marginal is None else ratio(float(told.marginal[at])),
            component=amount,
            part_pct=percent(amount, whole),
        )
        for at, amount in zip(order, amounts, strict=True)
    )


def _worst(pnl: Array, found: Revalued) -> tuple[BadDay, ...]:
    days = found.past.factors.days
    order = np.argsort(pnl, kind="stable")[:WORST_DAYS].tolist()
    return tuple(BadDay(day=days[at], loss=rupees(-float(pnl[at]))) for at in order if pnl[at] < 0)


def _likelihood(told: testing.LikelihoodRatio) -> Likelihood:
    return Likelihood(statistic=ratio(told.statistic), p_value=ratio(told.p_value))
