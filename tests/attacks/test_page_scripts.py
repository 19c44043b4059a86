"""Hostile words in the real browser: whatever the API and the socket say stays text, and pollutes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page

from brokers.connecting import Known
from portfolio.presentation import present
from tests.pages import test_connect_screen as connecting
from tests.pages.conftest import browser
from tests.pages.test_screens import CONNECTION, HOME, NOW, House, book

__all__ = ("browser",)

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=\"window.hit='img'\"><script>window.hit='script'</script>"
    "<svg onload=\"window.hit='svg'\">'\"`${7*7}"
)
# Where an account, a broker or a person may say what they like.
WORDS = {
    "account_id", "broker_name", "display_name", "error_code", "error_message", "help", "label", "message", "name",
    "remedy", "symbol", "tradingsymbol", "underlying", "words", "subject", "meaning",
}  # fmt: skip
NEEDED = {
    **{"code": "order_unknown", "key": "unknown:1", "tone": "bad", "subject": "", "words": "", "meaning": ""},
    **{"href": "/orders/", "since": None, "amount": None, "happened": False},
    "remedy": {"label": "", "method": "link", "href": "/orders/", "body": None},
}
SILENT = {"display_name": "", "begun_at": "2026-11-23T04:00:00Z", "until": None, "status": "ERROR"}
# What would reach the prototype of every object, were it merged into one carelessly.
POLLUTION = {"__proto__": {"hit": "proto"}}


def hostile(told: Any, key: str = "") -> Any:
    if isinstance(told, dict):
        return {**POLLUTION, **{name: hostile(value, name) for name, value in told.items()}}
    if isinstance(told, list):
        return [hostile(value, key) for value in told]
    return HOSTILE if key in WORDS and isinstance(told, str) else told


class HostileHouse(House):
    def answer(self, route: Any, verb: str, path: str, body: str | None) -> None:
        answers: dict[str, Any] = {
            "brokers/connections": [CONNECTION],
            "attention": {"items": [NEEDED], "counted": 1, "as_of": NOW.isoformat()},
            "portfolio/silences": {"silences": [SILENT]},
        }
        if path in answers:
            route.fulfill(json=hostile(answers[path]))
        else:
            refused = {"error": {"code": HOSTILE, "message": HOSTILE, "remedy": HOSTILE, "details": {HOSTILE: HOSTILE}}}
            route.fulfill(status=422, json=refused)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page behind which everything is hostile; nothing that it was told may have run."""
    page, dialogs, failures = browser.new_page(viewport={"width": 1440, "height": 900}), [], []
    page.set_default_timeout(10_000)
    data = {"portfolio": present(book()), "error": None, "connections": [{**CONNECTION, "error_message": "away"}]}
    snapshot = {"type": "SNAPSHOT", "data": hostile(data), "timestamp": NOW.isoformat(), "sequence": 1}

    def dismissed(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismissed)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.route("**/*", HostileHouse().serve)
    page.route_web_socket("**/ws/portfolio/", lambda socket: socket.send(json.dumps(snapshot)))
    yield page
    assert page.evaluate("window.hit") is None
    assert page.evaluate("({}).hit") is None
    assert page.locator("img[src=x], svg[onload], [onerror]").count() == 0
    assert (dialogs, failures) == ([], [])
    page.close()


def test_a_dashboard_shows_hostile_names_as_text(page: Page) -> None:
    page.goto(f"{HOME}/#positions")
    page.wait_for_selector("[data-testid=derivative-row]")
    assert HOSTILE in page.inner_text("body")
    page.wait_for_selector("#attention li")
    assert page.locator("#attention li [data-field=subject]").text_content() == HOSTILE
    assert page.locator("#attention li [data-field=meaning]").text_content() == HOSTILE


def test_the_connect_page_shows_hostile_words_as_text(browser: Browser) -> None:
    """Names and reasons of an account, and what the API answers to a press."""
    failing = connecting.account("upstox", "SUSPENDED", error_code="suspended", error_message=HOSTILE)
    failing.display_name = HOSTILE
    house = connecting.House(known=Known(now=connecting.NOW, connections=[failing], apps=frozenset({"upstox"})))
    house.refusal = {"code": HOSTILE, "message": HOSTILE, "remedy": HOSTILE}
    page, failures = browser.new_page(), []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.route("**/*", house.serve)
    page.goto(f"{HOME}/connect/upstox")
    assert HOSTILE in page.get_by_test_id("broker-account").inner_text()
    page.get_by_role("button", name="Repair by a new login").click()
    page.wait_for_function("words => document.body.innerText.split(words).length > 3", arg=HOSTILE)
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x], svg[onload], [onerror]").count() == 0
    assert failures == []
    page.close()
