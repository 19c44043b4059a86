"""Amounts on the screen, exactly: `format.js` run by a real browser, nothing sent over any network."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.pages import served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with served.page_of_modules(browser) as page:
        yield page


def run(page: Page, function: str, *arguments: Any) -> Any:
    return served.run(page, "format", function, *arguments)


@pytest.mark.parametrize(
    ("function", "text", "shown"),
    [
        ("number", "999", "999"),
        ("number", "1000", "1,000"),
        ("number", "100000", "1,00,000"),
        ("rupees", "12345678.90", "₹1,23,45,678.90"),
        ("rupees", "12345678901234567890.12", "₹1,23,45,67,89,01,23,45,67,890.12"),  # no double could hold it
        ("rupees", "-100000.50", "−₹1,00,000.50"),
        ("signedRupees", "0.00", "₹0.00"),
        ("signedRupees", "0.01", "+₹0.01"),
        ("signedPercent", "-0.15", "−0.15%"),
        ("toPaise", "786.62642857", "786.63"),
        ("toPaise", "0.994", "0.99"),
        ("toPaise", "0.995", "1.00"),
        ("toPaise", "-1.005", "-1.01"),
        ("toPaise", "1420.5", "1420.5"),
    ],
)
def test_an_amount_is_written_exactly(page, function, text, shown):
    assert run(page, function, text) == shown


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        *[("10.10", "10.1", 0), ("100", "99.99", 1), ("-3.5", "-3.49", -1), ("-2", "1", -1), ("9", "10", -1)],
        *[("0.00", "-0.00", 0), ("999999999999.99", "999999999999.98", 1)],
        ("12345678901234567890.12", "12345678901234567890.13", -1),  # a double takes them for equal
    ],
)
def test_amounts_are_compared_exactly(page, left, right, order):
    assert run(page, "compare", left, right) == order
    assert run(page, "compare", right, left) == -order


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59.9, "59 s"), (60, "1 min"), (18060, "5 h 1 min"), (200000, "2 days")]
)
def test_an_age_is_written_in_its_own_unit(page, seconds, shown):
    assert run(page, "duration", seconds) == shown


@pytest.mark.parametrize("date", ["2026-11-24", "2026-12-29"])
def test_an_expiry_is_the_same_day_wherever_it_is_read(page, date):
    day, month = date[8:], {"11": "Nov", "12": "Dec"}[date[5:7]]

    assert run(page, "day", date) == f"{day} {month} 2026"


def test_what_is_not_a_decimal_is_refused_and_not_shown(page):
    assert (
        page.evaluate(
            "async () => { const { rupees } = await import('/format.js');"
            " try { return rupees('1e5') } catch (error) { return error.name } }"
        )
        == "RangeError"
    )
