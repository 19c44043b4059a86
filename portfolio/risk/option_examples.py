"""Worked examples of options and stress. Every number of a file is exact; it becomes a float here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from portfolio.risk.arrays import ABSENT, BookArrays, Driver, Floats, Pricing
from portfolio.risk.implied import implied_volatility
from portfolio.risk.pricing import greeks, greeks_on_future, price
from portfolio.risk.revaluation import revalue_moves
from portfolio.risk.scenarios import Scenario
from portfolio.risk.stress import scenario_moves

SIGNS = {"c": 1.0, "p": -1.0}


def bsm_greeks(given: Mapping[str, Any]) -> dict[str, Any]:
    sign = np.array([SIGNS[given["flag"]]])
    spot, strike, years, rate, dividend, volatility = (
        np.array([float(given[name])]) for name in ("S", "K", "T_years", "r", "q", "sigma")
    )
    told = greeks(sign, spot, strike, years, volatility, rate, dividend)
    implied = implied_volatility(told.price, sign, spot, strike, years, rate, dividend)
    return {
        "price": float(told.price[0]),
        "delta": float(told.delta[0]),
        "gamma": float(told.gamma[0]),
        "vega_per_1pct": float(told.vega[0]),
        "theta_per_calendar_day": float(told.theta[0]),
        "rho_per_1pct": float(told.rho[0]),
        "implied_vol_from_price": float(implied.value[0]),
    }


def black76(given: Mapping[str, Any]) -> dict[str, Any]:
    numbers = (np.array([float(given[name])]) for name in ("F", "K", "T_years", "sigma", "r"))
    told = greeks_on_future(np.array([SIGNS[given["flag"]]]), *numbers)
    return {
        "price": float(told.price[0]),
        "delta_wrt_future": float(told.delta[0]),
        "gamma": float(told.gamma[0]),
        "vega_per_1pct": float(told.vega[0]),
    }


def stress_full_revaluation(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    book = _book(given["equities"], given["option"])
    scenarios = [
        Scenario(
            code="example", title=each["name"], index=each["index_pct"], volatility=each["vol_rel"], days=each["days"]
        )
        for each in given["scenarios"]
    ]
    pnl = revalue_moves(
        book,
        scenario_moves(book, scenarios),
        volatility=np.array([float(each.volatility) for each in scenarios]),
        days=np.array([float(each.days) for each in scenarios]),
    )
    before = float(book.price[-1])
    return [
        {
            "scenario": scenario.title,
            "option_price_before": before,
            "option_price_after": before + float(line[-1] / book.units[-1]),
            "pnl": float(line.sum()),
        }
        for scenario, line in zip(scenarios, pnl, strict=True)
    ]


def _book(equities: list[Mapping[str, Any]], option: Mapping[str, Any]) -> BookArrays:
    """The shares, and the option on the index as the last line, at its price by the model."""
    lines = len(equities) + 1
    last = np.arange(lines) == lines - 1

    def column(name: str, of_option: float) -> Floats:
        return np.array([*(float(each[name]) for each in equities), of_option])

    def only(value: float) -> Floats:
        return np.where(last, value, np.nan)

    spot, strike, years, volatility, rate = (float(option[name]) for name in ("S", "K", "T_years", "sigma", "r"))
    sign = SIGNS[option["flag"]]
    worth = float(price(sign, spot, strike, years, volatility, rate, 0.0))
    return BookArrays(
        brokers=("example",),
        issuers=("example",),
        factors=(),
        broker=np.zeros(lines, dtype=np.int64),
        issuer=np.zeros(lines, dtype=np.int64),
        factor=np.full(lines, ABSENT, dtype=np.int64),
        factor_beta=np.ones(lines),
        driver=np.full(lines, Driver.INDEX, dtype=np.int64),
        beta=column("beta", 1.0),
        pricing=np.where(last, Pricing.ON_SPOT, Pricing.SPOT).astype(np.int64),
        units=column("units", float(option["units"])),
        price=column("price", worth),
        underlying=column("price", spot),
        sign=np.where(last, sign, 0.0),
        strike=only(strike),
        years=only(years),
        volatility=only(volatility),
        rate=only(rate),
        dividend=np.zeros(lines),
        duration=only(np.nan),
        is_company=~last,
    )
