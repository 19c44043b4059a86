"""Hours are exact, the same however often they are made, and never lost by pruning."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from brokers.models import BrokerConnection
from health import rollups, tallies
from health.latency import BOUNDS, LONGEST_MS, RATIO, middle, percentile
from health.models import BrokerHealthLog, BrokerRollup, CheckType, HealthCursor, HealthRollup

START = datetime(2026, 11, 26, 3, tzinfo=UTC)
NOW = START + timedelta(hours=5, minutes=30)


@pytest.fixture
def connections(alice: User, bob: User) -> list[BrokerConnection]:
    return [
        BrokerConnection.objects.create(user=user, broker_type=slug, account_id="A1")
        for user, slug in ((alice, "zerodha"), (alice, "upstox"), (bob, "zerodha"))
    ]


def fill(connections: list[BrokerConnection], hours: int = 6, per_hour: int = 60) -> list[BrokerHealthLog]:
    """Checks that succeed, fail and hang, spread over the hours from START."""
    chance = random.Random(7)  # noqa: S311 - the same each time
    logs = []
    for connection in connections:
        for number in range(hours * per_hour):
            code = chance.choice(["", "", "", "", "broker_unavailable", "broker_rate_limited"])
            logs.append(
                BrokerHealthLog(
                    broker_connection=connection,
                    check_type=chance.choice(list(CheckType)),
                    status="ERROR" if code else "CONNECTED",
                    error_code=code,
                    response_time_ms=chance.choice([None, 0, 1, round(chance.lognormvariate(4, 1.5))]),
                    checked_at=START + timedelta(hours=number / per_hour),
                )
            )
    return BrokerHealthLog.objects.bulk_create(logs)


def everything() -> list[tuple[Any, ...]]:
    names = ("check_type", "hour", "checks", "failures", "errors", "latencies")
    return [
        *HealthRollup.objects.order_by("broker_connection", "check_type", "hour").values_list(*names),
        *BrokerRollup.objects.order_by("broker_type", "check_type", "hour").values_list(*names),
    ]


def test_an_hour_tells_what_its_checks_told(connections: list[BrokerConnection]) -> None:
    logs = fill(connections)
    assert rollups.roll_up(NOW) == 5  # the sixth is still running
    assert rollups.rolled_up_until() == START + timedelta(hours=5)
    hour = START + timedelta(hours=2)
    for row in HealthRollup.objects.filter(hour=hour):
        mine = [
            log
            for log in logs
            if log.broker_connection_id == row.broker_connection_id
            and log.check_type == row.check_type
            and hour <= log.checked_at < hour + timedelta(hours=1)
        ]
        assert row.checks == len(mine) > 0
        assert row.errors == Counter(log.error_code for log in mine if log.error_code)
        assert row.failures == sum(row.errors.values())
        times = [log.response_time_ms for log in mine if not log.error_code and log.response_time_ms is not None]
        assert sum(row.latencies.values()) == len(times)
    whole = [log for log in logs if log.checked_at < START + timedelta(hours=5)]
    assert sum(row.checks for row in HealthRollup.objects.all()) == len(whole)
    assert sum(row.checks for row in BrokerRollup.objects.filter(broker_type="zerodha")) == sum(
        log.broker_connection_id != connections[1].pk for log in whole
    )


def test_again_gives_the_same(connections: list[BrokerConnection]) -> None:
    fill(connections)
    rollups.roll_up(NOW)
    before = everything()
    assert rollups.roll_up(NOW) == 0
    for number in range(5):
        rollups.roll_up_hour(START + timedelta(hours=number))
    assert everything() == before


def test_an_hour_waits_for_who_is_still_writing(connections: list[BrokerConnection]) -> None:
    fill(connections, hours=1)
    over = START + timedelta(hours=1)
    assert rollups.roll_up(over + rollups.GRACE - timedelta(seconds=1)) == 0
    assert rollups.roll_up(over + rollups.GRACE) == 1


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_rollups_and_the_running_hour_together_are_the_whole(connections: list[BrokerConnection], share: float) -> None:
    logs = fill(connections)
    rollups.roll_up(NOW)
    key = connections[0].pk
    tally = tallies.summed(tallies.counted(tallies.connections([key]), since=START, until=NOW)[key])
    mine = [log for log in logs if log.broker_connection_id == key and log.checked_at < NOW]
    assert tally.checks == len(mine)
    assert tally.failures == sum(bool(log.error_code) for log in mine)
    assert tally.errors == Counter(log.error_code for log in mine if log.error_code)
    times = sorted(log.response_time_ms for log in mine if not log.error_code and log.response_time_ms is not None)
    exact = times[ceil(len(times) * share) - 1]
    found = tally.percentile(share)
    assert found is not None
    assert exact / sqrt(RATIO) - 1 <= found <= exact * sqrt(RATIO) + 1
    by_broker = tallies.counted(tallies.brokers(), since=START, until=NOW)
    assert tallies.summed(by_broker["upstox"]).checks == 330
    all_hours = {START + timedelta(hours=number) for number in range(6)}
    assert tallies.hours(tallies.connections([key]), since=START, until=NOW) == {key: all_hours}
    assert tallies.hours(tallies.brokers(), since=START + timedelta(hours=2), until=NOW)["zerodha"] == {
        hour for hour in all_hours if hour >= START + timedelta(hours=2)
    }


def test_nothing_is_pruned_before_it_is_rolled_up(connections: list[BrokerConnection], settings: Settings) -> None:
    settings.HEALTH_RAW_DAYS = 1
    logs = fill(connections)
    much_later = NOW + timedelta(days=10)
    assert rollups.prune(much_later) == 0
    HealthCursor.objects.create(name=HealthCursor.ROLLED_UP, at=START)
    HealthCursor.objects.filter(name=HealthCursor.ROLLED_UP).update(at=START + timedelta(hours=2))
    pruned = rollups.prune(much_later)
    assert pruned == sum(log.checked_at < START + timedelta(hours=2) for log in logs)
    assert BrokerHealthLog.objects.count() == len(logs) - pruned


def test_raw_checks_stay_their_days_and_hours_stay_for_good(
    connections: list[BrokerConnection], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEALTH_RAW_DAYS = 1
    monkeypatch.setattr(rollups, "PRUNED_AT_A_TIME", 50)
    logs = fill(connections)
    rollups.roll_up(NOW + timedelta(days=1))
    before = everything()
    assert rollups.prune(START + timedelta(days=1, hours=1, minutes=59)) == 180  # one hour of three connections
    assert not BrokerHealthLog.objects.filter(checked_at__lt=START + timedelta(hours=1)).exists()
    assert BrokerHealthLog.objects.count() == len(logs) - 180
    rollups.roll_up_hour(START)  # somebody makes the pruned hour again
    assert everything() == before
    rollups.prune(NOW + timedelta(days=5))
    assert BrokerHealthLog.objects.count() == 0
    assert everything() == before
    tally = tallies.summed(tallies.counted(tallies.brokers(), since=START, until=NOW)["zerodha"])
    assert tally.checks == 720


def test_a_batch_is_not_endless(connections: list[BrokerConnection], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "PRUNED_AT_A_TIME", 10)
    monkeypatch.setattr(rollups, "PRUNES_AT_A_TIME", 3)
    fill(connections)
    rollups.roll_up(NOW)
    assert rollups.prune(NOW + timedelta(days=100)) == 30


# --- buckets ----------------------------------------------------------------------------------------------------------
def test_buckets_grow_by_the_documented_ratio() -> None:
    assert BOUNDS[0] == 1
    assert BOUNDS[-1] >= LONGEST_MS
    assert all(high / low == pytest.approx(RATIO) for low, high in pairwise(BOUNDS))


def bucket_of(time: int) -> int:
    """As PostgreSQL's width_bucket: how many bounds are not above it."""
    return sum(bound <= time for bound in BOUNDS)


@settings(derandomize=True)
@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_a_percentile_is_off_by_its_bucket_at_most(times: list[int], share: float) -> None:
    exact = sorted(times)[ceil(len(times) * share) - 1]
    found = percentile(Counter(map(bucket_of, times)), share)
    assert found is not None
    assert exact / sqrt(RATIO) - 1 <= found <= exact * sqrt(RATIO) + 1


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None
    assert middle(len(BOUNDS)) == round(BOUNDS[-1])


def test_more_can_be_pruned_in_a_day_than_is_written(settings: Settings) -> None:
    """operations.md: some 2,700 rows for each connection on a working day."""
    runs = timedelta(days=1) / settings.CELERY_BEAT_SCHEDULE["prune-health"]["schedule"]
    assert runs * rollups.PRUNES_AT_A_TIME * rollups.PRUNED_AT_A_TIME > 2 * 10_000 * 2700
