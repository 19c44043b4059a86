"""The screens as a browser makes them out of the API's words: templates and modules are ours, the answers made up."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, Route

from brokers import consents
from brokers.domain import Exchange, OptionType, Product, Segment
from market.calendar import Phase
from market.indices import SHOWN
from market.strip import Level, SegmentHours, Strip
from portfolio.consolidate import consolidate
from portfolio.domain import (
    BrokerDerivative,
    ConsolidatedDerivative,
    ConsolidatedPortfolio,
    SourceState,
    TradeKind,
    TradingPosition,
)
from portfolio.presentation import present
from tests.pages.served import HOME, send_file, window
from tests.portfolio.sources import INFY, NOW, RELIANCE, SBIN, account, holding, lent, merged, source

pytestmark = pytest.mark.browser

PAGES = {"/": "dashboard.html", "/logins": "logins.html"}
CONSENT = consents.current()
# What a test adds to the context of its page.
SHOWN_TOO: dict[str, Any] = {}
# What the column beside the book asks for: nothing needs anybody, and nobody was silent.
BESIDE: dict[str, Any] = {
    "attention": {"items": [], "counted": 0, "as_of": "2026-11-23T05:00:00Z"},
    "portfolio/silences": {"silences": []},
}
STRIP = Strip(
    as_of=NOW,
    segments=(
        SegmentHours(
            segment=Segment.EQUITY,
            exchange=Exchange.NSE,
            is_open=True,
            phase=Phase.CONTINUOUS,
            words="Open",
            coming="Closes 15:30",
            changes_at=NOW,
        ),
    ),
    indices=(
        Level(
            name=SHOWN[0].name,
            symbol="NIFTY",
            exchange=Exchange.NSE,
            instrument="NSE:26000",
            instrument_id=1,
            last_price=Decimal("26123.45"),
            close_price=Decimal("26000"),
        ),
        Level(name=SHOWN[1].name, symbol="BANKNIFTY", exchange=Exchange.NSE, instrument="NSE:26009", instrument_id=2),
    ),
)


@dataclass
class House:
    """Answers the browser in the server's stead, and remembers what was sent to the API."""

    socket: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    health: dict[str, Any] = field(default_factory=lambda: {"as_of": None, "brokers": []})

    def serve(self, route: Route) -> None:
        request = route.request
        path = request.url.removeprefix(HOME).partition("?")[0]
        if path.startswith("/static/"):
            send_file(route, path)
        elif path.startswith("/api/v1/"):
            self.answer(route, request.method, path.removeprefix("/api/v1/"), request.post_data)
        elif path in PAGES:
            route.fulfill(content_type="text/html", body=html(PAGES[path]))
        else:
            route.fulfill(content_type="text/html", body="<!doctype html><title>elsewhere</title>")

    def answer(self, route: Route, verb: str, path: str, body: str | None) -> None:
        if verb != "GET":
            self.sent.append((verb, path, json.loads(body or "null")))
        answers: dict[str, Any] = {**BESIDE, "brokers/connections": [], "health/brokers": self.health}
        route.fulfill(json=answers.get(path, {"authorization_url": f"{HOME}/elsewhere"}))


def html(template: str) -> str:
    user = SimpleNamespace(is_authenticated=True, get_username="alice")
    context = {"user": user, "consent": CONSENT, "strip": STRIP, **SHOWN_TOO}
    return render_to_string(template, context, RequestFactory().get("/"))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    with window(browser, house.serve) as page:
        page.route_web_socket("**/ws/portfolio/", lambda socket: socket.send(json.dumps(house.socket)))
        yield page


