"""How soon each kind of check comes again, by the hour, the day and how it went."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest

from brokers import registry
from brokers.spec import DailyWindow
from health.models import CheckType
from health.pace import EVERY, Intervals, Phase, maintenance_ends, next_due, phase_of, spread_of

INTERVALS = Intervals(usual=30, failing=5)
UPSTOX = registry.load("upstox").spec.maintenance


def ist(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+05:30")


def seconds(check_type: CheckType, at: str, markets_open: bool | None, failures: int = 0, row_id: int = 0) -> float:
    now = ist(at)
    due = next_due(
        check_type,
        row_id=row_id,
        now=now,
        failures=failures,
        markets_open=markets_open,
        maintenance=(),
        intervals=INTERVALS,
    )
    return (due - now).total_seconds()


@pytest.mark.parametrize(
    ("at", "markets_open", "phase"),
    [
        ("2026-11-26T11:00", True, Phase.OPEN),
        ("2026-11-26T11:00", None, Phase.OPEN),  # nobody knows: rather too often than too late
        ("2026-11-24T11:00", False, Phase.SLOW),  # a holiday in the middle of the week
        ("2026-11-24T07:00", False, Phase.SLOW),
        ("2026-11-24T19:00", False, Phase.SLOW),
        ("2026-11-28T11:00", False, Phase.SLOW),  # Saturday
        ("2026-11-29T11:00", None, Phase.SLOW),
        ("2026-11-08T18:30", True, Phase.OPEN),  # Muhurat trading on a Sunday evening
        ("2026-11-26T08:30", False, Phase.QUIET),
        ("2026-11-26T08:30", None, Phase.QUIET),
        ("2026-11-26T15:30", False, Phase.QUIET),
        ("2026-11-26T20:00", True, Phase.OPEN),  # commodities
        ("2026-11-26T23:29", False, Phase.QUIET),
        ("2026-11-26T23:30", False, Phase.SLOW),
        ("2026-11-27T02:00", False, Phase.SLOW),
        ("2026-11-27T05:59", None, Phase.SLOW),
        ("2026-11-27T06:00", None, Phase.QUIET),
    ],
)
def test_the_time_of_day(at: str, markets_open: bool | None, phase: Phase) -> None:
    assert phase_of(ist(at), markets_open) is phase


@pytest.mark.parametrize(
    ("check_type", "by_day", "by_evening", "by_night"),
    [
        (CheckType.SESSION, 30, 60, 300),
        (CheckType.HOLDINGS, 120, 300, 1200),
        (CheckType.QUOTES, 120, 600, 1800),
        (CheckType.ORDERS, 120, 600, 1800),
    ],
)
def test_a_well_connection(check_type: CheckType, by_day: int, by_evening: int, by_night: int) -> None:
    assert seconds(check_type, "2026-11-26T11:00", True) == by_day
    assert seconds(check_type, "2026-11-26T18:00", False) == by_evening
    assert seconds(check_type, "2026-11-27T02:00", False) == by_night
    assert seconds(check_type, "2026-11-24T11:00", False) == by_night  # a holiday


def test_the_session_is_asked_most_often() -> None:
    for phase in Phase:
        assert all(EVERY[CheckType.SESSION][phase] <= EVERY[kind][phase] for kind in CheckType)


@pytest.mark.parametrize(("failures", "wait"), [(1, 5), (2, 10), (3, 20), (4, 30), (5, 30), (500, 30)])
def test_a_failing_one_is_looked_at_sooner_and_never_later_than_a_well_one(failures: int, wait: int) -> None:
    assert seconds(CheckType.SESSION, "2026-11-26T11:00", True, failures) == wait


def test_at_night_a_failing_one_backs_off_further() -> None:
    assert seconds(CheckType.SESSION, "2026-11-27T02:00", False, 1) == 5
    assert seconds(CheckType.SESSION, "2026-11-27T02:00", False, 20) == 300


def test_rows_spread_and_none_is_late() -> None:
    waits = [seconds(CheckType.SESSION, "2026-11-26T11:00", True, row_id=row_id) for row_id in range(1000)]
    assert 24 <= min(waits) < 24.1
    assert 29.9 < max(waits) <= 30
    tenths = [sum(24 + 0.6 * part <= wait < 24.6 + 0.6 * part for wait in waits) for part in range(10)]
    assert min(tenths) >= 90
    assert [spread_of(row_id) for row_id in range(100)] == [spread_of(row_id) for row_id in range(100)]


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("2026-11-26T23:59", None),
        ("2026-11-27T00:00", "2026-11-27T05:30"),
        ("2026-11-27T05:29", "2026-11-27T05:30"),
        ("2026-11-27T05:30", None),
    ],
)
def test_upstox_answers_from_half_past_five_to_midnight(at: str, ends: str | None) -> None:
    assert maintenance_ends(UPSTOX, ist(at)) == (ist(ends) if ends else None)


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("2026-11-26T22:59", None),
        ("2026-11-26T23:00", "2026-11-27T01:00"),
        ("2026-11-27T00:30", "2026-11-27T01:00"),
        ("2026-11-27T01:00", None),
    ],
)
def test_a_window_may_span_midnight(at: str, ends: str | None) -> None:
    window = DailyWindow(starts_at=time(23), ends_at=time(1))
    assert window.end_if_within(ist(at)) == (ist(ends) if ends else None)


@pytest.mark.parametrize("failures", [0, 3])
def test_what_would_fall_into_a_maintenance_comes_after_it(failures: int) -> None:
    due = next_due(
        CheckType.HOLDINGS,
        row_id=7,
        now=ist("2026-11-26T23:59:59"),
        failures=failures,
        markets_open=False,
        maintenance=UPSTOX,
        intervals=INTERVALS,
    )
    ends = ist("2026-11-27T05:30")
    assert ends < due <= ends + timedelta(minutes=1)


def test_simulated_brokers_know_no_night() -> None:
    due = next_due(
        CheckType.SESSION,
        row_id=0,
        now=ist("2026-11-27T02:00"),
        failures=0,
        markets_open=False,
        maintenance=UPSTOX,
        intervals=Intervals(usual=30, failing=5, around_the_clock=True),
    )
    assert due == ist("2026-11-27T02:00:30")
