"""The shared examples of the whole book: beta-weighted delta, concentration, margin and leverage."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from portfolio.risk.examples import KINDS

FILE = Path(__file__).parents[2] / "fixtures" / "risk" / "risk_examples.json"
EXAMPLES = {each["id"]: each for each in json.loads(FILE.read_text(), parse_float=Decimal)["examples"]}


def differences(expected: Any, got: Any, tolerance: Decimal, place: str = "") -> list[str]:
    if isinstance(expected, dict):
        assert expected.keys() == got.keys(), place
        pairs = [(f"{place}.{key}", value, got[key]) for key, value in expected.items()]
    elif isinstance(expected, list):
        assert len(expected) == len(got), place
        pairs = [(f"{place}[{index}]", *pair) for index, pair in enumerate(zip(expected, got, strict=True))]
    else:
        return [] if abs(Decimal(expected) - got) <= tolerance else [f"{place}: expected {expected}, got {got}"]
    return [each for name, one, other in pairs for each in differences(one, other, tolerance, name)]


@pytest.mark.parametrize("name", ["K07", "K08", "K11"])
def test_the_example_comes_out(name: str) -> None:
    example = EXAMPLES[name]
    got = KINDS[example["kind"]](example["input"])
    assert differences(example["expected"], got, Decimal(example["tolerance"])) == []


def test_money_at_one_broker_is_none_at_another() -> None:
    """The consolidated figure of the example looks well, and its worst account is nearly spent."""
    got = KINDS["margin_leverage"](EXAMPLES["K11"]["input"])["consolidated"]
    assert got["margin_utilisation"] < Decimal("0.7") < Decimal("0.97") < got["worst_broker_utilisation"]
