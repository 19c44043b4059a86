"""The page of orders in a real browser, before the real house and brokers in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, WebSocketRoute, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from brokers.domain import OrderStatus
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import preferences, push, reconciling, sending
from orders.models import IntentStatus, OrderIntent
from tests.orders.conftest import NOW
from tests.orders.fakes import LOST_REPLY, Desks
from tests.orders.intake.conftest import no_pause
from tests.pages.orders.test_pages_of_orders import SETTINGS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Accounts = dict[str, BrokerConnection]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module", autouse=True)
def _rows_beside_the_browser() -> Iterator[None]:
    """The browser's own event loop runs in this thread, which Django would take for an asynchronous caller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


@dataclass
class Socket:
    """What the page's socket is told: the pushes of the house, handed on when the test says so."""

    told: list[tuple[str, str]] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)
    line: WebSocketRoute | None = None

    def open(self, line: WebSocketRoute) -> None:
        self.line = line
        line.on_message(lambda text: self.heard.append(json.loads(text)))
        self.say("SNAPSHOT", {"portfolio": None, "error": None, "connections": []})

    def say(self, kind: str, data: Any) -> None:
        assert self.line is not None
        self.line.send(json.dumps({"type": kind, "data": data, "sequence": 1}))

    def hand_on(self) -> None:
        """All that was pushed since."""
        while self.told:
            kind, text = self.told.pop(0)
            self.say(kind, json.loads(text))


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> Socket:
    socket = Socket()
    monkeypatch.setattr(push.push, "publish_json", lambda user, kind, text, key=None: socket.told.append((kind, text)))
    return socket


@pytest.fixture
def errors() -> list[str]:
    """What stood in the console; a test that provokes a refusal takes it out."""
    return []


@pytest.fixture
def page(
    browser: Browser,
    live_server: LiveServer,
    page_of: Client,
    infy: Instrument,
    desks: Desks,
    socket: Socket,
    errors: list[str],
    last_price: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Page]:
    """Alice's browser, signed in; every request leaves for this house alone."""
    monkeypatch.setitem(sending.send.__kwdefaults__, "clients", desks)
    monkeypatch.setitem(sending.send.__kwdefaults__, "pause", no_pause)
    for name in ("cancel_all", "modify"):
        monkeypatch.setitem(getattr(sending, name).__kwdefaults__, "clients", desks)
    last_price("1500", at=NOW + timedelta(minutes=10))  # fresh for as long as a slow machine takes
    context = browser.new_context(base_url=live_server.url, viewport=getattr(request, "param", WIDE), locale="en-IN")
    session = page_of.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(live_server.url) else errors.append(asked.url))
    under_way: set[Any] = set()
    page.on("request", lambda asked: under_way.add(asked))
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda asked: under_way.discard(asked))
    page.route_web_socket("**/ws/portfolio/", socket.open)
    yield page
    let_finish(page, under_way)
    context.close()
    assert errors == []


def let_finish(page: Page, under_way: set[Any]) -> None:
    """The house still answers what the page asked for last: its rows are not taken away before."""
    quiet = 0
    for _ in range(200):
        page.wait_for_timeout(60)
        quiet = 0 if under_way else quiet + 1
        if quiet == 3:
            return
    pytest.fail(f"still asked for: {[asked.url for asked in under_way]}")


def in_seconds(seconds: float) -> datetime:
    """After this moment of the house's clock, which goes on while the browser works."""
    return timezone.now() + timedelta(seconds=seconds)


def lane(page: Page, name: str) -> Any:
    return page.get_by_test_id(f"lane-{name}")


def fill(page: Page, *, quantity: str = "10", price: str | None = "1500.05") -> None:
    """The ticket, as somebody types it who knows what they want."""
    page.get_by_role("combobox", name="Share or contract").fill("INF")
    page.get_by_role("option", name="INFY").click()
    page.get_by_label("Quantity").fill(quantity)
    if price is not None:
        page.get_by_label("Price, ₹").fill(price)


