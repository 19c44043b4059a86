"""The merged table in the browser: its tabs, its keys, what it remembers, and that nothing else moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from brokers.domain import Product
from portfolio.domain import SourceState
from portfolio.presentation import present
from tests.pages.served import HOME, window
from tests.pages.test_live_page import NSE_INFY, Host, dashboard, host, shown, wait_for_total
from tests.pages.test_screens import CONNECTION, NOW, House, book
from tests.portfolio.sources import INFY, RELIANCE, SBIN, account, holding, merged, source

__all__ = ("dashboard", "host")

pytestmark = pytest.mark.browser

LANES = """<!doctype html><main id="main" data-now="2026-11-23T05:00:00+00:00"><div id="lanes">
<section class="lane" data-lane="unknown"><h2>Not known <span data-part="count-unknown">1</span></h2>
<table data-rows="unknown"><thead></thead><tbody data-key="1" id="order-1"><tr><td>
<a href="/orders/1/">BUY INFY</a> <span data-cell="state">unknown</span>
<time data-cell="age" data-since="2026-11-23T04:59:00+00:00">1 min</time>
<button data-action="cancel">Cancel</button></td></tr><tr data-doubts hidden></tr></tbody></table></section>
<section class="lane" data-lane="working"><span data-part="count-working">2</span></section>
</div></main>"""


@dataclass
class Shares(House):
    """A house with lanes of orders, and sectors."""

    lanes: str = LANES
    asked: int = 0

    def serve(self, route: Route) -> None:
        if route.request.url == f"{HOME}/orders/":
            self.asked += 1
            route.fulfill(content_type="text/html", body=self.lanes)
        else:
            super().serve(route)

    def answer(self, route: Route, verb: str, path: str, body: str | None) -> None:
        if path == "portfolio/sectors":
            route.fulfill(json={"sectors": {INFY: "Software", SBIN: "Banks"}})
        else:
            super().answer(route, verb, path, body)


@pytest.fixture
def house() -> Shares:
    return Shares()


@pytest.fixture
def page(browser: Browser, house: Shares) -> Iterator[Page]:
    with window(browser, house.serve) as page:
        page.route_web_socket("**/ws/portfolio/", lambda socket: socket.send(json.dumps(house.socket)))
        yield page


def opened(page: Page, house: House, portfolio: Any, address: str = "") -> None:
    data = {"portfolio": present(portfolio), "error": None, "connections": [CONNECTION]}
    house.socket = {"type": "SNAPSHOT", "data": data, "timestamp": NOW.isoformat(), "sequence": 1}
    page.goto(f"{HOME}/{address}")
    page.wait_for_selector("#main[data-view=live]")


def three(**more: Any) -> Any:
    zerodha = [
        holding(INFY, 10, last="1500", close="1400", average="1000"),
        holding(SBIN, 10, symbol="SBIN", last="800", close="815", average="700"),
    ]
    upstox = [holding(RELIANCE, 10, symbol="RELIANCE", last="1400", close="1400"), holding(INFY, 30, last="1500")]
    return merged(source("zerodha", account(zerodha)), source("upstox", account(upstox)), **more)


def symbols(page: Page) -> list[str]:
    return page.locator("#holdings > tbody > .row [data-field=symbol]").all_inner_texts()


# --- tabs -------------------------------------------------------------------------------------------------------------
def test_tabs_open_by_keys_and_stand_in_the_address(page, house):
    opened(page, house, book())
    tabs = page.get_by_role("tab")
    assert [tab.get_attribute("aria-selected") for tab in tabs.all()] == ["true", "false", "false", "false"]
    page.keyboard.press("2")
    expect(page.get_by_role("tab", name="Positions")).to_be_focused()
    expect(page.get_by_test_id("derivative-row").first).to_be_visible()
    assert page.url == f"{HOME}/#positions"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Funds")).to_be_visible()
    assert page.get_by_role("tabpanel").count() == 1
    page.reload()
    expect(page.get_by_role("tabpanel", name="Funds")).to_be_visible()
    page.keyboard.press("1")
    assert page.url == f"{HOME}/"


def test_a_key_that_is_typed_opens_nothing(page, house):
    opened(page, house, three())
    page.get_by_role("searchbox").fill("")
    page.keyboard.press("4")
    expect(page.get_by_role("tabpanel", name="Holdings")).to_be_visible()
    assert page.get_by_role("searchbox").input_value() == "4"


def test_each_tab_is_taken_along_by_its_own_link(page, house):
    opened(page, house, three())
    links = page.locator("[data-export]")
    assert links.nth(0).get_attribute("href") == "/portfolio/export.csv?table=holdings"
    page.keyboard.press("4")
    assert links.nth(0).get_attribute("href") == "/portfolio/export.csv?table=funds"
    page.keyboard.press("3")
    expect(links.nth(0)).to_be_hidden()


def test_orders_in_doubt_are_told_on_their_tab_and_stand_in_it(page, house):
    opened(page, house, three())
    expect(page.get_by_test_id("orders-mark")).to_have_text("1 not known")
    page.keyboard.press("3")
    lane = page.locator("#orders-lanes [data-lane=unknown]")
    expect(lane.get_by_role("link", name="BUY INFY")).to_be_visible()
    expect(lane.get_by_role("button", name="Cancel")).to_be_hidden()
    house.lanes = LANES.replace(">unknown<", ">filled<")
    page.evaluate("document.dispatchEvent(new CustomEvent('orders-changed'))")
    expect(lane.locator("[data-cell=state]")).to_have_text("filled")


def test_orders_that_cannot_be_read_are_not_shown_as_none(page, house):
    house.lanes = "<!doctype html><title>away</title>"
    opened(page, house, three(), "#orders")
    expect(page.locator("#orders-trouble")).to_contain_text("They are not shown, and may stand all the same.")
    expect(page.get_by_test_id("orders-mark")).to_be_hidden()


# --- order, filters, groups -------------------------------------------------------------------------------------------
def test_a_column_sorts_and_turns_round_and_says_so(page, house):
    opened(page, house, three())
    assert symbols(page) == ["INFY", "RELIANCE", "SBIN"]
    head = page.locator("#holdings th[data-sort=day]")
    head.get_by_role("button").press("Enter")
    assert (symbols(page), head.get_attribute("aria-sort")) == (["INFY", "RELIANCE", "SBIN"], "descending")
    head.get_by_role("button").press("Enter")
    assert (symbols(page), head.get_attribute("aria-sort")) == (["SBIN", "RELIANCE", "INFY"], "ascending")
    assert page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1
    page.locator("#holdings th[data-sort=name] button").click()
    assert symbols(page) == ["INFY", "RELIANCE", "SBIN"]


def test_what_a_filter_hides_is_said_and_kept_until_it_is_reset(page, house):
    opened(page, house, three())
    tools = page.get_by_role("search", name="Filter, group and order the holdings")
    tools.get_by_label("Only at this broker").select_option(label="Upstox")
    tools.get_by_label("Only with this move").select_option(label="Gainers")
    expect(page.get_by_test_id("holdings-count")).to_have_text("1 of 3 shown · Upstox · Gainers")
    total = page.get_by_test_id("holdings-sum")
    expect(total).to_contain_text("Shown: 1 of 3")
    assert total.locator("[data-field=value]").get_attribute("data-value") == "60000.00"
    page.reload()
    expect(page.get_by_test_id("holdings-count")).to_have_text("1 of 3 shown · Upstox · Gainers")
    page.get_by_role("searchbox").fill("nothing is called so")
    expect(page.locator("#no-holdings")).to_contain_text("Nothing is lost: reset it")
    page.get_by_role("button", name="Reset").click()
    assert len(symbols(page)) == 3
    expect(page.get_by_role("button", name="Reset")).to_be_hidden()
    assert page.evaluate("localStorage.length") == 0


def test_groups_by_sector_have_sums_and_name_what_is_not_known(page, house):
    opened(page, house, three())
    page.get_by_label("Group by").select_option("sector")
    groups = page.get_by_test_id("group-row")
    expect(groups).to_have_count(3)
    expect(groups.locator("[data-field=name]")).to_have_text(["Software", "Sector not known", "Banks"])
    assert groups.nth(2).locator("[data-field=value]").get_attribute("data-value") == "8000.00"


def test_more_than_two_hundred_are_paged_and_the_page_is_kept(page, house):
    many = [
        holding(f"INE{number:06}01012", 1, symbol=f"S{number:03}", last=str(1000 - number)) for number in range(450)
    ]
    opened(page, house, merged(source("zerodha", account(many))))
    pages = page.get_by_role("navigation", name="Pages of holdings")
    assert len(symbols(page)) == 200
    pages.get_by_role("button", name="Next").click()
    pages.get_by_role("button", name="Next").click()
    expect(pages).to_contain_text("401–450 of 450")
    expect(pages.get_by_role("button", name="Next")).to_be_disabled()
    page.reload()
    expect(pages).to_contain_text("401–450 of 450")
    assert symbols(page)[0] == "S400"
    page.get_by_role("searchbox").fill("S01")
    expect(pages).to_be_hidden()
    assert len(symbols(page)) == 10


# --- one row ----------------------------------------------------------------------------------------------------------
def test_a_number_is_explained_where_it_is_pressed_and_all_by_the_row(page, house):
    opened(page, house, three())
    infy = page.get_by_test_id("position-row").first
    infy.locator("[data-explain=value]").click()
    explanation = page.get_by_test_id("explanation")
    expect(explanation).to_have_count(1)
    expect(explanation).to_contain_text("40 × 1,500.00 = 60,000.00")
    page.get_by_role("button", name="Explain all numbers").click()
    expect(explanation).to_have_count(5)
    infy.locator(".expander").press("Enter")
    expect(explanation.first).to_be_hidden()


def test_the_arrows_lead_through_a_row_and_to_the_next(page, house):
    opened(page, house, three())
    rows = page.get_by_test_id("position-row")
    rows.nth(0).locator(".expander").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(rows.nth(0).locator("[data-explain=average]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1).locator("[data-explain=average]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("explanation")).to_contain_text("÷")


def test_a_brokers_part_is_told_by_letter_and_words(page, house):
    opened(page, house, three())
    bar = page.get_by_test_id("position-row").first.get_by_role("img")
    assert bar.get_attribute("aria-label") == "Zerodha 25.00%, Upstox 75.00%"
    assert bar.locator("i").all_inner_texts() == ["Z", "U"]


def test_lines_that_are_alike_in_name_are_each_shown_once(page, house):
    """Two lots of one share at one account: a line each, however often the row is written."""
    lots = [holding(INFY, 10), holding(INFY, 5, symbol="INFY2", average="90"), holding(INFY, 2, product=Product.MTF)]
    opened(page, house, merged(source("zerodha", account(lots))))
    page.get_by_test_id("position-row").locator(".expander").click()
    lines = page.locator("#holdings [data-field=brokers] > tr")
    count = lines.count()
    page.evaluate("import('/static/trademaster/book_holdings.js').then((book) => book.renderHoldings())")
    assert lines.count() == count > 1


def test_amounts_are_marked_for_whoever_hides_them_and_prices_are_not(page, house):
    opened(page, house, three())
    row = page.get_by_test_id("position-row").first
    marked = {each.get_attribute("data-field") for each in row.locator("[data-money]").all()}
    assert marked == {"quantity", "parts", "day", "unrealised", "value"}


def test_a_book_without_shares_and_one_that_is_silent_say_which(page, house):
    opened(page, house, merged(source("zerodha", account([]))))
    expect(page.locator("#no-holdings")).to_have_text("No shares at the brokers that answered.")
    expect(page.locator(".skeleton").first).to_be_hidden()


def test_a_row_of_a_silent_broker_is_marked_in_words(page, house):
    old = source("zerodha", account([holding(INFY, 10)], age=300), state=SourceState.STALE)
    opened(page, house, merged(old))
    expect(page.get_by_test_id("position-row").locator("[data-field=flags]")).to_have_text("stale")


# --- while it moves ---------------------------------------------------------------------------------------------------
def test_a_delta_touches_the_rows_that_it_names_alone(dashboard: Page, host: Host) -> None:
    dashboard.evaluate(
        "() => { window.touched = new Set(); new MutationObserver((news) => { for (const { target } of news)"
        "  window.touched.add((target.closest ? target : target.parentElement).closest('tbody')?.dataset.key); })"
        ".observe(document.getElementById('holdings'), { subtree: true, childList: true, characterData: true }); }"
    )
    host.tick(NSE_INFY, "1521.05")  # five paise: no weight moves
    wait_for_total(dashboard, host)
    assert dashboard.evaluate("[...window.touched].filter(Boolean)") == [INFY]


def test_an_order_stands_while_somebody_aims_at_a_row(dashboard: Page, host: Host) -> None:
    before = symbols(dashboard)
    shown(dashboard, before[-1]).locator(".expander").focus()
    host.tick(NSE_INFY, "1.05")
    wait_for_total(dashboard, host)
    assert symbols(dashboard) == before
    dashboard.evaluate("import('/static/trademaster/book_holdings.js').then((book) => book.renderHoldings())")
    assert symbols(dashboard) != before
    expect(shown(dashboard, before[-1]).locator(".expander")).to_be_focused()


def test_an_open_explanation_moves_with_its_number(dashboard: Page, host: Host) -> None:
    shown(dashboard, "INFY").locator("[data-explain=value]").click()
    host.tick(NSE_INFY, "1600")
    wait_for_total(dashboard, host)
    expect(dashboard.get_by_test_id("explanation")).to_contain_text("90 × 1,600.00 = 1,44,000.00")
