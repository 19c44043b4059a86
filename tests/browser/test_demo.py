"""The whole house as a newcomer meets it: `make demo`, a real browser, and a broker that fails and comes back."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from brokers import registry
from tests.browser import kit
from tests.browser.kit import CONNECTED_BY_THE_DEMO as SIX
from tests.browser.kit import NOTICE_MILLISECONDS, Demo, Watched, card
from trademaster.local.code import code

pytestmark = pytest.mark.browser

TWICE_WITHIN_MILLISECONDS = 10_000
ANOTHER_WITHIN_MILLISECONDS = 5_000
SAID_WITHIN_MILLISECONDS = 10_000


def test_six_brokers_are_there_and_the_total_moves(watched: Watched, demo: Demo) -> None:
    page = watched.page
    for slug in SIX:
        expect(card(page, slug, "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    expect(page.get_by_text("SIMULATED").first).to_be_visible()
    expect(page.get_by_test_id("position-row").first).to_be_visible()
    expect(page.get_by_test_id("socket-light")).to_be_visible()
    total = page.get_by_test_id("total-value")
    until = time.monotonic() + TWICE_WITHIN_MILLISECONDS / 1000
    for _ in range(2):
        shown = total.inner_text()
        left = max(1, (until - time.monotonic()) * 1000)
        expect(total).not_to_have_text(shown, timeout=left)
    assert any(character.isdigit() for character in total.inner_text())
    assert len(watched.sockets) == 1


def test_a_broker_fails_is_marked_and_recovers(watched: Watched, demo: Demo) -> None:
    page = watched.page
    expect(card(page, "zerodha", "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    demo.control.set_fault("zerodha", "down")
    try:
        expect(card(page, "zerodha", "ERROR")).to_be_visible(timeout=NOTICE_MILLISECONDS)
        expect(card(page, "upstox", "CONNECTED")).to_be_visible()
        assert any(character.isdigit() for character in page.get_by_test_id("total-value").inner_text())
    finally:
        demo.control.clear_faults("zerodha")
    # Its circuit is open by now: it is asked again after half a minute at first, after a minute at most here.
    expect(card(page, "zerodha", "CONNECTED")).to_be_visible(timeout=3 * NOTICE_MILLISECONDS)


def test_all_six_stream_and_prices_go_on_from_another_when_one_falls(watched: Watched, demo: Demo) -> None:
    """Each over its broker's own protocol. Without any stream the page says so."""
    page = watched.page
    for slug in SIX:
        expect(card(page, slug).get_by_text("streaming")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    source = page.get_by_test_id("position-row").first.locator("[data-field=source]")
    expect(source).to_have_text(re.compile(", live$"), timeout=NOTICE_MILLISECONDS)
    name = source.inner_text().removesuffix(", live")
    fallen = next(slug for slug in SIX if registry.load(slug).spec.name == name)
    demo.control.set_fault(fallen, "stream_down")
    try:
        others = re.compile(f"^(?!{re.escape(name)}, ).*, live$")
        expect(source).to_have_text(others, timeout=ANOTHER_WITHIN_MILLISECONDS)
        for slug in registry.slugs():  # another test may have connected more than the demo does
            demo.control.set_fault(slug, "stream_down")
        light = page.get_by_test_id("price-light")
        expect(light).to_have_text(re.compile("Prices (stale|not streaming)"), timeout=SAID_WITHIN_MILLISECONDS)
    finally:
        for slug in registry.slugs():
            demo.control.clear_faults(slug)


def test_the_mornings_logins_one_after_the_other(watched: Watched, demo: Demo) -> None:
    """Two sessions die overnight: one press and one login each, every time back on the queue, until all are ticked."""
    page = watched.page
    dead = ("zerodha", "upstox")
    for slug in dead:
        expect(card(page, slug, "CONNECTED")).to_be_visible(timeout=NOTICE_MILLISECONDS)
        demo.control.revoke(slug)
    expect(page.get_by_text("2 brokers need a login.")).to_be_visible(timeout=NOTICE_MILLISECONDS)
    page.get_by_role("link", name="Log in, one after the other").click()
    waiting = page.locator("[data-testid=login][data-need=now]")
    for place, slug in enumerate(dead):
        expect(waiting).to_have_count(len(dead) - place)
        expect(page.locator(f"[data-testid=login].next[data-broker={slug}] button")).to_be_focused()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page).to_have_url(f"{demo.url}/logins", timeout=NOTICE_MILLISECONDS)
        expect(page.get_by_text("is connected.")).to_be_visible()
        expect(page.locator(f"[data-testid=login][data-broker={slug}]")).to_have_attribute("data-status", "CONNECTED")
    expect(waiting).to_have_count(0)  # at night others may need one later in the day: that is another test's


