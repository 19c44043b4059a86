"""Health checks: each due one once, a row per check, and the user is told of a change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from brokers import push, reach
from brokers import services as brokers_services
from brokers.base import BrokerClient
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError, BrokerUnavailable, BudgetSpent, CircuitOpen, NotSupported
from brokers.models import BrokerConnection, ConnectionChange
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.statuses import Actor
from brokers.transport import Deadline
from health import asking, services
from health.circuits import Circuits
from health.models import BrokerHealthLog, CheckSchedule, CheckType
from tests.people import SLUGS, connect, own_app, trader

NO_CIRCUITS = Circuits()

each_broker = pytest.mark.parametrize("slug", SLUGS)


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statuses that were pushed."""
    statuses: list[str] = []
    monkeypatch.setattr(push, "broker_status", lambda connection: statuses.append(connection.status))
    return statuses


def checked(now: datetime) -> int:
    """Everything that is due now, as one tick and its workers would do it."""
    services.enrol(now)
    return sum(services.check_chunk(ids, now=now) for ids in services.claim_chunks(now, NO_CIRCUITS))


def schedule(connection: BrokerConnection, check_type: CheckType = CheckType.SESSION) -> CheckSchedule:
    return CheckSchedule.objects.get(broker_connection=connection, check_type=check_type)


def make_due(*check_types: CheckType) -> None:
    """Only these are due now."""
    CheckSchedule.objects.update(due_at=None)
    CheckSchedule.objects.filter(check_type__in=check_types).update(due_at=timezone.now() - timedelta(seconds=1))


