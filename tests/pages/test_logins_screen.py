"""The page of the morning's logins, as a browser makes it out of the API's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.pages.served import HOME, window
from tests.pages.test_screens import CONSENT, SHOWN_TOO, House

pytestmark = pytest.mark.browser

STATUS = {"now": "TOKEN_EXPIRED", "today": "CONNECTED", "no": "CONNECTED"}
REMINDER = {
    "by_email": False,
    "email": "alice@example.com",
    "webhook_url": "",
    "last_sent_on": None,
    "last_error": None,
}


def entry(name: str, need: str, *, left: int | None = None, ready: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "connection_id": f"id-{name}",
        "broker_type": name,
        "broker_name": name.title(),
        "account_id": f"{name}-1",
        "display_name": "",
        "status": STATUS[need],
        "needs_login": need,
        "why": {"code": "some", "message": "Because."},
        "expires_at": None if left is None else (datetime.now(UTC) + timedelta(seconds=left)).isoformat(),
        "seconds_left": left,
        "login_after": None,
        "login": {"by_redirect": True, "app_configured": ready, "ready": ready, "methods": []},
        "broker_trouble": None,
        **more,
    }


@dataclass
class MorningHouse(House):
    entries: list[dict[str, Any]] = field(default_factory=list)
    reminder: dict[str, Any] = field(default_factory=lambda: dict(REMINDER))
    refusal: dict[str, Any] | None = None
    trading_day: bool | None = True
    line: WebSocketRoute | None = None

    def answer(self, route: Route, verb: str, path: str, body: str | None) -> None:
        if verb != "GET" and self.refusal:
            route.fulfill(status=400, json={"error": self.refusal})
        elif path == "brokers/logins":
            route.fulfill(json=self.queue())
        elif path == "brokers/logins/reminder":
            if verb == "PUT":
                self.sent.append((verb, path, json.loads(body or "null")))
            route.fulfill(json=self.reminder)
        else:
            super().answer(route, verb, path, body)

    def queue(self) -> dict[str, Any]:
        counts = {need: sum(entry["needs_login"] == need for entry in self.entries) for need in STATUS}
        return {
            "as_of": datetime.now(UTC).isoformat(),
            "trading_day": self.trading_day,
            "trading_ends_at": None,
            "next_session_at": "2026-11-30T03:30:00Z",
            "counts": {**counts, "total": len(self.entries)},
            "entries": self.entries,
        }

    def opened(self, line: WebSocketRoute) -> None:
        self.line = line
        line.send(json.dumps({"type": "SNAPSHOT", "data": {}}))

    def push(self, kind: str) -> None:
        assert self.line is not None
        self.line.send(json.dumps({"type": kind, "data": {}}))


@pytest.fixture
def house() -> MorningHouse:
    return MorningHouse()


@pytest.fixture
def page(browser: Browser, house: MorningHouse) -> Iterator[Page]:
    with window(browser, house.serve, size=(390, 844)) as page:
        page.route_web_socket("**/ws/portfolio/", house.opened)
        yield page


def shown(page: Page, house: MorningHouse, *entries: dict[str, Any]) -> Page:
    house.entries = list(entries)
    page.goto(f"{HOME}/logins")
    page.wait_for_selector("[data-testid=login]")
    return page


def row(page: Page, name: str) -> Any:
    return page.locator(f"[data-testid=login][data-broker={name}]")


def test_the_next_one_is_one_press_away(page, house):
    shown(page, house, entry("alpha", "now"), entry("beta", "today", left=3600), entry("gamma", "no", left=86400))

    expect(page.get_by_test_id("needing")).to_have_text("2 of 3 need you")
    expect(row(page, "alpha").get_by_role("button")).to_be_focused()
    assert page.title().startswith("(2) ")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{HOME}/elsewhere")
    body = {"broker_type": "alpha", "consent": CONSENT.version, "return_to": "logins", "connection_id": "id-alpha"}
    assert house.sent == [("POST", "brokers/connect/initiate", body)]


def test_it_fits_on_a_telephone(page, house):
    shown(page, house, entry("alpha", "now", display_name="A name as long as a trader may wish it to be, and longer"))

    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_countdown_runs(page, house):
    shown(page, house, entry("alpha", "no", left=50))
    left = row(page, "alpha").locator("[data-field=left]")
    before = left.inner_text()

    expect(left).not_to_have_text(before)
    assert left.inner_text() < before


def test_one_without_keys_leads_to_where_they_are_stored_and_is_not_the_next(page, house):
    shown(page, house, entry("alpha", "now", ready=False), entry("beta", "now"))

    keys = row(page, "alpha").get_by_role("link", name="Store its keys")
    assert keys.get_attribute("href") == "/connect/alpha"
    assert row(page, "alpha").get_by_role("button").count() == 0
    expect(row(page, "beta").get_by_role("button")).to_be_focused()


def test_what_else_is_to_be_known_is_said(page, house):
    house.trading_day = None
    early = entry("alpha", "now", login_after="2026-11-26T00:30:00Z")
    shown(page, house, early, entry("beta", "now", broker_trouble="MAINTENANCE"))

    expect(row(page, "alpha")).to_contain_text("06:00 IST")
    expect(row(page, "beta")).to_contain_text("closed for maintenance")
    expect(page.get_by_text("this year’s holidays are missing")).to_be_visible()


def test_a_login_made_elsewhere_ticks_off_and_the_next_takes_its_place(page, house):
    shown(page, house, entry("alpha", "now"), entry("beta", "now"))
    house.entries = [entry("beta", "now"), entry("alpha", "no", left=86400)]
    house.push("BROKER_STATUS_UPDATE")

    expect(row(page, "alpha")).to_have_attribute("data-need", "no")
    expect(page.locator("[data-testid=login]").first).to_have_attribute("data-broker", "beta")
    expect(row(page, "beta").get_by_role("button")).to_be_focused()
    expect(page.locator("#announcer")).to_contain_text("Alpha alpha-1: done.")
    house.entries = [entry("alpha", "no", left=86400), entry("beta", "no", left=86400)]
    house.push("BROKER_STATUS_UPDATE")
    expect(page.get_by_test_id("needing")).to_have_text("All 2 are good: nothing needs you")
    expect(page.get_by_role("link", name="To the portfolio")).to_be_focused()
    assert not page.title().startswith("(")


def test_without_a_connection_it_leads_to_the_first(page, house):
    page.goto(f"{HOME}/logins")

    expect(page.get_by_text("No broker is connected yet")).to_be_visible()


def test_a_login_that_cannot_begin_says_why(page, house):
    shown(page, house, entry("alpha", "now"))
    house.refusal = {"code": "broker_app_missing", "message": "There is no API key.", "remedy": "Store it."}
    row(page, "alpha").get_by_role("button").click()

    expect(page.locator("#trouble")).to_have_text("There is no API key. Store it.")
    expect(row(page, "alpha").get_by_role("button")).to_be_enabled()


def test_the_reminder_is_chosen_and_its_secret_shown_once(page, house):
    shown(page, house, entry("alpha", "now"))
    form = page.locator("#reminder")
    expect(form).to_contain_text("By e-mail to alice@example.com")
    url = "https://example.com/hook"
    house.reminder |= {"by_email": True, "webhook_url": url, "webhook_secret": "shown once"}
    form.get_by_role("checkbox").check()
    form.get_by_label("Webhook").fill(url)
    form.get_by_role("button", name="Save").click()

    expect(form.locator("[data-field=secret]")).to_have_text("shown once")
    house.reminder |= {"webhook_secret": None, "last_error": "webhook: HTTP 500"}
    form.get_by_role("button", name="Save").click()
    expect(form.locator("[data-field=secret_part]")).to_be_hidden()
    expect(form).to_contain_text("The last attempt failed: webhook: HTTP 500.")
    assert "shown once" not in page.content()
    with page.expect_response("**/logins/reminder"):
        form.get_by_role("button", name="Make a new secret").click()
    body = {"by_email": True, "webhook_url": url}
    assert [sent for _, _, sent in house.sent] == [
        {**body, "rotate_secret": False},
        {**body, "rotate_secret": False},
        {**body, "rotate_secret": True},
    ]


def test_an_address_that_is_refused_says_why(page, house):
    shown(page, house, entry("alpha", "now"))
    house.refusal = {"code": "webhook_not_https", "message": "Only encrypted.", "remedy": "Use https."}
    form = page.locator("#reminder")
    form.get_by_label("Webhook").fill("http://example.com")
    form.get_by_role("button", name="Save").click()

    expect(form.get_by_role("alert")).to_have_text("Only encrypted. Use https.")


def test_the_field_that_is_refused_is_named(page, house):
    shown(page, house, entry("alpha", "now"))
    details = {"webhook_url": ["Enter a valid URL."]}
    house.refusal = {"code": "invalid_input", "message": "Some fields are wrong.", "remedy": "See.", "details": details}
    form = page.locator("#reminder")
    form.get_by_label("Webhook").fill("https://nowhere")
    form.get_by_role("button", name="Save").click()

    expect(form.get_by_role("alert")).to_have_text("webhook url: Enter a valid URL.")


def test_what_the_server_says_of_a_simulated_session_stands(page, house, monkeypatch):
    said = "Simulated session: the market is open all day."
    monkeypatch.setitem(SHOWN_TOO, "all_day", True)
    shown(page, house, entry("alpha", "now"))

    expect(page.locator("#session")).to_contain_text(said)
    expect(page.get_by_text("Trading begins")).to_have_count(0)
    monkeypatch.setitem(SHOWN_TOO, "all_day", False)
    shown(page, house, entry("alpha", "now"))
    expect(page.locator("#session")).to_contain_text("Trading begins")
