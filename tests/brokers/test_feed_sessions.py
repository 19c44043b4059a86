"""A session for prices alone, which ends alone: opened anew once, for everybody, and never by who is behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection as database
from django.utils import timezone
from redis.exceptions import ConnectionError

from accounts.models import User
from brokers import reach, registry, sessions
from brokers.domain import AppCredentials, ConnectionStatus, Exchange, Listing, Session
from brokers.errors import FeedEnded
from brokers.models import BrokerApp, BrokerConnection
from brokers.secret import Secret
from brokers.shared import redis
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from portfolio import services as portfolio_services
from tests.people import connect

SLUG = "iifl"
LOGIN = "POST /apimarketdata/auth/login"


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


def app_of(connection: BrokerConnection) -> AppCredentials:
    return reach.app_credentials(connection.user, SLUG)


def elsewhere(connection: BrokerConnection, control: Control) -> None:
    """Another program logs in for prices with the same keys."""
    http = reach.transport_to(registry.load(SLUG), account="elsewhere")
    registry.load(SLUG).auth(http, app_of(connection)).reopen_feed(session_of(connection))
    control.reset_counters()


def logins(control: Control) -> int:
    return control.counters(SLUG).get(LOGIN, 0)


def priced(connection: BrokerConnection) -> bool:
    """Whether the broker takes the stored session for prices."""
    client = reach.client_for(fresh(connection), now=timezone.now())
    return None not in {line.last_price for line in client.holdings().items}


def over(connection: BrokerConnection, session: Session) -> bool:
    return sessions.prices_over(fresh(connection), session, now=timezone.now())


@pytest.mark.django_db
class TestReopening:
    def test_it_is_opened_anew_and_the_account_s_own_goes_on(self, account: BrokerConnection, control: Control) -> None:
        before, row = session_of(account), fresh(account)
        elsewhere(account, control)
        assert not priced(account)
        assert over(account, before)
        after, now = session_of(account), fresh(account)
        assert after.access_token == before.access_token
        assert after.feed_token != before.feed_token
        assert (now.session_number, now.session_began_at) == (row.session_number + 1, row.session_began_at)
        assert (now.status, now.renewal_due_at) == (ConnectionStatus.CONNECTED, row.renewal_due_at)
        assert now.renewal_lease_until is None
        assert logins(control) == 1
        assert priced(account)

    def test_who_is_behind_logs_nobody_out(self, account: BrokerConnection, control: Control) -> None:
        before = session_of(account)
        elsewhere(account, control)
        assert over(account, before)
        assert over(account, before)
        assert logins(control) == 1
        assert priced(account)

    def test_two_programs_with_the_same_keys_do_not_take_turns_by_the_second(
        self, account: BrokerConnection, control: Control
    ) -> None:
        elsewhere(account, control)
        assert over(account, session_of(account))
        elsewhere(account, control)
        assert not over(account, session_of(account))
        assert logins(control) == 0
        assert 0 < redis().ttl(f"feed-login:{account.pk}") <= sessions.BETWEEN_FEED_LOGINS.total_seconds()

    def test_an_old_session_s_reading_does_not_end_the_new_one_s_prices(
        self, alice: User, account: BrokerConnection, control: Control, brokers: SimulatedBrokers
    ) -> None:
        """A login came while prices were asked for: what the market said was of the session before."""
        client = reach.client_for(fresh(account), now=timezone.now())
        old = session_of(account)
        connect(alice, SLUG, brokers)
        control.reset_counters()
        with pytest.raises(FeedEnded):
            client.quotes([Listing(exchange=Exchange.NSE, tradingsymbol="INFY", broker_token="1594")])
        assert over(account, old)
        assert logins(control) == 0
        assert priced(account)

    def test_an_account_whose_own_session_is_over_gets_no_prices(
        self, account: BrokerConnection, control: Control
    ) -> None:
        control.revoke(SLUG)
        control.reset_counters()
        assert over(account, session_of(account))
        assert (fresh(account).status, logins(control)) == (ConnectionStatus.TOKEN_EXPIRED, 0)

    def test_where_it_never_opened_it_is_opened(self, account: BrokerConnection, control: Control) -> None:
        BrokerConnection.objects.filter(pk=account.pk).update(feed_token_encrypted=None)
        control.reset_counters()
        assert over(account, session_of(account))
        assert logins(control) == 1
        assert priced(account)

    def test_keys_that_are_refused_leave_the_account_as_it_was(
        self, account: BrokerConnection, control: Control, caplog: pytest.LogCaptureFixture
    ) -> None:
        elsewhere(account, control)
        app = BrokerApp.objects.get(user=account.user, broker_type=SLUG)
        app.extra_encrypted = Secret('{"market_api_key": "wrong", "market_api_secret": "wrong-too"}')
        app.save()
        before = fresh(account)
        assert not over(account, session_of(account))
        after = fresh(account)
        assert "market_keys_refused" in caplog.text
        assert (after.status, after.session_number) == (before.status, before.session_number)
        assert (after.renewal_lease_until, after.renewal_due_at) == (None, before.renewal_due_at)

    def test_while_redis_is_away_nobody_logs_in(
        self, account: BrokerConnection, control: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> object:
            raise ConnectionError("away")

        elsewhere(account, control)
        monkeypatch.setattr(sessions, "redis", away)
        assert not over(account, session_of(account))
        assert logins(control) == 0

    def test_where_prices_have_none_of_their_own_nothing_is_opened(
        self, alice: User, brokers: SimulatedBrokers
    ) -> None:
        connection = connect(alice, "zerodha", brokers)
        before = fresh(connection)
        assert before.session is not None
        assert not sessions.prices_over(before, before.session, now=timezone.now())
        assert fresh(connection).session_number == before.session_number

    def test_a_reading_has_its_prices_back_by_the_next_one(
        self, alice: User, account: BrokerConnection, control: Control
    ) -> None:
        elsewhere(account, control)
        portfolio_services.refresh(alice, now=timezone.now())
        assert logins(control) == 1
        assert priced(account)
        assert fresh(account).status == ConnectionStatus.CONNECTED

    def test_readings_meanwhile_ask_nothing_more(
        self, alice: User, account: BrokerConnection, control: Control
    ) -> None:
        redis().set(f"feed-login:{account.pk}", 1)
        elsewhere(account, control)
        portfolio_services.refresh(alice, now=timezone.now())
        asked = control.counters(SLUG)
        assert asked["GET /interactive/portfolio/holdings"] == 1
        assert {LOGIN, "GET /interactive/user/profile"} & asked.keys() == set()


@pytest.mark.django_db(transaction=True)
def test_of_many_that_notice_at_once_one_logs_in(account: BrokerConnection, control: Control) -> None:
    before = session_of(account)
    elsewhere(account, control)

    def notice(_: int) -> bool:
        try:
            return over(account, before)
        finally:
            database.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(notice, range(6)))
    assert logins(control) == 1
    assert priced(account)
