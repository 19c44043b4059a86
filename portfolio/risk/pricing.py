"""European options: prices and Greeks after Black, Scholes and Merton, and Black (1976) for options on futures.

Everything is an array, and all arguments are broadcast against each other. Units: INR per unit of the underlying; years
in calendar time; `volatility`, `rate` and `dividend` as ratios a year (0.135). `sign` is +1 for a call, -1 for a put.
Black-76 is the same formula with a dividend yield equal to the rate, and the future's price as the spot.

NaN in is NaN out, and so is what has no price: an underlying below zero, a strike that is not above it, a negative
volatility. What has expired, or does not fluctuate, has its exact limit. Source: Hull, Options, Futures and Other
Derivatives, chapters on Black-Scholes-Merton, futures options and the Greek letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from portfolio.risk.arrays import FloatLike, Floats

DAYS_IN_YEAR = 365.0
STILL = 1e-12  # a standard deviation below which the underlying does not fluctuate
STILLEST = 1e-290  # divides in its place: all but the kink itself is then infinitely far on one side
FARTHEST = 1e100  # as far as infinity for a normal distribution, and its square is still a number
SMALLEST = 1e-300  # stands in for 0 under a logarithm
ROOT_TWO_PI = np.sqrt(2 * np.pi)


@dataclass(frozen=True, slots=True)
class Greeks:
    """Per unit. `vega` and `rho` are per percentage point, `theta` per calendar day (what a day's passing adds).

    On the kink of what has expired or does not fluctuate, where the forward is the strike exactly, `delta` is the mean
    of its two sides and `gamma`, which has no value there, is 0 as it is beside it.
    """

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


@dataclass(frozen=True, slots=True)
class _Terms:
    """What price and Greeks are made of. `spot` and `strike` are NaN where there can be no price."""

    sign: Floats
    spot: Floats
    strike: Floats
    years: Floats
    deviation: Floats
    d1: Floats
    d2: Floats
    growth: Floats  # e^(-qT)
    discount: Floats  # e^(-rT)


def price(
    sign: FloatLike,
    spot: FloatLike,
    strike: FloatLike,
    years: FloatLike,
    volatility: FloatLike,
    rate: FloatLike,
    dividend: FloatLike,
) -> Floats:
    """Value one unit by Black-Scholes-Merton. Never below discounted intrinsic value, nor below 0."""
    return _price(_terms(sign, spot, strike, years, volatility, rate, dividend))


def price_on_future(
    sign: FloatLike, future: FloatLike, strike: FloatLike, years: FloatLike, volatility: FloatLike, rate: FloatLike
) -> Floats:
    """Value one unit by Black-76."""
    return price(sign, future, strike, years, volatility, rate, rate)


def greeks(
    sign: FloatLike,
    spot: FloatLike,
    strike: FloatLike,
    years: FloatLike,
    volatility: FloatLike,
    rate: FloatLike,
    dividend: FloatLike,
) -> Greeks:
    """Price and Greeks by Black-Scholes-Merton; `delta` and `gamma` are with respect to the spot."""
    terms = _terms(sign, spot, strike, years, volatility, rate, dividend)
    probability = ndtr(terms.sign * terms.d2)
    rho = terms.sign * terms.strike * terms.years * terms.discount * probability / 100
    return _greeks(terms, np.asarray(volatility), np.asarray(rate), np.asarray(dividend), rho)


def greeks_on_future(
    sign: FloatLike, future: FloatLike, strike: FloatLike, years: FloatLike, volatility: FloatLike, rate: FloatLike
) -> Greeks:
    """Price and Greeks by Black-76; `delta` and `gamma` are with respect to the future.

    `rho` is at a fixed price of the future: the rate discounts, and does nothing else.
    """
    terms = _terms(sign, future, strike, years, volatility, rate, rate)
    rho = -terms.years * _price(terms) / 100
    return _greeks(terms, np.asarray(volatility), np.asarray(rate), np.asarray(rate), rho)


def _terms(
    sign: FloatLike,
    spot: FloatLike,
    strike: FloatLike,
    years: FloatLike,
    volatility: FloatLike,
    rate: FloatLike,
    dividend: FloatLike,
) -> _Terms:
    years = np.maximum(years, 0.0)
    spot = np.where((np.asarray(spot) >= 0) & np.isfinite(sign), spot, np.nan)
    strike = np.where(np.asarray(strike) > 0, strike, np.nan)
    volatility = np.where(np.asarray(volatility) >= 0, volatility, np.nan)
    deviation = np.where(years == 0, 0.0, volatility * np.sqrt(years))  # what has expired needs no volatility
    growth, discount = np.exp(-np.multiply(dividend, years)), np.exp(-np.multiply(rate, years))
    distance = np.log(np.maximum(spot * growth, SMALLEST) / (strike * discount))
    in_deviations = distance / np.where(deviation < STILL, STILLEST, deviation)
    d1 = np.clip(in_deviations + deviation / 2, -FARTHEST, FARTHEST)
    return _Terms(np.asarray(sign), spot, strike, years, deviation, d1, d1 - deviation, growth, discount)


def _price(terms: _Terms) -> Floats:
    owned = terms.spot * terms.growth
    owed = terms.strike * terms.discount
    value = terms.sign * (owned * ndtr(terms.sign * terms.d1) - owed * ndtr(terms.sign * terms.d2))
    certain = np.maximum(terms.sign * (owned - owed), 0.0)
    return np.maximum(value, certain)


def _greeks(terms: _Terms, volatility: Floats, rate: Floats, dividend: Floats, rho: Floats) -> Greeks:
    density = np.exp(-0.5 * terms.d1**2) / ROOT_TWO_PI
    root = np.sqrt(terms.years)
    owned = terms.spot * terms.growth
    owed = terms.strike * terms.discount
    alive = terms.years > 0
    decay = owned * density * volatility / (2 * np.where(alive, root, 1.0))
    carry = dividend * owned * ndtr(terms.sign * terms.d1) - rate * owed * ndtr(terms.sign * terms.d2)
    bends = (terms.deviation >= STILL) & (terms.spot > 0)
    spread = np.where(bends, terms.spot * terms.deviation, 1.0)
    return Greeks(
        price=_price(terms),
        delta=terms.sign * terms.growth * ndtr(terms.sign * terms.d1),
        gamma=np.where(bends, terms.growth * density / spread, 0.0 * owned * terms.deviation),
        vega=owned * density * root / 100,
        theta=np.where(alive, (terms.sign * carry - decay) / DAYS_IN_YEAR, 0.0 * owned),
        rho=rho,
    )
