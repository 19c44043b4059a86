"""Every reader of the wire: what it takes, what it makes of it, and what it refuses by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import wire
from brokers.domain import Exchange, OrderStatus, RowProblem, Rows
from brokers.errors import UnexpectedResponse

D = Decimal


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (7, D(7)),
        (D("801.78125"), D("801.78125")),
        ("1573.70", D("1573.70")),
        ("1,23,456.50", D("123456.50")),
        (" 12 ", D(12)),
        ("-0.05", D("-0.05")),
        (None, None),
        ("", None),
        ("-", None),
        ("NaN", None),
        ("nan", None),
        ("NA", None),
        ("null", None),
        (0, D(0)),
        ("0.00", D(0)),
    ],
)
def test_numbers_as_brokers_write_them(written: object, meant: Decimal | None) -> None:
    assert wire.number(written, "price") == meant


@pytest.mark.parametrize("zero", [D("-0.0"), "-0.0", D("0E+3"), "-0"])
def test_zero_has_no_sign(zero: object) -> None:
    assert str(wire.number(zero, "price")) == "0"


@pytest.mark.parametrize("written", [1.5, True, "twelve", "1.2.3", [1], {}, "Infinity", D("Infinity"), D("NaN"), "1e"])
def test_what_is_no_number_is_refused_by_name(written: object) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        wire.number(written, "average_price")
    assert caught.value.field == "average_price"
    assert str(written) not in str(caught.value) or isinstance(written, dict | list)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=D("-1e12"), max_value=D("1e12"), places=6))
def test_no_digit_is_lost(exact: Decimal) -> None:
    assert wire.number(str(exact), "price") == wire.number(exact, "price") == exact


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (wire.amount, None),
        (wire.amount, "NaN"),
        (wire.positive, -1),
        (wire.whole, -1),
        (wire.whole, None),
        (wire.flag, 1),
        (wire.flag, "true"),
        (wire.flag, None),
        (wire.text, ""),
        (wire.text, None),
        (wire.text, True),
        (wire.text, D("1.5")),
        (wire.record, []),
        (wire.texts, "NSE"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(read: Callable[[wire.Row, str], Any], value: object) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        read({"here": value}, "here")
    assert caught.value.field == "here"


@pytest.mark.parametrize(
    "read", [wire.required, wire.record, wire.text, wire.money, wire.amount, wire.positive, wire.whole, wire.flag]
)
def test_an_absent_field_is_refused_by_name(read: Callable[[wire.Row, str], Any]) -> None:
    with pytest.raises(UnexpectedResponse, match="`absent` is missing"):
        read({"here": 1}, "absent")


def test_null_is_unknown_and_not_zero() -> None:
    row = {"price": None, "zero": 0, "cost": D("1.50")}
    assert (wire.required(row, "price"), wire.money(row, "price"), wire.positive(row, "price")) == (None, None, None)
    assert (wire.money(row, "zero"), wire.positive(row, "zero")) == (0, None)
    assert (wire.money(row, "cost"), wire.positive(row, "cost"), wire.amount(row, "zero")) == (D("1.50"), D("1.50"), 0)


def test_texts_and_identifiers() -> None:
    row = {"token": 408065, "name": "INFY", "empty": "", "words": ["a", 1], "nothing": None}
    assert (wire.text(row, "token"), wire.text(row, "name")) == ("408065", "INFY")
    assert (wire.texts(row, "words"), wire.texts(row, "nothing"), wire.texts(row, "absent")) == (("a", "1"), (), ())
    assert [wire.optional_text(row, name) for name in ("name", "empty", "nothing", "absent")] == [
        "INFY",
        None,
        None,
        None,
    ]
    assert wire.first_text(row, "empty", "absent", "name") == "INFY"
    with pytest.raises(UnexpectedResponse, match="`empty`"):
        wire.first_text(row, "empty", "absent")


def test_words_are_looked_up() -> None:
    row = {"exchange": "NSE", "other": "NYSE", "odd": ["NSE"]}
    assert wire.one_of(Exchange, row, "exchange") is Exchange.NSE
    assert wire.translated({"D": 1}, "D", "product") == 1
    assert wire.known({"a": 1, "b": 2}, ["b", "x", "a", "b"]) == (2, 1)
    for name in ("other", "odd"):
        with pytest.raises(UnexpectedResponse, match=f"`{name}`"):
            wire.one_of(Exchange, row, name)
    for word in ("X", None, ["unhashable"]):
        with pytest.raises(UnexpectedResponse, match="`product`"):
            wire.translated({"D": 1}, word, "product")


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("open", 0, OrderStatus.OPEN),
        ("open", 3, OrderStatus.PARTIALLY_FILLED),
        ("open", 10, OrderStatus.OPEN),
        ("done", 3, OrderStatus.FILLED),
        ("a word of tomorrow", 0, OrderStatus.UNKNOWN),
    ],
)
def test_an_orders_state(word: str, filled: int, status: OrderStatus) -> None:
    table = {"open": OrderStatus.OPEN, "done": OrderStatus.FILLED}
    assert wire.order_status(table, word, D(filled), D(10)) is status


def test_naive_times_are_indian() -> None:
    assert wire.ist("2026-11-23 10:30:00", "time").astimezone(UTC) == datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
    assert wire.day("2026-12-29", "expiry") == date(2026, 12, 29)
    with pytest.raises(UnexpectedResponse, match="`time`"):
        wire.ist("10:30", "time")
    with pytest.raises(UnexpectedResponse, match="`expiry`"):
        wire.day("29-12-2026", "expiry")


def test_one_bad_row_is_counted_and_the_others_stay() -> None:
    def read(row: wire.Row) -> list[Decimal]:
        return [wire.amount(row, "quantity")] * 2

    rows = wire.each("holdings", read, [{"quantity": 1}, {"quantity": None}, "no object", {"quantity": 4}])
    assert rows == Rows(
        (D(1), D(1), D(4), D(4)),
        (RowProblem(part="holdings", row=1, field="quantity"), RowProblem(part="holdings", row=2, field="holdings")),
    )


@pytest.mark.parametrize("data", [None, {}, "[]", 0])
def test_no_list_is_no_empty_list(data: object) -> None:
    with pytest.raises(UnexpectedResponse, match="`holdings` is not a list"):
        wire.each("holdings", lambda row: [row], data)
