"""How the money did: a unit value that deposits do not move, and what is read from it.

Ratios: 0.01 is one percent, a drawdown of -0.1 is ten percent below the peak. A year has 252 days of returns, and
deviations are those of a sample, n - 1. What cannot be told is None: the deviation of one day, a Sharpe ratio without
volatility. The ratios are defined as empyrical does: the Sortino ratio's downside counts all days, gains as zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.optimize import brentq

from portfolio.risk.errors import RiskError, TooFewDays
from portfolio.risk.numbers import Array
from portfolio.risk.tail import known

PERIODS = 252
HALF_A_PAISA = 0.005  # less is what is left of a sum of floats that is zero
DAYS_OF_YEAR = 365
# Returns are quotients of floats: a deviation below this is the rounding of one that is zero.
NO_VOLATILITY = 1e-12
# Yearly rates that XIRR looks through, as logarithms: from a loss of all but 2 in 10^9 to 5 × 10^8 times the money.
FURTHEST_LOG_RATE = 20.0
STEPS = 4001
GREATEST_EXPONENT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawdown:
    """How far below its peak a unit value is: `series` (n,), each ≤ 0.

    `since` is the index of the day of the last peak, and `days` how many days ago that was; None and 0 at a peak.
    `longest_days` is the most days ever spent below a peak, today's spell included.
    """

    series: Array
    maximum: float
    current: float
    since: int | None
    days: int
    longest_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Ratios of daily returns; None where there is no answer."""

    annual_return: float | None
    daily_volatility: float | None
    annual_volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None


def unit_values(equity: Array, flows: Array) -> Array:
    """The value of one unit, 1 on the first day: `equity` (n,) at each day's end, `flows` (n,), both rupees, make (n,).

    A flow is positive where money came in, and counts from the start of its day, so that it earns that day's return:
    equity[t] / (equity[t-1] + flows[t]). The first day's flow is in its equity already and is not read. A day without
    any capital leaves the unit where it was.

    Raises TooFewDays without a day; RiskError where a day is unknown, the lengths differ, or a result was made on no
    capital, of which no return can be told.
    """
    if known(equity, dimensions=1).shape != known(flows, dimensions=1).shape:
        raise RiskError(
            f"{len(equity)} days of equity and {len(flows)} of cash flows do not belong together.",
            code="shape_refused",
            remedy="Give one cash flow for each day, zero where nothing moved.",
        )
    if not len(equity):
        raise TooFewDays(days=0, needed=1)
    capital = equity[:-1] + flows[1:]
    without = capital < HALF_A_PAISA
    idle = without & (np.abs(capital) < HALF_A_PAISA) & (np.abs(equity[1:]) < HALF_A_PAISA)
    if equity[0] < HALF_A_PAISA or (without & ~idle).any():
        raise RiskError(
            "There is a day that began without capital of one's own: its return cannot be told.",
            code="no_capital",
            remedy="Begin after that day, or look for a cash flow that is missing.",
        )
    growth = np.divide(equity[1:], capital, out=np.ones_like(capital), where=~idle)
    return np.concatenate(([1.0], np.cumprod(growth)))


def returns_of(values: Array) -> Array:
    """Daily returns: `values` (n,) makes (n - 1,). Raises RiskError where one but the last is not positive."""
    if (known(values, dimensions=1)[:-1] <= 0).any():
        raise RiskError(
            "A value of zero or less has no return after it.",
            code="no_capital",
            remedy="Begin after that day.",
        )
    growth: Array = values[1:] / values[:-1] - 1
    return growth


def drawdown(values: Array) -> Drawdown:
    """Of unit values (n,), n ≥ 1, the first of them positive. Raises TooFewDays, RiskError."""
    if not len(known(values, dimensions=1)):
        raise TooFewDays(days=0, needed=1)
    if values[0] <= 0:
        raise RiskError("The first value is not positive.", code="no_capital", remedy="Begin after that day.")
    peaks = np.maximum.accumulate(values)
    series: Array = values / peaks - 1
    days = np.arange(len(values))
    below = days - np.maximum.accumulate(np.where(series < 0, 0, days))
    return Drawdown(
        series=series,
        maximum=float(series.min()),
        current=float(series[-1]),
        since=int(days[-1] - below[-1]) if below[-1] else None,
        days=int(below[-1]),
        longest_days=int(below.max()),
    )


def performance(returns: Array, *, risk_free_daily: float = 0.0, periods: int = PERIODS) -> Performance:
    """Of daily returns (n,), without cash flows in them. Raises RiskError where one is unknown."""
    excess = known(returns, dimensions=1) - risk_free_daily
    daily = _deviation(returns)
    yearly = _annual_return(returns, periods)
    worst = float(_worst(returns))
    mean = float(excess.mean()) if len(excess) else 0.0
    downside = math.sqrt(float(np.square(np.minimum(excess, 0)).mean())) if len(excess) else 0.0
    return Performance(
        annual_return=yearly,
        daily_volatility=daily,
        annual_volatility=None if daily is None else daily * math.sqrt(periods),
        sharpe=mean / daily * math.sqrt(periods) if daily else None,
        sortino=mean / downside * math.sqrt(periods) if daily is not None and downside > NO_VOLATILITY else None,
        calmar=yearly / -worst if yearly is not None and worst < 0 else None,
    )


def xirr(days: Sequence[date], amounts: Array) -> float | None:
    """The yearly rate at which these flows are worth nothing together: money-weighted return, by dates.

    `amounts` (k,) in rupees: what was paid in is negative, what was taken out is positive, and so is today's equity on
    today's date. A rate of 0.1 is ten percent a year of 365 days. None where no rate answers, or several do.
    Raises RiskError where an amount is unknown.
    """
    if len(days) != len(known(amounts, dimensions=1)):
        raise RiskError("Each flow has one date.", code="shape_refused", remedy="Give one date for each amount.")
    ordinals, places = np.unique(np.array([day.toordinal() for day in days], dtype=np.int64), return_inverse=True)
    by_day = np.bincount(places, weights=amounts, minlength=len(ordinals))
    moved = np.abs(by_day) >= HALF_A_PAISA
    if moved.sum() < 2:
        return None
    amounts = by_day[moved] / np.abs(by_day).max()
    years = (ordinals[moved] - ordinals[moved][0]) / DAYS_OF_YEAR

    def worth(log_rate: float) -> float:
        return float(amounts @ np.exp(-log_rate * years))

    furthest = min(FURTHEST_LOG_RATE, GREATEST_EXPONENT / float(years[-1]))
    rates = np.linspace(-furthest, furthest, STEPS)
    signs = np.sign(np.exp(-rates[:, None] * years) @ amounts)
    places = np.flatnonzero(signs)
    crossings = np.flatnonzero(np.diff(signs[places]))
    if len(crossings) != 1:
        return None
    left, right = places[crossings[0]], places[crossings[0] + 1]
    return math.expm1(float(brentq(worth, float(rates[left]), float(rates[right]), xtol=1e-14)))


def _deviation(returns: Array) -> float | None:
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return deviation if deviation > NO_VOLATILITY else 0.0


def _annual_return(returns: Array, periods: int) -> float | None:
    grown = float(np.prod(1 + returns))
    return float(grown ** (periods / len(returns)) - 1) if len(returns) and grown >= 0 else None


def _worst(returns: Array) -> float:
    """The deepest drawdown of these returns, which begin at 1; 0 without any."""
    values = np.concatenate(([1.0], np.cumprod(1 + returns)))
    return float((values / np.maximum.accumulate(values) - 1).min())
