"""The risk page in a real browser: rendered from a report that was computed, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, Route

from portfolio import risk_page
from portfolio.domain import SourceState
from portfolio.risk.limits import State
from portfolio.risk.presenting import written
from portfolio.risk.report import report
from tests.pages.served import HOME, send_file, window
from tests.portfolio.risk.made_reports import UPSTOX, ZERODHA, book, market, mixed, purse, worth
from tests.portfolio.risk.risk_lines import NOW
from trademaster.glossary import TERMS

pytestmark = pytest.mark.browser

NAMES = {f"{ZERODHA}-1": "Zerodha of Alice", f"{UPSTOX}-1": "Upstox of Alice"}
BREACH = SimpleNamespace(pk=7, scope_key="", opened_at=NOW, acknowledged_at=None, acknowledged_by=None)
METER = risk_page.meter(Decimal("3.4"), Decimal(3), Decimal(5), is_amount=False)
LIMIT = {
    "id": 1, "term": "var_99_pct", "of": "", "value": "3.4", "warn": "3", "block": "5", "unit": "%", "meter": METER,
    "is_money": False, "state": State.WARN, "word": "Warning", "tone": "warn", "breaches": [BREACH],
}  # fmt: skip
LOSS = {
    **LIMIT, "id": 2, "term": "day_loss", "value": "60000", "warn": "50000", "block": None, "unit": "",
    "is_money": True, "breaches": [],
    "meter": risk_page.meter(Decimal(60000), Decimal(50000), None, is_amount=True),
}  # fmt: skip


def context() -> dict[str, Any]:
    purses = [purse(ZERODHA), purse(UPSTOX, state=SourceState.STALE, as_of=NOW - timedelta(minutes=3))]
    short = [replace(line, units=-line.units / 2) for line in mixed(UPSTOX)]
    found = report(book(*mixed(), *short, purses=purses), market(), days=worth(100, 110, 99, 104))
    return {**risk_page.context(written(found), NAMES, now=NOW), "limits": [LIMIT, LOSS]}


CONTEXT = context()


def html(told: dict[str, Any]) -> str:
    user = SimpleNamespace(is_authenticated=True, get_username="alice")
    return render_to_string("risk.html", {"user": user, **told}, RequestFactory().get("/risk/"))


class House:
    """Serves the page and our own files; notes what is sent."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = CONTEXT
        self.sent: list[tuple[str, str]] = []

    def serve(self, route: Route) -> None:
        path = route.request.url.removeprefix(HOME)
        if path == "/risk/":
            route.fulfill(body=html(self.told), content_type="text/html")
        elif path.startswith("/static/"):
            send_file(route, path)
        else:
            self.sent.append((route.request.method, path))
            route.fulfill(json={})


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without"])
def page(request: pytest.FixtureRequest, browser: Browser, house: House) -> Iterator[Page]:
    yield from opened(browser, house, java_script_enabled=request.param)


@pytest.fixture
def lively(browser: Browser, house: House) -> Iterator[Page]:
    yield from opened(browser, house)


def opened(browser: Browser, house: House, **options: Any) -> Iterator[Page]:
    with window(browser, house.serve, complaints=True, **options) as page:
        page.goto(f"{HOME}/risk/")
        yield page


def test_every_section_is_there_and_says_what_it_covers(page: Page) -> None:
    for name in ("losses", "stress", "exposure", "liquidity", "worth", "margins", "concentration", "greeks", "record"):
        section = page.locator(f"#{name}")
        assert section.is_visible(), name
        assert "1/2 live" in section.locator("header .chips").inner_text(), name
        assert "Upstox of Alice 3 min" in section.locator("header .chips").inner_text(), name


def test_figures_are_those_of_the_report_in_lakh(page: Page) -> None:
    rows = page.get_by_test_id("method")
    assert [row.locator("th").inner_text() for row in rows.all()] == ["Historical", "Filtered", "Parametric", "EWMA"]
    told = next(
        each
        for each in CONTEXT["values"]["losses"]["figures"]
        if each["method"] == "HISTORICAL" and each["confidence_pct"] == "99.00"
    )
    assert rows.first.locator("td").nth(1).inner_text().startswith("₹")
    assert told["var_pct"] in rows.first.locator("td").nth(1).inner_text()
    assert "lakh" in page.locator("#exposure .sums").inner_text()


def test_the_chart_has_a_table_that_says_the_same(page: Page) -> None:
    bars = page.get_by_test_id("stress-chart").locator("rect")
    assert bars.count() >= 10
    page.get_by_text("scenarios as a table").click()
    rows = page.get_by_test_id("stress-table").locator("tbody tr")
    assert rows.count() == len(CONTEXT["values"]["stress"]["scenarios"])
    assert page.get_by_test_id("drawdown-chart").is_visible()


