"""Prices and Greeks: against QuantLib, against their own differences, and at the edges of what can be priced."""

from __future__ import annotations

import math

import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st

from portfolio.risk.pricing import greeks, greeks_on_future, price, price_on_future

MINUTE = 1 / (365 * 24 * 60)
CASES = 3000
GREEKS = ("price", "delta", "gamma", "vega", "theta", "rho")


def grid(seed: int, size: int = CASES) -> dict[str, np.ndarray]:
    """At random: two minutes to two years, from a fifth of the strike to five times it, 3% to 200% of volatility."""
    random = np.random.default_rng(seed)
    strike = random.uniform(50, 30_000, size)
    return {
        "sign": random.choice([1.0, -1.0], size),
        "spot": strike * np.exp(random.uniform(-1.6, 1.6, size) * random.choice([0.02, 0.2, 1.0], size)),
        "strike": strike,
        "years": np.exp(random.uniform(np.log(2 * MINUTE), np.log(2), size)),
        "volatility": np.exp(random.uniform(np.log(0.03), np.log(2), size)),
        "rate": random.uniform(-0.01, 0.12, size),
        "dividend": random.uniform(0, 0.06, size),
    }


def by_quantlib(case: dict[str, float], *, on_future: bool) -> dict[str, float]:
    """The same figures in our units; rho of an option on a future is not QuantLib's, which moves the future along."""
    kind = QuantLib.Option.Call if case["sign"] > 0 else QuantLib.Option.Put
    years, discount = case["years"], math.exp(-case["rate"] * case["years"])
    forward = case["spot"] * (1 if on_future else math.exp((case["rate"] - case["dividend"]) * years))
    told = QuantLib.BlackCalculator(
        QuantLib.PlainVanillaPayoff(kind, case["strike"]), forward, case["volatility"] * math.sqrt(years), discount
    )
    return {
        "price": told.value(),
        "delta": told.delta(case["spot"]),
        "gamma": told.gamma(case["spot"]),
        "vega": told.vega(years) / 100,
        "theta": told.theta(case["spot"], years) / 365,
        "rho": told.rho(years) / 100,
    }


@pytest.mark.parametrize("on_future", [False, True])
def test_agrees_with_quantlib_near_and_far_from_the_money_and_from_expiry(on_future: bool) -> None:
    cases = grid(seed=8)
    arguments = [cases[name] for name in ("sign", "spot", "strike", "years", "volatility", "rate", "dividend")]
    ours = greeks_on_future(*arguments[:-1]) if on_future else greeks(*arguments)
    compared = GREEKS[:-1] if on_future else GREEKS
    theirs = [
        by_quantlib({name: float(column[place]) for name, column in cases.items()}, on_future=on_future)
        for place in range(CASES)
    ]
    # Made free of units: of the spot's size, so that one tolerance suits shares of 50 and an index of 30,000.
    sizes = {"delta": 1.0, "gamma": 1 / cases["spot"]}
    for name in compared:
        size = sizes.get(name, cases["spot"])
        expected = np.array([each[name] for each in theirs])
        np.testing.assert_allclose(getattr(ours, name) / size, expected / size, rtol=1e-8, atol=1e-11, err_msg=name)


def test_the_grid_reaches_where_it_hurts() -> None:
    cases = grid(seed=8)
    deviation = cases["volatility"] * np.sqrt(cases["years"])
    distance = np.abs(np.log(cases["spot"] / cases["strike"])) / deviation
    assert (cases["years"] < 60 * MINUTE).sum() > 100
    assert (distance > 8).sum() > 100
    assert (distance < 0.5).sum() > 100


def test_call_and_put_differ_by_the_forward() -> None:
    cases = grid(seed=9)
    rest = [cases[name] for name in ("spot", "strike", "years", "volatility", "rate", "dividend")]
    forward = cases["spot"] * np.exp(-cases["dividend"] * cases["years"]) - cases["strike"] * np.exp(
        -cases["rate"] * cases["years"]
    )
    np.testing.assert_allclose(price(1, *rest) - price(-1, *rest), forward, atol=1e-10 * 3e4, rtol=1e-12)
    rest = rest[:-1]
    discounted = (cases["spot"] - cases["strike"]) * np.exp(-cases["rate"] * cases["years"])
    np.testing.assert_allclose(
        price_on_future(1, *rest) - price_on_future(-1, *rest), discounted, atol=1e-10 * 3e4, rtol=1e-12
    )


