"""What the ticket says of what was typed and of what came of it, in a real browser before the real house."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from brokers.errors import OrderRejected
from tests.orders.fakes import Desks
from tests.pages.orders.test_ticket_and_lanes import (
    Accounts,
    _rows_beside_the_browser,
    errors,
    fill,
    page,
    socket,
)

__all__ = ("_rows_beside_the_browser", "errors", "page", "socket")

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_order_that_the_broker_rejects_is_told_by_its_reason(page: Page, desks: Desks, accounts: Accounts) -> None:
    desks[accounts["zerodha"]].faults.append(OrderRejected("The risk system takes no such order now"))
    page.goto("/orders/")
    fill(page)
    page.get_by_test_id("place").click()
    answer = page.get_by_test_id("ticket-answer")
    expect(answer).to_contain_text("The risk system takes no such order now Its page")
    expect(answer).not_to_contain_text("false")


def test_what_was_typed_wrongly_is_named(page: Page, errors: list[str]) -> None:
    page.goto("/orders/")
    fill(page)
    preview = page.get_by_test_id("preview")
    for label, typed, said in (
        ("Price, ₹", "-1", "Price: “-1” is not above 0. Write it in digits, such as 1531.20."),
        ("Price, ₹", "1e5", "Price: “1e5” is no number."),
        ("Price, ₹", "abc", "Price: “abc” is no number."),
        ("Price, ₹", "1.23456", "Price: “1.23456” has more than four places behind the point."),
        ("Quantity", "0", "Quantity: “0” is not above 0. Write it in digits, such as 10."),
        ("Quantity", "9" * 17, "quantity: It is too large."),
    ):
        field = page.get_by_label(label)
        before = field.input_value()
        field.fill(typed)
        expect(preview).to_contain_text(said)
        expect(page.get_by_test_id("place")).to_be_disabled()
        field.fill(before)
        expect(preview).to_contain_text("You pay at most")
    page.get_by_label("Quantity").fill("")
    expect(preview).to_contain_text("Fill it in")
    page.get_by_label("Price, ₹").fill("1500.03")
    page.get_by_label("Quantity").fill("10")
    expect(preview).to_contain_text("A price of 1500.03 is no multiple of the tick of 0.05.")
    assert all("400" in said for said in errors)
    errors.clear()
