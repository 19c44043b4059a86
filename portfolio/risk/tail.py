"""How much is lost on a bad day: value at risk (VaR) and expected shortfall (ES).

Losses are positive: a negative VaR means that even that day ends with a gain. Amounts are rupees, returns are ratios
(0.01 is one percent), a history goes from the oldest day to the newest. Confidences are between 0 and 1, and
counted as they are written: 55 % of 100 days are 55 days, though binary fractions make it 55.00000000000001.

Sources: Acerbi and Tasche (2002), "On the coherence of expected shortfall"; J.P. Morgan/Reuters, "RiskMetrics Technical
Document" (1996); Hull and White (1998), "Incorporating volatility updating into the historical simulation method".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np
from scipy.special import ndtri

from portfolio.risk.errors import HorizonRefused, RiskError, TooFewDays
from portfolio.risk.numbers import Array

DAILY_DECAY = 0.94  # RiskMetrics for daily returns; 0.97 for monthly ones
LEAST_DECAY = 0.01  # a smaller one forgets everything overnight
ENOUGH_DAYS = 250  # below this a historical figure is told as thin
LONGEST_HORIZON = 10
FINEST_CONFIDENCE = 20  # decimals: nobody means more, and exact fractions of more are costly
# Past volatility counts as no smaller than this part of the usual one: a share that did not trade for weeks would
# otherwise turn its first move into a catastrophe.
LEAST_VOLATILITY = 0.1
SAME_BUT_FOR_ROUNDING = 1e-9

Confidence = str | Decimal | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What a history says of the worst days. Rupees over `horizon_days`; `days` is how long the history was."""

    confidence: float
    var: float
    es: float
    days: int
    horizon_days: int = 1

    @property
    def is_thin(self) -> bool:
        return self.days < ENOUGH_DAYS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parametric:
    """Loss figures of exposures whose returns are taken to be normal. Rupees over `horizon_days`.

    `marginal` (m,): VaR that one more rupee of each exposure adds; None where the book has no volatility at all, for
    there the sign of that rupee decides. `component` (m,): rupees of each exposure; they sum to `var`.
    """

    confidence: float
    sigma: float
    var: float
    es: float
    marginal: Array | None
    component: Array
    horizon_days: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ewma:
    """Tomorrow's volatility, by weights that fade, and what it means for one position. `var` and `es` are rupees."""

    variance: float
    volatility: float
    var: float
    es: float


def historical(pnl: Array, confidence: Confidence) -> Tail:
    """VaR and ES of one book; `pnl` (n,): what today's book would have made on each past day, in rupees.

    VaR is the ceil(a n)-th smallest loss; ES is the mean of the worst (1 - a) n days, of which the day at the border
    counts in part. Raises TooFewDays where (1 - a) n is less than one day, RiskError where a day is unknown.
    """
    var, es = tail_of_rows(known(pnl, dimensions=1), confidence)
    return Tail(confidence=float(confidence), var=float(var), es=float(es), days=len(pnl))


def historical_tails(pnl: Array, confidences: Iterable[Confidence]) -> tuple[Tail, ...]:
    """`historical` at several confidences."""
    return tuple(historical(pnl, confidence) for confidence in confidences)


def tail_of_rows(pnl: Array, confidence: Confidence) -> tuple[Array, Array]:
    """VaR and ES of many books at once: `pnl` (…, n) in rupees makes two arrays (…). Raises as `historical`."""
    level, days = exact_level(confidence), known(pnl).shape[-1]
    needed = math.ceil(1 / (1 - level))
    if days < needed:
        raise TooFewDays(days=days, needed=needed)
    rank = math.ceil(level * days)
    losses = np.partition(0.0 - pnl, rank - 1, axis=-1)
    var: Array = losses[..., rank - 1]
    border = float(rank - level * days)
    es: Array = (losses[..., rank:].sum(axis=-1) + border * var) / float((1 - level) * days)
    # The mean of losses that are none smaller than VaR, but for the last binary digit.
    return var, np.maximum(es, var)


