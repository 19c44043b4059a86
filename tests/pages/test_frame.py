"""What stands around every page: the strip, hidden amounts, colours, keys, and the app that can be installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.test import Client
from playwright.sync_api import Browser, Page, Route, expect

from accounts.models import User
from tests.pages.test_screens import HOME, House
from trademaster.glossary import TERMS

EMPTY: dict[str, Any] = {
    "portfolio": None,
    "error": {"code": "no_broker_connections", "message": "", "remedy": ""},
    "connections": [],
    "book": None,
    "number": None,
    "series": None,
    "price_state": None,
}


@pytest.fixture
def signed_in(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_user("alice", password="a long enough password"))
    return client


@pytest.mark.parametrize(
    "address", ["/", "/orders/", "/risk/", "/logins", "/connect", "/kill-switch", "/account/sessions"]
)
def test_the_strip_stands_on_every_page_of_a_trader(signed_in: Client, address: str) -> None:
    answer = signed_in.get(address, follow=True).content.decode()
    assert 'data-testid="phase"' in answer
    assert 'id="privacy"' in answer
    assert 'id="shortcuts"' in answer


def test_nobodys_page_has_no_strip(client: Client, db: None) -> None:
    answer = client.get("/login").content.decode()
    assert 'id="strip"' not in answer
    assert "frame.js" not in answer


def test_the_manifest_is_enough_to_install_it(client: Client) -> None:
    answer = client.get("/manifest.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    document = json.loads(answer.content)
    assert document["start_url"] == document["scope"] == "/"
    assert document["display"] == "standalone"
    for icon in document["icons"]:
        assert finders.find(icon["src"].removeprefix("/static/"))


def test_the_worker_keeps_only_the_page_for_offline_and_its_files(client: Client) -> None:
    answer = client.get("/sw.js")
    assert answer["Content-Type"].startswith("text/javascript")
    assert answer["Cache-Control"] == "no-cache"
    assert "/offline" in answer.content.decode()
    assert "/api/" not in answer.content.decode()
    offline = client.get("/offline").content.decode()
    assert "as they are" in offline


def test_help_defines_every_number(signed_in: Client) -> None:
    answer = signed_in.get("/help").content.decode()
    for term in TERMS.values():
        assert f"<dt>{term.name.replace('&', '&amp;')}</dt>" in answer


def test_the_plain_page_without_a_broker_says_what_to_do(signed_in: Client) -> None:
    assert "Connect a broker" in signed_in.get("/plain").content.decode()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    house = House()
    page.route("**/*", house.serve)
    page.route_web_socket("**/ws/**", lambda line: line.send(json.dumps({"type": "SNAPSHOT", "data": EMPTY})))
    page.goto(HOME)
    yield page
    page.close()
    assert errors == []


@pytest.mark.browser
def test_an_input_of_an_amount_is_read_in_privacy_mode_only_while_it_is_typed_into(page: Page) -> None:
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<input id=amount data-amount value=98765432>')")
    amount = page.locator("#amount")
    expect(amount).not_to_have_css("color", "rgba(0, 0, 0, 0)")
    page.evaluate("document.documentElement.toggleAttribute('data-private', true)")
    expect(amount).to_have_css("color", "rgba(0, 0, 0, 0)")
    amount.focus()
    expect(amount).not_to_have_css("color", "rgba(0, 0, 0, 0)")


@pytest.mark.browser
def test_the_list_of_keys_opens_by_its_key_and_can_switch_them_off(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.locator("#single-keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(page.locator("#ticket-search")).not_to_be_focused()
    page.keyboard.press("?")  # it stays, so that they can be switched on again
    page.locator("#single-keys").check()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url(f"{HOME}/orders/")


@pytest.mark.browser
def test_colours_are_the_systems_or_the_readers_and_are_remembered(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#user-menu summary").click()
    page.get_by_label("dark", exact=True).check()
    assert page.evaluate(ground) != light
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator("#user-menu summary").click()
    page.get_by_label("as the system").check()
    assert page.evaluate(ground) == light


@pytest.mark.browser
@pytest.mark.parametrize("name", ["theme", "trademaster.theme"])
def test_a_choice_of_colours_that_is_not_ours_breaks_nothing(page: Page, name: str) -> None:
    """Django's admin, in the same browser, keeps "auto" as `theme`; `page` holds that no script failed."""
    page.evaluate("(name) => localStorage.setItem(name, 'auto')", name)
    page.reload()
    page.locator("#user-menu summary").click()
    expect(page.get_by_label("as the system")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator("#user-menu .sheet")).to_be_hidden()
    assert page.evaluate("(name) => localStorage.getItem(name)", name) == "auto"


@pytest.mark.browser
def test_a_phone_has_the_clock_too(page: Page) -> None:
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        expect(page.locator("#clock")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_a_menu_that_was_left_is_shut(page: Page) -> None:
    page.locator("#user-menu summary").click()
    page.keyboard.press("Escape")
    expect(page.locator("#user-menu .sheet")).to_be_hidden()
    expect(page.locator("#user-menu summary")).to_be_focused()


@pytest.mark.browser
def test_the_phase_says_until_when_and_gives_way_to_the_indices(page: Page) -> None:
    until = page.get_by_test_id("phase").locator("small")
    expect(until).to_be_visible()
    assert until.evaluate("words => words.scrollWidth <= words.clientWidth")
    page.evaluate("""() => {
      const list = document.querySelector('.indices');
      for (let more = 0; more < 8; more += 1) list.firstElementChild.after(list.firstElementChild.cloneNode(true));
    }""")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert until.evaluate("words => words.scrollWidth > words.clientWidth")
    assert "Closes 15:30" in page.get_by_test_id("phase").locator("p").get_attribute("title")


@pytest.mark.browser
@pytest.mark.parametrize(("address", "onward"), [("/orders/", "/orders/"), ("/offline", "/")])
def test_the_page_for_offline_goes_on_when_the_network_is_back(browser: Browser, address: str, onward: str) -> None:
    """The worker puts it in the stead of what was asked for; it lies at an address of its own, too."""
    page, house, away = browser.new_page(), House(), [True]

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(HOME)
        if path.startswith("/static/"):
            house.serve(route)
        elif path == "/sw.js":
            route.abort() if away else route.fulfill(body="")
        elif away or path == "/offline":
            route.fulfill(content_type="text/html", body=render_to_string("offline.html"))
        else:
            route.fulfill(content_type="text/html", body="<!doctype html><title>here again</title>")

    page.route("**/*", serve)
    page.goto(f"{HOME}{address}")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/sw.js")):
        page.evaluate("dispatchEvent(new Event('offline'))")
    expect(page.get_by_role("heading")).to_have_text("TradeMaster cannot be reached")
    away.clear()
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page).to_have_title("here again")
    assert page.url == f"{HOME}{onward}"
    page.close()
