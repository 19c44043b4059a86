"""Deltas applied by `delta.js` in a real browser: always what `portfolio/deltas.apply_delta` makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from brokers.domain import Exchange
from portfolio.deltas import apply_delta
from portfolio.domain import InstrumentKey, LivePrice
from portfolio.live import LiveBooks
from portfolio.presentation import present
from tests.pages.served import page_of_modules, run
from tests.portfolio.sources import NOW
from tests.portfolio.strategies import PRICES, SHARES, UNKNOWABLE_PRICES, books
from tests.samples import live_client

pytestmark = pytest.mark.browser

LISTINGS: dict[InstrumentKey, str] = {(Exchange.NSE, str(number)): isin for number, isin in enumerate(SHARES)}
TICKS = st.tuples(st.sampled_from(list(LISTINGS)), st.none() | PRICES, UNKNOWABLE_PRICES)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with page_of_modules(browser) as page:
        yield page


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(first=books(), later=books(), steps=st.lists(st.lists(TICKS, max_size=4), min_size=1, max_size=5))
def test_any_deltas_make_the_portfolio_that_they_make_in_python(page, first, later, steps):
    watched = LiveBooks(LISTINGS)
    book = watched.hold(1, first)
    portfolio = book.portfolio(NOW)
    book.changes(NOW)
    shown = sample = present(portfolio)
    for number, ticks in enumerate([*steps, steps[0]]):
        now = NOW + timedelta(seconds=number)
        for instrument, price, close in ticks:
            told = (
                None
                if price is None
                else LivePrice(exchange=instrument[0], price=price, close=close, source="fyers", as_of=now)
            )
            watched.apply(instrument, told)
        if number == len(steps):
            watched.hold(1, later)
        delta = book.changes(now)
        portfolio = apply_delta(portfolio, delta)
        shown = run(page, "delta", "applyDelta", shown, present(delta))
        sample = live_client.apply_delta(sample, present(delta))
        assert shown == present(portfolio)
        assert {**sample, "sources": None} == {**shown, "sources": None}


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        ("1", "3", "33.33"),
        ("2.00", "3.00", "66.67"),
        ("0.125", "100", "0.13"),
        ("0.00", "5", "0.00"),
        ("-1", "8", "-12.50"),
        ("-0.00001", "8", "0.00"),
        ("12345678901234567890.12", "12345678901234567890.12", "100.00"),
        ("1", "0.00", None),
        (None, "1", None),
        ("1", None, None),
    ],
)
def test_a_weight_is_rounded_half_up(page, part, whole, shown):
    assert run(page, "format", "ratioPercent", part, whole) == shown


# --- the day's series -------------------------------------------------------------------------------------------------
def series(*values: str | None) -> dict[str, Any]:
    opens = NOW.replace(hour=3, minute=45)
    at = [(opens + timedelta(minutes=number)).isoformat().replace("+00:00", ".000Z") for number in range(len(values))]
    points = [{"at": each, "value": value} for each, value in zip(at, values, strict=True)]
    return {"opens_at": "2026-11-23T03:45:00.000Z", "closes_at": "2026-11-23T10:00:00.000Z", "points": points}


def test_a_gap_in_the_day_parts_its_line(page):
    told = series(None, "100", "110", None, None, "105", None)

    assert [[point["value"] for point in known] for known in run(page, "series", "runsOf", told)] == [
        ["100", "110"],
        ["105"],
    ]
    gaps = [[first["at"], last["at"]] for first, last in run(page, "series", "gapsOf", told)]
    at = [point["at"] for point in told["points"]]
    assert gaps == [[at[3], at[4]], [at[6], at[6]]]  # before the first word nobody looked


@pytest.mark.parametrize("values", [(), (None,), (None, None)])
def test_a_day_of_which_nothing_is_known_has_no_line(page, values):
    assert run(page, "series", "runsOf", series(*values)) == []
    assert run(page, "series", "gapsOf", series(*values)) == []


def test_a_new_value_stands_in_its_minute_and_what_was_missed_is_a_gap(page):
    once = run(page, "series", "noted", series("100"), "2026-11-23T03:48:10Z", "120")
    again = run(page, "series", "noted", once, "2026-11-23T03:48:50Z", "121")

    assert [point["value"] for point in again["points"]] == ["100", None, None, "121"]
    assert run(page, "series", "noted", again, "2026-11-23T10:00:00Z", "5") == again
    assert run(page, "series", "noted", again, "2026-11-23T03:44:59Z", "5") == again