@pytest.mark.parametrize("on_future", [False, True])
def test_greeks_are_what_small_moves_do(on_future: bool) -> None:
    """Central differences, where the price is smooth enough for them."""
    cases = grid(seed=10)
    smooth = (cases["volatility"] * np.sqrt(cases["years"]) > 0.02) & (cases["years"] > 0.01)
    cases = {name: column[smooth] for name, column in cases.items()}
    names = ["sign", "spot", "strike", "years", "volatility", "rate", "dividend"][: 6 if on_future else 7]
    value = price_on_future if on_future else price
    told = (greeks_on_future if on_future else greeks)(*(cases[name] for name in names))

    def moved(name: str, by: np.ndarray | float) -> np.ndarray:
        return value(*((cases | {name: cases[name] + by})[each] for each in names))

    step = 1e-4 * cases["spot"] * cases["volatility"] * np.sqrt(cases["years"])
    scale = cases["spot"]
    delta = (moved("spot", step) - moved("spot", -step)) / (2 * step)
    gamma = (moved("spot", 100 * step) - 2 * value(*(cases[name] for name in names)) + moved("spot", -100 * step)) / (
        100 * step
    ) ** 2
    day = 1e-5
    theta = (moved("years", -day) - moved("years", day)) / (2 * day) / 365
    vega = (moved("volatility", 1e-5) - moved("volatility", -1e-5)) / 2e-5 / 100
    rho = (moved("rate", 1e-5) - moved("rate", -1e-5)) / 2e-5 / 100
    np.testing.assert_allclose(told.delta, delta, atol=1e-6)
    np.testing.assert_allclose(told.gamma * scale, gamma * scale, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(told.theta / scale, theta / scale, atol=1e-7)
    np.testing.assert_allclose(told.vega / scale, vega / scale, atol=1e-8)
    np.testing.assert_allclose(told.rho / scale, rho / scale, atol=1e-8)


@pytest.mark.parametrize(
    ("sign", "spot", "expected", "delta"),
    [(1, 110.0, 10.0, 1.0), (1, 90.0, 0.0, 0.0), (-1, 90.0, 10.0, -1.0), (-1, 110.0, 0.0, 0.0), (1, 100.0, 0.0, 0.5)],
)
@pytest.mark.parametrize("volatility", [0.2, 0.0, float("nan")])
def test_what_has_expired_is_worth_what_it_is_in_the_money(sign, spot, expected, delta, volatility) -> None:
    told = greeks(sign, spot, 100.0, 0.0, volatility, 0.05, 0.01)
    assert (told.price, told.delta) == (expected, delta)
    assert [getattr(told, name) for name in ("gamma", "vega", "theta", "rho")] == [0, 0, 0, 0]
    assert greeks(sign, spot, 100.0, -0.5, volatility, 0.05, 0.01).price == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_without_volatility_it_is_worth_its_forward(sign) -> None:
    owned, owed = 105 * math.exp(-0.01), 100 * math.exp(-0.05)
    told = greeks(sign, 105.0, 100.0, 1.0, 0.0, 0.05, 0.01)
    assert told.price == pytest.approx(max(sign * (owned - owed), 0), abs=1e-12)
    assert told.delta == pytest.approx(math.exp(-0.01) if sign > 0 else 0)
    assert told.theta * 365 == pytest.approx(0.01 * owned - 0.05 * owed if sign > 0 else 0)
    assert (told.gamma, told.vega) == (0, 0)


def test_no_number_is_lost_and_no_warning_raised_at_the_extremes() -> None:
    """Warnings are errors here; under them numpy also tells of every division and overflow."""
    spots = np.array([0.0, 1e-12, 1e-3, 100.0, 1e5, 1e12])
    years = np.array([0.0, 1e-12, MINUTE, 1.0, 50.0])
    volatilities = np.array([0.0, 1e-200, 1e-9, 0.2, 5.0, 100.0])
    for sign in (1.0, -1.0):
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            mesh = np.meshgrid(spots, years, volatilities)
            for told in (
                greeks(sign, mesh[0], 100.0, mesh[1], mesh[2], 0.065, 0.012),
                greeks_on_future(sign, mesh[0], 100.0, mesh[1], mesh[2], 0.065),
            ):
                for name in GREEKS:
                    assert np.isfinite(getattr(told, name)).all(), name
                assert (told.price >= 0).all()


@pytest.mark.parametrize(
    "arguments",
    [
        (1, -1.0, 100.0, 1.0, 0.2, 0.05, 0.0),
        (1, 100.0, 0.0, 1.0, 0.2, 0.05, 0.0),
        (1, 100.0, 100.0, 1.0, -0.2, 0.05, 0.0),
        (1, math.nan, 100.0, 1.0, 0.2, 0.05, 0.0),
        (1, 100.0, 100.0, math.nan, 0.2, 0.05, 0.0),
        (1, 100.0, 100.0, 1.0, math.nan, 0.05, 0.0),
        (math.nan, 100.0, 100.0, 1.0, 0.2, 0.05, 0.0),
        (1, math.nan, 100.0, 0.0, 0.2, 0.05, 0.0),
    ],
)
def test_what_cannot_be_priced_has_no_price_and_no_greeks(arguments) -> None:
    told = greeks(*arguments)
    assert all(np.isnan(getattr(told, name)) for name in ("price", "delta", "gamma", "theta", "rho"))


@given(st.floats(1, 1e5), st.floats(0, 1e4), st.floats(1, 1e5), st.floats(0, 3), st.floats(0, 2), st.floats(0, 0.12))
def test_a_call_grows_and_a_put_shrinks_with_the_spot(spot, more, strike, years, volatility, rate) -> None:
    call, put = (
        [float(price(sign, each, strike, years, volatility, rate, 0.0)) for each in (spot, spot + more)]
        for sign in (1, -1)
    )
    noise = 1e-11 * (spot + more + strike)
    assert call[1] >= call[0] - noise
    assert put[1] <= put[0] + noise


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0, 3), st.floats(0, 2), st.floats(0, 1), st.floats(0, 0.12))
def test_more_volatility_is_never_cheaper_and_nothing_exceeds_its_bounds(
    spot, strike, years, volatility, more, rate
) -> None:
    noise = 1e-11 * (spot + strike)
    for sign, bound in ((1, spot), (-1, strike * math.exp(-rate * years))):
        less, dearer = (
            float(price(sign, spot, strike, years, each, rate, 0.0)) for each in (volatility, volatility + more)
        )
        assert less <= dearer + noise
        assert max(sign * (spot - strike * math.exp(-rate * years)), 0) - noise <= less <= bound + noise
