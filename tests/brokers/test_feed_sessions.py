"""A session for prices alone, which ends alone: opened anew once, for all who read, and never by who is behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from django.db import OperationalError
from django.db import connection as database
from django.utils import timezone
from redis.exceptions import ConnectionError

from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import feed_sessions, reach, registry, services, sessions
from brokers.base import BrokerAuth
from brokers.domain import ConnectionStatus, Exchange, Listing, Session
from brokers.errors import (
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    FeedEnded,
    NotSupported,
    OutcomeUnknown,
    RequestRefused,
    UnexpectedResponse,
)
from brokers.models import BrokerApp, BrokerConnection
from brokers.secret import Secret
from brokers.shared import redis
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Deadline
from portfolio import services as portfolio_services
from tests.people import connect

pytestmark = pytest.mark.django_db(transaction=True)

SLUG = "iifl"
LOGIN = "POST /apimarketdata/auth/login"
INFY = Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="1594")


@pytest.fixture(autouse=True)
def turns() -> Iterator[None]:
    redis().flushdb()
    yield
    redis().flushdb()


@pytest.fixture
def account(alice: User, brokers: SimulatedBrokers) -> BrokerConnection:
    return connect(alice, SLUG, brokers)


def fresh(connection: BrokerConnection) -> BrokerConnection:
    return BrokerConnection.objects.select_related("user").get(pk=connection.pk)


def session_of(connection: BrokerConnection) -> Session:
    session = fresh(connection).session
    assert session is not None
    return session


def auth_of(connection: BrokerConnection) -> BrokerAuth:
    http = reach.transport_to(registry.load(SLUG), account="test")
    return registry.load(SLUG).auth(http, reach.app_credentials(connection.user, SLUG))


def elsewhere(connection: BrokerConnection, control: Control) -> None:
    """Another program logs in for prices with the same keys."""
    auth_of(connection).reopen_feed(session_of(connection))
    control.reset_counters()


def logins(control: Control) -> int:
    return control.counters(SLUG).get(LOGIN, 0)


def asked(connection: BrokerConnection) -> Decimal | None:
    """What the stored session is told of a price."""
    [quote] = reach.client_for(fresh(connection), now=timezone.now()).quotes([INFY])
    return quote.last_price


def turn_of(connection: BrokerConnection) -> str:
    return f"feed:{connection.pk}:{fresh(connection).session_number}:taken"


def wait_of(connection: BrokerConnection) -> int:
    return int(redis().ttl(turn_of(connection)))


def test_whoever_reads_finds_another_and_the_account_s_own_goes_on(account: BrokerConnection, control: Control) -> None:
    before, row = session_of(account), fresh(account)
    elsewhere(account, control)
    assert asked(account) is not None
    after, now = session_of(account), fresh(account)
    assert after == replace(before, feed_token=after.feed_token)
    assert after.feed_token != before.feed_token
    assert (now.session_number, now.session_began_at) == (row.session_number, row.session_began_at)
    assert (now.status, now.renewal_due_at, now.renewal_attempts) == (row.status, row.renewal_due_at, 0)
    assert (now.renewal_lease_until, now.version) == (None, row.version + 1)
    assert asked(account) is not None
    assert logins(control) == 1
    told = AuditEntry.objects.filter(event=Event.BROKER_RENEWED).latest("sequence")
    assert told.details == {"part": "prices"}


def test_of_many_that_notice_at_once_one_logs_in(account: BrokerConnection, control: Control) -> None:
    before = session_of(account)
    elsewhere(account, control)

    def notice(_: int) -> Session:
        try:
            return feed_sessions.reopened(account.pk, before, auth_of(account))
        finally:
            database.close()

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(notice, range(6)))
    assert {each.feed_token for each in found} == {session_of(account).feed_token}
    assert logins(control) == 1
    assert asked(account) is not None


def test_a_portfolio_has_its_prices_in_the_same_reading(
    alice: User, account: BrokerConnection, control: Control
) -> None:
    """Holdings and positions are read at the same time, and both lack their prices."""
    elsewhere(account, control)
    book = msgspec.json.decode(portfolio_services.refresh(alice, now=timezone.now()).include)
    assert {row["price_source"] for row in book["positions"]} == {SLUG}
    assert logins(control) == 1
    assert fresh(account).status == ConnectionStatus.CONNECTED


def test_a_reading_of_the_session_before_ends_no_newer_one(
    alice: User, account: BrokerConnection, control: Control, brokers: SimulatedBrokers
) -> None:
    """A login came while it read."""
    client = reach.client_for(fresh(account), now=timezone.now())
    connect(alice, SLUG, brokers)
    control.reset_counters()
    assert client.quotes([INFY])[0].last_price is not None
    assert logins(control) == 0
    assert asked(account) is not None


def test_where_it_never_opened_it_is_opened(account: BrokerConnection, control: Control) -> None:
    BrokerConnection.objects.filter(pk=account.pk).update(feed_token_encrypted=None)
    control.reset_counters()
    assert asked(account) is not None
    assert logins(control) == 1


# --- and where it cannot be had ---------------------------------------------------------------------------------------
def test_two_programs_with_the_same_keys_do_not_take_turns_by_the_second(
    account: BrokerConnection, control: Control
) -> None:
    elsewhere(account, control)
    assert asked(account) is not None
    elsewhere(account, control)
    with pytest.raises(FeedEnded) as ended:
        asked(account)
    assert (ended.value.connection_status, ended.value.retryable) == (None, True)
    assert logins(control) == 0
    assert 0 < wait_of(account) <= feed_sessions.BETWEEN_LOGINS.total_seconds()
    redis().delete(turn_of(account))
    assert asked(account) is not None
    assert wait_of(account) > feed_sessions.BETWEEN_LOGINS.total_seconds()


def test_keys_that_are_refused_leave_the_account_as_it_was(account: BrokerConnection, control: Control) -> None:
    elsewhere(account, control)
    app = BrokerApp.objects.get(user=account.user, broker_type=SLUG)
    app.extra_encrypted = Secret('{"market_api_key": "wrong", "market_api_secret": "wrong-too"}')
    app.save()
    before = fresh(account)
    for code in ("market_keys_refused", "feed_session_ended"):
        with pytest.raises(FeedEnded) as refused:
            asked(account)
        assert (refused.value.code, refused.value.connection_status) == (code, None)
    assert logins(control) == 1
    after = fresh(account)
    assert (after.status, after.version) == (before.status, before.version)


def test_keys_that_are_taken_away_are_not_tried(account: BrokerConnection, control: Control) -> None:
    """Prices then come from elsewhere, as the remedy says."""
    app = BrokerApp.objects.get(user=account.user, broker_type=SLUG)
    app.extra_encrypted = Secret("{}")
    app.save()
    control.reset_counters()
    with pytest.raises(NotSupported):
        asked(account)
    with pytest.raises(NotSupported):
        auth_of(account).reopen_feed(session_of(account))
    assert control.counters(SLUG) == {}


def test_an_outage_of_its_login_is_no_end_of_anything(account: BrokerConnection, control: Control) -> None:
    elsewhere(account, control)
    control.set_fault(SLUG, "server_error", path="/apimarketdata/auth")
    with pytest.raises(FeedEnded):
        asked(account)
    control.clear_faults(SLUG)
    assert 0 < wait_of(account) <= feed_sessions.BETWEEN_LOGINS.total_seconds()
    redis().delete(turn_of(account))
    assert asked(account) is not None


@pytest.mark.parametrize(
    ("error", "becomes", "waits"),
    [
        (BudgetSpent("Not now.", retry_after=1.0), BudgetSpent, False),
        (BrokerUnavailable("It is away."), FeedEnded, True),
        (OutcomeUnknown("Nobody knows."), FeedEnded, True),
        (CircuitOpen("Later.", retry_at=timezone.now()), CircuitOpen, False),
        (UnexpectedResponse("token", "is absent"), FeedEnded, True),
        (RequestRefused("No."), FeedEnded, True),
    ],
)
def test_what_was_never_sent_costs_no_turn(
    account: BrokerConnection, error: Exception, becomes: type[Exception], waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = auth_of(account)

    def fails(session: Session) -> Session:
        raise error

    monkeypatch.setattr(auth, "reopen_feed", fails)
    with pytest.raises(becomes):
        feed_sessions.reopened(account.pk, session_of(account), auth)
    assert (wait_of(account) > 0) is waits


def test_a_login_meanwhile_wins_and_its_prices_come_back(
    alice: User,
    account: BrokerConnection,
    control: Control,
    brokers: SimulatedBrokers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, auth = session_of(account), auth_of(account)
    log_in = auth.reopen_feed

    def late(session: Session) -> Session:
        connect(alice, SLUG, brokers)
        return log_in(session)

    monkeypatch.setattr(auth, "reopen_feed", late)
    with pytest.raises(FeedEnded):
        feed_sessions.reopened(account.pk, before, auth)
    control.reset_counters()
    assert session_of(account).access_token != before.access_token
    assert wait_of(account) < 0
    assert asked(account) is not None
    assert logins(control) == 1


def test_what_is_opened_for_an_account_that_was_disconnected_is_ended_at_the_broker(
    account: BrokerConnection, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, auth = session_of(account), auth_of(account)
    log_in = auth.reopen_feed
    opened = []

    def late(session: Session) -> Session:
        services.disconnect(fresh(account), now=timezone.now())
        opened.append(log_in(session))
        return opened[0]

    monkeypatch.setattr(auth, "reopen_feed", late)
    with pytest.raises(FeedEnded):
        feed_sessions.reopened(account.pk, before, auth)
    client = registry.load(SLUG).client(auth.http, auth.app, opened[0])
    with pytest.raises(FeedEnded):
        client.quotes([INFY])


def test_while_redis_is_away_nobody_logs_in(
    account: BrokerConnection, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> object:
        raise ConnectionError("away")

    elsewhere(account, control)
    monkeypatch.setattr(feed_sessions, "redis", away)
    with pytest.raises(FeedEnded):
        asked(account)
    assert logins(control) == 0


def test_while_the_database_is_away_nobody_logs_in(
    account: BrokerConnection, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Session:
        raise OperationalError("away")

    session, auth = session_of(account), auth_of(account)
    monkeypatch.setattr(feed_sessions, "_reopened", away)
    with pytest.raises(FeedEnded):
        feed_sessions.reopened(account.pk, session, auth)


def test_another_s_login_is_waited_for_within_the_time_there_is(account: BrokerConnection) -> None:
    session = session_of(account)
    http = reach.transport_to(registry.load(SLUG), Deadline(0.2), account="test")
    auth = registry.load(SLUG).auth(http, reach.app_credentials(account.user, SLUG))
    with redis().lock(f"feed:{account.pk}", timeout=20), pytest.raises(FeedEnded):
        feed_sessions.reopened(account.pk, session, auth)
    assert http.remaining() >= 0


def test_a_connection_that_is_gone_has_none(account: BrokerConnection, control: Control) -> None:
    before, auth = session_of(account), auth_of(account)
    BrokerConnection.objects.filter(pk=account.pk).delete()
    control.reset_counters()
    with pytest.raises(FeedEnded):
        feed_sessions.reopened(account.pk, before, auth)
    assert logins(control) == 0


class TestAfterAStreamsWord:
    def test_another_is_had(self, account: BrokerConnection, control: Control) -> None:
        elsewhere(account, control)
        assert sessions.reopen_feed(fresh(account), session_of(account), now=timezone.now())
        assert logins(control) == 1
        assert asked(account) is not None

    def test_an_account_that_is_over_gets_none(
        self, account: BrokerConnection, control: Control, brokers: SimulatedBrokers
    ) -> None:
        now = timezone.now()
        session = session_of(account)
        assert session.expires_at is not None
        control.reset_counters()
        sessions.reopen_feed(fresh(account), session, now=session.expires_at + timedelta(seconds=1))
        assert logins(control) == 0
        connect(account.user, SLUG, brokers)
        services.disconnect(fresh(account), now=now)
        control.reset_counters()
        sessions.reopen_feed(fresh(account), session, now=now)
        assert control.counters(SLUG) == {}

    def test_nor_one_that_a_login_has_ended_and_not_yet_replaced(
        self, account: BrokerConnection, control: Control
    ) -> None:
        """What that login brought for prices must not be ended from here."""
        old, http = session_of(account), reach.transport_to(registry.load(SLUG), account="test")
        new = registry.load(SLUG).auth(http, reach.app_credentials(account.user, SLUG)).refresh(old, now=timezone.now())
        control.reset_counters()
        assert sessions.reopen_feed(fresh(account), old, now=timezone.now())
        assert logins(control) == 0
        client = registry.load(SLUG).client(http, reach.app_credentials(account.user, SLUG), new)
        assert client.quotes([INFY])[0].last_price is not None

    def test_nor_one_whose_broker_wants_a_pause(self, account: BrokerConnection, control: Control) -> None:
        now = timezone.now()
        BrokerConnection.objects.filter(pk=account.pk).update(retry_after=now + timedelta(minutes=10))
        control.reset_counters()
        assert not sessions.reopen_feed(fresh(account), session_of(account), now=now)
        assert control.counters(SLUG) == {}

    def test_why_there_is_none_is_logged(
        self, account: BrokerConnection, control: Control, caplog: pytest.LogCaptureFixture
    ) -> None:
        redis().set(turn_of(account), 1)
        assert not sessions.reopen_feed(fresh(account), session_of(account), now=timezone.now())
        assert "feed_session_ended" in caplog.text
