"""Which row the ticket is about, when answers come late or another row is pressed meanwhile."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages.test_dealing_from_rows import Market, house, instrument, page, show
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
