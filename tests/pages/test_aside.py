"""The column beside the book: what needs its owner, the day as a chart, the allocation, the docked ticket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from portfolio.presentation import present
from tests.pages.test_live_page import CONNECTIONS, NSE_INFY, Host
from tests.pages.test_screens import CONNECTION, HOME, House, html
from tests.portfolio.sources import INFY, RELIANCE, SBIN, account, holding, merged, source
from trademaster import charts
from trademaster.templatetags import charts as chart_tags

pytestmark = pytest.mark.browser

NOW = "2026-11-23T05:00:00Z"
POLICY = "; ".join(
    f"{name} {' '.join(values)}" for name, values in settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].items()
)
BREACHES = "risk/breaches/7/acknowledge"


def item(code: str, tone: str, **changed: Any) -> dict[str, Any]:
    remedy = {"label": "Look", "method": "link", "href": "/orders/", "body": None}
    said = {"subject": f"The {code}", "words": "It is so.", "meaning": "It costs nothing."}
    about = {"code": code, "key": code, "tone": tone, "href": "/risk/", "since": NOW, "happened": False}
    return {"amount": None, "quantity": None, **about, **said, "remedy": remedy, **changed}


@dataclass
class Column(House):
    """Answers what the column asks for; under the policy that the real pages have."""

    needs: list[dict[str, Any]] = field(default_factory=list)
    silences: list[dict[str, Any]] = field(default_factory=list)
    sectors: dict[str, str | None] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def serve(self, route: Route) -> None:
        if route.request.url == f"{HOME}/":
            policy = {"Content-Security-Policy": POLICY}
            route.fulfill(content_type="text/html", body=html("dashboard.html"), headers=policy)
        else:
            super().serve(route)

    def answer(self, route: Route, verb: str, path: str, body: str | None) -> None:
        self.asked.append(path)
        if verb != "GET":
            self.sent.append((verb, path, json.loads(body or "null")))
        if path in self.failing:
            error = {"code": "not_ready", "message": "A part restarts.", "remedy": "Try again.", "details": None}
            route.fulfill(status=503, json={"error": error})
            return
        counted = sum(each["tone"] != "info" for each in self.needs)
        answers: dict[str, Any] = {
            "attention": {"items": self.needs, "counted": counted, "as_of": NOW},
            "portfolio/silences": {"silences": self.silences},
            "portfolio/sectors": {"sectors": self.sectors},
            "brokers/connections": CONNECTIONS,
            "market/status": {"markets": []},
            "market/instruments": {"instruments": []},
        }
        route.fulfill(json=answers.get(path, {"authorization_url": f"{HOME}/elsewhere"}))


@pytest.fixture
def column() -> Column:
    return Column()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(params=[(1440, 900), (390, 844)], ids=["wide", "narrow"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    found: tuple[int, int] = request.param
    return found


@pytest.fixture
def page(browser: Browser, column: Column, host: Host, size: tuple[int, int]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    failures: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "503" not in message.text:
            failures.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.route("**/*", column.serve)
    page.route_web_socket("**/ws/portfolio/", host.open)
    yield page
    page.close()
    assert failures == []


wide_alone = pytest.mark.parametrize("size", [(1440, 900)], ids=["wide"])


def opened(page: Page) -> Page:
    page.goto(f"{HOME}/")
    page.wait_for_selector("[data-testid=position-row]")
    return page


# --- what needs attention ---------------------------------------------------------------------------------------------
def test_an_empty_list_says_that_nothing_needs_you(page: Page, column: Column) -> None:
    opened(page)
    expect(page.get_by_test_id("attention")).to_contain_text("Nothing needs you.")
    expect(page).to_have_title("Portfolio · TradeMaster")


def test_the_gravest_are_on_top_and_the_title_counts_them(page: Page, column: Column) -> None:
    column.needs = [item(f"bad{number}", "bad") for number in range(2)] + [item("soon", "warn"), item("known", "info")]
    opened(page)
    expect(page).to_have_title("(3) Portfolio · TradeMaster")
    rows = page.get_by_test_id("attention-items").locator("li")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Show all 4").click()
    expect(rows).to_have_count(4)
    assert [row.get_attribute("data-tone") for row in rows.all()] == ["bad", "bad", "warn", "info"]
    assert rows.last.locator("[data-field=gravity]").text_content() == "Worth knowing:"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@wide_alone
def test_what_happened_is_told_whole_over_two_lines(page: Page, column: Column) -> None:
    words = "The share of one issuer has reached its warning level: 26.08%, its warning level is 20%."
    column.needs = [item("limit", "warn", words=words, meaning="Nothing is held back: this is a warning. " * 3)]
    opened(page)
    told = page.get_by_test_id("attention-items").locator(".words")
    end = "words => words.querySelector('[data-field=words]').getBoundingClientRect().bottom"
    box = told.bounding_box()
    assert box is not None
    assert told.evaluate(end) <= box["y"] + box["height"]
    assert told.evaluate("words => words.scrollHeight > words.clientHeight")  # the rest opens
    page.get_by_role("link", name="The limit", exact=True).focus()
    assert told.evaluate("words => words.scrollHeight === words.clientHeight")


def test_a_quantity_is_told_and_hidden_with_the_amounts(page: Page, column: Column) -> None:
    column.needs = [item("cut", "bad", subject="Buy INFY", quantity="20 of 50 filled"), item("plain", "warn")]
    opened(page)
    told = page.locator("[data-code=cut] [data-field=quantity]")
    expect(told).to_have_text("20 of 50 filled")
    expect(page.locator("[data-code=plain] [data-field=quantity]")).to_be_hidden()
    page.evaluate("document.documentElement.dataset.private = ''")
    expect(told).to_have_css("visibility", "hidden")
    assert "50" not in page.inner_text("#announcer")


def test_one_press_does_it_and_the_list_is_asked_again(page: Page, column: Column) -> None:
    remedy = {"label": "Take note", "method": "post", "href": f"/api/v1/{BREACHES}", "body": {}}
    column.needs = [item("limit", "warn", remedy=remedy, amount="12345.50")]
    opened(page)
    expect(page.locator("[data-code=limit] [data-field=amount]")).to_have_text("₹12,345.50")
    column.needs = []
    asked = column.asked.count("attention")
    page.get_by_role("button", name="Take note: The limit").click()
    expect(page.get_by_test_id("attention")).to_contain_text("Nothing needs you.")
    assert ("POST", BREACHES, {}) in column.sent
    page.wait_for_function("() => performance.getEntriesByName(location.origin + '/api/v1/attention').length > 1")
    assert column.asked.count("attention") > asked


def test_what_did_not_work_is_said_where_it_was_pressed(page: Page, column: Column) -> None:
    remedy = {"label": "Take note", "method": "post", "href": f"/api/v1/{BREACHES}", "body": {}}
    column.needs, column.failing = [item("limit", "warn", remedy=remedy)], {BREACHES}
    opened(page)
    page.get_by_role("button", name="Take note: The limit").click()
    expect(page.locator("[data-code=limit] [role=alert]")).to_have_text("A part restarts. Try again.")


def test_a_login_is_one_press_away(page: Page, column: Column) -> None:
    body = {"broker_type": "zerodha", "connection_id": "zerodha-1"}
    remedy = {"label": "Log in", "method": "login", "href": "/api/v1/brokers/connect/initiate", "body": body}
    column.needs = [item("session_ended", "bad", remedy=remedy)]
    opened(page)
    page.get_by_role("button", name="Log in: The session_ended").click()
    page.wait_for_url(f"{HOME}/elsewhere")
    assert ("POST", "brokers/connect/initiate", body) in column.sent


def test_an_address_is_entered_where_it_is_asked_for(page: Page, column: Column) -> None:
    remedy = {"label": "Enter it", "method": "ask", "href": "/api/v1/brokers/connections/upstox-1", "body": None}
    column.needs = [item("ip_not_registered", "warn", remedy=remedy)]
    opened(page)
    page.get_by_role("button", name="Enter it: The ip_not_registered").click()
    expect(page.get_by_label("IP address registered for orders")).to_be_visible()


def test_what_is_over_can_be_put_away_for_good(page: Page, column: Column) -> None:
    column.needs = [item("cut", "warn", happened=True), item("stands", "warn")]
    opened(page)
    away = page.get_by_role("button", name="Put it away")
    expect(away).to_have_count(1)
    away.click()
    expect(page.locator("[data-code=cut]")).to_have_count(0)
    opened(page)
    expect(page.locator("[data-code=stands]")).to_be_visible()
    expect(page.locator("[data-code=cut]")).to_have_count(0)
    expect(page).to_have_title("(1) Portfolio · TradeMaster")


def test_a_list_that_cannot_be_had_is_not_an_empty_one(page: Page, column: Column) -> None:
    column.failing = {"attention"}
    opened(page)
    attention = page.get_by_test_id("attention")
    expect(attention).to_contain_text("It is not known what needs you. A part restarts.")
    expect(attention).not_to_contain_text("Nothing needs you")


@pytest.mark.parametrize("kind", ["BROKER_STATUS_UPDATE", "ORDER_UPDATE", "RISK_EVENT", "TRADING_HALT"])
@wide_alone
def test_it_is_asked_again_when_the_socket_tells_of_something(
    page: Page, column: Column, host: Host, kind: str
) -> None:
    opened(page)
    expect(page.get_by_test_id("attention")).to_contain_text("Nothing needs you.")
    assert {"type": "subscribe", "topics": ["orders"]} in host.heard
    column.needs = [item("news", "bad")]
    host.send(kind, {"connection_id": "zerodha-1", "words": "", "ended_at": NOW})
    expect(page.locator("[data-code=news]")).to_be_visible()
    assert page.inner_text("#announcer") == "Needs attention: The news. It is so."


@wide_alone
def test_that_prices_stand_still_is_told_by_the_socket_alone(page: Page, host: Host) -> None:
    opened(page)
    host.feeds("DOWN", stale=True)
    expect(page.locator("[data-code=prices_stale]")).to_contain_text("Prices stand still")
    host.feeds("LIVE", stale=False)
    expect(page.locator("[data-code=prices_stale]")).to_have_count(0)


# --- the day ----------------------------------------------------------------------------------------------------------
def silence(begun_at: str, until: str | None) -> dict[str, Any]:
    about = {"connection_id": "upstox-1", "broker_type": "upstox", "display_name": "Upstox", "status": "ERROR"}
    return {**about, "begun_at": begun_at, "until": until}


def test_the_day_is_a_chart_with_words_for_its_gaps(page: Page, column: Column, host: Host) -> None:
    column.silences = [silence("2026-11-23T04:15:00Z", "2026-11-23T04:25:00Z")]
    opened(page)
    expect(page.get_by_test_id("day-chart").locator("canvas").first).to_be_visible()
    words = page.get_by_test_id("day-words")
    expect(words).to_contain_text("Between ₹2,33,000.00 and ₹2,36,")
    expect(words).to_contain_text("Not known for 10 minutes, 09:45 to 09:55.")
    expect(words).to_contain_text("Upstox silent 09:45 to 09:55.")
    expect(words).to_contain_text("Purchases, sales and newly connected accounts move it, too.")
    assert page.locator("#day-words [data-money]").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def pixels(page: Page, minute: int) -> int:
    """How many of the accent's pixels the chart shows in the column of that minute."""
    return int(
        page.evaluate(
            """(minute) => {
              const pane = [...document.querySelectorAll("#day-chart canvas")][0];
              const scale = pane.width / pane.getBoundingClientRect().width;
              const at = Math.round((minute + 0.5) / 375 * pane.getBoundingClientRect().width * scale);
              const { data } = pane.getContext("2d").getImageData(at, 0, 1, pane.height);
              let blue = 0;
              for (let i = 0; i < data.length; i += 4) blue += data[i + 2] > 150 && data[i] < 90 && data[i + 3] > 200;
              return blue;
            }""",
            minute,
        )
    )


