"""What the dashboard says stays true while lines fall, answers fail and buttons are pressed too early."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from tests.pages.test_aside import Column, column, host, item, opened, page, size
from tests.pages.test_live_page import CONNECTIONS, Host
from tests.pages.test_screens import HOME, SHOWN_TOO, STRIP

__all__ = ("column", "host", "page", "size")

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("size", [(1440, 900)], ids=["wide"])]

ADDRESS = {"label": "Enter it", "method": "ask", "href": "/api/v1/brokers/connections/upstox-1", "body": None}


def test_keys_that_are_switched_off_open_no_tab(page: Page) -> None:
    opened(page)
    page.keyboard.press("2")
    expect(page.get_by_role("tab", name="Positions")).to_have_attribute("aria-selected", "true")
    page.evaluate("localStorage.setItem('keys', 'off')")
    page.keyboard.press("1")
    expect(page.get_by_role("tab", name="Positions")).to_have_attribute("aria-selected", "true")


def test_what_is_covered_opens_as_often_as_it_is_asked(page: Page, column: Column) -> None:
    remedy = {"label": "What is covered", "method": "link", "href": "/#coverage", "body": None}
    column.needs = [item("rows", "warn", remedy=remedy)]
    opened(page)
    link = page.get_by_role("link", name="What is covered")
    for _ in range(2):
        link.click()
        expect(page.get_by_test_id("coverage")).to_have_attribute("open", "")
        page.locator("#coverage summary").click()
        expect(page.get_by_test_id("coverage")).not_to_have_attribute("open", "")


def test_an_address_is_asked_for_before_the_socket_has_told_anything(page: Page, column: Column) -> None:
    column.needs = [item("ip", "warn", remedy=ADDRESS)]
    page.route_web_socket("**/ws/portfolio/", lambda line: None)
    page.goto(f"{HOME}/")
    page.evaluate("document.getElementById('main').dataset.view = 'live'")
    page.locator("[data-code=ip] [data-field=act]").evaluate("button => button.click()")
    expect(page.get_by_label("IP address registered for orders")).to_be_visible()


def test_an_address_of_an_account_that_is_gone_is_said_to_be_gone(page: Page, column: Column) -> None:
    column.needs = [item("ip", "warn", remedy={**ADDRESS, "href": "/api/v1/brokers/connections/gone"})]
    opened(page)
    page.get_by_role("button", name="Enter it: The ip").click()
    expect(page.locator("[data-code=ip] [role=alert]")).to_contain_text("This account is connected no more.")
    expect(page.get_by_role("button", name="Enter it: The ip")).to_be_enabled()


def test_a_refusal_stands_until_something_else_is_pressed(page: Page, column: Column, host: Host) -> None:
    column.failing = {"brokers/connections/zerodha-1"}
    opened(page)
    card = page.get_by_test_id("broker-card").first
    card.get_by_test_id("broker-menu").locator("summary").click()
    card.get_by_role("button", name="Disconnect").click()
    page.locator("#disconnect button[value=disconnect]").click()
    expect(page.locator("#trouble")).to_have_text("A part restarts. Try again.")
    with page.expect_response("**/api/v1/brokers/connections"):
        host.send("BROKER_STATUS_UPDATE", {"connection_id": "upstox-1", "status": "RATE_LIMITED"})
    expect(page.locator("[data-broker=upstox] [data-field=status]")).to_have_text("Connected")
    expect(page.locator("#trouble")).to_be_visible()


def test_an_account_that_is_disconnected_goes_to_the_end(page: Page, column: Column, host: Host) -> None:
    opened(page)
    cards = page.get_by_test_id("broker-card")
    assert cards.first.get_attribute("data-broker") == "zerodha"
    connections = [{**CONNECTIONS[0], "status": "DISCONNECTED"}, CONNECTIONS[1]]
    host.send("SNAPSHOT", {"portfolio": None, "error": None, "connections": connections})
    expect(cards.last).to_have_attribute("data-broker", "zerodha")


def test_nobody_calls_prices_streaming_once_the_line_is_lost(page: Page, host: Host) -> None:
    opened(page)
    host.feeds("LIVE", stale=False)
    expect(page.get_by_test_id("price-light")).to_have_text("Streaming")
    assert host.line is not None
    host.line.close()
    expect(page.get_by_test_id("price-light")).to_be_hidden()


def test_sectors_that_fail_are_said_in_the_table_and_asked_for_again(page: Page, column: Column) -> None:
    column.failing = {"portfolio/sectors"}
    page.clock.install()
    opened(page)
    page.get_by_label("Group by").select_option("sector")
    expect(page.locator("#holdings-trouble")).to_contain_text("Sectors are not known: A part restarts.")
    column.failing = set()
    column.sectors = {row["isin"]: "Banks" for row in page.evaluate(POSITIONS)}
    page.clock.run_for(61_000)
    expect(page.get_by_test_id("group-row").locator("[data-field=name]")).to_have_text("Banks")
    expect(page.locator("#holdings-trouble")).to_be_hidden()
    page.get_by_test_id("allocation").get_by_text("Sector", exact=True).click()
    expect(page.locator("#allocation")).to_contain_text("Banks")
    assert column.asked.count("portfolio/sectors") == 2  # once for both


POSITIONS = "[...document.querySelectorAll('#holdings .row')].map(({ dataset }) => ({ isin: dataset.isin }))"


@pytest.mark.parametrize("status", [503, 302])
def test_a_strip_that_is_not_renewed_says_of_when_it_is(page: Page, status: int) -> None:
    def refuse(route: Route) -> None:
        headers = {"Location": "/login"} if status == 302 else {}
        route.fulfill(status=status, body="", headers=headers)

    page.route("**/strip", refuse)
    page.clock.install(time="2026-11-23T05:00:00Z")
    opened(page)
    page.clock.run_for(50_000)
    expect(page.locator("[data-strip=stale] .chip")).to_have_count(0)
    page.clock.run_for(50_000)
    expect(page.locator("[data-strip=stale] .chip")).to_have_text("as of 10:30")


def test_what_stops_trading_comes_and_goes_with_the_strip(
    page: Page, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may stand: that one has ended does not hide the other."""
    kill = {"kind": "KILL", "words": "The kill switch is on.", "cause": "person", "reason": "Enough", "set_by": "alice"}
    loss = {"kind": "DAY_LOSS", "words": "The day's loss is reached.", "cause": "limit:DAY_LOSS", "reason": "124000."}
    since = {"set_at": "2026-11-23T05:12:33.000Z", "locked_until": None}
    standing: list[dict[str, Any]] = [{**kill, **since}, {**loss, **since}]

    def told(route: Route) -> None:
        context = {"halts": {"halts": standing, "readable": True}, "strip": STRIP}
        route.fulfill(content_type="text/html", body=render_to_string("parts/strip_again.html", context))

    monkeypatch.setitem(SHOWN_TOO, "halts", {"halts": [], "readable": True})
    page.route("**/strip", told)
    opened(page)
    shown = page.get_by_test_id("halt")
    host.send("TRADING_HALT", {"words": kill["words"], "ended_at": None})
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text("alice, 23 Nov, 10:42 IST: Enough.")
    expect(shown.last.locator("[data-money]")).to_have_text("124000.")
    standing.pop(0)
    host.send("TRADING_HALT", {"words": kill["words"], "ended_at": since["set_at"]})
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text(loss["words"])


