"""Who checks what: dispatchers share the due rows, a lost check comes round, an open circuit is respected."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection as database
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from health import circuits as circuit_module
from health import services, tasks
from health.circuits import Circuits
from health.models import BrokerHealthLog, CheckSchedule, CheckType
from tests.people import SLUGS

NO_CIRCUITS = Circuits()


@dataclass(frozen=True)
class FakeCircuit:
    broker_type: str
    kind: str = "portfolio"
    state: str = "open"
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str = "It fails."


def make_connections(user: User, number: int, now: datetime, slug: str = "zerodha") -> None:
    BrokerConnection.objects.bulk_create(
        BrokerConnection(user=user, broker_type=slug, account_id=f"{slug}{number}", next_health_check_at=now)
        for number in range(number)
    )


def four_at_once(work: Callable[[], Any]) -> list[Any]:
    """What four threads got, each with a database connection of its own."""
    start = Barrier(4)

    def run(_: int) -> Any:
        start.wait(timeout=20)
        try:
            return work()
        finally:
            database.close()

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(run, range(4)))


@pytest.mark.django_db(transaction=True)
def test_concurrent_dispatchers_share_the_due_rows(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four at once, over many batches: every connection is enrolled, and every row claimed, by exactly one of them."""
    monkeypatch.setattr(services, "CLAIM_AT_MOST", 37)
    monkeypatch.setattr(services, "ENROL_AT_MOST", 23)
    now = timezone.now()
    make_connections(alice, 200, now)
    assert sum(four_at_once(lambda: services.enrol(now))) == 200
    assert CheckSchedule.objects.count() == 800
    claimed = [key for chunks in four_at_once(lambda: services.claim_chunks(now, NO_CIRCUITS)) for ids in chunks
               for key in ids]  # fmt: skip
    assert len(claimed) == len(set(claimed)) == 800


