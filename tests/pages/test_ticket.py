"""Which row the ticket is about, when answers come late or another row is pressed meanwhile; whose order it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages import test_screens as screens
from tests.pages.test_dealing_from_rows import Market, house, instrument, page, show
from tests.pages.test_screens import HOME, book
from tests.portfolio.sources import INFY, SBIN, account, holding, merged, source

__all__ = ("house", "page")

pytestmark = pytest.mark.browser

FOUND = {INFY: instrument(7, "INFY"), SBIN: instrument(8, "SBIN"), "SBIN": instrument(8, "SBIN")}
SQUARE = {
    **{"connection": "1", "broker": "Alpha", "product": "MIS", "quantity": "1"},
    **{"symbol": "SBIN", "exchange": "NSE"},
}
CLOSE = """deal => {
  const [row, button] = [document.createElement("p"), document.createElement("button")];
  row.dataset.deal = JSON.stringify(deal);
  button.dataset.dealSide = "CLOSE";
  document.querySelector("main").append(row);
  row.append(button);
  button.click();
}"""


class Held:
    """Requests of one address that wait until the test lets them through."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def hold(self, route: Route) -> None:
        self.routes.append(route)

    def wait(self, page: Page, count: int) -> None:
        for _ in range(500):
            if len(self.routes) >= count:
                return
            page.wait_for_timeout(10)
        pytest.fail(f"{len(self.routes)} of {count} requests came.")


def find(route: Route) -> None:
    (asked,) = parse_qs(urlsplit(route.request.url).query)["q"]
    route.fulfill(json={"instruments": [FOUND[asked]]})


@pytest.fixture
def found(page: Page, house: Market) -> Held:
    """The search answers when the test says so."""
    held = Held()
    shares = [holding(INFY, 500), holding(SBIN, 7, symbol="SBIN")]
    show(page, house, merged(source("upstox", account(shares))))
    page.route("**/api/v1/market/instruments?*", held.hold)
    return held


# --- which row --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in their order", "the newer first"])
def test_a_row_that_is_overtaken_by_another_leaves_nothing_in_the_ticket(
    page: Page, found: Held, order: tuple[int, int]
) -> None:
    page.get_by_role("button", name="Sell INFY").click()
    found.wait(page, 1)
    page.get_by_role("button", name="Sell SBIN").click()
    found.wait(page, 2)
    for place in order:
        find(found.routes[place])
    expect(page.get_by_test_id("place")).to_have_text("Sell 7 SBIN")
    page.wait_for_timeout(100)
    expect(page.get_by_test_id("place")).to_have_text("Sell 7 SBIN")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in their order", "the newer first"])
def test_a_position_that_is_overtaken_is_not_closed_with_another_share(
    page: Page, house: Market, found: Held, order: tuple[int, int]
) -> None:
    page.evaluate(CLOSE, SQUARE)
    found.wait(page, 1)
    page.get_by_role("button", name="Buy INFY").click()
    found.wait(page, 2)
    for place in order:
        find(found.routes[place])
    expect(page.get_by_test_id("ticket-instrument")).to_contain_text("INFY Ltd")
    page.wait_for_timeout(100)
    expect(page.get_by_test_id("place")).to_have_text("Place the order")
    expect(page.get_by_label("Quantity")).to_be_enabled()
    expect(page.locator("#ticket-closes")).to_be_hidden()
    page.get_by_label("Quantity").fill("3")
    page.get_by_role("button", name="Buy 3 INFY").click()
    sent = [(path, body["instrument"]) for _, path, body in house.sent if path != "orders/preview"]
    assert sent == [("orders", 7)]


@pytest.mark.parametrize("does", ["clears", "types", "asks for a new one"])
def test_whatever_is_done_to_the_ticket_meanwhile_overtakes_the_row(page: Page, found: Held, does: str) -> None:
    page.evaluate(CLOSE, SQUARE)
    found.wait(page, 1)
    ticket = page.get_by_test_id("ticket")
    if does == "clears":
        ticket.get_by_role("button", name="Clear").click()
    elif does == "types":
        ticket.get_by_role("combobox", name="Share or contract").fill("TCS")
    else:
        page.keyboard.press("b")
    find(found.routes[0])
    page.wait_for_timeout(100)
    expect(page.get_by_test_id("place")).to_have_text("Place the order")
    expect(page.get_by_test_id("place")).to_be_disabled()
    if does == "types":
        expect(ticket.get_by_role("combobox", name="Share or contract")).to_have_value("TCS")