# --- the dashboard ----------------------------------------------------------------------------------------------------
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
CALL = "NIFTY26DEC27000CE"
CONNECTION = {
    "id": "1",
    "broker_type": "alpha",
    "broker_name": "Alpha",
    "account_id": "A1",
    "display_name": "Alpha A1",
    "status": "CONNECTED",
    "error_code": None,
    "error_message": None,
    "token_expires_at": None,
    "last_successful_call": None,
    "registered_ip": None,
    "clearance": {
        "data": {"state": "YES", "reasons": []},
        "trade": {
            "state": "UNKNOWN",
            "reasons": [{"code": "registered_ip_unknown", "words": "No address.", "remedy": "Enter it."}],
        },
        "sell_holdings": {
            "state": "NO",
            "reasons": [{"code": "debit_not_authorised", "words": "No DDPI.", "remedy": "Give one."}],
        },
        "segments": {"EQUITY": "YES", "FNO": "NO", "COMMODITY": "UNKNOWN"},
    },
}


def part(connection_id: str, broker_name: str, quantity: int, symbol: str = CALL) -> BrokerDerivative:
    return BrokerDerivative(
        connection_id=connection_id,
        broker_id=broker_name.lower(),
        broker_name=broker_name,
        symbol=symbol,
        product=Product.NRML,
        quantity=Decimal(quantity),
        avg_price=None,
        unrealized_pnl=Decimal("10.50"),
        realized_pnl=Decimal(0),
        day_pnl=None,
        stale=False,
    )


def contract(symbol: str, parts: tuple[BrokerDerivative, ...], *, matched: bool) -> ConsolidatedDerivative:
    quantities = [each.quantity for each in parts]
    return ConsolidatedDerivative(
        exchange=Exchange.NFO,
        symbol=symbol,
        exchange_token=None,
        underlying="NIFTY" if matched else None,
        expiry=date(2026, 12, 29) if matched else None,
        strike=Decimal(27000) if matched else None,
        option_type=OptionType.CE if matched else None,
        net_quantity=sum(quantities, Decimal(0)),
        long_quantity=sum((quantity for quantity in quantities if quantity > 0), Decimal(0)),
        short_quantity=sum((-quantity for quantity in quantities if quantity < 0), Decimal(0)),
        current_price=Decimal("181.30"),
        unrealized_pnl=Decimal("21.00"),
        realized_pnl=Decimal(0),
        day_pnl=None,
        matched=matched,
        stale=False,
        broker_positions=parts,
    )


def trade(kind: TradeKind, symbol: str) -> TradingPosition:
    return TradingPosition(
        connection_id="1",
        broker_id="alpha",
        broker_name="Alpha",
        kind=kind,
        exchange=Exchange.NSE,
        symbol=symbol,
        product=Product.MIS,
        quantity=Decimal(1),
        avg_price=None,
        current_price=None,
        unrealized_pnl=None,
        realized_pnl=None,
        day_pnl=None,
        stale=False,
    )


def book() -> ConsolidatedPortfolio:
    empty = consolidate(1, [], now=NOW)
    return replace(
        empty,
        coverage=replace(empty.coverage, unmatched_instruments=1),
        derivatives=(
            contract(CALL, (part("1", "Alpha", 195), part("2", "Beta", -65, "NIFTY 27000 CE")), matched=True),
            contract("ODDFUT", (part("2", "Beta", 10, "ODDFUT"),), matched=False),
        ),
        trading_positions=(trade(TradeKind.DERIVATIVE, CALL), trade(TradeKind.INTRADAY, "SBIN")),
    )


@pytest.fixture
def dashboard(page: Page, house: House) -> Page:
    data = {"portfolio": present(book()), "error": None, "connections": [CONNECTION]}
    house.socket = {"type": "SNAPSHOT", "data": data, "timestamp": NOW.isoformat(), "sequence": 1}
    page.goto(f"{HOME}/#positions")
    page.wait_for_selector("[data-testid=derivative-row]")
    return page