def test_an_order_is_previewed_placed_and_filled(page: Page, desks: Desks, accounts: Accounts, socket: Socket) -> None:
    page.goto("/orders/")
    expect(page.get_by_test_id("place")).to_be_disabled()
    fill(page)
    preview = page.get_by_test_id("preview")
    expect(preview).to_contain_text("Via Zerodha (NSE): charges of ₹")
    expect(preview).to_contain_text("You pay at most")
    expect(preview).to_contain_text("₹15,000.50")
    expect(preview).to_contain_text("Next best")
    assert OrderIntent.objects.count() == 0
    page.get_by_role("button", name="Buy 10 INFY").click()
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Buy 10 INFY: Sent.")
    row = lane(page, "working").get_by_test_id("order-row")
    expect(row).to_contain_text("0 / 10")
    before = row.bounding_box()

    desk = desks[accounts["zerodha"]]
    desk.tell("z-1", OrderStatus.PARTIALLY_FILLED, 4)
    reconciling.run(in_seconds(2), desks)
    socket.hand_on()
    expect(row).to_contain_text("4 / 10")
    expect(row).to_contain_text("Filled in part at Zerodha")
    after = row.bounding_box()
    assert before is not None
    assert after is not None
    assert (after["x"], after["y"], after["width"]) == (before["x"], before["y"], before["width"])

    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(in_seconds(8), desks)
    socket.hand_on()
    expect(lane(page, "working").get_by_test_id("order-row")).to_have_count(0)
    expect(lane(page, "ended").get_by_test_id("order-row")).to_contain_text("10 / 10")
    assert {"type": "subscribe", "topics": ["orders"]} in socket.heard
    page.get_by_role("link", name="BUY INFY").click()
    expect(page.get_by_test_id("fills")).to_contain_text("1,500.05")
    expect(page.get_by_test_id("story")).to_contain_text("It was filled at Zerodha.")


def test_a_lost_reply_lies_in_its_own_lane_until_it_is_found(
    page: Page, desks: Desks, accounts: Accounts, socket: Socket
) -> None:
    desk = desks[accounts["zerodha"]]
    desk.faults.append(LOST_REPLY)
    page.goto("/orders/")
    fill(page)
    page.get_by_test_id("place").click()
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Nothing of it is sent again")
    doubt = lane(page, "unknown").get_by_test_id("order-row")
    expect(doubt).to_contain_text("Not known at Zerodha")
    expect(doubt.get_by_test_id("doubt")).to_contain_text("Do not order the same elsewhere yet.")

    reconciling.run(in_seconds(2), desks)
    socket.hand_on()
    expect(doubt).to_have_count(0)
    expect(lane(page, "working").get_by_test_id("order-row")).to_contain_text("Open at Zerodha")
    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(in_seconds(8), desks)
    socket.hand_on()
    expect(lane(page, "ended").get_by_test_id("order-row")).to_contain_text("Filled")
    assert len(desk.placed) == 1


def test_whoever_asks_again_after_a_lost_answer_of_ours_orders_once(
    page: Page, desks: Desks, accounts: Accounts, errors: list[str]
) -> None:
    """The house takes the order in and its answer never arrives: same key, same order; even over a reload."""
    keys: list[str] = []

    def swallow(route: Route) -> None:
        if route.request.method != "POST":
            return route.fallback()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) <= 2:
            route.fetch()
            return route.abort()
        return route.fallback()

    page.route("**/api/v1/orders", swallow)
    page.goto("/orders/")
    fill(page)
    page.get_by_test_id("place").click()
    answer = page.get_by_test_id("ticket-answer")
    expect(answer).to_contain_text("no answer came")
    expect(answer).to_contain_text("it can never become two")
    expect(page.get_by_label("Quantity")).to_be_disabled()
    page.get_by_role("button", name="Ask again").click()
    expect(answer).to_contain_text("no answer came")
    page.reload()
    expect(answer).to_contain_text("This page was left before the answer.")
    page.get_by_role("button", name="Ask again").click()
    expect(answer).to_contain_text("Buy 10 INFY: Sent.")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(desks[accounts["zerodha"]].placed) == OrderIntent.objects.count() == 1
    assert [said for said in errors if "ERR_FAILED" in said] == errors
    errors.clear()
    fill(page, quantity="11")
    page.get_by_role("button", name="Buy 11 INFY").click()
    expect(answer).to_contain_text("Buy 11 INFY: Sent.")
    assert len(set(keys)) == 2


