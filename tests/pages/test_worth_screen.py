"""The four big numbers and the row of brokers: what they stand on, and what each account is good for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from brokers.domain import Funds, Product
from portfolio.domain import Source, SourceState
from portfolio.presentation import present
from tests.pages.served import HOME, window
from tests.pages.test_screens import CONNECTION, House
from tests.portfolio.sources import INFY, NOW, SBIN, account, future, holding, merged, position, source

pytestmark = pytest.mark.browser

SEVEN = ("zerodha", "groww", "angel_one", "upstox", "fyers", "iifl", "iifl_capital")
DOWN = {"error_message": "Upstox has not answered for a while", "user_action": "It is asked again by itself."}


def funds(cash: str | None, available: str | None = "50000") -> Funds:
    known = None if available is None else Decimal(available)
    return Funds(
        available=known, used=Decimal(1200), collateral=Decimal(800), cash=None if cash is None else Decimal(cash)
    )


def seven(**changed: dict[str, Any]) -> list[Source]:
    """Seven accounts with shares, and a future at the first; `changed` are facts of sources by their broker."""
    found = []
    for place, slug in enumerate(SEVEN):
        lines = [holding(INFY, 1000 + 7 * place, average="1400.55", last="1520.25", close="1511.75")]
        deals = [future(75)] if place == 0 else []
        more = changed.get(slug, {})
        portfolio = account(lines, deals, more.pop("funds", funds("250000.50")), age=more.pop("age", 3))
        given = None if more.pop("missing", False) else portfolio
        found.append(source(slug, given, **more))
    return found


def connection(one: Source, **changed: Any) -> dict[str, Any]:
    return {
        **CONNECTION,
        "id": one.connection_id,
        "broker_type": one.broker_type,
        "broker_name": one.broker_name,
        "account_id": f"{one.broker_type[:2].upper()}1001",
        "display_name": f"{one.broker_name} {one.broker_type[:2].upper()}1001",
        "token_expires_at": (datetime.now(UTC) + timedelta(hours=7)).isoformat(),
        **changed,
    }


def measured(*sources: Source, **times: int | None) -> dict[str, Any]:
    brokers = [
        {
            "broker_type": each.broker_type,
            "connections": [{"id": each.connection_id, "p95_ms": times[each.broker_type]}],
        }
        for each in sources
        if each.broker_type in times
    ]
    return {"as_of": None, "brokers": brokers}


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture(params=[(1440, 900)], ids=["wide"])
def page(browser: Browser, house: House, request: pytest.FixtureRequest) -> Iterator[Page]:
    with window(browser, house.serve, size=request.param) as page:
        page.route_web_socket("**/ws/portfolio/", lambda socket: socket.send(json.dumps(house.socket)))
        yield page


def show(page: Page, house: House, sources: list[Source], **rows: dict[str, Any]) -> dict[str, Any]:
    """The dashboard over these sources; `rows` are facts of connections by their broker. Answers the portfolio."""
    portfolio: dict[str, Any] = present(merged(*sources))
    connections = [connection(each, **rows.get(each.broker_type, {})) for each in sources]
    data = {"portfolio": portfolio, "error": None, "connections": connections}
    house.socket = {"type": "SNAPSHOT", "data": data, "timestamp": NOW.isoformat(), "sequence": 1}
    page.goto(f"{HOME}/")
    page.wait_for_selector("[data-testid=broker-card]")
    return portfolio


def card(page: Page, slug: str) -> Any:
    return page.locator(f"[data-testid=broker-card][data-broker={slug}]")


def total(page: Page, name: str) -> Any:
    return page.locator(f"[data-total={name}]")


def field(where: Any, name: str) -> Any:
    return where.locator(f"[data-field={name}]")


narrow = pytest.mark.parametrize("page", [(390, 844)], indirect=True, ids=["narrow"])


# --- four numbers -----------------------------------------------------------------------------------------------------
def test_four_numbers_stand_in_one_low_strip_with_what_they_are_made_of(page: Page, house: House) -> None:
    told = show(page, house, seven())
    for name, amount in (("worth", "net_worth"), ("day", "day_pnl"), ("open", "open_pnl")):
        assert field(total(page, name), "amount").first.get_attribute("data-value") == told[amount]
        assert field(total(page, name), "cover_words").inner_text() == "7/7 live"
        assert total(page, name).locator("h2").get_attribute("title")
    assert field(total(page, "funds"), "amount").first.get_attribute("data-value") == "350000.00"
    assert field(total(page, "worth"), "pieces").inner_text().split() == [
        *("shares", "₹1.09", "Cr"),
        *("cash", "₹17.50", "L"),
    ]
    assert field(total(page, "day"), "pieces").inner_text().split() == [
        *("shares", "+₹60,750"),
        *("positions", "+₹7,500"),
    ]
    assert field(total(page, "day"), "ratio").inner_text() == f"+{told['day_pnl_percent']}%"
    assert page.locator(".totals").bounding_box()["height"] <= 104


def test_amounts_are_marked_for_privacy_and_percents_are_not(page: Page, house: House) -> None:
    show(page, house, seven())
    bare = page.evaluate(
        """() => [...document.querySelectorAll(".totals *, #brokers *")]
          .filter((node) => node.children.length === 0 && node.textContent.includes("₹"))
          .filter((node) => !node.closest("[data-money]")).map((node) => node.outerHTML)"""
    )
    assert bare == []
    assert page.locator("[data-total=day] [data-field=ratio]").get_attribute("data-money") is None


def test_a_number_says_what_is_left_out_of_it(page: Page, house: House) -> None:
    """Fyers does not tell its cash, a loan is unknown at Upstox, and one close is not known."""
    sources = seven(fyers={"funds": funds(None, None)})
    owing = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=None, close=None)
    sources[3] = source("upstox", account([owing], funds=funds("0")))
    show(page, house, sources)
    worth = total(page, "worth")
    assert field(worth, "cover_words").inner_text() == "7/7 live"
    assert field(worth, "gap_count").inner_text() == "+2"
    assert worth.locator("details").get_attribute("data-mood") == "warn"
    assert total(page, "open").locator("details").get_attribute("data-mood") == "good"
    assert field(total(page, "day"), "gap_count").inner_text() == "+1"
    worth.locator("summary").focus()
    page.keyboard.press("Enter")
    assert worth.locator("li").all_inner_texts() == [
        "The cash at Fyers is not known: not in it.",
        "1 MTF holding whose loan is not known: left out, as much may be owed.",
    ]
    page.keyboard.press("Escape")
    expect(worth.locator("li").first).not_to_be_visible()
    assert worth.locator("summary").evaluate("summary => summary === document.activeElement")
    total(page, "funds").locator("summary").click()
    expect(total(page, "funds").locator("li")).to_have_text("The margin at Fyers is not known: not in it.")


def test_a_margin_of_before_is_said_where_the_account_answers(page: Page, house: House) -> None:
    """Its shares came just now, and its funds half an hour ago: they are in it, and not called live."""
    show(page, house, seven(upstox={"funds_as_of": NOW - timedelta(minutes=30)}))
    for name, word in (("funds", "margin"), ("worth", "cash")):
        cover = total(page, name).locator("details")
        assert cover.get_attribute("data-mood") == "warn"
        assert field(cover, "gap_count").inner_text() == "+1"
        (told,) = cover.locator("li").all_text_contents()
        assert re.fullmatch(rf"The {word} at Upstox is of .*10:00:00: it was not told since\.", told)
    assert total(page, "day").locator("details").get_attribute("data-mood") == "good"
    free = field(card(page, "upstox"), "available")
    assert re.fullmatch(r"Its margin is of .*10:00:00: it was not told since\.", free.get_attribute("title") or "")
    assert field(card(page, "zerodha"), "available").get_attribute("title") is None


@pytest.mark.parametrize(
    ("changed", "words", "mood"),
    [
        ({"groww": {"state": SourceState.STALE, "age": 180}}, "6/7, Groww 3 min", "warn"),
        (
            {slug: {"state": SourceState.STALE, "age": 180} for slug in ("groww", "fyers")},
            "5/7, 2 stale",
            "warn",
        ),
        ({"groww": {"missing": True}}, "1 of 7 missing: Groww", "bad"),
        (
            {"groww": {"missing": True}, "fyers": {"state": SourceState.STALE, "age": 180}},
            "1 of 7 missing",
            "bad",
        ),
    ],
    ids=["one old", "two old", "one missing", "one missing and one old"],
)
def test_the_chip_says_on_one_line_who_is_in_it(
    page: Page, house: House, changed: dict[str, dict[str, Any]], words: str, mood: str
) -> None:
    show(page, house, seven(**changed))
    cover = total(page, "worth").locator("details")
    assert field(cover, "cover_words").inner_text() == words
    assert cover.get_attribute("data-mood") == mood
    assert cover.locator("summary").bounding_box()["height"] <= 20
    assert cover.locator("li").count() == len(changed)


def test_an_outage_of_prices_is_no_poverty(page: Page, house: House) -> None:
    unpriced = [source("zerodha", account([holding(INFY, 10, last=None)], funds=funds("100")))]
    show(page, house, unpriced)
    amount = field(total(page, "worth"), "amount").first
    assert (amount.inner_text(), amount.get_attribute("title")) == ("—", "not known")


# --- the row of brokers -----------------------------------------------------------------------------------------------
def test_seven_accounts_stand_in_one_low_row(page: Page, house: House) -> None:
    sources = seven()
    house.health = measured(*sources, zerodha=38, groww=412, angel_one=None)
    show(page, house, sources, zerodha={"display_name": "Family"})
    boxes = [each.bounding_box() for each in page.get_by_test_id("broker-card").all()]
    assert len(boxes) == 7
    assert len({box["y"] for box in boxes}) == 1
    assert max(box["height"] for box in boxes) <= 132
    assert max(box["x"] + box["width"] for box in boxes) <= 1440
    edges = "card => [...card.querySelectorAll('dd, .status')].map((part) => part.scrollWidth - part.clientWidth)"
    assert all(over <= 1 for each in page.get_by_test_id("broker-card").all() for over in each.evaluate(edges))
    zerodha = card(page, "zerodha")
    assert field(zerodha, "name").inner_text() == "Family"
    assert field(zerodha, "value").get_attribute("data-value") == "1520250.00"
    assert field(zerodha, "day").get_attribute("data-value") == "16000.00"  # 8,500 of shares, 7,500 of the future
    assert field(zerodha, "available").inner_text() == "₹50,000"
    assert field(zerodha, "session").inner_text() == "6 h 59 min"


def test_no_word_of_seven_cards_leaves_its_card_or_is_cut(page: Page, house: House) -> None:
    longest = {"iifl": {"broker_name": "IIFL (XTS Blaze)", "display_name": "IIFL (XTS Blaze) II1001"}}
    statuses = {"groww": "TOKEN_EXPIRED", "upstox": "ERROR", "fyers": "RATE_LIMITED"}
    for slug, status in statuses.items():
        longest[slug] = {"status": status}
    soon = (datetime.now(UTC) + timedelta(minutes=52)).isoformat()
    show(page, house, seven(), zerodha={"token_expires_at": soon}, **longest)
    seen = page.evaluate(
        """() => [...document.querySelectorAll("#brokers .broker")].flatMap((card) => {
          card.querySelector("[data-field=feed]").hidden = false;
          const parts = [...card.querySelectorAll("h2 a, .status span, .session, button, dd, .lights summary")];
          const shown = parts.filter((part) => part.getClientRects().length);
          const edge = card.getBoundingClientRect().right - 6;
          const isOver = (part) => part.getBoundingClientRect().right > edge;
          const isBox = (part) => getComputedStyle(part).display !== "inline";
          const isCut = (part) => isBox(part) && part.scrollWidth > part.clientWidth + 1;
          return shown.filter((part) => isOver(part) || isCut(part)).map((part) => part.textContent);
        })"""
    )
    assert seen == []


def test_response_times_are_told_or_why_not(page: Page, house: House) -> None:
    sources = seven()
    house.health = measured(*sources, zerodha=38, angel_one=None)
    show(page, house, sources)
    expect(card(page, "zerodha").get_by_test_id("p95")).to_have_text("38 ms")
    for slug in ("angel_one", "groww"):
        missing = card(page, slug).get_by_test_id("p95")
        expect(missing).to_have_text("—")
        assert missing.get_attribute("title") == "not measured: no check of the last 24 hours succeeded"


def test_where_nobody_tells_response_times_the_card_says_so(page: Page, house: House) -> None:
    page.route("**/api/v1/health/brokers", lambda route: route.fulfill(status=500, body=""))
    show(page, house, seven())
    time = card(page, "zerodha").get_by_test_id("p95")
    expect(time).to_have_attribute("title", "not known: TradeMaster did not tell it")
    assert time.inner_text() == "—"


def test_a_broker_that_is_down_says_why_and_what_it_means_and_is_told_apart_in_grey(page: Page, house: House) -> None:
    sources = seven(upstox={"state": SourceState.STALE, "age": 180, **DOWN})
    show(page, house, sources, upstox={"status": "ERROR"})
    down, well = card(page, "upstox"), card(page, "zerodha")
    assert field(down, "reason").inner_text() == (
        "Its last good answer, 3 min old, stays in the totals. Upstox has not answered for a while."
    )
    assert field(down, "value").get_attribute("data-value") is not None
    expect(down.get_by_role("button", name="Repair")).to_be_visible()
    assert down.bounding_box()["height"] == well.bounding_box()["height"] <= 132  # no higher than a row of the well
    look = "card => [getComputedStyle(card).borderWidth, getComputedStyle(card).backgroundImage]"
    assert down.evaluate(look) != well.evaluate(look)
    mark = "card => getComputedStyle(card.querySelector('.status i'), '::before').content"
    assert (down.evaluate(mark), well.evaluate(mark)) == ('"✕"', "none")
    field(down, "reason").click()
    assert down.get_by_test_id("reason").locator("li").all_inner_texts() == [
        "Upstox has not answered for a while.",
        "Its last good answer, 3 min old, stays in the totals.",
        "It is asked again by itself.",
    ]


def test_of_two_accounts_at_one_broker_the_one_that_is_silent_is_named(page: Page, house: House) -> None:
    shares = [holding(INFY, 10)]
    well = source("zerodha", account(shares, funds=funds("100")), display_name="Zerodha AB1234")
    silent = source("zerodha", account(shares, funds=funds(None, None), age=180), number=2, display_name="Father")
    show(page, house, [well, replace(silent, state=SourceState.STALE)])
    expect(field(total(page, "worth"), "cover_words")).to_have_text(re.compile(r"^1/2, Zerodha, Father 3 min$"))
    total(page, "worth").locator("summary").click()
    assert (
        "The cash at Zerodha, Father is not known: not in it." in total(page, "worth").locator("li").all_inner_texts()
    )
    expect(page.get_by_test_id("position-row").locator("[data-field=flags]")).to_have_text("Zerodha, Father part stale")
    page.keyboard.press("4")
    rows = page.locator("#funds [data-field=broker]")
    expect(rows).to_have_text(["Zerodha AB1234", "Zerodha, Father"])
    expect(page.locator("#funds-sum")).to_contain_text("Zerodha, Father does not tell · Zerodha, Father from before")


def test_what_is_missing_is_said_to_be_left_out(page: Page, house: House) -> None:
    show(page, house, seven(groww={"missing": True}), groww={"status": "ERROR", "error_message": "No answer."})
    groww = card(page, "groww")
    assert field(groww, "reason").inner_text() == "It is left out of the totals. No answer."
    value = field(groww, "value")
    assert (value.inner_text(), value.get_attribute("title")) == ("—", "not known: it is not in the totals")


def test_a_session_that_ends_within_the_hour_is_told_in_other_words(page: Page, house: House) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=48, seconds=55)).isoformat()
    show(page, house, seven(), zerodha={"token_expires_at": soon}, groww={"token_expires_at": None})
    assert field(card(page, "zerodha"), "session").inner_text() == "only 48 min"
    unknown = field(card(page, "groww"), "session")
    assert (unknown.inner_text(), unknown.get_attribute("title")) == ("—", "When its session ends is not known")


def test_the_menu_is_walked_by_keyboard(page: Page, house: House) -> None:
    show(page, house, seven())
    menu = card(page, "zerodha").get_by_test_id("broker-menu")
    assert menu.locator("summary").get_attribute("aria-label") == "More for Zerodha ZE1001"
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    labels = []
    for _ in range(4):
        page.keyboard.press("ArrowDown")
        labels.append(page.evaluate("document.activeElement.dataset.field"))
    assert labels == ["rename", "trading", "disconnect", "rename"]
    page.keyboard.press("Escape")
    expect(menu.locator("button").first).not_to_be_visible()
    assert menu.locator("summary").evaluate("summary => summary === document.activeElement")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#disconnect")).to_be_visible()
    assert page.locator("#disconnect [data-field=name]").inner_text() == "Zerodha ZE1001"


def test_one_thing_is_open_at_a_time(page: Page, house: House) -> None:
    show(page, house, seven())
    card(page, "zerodha").get_by_test_id("data-light").locator("summary").click()
    card(page, "groww").get_by_test_id("broker-menu").locator("summary").click()
    assert page.locator("details.popup[open]").count() == 1
    page.locator("h2", has_text="Net worth").click()
    assert page.locator("details.popup[open]").count() == 0


def test_what_is_disconnected_stands_small_at_the_end(page: Page, house: House) -> None:
    sources = seven()
    show(page, house, sources, zerodha={"status": "DISCONNECTED"})
    last = page.get_by_test_id("broker-card").last
    assert last.get_attribute("data-broker") == "zerodha"
    expect(last.get_by_role("button", name="Connect again")).to_be_visible()
    assert last.bounding_box()["height"] < card(page, "groww").bounding_box()["height"] / 1.5
    expect(last.get_by_test_id("broker-menu")).not_to_be_visible()


@narrow
def test_on_a_phone_the_row_scrolls_sideways_and_what_opens_is_whole(page: Page, house: House) -> None:
    sources = seven(upstox={"state": SourceState.STALE, "age": 180, **DOWN})
    show(page, house, sources, upstox={"status": "ERROR"})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = [each.bounding_box() for each in page.get_by_test_id("broker-card").all()]
    assert len({box["y"] for box in boxes}) == 1
    assert card(page, "upstox").bounding_box()["x"] < 40  # what is down is seen without scrolling
    menu = card(page, "upstox").get_by_test_id("broker-menu")
    menu.locator("summary").click()
    opened = menu.locator("div").bounding_box()
    assert opened["x"] >= 0
    assert opened["x"] + opened["width"] <= 390
    assert opened["y"] + opened["height"] <= 844


def test_nothing_is_written_that_stands_already(page: Page, house: House) -> None:
    """Each second, and at each update: the same book twice touches no node."""
    sources = seven(upstox={"state": SourceState.STALE, "age": 180, **DOWN})
    show(page, house, sources, upstox={"status": "ERROR"})
    records = page.evaluate(
        """async ({ portfolio, connections }) => {
          const { renderConnections } = await import("/static/trademaster/connections.js");
          const { renderNumbers } = await import("/static/trademaster/numbers.js");
          const draw = () => {
            renderNumbers(portfolio, 5, true, null);
            renderConnections(connections, portfolio, 5, {});
          };
          draw();
          const seen = new MutationObserver(() => {});
          const all = { subtree: true, childList: true, attributes: true, characterData: true };
          for (const part of document.querySelectorAll(".totals, #brokers")) seen.observe(part, all);
          draw();
          return seen.takeRecords().map(({ type, target }) => `${type} of ${target.outerHTML}`);
        }""",
        {key: house.socket["data"][key] for key in ("portfolio", "connections")},
    )
    assert records == []


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.00", "₹0"),
        ("-0.49", "₹0"),
        ("-0.50", "−₹1"),
        ("999999.50", "₹10,00,000"),
        ("9999999.49", "₹99,99,999"),
        ("10000000", "₹1.00 Cr"),
        ("10949999.99", "₹1.09 Cr"),
        ("-123450000.00", "−₹12.35 Cr"),
        ("12345678901234567890.12", "₹12,34,56,78,90,123.46 Cr"),
    ],
)
def test_a_short_amount_is_rounded_half_up(page: Page, amount: str, shown: str) -> None:
    page.goto(f"{HOME}/elsewhere")
    script = "async (given) => (await import('/static/trademaster/format.js')).shortRupees(given)"
    assert page.evaluate(script, amount) == shown
    brief = page.evaluate(script.replace("short", "brief"), amount)
    assert brief == ("₹10.00 L" if amount == "999999.50" else "₹100.00 L" if amount == "9999999.49" else shown)


def test_an_answer_that_is_a_little_old_is_one_word_and_moves_nothing(page: Page, house: House) -> None:
    sources = seven(groww={"state": SourceState.STALE, "age": 40, "error_message": "Its budget is spent for a second."})
    show(page, house, sources)
    old, well = card(page, "groww"), card(page, "zerodha")
    assert re.fullmatch(r"4\d s old", field(old, "status").inner_text())
    assert (old.get_attribute("data-tone"), old.get_attribute("data-status")) == ("warn", "CONNECTED")
    expect(old.get_by_test_id("reason")).not_to_be_visible()
    assert old.bounding_box()["height"] == well.bounding_box()["height"] <= 132
    light = old.get_by_test_id("data-light")
    light.locator("summary").click()
    assert light.locator("li").first.inner_text() == "Its budget is spent for a second."


def test_what_is_taken_off_is_one_piece_and_told_in_the_list(page: Page, house: House) -> None:
    borrowed = holding(SBIN, 2000, symbol="SBIN", product=Product.MTF, funded_amount=Decimal(150_000))
    lines = account([borrowed], [position(100, symbol="SBIN", isin=SBIN, price="110")], funds("250000"))
    show(page, house, [source("zerodha", lines)])
    worth = total(page, "worth")
    pieces = field(worth, "pieces")
    assert pieces.inner_text().split() == [*("shares", "₹2.31", "L"), *("cash", "₹2.50", "L"), *("owed", "−₹1.61", "L")]
    assert pieces.evaluate("row => row.scrollWidth <= row.clientWidth")
    worth.locator("summary").click()
    assert worth.locator("li").all_inner_texts() == [
        "Every account answered, and nothing is left out.",
        "₹1,50,000.00 was lent by brokers for MTF shares: taken off.",
        "₹11,000.00 was spent on shares today: taken off, as the cash may not show it yet.",
    ]