def test_the_page_comes_back_after_a_reload(watched: Watched, demo: Demo) -> None:
    """A snapshot fills it at once: nothing waits for the next push."""
    page = watched.page
    expect(page.get_by_test_id("position-row").first).to_be_visible(timeout=NOTICE_MILLISECONDS)
    page.reload()
    expect(page.get_by_test_id("position-row").first).to_be_visible()
    expect(card(page, "upstox", "CONNECTED")).to_be_visible()


def test_the_reference_of_the_api_keeps_to_the_content_policy(watched: Watched, demo: Demo) -> None:
    """Its scripts and styles are somebody else's; a violation would stand in the console."""
    page = watched.page
    page.goto(f"{demo.url}/api/docs")
    expect(page.get_by_text("One portfolio over all connected brokers").first).to_be_visible(
        timeout=NOTICE_MILLISECONDS
    )
    page.goto(f"{demo.url}/status")
    expect(page.get_by_role("heading").first).to_be_visible()


def test_support_opens_the_admin_with_a_code(chromium: Browser, demo: Demo) -> None:
    """As the demo's last lines say: user and password, then what `make code` prints."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{demo.url}/admin/")
    page.get_by_label("Username").fill(demo.support["username"])
    page.get_by_label("Password").fill(demo.support["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(code(demo.support["totp"], at=time.time()))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{demo.url}/admin/")
    expect(page.get_by_role("link", name="TradeMaster support")).to_be_visible()
    context.close()


def test_disconnecting_asks_for_a_fresh_proof_and_comes_back(watched: Watched, demo: Demo) -> None:
    """The answer of an API that finds the proof too old: tests/accounts/test_step_up.py has the real one."""
    page = watched.page
    card(page, "zerodha").get_by_test_id("broker-menu").locator("summary").click()
    card(page, "zerodha").get_by_role("button", name="Disconnect").click()
    page.route("**/api/v1/brokers/connections/*", refuse_once)
    page.locator("#disconnect button[value=disconnect]").click()
    expect(page).to_have_url(f"{demo.url}/step-up/password?next=%2F")
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Confirm").click()
    expect(page).to_have_url(f"{demo.url}/")
    [refusal] = watched.errors  # the console names every 403
    assert "403" in refusal
    watched.errors.clear()


def refuse_once(route: Route) -> None:
    error = {"code": "step_up_required", "message": "", "remedy": "", "details": {"url": "/step-up"}}
    route.fulfill(status=403, json={"error": error})


def test_signing_out_ends_it(visitor: Page, demo: Demo) -> None:
    """In a session of its own: the other tests share one."""
    kit.sign_in(visitor, demo.username, demo.password)
    expect(visitor).to_have_url(f"{demo.url}/")
    kit.sign_out(visitor, demo.username)
    expect(visitor).to_have_url(f"{demo.url}/login")
    visitor.goto(demo.url)
    expect(visitor.get_by_label("Password")).to_be_visible()


@pytest.mark.parametrize(("ci", "ending"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_a_browser_only_a_developer_may_skip(
    ci: str, ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ending, match="Chromium"):
        kit.browser_program()