def test_a_contract_is_shown_once_with_its_brokers_beneath(dashboard):
    rows = dashboard.locator("[data-testid=derivative-row]")
    call = rows.nth(0)
    call.locator(".expander").click()

    assert rows.count() == 2
    assert call.locator("[data-field=contract]").inner_text() == "NIFTY 29 Dec 2026 27,000.00 CE · NFO"
    assert call.locator("[data-field=net_quantity]").inner_text() == "+130"
    assert call.locator("[data-field=sides] .chip").all_inner_texts() == ["long 195", "short 65"]
    lines = dashboard.locator("#derivatives [data-field=parts] tr:visible").all_inner_texts()
    assert [line.split() for line in lines] == [
        ["Alpha", "NRML", "Square", "off", CALL, "+195", "—", "—", "+10.50", "0.00"],
        ["Beta", "NRML", "Square", "off", "NIFTY", "27000", "CE", "−65", "—", "—", "+10.50", "0.00"],
    ]
    assert dashboard.locator("#others [data-field=symbol]").all_inner_texts() == ["SBIN"]


def test_a_contract_that_nobody_can_name_is_marked_and_told_of(dashboard):
    flags = dashboard.locator("[data-testid=derivative-row] [data-field=flags]").all_inner_texts()

    assert flags == ["", "unmatched"]
    assert "1 share or contract not recognised: it stands under its own broker" in dashboard.text_content("#notes")


def test_the_page_says_whose_price_it_is(page, house):
    old = account([holding(SBIN, 10, symbol="SBIN"), holding(RELIANCE, 5, symbol="RELIANCE")], age=300)
    live = account([holding(INFY, 20)])
    sources = source("zerodha", old, state=SourceState.STALE), source("upstox", live)
    book = present(merged(*sources, borrowed={SBIN: lent("120")}))
    data = {"portfolio": book, "error": None, "connections": [CONNECTION]}
    house.socket = {"type": "SNAPSHOT", "data": data, "timestamp": NOW.isoformat(), "sequence": 1}
    page.goto(f"{HOME}/")
    page.wait_for_selector("[data-testid=position-row]")

    whose = page.locator("#holdings [data-field=source]").all_inner_texts()
    for expander in page.locator("#holdings .expander").all():
        expander.click()
    held, borrowed, stale = page.locator("#holdings [data-field=explained]").all_text_contents()
    assert whose == ["Upstox", "Upstox, lent", "Zerodha, last known"]
    assert re.search(r"Price 110.00 from Upstox, [^:]*10:30:00\.", held)
    assert re.search(r"Price 120.00 from Upstox, [^:]*10:30:00: a quote lent, as no broker that holds", borrowed)
    assert re.search(r"Price 110.00 from Zerodha, [^:]*10:25:00: its last good answer, as no connected broker", stale)
    notes = page.text_content("#notes")
    assert "1 holding at a price lent by another broker than those that hold it." in notes
    assert "1 holding at the last price known: no connected broker gives one now." in notes


def test_a_share_of_which_one_account_is_silent_is_stale_in_that_part_alone(page, house):
    old = account([holding(INFY, 10), holding(SBIN, 10, symbol="SBIN")], age=300)
    sources = source("zerodha", old, state=SourceState.STALE), source("upstox", account([holding(INFY, 20)]))
    data = {"portfolio": present(merged(*sources)), "error": None, "connections": [CONNECTION]}
    house.socket = {"type": "SNAPSHOT", "data": data, "timestamp": NOW.isoformat(), "sequence": 1}
    page.goto(f"{HOME}/")
    page.wait_for_selector("[data-testid=position-row]")

    flags = page.locator("#holdings [data-testid=position-row]")
    said = {row.get_attribute("data-isin"): row.locator("[data-field=flags]").inner_text() for row in flags.all()}
    assert said == {INFY: "Zerodha part stale", SBIN: "stale"}
    dimmed = {row.get_attribute("data-isin"): "stale" in row.get_attribute("class").split() for row in flags.all()}
    assert dimmed == {INFY: False, SBIN: True}


