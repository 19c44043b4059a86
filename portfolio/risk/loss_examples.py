"""Worked examples of losses and performance. Every number of a file is exact; it becomes a float here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from portfolio.risk.errors import RiskError
from portfolio.risk.numbers import Array, floats
from portfolio.risk.performance import drawdown, performance, returns_of, unit_values
from portfolio.risk.tail import ewma, historical, parametric, stretched


def historical_var_es(given: Mapping[str, Any]) -> dict[str, Any]:
    pnl, days = floats(given["pnl"]), int(given["horizon_days"])
    tails = {
        str(confidence): stretched(historical(pnl, confidence), days, has_options=False)
        for confidence in given["confidence"]
    }
    return {confidence: {"var": tail.var, "es": tail.es} for confidence, tail in tails.items()}


def parametric_var_es(given: Mapping[str, Any]) -> dict[str, Any]:
    figures = parametric(
        floats(given["exposures"]),
        np.array([floats(row) for row in given["cov_daily"]]),
        given["confidence"],
        mean=floats(given["mean_daily"]),
        horizon_days=int(given["horizon_days"]),
    )
    return {
        "sigma": figures.sigma,
        "var": figures.var,
        "es": figures.es,
        "marginal_var": None if figures.marginal is None else figures.marginal.tolist(),
        "component_var": figures.component.tolist(),
    }


def ewma_var(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["initial_variance"] != "first squared return":
        raise RiskError(
            f"Nothing begins at the {given['initial_variance']}.",
            code="initial_variance_unknown",
            remedy="Begin at the first squared return.",
        )
    figures = ewma(
        floats(given["returns"]), float(given["position_value"]), given["confidence"], decay=float(given["lam"])
    )
    return {"next_day_variance": figures.variance, "next_day_vol": figures.volatility, "var": figures.var}


def drawdown_performance(given: Mapping[str, Any]) -> dict[str, Any]:
    equity = floats(given["equity_curve"])
    values = unit_values(equity, _flows(given, equity))
    fallen = drawdown(values)
    figures = performance(
        returns_of(values), risk_free_daily=float(given["risk_free_daily"]), periods=int(given["periods_per_year"])
    )
    return {
        "max_drawdown": fallen.maximum,
        "current_drawdown": fallen.current,
        "daily_vol": figures.daily_volatility,
        "annual_vol": figures.annual_volatility,
        "sharpe": figures.sharpe,
        "sortino": figures.sortino,
        "calmar": figures.calmar,
    }


def _flows(given: Mapping[str, Any], equity: Array) -> Array:
    return floats(given["cash_flows"]) if "cash_flows" in given else np.zeros_like(equity)