@wide_alone
def test_nothing_is_drawn_over_minutes_that_nobody_knew(page: Page, host: Host) -> None:
    opened(page)
    page.wait_for_selector("#day-chart canvas")
    page.wait_for_timeout(200)  # until the library has painted: it tells nobody
    assert pixels(page, 15) > 0
    assert pixels(page, 60) > 0
    assert pixels(page, 35) == 0
    assert pixels(page, 200) == 0


@wide_alone
def test_the_chart_answers_when_it_is_pointed_at(page: Page, host: Host) -> None:
    opened(page)
    page.wait_for_selector("#day-chart canvas")
    box = page.get_by_test_id("day-chart").bounding_box()
    assert box is not None
    expect(page.locator("#day-at")).to_have_text("10:29")
    page.mouse.move(box["x"] + box["width"] * 0.02, box["y"] + 40)
    expect(page.locator("#day-at")).to_have_text(re.compile(r"09:2\d"))
    minute = int(page.inner_text("#day-at")[-2:]) - 15
    expect(page.locator("#day-value")).to_have_attribute("data-value", host.series["points"][minute]["value"])
    page.mouse.move(5, 5)
    expect(page.locator("#day-at")).to_have_text("10:29")


@wide_alone
def test_hidden_amounts_are_off_the_axis_too(page: Page) -> None:
    opened(page)
    page.wait_for_selector("#day-chart canvas")
    axis = "document.querySelectorAll('#day-chart tr:first-child td')[2].offsetWidth"
    page.wait_for_function(f"() => {axis} > 20")
    page.evaluate("document.documentElement.setAttribute('data-private', '')")
    page.wait_for_function(f"() => {axis} === 0")


