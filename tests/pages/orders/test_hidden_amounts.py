"""Privacy mode on the pages of orders: what was asked, planned, checked and filled tells no amount and no quantity."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from brokers.domain import OrderStatus
from brokers.errors import OrderRejected
from orders import reconciling, words
from tests.orders.fakes import LOST_REQUEST, Desks
from tests.pages.orders.conftest import Placed
from tests.pages.orders.test_ticket_and_lanes import (
    Accounts,
    _rows_beside_the_browser,
    errors,
    fill,
    in_seconds,
    lane,
    page,
    socket,
)
from tests.pages.test_hidden_amounts import TOLD, hide

__all__ = ("_rows_beside_the_browser", "errors", "page", "socket")

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Beside the share's name in the ticket. Prices are nobody's secret.
PRICE = "NSE · equity · last ₹1,500.00"
# A sentence, and what of it is an amount or a quantity.
SENTENCES = [
    ("Via Zerodha DM4821 (NSE): charges of ₹90.84; via it elsewhere ₹1,234.50 worse.", ["₹90.84", "₹1,234.50"]),
    ("Zerodha DM4821: ₹76,880.00 of ₹2,21,441.65, orders under way taken off.", ["₹76,880.00", "₹2,21,441.65"]),
    ("50 units, ₹76,880.00: within all limits.", ["50", "₹76,880.00"]),
    ("50 via Zerodha (NSE) at 1,537.60", ["50"]),
    ("Groww has 4 of 10 units free.", ["4", "10"]),
    ("A limit of 1500.05 is 2.35% from the last price at NSE, 1537.6, told by Groww 3 s ago.", []),
    ("-14050.15 of loss is known; the limit is 20000.", ["-14050.15", "20000"]),
    ("The order’s value is 76880.00: your limit is 50000.", ["76880.00", "50000"]),
    ("The order’s value is 9.50: you are warned from 8.", ["9.50", "8"]),
    ("It is 1.25% from the previous close, 1500. Write it in digits, such as 1531.20.", []),
    ("22.50 of the book in one issuer: the limit is 20. Its part of your equity, percent, is 3.10.", ["20"]),
    ("3 limits, 12 orders that stand: none is overstepped.", []),
    ("Zerodha closes intraday positions at 15:20 IST. It was last named in the list of 2026-11-25.", []),
    ("quantity 10, 4 filled, the broker’s number 261126000001", ["10", "4"]),
    ("Nothing is told.", []),
    ("", []),
]


def test_an_order_tells_no_amount_on_its_page(page: Page, placed: Placed, desks: Desks, accounts: Accounts) -> None:
    intent = placed()
    desks[accounts["zerodha"]].tell("z-1", OrderStatus.PARTIALLY_FILLED, 4)
    reconciling.run(in_seconds(2), desks)
    page.goto(f"/orders/{intent.pk}/")
    assert page.evaluate(TOLD) == []
    hide(page)
    why = page.get_by_test_id("decision")
    expect(why).to_contain_text("Via Zerodha (NSE): charges of ₹")
    assert "at 1,500.05" in why.inner_text()  # a price is nobody's secret
    assert "10 via Zerodha" not in why.inner_text()
    assert page.locator("input[name=quantity]").evaluate("(node) => getComputedStyle(node, '::placeholder').color") == (
        "rgba(0, 0, 0, 0)"
    )


def test_the_list_and_the_ticket_tell_none(page: Page, placed: Placed, desks: Desks, accounts: Accounts) -> None:
    desk = desks[accounts["zerodha"]]
    desk.faults.append(LOST_REQUEST)
    placed(12)
    desk.faults.append(OrderRejected("You need ₹12,000.00 more for 13 units"))
    placed(13)
    page.goto("/orders/")
    fill(page)
    preview = page.get_by_test_id("preview")
    expect(preview).to_contain_text("You pay at most")
    page.evaluate("document.querySelectorAll('main details').forEach((each) => (each.open = true))")
    expect(lane(page, "ended")).to_contain_text("You need ₹12,000.00 more")
    expect(preview).to_contain_text("10 units, ₹15,000.50")
    assert page.evaluate(TOLD) == [PRICE]
    hide(page)
    assert "Via Zerodha (NSE): charges of" in preview.inner_text()
    page.get_by_test_id("place").click()
    expect(page.get_by_test_id("ticket-answer")).to_contain_text("Buy 10 INFY: Sent.")
    assert page.evaluate(TOLD) == [PRICE]


def test_the_browser_and_the_server_mark_the_same(page: Page) -> None:
    page.goto("/orders/")
    for sentence, hidden in SENTENCES:
        assert words.figures(sentence)[1::2] == hidden, sentence
        marked = page.evaluate(
            """async (sentence) => {
              const { figures } = await import("/static/trademaster/figures.js");
              const pieces = figures(sentence);
              const whole = pieces.map((each) => each.textContent ?? each).join("");
              return [whole, pieces.filter((each) => each.dataset).map((each) => each.textContent)];
            }""",
            sentence,
        )
        assert marked == [sentence, hidden], json.dumps(sentence)
