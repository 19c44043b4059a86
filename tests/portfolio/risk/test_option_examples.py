"""The worked examples of options and stress."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from orders.examples import cases_of, risk_case, seed_rates

FILE = Path(__file__).parents[2] / "fixtures" / "risk" / "risk_examples.json"
EXAMPLES = {example["id"]: example for example in cases_of(FILE)}


@pytest.mark.parametrize("name", ["K04", "K05", "K06", "K09"])
def test_computes_what_is_expected(name: str) -> None:
    case = risk_case(EXAMPLES[name], seed_rates())
    assert case.differs == ()
    assert set(case.got) == set(case.expected)


def test_another_dividend_is_another_price() -> None:
    example = copy.deepcopy(EXAMPLES["K04"])
    example["input"]["q"] = 0
    assert "price" in risk_case(example, seed_rates()).differs


def test_a_put_is_no_call() -> None:
    example = copy.deepcopy(EXAMPLES["K09"])
    example["input"]["option"]["flag"] = "c"
    assert "0.pnl" in risk_case(example, seed_rates()).differs
