"""Every page of the table, at the desk and on a phone, in light and dark, with and without JavaScript.

A page is opened once; axe-core, the test engine for accessibility, then judges it in each look. Prices stand still.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from tests.browser import every_page, kit
from tests.browser.every_page import PLACES, Place, Who, found, go, visit
from tests.browser.kit import DESKTOP, PHONE, Demo, Watched

pytestmark = pytest.mark.browser

SERIOUS = ("serious", "critical")
# What dark changes are colours, and a phone has no others: the other rules have spoken by then.
OF_COLOURS = ("color-contrast", "link-in-text-block")
LOOKS = {
    "light": ("light", DESKTOP, ()),
    "dark": ("dark", DESKTOP, OF_COLOURS),
    "light phone": ("light", PHONE, ()),
}
# Of an error page, which is a sentence and a link: its colours are judged on every other page.
AN_ERROR = ("light",)
# Of a page's state its long lists are not judged again: the page itself is another row of the table.
REPEATED = ("tbody:nth-of-type(n+5)", "tbody tr:nth-of-type(n+5)")
RUN = """async ([leftOut, only]) => {
  const rules = only.length ? { runOnly: only } : {};
  const found = await axe.run({ exclude: leftOut.map((each) => [each]) }, { resultTypes: ["violations"], ...rules });
  return found.violations.map(({ id, impact, help, nodes }) =>
    ({ id, impact, help, nodes: nodes.map(({ target, failureSummary }) => [target.join(" "), failureSummary]) }));
}"""
# A colour on its way is neither the old one nor the new one.
SETTLED = """() => Promise.all(document.getAnimations()
  .filter((each) => each instanceof CSSTransition).map((each) => each.finished.catch(() => null)))"""
# Relative luminance of what lies behind the text, by WCAG 2.
BEHIND = """() => {
  for (const element of [document.body, document.documentElement]) {
    const parts = getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number);
    if (parts.length === 4 && parts[3] === 0) continue;
    const [r, g, b] = parts.map((part) => part / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  return 1;
}"""
TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  const inside = (element) => element.closest(".scroll") !== null;
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > room + 1 && !inside(element))
    .map((element) => `${element.tagName.toLowerCase()}.${element.className}#${element.id}`).slice(0, 8);
}"""
# Of the page itself: neither the frame around it nor the word about JavaScript.
WORDS = """() => {
  const count = (element) => element.innerText.split(/\\s+/).filter(Boolean).length;
  const main = document.querySelector("main");
  return [...main.querySelectorAll("noscript")].reduce((words, each) => words - count(each), count(main));
}"""
A_FEW_WORDS = 8
DARK_AT_MOST, LIGHT_AT_LEAST = 0.1, 0.5


@dataclass(frozen=True)
class Shown:
    place: Place
    page: Page
    watched: Watched

    def look(self, name: str) -> None:
        scheme, size, _ = LOOKS[name]
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        self.page.set_viewport_size(size)  # type: ignore[arg-type]
        self.page.evaluate(SETTLED)


@pytest.fixture(scope="module")
def still(running_demo: Demo) -> Iterator[Demo]:
    """The demo with prices that stand still: a number that flashes has another contrast for a moment."""
    running_demo.mend()
    running_demo.control.freeze()
    yield running_demo
    running_demo.mend()


@pytest.fixture(scope="module")
def facts(still: Demo) -> dict[str, str]:
    return found(still)


@pytest.fixture(scope="module")
def cookies(chromium: Browser, still: Demo, facts: dict[str, str], signed_in: Any) -> dict[Who, Any]:
    return every_page.cookies(chromium, still, facts, signed_in)


@pytest.fixture(scope="module", params=PLACES, ids=str)
def place(request: pytest.FixtureRequest) -> Place:
    chosen: Place = request.param
    return chosen


@pytest.fixture(scope="module")
def shown(
    place: Place, chromium: Browser, still: Demo, facts: dict[str, str], cookies: dict[Who, Any]
) -> Iterator[Shown]:
    context = kit.new_context(chromium, still, storage_state=cookies[place.who])
    page = context.new_page()
    watched = Watched(page, still.url)
    visit(page, place, still, facts)
    yield Shown(place, page, watched)
    context.close()


def test_nothing_serious_or_critical_is_found(shown: Shown) -> None:
    shown.page.evaluate(AXE_SCRIPT)
    lines = []
    left_out = (*shown.place.foreign, *(() if shown.place.is_a_page else REPEATED))
    for look in AN_ERROR if shown.place.status != 200 else LOOKS:
        shown.look(look)
        found = shown.page.evaluate(RUN, [left_out, LOOKS[look][2]])
        lines += [line for each in found if each["impact"] in SERIOUS for line in told(look, each)]
    if lines:
        pytest.fail("\n".join([f"{shown.place.address}, by axe-core:", *lines]), pytrace=False)


def told(look: str, finding: dict[str, Any]) -> list[str]:
    """A line for each element: the look, the rule, the selector, what would help."""
    rule = f"{look}: {finding['id']} ({finding['help']})"
    return [f"{rule}\n  {selector}\n  {' '.join(how.split())}" for selector, how in finding["nodes"]]


def test_a_phone_shows_it_without_scrolling_sideways(shown: Shown) -> None:
    shown.look("light phone")
    width, room = shown.page.evaluate("[document.scrollingElement.scrollWidth, window.innerWidth]")
    assert width <= room, f"too wide: {', '.join(shown.page.evaluate(TOO_WIDE))}"


@pytest.mark.parametrize("place", [each for each in PLACES if each.is_ours], ids=str, scope="module")
def test_dark_is_dark_and_light_is_light(shown: Shown) -> None:
    shown.look("dark")
    assert shown.page.evaluate(BEHIND) <= DARK_AT_MOST
    shown.look("light")
    assert shown.page.evaluate(BEHIND) >= LIGHT_AT_LEAST


def test_the_console_is_silent_and_nothing_leaves_this_machine(shown: Shown) -> None:
    """But that the browser names the status of an error page, which is its point."""
    named = f"the server responded with a status of {shown.place.status} "
    errors = [error for error in shown.watched.errors if shown.place.status == 200 or named not in error]
    assert errors == []
    assert shown.watched.strangers == []


@pytest.mark.parametrize("place", [each for each in PLACES if each.is_a_page], ids=str, scope="module")
def test_without_javascript_it_can_be_read(
    place: Place, chromium: Browser, still: Demo, facts: dict[str, str], cookies: dict[Who, Any]
) -> None:
    """What the page is for stands in what the server sends, not only a word that JavaScript is needed."""
    context = kit.new_context(chromium, still, storage_state=cookies[place.who], java_script_enabled=False)
    page = context.new_page()
    go(page, place, still, facts)
    expect(page.locator("h1, h2").first).to_be_visible()
    expect(page.locator(place.readable or place.ready).first).to_be_visible()
    words = page.evaluate(WORDS)
    context.close()
    assert place.readable or words >= A_FEW_WORDS
