"""Explain a number of a position: what the page has is worked out, and what it is not told stands there by its name."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from brokers.domain import Contract, Exchange, OptionType, Product
from portfolio.consolidate import consolidate
from portfolio.domain import SourceState
from portfolio.presentation import present
from tests.pages.test_book_model import page, run
from tests.pages.test_explain import both_sides
from tests.portfolio.sources import INFY, NOW, account, holding, merged, position, source
from tests.portfolio.strategies import books

__all__ = ("page",)

pytestmark = pytest.mark.browser

FIELDS = {"day": "day_pnl", "unrealised": "unrealized_pnl", "realised": "realized_pnl"}
NUMBERS = (*FIELDS, "value", "average")
CALL = {"exchange": Exchange.NFO, "symbol": "NIFTY26DEC27000CE", "product": Product.NRML, "exchange_token": "43021"}


def explained(page: Any, row: dict[str, Any], number: str, book: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = run(
        page, "explain_positions", "explainPosition", row, number, {"sources": book["sources"]}
    )
    return answer


def words(told: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["words"] for each in told["inputs"]}


def contracts(*sources: Any) -> dict[str, Any]:
    answer: dict[str, Any] = present(merged(*sources))
    return answer


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(sources=books())
def test_of_every_position_each_number_is_told_or_says_why_not(page, sources):
    book = present(consolidate(1, sources, now=NOW))
    others = [row for row in book["trading_positions"] if row["kind"] != "DERIVATIVE"]
    for row in [*book["derivatives"], *others]:
        for number in NUMBERS:
            told = explained(page, row, number, book)
            known = row[FIELDS[number]] if number in FIELDS else told["formula"]
            assert (told["formula"] is None) is (known is None), told
            assert "null" not in str(told)
            if told["formula"] is None:
                assert told["left"][0].endswith(".")
            elif number in FIELDS:
                assert Decimal(written(told["formula"])) == Decimal(known)
        units = sum(abs(Decimal(line["quantity"])) for line in row.get("broker_positions", [row]))
        told = explained(page, row, "unrealised", book)
        if told["formula"] and "=" in told["formula"]:
            left, right = both_sides(told["formula"])
            assert abs(left - right) <= Decimal("0.011") + units * Decimal("0.0001"), told


def written(formula: str) -> str:
    return re.split("[=:]", formula)[-1].replace(",", "").replace("−", "-").strip()


def test_a_contract_at_two_accounts_is_the_sum_of_its_parts_and_each_is_named(page):
    here = position(50, price="170.10", last="180.25", **CALL)
    there = position(-25, price="176", last="180.25", **CALL)
    old = source("zerodha", account([], [there], age=300), number=2, state=SourceState.STALE)
    book = contracts(source("zerodha", account([], [here])), old)
    [row] = book["derivatives"]
    told = explained(page, row, "unrealised", book)
    assert told["formula"] == "50 × (180.25 − 170.10) − 25 × (180.25 − 176.00) = +401.25"
    assert re.search(r"^\+50 at 170.10 · .*10:30:00$", words(told)["Zerodha 1 NRML"])
    assert re.search(r"^−25 at 176.00 · .*10:25:00: an earlier answer", words(told)["Zerodha 2 NRML"])
    assert told["left"] == ["What is closed already: that is in the realised P&L.", "Charges and taxes."]
    day = explained(page, row, "day", book)
    assert day["formula"] == "507.50 − 106.25 = +401.25"
    average = explained(page, row, "average", book)
    assert average["formula"] == "170.10 at Zerodha 1 · 176.00 at Zerodha 2"
    assert average["left"][0].startswith("One average over accounts")


def test_the_value_is_units_at_the_last_price_and_the_notional_only_where_the_page_has_it(page):
    call = Contract(underlying="NIFTY", expiry=NOW.date(), strike=Decimal(27000), option_type=OptionType.CE)
    future = Contract(underlying="NIFTY", expiry=NOW.date(), strike=None, option_type=None)
    more = {"exchange": Exchange.NFO, "product": Product.NRML}
    rows = [
        position(-75, last="180.25", symbol="CALL", contract=call, **more),
        position(-75, last="26100.5", symbol="FUT", contract=future, **more),
    ]
    book = contracts(source("zerodha", account([], rows)))
    option, fut = (explained(page, row, "value", book) for row in book["derivatives"])
    assert option["formula"] == "(−75) × 180.25 = −13,518.75"
    assert words(option)["Notional"].startswith("units × the price of NIFTY, which is not told to this page")
    assert fut["formula"] == "(−75) × 26,100.50 = −19,57,537.50"
    assert words(fut)["Notional"] == "19,57,537.50: of a future, the same"
    assert fut["left"] == ["The total value: no position is part of it."]


def test_a_day_names_what_only_the_broker_was_told(page):
    book = contracts(source("zerodha", account([], [position(40, product=Product.MIS)])))
    [row] = book["trading_positions"]
    told = explained(page, row, "day", book)
    assert told["formula"] == "sold today − bought today + 40 × 110.00 − carried × previous close = +400.00"
    assert words(told)["Sold and bought today"] == "told by its broker, and not to this page"
    booked = explained(page, row, "realised", book)
    assert booked["formula"] == "sold − bought + 40 × 100.00 = 0.00"


def test_a_sale_out_of_the_holdings_is_measured_from_cost_and_from_the_close(page):
    shares = [holding(INFY, 10, average="90", close="105")]
    sale = position(-10, price="108", isin=INFY, product=Product.CNC)
    kept = source("upstox", account(shares, [sale]), owned_before_sales={INFY: Decimal(20)})
    book = contracts(kept)
    [row] = book["trading_positions"]
    assert row["kind"] == "SALE_OF_HOLDING"
    assert explained(page, row, "realised", book)["formula"] == "10 × (108.00 − what they had cost) = +180.00"
    assert explained(page, row, "day", book)["formula"] == "10 × (108.00 − their previous close) = +30.00"
    assert explained(page, row, "unrealised", book)["formula"] == "Nothing is open: 0.00"


@pytest.mark.parametrize(
    ("changed", "number", "reason"),
    [
        ({"last_price": None}, "unrealised", "No broker and no stream gives a price, so it is not known."),
        ({"last_price": None}, "value", "No broker and no stream gives a price, so it is not known."),
        ({"average_price": None}, "unrealised", "The average price at Zerodha MIS is not known."),
        ({"average_price": None}, "realised", "The average price at Zerodha MIS is not known."),
        ({"average_price": None}, "average", "No broker tells it, or nothing is open."),
        (
            {"overnight_quantity": Decimal(5), "close_price": None},
            "day",
            "The previous close is not known, and part of it is carried from before today.",
        ),
    ],
)
def test_what_is_not_known_says_what_it_lacks_first(page, changed, number, reason):
    row = replace(position(40, product=Product.MIS), **changed)
    book = contracts(source("zerodha", account([], [row])), source("groww", None))
    told = explained(page, book["trading_positions"][0], number, book)
    assert told["formula"] is None
    assert told["left"][0] == reason
    assert told["left"][-1] == "What Groww may hold of it: nothing earlier is kept. It does not answer now."


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [("-75", "180.25", "-13518.75"), ("0", "5.5", "0.0"), ("2", "3", "6"), ("-0.5", "-0.25", "0.125")],
)
def test_products_are_exact(page, one, other, result):
    assert run(page, "exact", "product", one, other) == result
