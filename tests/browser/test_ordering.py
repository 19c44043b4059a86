"""Orders on the pages of the demo: previewed, placed and filled; by keys alone; and with a reply that is lost."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.every_page import BOUGHT, BROKER
from tests.browser.kit import NOTICE_MILLISECONDS, Demo, Watched

pytestmark = pytest.mark.browser

# So long the broker's own book does not show what it took: long enough to see the order among those in doubt.
HIDDEN_MILLISECONDS = 6_000
MOST_TABS = 30
CHOSEN = re.compile(rf"^{BOUGHT} NSE")


@pytest.fixture
def trading(watched: Watched, demo: Demo) -> Page:
    """The trader's page, where the market is open, one broker takes orders, and the masters are read."""
    demo.open_market()
    demo.turn_trading_on(BROKER)
    return watched.page


def fill_in(page: Page, quantity: int) -> None:
    """A protected market order: it fills wherever the price goes meanwhile."""
    page.goto("/orders/")
    page.get_by_label("Share or contract").fill(BOUGHT)
    page.get_by_role("option", name=CHOSEN).click()
    page.locator("#ticket-form [name=order_type]").select_option("MARKET")
    page.locator("#ticket-form [name=quantity]").fill(str(quantity))
    expect(page.get_by_test_id("preview")).to_contain_text("Upstox", timeout=NOTICE_MILLISECONDS)
    expect(page.get_by_test_id("place")).to_be_enabled()


def newest(page: Page, quantity: int) -> Any:
    return page.get_by_test_id("order-row").filter(has_text=re.compile(rf"/ {quantity}\b")).first


def orders_of(demo: Demo, quantity: int) -> list[dict[str, Any]]:
    """What really lies at the simulated exchange, told to anybody or not."""
    desk = demo.control.exchange()["desks"][BROKER]
    return [each for each in desk["orders"] if str(each["asked"]["quantity"]) == str(quantity)]


def test_an_order_is_previewed_placed_and_filled(trading: Page, demo: Demo) -> None:
    before = len(orders_of(demo, 2))
    fill_in(trading, 2)
    trading.get_by_test_id("place").click()
    expect(trading.get_by_test_id("ticket-answer")).to_contain_text(re.compile("Sent|Filled"))
    expect(newest(trading, 2)).to_have_attribute("data-status", "FILLED", timeout=NOTICE_MILLISECONDS)
    assert len(orders_of(demo, 2)) == before + 1


def test_an_order_whose_reply_is_lost_is_in_doubt_then_found_and_never_doubled(trading: Page, demo: Demo) -> None:
    before = len(orders_of(demo, 3))
    fill_in(trading, 3)
    demo.control.set_fault(BROKER, "late_entry", milliseconds=HIDDEN_MILLISECONDS)
    demo.control.set_fault(BROKER, "lost_reply", count=1)
    trading.get_by_test_id("place").click()
    expect(trading.get_by_test_id("ticket-answer")).to_contain_text("no answer came from the broker")
    in_doubt = trading.get_by_test_id("lane-unknown").get_by_test_id("order-row")
    expect(in_doubt.first).to_be_visible(timeout=NOTICE_MILLISECONDS)
    expect(in_doubt.get_by_test_id("doubt").first).to_be_visible()
    expect(newest(trading, 3)).to_have_attribute("data-status", "FILLED", timeout=NOTICE_MILLISECONDS)
    expect(in_doubt).to_have_count(0)
    assert len(orders_of(demo, 3)) == before + 1
    tags = Counter(order["asked"]["tag"] for order in demo.control.exchange()["desks"][BROKER]["orders"])
    assert set(tags.values()) == {1}


def test_a_whole_order_without_the_mouse(trading: Page, demo: Demo) -> None:
    keys = trading.keyboard
    before = len(orders_of(demo, 4))
    expect(trading.get_by_test_id("position-row").first).to_be_visible(timeout=NOTICE_MILLISECONDS)
    keys.press("?")
    shortcuts = trading.get_by_role("dialog", name="Keyboard")
    expect(shortcuts).to_be_visible()
    keys.press("Escape")
    expect(shortcuts).to_be_hidden()

    keys.press("b")
    expect(trading.get_by_label("Share or contract")).to_be_focused()
    keys.type(BOUGHT)
    expect(trading.locator("[role=option]").first).to_be_visible()  # the lists of the table have options as well
    while not CHOSEN.match(trading.locator("[role=option][aria-selected=true]").inner_text()):
        keys.press("ArrowDown")
    keys.press("Enter")
    expect(trading.get_by_test_id("ticket-instrument")).to_contain_text("last ₹")
    tab_to(trading, "[name=order_type]")
    keys.type("Market")
    tab_to(trading, "[name=quantity]")
    keys.type("4")
    expect(trading.get_by_test_id("place")).to_be_enabled(timeout=NOTICE_MILLISECONDS)
    keys.press("Enter")
    answer = trading.get_by_test_id("ticket-answer")
    expect(answer).to_contain_text(re.compile("Sent|Filled"))
    tab_to(trading, "[data-testid=ticket-answer] a")
    keys.press("Enter")
    expect(trading).to_have_url(re.compile("/orders/[0-9a-f-]{36}/$"))
    row = trading.get_by_test_id("order-row").first
    expect(row).to_have_attribute("data-status", "FILLED", timeout=NOTICE_MILLISECONDS)
    assert len(orders_of(demo, 4)) == before + 1


def tab_to(page: Page, selector: str) -> None:
    for _ in range(MOST_TABS):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"No {MOST_TABS} tabs lead to {selector}.")
