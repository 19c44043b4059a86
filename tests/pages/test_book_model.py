"""Which holdings are shown, in which order and groups: `book_model.js`, run by a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from tests.pages.served import page_of_modules, run

pytestmark = pytest.mark.browser

EVERYTHING = {"text": "", "broker": "", "kind": "", "sector": "", "move": "", "group": "", "sort": "value"}


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with page_of_modules(browser) as page:
        yield page


def row(key: str, value: str | None = "100.00", *brokers: str, **more: Any) -> dict[str, Any]:
    lines = [{"broker_id": slug, "broker_name": slug.title()} for slug in brokers or ("zerodha",)]
    facts: dict[str, Any] = {
        **{"key": key, "isin": key, "symbol": key, "company_name": f"{key} Limited", "asset_class": "EQUITY"},
        **{"total_quantity": "1", "avg_price": "1.00", "current_price": "1.00", "day_change_percent": "0.00"},
        **{"day_change": "0.00", "unrealized_pnl": "0.00", "weight_percent": "0.00", "broker_positions": lines},
    }
    return {**facts, "current_value": value, **more}


def arranged(
    page: Page,
    rows: list[dict[str, Any]],
    /,
    *,
    held: list[str] | None = None,
    settled: int | None = None,
    **wish: Any,
) -> Any:
    sectors = {"A": "Banks", "B": "Banks", "C": "Cement"}
    wished = {**EVERYTHING, "reversed": False, "page": 1, **wish}
    kept = {"sectors": sectors, "held": held, "settled": settled, "moves": 2}
    return run(page, "book_model", "arrange", rows, wished, kept)


def keys(answer: Any) -> str:
    return "".join(each["key"] for each in answer["rows"])


# --- order ------------------------------------------------------------------------------------------------------------
MIXED = [
    row("C", "300.00", day_change="-5.00", avg_price="9.5", unrealized_pnl="12345678901234567890.12"),
    row("A", "200.00", day_change=None, avg_price="10", unrealized_pnl="12345678901234567890.13"),
    row("D", "100.00", day_change="40.00", avg_price="9.50", unrealized_pnl=None),
    row("B", None, day_change="-50.00", avg_price=None, unrealized_pnl="-1.00"),
]


@pytest.mark.parametrize(
    ("sort", "forwards", "backwards"),
    [
        ("value", "CADB", "DACB"),
        ("name", "ABCD", "DCBA"),
        ("day", "DCBA", "BCDA"),
        ("average", "ACDB", "CDAB"),  # 9.5 and 9.50 are equal: they keep their order both ways
        ("unrealised", "ACBD", "BCAD"),  # two that a double takes for one, told apart; and what is not known last
    ],
)
def test_rows_are_sorted_exactly_and_the_unknown_stands_last(page, sort, forwards, backwards):
    assert keys(arranged(page, MIXED, sort=sort)) == forwards
    assert keys(arranged(page, MIXED, sort=sort, reversed=True)) == backwards


def test_an_order_that_is_held_stays_and_newcomers_join_at_its_end(page):
    assert keys(arranged(page, MIXED, held=["B", "C", "GONE", "D"], sort="value")) == "BCDA"


def test_an_order_that_is_old_is_put_right_from_the_top_a_few_rows_at_a_time(page):
    rows = [row(key, f"{900 - place}.00") for place, key in enumerate("ABCDEFGH")]
    held, settled, seen = list("FBCGDEHA"), 0, []
    while settled is not None:
        answer = arranged(page, rows, held=held, settled=settled)
        held, settled = answer["order"], answer["settled"]
        seen.append(keys(answer))
    assert seen == ["ABCGDEFH", "ABCDEFGH"]  # first the one that stands on top, and the one that belongs there


def test_what_is_put_right_is_left_alone_until_all_are_seen_to(page):
    rows = [row("C", "400.00"), row("A", "300.00"), row("B", "200.00"), row("D", "100.00")]
    answer = arranged(page, rows, held=list("ADCB"), settled=1)
    assert (keys(answer), answer["settled"]) == ("ACBD", None)


def test_rows_of_other_pages_wait_for_none(page):
    rows = [row(f"R{number:03}", str(Decimal(1000 - number))) for number in range(300)]
    held = [each["key"] for each in [*rows[:200], *reversed(rows[200:])]]
    answer = arranged(page, rows, held=held, settled=0)
    assert (answer["order"], answer["settled"]) == ([each["key"] for each in rows], None)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(orders=st.permutations(range(12)).flatmap(lambda held: st.tuples(st.just(held), st.permutations(held))))
def test_every_order_is_reached_and_nothing_is_lost_on_the_way(page, orders):
    held, wanted = orders
    settled, steps = 0, 0
    while settled < len(wanted):
        answer = run(page, "in_place", "nearer", held, wanted, settled, 2)
        assert sorted(answer["rows"]) == sorted(held)
        assert answer["rows"][:settled] == held[:settled]
        assert answer["rows"][: answer["settled"]] == wanted[: answer["settled"]]
        held, settled, steps = answer["rows"], answer["settled"], steps + 1
    assert held == wanted
    assert steps <= len(wanted)


# --- filters ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wish", "left"),
    [
        ({"text": "bee lim"}, "B"),
        ({"text": "INE"}, "D"),
        ({"broker": "upstox"}, "AB"),
        ({"kind": "DEBT"}, "D"),
        ({"sector": "Banks"}, "AB"),
        ({"sector": "Debt"}, "D"),  # what is no share has no sector
        ({"move": "GAIN"}, "A"),
        ({"move": "LOSS"}, "C"),
        ({"move": "UNPRICED"}, "D"),
        ({"broker": "upstox", "move": "LOSS"}, ""),
    ],
)
def test_each_filter_leaves_what_it_says(page, wish, left):
    rows = [
        row("A", "4.00", "zerodha", "upstox", day_change="1.00"),
        row("B", "3.00", "upstox", company_name="Bee Limited"),
        row("C", "2.00", day_change="-1.00"),
        row("D", None, asset_class="DEBT", isin="INE1", current_price=None, day_change="1.00"),
    ]
    assert keys(arranged(page, rows, **wish)) == left


# --- groups and sums --------------------------------------------------------------------------------------------------
def test_groups_stand_by_what_they_come_to_and_say_what_they_lack(page):
    rows = [
        row("C", "300.00"),
        row("A", "200.10", day_change=None),
        row("B", "150.05", "upstox", day_change="2.00"),
        row("D", None, "zerodha", "upstox"),
    ]
    answer = arranged(page, rows, group="sector")
    groups = [each["item"] for each in answer["entries"] if each["kind"] == "group"]
    assert [group["name"] for group in groups] == ["Banks", "Cement", "Sector not known"]
    banks = groups[0]["sums"]
    assert banks["value"] == {"amount": "350.15", "known": 2, "of": 2}
    assert banks["day"] == {"amount": "2.00", "known": 1, "of": 2}
    assert groups[2]["sums"]["value"] == {"amount": None, "known": 0, "of": 1}
    assert keys(answer) == "ABCD"
    names = [
        each["item"]["name"] for each in arranged(page, rows, group="broker")["entries"] if each["kind"] == "group"
    ]
    assert names == ["Zerodha alone", "Upstox alone", "At several brokers"]


@pytest.mark.parametrize(
    ("texts", "total"),
    [
        (["0.1", "0.2"], "0.3"),
        (["-0.05", "0.01"], "-0.04"),
        (["12345678901234567890.12", "0.005"], "12345678901234567890.125"),
        (["7", "-7"], "0"),
        (["-0.00", "0.00"], "0.00"),
    ],
)
def test_sums_are_exact(page, texts, total):
    assert run(page, "exact", "sum", texts) == total


@pytest.mark.parametrize(
    ("text", "whole"),
    [("1234.05", 123405), ("-0.07", -7), ("1", None), ("1.5", None), ("12345678901234567.00", None), (None, None)],
)
def test_paise_are_whole_or_not_told(page, text, whole):
    assert run(page, "exact", "paise", text) == whole


# --- pages ------------------------------------------------------------------------------------------------------------
def test_two_hundred_rows_a_page_and_the_last_is_shorter(page):
    rows = [row(f"R{number:03}", str(Decimal(1000 - number))) for number in range(450)]
    first, last, beyond = (arranged(page, rows, page=number) for number in (1, 3, 9))
    assert [len(each["entries"]) for each in (first, last, beyond)] == [200, 50, 50]
    assert (first["pages"], beyond["page"]) == (3, 3)
    assert last["entries"][0]["key"] == "R400"
    assert len(first["rows"]) == 450


def test_a_group_that_goes_on_over_a_page_is_named_again(page):
    rows = [row(f"R{number:03}", str(1000 - number)) for number in range(250)]
    second = arranged(page, rows, page=2, group="kind")
    assert [each["kind"] for each in second["entries"][:2]] == ["group", "row"]
    assert len(second["entries"]) == 51
    assert second["entries"][0]["item"]["sums"]["value"]["of"] == 250
