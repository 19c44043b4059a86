"""Health checks: each due connection once, a row per check, and the user is told of a change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection as database
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from brokers import push
from brokers import services as brokers_services
from brokers.domain import ConnectionStatus
from brokers.models import Actor, BrokerConnection
from brokers.simulation.control import Control
from health import services, tasks
from health.models import BrokerHealthLog
from tests.people import SLUGS

each_broker = pytest.mark.parametrize("slug", SLUGS)


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statuses that were pushed."""
    statuses: list[str] = []
    monkeypatch.setattr(push, "broker_status", lambda connection: statuses.append(connection.status))
    return statuses


@each_broker
def test_a_new_connection_is_due_at_once(slug: str, alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    assert alices[slug].pk in services.claim_due(now)
    assert services.claim_due(now) == []


@each_broker
def test_a_check_is_one_call_one_row_and_the_next_due_time(
    slug: str, alices: dict[str, BrokerConnection], control: Control, settings: Settings
) -> None:
    now = timezone.now()
    log = services.check(alices[slug].pk, now=now)
    assert log is not None
    assert sum(control.counters(slug).values()) == 1
    row = BrokerConnection.objects.get(pk=alices[slug].pk)
    assert (row.last_health_check, row.last_successful_call) == (now, now)
    assert row.next_health_check_at == now + timedelta(seconds=settings.HEALTH_INTERVAL_SECONDS)
    assert BrokerHealthLog.objects.get() == log
    assert (log.check_type, log.status, log.error_code, log.checked_at) == ("SESSION", "CONNECTED", "", now)
    assert log.response_time_ms is not None


@each_broker
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("down", "ERROR", "broker_unavailable"),
        ("malformed_body", "ERROR", "unexpected_response"),
        ("maintenance", "MAINTENANCE", "broker_maintenance"),
        ("rate_limit", "RATE_LIMITED", "broker_rate_limited"),
        ("expired_token", "TOKEN_EXPIRED", "session_ended"),
    ],
)
def test_a_failure_is_logged_told_and_looked_at_sooner(
    slug: str,
    fault: str,
    status: str,
    code: str,
    alices: dict[str, BrokerConnection],
    control: Control,
    settings: Settings,
    pushed: list[str],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    if (slug, fault) == ("upstox", "maintenance"):
        control.set_fault(slug, fault, format="html")  # its own words for it belong to single services
    else:
        control.set_fault(slug, fault)
    now = timezone.now()
    for number in range(2):  # the second time nothing has changed, and nobody is told again
        with django_capture_on_commit_callbacks(execute=True):
            log = services.check(alices[slug].pk, now=now + timedelta(seconds=number))
        assert log is not None
        assert (log.status, log.error_code) == (status, code)
    assert pushed == [status]
    row = BrokerConnection.objects.get(pk=alices[slug].pk)
    assert (row.status, row.error_code) == (status, code)
    assert row.next_health_check_at == now + timedelta(seconds=1 + settings.HEALTH_FAILING_INTERVAL_SECONDS)
    assert row.last_successful_call < row.last_health_check


@each_broker
def test_it_heals_by_itself(
    slug: str,
    alices: dict[str, BrokerConnection],
    control: Control,
    pushed: list[str],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    control.set_fault(slug, "down")
    services.check(alices[slug].pk, now=timezone.now())
    control.clear_faults(slug)
    with django_capture_on_commit_callbacks(execute=True):
        services.check(alices[slug].pk, now=timezone.now())
    assert pushed == ["CONNECTED"]
    assert list(BrokerHealthLog.objects.order_by("id").values_list("status", flat=True)) == ["ERROR", "CONNECTED"]
    alices[slug].refresh_from_db()
    assert (alices[slug].status, alices[slug].consecutive_failures) == ("CONNECTED", 0)


@pytest.mark.parametrize("status", [ConnectionStatus.TOKEN_EXPIRED, ConnectionStatus.DISCONNECTED])
def test_what_has_ended_is_not_checked(
    status: ConnectionStatus, alices: dict[str, BrokerConnection], control: Control
) -> None:
    brokers_services.change_status(
        alices["zerodha"], status, code="x", message="x", actor=Actor.CLOCK, now=timezone.now()
    )
    assert services.claim_due(timezone.now() + timedelta(days=1)) == [alices["upstox"].pk]
    services.check(alices["zerodha"].pk, now=timezone.now())  # claimed just before it ended
    assert control.counters("zerodha") == {}
    alices["zerodha"].refresh_from_db()
    assert alices["zerodha"].status == status


def test_what_is_gone_is_not_checked(db: None) -> None:
    assert services.check(uuid4(), now=timezone.now()) is None


@pytest.mark.django_db(transaction=True)
def test_concurrent_claimers_share_the_due_ones(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four at once, over several batches: every connection is claimed by exactly one of them."""
    monkeypatch.setattr(services, "CLAIM_AT_MOST", 25)
    now = timezone.now()
    rows = BrokerConnection.objects.bulk_create(
        BrokerConnection(user=alice, broker_type="zerodha", account_id=str(number), next_health_check_at=now)
        for number in range(200)
    )
    start = Barrier(4)

    def claim_all(_: int) -> list[UUID]:
        claimed: list[UUID] = []
        start.wait(timeout=5)
        try:
            while batch := services.claim_due(now):
                claimed += batch
        finally:
            database.close()
        return claimed

    with ThreadPoolExecutor(4) as threads:
        claimed = [key for keys in threads.map(claim_all, range(4)) for key in keys]
    assert len(claimed) == len(set(claimed)) == 200
    assert set(claimed) == {row.pk for row in rows}


def test_a_lost_check_comes_round_again(alices: dict[str, BrokerConnection], settings: Settings) -> None:
    now = timezone.now()
    claimed = set(services.claim_due(now))
    later = now + timedelta(seconds=settings.HEALTH_INTERVAL_SECONDS)
    assert services.claim_due(later - timedelta(seconds=1)) == []
    assert set(services.claim_due(later)) == claimed


def test_the_tick_sends_ids_and_nothing_else(
    alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks.check_connection, "apply_async", lambda arguments, **options: sent.append(arguments))
    tasks.check_due()
    assert sorted(sent) == sorted((str(row.pk),) for row in alices.values())
    tasks.check_connection(str(alices["zerodha"].pk))
    assert BrokerHealthLog.objects.count() == 1
