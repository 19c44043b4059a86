"""The pages that connect a broker, in a real browser: rendered from the brokers' own specs, the accounts made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, Route, expect

from brokers import connecting, consents, registry
from brokers.connecting import Known
from brokers.models import BrokerConnection, OAuthState
from brokers.postback_models import PostbackInbox
from tests.pages.served import HOME, send_file, window

pytestmark = pytest.mark.browser

NOW = datetime(2026, 11, 26, 3, 15, tzinfo=UTC)
ID = UUID(int=1)
API = "/api/v1/"
ADDRESS = f"{HOME}/brokers/postback/secret"
CONSENT = consents.current()


def account(slug: str, status: str = "CONNECTED", **more: Any) -> BrokerConnection:
    return BrokerConnection(
        id=ID,
        broker_type=slug,
        account_id="AB1234",
        display_name="My own",
        status=status,
        status_since=NOW,
        session_number=1,
        token_expires_at=NOW + timedelta(hours=20),
        **more,
    )


@dataclass
class House:
    """Answers the browser in the server's stead: pages from `known`, and every change of it by the API is noted."""

    known: Known = field(default_factory=lambda: Known(now=NOW))
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    refusal: dict[str, Any] | None = None
    is_away: bool = False
    proof: dict[str, Any] = field(default_factory=dict)

    def serve(self, route: Route) -> None:
        request = route.request
        path = request.url.removeprefix(HOME).partition("?")[0]
        if path.startswith("/static/"):
            send_file(route, path)
        elif path.startswith(API):
            self.answer(route, request.method, path.removeprefix(API), json.loads(request.post_data or "null"))
        elif self.is_away:
            route.fulfill(status=502, content_type="text/html", body="<!doctype html><title>Bad gateway</title>")
        elif path.startswith("/connect"):
            route.fulfill(content_type="text/html", body=html(path, self.known, self.proof))
        else:
            route.fulfill(content_type="text/html", body="<!doctype html><title>elsewhere</title>")

    def answer(self, route: Route, verb: str, path: str, body: Any) -> None:
        if self.refusal:
            route.fulfill(status=400, json={"error": self.refusal})
            return
        self.sent.append((verb, path, body))
        self.change(verb, path)
        if verb == "DELETE":
            route.fulfill(status=204)
        elif path.endswith("postback"):
            route.fulfill(json={"exists": True, "address": ADDRESS})
        else:
            route.fulfill(json={"authorization_url": f"{HOME}/elsewhere"})

    def change(self, verb: str, path: str) -> None:
        """What the page says after it."""
        known = self.known
        if path.startswith("brokers/apps/"):
            apps = frozenset({path.rpartition("/")[2]}) if verb == "PUT" else frozenset()
            self.known = Known(now=NOW, apps=apps, connections=known.connections)
        elif path.endswith("postback"):
            inbox = PostbackInbox(broker_connection_id=ID, address_hash="x" if verb == "POST" else None)
            self.known = Known(now=NOW, apps=known.apps, connections=known.connections, inboxes={ID: inbox})


def html(path: str, known: Known, proof: dict[str, Any]) -> str:
    slug = path.removeprefix("/connect").strip("/")
    user = SimpleNamespace(is_authenticated=True, get_username="alice")
    context: dict[str, Any] = {"user": user, "consent": CONSENT, "lines": connecting.lines(known), **proof}
    template = "connect_broker.html" if slug else "connect.html"
    return render_to_string(
        template, {**context, **(connecting.shown(slug, known) if slug else {})}, RequestFactory().get(path)
    )


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    with window(browser, house.serve) as page:
        yield page


def said(page: Page, words: str) -> None:
    page.wait_for_function("words => document.getElementById('announcer').textContent.includes(words)", arg=words)


def test_all_brokers_stand_side_by_side_with_their_state(page: Page, house: House) -> None:
    house.known = Known(now=NOW, connections=[account("fyers", "TOKEN_EXPIRED")], apps=frozenset({"zerodha"}))
    page.goto(f"{HOME}/connect")
    rows = page.get_by_test_id("broker-choice")
    assert [row.get_attribute("data-broker") for row in rows.all()] == list(registry.slugs())
    states = dict(zip(registry.slugs(), page.get_by_test_id("broker-step").all_inner_texts(), strict=True))
    assert (states["fyers"], states["zerodha"], states["upstox"]) == ("Login needed", "Keys stored", "Not set up")
    page.get_by_role("link", name="Upstox", exact=True).click()
    expect(page).to_have_url(f"{HOME}/connect/upstox")


