"""The page of the demo in a real browser: it asks for itself again, and says when nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, Route, expect

from tests.pages.served import HOME, send_file
from trademaster.demo.acts import ACTS, KILL
from trademaster.demo.first_run import Link, Seen, Step
from trademaster.demo.switches import Board, Row, Switch

pytestmark = pytest.mark.browser


def fyers(*, is_killed: bool) -> Row:
    switches = (Switch(act=act, broker="fyers", broker_name="Fyers", is_on=is_killed and act is KILL) for act in ACTS)
    word, tone = ("Failing", "bad") if is_killed else ("Connected", "good")
    return Row(slug="fyers", name="Fyers", switches=tuple(switches), word=word, tone=tone)


@dataclass
class House:
    """Answers the browser in the server's stead."""

    is_killed: bool = False
    is_away: bool = False
    failures: list[str] = field(default_factory=list)

    def serve(self, route: Route) -> None:
        path = route.request.url.removeprefix(HOME).partition("?")[0]
        if path.startswith("/static/"):
            send_file(route, path)
        elif self.is_away:
            route.abort()
        else:
            route.fulfill(content_type="text/html", body=self.html())

    def html(self) -> str:
        user = SimpleNamespace(is_authenticated=True, get_username="alice", is_trader=True)
        context = {
            "user": user,
            "acts": ACTS,
            "board": Board(rows=(fyers(is_killed=self.is_killed),)),
            "steps": [],
            "session": None,
        }
        return render_to_string("demo.html", {**context, "all_day": True}, RequestFactory().get("/demo/"))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    room = browser.new_context(viewport={"width": 1440, "height": 900})
    page = room.new_page()
    page.on("pageerror", lambda error: house.failures.append(str(error)))
    page.route("**/*", house.serve)
    yield page
    room.close()


def test_it_follows_the_server_in_a_browser_that_cannot_group(page: Page, house: House) -> None:
    page.add_init_script("delete Map.groupBy")
    page.goto(f"{HOME}/demo/")
    house.is_killed = True
    expect(page.get_by_test_id("switches")).to_contain_text("Failing")
    expect(page.locator("[data-offline]")).to_be_hidden()
    assert house.failures == []


def test_it_says_when_nobody_answers_and_when_somebody_does_again(page: Page, house: House) -> None:
    page.goto(f"{HOME}/demo/")
    house.is_away = True
    expect(page.locator("[data-offline]")).to_be_visible()
    house.is_away = False
    expect(page.locator("[data-offline]")).to_be_hidden()
    assert house.failures == []


def test_a_mistake_of_the_page_is_not_told_as_silence_of_the_server(page: Page, house: House) -> None:
    page.goto(f"{HOME}/demo/")
    page.evaluate("Element.prototype.replaceChildren = () => { throw new TypeError('a mistake of ours'); }; null")
    house.is_killed = True
    with page.expect_event("pageerror"):
        page.wait_for_load_state()
    expect(page.locator("[data-offline]")).to_be_hidden()
    assert set(house.failures) == {"a mistake of ours"}


def test_the_checklist_stays_one_line_however_long_its_sentence_is(page: Page) -> None:
    told = "IIFL (XTS Blaze) fails since 23:18:04; the total has its last numbers. Now revive it, or look on. " * 3
    links = (Link(words="Switchboard", address="/demo/"), Link(words="Portfolio", address="/"))
    title = "Kill a broker, and revive it"
    first, *others = (
        Step(code=f"step-{n}", title=title, how="So.", seen=Seen(told=told), links=links, is_next=n == 0)
        for n in range(6)
    )
    page.goto(f"{HOME}/demo/")
    heights = []
    for steps in ([replace(first, seen=Seen()), *others], [first, *others]):
        part = render_to_string("parts/first_run.html", {"steps": steps, "done": 0})
        page.locator("main").evaluate("(main, html) => (main.innerHTML = html)", part)
        box = page.get_by_test_id("first-run").bounding_box()
        assert box is not None
        heights.append(box["height"])
        hide = page.get_by_role("button", name="Hide").bounding_box()
        assert hide is not None
        assert hide["x"] + hide["width"] <= box["x"] + box["width"]
    assert heights[0] == heights[1] < 40
    assert page.locator(".first-run .seen").first.get_attribute("title") == told
    marks = page.locator(".first-run .mark").all()
    assert {mark.evaluate("mark => mark.offsetWidth") for mark in marks} == {22}
