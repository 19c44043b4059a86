"""The pages of brokers' health in a real browser: a desk, a tablet, a hand; with a script and without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, Route, expect

from brokers import registry
from brokers.connecting import Chip
from health import days
from health.days import Day
from orders.rejections import Refused
from tests.pages.served import HOME, send_file, window
from tests.pages.test_connect_screen import account
from trademaster.health_pages import Guard, Own, Window

pytestmark = pytest.mark.browser

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
LIST, CARD = "/brokers/health/", "/brokers/health/upstox/"
KINDS = ("SESSION", "HOLDINGS", "QUOTES", "ORDERS")
COUNTS = {"checks": 900, "failures": 12, "p50_ms": 47, "p95_ms": 4088, "error_classes": {"broker_rate_limited": 12}}
UNKNOWN = {"checks": 0, "failures": 0, "p50_ms": None, "p95_ms": None, "error_classes": {}}
INCIDENT = {"kind": "WIDESPREAD", "words": "Fails for most accounts", "planned": False, "opened_at": NOW}
WINDOW = Window(words="orders, cancels", short="orders and 1 more", left=1, calls=10, seconds=1, paused_until=None)
GUARD = Guard(
    words="prices",
    meaning="They come from elsewhere.",
    state="not asked now",
    tone="bad",
    opened_at=NOW,
    retry_at=NOW,
    reason="broker_unavailable",
)


def broker(slug: str, state: str = "UP", counts: dict[str, Any] = COUNTS) -> dict[str, Any]:
    return {
        **{"broker_type": slug, "name": registry.load(slug).spec.name, "state": state, "since": NOW, **counts},
        **{"uptime_pct": Decimal("98.994"), "longest_outage_seconds": 5400, "guards": [], "own": []},
        "checks_by_type": [{"check_type": kind, **counts} for kind in KINDS],
        "incidents": [{**INCIDENT, "closed_at": None}, {**INCIDENT, "closed_at": NOW + timedelta(minutes=7)}],
    }


def own() -> Own:
    chip = Chip(text="Connected", tone="good")
    return Own(row=account("upstox"), chip=chip, windows=[WINDOW], is_shared=True, entries=[], older=NOW)


class House:
    def __init__(self) -> None:
        self.answers = True
        self.uptime = Decimal("98.994")

    def serve(self, route: Route) -> None:
        path = route.request.url.removeprefix(HOME).partition("?")[0]
        if path.startswith("/static/"):
            send_file(route, path)
        elif not self.answers:
            route.abort()
        else:
            route.fulfill(content_type="text/html", body=self.page(path))

    def page(self, path: str) -> str:
        user = SimpleNamespace(is_authenticated=True, get_username="alice")
        rows = [broker(slug) for slug in registry.slugs()]
        rows[0] = {**broker("zerodha", "DOWN"), "guards": [GUARD], "own": [own()]}
        rows[1] = {**broker("groww", "UNKNOWN", UNKNOWN), "uptime_pct": None}
        rows[2]["uptime_pct"] = self.uptime
        month = [
            Day(on=date(2026, 11, number), uptime_pct=None, checks=0, failures=0, p50_ms=number, p95_ms=number * 3)
            for number in range(1, 27)
        ]
        context = {
            **{"user": user, "as_of": NOW, "rows": rows, "broker": {**rows[3], "uptime_pct": self.uptime}},
            **{"spec": registry.load("upstox").spec, "month": month, "chart": days.chart(month), "guards": [GUARD]},
            **{"own": [own()], "refused": Refused(8, 2, (("insufficient_funds", 2),))},
        }
        template = "brokers_health.html" if path == LIST else "broker_health.html"
        return render_to_string(template, context, RequestFactory().get(path))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without"])
def page(request: pytest.FixtureRequest, browser: Browser, house: House) -> Iterator[Page]:
    with window(browser, house.serve, java_script_enabled=request.param) as page:
        yield page


@pytest.fixture
def lively(browser: Browser, house: House) -> Iterator[Page]:
    with window(browser, house.serve) as page:
        yield page


@pytest.mark.parametrize("path", [LIST, CARD])
def test_it_fits_every_window_and_everything_has_a_name(page: Page, path: str) -> None:
    for width in (390, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        page.goto(f"{HOME}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert page.locator("th:not([scope])").count() == 0
    ids = page.locator("[id]").evaluate_all("nodes => nodes.map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_a_line_says_how_a_broker_is_and_a_dash_why(page: Page) -> None:
    page.goto(f"{HOME}{LIST}")
    rows = page.get_by_test_id("broker-health")
    assert rows.count() == len(registry.slugs())
    first, second = rows.nth(0), rows.nth(1)
    assert "Does not work" in first.inner_text()
    assert "prices: not asked now" in first.inner_text()
    assert "1 of 10" in first.inner_text()
    assert "47 / 4088 ms" in first.inner_text()
    assert "too many calls 12" in first.inner_text()
    reasons = second.locator(".unknown").evaluate_all("nodes => nodes.map(node => node.title)")
    assert len(reasons) == 6
    assert all(reasons)


def test_a_card_has_a_picture_and_a_table_that_says_the_same(page: Page) -> None:
    page.goto(f"{HOME}{CARD}")
    assert page.get_by_test_id("latency-chart").locator("polyline").count() == 2
    page.get_by_text("The days as a table").click()
    assert page.get_by_test_id("days-table").locator("tbody tr").count() == 26
    assert "25 %" in page.get_by_test_id("scores").inner_text()
    assert "insufficient_funds" in page.get_by_test_id("refused").inner_text()
    assert page.get_by_role("link", name="Older").is_visible()


@pytest.mark.parametrize("path", [LIST, CARD])
def test_it_takes_over_what_is_new_and_says_when_nobody_answers(lively: Page, house: House, path: str) -> None:
    lively.goto(f"{HOME}{path}")
    look_again = "document.dispatchEvent(new Event('visibilitychange'))"
    house.uptime = Decimal("12.5")
    lively.evaluate(look_again)
    expect(lively.locator("main")).to_contain_text("12.5 %")
    expect(lively.locator("#offline")).to_be_hidden()
    house.answers = False
    lively.evaluate(look_again)
    expect(lively.locator("#offline")).to_be_visible()
    expect(lively.locator("main")).to_contain_text("12.5 %")
    house.answers = True
    lively.evaluate(look_again)
    expect(lively.locator("#offline")).to_be_hidden()
