"""The dashboard's rows lead to the ticket, and a card says when orders are merely off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from portfolio.presentation import present
from tests.pages.served import HOME, window
from tests.pages.test_screens import BESIDE, CONNECTION, NOW, House, book
from tests.portfolio.sources import INFY, account, holding, merged, source

pytestmark = pytest.mark.browser

DECISION: dict[str, Any] = {
    **{"children": [], "refusals": [], "warnings": [], "excluded": [], "costs": [], "ages": {}, "unrouted": "0"},
    **{"why": "Via Alpha (NSE): charges of ₹1.00.", "value": "1000", "total_charges": "1.00"},
    **{"next_best": None, "needs_approval": None},
}


def instrument(number: int, symbol: str, exchange: str = "NSE", **more: Any) -> dict[str, Any]:
    nothing = {"expiry": None, "strike": None, "option_type": "", "lot_size": "1", "ended_on": None}
    named = {"id": number, "tradingsymbol": symbol, "exchange": exchange, "kind": "EQUITY", "name": f"{symbol} Ltd"}
    return {**nothing, **named, "exchange_token": str(number), **more}


@dataclass
class Market(House):
    """The same, with instruments to be found, a preview, and a place for orders."""

    found: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answer(self, route: Route, verb: str, path: str, body: str | None) -> None:
        if verb != "GET":
            self.sent.append((verb, path, json.loads(body or "null")))
        self.asked.append(route.request.url.removeprefix(HOME))
        order = {"id": "0", "status": "WORKING", "has_unknown": False, "reason": ""}
        answers: dict[str, Any] = {
            **BESIDE,
            "market/instruments": {"instruments": self.found},
            "market/quotes": {"quotes": [{"last_price": "110", "stale": False, "as_of": None}]},
            "market/status": {"markets": []},
            "orders/preview": {"decision": DECISION},
            "orders": {"order": order, "decision": DECISION},
            "orders/square-off": {"order": order, "decision": DECISION},
            "brokers/connections": [CONNECTION],
            "health/brokers": self.health,
        }
        route.fulfill(json=answers[path])


@pytest.fixture
def house() -> Market:
    return Market()


@pytest.fixture
def page(browser: Browser, house: Market) -> Iterator[Page]:
    with window(browser, house.serve) as page:
        page.route_web_socket("**/ws/portfolio/", lambda socket: socket.send(json.dumps(house.socket)))
        yield page


def show(page: Page, house: Market, portfolio: Any, tab: str = "holdings", **changed: Any) -> None:
    data = {"portfolio": present(portfolio), "error": None, "connections": [{**CONNECTION, **changed}]}
    house.socket = {"type": "SNAPSHOT", "data": data, "timestamp": NOW.isoformat(), "sequence": 1}
    page.goto(f"{HOME}/#{tab}")
    page.wait_for_selector("[data-testid=broker-card]")


def test_a_share_is_sold_from_its_row(page: Page, house: Market) -> None:
    house.found = [instrument(7, "INFY")]
    show(page, house, merged(source("upstox", account([holding(INFY, 20)]))))
    page.get_by_role("button", name="Sell INFY").click()
    expect(page.get_by_role("radio", name="Sell")).to_be_checked()
    expect(page.get_by_label("Quantity")).to_have_value("20")
    expect(page.get_by_test_id("preview")).to_contain_text("Via Alpha (NSE)")
    assert f"/api/v1/market/instruments?limit=12&q={INFY}&exchange=NSE" in house.asked
    page.get_by_role("button", name="Sell 20 INFY").click()
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Sell 20 INFY: Sent.")
    wanted = {
        "instrument": 7,
        "side": "SELL",
        "order_type": "LIMIT",
        "product": "CNC",
        "quantity": "20",
        "price": "110",
    }
    assert ("POST", "orders", wanted) in house.sent


def test_a_position_is_closed_where_it_is(page: Page, house: Market) -> None:
    house.found = [instrument(8, "SBIN", "BSE"), instrument(9, "SBIN")]
    show(page, house, book(), tab="positions")
    page.get_by_role("button", name="Square off SBIN at Alpha").click()
    ticket = page.get_by_test_id("ticket")
    expect(ticket).to_contain_text("Sells 1 SBIN at Alpha, which holds the position, and nowhere else")
    expect(ticket.get_by_label("Quantity")).to_be_disabled()
    expect(page.get_by_test_id("place")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Square off SBIN at Alpha: Sent.")
    assert ("POST", "orders/square-off", {"connection": "1", "instrument": 9, "product": "MIS"}) in house.sent


def test_of_a_contract_each_brokers_part_is_closed_there(page: Page, house: Market) -> None:
    show(page, house, book(), tab="positions")
    page.locator("[data-testid=derivative-row]").first.get_by_role("button").first.click()
    buttons = page.locator("#derivatives").get_by_role("button", name="Square off")
    named = [each.get_attribute("aria-label") for each in buttons.all() if each.is_visible()]
    assert named == ["Square off NIFTY26DEC27000CE at Alpha", "Square off NIFTY 27000 CE at Beta"]


def test_what_is_not_found_is_left_to_be_chosen(page: Page, house: Market) -> None:
    show(page, house, merged(source("upstox", account([holding(INFY, 20)]))))
    page.get_by_role("button", name="Buy INFY").click()
    expect(page.get_by_test_id("ticket")).to_contain_text("Nothing is called so.")
    expect(page.get_by_test_id("place")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("ticket")).not_to_be_visible()
    assert house.sent == []


@pytest.mark.parametrize(
    ("status", "code", "is_lost"),
    [
        (400, "instrument_unknown", False),
        (409, "idempotency_key_reused", False),
        (404, "no_broker_connections", False),
        (429, "throttled", True),
        (500, "server_error", True),
        (503, "not_ready", True),
    ],
)
def test_a_key_is_kept_until_it_is_known_what_became_of_it(
    page: Page, house: Market, status: int, code: str, is_lost: bool
) -> None:
    """A plain no frees the ticket; what is no answer leaves it at that very order."""
    keys: list[str] = []

    def refuse(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        error = {"code": code, "message": "It was not taken.", "remedy": "Look.", "details": None}
        route.fulfill(status=status, json={"error": error})

    house.found = [instrument(7, "INFY")]
    show(page, house, merged(source("upstox", account([holding(INFY, 20)]))))
    page.route("**/api/v1/orders", refuse)
    page.get_by_role("button", name="Sell INFY").click()
    page.get_by_role("button", name="Sell 20 INFY").click()
    answer = page.get_by_test_id("ticket-answer")
    expect(answer).to_contain_text("no answer came" if is_lost else "Nothing was sent.")
    again = page.get_by_role("button", name="Ask again")
    expect(again).to_have_count(int(is_lost))
    with page.expect_response("**/api/v1/orders"):
        (again if is_lost else page.get_by_role("button", name="Sell 20 INFY")).click()
    assert len(keys) == 2
    assert (keys[0] == keys[1]) is is_lost
    assert min(map(len, keys)) == 32


OFF = {"code": "trading_off", "words": "Trading is off.", "remedy": "Turn it on."}
VAGUE = {"code": "registered_ip_unknown", "words": "No address.", "remedy": "Enter it."}
DEAD = {"code": "session_ended", "words": "It ended.", "remedy": "Log in."}


@pytest.mark.parametrize(
    ("reasons", "word", "mark"),
    [([OFF], "off", "–"), ([VAGUE, OFF], "off", "–"), ([DEAD, OFF], "stopped", "✕"), ([DEAD], "stopped", "✕")],
    ids=["merely off", "off, and not all is known", "stopped and off", "stopped"],
)
def test_orders_that_are_merely_off_are_not_called_stopped(
    page: Page, house: Market, reasons: list[dict[str, str]], word: str, mark: str
) -> None:
    clearance = {**CONNECTION["clearance"], "trade": {"state": "NO", "reasons": reasons}}
    show(page, house, book(), clearance=clearance)
    light = page.get_by_test_id("trade-light")
    assert light.locator("summary").inner_text().split() == ["Orders", word]
    assert light.locator("i").evaluate("mark => getComputedStyle(mark, '::before').content") == f'"{mark}"'
    quiet, tone = page.evaluate(
        """() => {
          const light = document.querySelector("[data-testid=trade-light]");
          const grey = document.createElement("p");
          grey.className = "quiet";
          light.append(grey);
          const told = [getComputedStyle(grey).color, getComputedStyle(light.querySelector("i")).backgroundColor];
          grey.remove();
          return told;
        }"""
    )
    assert (quiet == tone) is (word == "off")