def parametric(
    exposures: Array,
    covariance: Array,
    confidence: Confidence,
    *,
    mean: Array | None = None,
    horizon_days: int = 1,
    has_options: bool = False,
) -> Parametric:
    """VaR and ES of normal returns.

    `exposures` (m,): signed rupees, options by their delta. `covariance` (m, m) and `mean` (m,): of daily returns;
    without a mean it is zero. Raises HorizonRefused, and RiskError where the matrix is none of covariances.
    """
    level = float(exact_level(confidence))
    factor, quantile = horizon_factor(horizon_days, has_options=has_options), _quantile(level)
    drift = np.zeros_like(exposures) if mean is None else known(mean, dimensions=1) * horizon_days
    leaning, sigma = _spread(known(exposures, dimensions=1), known(covariance, dimensions=2))
    expected = float(exposures @ drift)
    marginal = None if sigma == 0 else quantile * factor / sigma * leaning - drift
    return Parametric(
        confidence=level,
        sigma=sigma * factor,
        var=quantile * sigma * factor - expected,
        es=_mean_beyond(level) * sigma * factor - expected,
        marginal=marginal,
        component=exposures * (0.0 - drift if marginal is None else marginal),
        horizon_days=horizon_days,
    )


def ewma_variances(returns: Array, *, decay: float = DAILY_DECAY, first: Array | float | None = None) -> Array:
    """The variance that was foreseen for each day, and at the end for the day that comes.

    `returns` (n,) or (n, m) makes (n + 1,) or (n + 1, m). The first is `first`, or the first squared return.
    Raises TooFewDays without a return, RiskError where `decay` is none.
    """
    _require_decay(decay)
    squares = np.square(known(returns))
    if not len(squares):
        raise TooFewDays(days=0, needed=1)
    path = np.empty((len(squares) + 1, *squares.shape[1:]))
    path[0] = squares[0] if first is None else first
    # s(t) = decay^t [s(0) + (1 - decay) Σ r(i)² / decay^(i + 1)], in blocks whose powers stay within a float's range.
    block = max(1, int(100 * math.log(10) / -math.log(decay)))
    for start in range(0, len(squares), block):
        part = squares[start : start + block]
        powers = (decay ** np.arange(1, len(part) + 1)).reshape(-1, *[1] * (squares.ndim - 1))
        path[start + 1 : start + 1 + len(part)] = powers * (
            path[start] + (1 - decay) * np.cumsum(part / powers, axis=0)
        )
    return path


def ewma_covariance(returns: Array, *, decay: float = DAILY_DECAY) -> Array:
    """The covariances for the day that comes: `returns` (n, m) makes (m, m), positive semidefinite.

    One decay for all of them, and the first day's products to begin with, as in `ewma_variances`.
    """
    _require_decay(decay)
    known(returns, dimensions=2)
    if not len(returns):
        raise TooFewDays(days=0, needed=1)
    weights = (1 - decay) * decay ** np.arange(len(returns) - 1, -1, -1)
    weights[0] += decay ** len(returns)
    weighted = np.sqrt(weights)[:, None] * returns
    covariance: Array = weighted.T @ weighted
    return covariance


def ewma(returns: Array, value: float, confidence: Confidence, *, decay: float = DAILY_DECAY) -> Ewma:
    """Tomorrow's volatility of one position: `returns` (n,), and `value` in rupees, negative where it is short."""
    level = float(exact_level(confidence))
    variance = float(ewma_variances(known(returns, dimensions=1), decay=decay)[-1])
    volatility = math.sqrt(variance)
    return Ewma(
        variance=variance,
        volatility=volatility,
        var=_quantile(level) * volatility * abs(value),
        es=_mean_beyond(level) * volatility * abs(value),
    )


def filtered_returns(returns: Array, *, decay: float = DAILY_DECAY) -> Array:
    """Past returns as they would be in today's market: each times today's volatility over that of its day.

    `returns` (n,) or (n, m); the same shape comes back. Volatilities begin at that of the whole history, so that a
    first day without a trade divides nothing by zero; past ones count as no less than LEAST_VOLATILITY of it.
    """
    usual = np.square(known(returns)).mean(axis=0) if len(returns) else np.zeros(returns.shape[1:])
    volatilities = np.sqrt(ewma_variances(returns, decay=decay, first=usual))
    past = np.maximum(volatilities[:-1], LEAST_VOLATILITY * np.sqrt(usual))
    # Where nothing ever moved, nothing is scaled.
    scaled: Array = returns * np.divide(volatilities[-1], past, out=np.ones_like(past), where=past > 0)
    return scaled