def test_the_tree_opens_down_to_what_is_held(page: Page) -> None:
    tree = page.get_by_test_id("exposure-tree")
    tree.get_by_text("By sector").click()
    sector = tree.locator("details").filter(has_text="Oil and gas").last
    sector.locator("summary").click()
    assert sector.locator(".leaf").first.is_visible()


def test_a_limit_is_a_meter_with_its_levels_in_words(page: Page) -> None:
    limit = page.get_by_test_id("limits").locator("li").first
    assert limit.locator("meter").get_attribute("value") == "3.4"
    assert "Value at risk, 99%" in limit.inner_text()
    assert limit.get_by_title(TERMS["var_99_pct"].meaning).is_visible()
    assert "warns at 3%" in limit.inner_text()
    assert "Warning" in limit.inner_text()


def test_amounts_of_a_limit_are_hidden_with_all_others(page: Page) -> None:
    rate, loss = page.get_by_test_id("limits").locator("li").all()
    assert loss.locator("[data-money]").all_inner_texts() == ["₹60,000", "₹50,000"]
    assert rate.locator("[data-money]").count() == 0


def test_somebody_takes_note_of_a_breach(lively: Page, house: House) -> None:
    lively.get_by_role("button", name="Take note").click()
    lively.wait_for_function("document.getElementById('announcer').textContent === 'Noted.'")
    assert house.sent == [("POST", "/api/v1/risk/breaches/7/acknowledge")]


def test_everything_that_can_be_asked_for_has_a_name(page: Page) -> None:
    """What a screen reader would stumble over: pictures, meters, regions and headers without words."""
    nameless = """nodes => nodes.filter(node => !(node.getAttribute('aria-label')
        || document.getElementById(node.getAttribute('aria-labelledby') ?? '')?.textContent.trim())).length"""
    assert page.locator("svg[role=img], meter, section, aside, [tabindex='0']").evaluate_all(nameless) == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("h1").count() == 1
    ids = page.locator("[id]").evaluate_all("nodes => nodes.map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(lively: Page, scheme: Any) -> None:
    """4.5 : 1 for text, by WCAG 2, of every chip and number that has a colour of its own."""
    lively.emulate_media(color_scheme=scheme)
    weak = lively.evaluate(
        """() => {
        const parsed = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
        const light = ([r, g, b]) => {
          const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
          return 0.2126 * x + 0.7152 * y + 0.0722 * z;
        };
        const ground = (node) => {
          for (let at = node; at; at = at.parentElement) {
            const colour = parsed(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
          }
          return [255, 255, 255];
        };
        return [...document.querySelectorAll(".risk .chip, .risk [data-sign], .risk .quiet, .risk dt, .risk th")]
          .filter((node) => node.textContent.trim() && node.checkVisibility() && node.tagName !== "rect")
          .map((node) => {
            const [a, b] = [light(parsed(getComputedStyle(node).color)), light(ground(node))];
            return [node.textContent.trim().slice(0, 30), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
          })
          .filter(([, contrast]) => contrast < 4.5);
        }"""
    )
    assert weak == []


def test_a_section_that_cannot_be_told_says_why() -> None:
    found = report(book(*mixed()), replace(market(), histories={}))
    told = html({**risk_page.context(written(found), NAMES, now=NOW), "limits": []})
    assert "There are no daily prices of anything that this book holds." in told
    assert "No limit has been held against this book yet." in told


def test_without_a_broker_the_page_says_what_to_do() -> None:
    assert "Connect a broker to see your risk" in html({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1879421.90", "₹18.79 lakh"),
        ("-23456789.00", "\u2212₹2.35 crore"),
        ("99999.49", "₹99,999"),
        ("0.00", "₹0"),
        (None, "—"),
    ],
)
def test_amounts_are_shortened_to_lakh_and_crore(text: str | None, words: str) -> None:
    from portfolio.templatetags.risk import short_rupees

    assert short_rupees(text) == words


def test_a_bar_is_as_long_as_its_loss() -> None:
    stress = {
        "scenarios": [
            {"code": "a_vol_p0", "title": "A", "pnl": "-200.00"},
            {"code": "b", "title": "B", "pnl": "100.00"},
            {"code": "c_vol_p60", "title": "C", "pnl": "-900.00"},
            {"code": "d", "title": "D", "pnl": None},
        ]
    }
    found = risk_page.bars(stress)
    assert found is not None
    first, second = found["rows"]
    assert (first.title, second.title) == ("A", "B")
    assert abs(first.width - 2 * second.width) <= 1
    assert first.x + first.width == second.x == found["middle"]
    assert Decimal(first.pnl) < 0
