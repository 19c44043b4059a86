"""Implied volatility: which volatility explains an option's price, or why none does.

Newton's method kept inside a bracket that bisection halves wherever a step would leave it, so that it ends however far
the strike is away and however soon the expiry. An option deep in the money is first turned into its counterpart out of
the money (put-call parity): its time value is what tells the volatility, and intrinsic value only drowns it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from portfolio.risk.arrays import ABSENT, Flags, Floats, Integers
from portfolio.risk.pricing import greeks

WIDEST = 20.0  # standard deviations: with more, a price is its upper bound to the last digit
ROUNDS = 100
CLOSE_ENOUGH = 1e-14
NOISE = 4 * float(np.finfo(np.float64).eps)  # of spot and strike: digits that a price does not have
FINEST = 1e-4  # a volatility known no better than this is not known


class NoVolatility(StrEnum):
    """Why a price implies no volatility."""

    NO_PRICE = "NO_PRICE"
    NO_TERMS = "NO_TERMS"  # the underlying's price, strike, time or rate is unknown
    EXPIRED = "EXPIRED"
    BELOW_INTRINSIC = "BELOW_INTRINSIC"
    ABOVE_BOUND = "ABOVE_BOUND"  # dearer than the underlying itself (call), or than the strike (put)
    NO_TIME_VALUE = "NO_TIME_VALUE"  # within the bounds, but its digits do not tell one volatility from another


@dataclass(frozen=True, slots=True)
class Volatilities:
    """Shape (n,). `value` is a ratio a year, NaN where there is none.

    `reason`: why the line's own price implies none, None where it does. `borrowed_from`: the line whose volatility
    stands in for it, ABSENT where it is its own, or nobody's.
    """

    value: Floats
    reason: tuple[NoVolatility | None, ...]
    borrowed_from: Integers

    @property
    def is_borrowed(self) -> Flags:
        return np.asarray(self.borrowed_from != ABSENT)


def implied_volatility(
    price: Floats, sign: Floats, spot: Floats, strike: Floats, years: Floats, rate: Floats, dividend: Floats
) -> Volatilities:
    """Find the volatility of each price by Black-Scholes-Merton (for Black-76: the future as spot, dividend = rate)."""
    arrays = np.broadcast_arrays(price, sign, spot, strike, years, rate, dividend)
    price, sign, spot, strike, years, rate, dividend = (np.atleast_1d(each).astype(np.float64) for each in arrays)
    reasons = _refusals(price, sign, spot, strike, years, rate, dividend)
    value = np.full(price.shape, np.nan)
    solvable = np.array([reason is None for reason in reasons], dtype=np.bool_)
    if solvable.any():
        chosen = (each[solvable] for each in (price, sign, spot, strike, years, rate, dividend))
        found = _solve(*chosen)
        reasons[np.flatnonzero(solvable)[np.isnan(found)]] = NoVolatility.NO_TIME_VALUE
        value[solvable] = found
    return Volatilities(value, tuple(reasons), np.full(price.shape, ABSENT, dtype=np.int64))


def with_neighbours(found: Volatilities, strike: Floats, chain: Integers) -> Volatilities:
    """Lend each line without a volatility that of the nearest strike in its chain, and say so.

    `chain` numbers the underlying and expiry of each line. Call and put of one strike are neighbours at no distance; of
    two equally near strikes the lower one lends. Who has no neighbour keeps NaN. What has expired borrows nothing.
    """
    expired = np.array([reason is NoVolatility.EXPIRED for reason in found.reason], dtype=np.bool_)
    needy = np.flatnonzero(np.isnan(found.value) & ~expired & np.isfinite(strike))
    lenders = np.flatnonzero(np.isfinite(found.value) & (found.borrowed_from == ABSENT))
    if not len(needy) or not len(lenders):
        return found
    lenders = lenders[np.argsort(strike[lenders], kind="stable")]
    distance = np.abs(strike[needy, None] - strike[None, lenders])
    distance[chain[needy, None] != chain[None, lenders]] = np.inf
    nearest = np.argmin(distance, axis=1)
    has_one = np.isfinite(distance[np.arange(len(needy)), nearest])
    value, borrowed = found.value.copy(), found.borrowed_from.copy()
    value[needy[has_one]] = found.value[lenders[nearest[has_one]]]
    borrowed[needy[has_one]] = lenders[nearest[has_one]]
    return Volatilities(value, found.reason, borrowed)


def _refusals(
    price: Floats, sign: Floats, spot: Floats, strike: Floats, years: Floats, rate: Floats, dividend: Floats
) -> NDArray[np.object_]:
    owned, owed = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
    intrinsic = np.maximum(sign * (owned - owed), 0.0)
    bound = np.where(sign > 0, owned, owed)
    noise = NOISE * (owned + owed)
    known = np.isfinite(owned) & np.isfinite(owed) & np.isfinite(sign) & (spot > 0) & (strike > 0)
    reasons = np.full(price.shape, None, dtype=np.object_)
    checks = (  # the last one that holds wins
        (price <= intrinsic + noise, NoVolatility.NO_TIME_VALUE),
        (price < intrinsic - noise, NoVolatility.BELOW_INTRINSIC),
        (price >= bound - noise, NoVolatility.ABOVE_BOUND),
        (years <= 0, NoVolatility.EXPIRED),
        (~known, NoVolatility.NO_TERMS),
        (~(price > 0), NoVolatility.NO_PRICE),
    )
    for holds, reason in checks:
        reasons[holds] = reason
    return reasons


def _solve(
    price: Floats, sign: Floats, spot: Floats, strike: Floats, years: Floats, rate: Floats, dividend: Floats
) -> Floats:
    """Prices inside their bounds only. Works in standard deviations to expiry; NaN where the digits tell nothing."""
    owned, owed = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
    noise = NOISE * (owned + owed)
    time_value = price - np.maximum(sign * (owned - owed), 0.0)
    outside = np.where(owned > owed, -1.0, 1.0)  # the side that has no intrinsic value
    low, high = np.zeros_like(price), np.full_like(price, WIDEST)
    guess = np.clip(np.sqrt(2 * np.abs(np.log(owned / owed))), 1e-3, WIDEST / 2)  # where the price curves neither way
    for _ in range(ROUNDS):
        told = greeks(outside, owned, owed, 1.0, guess, 0.0, 0.0)
        high = np.where(told.price > time_value, guess, high)
        low = np.where(told.price > time_value, low, guess)
        following = _next_guess(guess, low, high, told.price, 100 * told.vega, time_value)
        moved = np.abs(following - guess)
        guess = following
        if np.all(moved <= CLOSE_ENOUGH * guess):
            break
    slope = 100 * greeks(outside, owned, owed, 1.0, guess, 0.0, 0.0).vega
    root = np.sqrt(years)
    is_told = slope * root * FINEST > noise
    return np.where(is_told, guess / root, np.nan)


def _next_guess(guess: Floats, low: Floats, high: Floats, value: Floats, slope: Floats, wanted: Floats) -> Floats:
    """One step on the logarithm of the price, which is nearly straight where the price itself is nearly nothing."""
    usable = (value > 0) & (slope > 0)
    safe_value, safe_slope = np.where(usable, value, 1.0), np.where(usable, slope, 1.0)
    in_logarithms = wanted < value
    step = np.where(
        in_logarithms,
        np.log(safe_value / wanted) * safe_value / safe_slope,
        (safe_value - wanted) / safe_slope,
    )
    newton = guess - step
    inside = usable & (newton > low) & (newton < high)
    return np.where(inside, newton, (low + high) / 2)