def test_two_things_that_need_attention_leave_the_day_on_the_first_screen(page: Page, column: Column) -> None:
    long: Any = {"words": "It did not answer for a while. " * 4, "meaning": "Its shares stay by its last answer. " * 4}
    column.needs = [item("one", "bad", **long), item("two", "warn", amount="5000.00", **long)]
    opened(page)
    expect(page.locator("[data-code=two]")).to_be_visible()
    heights = page.get_by_test_id("attention-items").bounding_box()
    assert heights is not None
    assert heights["height"] < 145  # two lines each
    day = page.locator("#day").bounding_box()
    assert day is not None
    assert day["y"] < 700
    words = page.locator("[data-code=one] .words")
    low = words.bounding_box()
    page.locator("[data-code=one] [data-field=subject]").focus()
    high = words.bounding_box()
    assert low is not None
    assert high is not None
    assert high["height"] > 2 * low["height"]


def test_a_minute_that_becomes_unknown_is_drawn_anew(page: Page, host: Host) -> None:
    """The chart's key: the last run is a minute shorter, and nothing else has changed."""
    opened(page)
    drawn = page.evaluate(
        """async () => {
          const { DayChart } = await import("/static/trademaster/day_chart.js");
          const told = [];
          const series = () => ({
            applyOptions() {}, setData: (rows) => told.push(rows.length), update() {}, createPriceLine: () => ({}),
            removePriceLine() {},
          });
          const chart = {
            addAreaSeries: series, applyOptions() {}, priceScale: () => ({ applyOptions() {} }),
            subscribeCrosshairMove() {},
            timeScale: () => ({ fitContent() {} }), removeSeries() {},
          };
          const day = new DayChart(null, { createChart: () => chart, LineType: {}, LineStyle: {} }, { onHover() {} });
          const at = (minute) => `2026-11-23T03:4${5 + minute}:00Z`;
          const points = (values) => values.map((value, minute) => ({ at: at(minute), value }));
          const of = (...values) => ({ opens_at: at(0), closes_at: at(4), points: points(values) });
          day.draw({ series: of("1.00", "2.00"), previous: null, silences: [] });
          const before = told.length;
          day.draw({ series: of("1.00", null), previous: null, silences: [] });
          return told.length - before;
        }"""
    )
    assert drawn > 0