@pytest.mark.parametrize("slug", registry.slugs())
def test_a_broker_has_its_own_steps_keys_and_logins(page: Page, slug: str) -> None:
    spec = registry.load(slug).spec
    page.goto(f"{HOME}/connect/{slug}")
    steps = page.locator(".steps > li").all_inner_texts()
    wanted = [spec.guide.app, spec.guide.redirect, spec.order_rules.register_ip, spec.guide.keys, spec.guide.proof]
    places = [next(place for place, step in enumerate(steps) if words in step) for words in wanted if words]
    assert places == list(range(len(places)))
    inputs = page.locator("[data-keys] input").all()
    assert [each.get_attribute("name") for each in inputs] == [field.name for field in spec.app_fields]
    assert page.get_by_test_id("redirect-address").count() == (1 if spec.callback else 0)
    first = page.locator("[data-field=ways] button").first
    assert first.is_enabled() is (not spec.callback and any(not method.needs_app for method in spec.login_methods))
    forms = [method for method in spec.login_methods if spec.callback]
    assert page.locator("[data-field=ways] button").count() == 1 + len(forms)
    assert page.get_by_test_id("cannot").locator("li").count() >= 2


@pytest.mark.parametrize("slug", registry.slugs())
def test_it_can_be_read_without_a_script(browser: Browser, house: House, slug: str) -> None:
    with window(browser, house.serve, java_script_enabled=False) as page:
        page.goto(f"{HOME}/connect/{slug}")
        assert page.locator(".steps > li").first.is_visible()
        assert page.get_by_test_id("can").is_visible()
        assert page.locator("[data-keys]").count() == 0 or not page.locator("[data-keys]").is_visible()
        assert "JavaScript is switched off" in page.locator("main").inner_text()


def test_keys_go_in_and_the_login_is_ready(page: Page, house: House) -> None:
    page.goto(f"{HOME}/connect/upstox")
    for name in ("api_key", "api_secret"):
        page.locator(f"input[name={name}]").fill(f"the {name}")
    page.get_by_role("button", name="Store the keys").click()
    said(page, "The keys for Upstox are stored.")
    assert house.sent == [("PUT", "brokers/apps/upstox", {"api_key": "the api_key", "api_secret": "the api_secret"})]
    assert page.locator("input[name=api_key]").input_value() == ""
    expect(page.get_by_test_id("broker-state")).to_have_text("Keys stored")
    page.get_by_role("button", name="Connect Upstox").click()
    page.wait_for_url(f"{HOME}/elsewhere")
    begun = {"broker_type": "upstox", "consent": CONSENT.version}
    assert house.sent[1:] == [("POST", "brokers/connect/initiate", begun)]


def test_a_fresh_proof_is_asked_for_before_keys_are_typed(page: Page, house: House) -> None:
    house.known = Known(now=NOW, apps=frozenset({"fyers"}), connections=[account("fyers")])
    house.proof = {"proof": "/step-up?next=/connect/fyers"}
    page.goto(f"{HOME}/connect/fyers")
    assert page.locator("[data-keys]").count() == 0
    expect(page.get_by_test_id("prove-first")).to_have_attribute("href", "/step-up?next=/connect/fyers")
    expect(page.locator("[data-part=keys-warning]")).to_contain_text("other keys can end it at once")


def test_a_proof_that_grew_old_on_the_page_is_asked_for_before_the_first_letter(page: Page, house: House) -> None:
    house.proof = {"proof": "", "proven_until": datetime.now(UTC) + timedelta(minutes=5)}
    page.goto(f"{HOME}/connect/upstox")
    page.locator("input[name=api_key]").focus()
    page.keyboard.type("some")
    page.clock.install(time=datetime.now(UTC) + timedelta(minutes=6))
    page.locator("input[name=api_secret]").focus()  # what is typed is not thrown away
    assert page.locator("input[name=api_key]").input_value() == "some"
    page.locator("input[name=api_key]").fill("")
    page.locator("h1").click()
    page.locator("input[name=api_key]").focus()
    page.wait_for_url(f"{HOME}/step-up?next=%2Fconnect%2Fupstox")
    assert house.sent == []


