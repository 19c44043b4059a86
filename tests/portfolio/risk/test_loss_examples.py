"""The worked examples of losses and performance."""

import copy
from pathlib import Path

import pytest

from orders.examples import cases_of, risk_case, run, seed_rates

FILE = Path(__file__).parents[2] / "fixtures" / "risk" / "risk_examples.json"
EXAMPLES = {example["id"]: example for example in cases_of(FILE)}


@pytest.mark.parametrize("name", ["K01", "K02", "K03", "K10"])
def test_worked_example(name):
    case = run(risk_case, EXAMPLES[name], seed_rates())

    assert case.expected
    assert not case.differs


def test_a_short_history_differs_with_its_reason():
    example = copy.deepcopy(EXAMPLES["K01"])
    example["input"]["pnl"] = example["input"]["pnl"][:99]

    assert run(risk_case, example, seed_rates()).got["error"].startswith("too_few_days: 99 days")


def test_another_beginning_is_not_quietly_ours():
    example = copy.deepcopy(EXAMPLES["K03"])
    example["input"]["initial_variance"] = "sample variance"

    assert run(risk_case, example, seed_rates()).got["error"].startswith("initial_variance_unknown")


def test_cash_flows_are_no_gains():
    example = copy.deepcopy(EXAMPLES["K10"])
    equity = example["input"]["equity_curve"]
    example["input"]["cash_flows"] = [0] * len(equity)
    # As much again comes in on the morning of the thirtieth day, and stays.
    example["input"]["equity_curve"] = [*equity[:30], *(2 * each for each in equity[30:])]
    example["input"]["cash_flows"][30] = equity[29]

    assert not run(risk_case, example, seed_rates()).differs
