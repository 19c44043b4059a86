"""Every change of a status leaves one row: from what, to what, why, by whom. Illegal ones do not happen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations

import pytest
from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from brokers.domain import ConnectionStatus, Session
from brokers.errors import BrokerUnavailable, RateLimited, RequestRefused, SessionEnded
from brokers.models import BrokerConnection, ConnectionChange
from brokers.secret import Secret
from brokers.statuses import ENTERED_FROM, READABLE_STATUSES, Actor

Status = ConnectionStatus
BY_CALLS = {
    Status.ERROR: BrokerUnavailable("It is down."),
    Status.MAINTENANCE: BrokerUnavailable("Closed.", connection_status=Status.MAINTENANCE),
    Status.RATE_LIMITED: RateLimited("Slower."),
    Status.SUSPENDED: RequestRefused("Blocked.", connection_status=Status.SUSPENDED),
    Status.TOKEN_EXPIRED: SessionEnded("Dead."),
}


@pytest.fixture
def connection(alice: User) -> BrokerConnection:
    return BrokerConnection.objects.create(
        user=alice, broker_type="zerodha", account_id="A1", access_token_encrypted=Secret("token"), session_number=1
    )


def in_status(connection: BrokerConnection, status: Status) -> BrokerConnection:
    BrokerConnection.objects.filter(pk=connection.pk).update(status=status)
    connection.refresh_from_db()
    return connection


def session(word: str = "new", **changed: object) -> Session:
    return Session(access_token=Secret(word), expires_at=timezone.now() + timedelta(hours=8), **changed)  # type: ignore[arg-type]


def attempt(connection: BrokerConnection, to: Status) -> bool:
    """What brings a connection there, whatever it is now."""
    now = timezone.now()
    if to is Status.CONNECTED:
        return connection.record_success(now)
    if to is Status.DISCONNECTED:
        return connection.end_session(to, code="disconnected", message="Bye.", actor=Actor.TRADER, now=now)
    return connection.record_failure(BY_CALLS[to], now)


@pytest.mark.parametrize(("before", "after"), list(permutations(Status, 2)))
def test_a_change_happens_with_its_row_or_not_at_all(
    connection: BrokerConnection, before: Status, after: Status
) -> None:
    in_status(connection, before)
    legal = before in ENTERED_FROM[after] and (before in READABLE_STATUSES or after is Status.DISCONNECTED)
    assert attempt(connection, after) is legal
    connection.refresh_from_db()
    assert connection.status == (after if legal else before)
    rows = list(ConnectionChange.objects.values_list("from_status", "to_status"))
    assert rows == ([(before, after)] if legal else [])


def test_the_row_says_why_and_by_whom(connection: BrokerConnection, alice: User) -> None:
    now = timezone.now()
    connection.record_failure(BY_CALLS[Status.ERROR], now)
    connection.end_session(
        Status.DISCONNECTED, code="disconnected", message="Enough.", actor=Actor.TRADER, user=alice, now=now
    )
    last, first = ConnectionChange.objects.all()
    assert (first.actor, first.error_code, first.reason) == (Actor.CALL, "broker_unavailable", "It is down.")
    assert (last.actor, last.error_code, last.reason, last.user) == (Actor.TRADER, "disconnected", "Enough.", alice)
    assert (first.at, last.at) == (now, now)


def test_the_status_says_since_when(connection: BrokerConnection) -> None:
    now = timezone.now()
    connection.record_failure(BY_CALLS[Status.ERROR], now)
    connection.record_failure(BY_CALLS[Status.ERROR], now + timedelta(seconds=5))
    connection.refresh_from_db()
    assert connection.status_since == now


def test_a_login_over_a_living_session_leaves_a_row_too(connection: BrokerConnection, alice: User) -> None:
    connection.begin_session(session(), renewal_due_at=None, user=alice, now=timezone.now())
    [row] = ConnectionChange.objects.all()
    assert (row.from_status, row.to_status, row.reason) == ("CONNECTED", "CONNECTED", "Logged in again.")
    assert connection.session_number == 2


@pytest.mark.django_db(transaction=True)
def test_many_who_see_the_same_failure_leave_one_row(connection: BrokerConnection) -> None:
    def fail(_: int) -> bool:
        try:
            return connection.record_failure(BY_CALLS[Status.ERROR], timezone.now())
        finally:
            database.close()

    with ThreadPoolExecutor(8) as threads:
        changed = list(threads.map(fail, range(24)))
    assert changed.count(True) == 1
    assert ConnectionChange.objects.count() == 1


def test_an_answer_of_an_older_session_does_not_heal_a_newer_one(connection: BrokerConnection, alice: User) -> None:
    now = timezone.now()
    older = BrokerConnection.objects.get(pk=connection.pk)
    connection.begin_session(session(), renewal_due_at=None, user=alice, now=now)
    connection.record_failure(BY_CALLS[Status.ERROR], now)
    assert not older.record_success(now)
    connection.refresh_from_db()
    assert connection.status == Status.ERROR


@pytest.mark.parametrize("status", sorted(set(BY_CALLS) - {Status.RATE_LIMITED}))
def test_a_failure_of_an_older_session_says_nothing_of_a_newer_one(
    connection: BrokerConnection, alice: User, status: Status
) -> None:
    now = timezone.now()
    older = BrokerConnection.objects.get(pk=connection.pk)
    connection.begin_session(session(), renewal_due_at=None, user=alice, now=now)
    assert not older.record_failure(BY_CALLS[status], now)
    connection.refresh_from_db()
    assert (connection.status, connection.consecutive_failures) == (Status.CONNECTED, 0)
    connection.record_failure(BY_CALLS[Status.SUSPENDED], now)
    assert not older.record_failure(BY_CALLS[status], now)
    connection.refresh_from_db()
    assert (connection.status, connection.consecutive_failures) == (Status.SUSPENDED, 1)


def test_a_pause_is_asked_of_the_account_whatever_its_session(connection: BrokerConnection, alice: User) -> None:
    now = timezone.now()
    older = BrokerConnection.objects.get(pk=connection.pk)
    connection.begin_session(session(), renewal_due_at=None, user=alice, now=now)
    assert older.record_failure(BY_CALLS[Status.RATE_LIMITED], now)
    connection.refresh_from_db()
    assert connection.status == Status.RATE_LIMITED


def test_what_was_well_is_noted_of_the_session_that_was_asked(connection: BrokerConnection, alice: User) -> None:
    began = timezone.now()
    older = BrokerConnection.objects.get(pk=connection.pk)
    connection.begin_session(session(), renewal_due_at=None, user=alice, now=began)
    later = began + timedelta(seconds=5)
    BrokerConnection.objects.record_health([older], later)
    connection.refresh_from_db()
    assert connection.last_successful_call == began
    BrokerConnection.objects.record_health([connection, older], later)
    connection.refresh_from_db()
    assert connection.last_successful_call == later


class TestRenewalOfTheRow:
    def test_only_one_may_claim_and_only_this_session(self, connection: BrokerConnection) -> None:
        now = timezone.now()
        assert [connection.claim_renewal(now), connection.claim_renewal(now)] == [True, False]
        assert connection.claim_renewal(now + timedelta(seconds=61))  # whoever held it is gone
        connection.session_number = 7
        assert not connection.claim_renewal(now + timedelta(hours=1))

    def test_tokens_are_replaced_at_once_and_absent_ones_kept(self, connection: BrokerConnection) -> None:
        connection.refresh_token_encrypted = Secret("old refresh")
        connection.save()
        now = timezone.now()
        assert connection.keep_renewed(session("a"), renewal_due_at=None, now=now)
        connection.refresh_from_db()
        assert (connection.access_token_encrypted, connection.refresh_token_encrypted) == (
            Secret("a"),
            Secret("old refresh"),
        )
        assert connection.keep_renewed(session("b", refresh_token=Secret("newer")), renewal_due_at=None, now=now)
        connection.refresh_from_db()
        assert (connection.session_number, connection.refresh_token_encrypted) == (3, Secret("newer"))
        assert connection.renewal_lease_until is None

    def test_a_trouble_meanwhile_does_not_lose_the_new_token(self, connection: BrokerConnection) -> None:
        now = timezone.now()
        renewing = BrokerConnection.objects.get(pk=connection.pk)
        connection.record_failure(BY_CALLS[Status.RATE_LIMITED], now)
        assert renewing.keep_renewed(session("a"), renewal_due_at=None, now=now)
        connection.refresh_from_db()
        assert (connection.status, connection.access_token_encrypted) == (Status.CONNECTED, Secret("a"))

    def test_a_login_meanwhile_wins(self, connection: BrokerConnection, alice: User) -> None:
        now = timezone.now()
        renewing = BrokerConnection.objects.get(pk=connection.pk)
        connection.begin_session(session("login"), renewal_due_at=None, user=alice, now=now)
        assert not renewing.keep_renewed(session("late"), renewal_due_at=None, now=now)
        connection.refresh_from_db()
        assert connection.access_token_encrypted == Secret("login")

    def test_a_disconnected_one_stays_wiped(self, connection: BrokerConnection) -> None:
        now = timezone.now()
        renewing = BrokerConnection.objects.get(pk=connection.pk)
        connection.end_session(Status.DISCONNECTED, code="disconnected", message="m", actor=Actor.TRADER, now=now)
        assert not renewing.keep_renewed(session("late"), renewal_due_at=None, now=now)
        connection.refresh_from_db()
        assert connection.session is None