def test_keys_are_removed_after_a_second_word(page: Page, house: House) -> None:
    house.known = Known(now=NOW, apps=frozenset({"upstox"}))
    page.goto(f"{HOME}/connect/upstox")
    expect(page.get_by_role("button", name="Remove the keys")).to_be_hidden()
    page.get_by_text("Remove the stored keys…").click()
    page.get_by_role("button", name="Remove the keys").click()
    said(page, "The keys for Upstox are removed.")
    assert house.sent == [("DELETE", "brokers/apps/upstox", None)]
    expect(page.get_by_role("button", name="Connect Upstox")).to_be_disabled()


def test_a_form_login_is_named(page: Page, house: House) -> None:
    house.known = Known(now=NOW, apps=frozenset({"angel_one"}))
    page.goto(f"{HOME}/connect/angel_one")
    page.get_by_role("button", name="By a form here").click()
    page.wait_for_url(f"{HOME}/elsewhere")
    assert house.sent[0][2]["method"] == registry.load("angel_one").spec.login_methods[0].name


def test_a_refusal_is_told_beside_what_was_pressed(page: Page, house: House) -> None:
    house.known = Known(now=NOW, apps=frozenset({"upstox"}))
    house.refusal = {"code": "rate", "message": "Too many logins.", "remedy": "Wait a minute."}
    page.goto(f"{HOME}/connect/upstox")
    button = page.get_by_role("button", name="Connect Upstox")
    button.click()
    told = page.locator(".steps > li", has=button).get_by_role("alert")
    expect(told).to_have_text("Too many logins. Wait a minute.")
    expect(button).to_be_enabled()


def test_the_field_that_is_refused_is_named(page: Page, house: House) -> None:
    house.known = Known(now=NOW, connections=[account("upstox")])
    words = "Some fields are missing or wrong."
    refused = {"registered_ip": ["Enter a valid IPv4 address."]}
    house.refusal = {"code": "invalid_input", "message": words, "remedy": "Correct them.", "details": refused}
    page.goto(f"{HOME}/connect/upstox")
    check = page.get_by_test_id("address-check")
    check.locator("input").fill("999.1.1.1")
    check.get_by_role("button", name="Save").click()
    expect(check.get_by_role("alert")).to_have_text("registered ip: Enter a valid IPv4 address.")
    expect(check.locator("input")).to_have_value("999.1.1.1")


def test_a_login_under_way_says_until_when(page: Page, house: House) -> None:
    state = OAuthState(broker_type="upstox", created_at=NOW, expires_at=NOW + timedelta(minutes=10))
    house.known = Known(now=NOW, apps=frozenset({"upstox"}), begun={"upstox": state})
    page.goto(f"{HOME}/connect/upstox")
    expect(page.get_by_test_id("login-begun")).to_contain_text("begun at 08:45 IST")
    expect(page.get_by_test_id("login-begun")).to_contain_text("lapses at 08:55 IST")
    expect(page.get_by_test_id("broker-state")).to_have_text("Login begun")


def test_an_account_that_fails_says_why_what_it_means_and_what_to_do(page: Page, house: House) -> None:
    failing = account("upstox", "SUSPENDED", error_code="suspended", error_message="Upstox says: app is in review")
    house.known = Known(now=NOW, connections=[failing], apps=frozenset({"upstox"}))
    page.goto(f"{HOME}/connect/upstox")
    told = page.get_by_test_id("broker-account")
    expect(told).to_contain_text("Upstox says: app is in review. Settle it with Upstox.")
    expect(told).to_contain_text("What it last told, if anything, stays in your totals")
    told.get_by_role("button", name="Repair by a new login").click()
    page.wait_for_url(f"{HOME}/elsewhere")
    assert house.sent[0][2]["connection_id"] == str(ID)


@pytest.mark.parametrize(
    ("status", "now", "until"),
    [
        ("CONNECTED", NOW, "session until 27 Nov, 04:45 IST"),
        ("ERROR", NOW, "session until 27 Nov, 04:45 IST"),
        ("TOKEN_EXPIRED", NOW, None),  # ended before its time
        ("CONNECTED", NOW + timedelta(hours=20), None),  # and nobody has asked the broker since
        ("DISCONNECTED", NOW, None),
    ],
)
def test_only_a_session_that_lasts_is_said_to_last(
    page: Page, house: House, status: str, now: datetime, until: str | None
) -> None:
    house.known = Known(now=now, connections=[account("groww", status)])
    page.goto(f"{HOME}/connect/groww")
    told = page.get_by_test_id("broker-account")
    expect(told).to_contain_text(until or "AB1234")
    assert ("session until" in told.inner_text()) is (until is not None)