@pytest.mark.django_db(transaction=True)
def test_a_chunk_that_several_workers_get_is_made_by_one(alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    services.enrol(now)
    chunk = services.claim_chunks(now, NO_CIRCUITS)[0]
    assert sorted(four_at_once(lambda: services.check_chunk(chunk, now=now))) == [0, 0, 0, 4]
    assert BrokerHealthLog.objects.count() == 4


def test_a_lost_check_comes_round_again(alices: dict[str, BrokerConnection], settings: Settings) -> None:
    now = timezone.now()
    services.enrol(now)
    claimed = sorted(services.claim_chunks(now, NO_CIRCUITS))
    later = now + timedelta(seconds=settings.HEALTH_INTERVAL_SECONDS)
    assert services.claim_chunks(later - timedelta(seconds=1), NO_CIRCUITS) == []
    assert sorted(services.claim_chunks(later, NO_CIRCUITS)) == claimed
    assert sum(services.check_chunk(ids, now=later) for ids in claimed) == 8


def test_a_check_that_was_taken_up_and_lost_comes_round_too(alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    services.enrol(now)
    [*chunks] = services.claim_chunks(now, NO_CIRCUITS)
    for ids in chunks:  # a worker that dies here
        CheckSchedule.objects.take(ids)
    assert sum(map(len, services.claim_chunks(now + services.lease(), NO_CIRCUITS))) == 8


# --- circuits ---------------------------------------------------------------------------------------------------------
def test_a_broker_whose_circuit_is_open_is_not_asked(alice: User) -> None:
    now = timezone.now()
    for slug in SLUGS:
        make_connections(alice, 10, now, slug)
    services.enrol(now)
    retry_at = now + timedelta(minutes=5)
    chunks = services.claim_chunks(now, Circuits([FakeCircuit("upstox", retry_at=retry_at)]))
    assert {row.broker_type for ids in chunks for row in CheckSchedule.objects.filter(pk__in=ids)} == {"zerodha"}
    held = CheckSchedule.objects.filter(broker_type="upstox")
    assert held.filter(held=True, lease_until=None).count() == 40
    due = [row.due_at for row in held if row.due_at is not None]
    assert retry_at <= min(due) < max(due) <= retry_at + services.SOON
    assert len(set(due)) == 40  # not all in one moment
    assert BrokerHealthLog.objects.count() == 0


def test_only_the_circuit_of_what_is_read_counts(alice: User) -> None:
    now = timezone.now()
    make_connections(alice, 1, now)
    services.enrol(now)
    orders = FakeCircuit("zerodha", kind="orders", retry_at=now + timedelta(minutes=5))
    closed = FakeCircuit("zerodha", state="closed")
    assert sum(map(len, services.claim_chunks(now, Circuits([orders, closed])))) == 4


def test_when_it_closes_all_resume_at_once(alice: User) -> None:
    now = timezone.now()
    make_connections(alice, 10, now)
    services.enrol(now)
    away = Circuits([FakeCircuit("zerodha", retry_at=now + timedelta(hours=1))])
    assert services.claim_chunks(now, away) == []
    soon = now + timedelta(seconds=30)
    assert services.claim_chunks(soon, away) == []
    assert services.claim_chunks(soon, NO_CIRCUITS) == []  # let go by this tick, each at a moment of its own
    assert sum(map(len, services.claim_chunks(soon + services.SOON, NO_CIRCUITS))) == 40
    assert not CheckSchedule.objects.filter(held=True).exists()


def test_one_probe_for_everybody_and_each_time_by_another(alice: User) -> None:
    now = timezone.now()
    make_connections(alice, 3, now)
    due = Circuits([FakeCircuit("zerodha", retry_at=now)], ["zerodha"])
    turns = []
    for number in range(4):
        cache.clear()
        [key] = services.claim_probes(now, due)
        assert services.claim_probes(now, due) == []  # another dispatcher at the same time
        BrokerConnection.objects.filter(pk=key).update(last_health_check=now + timedelta(seconds=number))
        turns.append(key)
    assert len(set(turns[:3])) == 3
    assert turns[3] == turns[0]


@pytest.mark.parametrize(
    "facts", [{"status": "TOKEN_EXPIRED"}, {"status": "DISCONNECTED"}, {"retry_after": 1}, {"token_expires_at": -1}]
)
def test_who_cannot_be_asked_is_no_probe(facts: dict[str, Any], alice: User) -> None:
    now = timezone.now()
    make_connections(alice, 1, now)
    BrokerConnection.objects.update(
        **{name: now + timedelta(minutes=value) if isinstance(value, int) else value for name, value in facts.items()}
    )
    cache.clear()
    assert services.claim_probes(now, Circuits([], ["zerodha"])) == []


def test_while_it_is_tried_the_others_wait(alice: User) -> None:
    now = timezone.now()
    make_connections(alice, 10, now)
    services.enrol(now)
    tried = Circuits([FakeCircuit("zerodha", state="half_open")])
    assert services.claim_chunks(now, tried) == []
    assert CheckSchedule.objects.filter(held=True, due_at__gt=now).count() == 40


def test_the_tick_sends_the_probe_and_nothing_else_to_that_broker(
    alices: dict[str, BrokerConnection], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks.check_chunk, "apply_async", lambda arguments, **options: tasks.check_chunk(*arguments))
    monkeypatch.setattr(tasks.check_connection, "apply_async", lambda arguments, **options: sent.append(arguments))
    retry_at = timezone.now() + timedelta(minutes=1)
    standing = Circuits([FakeCircuit("upstox", retry_at=retry_at)], ["upstox"])
    monkeypatch.setattr(circuit_module, "current", lambda now: standing)
    tasks.check_due()
    assert sum(control.counters("upstox").values()) == 0
    assert sent == [(str(alices["upstox"].pk),)]
    tasks.check_connection(*sent[0])
    assert sum(control.counters("upstox").values()) == 1
    assert {log.check_type for log in BrokerHealthLog.objects.filter(broker_connection=alices["upstox"])} == {
        CheckType.SESSION
    }


def test_in_a_known_maintenance_nobody_is_asked(alice: User, settings: Settings) -> None:
    settings.HEALTH_AROUND_THE_CLOCK = False
    night = datetime.fromisoformat("2026-11-26T02:00:00+05:30")
    for slug in SLUGS:
        make_connections(alice, 5, night, slug)
    services.enrol(night)
    assert sum(map(len, services.claim_chunks(night, NO_CIRCUITS))) == 20  # Zerodha's
    ends = datetime.fromisoformat("2026-11-26T05:30:00+05:30")
    due = [row.due_at for row in CheckSchedule.objects.filter(broker_type="upstox") if row.due_at is not None]
    assert len(due) == 20
    assert ends <= min(due) < max(due) <= ends + timedelta(minutes=1)


def test_a_connection_that_is_deleted_meanwhile_is_passed_over(
    alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    services.enrol(now)
    chunks = services.claim_chunks(now, NO_CIRCUITS)
    take = CheckSchedule.objects.take

    def and_delete(ids: list[int]) -> list[CheckSchedule]:
        rows = take(ids)
        BrokerConnection.objects.filter(pk__in=[row.broker_connection_id for row in rows]).delete()
        return rows

    monkeypatch.setattr(CheckSchedule.objects, "take", and_delete)
    assert sum(services.check_chunk(ids, now=now) for ids in chunks) == 0
    assert not BrokerHealthLog.objects.exists()


def test_chunks_are_of_one_broker_and_keep_connections_together(alice: User) -> None:
    now = timezone.now()
    BrokerConnection.objects.bulk_create(
        BrokerConnection(user=alice, broker_type=slug, account_id=str(number), next_health_check_at=now)
        for slug in SLUGS
        for number in range(30)
    )
    services.enrol(now)
    chunks = services.claim_chunks(now, NO_CIRCUITS)
    assert sorted(len(chunk) for chunk in chunks) == [24, 24, 48, 48, 48, 48]
    seen: set[object] = set()
    for chunk in chunks:
        rows = CheckSchedule.objects.filter(pk__in=chunk)
        assert len({row.broker_type for row in rows}) == 1
        connections = {row.broker_connection_id for row in rows}
        assert len(connections) * 4 == len(chunk)
        assert not connections & seen
        seen |= connections


def test_a_task_that_comes_twice_finds_nothing_to_do(alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    services.enrol(now)
    chunks = services.claim_chunks(now, NO_CIRCUITS)
    for _ in range(2):
        for chunk in chunks:
            services.check_chunk(chunk, now=now)
    assert BrokerHealthLog.objects.count() == 8


def test_the_tick_sends_ids_and_nothing_else(
    alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks.check_chunk, "apply_async", lambda arguments, **options: sent.append(arguments))
    tasks.check_due()
    ids = [ids for (ids,) in sent]
    assert sorted(key for chunk in ids for key in chunk) == sorted(CheckSchedule.objects.values_list("pk", flat=True))
    for (chunk,) in sent:
        tasks.check_chunk(chunk)
    assert BrokerHealthLog.objects.count() == 8
    tasks.check_connection(str(alices["zerodha"].pk))
    assert BrokerHealthLog.objects.count() == 9
