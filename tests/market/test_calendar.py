"""Market hours, table by table: what the circulars say of 2026, and what nobody knows."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import cache

import exchange_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.circulars import planned
from brokers.domain import Exchange
from brokers.wire import IST
from market.calendar import OPEN_PHASES, Day, Phase, Session, state
from market.days import sessions_of

CLOSED_WEEKDAYS = [
    *("2026-01-15", "2026-01-26", "2026-03-03", "2026-03-26", "2026-03-31", "2026-04-03", "2026-04-14", "2026-05-01"),
    *("2026-05-28", "2026-06-26", "2026-09-14", "2026-10-02", "2026-10-20", "2026-11-10", "2026-11-24", "2026-12-25"),
]


@cache
def days(exchange: Exchange) -> dict[date, Day]:
    ours = [day for day in planned(2026) if day.exchange == exchange]
    return {day.date: Day(() if day.kind == "CLOSED" else sessions_of(day.sessions) or None) for day in ours}


def at(written: str) -> datetime:
    return datetime.fromisoformat(f"{written}:00+05:30")


def seen(exchange: Exchange, when: str, *, cas: bool = False) -> tuple[bool | None, str | None, str | None, str | None]:
    """Open, phase, its end as HH:MM, and when trading next begins."""
    found = state(exchange, at(when), days(exchange), cas_eligible=cas)
    until = f"{found.until.astimezone(IST):%H:%M}" if found.until else None
    opens = f"{found.next_open.astimezone(IST):%m-%d %H:%M}" if found.next_open else None
    return found.is_open, found.phase, until, opens


NSE, BSE, NFO, BFO, CDS, MCX = (Exchange(word) for word in ("NSE", "BSE", "NFO", "BFO", "CDS", "MCX"))


@pytest.mark.parametrize(
    ("exchange", "when", "cas", "expected"),
    [
        # The last week of the old hours, a Friday, and the Sunday before the new ones.
        (NSE, "2026-07-31 15:20", True, (True, "CONTINUOUS", "15:30", None)),
        (NSE, "2026-07-31 15:30", True, (False, "CLOSED", "15:40", "08-03 09:15")),
        (NFO, "2026-07-31 15:35", False, (False, "CLOSED", "09:00", "08-03 09:15")),
        (NSE, "2026-08-02 11:00", True, (False, "CLOSED", "09:00", "08-03 09:15")),
        # The closing auction's first day.
        (NSE, "2026-08-03 09:04", True, (False, "PRE_OPEN", "09:08", "08-03 09:15")),
        (NSE, "2026-08-03 15:14", True, (True, "CONTINUOUS", "15:15", None)),
        (NSE, "2026-08-03 15:15", True, (True, "CAS_REFERENCE", "15:20", None)),
        (NSE, "2026-08-03 15:15", False, (True, "CONTINUOUS", "15:30", None)),
        (BSE, "2026-08-03 15:22", True, (True, "CAS", "15:25", None)),
        (NSE, "2026-08-03 15:29", True, (True, "CAS_LIMIT", "15:30", None)),
        (NSE, "2026-08-03 15:34", True, (True, "CAS_MATCHING", "15:35", None)),
        (NSE, "2026-08-03 15:34", False, (False, "CLOSED", "15:50", "08-04 09:15")),
        (NSE, "2026-08-03 15:55", True, (False, "POST_CLOSE", "16:00", "08-04 09:15")),
        (NFO, "2026-08-03 15:39", False, (True, "CONTINUOUS", "15:40", None)),
        (BFO, "2026-08-03 15:40", False, (False, "CLOSED", "09:00", "08-04 09:15")),
        # The pre-open windows change once more.
        (NSE, "2026-09-04 09:06", False, (False, "PRE_OPEN", "09:08", "09-04 09:15")),
        (NSE, "2026-09-06 09:06", False, (False, "CLOSED", "09:00", "09-07 09:15")),
        (NSE, "2026-09-07 09:04", False, (False, "PRE_OPEN", "09:05", "09-07 09:15")),
        (NSE, "2026-09-07 09:06", False, (False, "PRE_OPEN_LIMIT", "09:10", "09-07 09:15")),
        (NSE, "2026-09-07 09:11", False, (False, "PRE_OPEN_MATCHING", "09:12", "09-07 09:15")),
        (NSE, "2026-09-07 09:14", False, (False, "BUFFER", "09:15", "09-07 09:15")),
        (NFO, "2026-09-07 09:06", False, (False, "PRE_OPEN", "09:08", "09-07 09:15")),
        # Commodities follow the American clock.
        (MCX, "2026-03-06 23:40", False, (True, "CONTINUOUS", "23:55", None)),
        (MCX, "2026-03-09 23:40", False, (False, "CLOSED", "09:00", "03-10 09:00")),
        (MCX, "2026-10-30 23:40", False, (False, "CLOSED", "09:00", "11-02 09:00")),
        (MCX, "2026-11-02 23:40", False, (True, "CONTINUOUS", "23:55", None)),
        (MCX, "2026-11-02 23:55", False, (False, "CLOSED", "09:00", "11-03 09:00")),
        (MCX, "2026-11-24 16:59", False, (False, "CLOSED", "17:00", "11-24 17:00")),
        (MCX, "2026-11-24 17:00", False, (True, "CONTINUOUS", "23:55", None)),
        (MCX, "2026-12-25 18:00", False, (False, "CLOSED", "09:00", "12-28 09:00")),
        # Muhurat, a Sunday: commodities' hour was seen, the others' was not published when this was written.
        (MCX, "2026-11-08 18:30", False, (True, "CONTINUOUS", "19:00", None)),
        (MCX, "2026-11-08 19:30", False, (False, "CLOSED", "09:00", "11-09 09:00")),
        (NSE, "2026-11-08 18:30", False, (None, None, None, "11-09 09:15")),
        (NSE, "2026-11-07 12:00", False, (False, "CLOSED", "09:00", "11-09 09:15")),
        # The holiday that moved an expiry.
        (NSE, "2026-11-23 15:40", False, (False, "CLOSED", "15:50", "11-25 09:15")),
        (NSE, "2026-11-24 11:00", False, (False, "CLOSED", "09:00", "11-25 09:15")),
        (CDS, "2026-11-25 16:59", False, (True, "CONTINUOUS", "17:00", None)),
        # Weekends.
        (NSE, "2026-11-28 11:00", False, (False, "CLOSED", "09:00", "11-30 09:15")),
        (NFO, "2026-11-29 11:00", False, (False, "CLOSED", "09:00", "11-30 09:15")),
        # Nobody knows 2027 yet.
        (NSE, "2026-12-31 16:30", False, (False, "CLOSED", None, None)),
        (NSE, "2027-01-04 11:00", False, (None, None, None, None)),
    ],
)
def test_the_circulars(exchange: Exchange, when: str, cas: bool, expected: tuple[object, ...]) -> None:
    assert seen(exchange, when, cas=cas) == expected


@pytest.mark.parametrize("exchange", [NSE, BSE, NFO, BFO])
def test_the_closed_weekdays_are_these_and_no_others(exchange: Exchange) -> None:
    closed = [day for day, known in days(exchange).items() if known.sessions == () and day.weekday() < 5]
    assert [day.isoformat() for day in closed] == CLOSED_WEEKDAYS


def test_a_year_has_every_day_of_every_exchange() -> None:
    rows = list(planned(2026))
    assert len({(day.exchange, day.date) for day in rows}) == len(rows) == 365 * len(Exchange)
    unsettled = {day.date.isoformat() for day in rows if not day.settles and day.date.weekday() < 5}
    assert unsettled == set(CLOSED_WEEKDAYS)


def test_a_utc_evening_is_an_indian_night() -> None:
    """18:15 UTC on a Friday is 23:45 IST the same day; 18:45 UTC is Saturday."""
    friday = datetime.fromisoformat("2026-11-27T18:15:00+00:00")
    saturday = datetime.fromisoformat("2026-11-27T18:45:00+00:00")
    assert state(MCX, friday, days(MCX)).is_open is True
    assert state(MCX, saturday, days(MCX)).phase is Phase.CLOSED


ANY_DAY = Day((Session(Phase.CONTINUOUS, time(9, 15), time(15, 30)),))


@given(st.integers(min_value=0, max_value=420 * 24 * 60), st.sampled_from(Exchange), st.booleans())
def test_what_is_said_is_true_of_the_moments_it_names(minutes: int, exchange: Exchange, cas: bool) -> None:
    now = at("2026-01-01 00:00") + timedelta(minutes=minutes)
    found = state(exchange, now, days(exchange), cas_eligible=cas)
    assert (found.is_open is None) == (found.phase is None)
    assert found.is_open is not True or found.phase in OPEN_PHASES
    assert found.is_open is not True or found.next_open is None
    if found.until is not None:
        assert found.until > now
    if found.next_open is not None:
        assert found.next_open > now
        assert state(exchange, found.next_open, days(exchange), cas_eligible=cas).is_open is True
    if now.year != 2026:
        assert found.is_open is None


def test_a_day_without_a_row_ends_the_view() -> None:
    known = {date(2026, 11, 26): ANY_DAY, date(2026, 11, 30): ANY_DAY}
    found = state(NSE, at("2026-11-26 16:00"), known)
    assert (found.is_open, found.next_open) == (False, None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own, about pandas
def test_a_library_knows_the_same_closed_days() -> None:
    """It knows neither the closing auction nor evenings nor Muhurat, but it is another pair of eyes."""
    known = exchange_calendars.get_calendar("XBOM", start="2026-01-01")
    theirs = {session.date() for session in known.sessions}
    ours = {day for day, told in days(NSE).items() if told.sessions != ()} - {date(2026, 11, 8)}
    assert theirs == ours
