"""Worked examples of risk: which function computes a kind of them. One line per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portfolio.risk import book_examples, loss_examples, option_examples

# From the `input` of an example to what was computed, in the words of its `expected`.
Engine = Callable[[Mapping[str, Any]], Any]

KINDS: dict[str, Engine] = {
    "historical_var_es": loss_examples.historical_var_es,
    "parametric_var_es": loss_examples.parametric_var_es,
    "ewma_var": loss_examples.ewma_var,
    "bsm_greeks": option_examples.bsm_greeks,
    "black76": option_examples.black76,
    "stress_full_revaluation": option_examples.stress_full_revaluation,
    "drawdown_performance": loss_examples.drawdown_performance,
    "beta_weighted_delta": book_examples.beta_weighted_delta,
    "concentration": book_examples.concentrations,
    "margin_leverage": book_examples.margin_leverage,
}