@wide_alone
def test_a_tick_moves_the_value_of_the_day(page: Page, host: Host) -> None:
    opened(page)
    host.tick(NSE_INFY, "1600")
    total = present(host.book.portfolio(host.now))["total_value"]
    expect(page.locator("#day-value")).to_have_attribute("data-value", total)


def test_without_the_library_words_tell_the_day(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_tags.charts, "is_installed", lambda: False)
    opened(page)
    expect(page.get_by_test_id("day-words")).to_contain_text("Not known for 10 minutes")
    expect(page.get_by_test_id("day-chart")).to_be_hidden()
    assert page.evaluate("window.LightweightCharts === undefined")


def test_a_day_that_nobody_followed_is_said_to_be_unknown(page: Page, host: Host) -> None:
    host.series = None  # type: ignore[assignment]
    opened(page)
    expect(page.get_by_test_id("day-words")).to_contain_text("How the value went today is not known")
    expect(page.locator("#day-value")).to_have_text("—")


def test_the_chart_names_whose_work_it_is(page: Page) -> None:
    opened(page)
    link = page.get_by_role("link", name="by TradingView")
    expect(link).to_be_visible()
    assert "Copyright (c) 2024 TradingView, Inc." in link.get_attribute("title")
    assert "v4.1.3\n * Copyright (c) 2024" in (charts.DIRECTORY / charts.SCRIPT).read_text()[:200]