def test_a_connection_is_renamed_from_its_card(dashboard, house):
    dashboard.get_by_label("More for Alpha A1").click()
    dashboard.get_by_role("button", name="Rename Alpha A1").click()
    dashboard.get_by_label("Name on this page").fill("Family")
    with dashboard.expect_response("**/connections/1"):
        dashboard.keyboard.press("Enter")

    assert house.sent == [("PATCH", "brokers/connections/1", {"display_name": "Family"})]


def test_an_address_registered_for_orders_is_entered_beside_the_name(dashboard, house):
    dashboard.get_by_label("More for Alpha A1").click()
    dashboard.get_by_role("button", name="Rename Alpha A1").click()
    address = dashboard.get_by_label("IP address registered for orders")
    for wrong in ("300.1.1.1", "1.2.3", "1.2.3.4.", "01.2.3.4", "me"):
        address.fill(wrong)
        assert not address.evaluate("input => input.checkValidity()"), wrong
    address.fill("203.0.113.7")
    with dashboard.expect_response("**/connections/1"):
        dashboard.get_by_role("button", name="Save").click()

    said = {"display_name": "Alpha A1", "registered_ip": "203.0.113.7"}
    assert house.sent == [("PATCH", "brokers/connections/1", said)]


def test_data_and_orders_are_two_lights_with_words_and_reasons(dashboard):
    data, trade = (dashboard.get_by_test_id(f"{name}-light") for name in ("data", "trade"))

    assert [light.locator("summary").inner_text().split() for light in (data, trade)] == [
        ["Data", "readable"],
        ["Orders", "not", "known"],
    ]
    marks = [
        light.locator("i").evaluate("mark => getComputedStyle(mark, '::before').content") for light in (data, trade)
    ]
    assert marks == ['"✓"', '"?"']  # told apart without colours
    assert "No address. Enter it." in trade.get_attribute("title")
    height = dashboard.evaluate("document.documentElement.scrollHeight")
    trade.locator("summary").focus()
    dashboard.keyboard.press("Enter")
    assert trade.locator("li").all_inner_texts() == [
        "No address. Enter it.",
        "To sell shares you hold: No DDPI. Give one.",
        "Enabled: shares.",
        "Not enabled: F&O.",
        "Trading is off: no order is placed here.",
    ]
    assert trade.locator("ul").is_visible()
    assert dashboard.evaluate("document.documentElement.scrollHeight") == height  # it opens over the page


def test_a_light_that_changes_moves_nothing(dashboard):
    heights = dashboard.evaluate(
        """async () => {
          const card = document.querySelector("[data-testid=broker-card]");
          const { renderConnections } = await import("/static/trademaster/connections.js");
          const reason = { code: "failing", words: "It failed.", remedy: "Wait." };
          const on = (state) => ({ state, reasons: state === "YES" ? [] : [reason] });
          return ["YES", "NO", "UNKNOWN"].map((state) => {
            const clearance = { data: on(state), trade: on(state), sell_holdings: on(state), segments: {} };
            const named = { broker_type: "alpha", broker_name: "Alpha", account_id: "A1" };
            renderConnections([{ id: "1", ...named, status: "CONNECTED", clearance }], null, 0, {});
            return [card.offsetHeight, card.querySelector("[data-field=trade]").dataset.state];
          });
        }"""
    )

    assert [state for _, state in heights] == ["YES", "NO", "UNKNOWN"]
    assert len({height for height, _ in heights}) == 1


def test_seven_brokers_fit_in_one_row(dashboard):
    tops = dashboard.evaluate(
        """() => {
          const rail = document.getElementById("brokers");
          for (let more = 0; more < 6; more++) rail.append(rail.firstElementChild.cloneNode(true));
          return [...rail.children].map((card) => card.offsetTop);
        }"""
    )

    assert len(tops) == 7
    assert len(set(tops)) == 1
