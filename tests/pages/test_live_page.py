"""The dashboard behind a live host: it moves with every delta, and says where its prices are from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute

from brokers.domain import Exchange, Funds
from portfolio.domain import LivePrice
from portfolio.live import LiveBooks
from portfolio.presentation import present
from tests.pages.served import HOME, window
from tests.pages.test_screens import CONNECTION, House
from tests.portfolio.sources import INFY, NOW, RELIANCE, SBIN, account, holding, source

pytestmark = pytest.mark.browser

LISTINGS = {(Exchange.NSE, "1594"): INFY, (Exchange.NSE, "3045"): SBIN, (Exchange.NSE, "2885"): RELIANCE}
NSE_INFY, NSE_SBIN, NSE_RELIANCE = LISTINGS
FUNDS = Funds(available=Decimal(50_000), used=Decimal(0), collateral=Decimal(0), cash=Decimal(50_000))
CONNECTIONS = [
    {
        **CONNECTION,
        "id": f"{slug}-1",
        "broker_type": slug,
        "broker_name": name,
        "account_id": f"{slug[:2].upper()}1001",
        "display_name": name,
    }
    for slug, name in (("zerodha", "Zerodha"), ("upstox", "Upstox"))
]


def minutes(*values: str | None) -> dict[str, Any]:
    opens = NOW.replace(hour=3, minute=45)
    at = [(opens + timedelta(minutes=number)).isoformat().replace("+00:00", "Z") for number in range(len(values))]
    points = [{"at": each, "value": value} for each, value in zip(at, values, strict=True)]
    return {"opens_at": "2026-11-23T03:45:00Z", "closes_at": "2026-11-23T10:00:00Z", "points": points}


def morning() -> dict[str, Any]:
    """75 minutes, of which ten are not known."""
    values: list[str | None] = [f"{233_000 + (number * 37 % 11) * 120 + number * 35}.00" for number in range(75)]
    values[30:40] = [None] * 10
    return minutes(*values)


@dataclass
class Host:
    """What the page is sent, and what it sends."""

    series: dict[str, Any] = field(default_factory=morning)
    number: int = 0
    sequence: int = 0
    ticks: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    line: WebSocketRoute | None = None

    def __post_init__(self) -> None:
        self.books = LiveBooks(LISTINGS)
        shares = [
            holding(INFY, 60, average="1380", last="1520", close="1510", symbol="INFY"),
            holding(SBIN, 50, average="700", last="820", close="815", symbol="SBIN"),
        ]
        others = [
            holding(RELIANCE, 40, average="1290", last="1402", close="1410", symbol="RELIANCE"),
            holding(INFY, 30, average="1400", last="1520", close="1510", symbol="INFY"),
        ]
        sources = [
            source("zerodha", account(shares, funds=FUNDS), display_name="Zerodha"),
            source("upstox", account(others, funds=FUNDS), display_name="Upstox"),
        ]
        self.book = self.books.hold(1, sources)
        self.move(NSE_INFY, "1521")
        self.book.changes(NOW)

    def open(self, line: WebSocketRoute) -> None:
        self.line, self.sequence = line, 0
        line.on_message(lambda text: self.heard.append(json.loads(text)))
        self.snapshot()

    def send(self, kind: str, data: Any) -> None:
        assert self.line is not None
        self.sequence += 1
        message = {"type": kind, "data": data, "timestamp": NOW.isoformat(), "sequence": self.sequence}
        self.line.send(json.dumps(message))

    @property
    def now(self) -> Any:
        return NOW + timedelta(seconds=self.ticks)

    def snapshot(self) -> None:
        portfolio = present(self.book.portfolio(self.now))
        told = {"portfolio": portfolio, "error": None, "connections": CONNECTIONS}
        self.send("SNAPSHOT", {**told, "book": "one", "number": self.number, "series": self.series})

    def move(self, instrument: Any, price: str, source: str = "zerodha") -> None:
        told = LivePrice(exchange=Exchange.NSE, price=Decimal(price), close=None, source=source, as_of=self.now)
        self.books.apply(instrument, told)

    def tick(self, instrument: Any, price: str, source: str = "zerodha") -> None:
        self.ticks += 1
        self.move(instrument, price, source)
        self.number += 1
        delta = present(self.book.changes(self.now))
        self.send("PORTFOLIO_DELTA", {"book": "one", "number": self.number, "delta": delta})

    def feeds(self, state: str, *, stale: bool, asked: bool = False) -> None:
        since = "2026-11-23T03:46:10Z"
        brokers = [{"broker_type": slug, "state": state, "since": since} for slug in ("zerodha", "upstox")]
        self.send("PRICE_STATE", {"brokers": brokers, "stale": stale, "asked": asked, "as_of": "2026-11-23T05:00:00Z"})


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(params=[(1440, 900), (390, 844)], ids=["wide", "narrow"])
def dashboard(browser: Browser, host: Host, request: pytest.FixtureRequest) -> Iterator[Page]:
    with window(browser, House().serve, size=request.param) as page:
        page.route_web_socket("**/ws/portfolio/", host.open)
        page.goto(f"{HOME}/")
        page.wait_for_selector("[data-testid=position-row]")
        yield page


def shown(page: Page, symbol: str) -> Any:
    return page.locator("[data-testid=position-row]").filter(has_text=symbol)


def value_of(page: Page, field: str, symbol: str) -> str:
    return str(shown(page, symbol).locator(f"[data-field={field}]").get_attribute("data-value"))


def wait_for_total(page: Page, host: Host) -> None:
    total = present(host.book.portfolio(host.now))["net_worth"]
    page.wait_for_selector(f"[data-testid=total-value][data-value='{total}']")


def test_the_page_moves_with_a_delta_and_only_what_changed_flashes(dashboard, host):
    dashboard.evaluate(
        "() => { window.flashed = []; new MutationObserver((news) => {"
        "  for (const { target } of news) if (target.dataset.moved)"
        "  window.flashed.push(`${target.closest('tbody')?.dataset.key ?? ''} ${target.dataset.field}`); })"
        ".observe(document.body, { subtree: true, attributeFilter: ['data-moved'] }); }"
    )
    before = {box: shown(dashboard, box).bounding_box() for box in ("INFY", "RELIANCE")}

    host.tick(NSE_INFY, "1530.05")
    wait_for_total(dashboard, host)

    assert value_of(dashboard, "last", "INFY") == "1530.05"
    assert value_of(dashboard, "weight", "RELIANCE") == str(
        next(row for row in present(host.book.portfolio(host.now))["positions"] if row["key"] == RELIANCE)[
            "weight_percent"
        ]
    )
    flashed = dashboard.evaluate("window.flashed")
    assert f"{INFY} last" in flashed
    assert not [name for name in flashed if name.startswith((SBIN, RELIANCE))]
    assert {box: shown(dashboard, box).bounding_box() for box in before} == before


def test_a_price_says_whose_stream_it_is_from_and_when(dashboard, host):
    host.tick(NSE_SBIN, "830", source="angel_one")
    wait_for_total(dashboard, host)

    source = shown(dashboard, "SBIN").locator("[data-field=source]")
    assert source.text_content() == "Angel One, live"
    assert source.get_attribute("title").startswith("Price 830.00 streamed by Angel One at ")
    assert shown(dashboard, "RELIANCE").locator("[data-field=source]").text_content() == "Upstox"


def test_after_a_gap_the_page_asks_and_shows_nothing_false(dashboard, host):
    before = dashboard.locator("[data-testid=total-value]").get_attribute("data-value")
    host.number += 1
    host.tick(NSE_INFY, "1600")
    for _ in range(100):  # the page's words come while the browser is waited for, and at no other time
        dashboard.wait_for_timeout(50)
        if any(said["type"] == "snapshot" for said in host.heard):
            break

    assert [said for said in host.heard if said["type"] == "snapshot"] == [{"type": "snapshot"}]
    assert dashboard.locator("[data-testid=total-value]").get_attribute("data-value") == before
    host.snapshot()
    wait_for_total(dashboard, host)
    host.tick(NSE_INFY, "1601")
    wait_for_total(dashboard, host)


def test_prices_that_stand_still_are_marked_and_so_are_the_feeds(dashboard, host):
    light = dashboard.locator("[data-testid=price-light]")
    assert not light.is_visible()

    host.feeds("LIVE", stale=False)
    dashboard.wait_for_selector("[data-testid=feed]:has-text('streaming')")
    assert light.locator("[data-field=words]").inner_text() == "Streaming"

    host.feeds("DOWN", stale=True)
    dashboard.wait_for_selector("[data-testid=feed]:has-text('feed down')")
    assert light.locator("[data-field=words]").inner_text() == "Prices stale"
    assert light.locator("[data-field=since]").text_content().startswith("since ")
    chip = dashboard.locator("[data-total=worth] summary")
    assert re.search(r"\d/\d answer, prices stale", chip.inner_text())
    assert "prices" not in dashboard.locator("[data-total=funds] summary").inner_text()

    host.feeds("DOWN", stale=False, asked=True)
    dashboard.wait_for_selector("[data-testid=price-light]:has-text('Prices not streaming')")
    assert light.get_attribute("data-state") == "quiet"
    assert light.locator("[data-field=since]").text_content().startswith("asked at ")
    assert "prices not streaming" in chip.inner_text()


def test_the_page_is_no_wider_than_the_screen(dashboard, host):
    host.feeds("LIVE", stale=True)
    dashboard.wait_for_selector("[data-testid=feed]:visible")

    assert dashboard.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_where_the_host_leaves_the_page_takes_whole_portfolios_again(dashboard, host):
    host.feeds("LIVE", stale=False)
    host.ticks += 1
    host.move(NSE_INFY, "1700")
    host.send("PORTFOLIO_UPDATE", present(host.book.portfolio(host.now)))
    wait_for_total(dashboard, host)

    assert not dashboard.locator("[data-testid=price-light]").is_visible()
    assert dashboard.locator("[data-testid=feed]:visible").count() == 0
