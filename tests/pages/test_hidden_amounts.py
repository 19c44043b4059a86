"""Privacy mode: no amount or quantity is told, in sentences and tooltips as little as in cells; in every tab."""

from __future__ import annotations

from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Page, expect

from brokers.domain import Product
from tests.pages.test_aside import item
from tests.pages.test_screens import BESIDE, HOME, House
from tests.pages.test_worth_screen import funds, house, page, show, total
from tests.portfolio.sources import INFY, SBIN, account, holding, source

__all__ = ("house", "page")

pytestmark = pytest.mark.browser

# Words outside of what is hidden, and tooltips of what can be pointed at, that tell rupees or units.
TOLD = """() => {
  const counted = /\\b\\d+ of \\d+ (shares|filled|units|that are)|\\b\\d+ (units|via|filled)\\b/;
  const dealt = /\\b(Buy|Sell|Sells|Buys back) \\d|· \\d+$/i;
  const tells = (words) => /₹\\s*\\d/.test(words) || counted.test(words) || dealt.test(words);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const { parentElement: parent, data } = texts.currentNode;
    if (tells(data) && !parent.closest("[data-money], script, template, noscript")) found.push(data);
  }
  const titled = [...document.querySelectorAll("[title]")].filter((node) => !node.closest("[data-money]"));
  return [...found, ...titled.map(({ title }) => title).filter(tells)];
}"""


def hide(page: Page) -> None:
    page.locator("#privacy").click()
    expect(page.locator("html[data-private]")).to_be_attached()


def test_no_sentence_and_no_tooltip_tells_an_amount(page: Page, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"items": [item("cut", "warn", subject="Buy INFY", quantity="20 of 50")], "counted": 1, "as_of": None}
    monkeypatch.setitem(BESIDE, "attention", needs)
    borrowed = holding(SBIN, 60, symbol="SBIN", product=Product.MTF, funded_amount=Decimal("3593.25"))
    unpaid = holding(INFY, 40, average=None)
    sources = [
        source("zerodha", account([borrowed, holding(INFY, 60)], [], funds("250000"))),
        source("upstox", account([unpaid], [], funds("1000"))),
    ]
    show(page, house, sources)
    for opener in page.locator(".expander").all():
        opener.click()
    expect(page.locator("[data-code=cut] [data-field=quantity]")).to_have_text("20 of 50")
    notes = page.locator("#notes")
    expect(notes).to_contain_text("Brokers lent ₹3,593.25 for MTF shares: they are in the value in full")
    expect(notes).to_contain_text("Unrealised P&L stands on ₹")
    expect(page.locator("#holdings .details").first).to_contain_text("known for 60.00% of the shares only")
    assert page.evaluate(TOLD) == []


def test_dots_stand_in_the_numbers_stead_at_one_width(page: Page, house: House) -> None:
    lines = [holding(INFY, 1000, last="1520"), holding(SBIN, 1, symbol="SBIN", last="2")]
    show(page, house, [source("zerodha", account(lines, [], funds("250000")))])
    values = page.locator("#holdings .row [data-field=value]")
    before = total(page, "worth").bounding_box()
    hide(page)
    widths = {each.bounding_box()["width"] for each in values.all()}
    assert len(widths) == 1
    assert {each.inner_text() for each in values.all()} == {""}
    sizes = (
        "[...new Set([...document.querySelectorAll('[data-money]')].map((each) => getComputedStyle(each).fontSize))]"
    )
    assert page.evaluate(sizes) == ["0px"]
    after = total(page, "worth").bounding_box()
    assert (before["y"], before["height"]) == (after["y"], after["height"])


def test_amounts_hidden_in_one_tab_are_hidden_in_all(browser: Browser, house: House) -> None:
    context = browser.new_context()
    one, other = context.new_page(), context.new_page()
    for tab in (one, other):
        tab.route("**/*", house.serve)
        tab.route_web_socket("**/ws/portfolio/", lambda line: None)
        tab.goto(f"{HOME}/")
    hide(other)
    expect(one.locator("html[data-private]")).to_be_attached()
    expect(one.locator("#privacy")).to_have_attribute("aria-pressed", "true")
    other.locator("#privacy").click()
    expect(one.locator("html:not([data-private])")).to_be_attached()
    context.close()


def test_charges_by_component_are_marked_and_who_is_left_out_is_named_once(page: Page, house: House) -> None:
    show(page, house, [source("zerodha", account([holding(INFY, 10)], [], funds("1000")))])
    charges = {"broker_type": "zerodha", "components": {"brokerage": "12.00", "gst": "2.16"}, "total": "14.16"}
    left_out = [
        {"name": "Zerodha Z1", "words": words, "remedy": "Turn it on."}
        for words in ("Zerodha Z1: Not now.", "Trading is turned off for Zerodha Z1.", "It is full.")
    ]
    decision = {
        "refusals": [], "why": "So.", "warnings": [], "needs_approval": None, "value": "100.00",
        "total_charges": "14.16", "next_best": None, "costs": [charges], "excluded": left_out, "ages": {},
    }  # fmt: skip
    page.evaluate(
        """async (decision) => {
          const { previewed } = await import("/static/trademaster/ticket_preview.js");
          const place = Object.assign(document.createElement("div"), { id: "told" });
          place.append(...previewed(decision, { side: "BUY" }, false));
          document.getElementById("main").append(place);
          place.querySelectorAll("details").forEach((each) => (each.open = true));
        }""",
        decision,
    )
    told = page.locator("#told")
    expect(told).to_contain_text("Zerodha: ₹14.16 (brokerage ₹12.00, GST ₹2.16)")
    assert told.locator("li").all_inner_texts()[1:] == [
        "Zerodha Z1: Not now. Turn it on.",
        "Trading is turned off for Zerodha Z1. Turn it on.",
        "Zerodha Z1: It is full. Turn it on.",
    ]
    assert page.evaluate(TOLD) == []