def test_what_is_refused_for_now_is_looked_at_again_by_itself(page: Page, last_price: Any) -> None:
    """No price was known; then one comes, and nobody has to type anything anew."""
    last_price("1500", at=NOW - timedelta(hours=1))
    page.goto("/orders/")
    fill(page)
    preview, place = page.get_by_test_id("preview"), page.get_by_test_id("place")
    expect(preview).to_contain_text("It would be refused, and nothing sent.")
    expect(place).to_be_disabled()
    preview.locator("summary").first.click()
    last_price("1500", at=NOW + timedelta(minutes=10))
    expect(place).to_be_enabled()
    expect(preview).to_contain_text("You pay at most")
    expect(preview.locator("details[open] > summary")).to_have_text("12 checks before the order")


def test_the_same_order_again_asks_first(page: Page, errors: list[str]) -> None:
    page.goto("/orders/")
    answer = page.get_by_test_id("ticket-answer")
    for _ in range(2):
        fill(page)
        page.get_by_test_id("place").click()
        expect(answer).not_to_contain_text("Sending…")
    # The browser goes by its own clock: of another day the date stands there, too.
    expect(answer).to_contain_text(re.compile(r"The same order was placed at (26 Nov, )?10:30:"))
    assert OrderIntent.objects.count() == 1
    page.get_by_role("button", name="Leave it").click()
    expect(answer).to_be_empty()
    page.get_by_test_id("place").click()
    page.get_by_role("button", name="Place it a second time").click()
    expect(answer).to_contain_text("Buy 10 INFY: Sent.")
    assert OrderIntent.objects.count() == 2
    assert all("409" in said for said in errors)
    errors.clear()


def test_what_breaks_a_rule_is_told_before_it_is_placed(page: Page) -> None:
    page.goto("/orders/")
    fill(page, price="1500.03")
    preview = page.get_by_test_id("preview")
    expect(preview).to_contain_text("It would be refused, and nothing sent.")
    expect(preview).to_contain_text("Choose a price on the tick.")
    expect(page.get_by_test_id("place")).to_be_disabled()
    page.get_by_label("Price, ₹").fill("1500.05")
    expect(page.get_by_test_id("place")).to_be_enabled()


def test_an_order_is_cancelled_with_one_question(page: Page, desks: Desks, accounts: Accounts, socket: Socket) -> None:
    page.goto("/orders/")
    fill(page)
    page.get_by_test_id("place").click()
    cancel = lane(page, "working").get_by_role("button", name="Cancel BUY INFY")
    cancel.click()
    page.get_by_role("button", name="Keep the order").click()
    assert desks[accounts["zerodha"]].cancels == 0
    cancel.click()
    page.get_by_test_id("ask-go").click()
    expect(page.get_by_role("status").filter(has_text="The broker took it")).to_be_visible()
    assert desks[accounts["zerodha"]].cancels == 1
    reconciling.run(in_seconds(2), desks)
    socket.hand_on()
    expect(lane(page, "ended").get_by_test_id("order-row")).to_contain_text("Cancelled")


def test_an_order_is_changed_from_its_page(page: Page, desks: Desks, accounts: Accounts) -> None:
    page.goto("/orders/")
    fill(page)
    page.get_by_test_id("place").click()
    page.get_by_role("link", name="Its page").click()
    reconciling.run(in_seconds(2), desks)
    change = page.get_by_test_id("change")
    change.get_by_label("Price, ₹").fill("1499.95")
    change.get_by_role("button", name="Change").click()
    expect(page.get_by_role("status").filter(has_text="Changing it. The broker took it")).to_be_visible()
    assert str(desks[accounts["zerodha"]].orders["z-1"].price) == "1499.9500"
    expect(page.get_by_test_id("story")).to_contain_text("You asked for a change at Zerodha.")


def test_what_waits_is_approved(page: Page, alice: User) -> None:
    preferences.choose(alice, **SETTINGS)
    page.goto("/orders/")
    fill(page)
    expect(page.get_by_test_id("preview")).to_contain_text("Approve it with a fresh second factor")
    page.get_by_test_id("place").click()
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Waits for your approval")
    lane(page, "approval").get_by_role("button", name="Approve").click()
    expect(lane(page, "working").get_by_test_id("order-row")).to_contain_text("Taken at Zerodha")
    expect(lane(page, "approval").get_by_test_id("order-row")).to_have_count(0)


