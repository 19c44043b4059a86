"""Implied volatility: found again from a price wherever the price tells it, undefined with a reason elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import QuantLib

from portfolio.risk.arrays import ABSENT
from portfolio.risk.implied import FINEST, NOISE, NoVolatility, Volatilities, implied_volatility, with_neighbours
from portfolio.risk.pricing import greeks
from tests.portfolio.risk.test_pricing import grid

NAN = float("nan")


@pytest.mark.parametrize("on_future", [False, True])
def test_is_found_again_where_vega_has_not_vanished_and_undefined_elsewhere(on_future: bool) -> None:
    cases = grid(seed=11)
    dividend = cases["rate"] if on_future else cases["dividend"]
    arguments = [cases[name] for name in ("sign", "spot", "strike", "years")]
    told = greeks(*arguments, cases["volatility"], cases["rate"], dividend)
    found = implied_volatility(told.price, *arguments, cases["rate"], dividend)
    # How far a price whose last digits are noise lets the volatility wander.
    wander = NOISE * (cases["spot"] + cases["strike"]) / np.maximum(100 * told.vega, 1e-300)
    certain, hopeless = wander < FINEST / 2, wander > 2 * FINEST
    assert certain.sum() > 500
    assert hopeless.sum() > 500
    assert (np.abs(found.value - cases["volatility"])[certain] <= np.maximum(1e-10, 2 * wander[certain])).all()
    assert np.isnan(found.value[hopeless]).all()
    assert all(
        (reason is None) == bool(np.isfinite(value)) for value, reason in zip(found.value, found.reason, strict=True)
    )
    assert {found.reason[place] for place in np.flatnonzero(hopeless)} <= {
        NoVolatility.NO_TIME_VALUE,
        NoVolatility.NO_PRICE,  # far out of the money: a price of nothing at all
        NoVolatility.ABOVE_BOUND,  # far in the money and wild: all of the bound
    }


def test_agrees_with_quantlib() -> None:
    cases = grid(seed=12, size=300)
    near = np.abs(np.log(cases["spot"] / cases["strike"])) < 2 * cases["volatility"] * np.sqrt(cases["years"])
    chosen = {name: column[near & (cases["years"] > 0.02)] for name, column in cases.items()}
    arguments = [chosen[name] for name in ("sign", "spot", "strike", "years")]
    prices = np.maximum(greeks(*arguments, chosen["volatility"], chosen["rate"], chosen["rate"]).price, 0.05)
    ours = implied_volatility(prices, *arguments, chosen["rate"], chosen["rate"])
    for place, price in enumerate(prices):
        sign, future, strike, years = (float(each[place]) for each in arguments)
        kind = QuantLib.Option.Call if sign > 0 else QuantLib.Option.Put
        discount = float(np.exp(-chosen["rate"][place] * years))
        deviation = QuantLib.blackFormulaImpliedStdDev(
            kind, strike, future, float(price), discount, 0.0, 0.2, 1e-12, 500
        )
        assert ours.value[place] == pytest.approx(deviation / np.sqrt(years), abs=1e-6)
    assert len(prices) > 50


@pytest.mark.parametrize(
    ("price", "sign", "spot", "strike", "years", "reason"),
    [
        (NAN, 1, 100, 100, 0.1, NoVolatility.NO_PRICE),
        (0.0, 1, 100, 100, 0.1, NoVolatility.NO_PRICE),
        (-1.0, 1, 100, 100, 0.1, NoVolatility.NO_PRICE),
        (5.0, 1, NAN, 100, 0.1, NoVolatility.NO_TERMS),
        (5.0, 1, 100, NAN, 0.1, NoVolatility.NO_TERMS),
        (5.0, 1, 100, 100, NAN, NoVolatility.NO_TERMS),
        (5.0, NAN, 100, 100, 0.1, NoVolatility.NO_TERMS),
        (5.0, 1, 0.0, 100, 0.1, NoVolatility.NO_TERMS),
        (5.0, 1, 100, 100, 0.0, NoVolatility.EXPIRED),
        (19.0, 1, 120, 100, 0.1, NoVolatility.BELOW_INTRINSIC),
        (19.0, -1, 80, 100, 0.1, NoVolatility.BELOW_INTRINSIC),
        (120.0, 1, 120, 100, 0.1, NoVolatility.ABOVE_BOUND),
        (100.0, -1, 80, 100, 0.1, NoVolatility.ABOVE_BOUND),
    ],
)
def test_says_why_there_is_none(price, sign, spot, strike, years, reason) -> None:
    found = implied_volatility(price, sign, spot, strike, years, 0.05, 0.0)
    assert np.isnan(found.value).all()
    assert found.reason == (reason,)
    assert not found.is_borrowed.any()


def test_one_without_any_does_not_disturb_the_others() -> None:
    fair = float(greeks(1, 100.0, 100.0, 0.1, 0.25, 0.05, 0.0).price)
    found = implied_volatility(
        np.array([fair, NAN, 1.0, fair]), 1.0, np.array([100.0, 100, 150, 100]), 100.0, 0.1, 0.05, 0.0
    )
    assert found.value[[0, 3]] == pytest.approx([0.25, 0.25], abs=1e-12)
    assert found.reason == (None, NoVolatility.NO_PRICE, NoVolatility.BELOW_INTRINSIC, None)


def told(value: list[float], reason: list[NoVolatility | None]) -> Volatilities:
    return Volatilities(np.array(value), tuple(reason), np.full(len(value), ABSENT, dtype=np.int64))


def test_the_nearest_strike_of_the_same_chain_lends() -> None:
    found = told([0.2, NAN, 0.3, NAN, 0.9], [None, NoVolatility.NO_PRICE, None, NoVolatility.NO_PRICE, None])
    lent = with_neighbours(found, np.array([100.0, 110, 130, 500, 109]), np.array([1, 1, 1, 2, 3]))
    assert lent.value[:3].tolist() == [0.2, 0.2, 0.3]
    assert np.isnan(lent.value[3])  # alone in its chain
    assert lent.borrowed_from.tolist() == [ABSENT, 0, ABSENT, ABSENT, ABSENT]
    assert lent.reason == found.reason  # that its own price tells nothing is still said


def test_of_two_equally_near_the_lower_strike_lends_and_the_same_strike_is_nearest() -> None:
    reasons = [None, NoVolatility.BELOW_INTRINSIC, None, None]
    even = with_neighbours(told([0.3, NAN, 0.2, 0.9], reasons), np.array([110.0, 105, 100, 500]), np.zeros(4, np.int64))
    assert (even.value[1], even.borrowed_from[1]) == (0.2, 2)
    other = with_neighbours(
        told([0.3, NAN, 0.2, 0.4], reasons), np.array([110.0, 105, 100, 105]), np.zeros(4, np.int64)
    )
    assert (other.value[1], other.borrowed_from[1]) == (0.4, 3)


def test_what_has_expired_borrows_nothing_and_nobody_lends_what_is_lent() -> None:
    found = told([NAN, 0.2, NAN], [NoVolatility.EXPIRED, None, NoVolatility.NO_PRICE])
    lent = with_neighbours(found, np.array([100.0, 100, 105]), np.zeros(3, np.int64))
    assert np.isnan(lent.value[0])
    again = with_neighbours(lent, np.array([100.0, 100, 105]), np.zeros(3, np.int64))
    assert again.borrowed_from.tolist() == [ABSENT, ABSENT, 1]
