"""Incidents open and close by themselves, each exactly once, whoever consumes the changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers.domain import ConnectionStatus, Session
from brokers.errors import BrokerUnavailable, RequestRefused, SessionEnded
from brokers.models import BrokerConnection, ConnectionChange
from brokers.secret import Secret
from brokers.statuses import Actor
from health import incidents
from health.circuits import Circuits
from health.models import HealthCursor, Incident
from tests.health.test_claims import FakeCircuit, four_at_once

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
NO_CIRCUITS = Circuits()
DOWN = BrokerUnavailable("The broker cannot be reached.")


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


@pytest.fixture
def connection(alice: User) -> BrokerConnection:
    return BrokerConnection.objects.create(
        user=alice, broker_type="zerodha", account_id="A1", session_number=1, last_successful_call=NOW
    )


def ends(row: BrokerConnection, status: ConnectionStatus, actor: Actor, now: datetime) -> None:
    assert row.end_session(status, code="ended", message="It ended.", actor=actor, now=now)


def test_from_the_first_failure_to_the_next_success(connection: BrokerConnection) -> None:
    connection.record_failure(DOWN, later(2))
    assert incidents.consume_changes() == 1
    incident = Incident.objects.get()
    assert (incident.broker_connection, incident.broker_type, incident.kind) == (connection, "zerodha", "ERROR")
    assert (incident.error_code, incident.message) == ("broker_unavailable", "The broker cannot be reached.")
    assert (incident.opened_at, incident.closed_at, incident.seen_after_seconds) == (later(2), None, 120)
    connection.record_success(later(7))
    assert incidents.consume_changes() == 1
    incident.refresh_from_db()
    assert (incident.closed_at, incident.planned) == (later(7), False)
    assert incidents.consume_changes() == 0
    assert Incident.objects.count() == 1


def test_another_trouble_is_the_same_incident(connection: BrokerConnection) -> None:
    connection.record_failure(DOWN, later(1))
    incidents.consume_changes()
    blocked = RequestRefused("Blocked.", code="access_suspended", connection_status=ConnectionStatus.SUSPENDED)
    connection.record_failure(blocked, later(2))
    incidents.consume_changes()
    incident = Incident.objects.get()
    assert (incident.kind, incident.error_code, incident.opened_at) == ("SUSPENDED", "access_suspended", later(1))


def test_what_came_and_went_between_two_looks_is_there_too(connection: BrokerConnection) -> None:
    for number in range(3):
        connection.record_failure(DOWN, later(number * 10 + 1))
        connection.record_success(later(number * 10 + 2))
    connection.record_failure(DOWN, later(50))
    assert incidents.consume_changes() == 7
    found = list(Incident.objects.order_by("opened_at").values_list("opened_at", "closed_at"))
    assert found == [
        (later(1), later(2)),
        (later(11), later(12)),
        (later(21), later(22)),
        (later(50), None),
    ]


def test_one_may_close_and_the_next_open_between_two_looks(connection: BrokerConnection) -> None:
    connection.record_failure(DOWN, later(1))
    incidents.consume_changes()
    connection.record_success(later(2))
    connection.record_failure(DOWN, later(3))
    assert incidents.consume_changes() == 2
    found = list(Incident.objects.order_by("opened_at").values_list("opened_at", "closed_at"))
    assert found == [(later(1), later(2)), (later(3), None)]


@pytest.mark.parametrize(
    ("status", "actor"),
    [
        (ConnectionStatus.DISCONNECTED, Actor.TRADER),
        (ConnectionStatus.DISCONNECTED, Actor.SUPPORT),
        (ConnectionStatus.TOKEN_EXPIRED, Actor.CLOCK),
    ],
)
def test_an_end_that_was_wanted_or_known_is_none_and_closes_one(
    connection: BrokerConnection, status: ConnectionStatus, actor: Actor
) -> None:
    connection.record_failure(DOWN, later(1))
    incidents.consume_changes()
    ends(connection, status, actor, later(5))
    incidents.consume_changes()
    assert Incident.objects.get().closed_at == later(5)


def test_a_session_that_ended_early_is_one_until_the_login(connection: BrokerConnection) -> None:
    connection.record_failure(SessionEnded("The token is dead."), later(3))
    incidents.consume_changes()
    assert Incident.objects.get().kind == "TOKEN_EXPIRED"
    ConnectionChange.objects.create(
        broker_connection=connection,
        from_status="TOKEN_EXPIRED",
        to_status="CONNECTED",
        actor=Actor.TRADER,
        reason="Logged in again.",
        at=later(40),
    )
    incidents.consume_changes()
    assert Incident.objects.get().closed_at == later(40)


def test_a_session_that_ended_at_its_hour_is_none_whoever_saw_it(connection: BrokerConnection) -> None:
    BrokerConnection.objects.update(token_expires_at=later(3))
    connection.record_failure(SessionEnded("The token is dead."), later(3))
    incidents.consume_changes()
    assert not Incident.objects.exists()


@pytest.mark.parametrize(("lasts", "kinds"), [(3, []), (4, ["TOKEN_EXPIRED"])])
def test_a_login_before_anybody_looked_changes_nothing_of_that(
    connection: BrokerConnection, alice: User, lasts: float, kinds: list[str]
) -> None:
    """The new session's hour is another: what ended at its own had not ended early, and the other way round."""
    BrokerConnection.objects.update(token_expires_at=later(lasts))
    connection.refresh_from_db()
    connection.record_failure(SessionEnded("The token is dead."), later(3))
    again = Session(access_token=Secret("new"), expires_at=later(3 if kinds else 600))
    connection.begin_session(again, renewal_due_at=None, user=alice, now=later(3.5))
    incidents.consume_changes()
    assert [incident.kind for incident in Incident.objects.all()] == kinds


