"""The tables of positions in the browser: sorted, filtered, kept, led through by keys, and each number explained."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from brokers.domain import Contract, Exchange, OptionType, Product
from portfolio.presentation import present
from tests.pages.test_book_table import house, opened, page
from tests.pages.test_screens import NOW
from tests.portfolio.sources import account, holding, merged, position, source

__all__ = ("house", "page")

pytestmark = pytest.mark.browser


def contract(symbol: str, quantity: int, *, strike: int | None = None, **more: Any) -> Any:
    named = Contract(
        underlying="NIFTY",
        expiry=NOW.date(),
        strike=Decimal(strike) if strike else None,
        option_type=OptionType.CE if strike else None,
    )
    facts = {"exchange": Exchange.NFO, "product": Product.NRML, "contract": named}
    return position(quantity, symbol=symbol, **{**facts, **more})


def positions(*, last: str = "110") -> Any:
    """Two contracts (the option at two brokers, long and short) and three intraday positions, one of them closed."""
    zerodha = [
        contract("NIFTYFUT", 25, last=last),
        contract("NIFTY27000CE", 75, strike=27000, price="180", last="170"),
        position(10, symbol="SBIN", product=Product.MIS, price="120"),
        position(20, symbol="INFY", product=Product.MIS, price="100"),
    ]
    upstox = [
        contract("NIFTY 27000 CE", -25, strike=27000, price="175", last="170"),
        position(-5, symbol="TCS", product=Product.MIS, price="130", last=None),
    ]
    held = [holding(symbol="RELIANCE")]
    return merged(source("zerodha", account(held, zerodha)), source("upstox", account([], upstox)))


def names(page: Page, table: str) -> list[str]:
    return page.locator(f"#{table} > tbody > .row [data-field=symbol]").all_inner_texts()


def both(page: Page) -> tuple[list[str], list[str]]:
    return names(page, "derivatives"), names(page, "others")


def moved(page: Page, portfolio: Any) -> None:
    script = "async (told) => (await import('/static/trademaster/book_positions.js')).renderPositions(told)"
    page.evaluate(script, present(portfolio))


# --- order and filters ------------------------------------------------------------------------------------------------
def test_a_column_sorts_both_tables_by_keyboard_and_says_so(page, house):
    opened(page, house, positions(), "#positions")
    assert both(page) == (["NIFTYFUT", "NIFTY27000CE"], ["SBIN", "INFY", "TCS"])
    heads = page.locator("#panel-positions th[data-sort=unrealised]")
    heads.nth(0).get_by_role("button").press("Enter")
    assert both(page) == (["NIFTYFUT", "NIFTY27000CE"], ["INFY", "SBIN", "TCS"])  # what is not known stands last
    assert [each.get_attribute("aria-sort") for each in heads.all()] == ["descending"] * 2
    heads.nth(1).get_by_role("button").press("Enter")
    assert both(page) == (["NIFTY27000CE", "NIFTYFUT"], ["SBIN", "INFY", "TCS"])
    assert [each.get_attribute("aria-sort") for each in heads.all()] == ["ascending"] * 2
    page.locator("#others th[data-sort=average] button").click()
    assert both(page) == (["NIFTYFUT", "NIFTY27000CE"], ["TCS", "SBIN", "INFY"])  # a contract has no average
    expect(page.locator("#announcer")).to_have_text("5 positions shown.")


def test_what_a_filter_hides_is_said_summed_and_kept_until_it_is_reset(page, house):
    opened(page, house, positions(), "#positions")
    tools = page.get_by_role("search", name="Filter and order the positions")
    tools.get_by_label("Only at this broker").select_option(label="Zerodha")
    tools.get_by_label("Only with this move or state").select_option(label="Losing today")
    count = page.get_by_test_id("positions-count")
    expect(count).to_have_text("2 of 5 shown · Zerodha · Losing today")
    assert both(page) == (["NIFTY27000CE"], ["SBIN"])
    expect(page.get_by_test_id("derivatives-sum")).to_contain_text("Shown: 1 of 2 derivatives")
    total = page.get_by_test_id("others-sum").locator("[data-field=unrealized_pnl]")
    assert total.get_attribute("data-value") == "-100.00"
    page.reload()
    expect(count).to_have_text("2 of 5 shown · Zerodha · Losing today")
    tools.get_by_role("searchbox").fill("nothing is called so")
    expect(page.locator("#no-positions")).to_contain_text("Nothing is lost: reset it")
    expect(page.locator("#derivatives")).to_be_hidden()
    tools.get_by_role("button", name="Reset").click()
    assert both(page) == (["NIFTYFUT", "NIFTY27000CE"], ["SBIN", "INFY", "TCS"])
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize(
    ("label", "option", "left"),
    [
        ("Only of this kind", "Futures", (["NIFTYFUT"], [])),
        ("Only of this kind", "Options", (["NIFTY27000CE"], [])),
        ("Only of this kind", "Intraday", ([], ["SBIN", "INFY", "TCS"])),
        ("Only with this move or state", "Without price", ([], ["TCS"])),
        ("Only with this move or state", "Gaining today", (["NIFTYFUT"], ["INFY"])),
        ("Only with this move or state", "Closed", ([], [])),
        ("Only at this broker", "Upstox", (["NIFTY27000CE"], ["TCS"])),
    ],
)
def test_each_filter_leaves_what_it_says(page, house, label, option, left):
    opened(page, house, positions(), "#positions")
    page.locator("#positions-tools").get_by_label(label).select_option(label=option)
    assert both(page) == left


def test_a_contract_is_found_by_what_any_broker_calls_it(page, house):
    opened(page, house, positions(), "#positions")
    page.locator("#positions-tools").get_by_role("searchbox").fill("nifty 27000 ce")
    assert both(page) == (["NIFTY27000CE"], [])


def test_an_order_stands_while_numbers_move_and_somebody_aims_at_a_row(page, house):
    opened(page, house, positions(last="90"), "#positions")
    page.locator("#derivatives th[data-sort=unrealised] button").click()
    first = names(page, "derivatives")
    page.locator("#derivatives .expander").nth(1).focus()
    moved(page, positions(last="70"))
    assert names(page, "derivatives") == first == ["NIFTYFUT", "NIFTY27000CE"]
    value = page.get_by_test_id("derivative-row").first.locator("[data-field=unrealized_pnl]")
    assert value.get_attribute("data-value") == "-750.00"
    page.evaluate("import('/static/trademaster/book_positions.js').then((book) => book.renderPositions())")
    assert names(page, "derivatives") == ["NIFTY27000CE", "NIFTYFUT"]
    expect(page.locator("#derivatives .expander").first).to_be_focused()


# --- one row ----------------------------------------------------------------------------------------------------------
def test_a_number_is_explained_where_it_is_pressed_and_moves_with_it(page, house):
    opened(page, house, positions(), "#positions")
    row = page.get_by_test_id("derivative-row").first
    row.locator("[data-explain=unrealised]").click()
    explanation = page.get_by_test_id("explanation")
    expect(explanation).to_have_count(1)
    expect(explanation).to_contain_text("25 × (110.00 − 100.00) = +250.00")
    moved(page, positions(last="112"))
    expect(explanation).to_contain_text("25 × (112.00 − 100.00) = +300.00")
    page.get_by_role("button", name="Explain all numbers").click()
    expect(explanation).to_have_count(5)
    row.locator(".expander").press("Enter")
    expect(explanation.first).to_be_hidden()


def test_an_intraday_position_opens_too(page, house):
    opened(page, house, positions(), "#positions")
    page.get_by_test_id("trade-row").first.locator("[data-explain=average]").click()
    expect(page.get_by_test_id("explanation")).to_contain_text("as told = 120.00")
    expect(page.get_by_test_id("explanation")).to_contain_text("+10 at 120.00")


def test_the_arrows_lead_through_a_row_and_over_what_is_hidden_in_the_next(page, house):
    opened(page, house, positions(), "#positions")
    rows = page.get_by_test_id("trade-row")
    rows.nth(0).locator(".expander").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Square off SBIN at Zerodha")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(rows.nth(0).locator("[data-explain=average]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1).locator("[data-explain=average]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("explanation")).to_contain_text("as told = 100.00")


def test_amounts_of_positions_are_marked_for_whoever_hides_them(page, house):
    opened(page, house, positions(), "#positions")
    for row, own in (("derivative", {"net_quantity", "sides"}), ("trade", {"quantity"})):
        marked = page.get_by_test_id(f"{row}-row").first.locator("[data-money]").all()
        fields = {each.get_attribute("data-field") for each in marked}
        assert fields == {*own, "day_pnl", "unrealized_pnl", "realized_pnl"}


def test_a_book_without_positions_says_so(page, house):
    opened(page, house, merged(source("zerodha", account([holding()]))), "#positions")
    expect(page.locator("#no-positions")).to_have_text(
        "No derivative, intraday position or sale of today at the brokers that answered."
    )
    expect(page.locator("#positions-tools")).to_be_hidden()


# --- several accounts at one broker -----------------------------------------------------------------------------------
def test_each_account_is_named_where_its_broker_has_more_than_one(page, house):
    rows = [contract("NIFTYFUT", 25)]
    own = source("zerodha", account([holding()], rows), display_name="Zerodha AB1234")
    other = source("zerodha", account([], rows), number=2, display_name="Father")
    opened(page, house, merged(own, other, source("upstox", None)), "#positions")
    page.get_by_test_id("derivative-row").locator(".expander").click()
    lines = page.locator("#derivatives [data-field=parts] [data-field=broker]")
    expect(lines).to_have_text(["Zerodha AB1234", "Zerodha, Father"])
    expect(page.get_by_role("button", name="Square off NIFTYFUT at Zerodha, Father")).to_be_visible()
    assert names(page, "derivatives") == ["NIFTYFUT"]
    explained = page.get_by_test_id("explanation").first
    expect(explained).to_contain_text("Zerodha, Father NRML")
    expect(explained).to_contain_text("What Upstox may hold of it")