@each_broker
def test_a_new_connection_is_due_at_once(slug: str, alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    assert services.enrol(now) == 2
    assert services.enrol(now) == 0
    chunks = services.claim_chunks(now, NO_CIRCUITS)
    claimed = CheckSchedule.objects.filter(pk__in=[key for chunk in chunks for key in chunk])
    assert {row.check_type for row in claimed.filter(broker_connection=alices[slug])} == set(CheckType)
    assert services.claim_chunks(now, NO_CIRCUITS) == []
    alices[slug].refresh_from_db()
    assert alices[slug].next_health_check_at is None


@each_broker
def test_a_check_is_one_call_one_row_and_the_next_due_time(
    slug: str, alices: dict[str, BrokerConnection], control: Control, settings: Settings
) -> None:
    now = timezone.now()
    services.enrol(now)
    log = services.check(alices[slug].pk, now=now)
    assert log is not None
    assert sum(control.counters(slug).values()) == 1
    row = BrokerConnection.objects.get(pk=alices[slug].pk)
    assert (row.last_health_check, row.last_successful_call) == (now, now)
    due_at = schedule(row).due_at
    assert due_at is not None
    assert 0.8 <= (due_at - now).total_seconds() / settings.HEALTH_INTERVAL_SECONDS <= 1
    assert BrokerHealthLog.objects.get() == log
    assert (log.check_type, log.status, log.error_code, log.checked_at) == ("SESSION", "CONNECTED", "", now)
    assert log.response_time_ms is not None


@each_broker
def test_every_kind_of_check_is_made_and_logged(slug: str, alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    assert checked(now) == 8
    logs = BrokerHealthLog.objects.filter(broker_connection=alices[slug])
    assert {(log.check_type, log.status, log.error_code) for log in logs} == {
        (kind.value, "CONNECTED", "") for kind in CheckType
    }
    rows = CheckSchedule.objects.filter(broker_connection=alices[slug])
    assert {(row.last_status, row.last_checked_at, row.consecutive_failures) for row in rows} == {("CONNECTED", now, 0)}
    assert all(row.due_at is not None and row.due_at > now for row in rows)


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
    services.enrol(now)
    for number in range(2):  # the second time nothing has changed, and nobody is told again
        with django_capture_on_commit_callbacks(execute=True):
            log = services.check(alices[slug].pk, now=now + timedelta(seconds=number))
        if number and status == "TOKEN_EXPIRED":
            assert log is None  # there is no session left to check
            continue
        assert log is not None
        assert (log.status, log.error_code) == (status, code)
    assert pushed == [status]
    row = BrokerConnection.objects.get(pk=alices[slug].pk)
    assert (row.status, row.error_code) == (status, code)
    due_at = schedule(row).due_at
    if status == "TOKEN_EXPIRED":
        assert due_at is None  # until a login
    else:
        assert due_at is not None
        assert due_at <= now + timedelta(seconds=1 + settings.HEALTH_FAILING_INTERVAL_SECONDS * 2)
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
    assert services.enrol(timezone.now() + timedelta(seconds=1)) == 1
    assert {row.broker_connection for row in CheckSchedule.objects.all()} == {alices["upstox"]}
    services.check(alices["zerodha"].pk, now=timezone.now())  # claimed just before it ended
    assert control.counters("zerodha") == {}
    alices["zerodha"].refresh_from_db()
    assert alices["zerodha"].status == status


def test_what_is_gone_is_not_checked(db: None) -> None:
    assert services.check(uuid4(), now=timezone.now()) is None


@pytest.mark.parametrize("status", [ConnectionStatus.TOKEN_EXPIRED, ConnectionStatus.DISCONNECTED])
def test_what_ends_is_parked_until_the_next_login(
    status: ConnectionStatus, alice: User, alices: dict[str, BrokerConnection], brokers: SimulatedBrokers
) -> None:
    checked(timezone.now())
    brokers_services.change_status(
        alices["zerodha"], status, code="x", message="x", actor=Actor.CLOCK, now=timezone.now()
    )
    CheckSchedule.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    before = BrokerHealthLog.objects.count()
    assert checked(timezone.now()) == 4  # the other broker's
    assert BrokerHealthLog.objects.count() == before + 4
    assert not CheckSchedule.objects.filter(broker_connection=alices["zerodha"], due_at__isnull=False).exists()
    connect(alice, "zerodha", brokers)
    assert checked(timezone.now()) == 4


def test_the_end_of_a_session_is_the_clocks_to_tell(alices: dict[str, BrokerConnection], control: Control) -> None:
    """A check that comes a moment before the clock would call the known end a surprise."""
    now = timezone.now()
    services.enrol(now)
    BrokerConnection.objects.update(token_expires_at=now)
    assert checked(now) == 0
    assert sum(sum(control.counters(slug).values()) for slug in SLUGS) == 0
    assert set(BrokerConnection.objects.values_list("status", flat=True)) == {"CONNECTED"}


def test_a_broker_that_asked_for_a_pause_is_left_alone(alices: dict[str, BrokerConnection], control: Control) -> None:
    now = timezone.now()
    services.enrol(now)
    until = now + timedelta(minutes=3)
    BrokerConnection.objects.update(retry_after=until)
    assert checked(now) == 0
    assert BrokerHealthLog.objects.count() == 0
    assert sum(sum(control.counters(slug).values()) for slug in SLUGS) == 0
    for row in CheckSchedule.objects.all():
        assert row.due_at is not None
        assert until <= row.due_at <= until + services.SOON


# --- what checks say together -----------------------------------------------------------------------------------------
@each_broker
@pytest.mark.parametrize("check_type", [CheckType.QUOTES, CheckType.ORDERS])
@pytest.mark.parametrize("status", ["ERROR", "SUSPENDED", "RATE_LIMITED"])
def test_quotes_and_orders_do_not_make_the_status_flap(
    slug: str,
    check_type: CheckType,
    status: str,
    alices: dict[str, BrokerConnection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = timezone.now()
    failure = BrokerUnavailable("It fails.", connection_status=ConnectionStatus(status))
    monkeypatch.setitem(asking.READS, check_type, raising(failure))
    before = ConnectionChange.objects.count()
    for _ in range(3):
        assert checked(now) == 8
        CheckSchedule.objects.update(due_at=now)
    assert ConnectionChange.objects.count() == before
    alices[slug].refresh_from_db()
    assert alices[slug].status == "CONNECTED"
    row = schedule(alices[slug], check_type)
    assert (row.last_status, row.last_error_code, row.consecutive_failures) == (status, "broker_unavailable", 3)


@each_broker
def test_a_session_that_ended_is_believed_whoever_says_it(
    slug: str, alices: dict[str, BrokerConnection], control: Control
) -> None:
    services.enrol(timezone.now())
    make_due(CheckType.ORDERS)
    control.set_fault(slug, "expired_token")
    assert checked(timezone.now()) == 2
    alices[slug].refresh_from_db()
    assert alices[slug].status == "TOKEN_EXPIRED"


@each_broker
def test_a_session_that_answers_does_not_heal_what_cannot_be_read(
    slug: str, alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.enrol(timezone.now())
    make_due(CheckType.HOLDINGS)
    with monkeypatch.context() as patch:
        patch.setitem(asking.READS, CheckType.HOLDINGS, raising(BrokerUnavailable("Holdings fail.")))
        checked(timezone.now())
    for _ in range(3):
        make_due(CheckType.SESSION)
        checked(timezone.now())
        alices[slug].refresh_from_db()
        assert alices[slug].status == "ERROR"
    make_due(CheckType.HOLDINGS)
    checked(timezone.now())
    alices[slug].refresh_from_db()
    assert alices[slug].status == "CONNECTED"
    changes = ConnectionChange.objects.filter(broker_connection=alices[slug]).order_by("pk")
    assert [change.to_status for change in changes] == ["CONNECTED", "ERROR", "CONNECTED"]


def test_a_block_of_quotes_makes_the_session_be_asked_at_once_and_once(
    alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocked account shows at the session too; an app without the permission shows nowhere else."""
    checked(timezone.now())
    make_due(CheckType.QUOTES)
    CheckSchedule.objects.exclude(check_type=CheckType.QUOTES).update(due_at=timezone.now() + timedelta(hours=1))
    blocked = BrokerUnavailable("No quotes.", connection_status=ConnectionStatus.SUSPENDED)
    monkeypatch.setitem(asking.READS, CheckType.QUOTES, raising(blocked))
    checked(timezone.now())
    now = timezone.now()
    assert {row.check_type for row in CheckSchedule.objects.filter(due_at__lte=now)} == {"SESSION", "HOLDINGS"}
    CheckSchedule.objects.exclude(check_type=CheckType.QUOTES).update(due_at=now + timedelta(hours=1))
    CheckSchedule.objects.filter(check_type=CheckType.QUOTES).update(due_at=now)
    checked(now)
    assert not CheckSchedule.objects.filter(due_at__lte=now).exists()


def test_what_a_broker_does_not_offer_is_parked_and_no_failure(
    alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(asking.READS, CheckType.QUOTES, raising(NotSupported("No quotes here.")))
    assert checked(timezone.now()) == 6
    row = schedule(alices["zerodha"], CheckType.QUOTES)
    assert (row.due_at, row.consecutive_failures, row.last_error_code) == (None, 0, "not_supported")
    assert not BrokerHealthLog.objects.filter(check_type=CheckType.QUOTES).exists()


@pytest.mark.parametrize("kind", ["budget", "circuit"])
def test_a_refusal_of_our_own_measures_nothing(
    kind: str, alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    refusal: BrokerError = BudgetSpent("Not now.", retry_after=7.0)
    if kind == "circuit":
        refusal = CircuitOpen("Not now.", retry_at=now + timedelta(seconds=7))
    for check_type in CheckType:
        monkeypatch.setitem(asking.READS, check_type, raising(refusal))
    assert checked(now) == 0
    assert BrokerHealthLog.objects.count() == 0
    waits = [(row.due_at - now).total_seconds() for row in CheckSchedule.objects.all() if row.due_at]
    assert len(waits) == 8
    assert all(7 <= wait <= 9 for wait in waits)
    assert set(BrokerConnection.objects.values_list("status", "consecutive_failures")) == {("CONNECTED", 0)}


def test_a_broker_that_hangs_costs_one_deadline(
    alices: dict[str, BrokerConnection], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CHUNK_SECONDS", 1.0)
    monkeypatch.setattr(asking, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(asking, "THREADS_PER_BROKER", 1)
    asking.pool.cache_clear()
    control.set_fault("upstox", "latency", milliseconds=20_000)
    try:
        services.enrol(timezone.now())
        make_due(CheckType.SESSION, CheckType.HOLDINGS)
        BrokerConnection.objects.filter(broker_type="zerodha").delete()
        assert checked(timezone.now()) == 1
    finally:
        asking.pool.cache_clear()
    [log] = BrokerHealthLog.objects.all()
    assert (log.status, log.error_code) == ("ERROR", "broker_unavailable")
    waiting = CheckSchedule.objects.get(last_checked_at=None, due_at__isnull=False)
    assert waiting.consecutive_failures == 0  # there was no time to ask: that is no failure of the broker's


def test_a_mistake_of_ours_hides_nothing(
    alices: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(asking.READS, CheckType.ORDERS, raising(ZeroDivisionError()))
    assert checked(timezone.now()) == 8
    assert set(BrokerHealthLog.objects.exclude(error_code="").values_list("check_type", "error_code")) == {
        ("ORDERS", "unexpected_response")
    }
    assert "Checking ORDERS of zerodha failed" in caplog.text


# --- many -------------------------------------------------------------------------------------------------------------
def test_healthy_checks_cost_the_same_queries_however_many(
    alices: dict[str, BrokerConnection], brokers: SimulatedBrokers
) -> None:
    first = alices["zerodha"]
    alices["upstox"].delete()
    costs: list[int] = []
    for others in (0, 7):
        for number in range(others):
            user = trader(f"t{number}")
            own_app(user, "zerodha", brokers)
            first.pk, first.user, first.next_health_check_at = uuid4(), user, timezone.now()
            first.save(force_insert=True)
        services.enrol(timezone.now())
        CheckSchedule.objects.update(due_at=timezone.now())
        now = timezone.now()
        [chunk] = services.claim_chunks(now, NO_CIRCUITS)
        with CaptureQueriesContext(database) as queries:
            assert services.check_chunk(chunk, now=now) == 4 * (1 + others)
        costs.append(len(queries))
    assert not BrokerHealthLog.objects.exclude(error_code="").exists()
    assert costs[0] == costs[1] <= 12


def test_a_secret_that_no_key_reads_fails_only_its_own_connection(
    alices: dict[str, BrokerConnection], brokers: SimulatedBrokers
) -> None:
    other = connect(trader("bob"), "upstox", brokers)
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE broker_connections SET access_token_encrypted = 'junk' WHERE id = %s", [alices["upstox"].pk]
        )
    checked(timezone.now())
    rows = BrokerConnection.objects.without_secrets()
    assert {row.pk: row.error_code for row in rows} == {
        other.pk: "",
        alices["zerodha"].pk: "",
        alices["upstox"].pk: "secret_unreadable",
    }


def test_a_login_during_a_check_is_not_overwritten(
    alice: User, alices: dict[str, BrokerConnection], brokers: SimulatedBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    services.enrol(now)
    make_due(CheckType.SESSION)
    later = now + timedelta(seconds=1)
    [chunk] = [ids for ids in services.claim_chunks(now, NO_CIRCUITS) if is_of("upstox", ids)]
    tried = asking.try_all

    def and_a_login(*arguments: Any) -> Any:
        outcome = tried(*arguments)
        connect(alice, "upstox", brokers)
        services.enrol(timezone.now())
        return outcome

    monkeypatch.setattr(asking, "try_all", and_a_login)
    services.check_chunk(chunk, now=now)
    row = schedule(alices["upstox"])
    assert row.due_at is not None
    assert row.due_at < later + timedelta(seconds=5)
    assert row.last_checked_at is None


def test_the_profile_comes_back_from_the_threads(alices: dict[str, BrokerConnection]) -> None:
    now = timezone.now()
    services.enrol(now)
    rows = list(CheckSchedule.objects.filter(broker_connection=alices["zerodha"]))
    profiles = {row.check_type: measured.profile for row, measured in services._found(rows, now)}
    assert profiles["SESSION"] is not None
    assert profiles["SESSION"].account_id == alices["zerodha"].account_id
    assert profiles["HOLDINGS"] is None


def is_of(slug: str, ids: list[int]) -> bool:
    return CheckSchedule.objects.filter(pk__in=ids, broker_type=slug).exists()


def raising(error: Exception) -> Any:
    def read(client: BrokerClient) -> None:
        raise error

    return read


def test_waiting_for_our_own_budget_is_no_response_time(alice: User, brokers: SimulatedBrokers, governed: None) -> None:
    """Angel One allows one look at the holdings a second: the check that comes second waits, and says nothing of it."""
    connection = connect(alice, "angel_one", brokers)
    [client] = reach.clients_for([connection], deadline=Deadline(5), now=timezone.now()).values()
    assert isinstance(client, BrokerClient)
    client.holdings()
    [measured] = asking.try_all([(client, CheckType.HOLDINGS)], Deadline(5))
    assert measured is not None
    assert measured.error is None
    assert measured.milliseconds is not None
    assert measured.milliseconds < 700
