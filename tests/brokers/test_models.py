"""What happens to a row: each change of state is one UPDATE that tells whether it changed anything."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from brokers.domain import ConnectionStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    NotSupported,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.models import BrokerConnection
from brokers.secret import Secret
from brokers.statuses import Actor

UNREADABLE = {ConnectionStatus.DISCONNECTED, ConnectionStatus.TOKEN_EXPIRED}


@pytest.fixture
def connection(alice: User) -> BrokerConnection:
    return BrokerConnection.objects.create(
        user=alice, broker_type="zerodha", account_id="A1", access_token_encrypted=Secret("token")
    )


def in_status(connection: BrokerConnection, status: ConnectionStatus) -> BrokerConnection:
    BrokerConnection.objects.filter(pk=connection.pk).update(status=status)
    connection.refresh_from_db()
    return connection


def limited(seconds: float) -> RateLimited:
    error = RateLimited("x")
    error.retry_after = seconds
    return error


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (BrokerUnavailable("x"), ConnectionStatus.ERROR),
            (BrokerUnavailable("x", connection_status=ConnectionStatus.MAINTENANCE), ConnectionStatus.MAINTENANCE),
            (RateLimited("x"), ConnectionStatus.RATE_LIMITED),
            (SessionEnded("x"), ConnectionStatus.TOKEN_EXPIRED),
            (UnexpectedResponse("field"), ConnectionStatus.ERROR),
            (RequestRefused("x", connection_status=ConnectionStatus.SUSPENDED), ConnectionStatus.SUSPENDED),
        ],
    )
    def test_the_class_of_the_error_names_the_status(
        self, connection: BrokerConnection, error: BrokerError, status: ConnectionStatus
    ) -> None:
        now = timezone.now()
        assert connection.record_failure(error, now) is True
        connection.refresh_from_db()
        assert (connection.status, connection.error_code) == (status, error.code)
        assert (connection.error_message, connection.consecutive_failures) == (error.message, 1)

    @pytest.mark.parametrize("error", [RequestRefused("no"), NotSupported("no")])
    def test_some_errors_say_nothing_of_the_connection(self, connection: BrokerConnection, error: BrokerError) -> None:
        assert connection.record_failure(error, timezone.now()) is False
        connection.refresh_from_db()
        assert (connection.status, connection.consecutive_failures) == (ConnectionStatus.CONNECTED, 0)

    def test_failures_are_counted_but_only_the_first_is_a_change(self, connection: BrokerConnection) -> None:
        changes = [connection.record_failure(BrokerUnavailable("x"), timezone.now()) for _ in range(3)]
        assert changes == [True, False, False]
        connection.refresh_from_db()
        assert (connection.consecutive_failures, connection.version) == (3, 1)

    def test_the_first_success_heals(self, connection: BrokerConnection) -> None:
        now = timezone.now()
        connection.record_failure(limited(5), now)
        assert [connection.record_success(now + timedelta(seconds=6)) for _ in range(2)] == [True, False]
        connection.refresh_from_db()
        assert connection.status == ConnectionStatus.CONNECTED
        assert (connection.error_code, connection.error_message, connection.retry_after) == ("", "", None)
        assert (connection.consecutive_failures, connection.last_successful_call) == (0, now + timedelta(seconds=6))

    @pytest.mark.parametrize("later", [RateLimited("x"), limited(5), BrokerUnavailable("x"), UnexpectedResponse("x")])
    def test_a_pause_is_never_shortened_by_what_fails_later(
        self, connection: BrokerConnection, later: BrokerError
    ) -> None:
        now = timezone.now()
        connection.record_failure(limited(60), now)
        connection.record_failure(later, now + timedelta(seconds=1))
        connection.refresh_from_db()
        assert connection.retry_after == now + timedelta(seconds=60)
        assert connection.consecutive_failures == 2

    def test_a_longer_pause_takes_its_place(self, connection: BrokerConnection) -> None:
        now = timezone.now()
        connection.record_failure(limited(5), now)
        connection.record_failure(limited(60), now)
        connection.refresh_from_db()
        assert connection.retry_after == now + timedelta(seconds=60)

    @pytest.mark.parametrize("status", sorted(UNREADABLE))
    def test_what_has_ended_learns_nothing_more(self, connection: BrokerConnection, status: ConnectionStatus) -> None:
        in_status(connection, status)
        assert connection.record_success(timezone.now()) is False
        assert connection.record_failure(BrokerUnavailable("x"), timezone.now()) is False
        connection.refresh_from_db()
        assert (connection.status, connection.consecutive_failures) == (status, 0)
        assert connection.last_successful_call is None


class TestEnding:
    def test_expiry_keeps_the_token_and_disconnecting_wipes_it(self, connection: BrokerConnection) -> None:
        assert connection.end_session(
            ConnectionStatus.TOKEN_EXPIRED, code="session_ended", message="m", actor=Actor.CLOCK, now=timezone.now()
        )
        connection.refresh_from_db()
        assert connection.access_token_encrypted is not None
        assert connection.end_session(
            ConnectionStatus.DISCONNECTED, code="disconnected", message="m", actor=Actor.CLOCK, now=timezone.now()
        )
        connection.refresh_from_db()
        assert connection.session is None

    def test_it_happens_once(self, connection: BrokerConnection) -> None:
        ended = [
            connection.end_session(
                ConnectionStatus.DISCONNECTED, code="disconnected", message="m", actor=Actor.CLOCK, now=timezone.now()
            )
            for _ in range(2)
        ]
        assert ended == [True, False]

    def test_a_disconnected_one_does_not_expire(self, connection: BrokerConnection) -> None:
        connection.end_session(
            ConnectionStatus.DISCONNECTED, code="disconnected", message="m", actor=Actor.CLOCK, now=timezone.now()
        )
        assert not connection.end_session(
            ConnectionStatus.TOKEN_EXPIRED, code="session_ended", message="m", actor=Actor.CLOCK, now=timezone.now()
        )


class TestQuerySets:
    @pytest.mark.parametrize("status", ConnectionStatus)
    def test_the_book_is_everything_the_trader_did_not_end(
        self, connection: BrokerConnection, status: ConnectionStatus
    ) -> None:
        in_status(connection, status)
        assert BrokerConnection.objects.active().exists() == (status != ConnectionStatus.DISCONNECTED)

    @pytest.mark.parametrize("status", ConnectionStatus)
    def test_only_what_can_be_asked_is_due(self, connection: BrokerConnection, status: ConnectionStatus) -> None:
        now = timezone.now()
        BrokerConnection.objects.update(next_health_check_at=now, token_expires_at=now, status=status)
        assert BrokerConnection.objects.due_for_check(now).exists() == (status not in UNREADABLE)
        assert not BrokerConnection.objects.due_for_check(now - timedelta(seconds=1)).exists()
        assert BrokerConnection.objects.past_their_end(now).exists() == (status not in UNREADABLE)
        assert not BrokerConnection.objects.past_their_end(now - timedelta(seconds=1)).exists()


class TestConstraints:
    def test_one_row_per_account(self, connection: BrokerConnection, bob: User) -> None:
        BrokerConnection.objects.create(user=bob, broker_type="zerodha", account_id="A1")
        with pytest.raises(IntegrityError, match="uniq_broker_connection"), transaction.atomic():
            BrokerConnection.objects.create(user=connection.user, broker_type="zerodha", account_id="A1")

    def test_no_status_but_the_seven(self, connection: BrokerConnection) -> None:
        assert len(ConnectionStatus) == 7
        with pytest.raises(IntegrityError, match="broker_connection_status_is_known"), transaction.atomic():
            BrokerConnection.objects.update(status="SLEEPING")


@pytest.mark.parametrize(
    ("table", "indexes"),
    [
        ("broker_connections", {"idx_broker_connections_user_id", "idx_broker_connections_status"}),
        ("consolidated_positions", {"idx_consolidated_positions_user_id"}),
        ("broker_position_breakdown", {"idx_broker_position_breakdown_consolidated_id"}),
        ("oauth_states", {"idx_oauth_states_expires_at"}),
        ("broker_health_logs", {"idx_broker_health_logs_connection_id", "idx_broker_health_logs_checked_at"}),
    ],
)
def test_the_specifications_tables_and_indexes_exist(table: str, indexes: set[str], db: None) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", [table])
        assert indexes <= {name for (name,) in cursor.fetchall()}
