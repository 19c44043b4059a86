"""Rounding happens once, half up, and everything is written as a plain string."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.wire import IST
from portfolio.presentation import (
    Average,
    Money,
    Percent,
    Price,
    Quantity,
    average,
    paise,
    present,
    price,
    quantity,
    schema,
)

D = Decimal


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("566484.7", "566484.70"),
        ("548111.2925", "548111.29"),
        ("0.005", "0.01"),
        ("-0.005", "-0.01"),
        ("0.0049", "0.00"),
        ("-0.001", "0.00"),
        ("2.675", "2.68"),
        ("1E+7", "10000000.00"),
        ("0", "0.00"),
        ("-0.0", "0.00"),
        ("99725.05000000002", "99725.05"),
    ],
)
def test_money_has_two_places(value: str, written: str) -> None:
    assert paise(D(value)) == written


@pytest.mark.parametrize(
    ("value", "written"), [("1573.7", "1573.70"), ("72.755", "72.755"), ("0.00005", "0.0001"), ("100", "100.00")]
)
def test_a_price_has_two_to_four_places(value: str, written: str) -> None:
    assert price(D(value)) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [("801.78125", "801.78125"), ("161", "161.00"), ("100.123456789", "100.12345679"), ("1E+2", "100.00")],
)
def test_an_average_has_two_to_eight_places(value: str, written: str) -> None:
    assert average(D(value)) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [("15.0", "15"), ("1E+3", "1000"), ("0.5000", "0.5"), ("0", "0"), ("100", "100"), ("-65", "-65")],
)
def test_a_quantity_has_no_idle_zeros(value: str, written: str) -> None:
    assert quantity(D(value)) == written


@given(st.decimals("-1e15", "1e15", allow_nan=False))
def test_what_is_written_is_what_was_meant(value: Decimal) -> None:
    for write, places in ((paise, "0.005"), (price, "0.00005"), (average, "0.000000005")):
        text = write(value)
        assert "E" not in text.upper()
        assert abs(Decimal(text) - value) <= D(places)


class Colour(StrEnum):
    RED = "RED"


@dataclass(frozen=True)
class Inner:
    amount: Money | None


@dataclass(frozen=True)
class Outer:
    total: Money
    rate: Price
    paid: Average | None
    count: Quantity
    share: Percent
    colour: Colour | None
    at: datetime
    on: date
    rows: tuple[Inner, ...]
    names: tuple[str, ...]
    number: int
    whole: bool


def outer(**changed: Any) -> Outer:
    facts: dict[str, Any] = {
        "total": D("1.005"),
        "rate": D("2.5"),
        "paid": None,
        "count": D("10.0"),
        "share": D("12.345"),
        "colour": Colour.RED,
        "at": datetime(2026, 11, 23, 10, 30, 0, 123456, tzinfo=IST),
        "on": date(2026, 12, 29),
        "rows": (Inner(D(0)), Inner(None)),
        "names": ("a",),
        "number": 7,
        "whole": True,
    }
    return Outer(**{**facts, **changed})


def test_an_answer_is_plain_json() -> None:
    assert present(outer()) == {
        "total": "1.01",
        "rate": "2.50",
        "paid": None,
        "count": "10",
        "share": "12.35",
        "colour": "RED",
        "at": "2026-11-23T05:00:00.123Z",
        "on": "2026-12-29",
        "rows": [{"amount": "0.00"}, {"amount": None}],
        "names": ["a"],
        "number": 7,
        "whole": True,
    }
    assert present(outer(at=datetime(2026, 11, 23, tzinfo=UTC)))["at"] == "2026-11-23T00:00:00.000Z"


def test_the_schema_says_the_same() -> None:
    described = schema(Outer)
    assert described["required"] == list(present(outer()))
    assert described["properties"]["total"] == {"type": "string", "example": "23605.50"}
    assert described["properties"]["paid"] == {"type": "string", "example": "801.78125", "nullable": True}
    assert described["properties"]["colour"] == {"type": "string", "enum": ["RED"], "nullable": True}
    assert described["properties"]["rows"]["items"]["properties"]["amount"]["nullable"] is True
    assert described["properties"]["on"] == {"type": "string", "format": "date"}