# --- the allocation ---------------------------------------------------------------------------------------------------
def shares_of(page: Page) -> dict[str, str]:
    rows = page.locator("#allocation li")
    return {
        row.locator("[data-field=kind]").inner_text(): row.locator("[data-field=weight]").inner_text()
        for row in rows.all()
    }


@wide_alone
def test_the_value_is_spread_three_ways_and_each_sums_to_a_hundred(page: Page, column: Column) -> None:
    column.sectors = {INFY: "Information technology", SBIN: "Banks", RELIANCE: None}
    opened(page)
    assert shares_of(page) == {"Shares": "100.00%"}
    page.get_by_test_id("allocation").get_by_text("Sector", exact=True).click()
    expect(page.locator("#allocation")).to_contain_text("Banks")
    told = shares_of(page)
    assert list(told) == ["Information technology", "Banks", "Sector not known"]
    assert sum(int(share.replace(".", "").rstrip("%")) for share in told.values()) == 10_000
    expect(page.locator("#allocation-words")).to_have_text("Sums to 100.00% of the total value.")
    page.get_by_test_id("allocation").get_by_text("Broker", exact=True).click()
    assert set(shares_of(page)) == {"Zerodha", "Upstox"}
    opened(page)  # and the choice is remembered
    expect(page.get_by_role("radio", name="Broker")).to_be_checked()
    assert column.asked.count("portfolio/sectors") == 1


@wide_alone
def test_sectors_that_cannot_be_had_are_not_known_and_said_so(page: Page, column: Column) -> None:
    column.failing = {"portfolio/sectors"}
    opened(page)
    page.get_by_test_id("allocation").get_by_text("Sector", exact=True).click()
    expect(page.locator("#allocation-words")).to_contain_text("Sectors are not known: A part restarts.")
    assert shares_of(page) == {"Sector not known": "100.00%"}


