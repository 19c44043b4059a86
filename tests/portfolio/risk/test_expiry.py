"""When contracts end: the hour of the rule, calendar time until then, and trading days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from brokers.domain import Exchange
from brokers.wire import IST
from portfolio.risk.expiry import expires_at, has_ended, trading_days_left, years_to_expiry

DAYS = tuple(date(2026, 12, day) for day in range(1, 31) if date(2026, 12, day).weekday() < 5 and day != 25)


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("exchange", "expiry", "end"),
    [
        (Exchange.NFO, date(2026, 12, 29), "2026-12-29 15:40"),
        (Exchange.BFO, date(2026, 12, 31), "2026-12-31 15:40"),
        (Exchange.NFO, date(2026, 8, 4), "2026-08-04 15:40"),
        (Exchange.NFO, date(2026, 8, 3), "2026-08-03 15:40"),
        (Exchange.NFO, date(2026, 7, 28), "2026-07-28 15:30"),
        (Exchange.CDS, date(2026, 12, 29), "2026-12-29 12:30"),
        (Exchange.MCX, date(2026, 12, 16), "2026-12-16 23:30"),
    ],
)
def test_ends_at_the_hour_of_the_rule(exchange, expiry, end) -> None:
    assert expires_at(exchange, expiry) == ist(end)


def test_time_is_calendar_time_and_never_less_than_none() -> None:
    expiry = date(2026, 12, 29)
    assert years_to_expiry(Exchange.NFO, expiry, ist("2026-12-22 15:40")) == pytest.approx(7 / 365)
    assert years_to_expiry(Exchange.NFO, expiry, ist("2026-12-29 15:39")) == pytest.approx(1 / (365 * 24 * 60))
    assert years_to_expiry(Exchange.NFO, expiry, ist("2026-12-29 15:40")) == 0
    assert years_to_expiry(Exchange.NFO, expiry, ist("2026-12-30 09:15")) == 0


def test_the_zone_of_the_clock_does_not_matter() -> None:
    now = datetime(2026, 12, 29, 9, 40, tzinfo=UTC)
    assert years_to_expiry(Exchange.NFO, date(2026, 12, 29), now) == pytest.approx(30 / (365 * 24 * 60))


@pytest.mark.parametrize(
    ("today", "left"),
    [(22, 4), (23, 3), (24, 2), (25, 2), (26, 2), (27, 2), (28, 1), (29, 0), (21, 5)],
)
def test_counts_trading_days_over_weekends_and_holidays(today, left) -> None:
    assert trading_days_left(date(2026, 12, 29), date(2026, 12, today), DAYS) == left


def test_where_the_calendar_ends_it_is_told_early_never_late() -> None:
    expiry, today = date(2026, 12, 29), date(2026, 12, 22)
    assert trading_days_left(expiry, today, ()) == 3  # it is 4: five weekdays, of which Christmas is none
    assert trading_days_left(expiry, today, DAYS[: DAYS.index(date(2026, 12, 24)) + 1]) == 3
    assert trading_days_left(expiry, expiry - timedelta(days=1), ()) == 1  # its last day is always one
    assert trading_days_left(today, today, ()) == 0
    assert trading_days_left(today - timedelta(days=3), today, ()) == 0


@pytest.mark.parametrize("back", range(28))
@pytest.mark.parametrize("known", [0, 3, 9])
def test_a_guess_never_says_more_days_than_there_are(back, known) -> None:
    expiry = date(2026, 12, 29)
    today = expiry - timedelta(days=back)
    coming = [day for day in DAYS if day > today][:known]
    assert trading_days_left(expiry, today, coming) <= trading_days_left(expiry, today, DAYS)


def test_a_contract_has_ended_when_its_last_day_is_over() -> None:
    expiry = date(2026, 12, 29)
    assert not has_ended(expiry, ist("2026-12-29 23:59"))
    assert has_ended(expiry, ist("2026-12-30 00:00"))
    assert not has_ended(None, ist("2026-12-30 00:00"))
