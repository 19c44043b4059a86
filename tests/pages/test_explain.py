"""Explain this number: every formula comes to the number that it explains, over any book that the API can tell."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from portfolio.consolidate import consolidate
from portfolio.domain import SourceState
from portfolio.presentation import present
from tests.pages.served import run
from tests.pages.test_book_model import page
from tests.portfolio.sources import INFY, NOW, account, holding, merged, position, source
from tests.portfolio.strategies import books

__all__ = ("page",)

pytestmark = pytest.mark.browser

SIGNS = {"×": "*", "÷": "/", "−": "-", ",": ""}
FIELDS = {
    "value": "current_value",
    "day": "day_change",
    "unrealised": "unrealized_pnl",
    "average": "avg_price",
    "weight": "weight_percent",
}


def explained(page: Any, row: dict[str, Any], number: str, book: dict[str, Any]) -> dict[str, Any]:
    names = {each["broker_id"]: each["broker_name"] for each in book["sources"]}
    context = {"sources": book["sources"], "total_value": book["total_value"], "brokers": names}
    answer: dict[str, Any] = run(page, "explain", "explain", row, number, context)
    return answer


def both_sides(formula: str) -> tuple[Decimal, Decimal]:
    for word, sign in SIGNS.items():
        formula = formula.replace(word, sign)
    left, right = formula.rstrip("%").split("=")
    assert re.fullmatch(r"[\d.+\-*/() ]+", left), left
    exact = re.sub(r"[\d.]+", lambda number: f"Decimal('{number[0]}')", left)
    return eval(exact, {"Decimal": Decimal}), Decimal(right.strip())  # noqa: S307 - digits and signs alone, as asserted


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(sources=books())
def test_every_formula_comes_to_its_number_and_what_is_unknown_says_why(page, sources):
    book = present(consolidate(1, sources, now=NOW))
    for row in book["positions"]:
        # Numbers of the answer are rounded once each: a product may be off by half of the last place of its factor.
        slack = Decimal("0.011") + Decimal(row["total_quantity"]) * Decimal("0.00005")
        for number, field in FIELDS.items():
            told = explained(page, row, number, book)
            if row[field] is None:
                assert told["formula"] is None
                assert told["left"][0].endswith(".")
                continue
            left, right = both_sides(told["formula"])
            assert right == Decimal(row[field])
            assert abs(left - right) <= slack, told


def test_the_day_counts_what_was_bought_today_from_its_price(page):
    shares = [holding(INFY, 10, average="90", last="110", close="105")]
    bought = [position(4, price="108", last="110", isin=INFY)]
    book = present(merged(source("zerodha", account(shares, bought))))
    told = explained(page, book["positions"][0], "day", book)
    assert told["formula"] == "10 × (110.00 − 105.00) + 4 × (110.00 − 108.00) = +58.00"
    assert {"name": "Bought today at Zerodha", "words": "4: from the price paid"} in told["inputs"]


def test_it_says_who_told_what_when_and_who_is_missing(page):
    old = source("zerodha", account([holding(INFY, 10)], age=300), state=SourceState.STALE)
    book = present(merged(old, source("upstox", account([holding(INFY, 20)])), source("groww", None)))
    told = explained(page, book["positions"][0], "value", book)
    assert told["formula"] == "30 × 110.00 = 3,300.00"
    words = {each["name"]: each["words"] for each in told["inputs"]}
    assert re.search(r"^10, told at .*10:25:00: an earlier answer", words["Zerodha"])
    assert re.search(r"^20, told at .*10:30:00$", words["Upstox"])
    assert re.search(r"^110.00 from Upstox, .*10:30:00$", words["Price"])
    assert told["left"] == ["What Groww may hold of it: nothing earlier is kept. It does not answer now."]


def test_it_says_why_there_is_no_answer_of_now(page):
    """Who was not asked is not silent."""
    spent = "Upstox allows no further call just now"
    old = {"state": SourceState.STALE, "error_code": "rate_budget_spent", "error_message": spent}
    ended = {"error_code": "session_ended", "error_message": "The session at Groww has ended."}
    upstox = source("upstox", account([holding(INFY, 10)], age=300), **old)
    told = explained(
        page, (book := present(merged(upstox, source("groww", None, **ended))))["positions"][0], "value", book
    )
    words = {each["name"]: each["words"] for each in told["inputs"]}
    assert words["Upstox"].endswith(f": an earlier answer. {spent}.")
    assert told["left"] == ["What Groww may hold of it: nothing earlier is kept. The session at Groww has ended."]


def test_a_cost_that_is_known_in_part_is_no_average(page):
    shares = account([holding(INFY, 20, average="100"), holding(INFY, 10, average=None, symbol="INFY2")])
    book = present(merged(source("upstox", shares)))
    told = explained(page, book["positions"][0], "average", book)
    assert told["formula"] is None
    assert told["left"][0] == "What was paid is known for 66.67% of the shares only."