def test_disconnecting_is_pressed_twice(page: Page, house: House) -> None:
    house.known = Known(now=NOW, connections=[account("upstox")], apps=frozenset({"upstox"}))
    page.goto(f"{HOME}/connect/upstox")
    page.get_by_text("Disconnect…").click()
    page.get_by_role("button", name="Disconnect AB1234").click()
    said(page, "disconnected")
    assert house.sent == [("DELETE", f"brokers/connections/{ID}", None)]


@pytest.mark.parametrize(
    ("ours", "registered", "verdict"),
    [
        ("203.0.113.7", "203.0.113.7", "Match"),
        ("203.0.113.7", "198.51.100.4", "Mismatch"),
        ("203.0.113.7", None, "Not known"),
        (None, "203.0.113.7", "Not known"),
    ],
)
def test_the_address_of_orders_is_compared_with_the_registered_one(
    page: Page, house: House, settings: Any, ours: str | None, registered: str | None, verdict: str
) -> None:
    settings.EGRESS_IP = ours
    house.known = Known(now=NOW, connections=[account("upstox", registered_ip=registered)])
    page.goto(f"{HOME}/connect/upstox")
    check = page.get_by_test_id("address-check")
    expect(check).to_contain_text(f"Orders leave from {ours}" if ours else "not known here")
    expect(check.get_by_test_id("address-of").locator(".chip")).to_have_text(verdict)
    check.locator("input").fill("192.0.2.1")
    check.get_by_role("button", name="Save").click()
    said(page, "192.0.2.1 is noted.")
    assert house.sent == [("PATCH", f"brokers/connections/{ID}", {"registered_ip": "192.0.2.1"})]


def test_the_redirect_address_is_copied(page: Page) -> None:
    page.goto(f"{HOME}/connect/zerodha")
    page.evaluate(
        """Object.defineProperty(navigator, "clipboard", { configurable: true,
             value: { writeText: async (words) => { window.copied = words; } } })"""
    )
    page.locator("[data-copy='The redirect address']").click()
    said(page, "The redirect address is copied.")
    assert page.evaluate("window.copied") == page.get_by_test_id("redirect-address").inner_text()


def test_where_there_is_no_clipboard_it_is_selected(page: Page) -> None:
    """Over plain HTTP browsers have none."""
    page.goto(f"{HOME}/connect/zerodha")
    page.locator("[data-copy='The redirect address']").click()
    said(page, "The redirect address is selected")
    assert page.evaluate("getSelection().toString()") == page.get_by_test_id("redirect-address").inner_text()


def test_an_address_for_news_of_orders_is_shown_once_and_can_be_voided(page: Page, house: House) -> None:
    house.known = Known(now=NOW, connections=[account("zerodha")])
    page.goto(f"{HOME}/connect/zerodha")
    part = page.get_by_test_id("posting")
    expect(part).to_contain_text("no address")
    part.get_by_role("button", name="Make an address").click()
    expect(part.locator("[data-made] code")).to_have_text(ADDRESS)
    expect(part.get_by_role("button", name="Make a new address")).to_be_visible()
    page.reload()
    assert ADDRESS not in page.content()
    part.get_by_role("button", name="Void it").click()
    expect(part.get_by_role("button", name="Make an address")).to_be_visible()
    path = f"brokers/connections/{ID}/postback"
    assert [(verb, path) for verb, path, _ in house.sent] == [("POST", path), ("DELETE", path)]


def test_an_address_shown_once_outlives_a_page_that_cannot_be_read_again(page: Page, house: House) -> None:
    house.known = Known(now=NOW, connections=[account("zerodha")])
    page.goto(f"{HOME}/connect/zerodha")
    house.is_away = True
    part = page.get_by_test_id("posting")
    part.get_by_role("button", name="Make an address").click()
    expect(part.get_by_role("alert")).to_contain_text("That is done, but this page could not be read again")
    expect(part.locator("[data-made] code")).to_have_text(ADDRESS)
    assert len(house.sent) == 1


def test_who_posts_nothing_offers_no_address(page: Page, house: House) -> None:
    house.known = Known(now=NOW, connections=[account("groww")])
    page.goto(f"{HOME}/connect/groww")
    assert page.get_by_test_id("posting").count() == 0


@pytest.mark.parametrize("path", ["/connect", "/connect/groww", "/connect/zerodha"])
@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_nothing_is_wider_than_the_window(page: Page, house: House, path: str, width: int) -> None:
    house.known = Known(now=NOW, connections=[account("zerodha")])
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{HOME}{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