@pytest.mark.django_db(transaction=True)
def test_two_consumers_open_and_close_each_once(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "CHANGES_AT_A_TIME", 7)
    rows = BrokerConnection.objects.bulk_create(
        BrokerConnection(user=alice, broker_type="zerodha", account_id=str(number)) for number in range(40)
    )
    for number, row in enumerate(rows):
        row.record_failure(DOWN, later(1))
        if number % 2:
            row.record_success(later(2))

    def consume() -> int:
        consumed = 0
        for _ in range(200):
            consumed += incidents.consume_changes()
            if HealthCursor.objects.get(pk="changes").position == last:
                break
        return consumed

    last = ConnectionChange.objects.order_by("-pk").values_list("pk", flat=True)[0]
    assert sum(four_at_once(consume)) == 60
    assert Incident.objects.count() == 40
    assert Incident.objects.open().count() == 20


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_still_being_written_is_not_passed_over(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id is lower than one that is there already: who reads on past it would never see it."""
    monkeypatch.setattr(incidents, "LOCK_MILLISECONDS", 50)
    rows = BrokerConnection.objects.bulk_create(
        BrokerConnection(user=alice, broker_type="zerodha", account_id=str(number)) for number in range(2)
    )

    def fail_the_other_and_consume() -> int:
        try:
            rows[1].record_failure(DOWN, later(1))
            return incidents.consume_changes()
        finally:
            database.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            rows[0].record_failure(DOWN, later(1))
            assert threads.submit(fail_the_other_and_consume).result() == 0
        assert incidents.consume_changes() == 2
    assert Incident.objects.count() == 2


def test_there_is_only_one_open_incident(connection: BrokerConnection) -> None:
    facts: dict[str, Any] = {"broker_type": "zerodha", "opened_at": NOW}
    Incident.objects.create(**facts, kind="ERROR", broker_connection=connection)
    with pytest.raises(IntegrityError, match="uniq_open_incident_of_connection"), transaction.atomic():
        Incident.objects.create(**facts, kind="SUSPENDED", broker_connection=connection)
    Incident.objects.create(**facts, kind="WIDESPREAD")
    Incident.objects.create(**facts, kind="DATA_AWAY")
    Incident.objects.create(**facts, kind="WIDESPREAD", closed_at=NOW)
    with pytest.raises(IntegrityError, match="uniq_open_incident_of_broker"), transaction.atomic():
        Incident.objects.create(**facts, kind="WIDESPREAD")


# --- of brokers -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statuses", "widespread"),
    [
        (["ERROR"], True),  # all that there is
        (["CONNECTED"], False),
        (["ERROR", "CONNECTED"], False),  # one of two says nothing of the broker
        (["ERROR", "MAINTENANCE"], True),
        (["ERROR", "ERROR", "CONNECTED", "CONNECTED"], True),
        (["ERROR", "ERROR", "CONNECTED", "CONNECTED", "CONNECTED"], False),
        (["SUSPENDED", "SUSPENDED", "RATE_LIMITED"], False),  # the accounts' own affairs
        (["ERROR", "ERROR", "TOKEN_EXPIRED", "DISCONNECTED", "TOKEN_EXPIRED"], True),  # those cannot be asked
        ([], False),
    ],
)
def test_most_accounts_fail(alice: User, statuses: list[str], widespread: bool) -> None:
    for number, status in enumerate(statuses):
        BrokerConnection.objects.create(
            user=alice,
            broker_type="groww",
            account_id=str(number),
            status=status,
            error_code="circuit_open" if number % 2 else "broker_unavailable",
        )
    for minutes in (0, 1):
        incidents.watch(later(minutes), NO_CIRCUITS)
        found = Incident.objects.values_list("broker_type", "kind", "opened_at", "closed_at")
        assert list(found) == ([("groww", "WIDESPREAD", NOW, None)] if widespread else [])
    BrokerConnection.objects.update(status="CONNECTED")
    incidents.watch(later(5), NO_CIRCUITS)
    assert not Incident.objects.open().exists()
    assert set(Incident.objects.values_list("closed_at", flat=True)) <= {later(5)}


@pytest.mark.parametrize("code", ["broker_app_missing", "app_misconfigured", "ip_not_registered"])
def test_what_their_owners_must_mend_is_no_trouble_of_the_broker(code: str, alice: User) -> None:
    for number in range(2):
        BrokerConnection.objects.create(
            user=alice, broker_type="angel_one", account_id=str(number), status="ERROR", error_code=code
        )
    incidents.watch(NOW, NO_CIRCUITS)
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    ("kind", "incident", "tried"),
    [
        ("orders", "ORDERS_AWAY", False),
        ("data", "DATA_AWAY", True),
        ("portfolio", "PORTFOLIO_AWAY", True),
        ("session", "SESSION_AWAY", False),
    ],
)
def test_a_circuit_opens_an_incident_and_closes_it(alice: User, kind: str, incident: str, tried: bool) -> None:
    BrokerConnection.objects.create(user=alice, broker_type="fyers", account_id="1")
    away = FakeCircuit("fyers", kind=kind, opened_at=later(-1), retry_at=later(1))
    incidents.watch(NOW, Circuits([away]))
    half_open = FakeCircuit("fyers", kind=kind, state="half_open", opened_at=later(-1))
    incidents.watch(later(2), Circuits([half_open]))
    found = Incident.objects.get()
    assert (found.broker_type, found.kind, found.error_code) == ("fyers", incident, "circuit_open")
    assert (found.opened_at, found.closed_at, found.broker_connection) == (later(-1), None if tried else later(2), None)
    incidents.watch(later(3), Circuits([FakeCircuit("fyers", kind=kind, state="closed")]))
    found.refresh_from_db()
    assert found.closed_at == later(3 if tried else 2)  # whether logins work again, only a trader can find out


@pytest.mark.parametrize("status", ["TOKEN_EXPIRED", "DISCONNECTED"])
def test_what_nobody_can_try_is_not_said_to_be_down(alice: User, status: str) -> None:
    """A broker that failed before 06:00, when all sessions end: until somebody logs in nobody knows how it is."""
    incidents.watch(NOW, Circuits([FakeCircuit("fyers", opened_at=NOW, retry_at=later(1))]))
    BrokerConnection.objects.create(user=alice, broker_type="fyers", account_id="1", status=status)
    incidents.watch(later(2), Circuits([FakeCircuit("fyers", state="half_open", opened_at=NOW)]))
    assert Incident.objects.get().closed_at == later(2)


def test_a_known_maintenance_is_planned(alice: User, settings: Settings) -> None:
    settings.HEALTH_AROUND_THE_CLOCK = False
    for number in range(2):
        BrokerConnection.objects.create(user=alice, broker_type="upstox", account_id=str(number), status="MAINTENANCE")
    night = datetime.fromisoformat("2026-11-27T00:00:02+05:30")
    incidents.watch(night, NO_CIRCUITS)
    incidents.watch(night + timedelta(hours=5), NO_CIRCUITS)
    found = Incident.objects.get()  # and not a widespread one beside it
    assert (found.broker_type, found.kind, found.planned, found.closed_at) == ("upstox", "MAINTENANCE", True, None)
    BrokerConnection.objects.update(status="CONNECTED")
    morning = night + timedelta(hours=5, minutes=30)
    incidents.watch(morning, NO_CIRCUITS)
    found.refresh_from_db()
    assert found.closed_at == morning


@pytest.mark.django_db(transaction=True)
def test_two_watchers_open_one_incident(alice: User) -> None:
    BrokerConnection.objects.create(
        user=alice, broker_type="groww", account_id="1", status="ERROR", error_code="broker_unavailable"
    )
    now = timezone.now()
    four_at_once(lambda: incidents.watch_brokers(now, NO_CIRCUITS))
    assert Incident.objects.count() == 1