def test_an_approval_without_a_fresh_proof_leads_to_it_and_back(
    page: Page, alice: User, page_of: Client, errors: list[str], clock: Any
) -> None:
    alice.set_password("a long enough password")
    User.objects.filter(pk=alice.pk).update(password=alice.password)  # a save would close her sockets
    preferences.choose(alice, **SETTINGS)
    session = page_of.session
    from django.contrib.auth import HASH_SESSION_KEY

    session[HASH_SESSION_KEY] = alice.get_session_auth_hash()
    for each in session["account_authentication_methods"]:
        each["at"] -= 86_400
    session.save()
    page.goto("/orders/")
    fill(page)
    page.get_by_test_id("place").click()
    lane(page, "approval").get_by_role("button", name="Approve").click()
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Confirm").click()
    approve = lane(page, "approval").get_by_role("button", name="Approve")
    expect(approve).to_be_focused()
    assert OrderIntent.objects.get().status == IntentStatus.AWAITING_APPROVAL
    page.keyboard.press("Enter")
    expect(lane(page, "working").get_by_test_id("order-row")).to_have_count(1)
    assert [said for said in errors if "403" in said] == errors
    errors.clear()


def test_an_order_of_yesterday_is_settled_by_its_contract_note(
    page: Page, desks: Desks, accounts: Accounts, placed: Any, errors: list[str]
) -> None:
    desks[accounts["zerodha"]].faults.append(LOST_REPLY)
    intent = placed()
    intent.children.update(sent_at=NOW - timedelta(days=1))
    page.goto("/orders/")
    doubt = lane(page, "unknown").get_by_test_id("doubt")
    doubt.get_by_label("Filled").fill("11")
    doubt.get_by_role("button", name="Settle").click()
    expect(page.locator("#trouble")).to_contain_text("More was filled than was ordered")
    doubt.get_by_label("Filled").fill("4")
    doubt.get_by_label("Average, ₹").fill("1500.05")
    doubt.get_by_role("button", name="Settle").click()
    row = lane(page, "ended").get_by_test_id("order-row")
    expect(row).to_contain_text("4 / 10")
    expect(row).to_contain_text("Ended, filled in part")
    assert [said for said in errors if "400" in said] == errors
    errors.clear()


def test_everything_goes_by_keyboard(page: Page) -> None:
    page.goto("/orders/")
    expect(page.get_by_test_id("socket-light")).to_have_text("Live")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard")).not_to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_role("combobox", name="Share or contract")).to_be_focused()
    expect(page.get_by_role("radio", name="Sell")).to_be_checked()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(page.get_by_role("radio", name="Buy")).to_be_checked()
    page.keyboard.type("infy")
    expect(page.get_by_role("option", name="INFY")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("ticket-instrument")).to_contain_text("last ₹1,500.00")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_label("Quantity")).to_be_focused()
    page.keyboard.type("10")
    expect(page.get_by_test_id("place")).to_have_text("Buy 10 INFY")
    expect(page.get_by_test_id("place")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Buy 10 INFY: Sent.")
    assert str(OrderIntent.objects.get().price) == "1500.0000"


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_on_a_phone_nothing_is_wider_than_the_screen(page: Page, desks: Desks, accounts: Accounts) -> None:
    desks[accounts["zerodha"]].faults.append(LOST_REPLY)
    page.goto("/orders/")
    expect(page.get_by_test_id("ticket")).not_to_be_visible()
    page.get_by_role("button", name="New order").click()
    fill(page)
    page.get_by_test_id("place").click()
    expect(lane(page, "unknown").get_by_test_id("doubt")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"/orders/{OrderIntent.objects.get().pk}/")
    expect(page.get_by_test_id("story")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_a_script_the_page_is_read(
    browser: Browser, live_server: LiveServer, page_of: Client, socket: Socket, placed: Any
) -> None:
    placed()
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    session = page_of.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto("/orders/")
    expect(lane(page, "working").get_by_test_id("order-row")).to_contain_text("Taken at Zerodha")
    expect(page.get_by_role("button", name="Cancel BUY INFY")).not_to_be_visible()
    page.get_by_label("Find").fill("tcs")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(lane(page, "working")).to_contain_text("No order fits the filter.")
    context.close()


def test_when_the_line_is_lost_the_page_says_of_when_it_is(page: Page, socket: Socket) -> None:
    page.goto("/orders/")
    expect(page.get_by_test_id("socket-light")).to_have_text("Live")
    assert socket.line is not None
    socket.line.close()
    expect(page.locator("#offline")).to_contain_text("Orders at the brokers go on without it.")
    expect(page.locator("#offline")).to_be_hidden()