def filtered(pnl: Array, confidence: Confidence, *, decay: float = DAILY_DECAY) -> Tail:
    """`historical` of a book without options, of `pnl` (n,) in today's market.

    A book with options is revalued under `filtered_returns` instead, for it does not lose in proportion.
    """
    return historical(filtered_returns(known(pnl, dimensions=1), decay=decay), confidence)


def stretched(tail: Tail, horizon_days: int, *, has_options: bool) -> Tail:
    """The loss of one day over several, by the square root of time. Raises HorizonRefused."""
    if tail.horizon_days != 1:
        raise HorizonRefused(
            f"This loss is one of {tail.horizon_days} days already.",
            code="horizon_stretched_twice",
            remedy="Stretch the loss of one day.",
        )
    factor = horizon_factor(horizon_days, has_options=has_options)
    return replace(tail, var=tail.var * factor, es=tail.es * factor, horizon_days=horizon_days)


def horizon_factor(days: int, *, has_options: bool) -> float:
    """The square root of time. Raises HorizonRefused above LONGEST_HORIZON, or above one day where options are held."""
    if days < 1:
        raise HorizonRefused(
            f"A horizon of {days} days is none.", code="horizon_too_short", remedy="Ask for one day or more."
        )
    if days > LONGEST_HORIZON:
        raise HorizonRefused(
            f"{days} days are too many for the square root of time: moves of many days are no large moves of one.",
            code="horizon_too_long",
            remedy=f"Ask for at most {LONGEST_HORIZON} days, or look at the stress scenarios.",
        )
    if days > 1 and has_options:
        raise HorizonRefused(
            "The book holds options, whose losses do not grow with the square root of time.",
            code="horizon_with_options",
            remedy="Ask for one day, or look at the stress scenarios.",
        )
    return math.sqrt(days)


def exact_level(confidence: Confidence) -> Fraction:
    """A confidence as it was written, a decimal number. Raises RiskError where it is not between 0 and 1."""
    try:
        written = Decimal(str(confidence))
    except InvalidOperation:
        written = Decimal(0)
    if not (written.is_finite() and 0 < written < 1 and written.adjusted() >= -FINEST_CONFIDENCE):
        raise RiskError(
            f"{confidence} is no confidence.",
            code="confidence_refused",
            remedy="Give a number between 0 and 1, such as 0.99.",
        )
    return Fraction(written)


def known(values: Array, *, dimensions: int | None = None) -> Array:
    """The same values. Raises RiskError where one is unknown, or where they have another shape than is wanted."""
    if dimensions is not None and values.ndim != dimensions:
        raise RiskError(
            f"Here are {values.ndim} dimensions of numbers; {dimensions} are wanted.",
            code="shape_refused",
            remedy="Give one number per day, or per day and instrument.",
        )
    if not np.isfinite(values).all():
        raise RiskError(
            "A day of the history is unknown.",
            code="history_unknown",
            remedy="Fill it by a proxy, or leave out the instrument, and say so.",
        )
    return values


def _spread(exposures: Array, covariance: Array) -> tuple[Array, float]:
    """`covariance @ exposures`, and the standard deviation in rupees; what is left of zero by rounding is zero."""
    leaning = covariance @ exposures
    variance = float(exposures @ leaning)
    noise = float(np.abs(exposures) @ np.abs(covariance) @ np.abs(exposures)) * np.finfo(float).eps * len(exposures)
    unlike = np.abs(covariance - covariance.T).max(initial=0.0)
    if variance < -noise or unlike > SAME_BUT_FOR_ROUNDING * np.abs(covariance).max(initial=0.0):
        raise RiskError(
            "These are no covariances: the matrix is not symmetric, or gives a negative variance.",
            code="covariance_refused",
            remedy="Make all of them from the same days, with one decay.",
        )
    return leaning, math.sqrt(variance) if variance > noise else 0.0


def _quantile(level: float) -> float:
    return float(ndtri(level))


def _mean_beyond(level: float) -> float:
    """The mean of a standard normal beyond its quantile."""
    return math.exp(-(_quantile(level) ** 2) / 2) / math.sqrt(2 * math.pi) / (1 - level)


def _require_decay(decay: float) -> None:
    if not LEAST_DECAY <= decay < 1:
        raise RiskError(
            f"{decay} is no decay.",
            code="decay_refused",
            remedy=f"Give a number from {LEAST_DECAY} to below 1, such as {DAILY_DECAY}.",
        )
