"""The exchanges' days and hours, at their edges."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest

from brokers import circulars
from brokers.circulars import PlannedDay
from brokers.domain import Segment
from brokers.hours import (
    FACE,
    MCX_CLOSES,
    MCX_CLOSES_IN_US_WINTER,
    NEW_YORK,
    Hours,
    hours_on,
    is_trading_day,
    markets_open,
    next_session_start,
    trading_ends,
)
from brokers.wire import IST

ALL = frozenset(Segment)
SHARES = (Segment.EQUITY, Segment.FNO)


def known(exchange: str, day: date) -> PlannedDay:
    row = circulars.planned_on(exchange, day)
    assert row is not None
    return row


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("day", "trades"),
    [
        ("2026-11-26", True),  # a Thursday
        ("2026-11-24", False),
        ("2026-01-15", False),  # announced six days before
        ("2026-11-28", False),
        ("2026-11-08", True),  # Muhurat, a Sunday
        ("2026-11-15", False),
        ("2027-01-04", None),
        ("2027-01-03", False),
        ("2025-12-31", None),
    ],
)
def test_trading_days(day: str, trades: bool | None) -> None:
    assert is_trading_day(date.fromisoformat(day)) is trades


@pytest.mark.parametrize(
    ("day", "segment", "hours"),
    [
        ("2026-11-26", Segment.EQUITY, ("09:00", "16:00")),
        ("2026-11-26", Segment.FNO, ("09:00", "15:40")),
        ("2026-07-31", Segment.FNO, ("09:00", "15:30")),
        ("2026-08-03", Segment.FNO, ("09:00", "15:40")),
        ("2027-03-12", Segment.FNO, ("09:00", "15:40")),
        ("2026-11-26", Segment.CURRENCY, ("09:00", "17:00")),
        ("2026-10-30", Segment.COMMODITY, ("09:00", "23:30")),
        ("2026-11-02", Segment.COMMODITY, ("09:00", "23:55")),
        ("2027-03-12", Segment.COMMODITY, ("09:00", "23:55")),
        ("2027-03-15", Segment.COMMODITY, ("09:00", "23:30")),
        ("2026-11-24", Segment.COMMODITY, ("17:00", "23:55")),
        ("2026-11-08", Segment.COMMODITY, ("18:00", "19:00")),
        ("2026-11-08", Segment.EQUITY, ("18:00", "19:00")),  # no circular tells its hour yet: that of MCX
    ],
)
def test_the_hours_of_a_day(day: str, segment: Segment, hours: tuple[str, str]) -> None:
    opens, closes = (ist(f"{day}T{hour}") for hour in hours)
    assert hours_on(date.fromisoformat(day), segment) == Hours(opens, closes)


def test_a_special_day_of_which_nobody_knows_an_hour_is_not_said_to_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    day = date(2026, 11, 8)
    told = {exchange: replace(known(exchange, day), sessions=[]) for exchange in FACE.values()}
    monkeypatch.setattr(circulars, "planned_on", lambda exchange, _: told[exchange])
    assert (is_trading_day(day), hours_on(day, Segment.EQUITY)) == (True, None)
    assert markets_open(ist("2026-11-08T18:30")) == frozenset()


@pytest.mark.parametrize("year", circulars.years())
def test_mcx_follows_new_york_in_every_year_that_is_told_of(year: int) -> None:
    """So the rule for years that no circular tells of is held against those that one does."""
    days = [row.date for row in circulars.planned(year) if row.exchange == "MCX" and row.kind == "OPEN"]
    closes = {day: hours.closes.time() for day in days if (hours := hours_on(day, Segment.COMMODITY))}
    summer = {day: datetime.combine(day, time(12), NEW_YORK).dst() != timedelta(0) for day in days}
    assert closes == {day: MCX_CLOSES if summer[day] else MCX_CLOSES_IN_US_WINTER for day in days}


@pytest.mark.parametrize(
    ("day", "segment"),
    [
        ("2026-11-24", Segment.EQUITY),
        ("2026-12-25", Segment.COMMODITY),
        ("2026-11-28", Segment.COMMODITY),
        ("2026-11-29", Segment.EQUITY),
    ],
)
def test_no_hours(day: str, segment: Segment) -> None:
    assert hours_on(date.fromisoformat(day), segment) is None


@pytest.mark.parametrize(
    ("now", "segments"),
    [
        ("2026-11-26T08:59:59", frozenset()),
        ("2026-11-26T09:00", ALL),
        ("2026-11-26T15:40", ALL - {Segment.FNO}),
        ("2026-11-26T16:59:59", {Segment.CURRENCY, Segment.COMMODITY}),
        ("2026-11-26T23:54", {Segment.COMMODITY}),
        ("2026-11-26T23:55", frozenset()),
        ("2026-11-24T10:00", frozenset()),
        ("2026-11-24T17:00", {Segment.COMMODITY}),
        ("2026-11-08T18:30", ALL),
        ("2027-01-04T10:00", None),
        ("2027-01-04T03:00", frozenset()),  # whatever day it is, nobody trades at night
        ("2027-01-03T10:00", frozenset()),
    ],
)
def test_what_is_open(now: str, segments: frozenset[Segment] | None) -> None:
    assert markets_open(ist(now)) == segments


@pytest.mark.parametrize(
    ("now", "segments", "start"),
    [
        ("2026-11-26T08:45", ALL, "2026-11-26T09:00"),
        ("2026-11-26T09:00", ALL, "2026-11-27T09:00"),
        ("2026-11-27T18:00", ALL, "2026-11-30T09:00"),
        ("2026-11-24T08:00", SHARES, "2026-11-25T09:00"),
        ("2026-11-24T08:00", ALL, "2026-11-24T17:00"),
        ("2026-11-07T12:00", SHARES, "2026-11-08T18:00"),
        ("2026-12-31T20:00", ALL, None),
    ],
)
def test_the_next_session(now: str, segments: frozenset[Segment], start: str | None) -> None:
    assert next_session_start(ist(now), segments) == (ist(start) if start else None)


@pytest.mark.parametrize(
    ("now", "segments", "end"),
    [
        ("2026-11-26T02:00", ALL, time(23, 55)),
        ("2026-11-26T02:00", SHARES, time(16, 0)),
        ("2026-11-26T16:00", SHARES, None),
        ("2026-11-28T02:00", ALL, None),
    ],
)
def test_the_end_of_todays_trading(now: str, segments: frozenset[Segment], end: time | None) -> None:
    moment = ist(now)
    assert trading_ends(moment, segments) == (datetime.combine(moment.date(), end, IST) if end else None)
