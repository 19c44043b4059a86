"""A month of days of one broker, and the picture of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.models import BrokerConnection
from health import days
from health.days import HEIGHT, WIDTH, Day
from health.models import BrokerHealthLog, BrokerRollup, HealthCursor

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
DAILY = [
    {"date": date(2026, 11, 24), "uptime_pct": None},
    {"date": date(2026, 11, 25), "uptime_pct": Decimal(50)},
    {"date": date(2026, 11, 26), "uptime_pct": Decimal(100)},
]


def rolled_up(hour: datetime, *, bucket: int, checks: int = 10, failures: int = 0, slug: str = "upstox") -> None:
    BrokerRollup.objects.create(
        broker_type=slug,
        check_type="SESSION",
        hour=hour,
        checks=checks,
        failures=failures,
        latencies={str(bucket): checks - failures},
    )


@pytest.mark.django_db
def test_hours_fall_into_the_days_of_india_and_raw_checks_are_in_them(alices: dict[str, BrokerConnection]) -> None:
    HealthCursor.objects.update_or_create(name=HealthCursor.ROLLED_UP, defaults={"at": NOW - timedelta(hours=1)})
    rolled_up(datetime(2026, 11, 24, 20, tzinfo=UTC), bucket=3, failures=4)  # 01:30 IST on the 25th
    rolled_up(datetime(2026, 11, 25, 18, tzinfo=UTC), bucket=5)  # ends at 00:30 IST on the 26th
    rolled_up(datetime(2026, 11, 25, 18, tzinfo=UTC), bucket=9, slug="zerodha")
    rows = [("", 5), ("session_ended", None)]
    for error_code, time in rows:
        BrokerHealthLog.objects.create(
            broker_connection=alices["upstox"],
            status="CONNECTED",
            error_code=error_code,
            response_time_ms=time,
            checked_at=NOW - timedelta(minutes=10),
        )
    found = days.of("upstox", DAILY, now=NOW)
    assert [(day.on.day, day.checks, day.failures) for day in found] == [(24, 0, 0), (25, 10, 4), (26, 12, 1)]
    assert [day.uptime_pct for day in found] == [None, Decimal(50), Decimal(100)]
    assert found[0].p95_ms is None
    assert found[1].p50_ms is not None
    assert found[2].p95_ms is not None
    assert found[1].p50_ms < found[2].p95_ms


def day(number: int, p50: int | None, p95: int | None) -> Day:
    return Day(on=date(2026, 11, number), uptime_pct=None, checks=0, failures=0, p50_ms=p50, p95_ms=p95)


def test_days_without_a_measurement_are_gaps_and_a_lonely_one_is_a_dot() -> None:
    chart = days.chart([day(1, 50, 100), day(2, 50, 200), day(3, None, None), day(4, 20, 40)])
    assert chart is not None
    slowest, half = chart.curves
    assert (slowest.name, half.name, chart.highest_ms) == ("p95", "p50", 200)
    assert len(slowest.lines) == len(slowest.dots) == 1
    (first, second) = [tuple(map(int, point.split(","))) for point in slowest.lines[0].split()]
    assert first[0] < second[0] < slowest.dots[0][0] < WIDTH
    assert 0 < second[1] < first[1] < slowest.dots[0][1] < HEIGHT


def test_nothing_measured_is_no_picture() -> None:
    assert days.chart([day(1, None, None)]) is None