# --- whose order ------------------------------------------------------------------------------------------------------
@contextmanager
def signed_in(pk: int) -> Iterator[None]:
    screens.SHOWN_TOO["user"] = SimpleNamespace(is_authenticated=True, get_username="somebody", pk=pk)
    try:
        yield
    finally:
        del screens.SHOWN_TOO["user"]


def refuse(route: Route) -> None:
    error = {"code": "not_authenticated", "message": "Sign in.", "remedy": "Sign in again.", "details": None}
    route.fulfill(status=401, json={"error": error})


def test_an_order_without_an_answer_waits_for_its_owner_and_is_dropped_for_anybody_else(
    page: Page, house: Market
) -> None:
    house.found = [FOUND[INFY]]
    keys: list[str] = []
    page.on("request", lambda asked: keys.append(asked.headers.get("idempotency-key", "")))
    with signed_in(1):
        show(page, house, merged(source("upstox", account([holding(INFY, 20)]))))
        page.route("**/api/v1/orders", refuse)
        page.get_by_role("button", name="Sell INFY").click()
        page.get_by_role("button", name="Sell 20 INFY").click()
        answer = page.get_by_test_id("ticket-answer")
        expect(answer).to_contain_text("Sell 20 INFY: no answer came")
        page.goto(f"{HOME}/elsewhere")
        page.goto(HOME)
        expect(answer).to_contain_text("Sell 20 INFY: no answer came")
    with signed_in(2):
        page.goto(f"{HOME}/elsewhere")
        page.goto(HOME)
        page.wait_for_selector("[data-testid=broker-card]")
        page.keyboard.press("b")
        expect(page.get_by_test_id("place")).to_have_text("Place the order")
        expect(page.get_by_role("button", name="Ask again")).to_have_count(0)
        assert page.evaluate("sessionStorage.getItem('trademaster.order')") is None
    assert len([key for key in keys if key]) == 1


def test_an_order_of_before_orders_had_an_owner_is_dropped(page: Page, house: Market) -> None:
    old: dict[str, Any] = {"key": "k", "path": "orders", "body": {}, "words": "Buy 50 INFY", "isLost": True}
    page.goto(f"{HOME}/elsewhere")
    page.evaluate("old => sessionStorage.setItem('trademaster.order', JSON.stringify(old))", old)
    with signed_in(1):
        show(page, house, book())
        page.keyboard.press("b")
        expect(page.get_by_role("button", name="Ask again")).to_have_count(0)


# --- while one is under way -------------------------------------------------------------------------------------------
def test_an_order_under_way_is_not_called_lost(page: Page, house: Market) -> None:
    house.found = [FOUND[INFY]]
    show(page, house, merged(source("upstox", account([holding(INFY, 20)]))))
    held = Held()
    page.route("**/api/v1/orders", held.hold)
    page.get_by_role("button", name="Sell INFY").click()
    page.get_by_role("button", name="Sell 20 INFY").click()
    held.wait(page, 1)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("b")
    answer = page.get_by_test_id("ticket-answer")
    expect(answer).to_have_text("Sending…")
    expect(page.get_by_role("button", name="Ask again")).to_have_count(0)
    expect(page.get_by_role("radio", name="Sell")).to_be_checked()
    held.routes[0].fallback()
    expect(answer).to_contain_text("Sell 20 INFY: Sent.")
    assert len(held.routes) == 1


PLACING = """async () => {
  const { Placing } = await import("/static/trademaster/placing.js");
  const placing = new Placing("1");
  const first = placing.place("orders", { quantity: "20" }, "Sell 20 INFY");
  const outcomes = await Promise.all([first, placing.again(), placing.again()]);
  const kept = sessionStorage.getItem("trademaster.order");
  return [outcomes.map((outcome) => Object.keys(outcome)), placing.pending, kept];
}"""


@pytest.mark.parametrize("is_lost", [True, False], ids=["no answer", "a plain no"])
def test_of_two_that_ask_at_once_one_is_sent_and_nothing_is_kept_without_its_key(
    page: Page, house: Market, is_lost: bool
) -> None:
    show(page, house, book())
    keys: list[str] = []

    def answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        error = {"code": "server_error" if is_lost else "instrument_unknown", "message": "No.", "remedy": "Look."}
        route.fulfill(status=500 if is_lost else 400, json={"error": {**error, "details": None}})

    page.route("**/api/v1/orders", answer)
    outcomes, pending, kept = page.evaluate(PLACING)
    assert outcomes == [["lost" if is_lost else "refused"]] * 3
    assert len(keys) == 1
    if is_lost:
        assert (pending["key"], pending["path"], pending["isLost"]) == (keys[0], "orders", True)
    else:
        assert (pending, kept) == (None, None)