def test_what_has_no_price_is_in_no_line_and_said_so(browser: Browser, column: Column) -> None:
    unpriced = account([holding(INFY, 10), holding(SBIN, 10, symbol="SBIN", last=None)])
    data = {"portfolio": present(merged(source("upstox", unpriced))), "error": None, "connections": [CONNECTION]}
    page = browser.new_page()
    page.route("**/*", column.serve)
    message = {"type": "SNAPSHOT", "data": data, "timestamp": NOW, "sequence": 1}
    page.route_web_socket("**/ws/portfolio/", lambda socket: socket.send(json.dumps(message)))
    opened(page)
    expect(page.locator("#allocation-words")).to_contain_text("1 holding without a price is in no line.")
    page.close()


@wide_alone
def test_sums_are_exact_and_parts_sum_to_a_hundred(page: Page) -> None:
    opened(page)
    sums, parts, nothing = page.evaluate(
        """async () => {
          const { parts, sum } = await import("/static/trademaster/exact.js");
          return [sum(["0.1", "0.2", "90071992547409931.05"]), parts(["1.00", "1.00", "1.00"]), parts(["0.00", "0"])];
        }"""
    )
    assert sums == "90071992547409931.35"
    assert parts == ["33.34", "33.33", "33.33"]
    assert nothing == [None, None]


# --- the ticket -------------------------------------------------------------------------------------------------------
@wide_alone
def test_the_ticket_is_one_line_until_it_is_used(page: Page) -> None:
    opened(page)
    dock, ticket = page.get_by_test_id("ticket-dock"), page.get_by_test_id("ticket")
    expect(ticket).to_be_hidden()
    folded = dock.bounding_box()
    assert folded is not None
    assert folded["height"] < 60
    dock.get_by_role("button", name="Sell").click()
    expect(page.get_by_role("radio", name="Sell")).to_be_checked()
    expect(page.get_by_label("Share or contract")).to_be_focused()
    place = page.get_by_test_id("place").bounding_box()
    assert place is not None
    assert place["y"] + place["height"] <= 900
    page.keyboard.press("Escape")
    expect(ticket).to_be_hidden()
    page.keyboard.press("b")
    expect(page.get_by_role("radio", name="Buy")).to_be_checked()
    page.get_by_role("button", name="Close the ticket").last.click()
    expect(ticket).to_be_hidden()


@pytest.mark.parametrize("size", [(390, 844)], ids=["narrow"])
def test_on_a_narrow_screen_it_is_a_drawer(page: Page) -> None:
    opened(page)
    expect(page.get_by_test_id("ticket-dock")).to_be_hidden()
    page.keyboard.press("s")
    expect(page.get_by_test_id("ticket")).to_be_visible()
    assert page.evaluate("document.getElementById('ticket-drawer').open")


@wide_alone
def test_what_was_typed_comes_along_when_the_screen_turns(page: Page) -> None:
    opened(page)
    page.keyboard.press("b")
    page.get_by_label("Quantity").fill("50")
    page.set_viewport_size({"width": 800, "height": 1000})
    page.wait_for_function("() => document.getElementById('ticket-drawer').open")
    expect(page.get_by_label("Quantity")).to_have_value("50")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.locator("#ticket-dock #ticket")).to_be_visible()
    expect(page.get_by_label("Quantity")).to_have_value("50")


# --- its place --------------------------------------------------------------------------------------------------------
def test_what_the_totals_cover_is_folded_and_opens_by_its_address(page: Page) -> None:
    opened(page)
    expect(page.locator("#notes")).to_be_hidden()
    expect(page.locator("#coverage-chips")).to_have_text("all of it")
    page.evaluate("location.hash = 'coverage'")
    expect(page.locator("#notes")).to_contain_text("Zerodha: live, counted in full.")


def test_on_a_phone_the_list_comes_before_the_book_and_the_rest_after_it(page: Page, size: tuple[int, int]) -> None:
    opened(page)
    tops = page.evaluate(
        "['attention', 'holdings', 'day'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    )
    attention, book, day = tops
    assert (attention < book < day) if size[0] < 1181 else (book < day and attention < day)
