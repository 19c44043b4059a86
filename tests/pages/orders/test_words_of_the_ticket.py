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
