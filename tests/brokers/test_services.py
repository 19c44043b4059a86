"""Logins: each way to get one wrong has its own code, stores nothing, and leaves no token behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.conf import settings
from django.db import connection as database
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from brokers import logins, reach, services, sessions
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError, RateLimited, SessionEnded
from brokers.models import BrokerApp, BrokerConnection, OAuthState
from brokers.reach import ConnectRefused
from brokers.registry import UnsupportedBroker
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.statuses import Actor
from tests.people import SLUGS, Callback, begin, connect, log_in, own_app

PROFILES = {"zerodha": "GET /user/profile", "upstox": "GET /v2/user/profile"}
OTHERS = {"zerodha": "upstox", "upstox": "zerodha"}

each_broker = pytest.mark.parametrize("slug", SLUGS)


def complete(user: User, back: Callback, **changed: object) -> BrokerConnection:
    facts = {"state": back.state, "callback": back.parameters, "now": timezone.now(), **changed}
    return logins.complete(user=user, **facts)  # type: ignore[arg-type]


def refusal(user: User, back: Callback, **changed: object) -> str:
    """The code with which a completion is refused. Fails unless nothing was stored by it."""
    before = BrokerConnection.objects.count()
    with pytest.raises((ConnectRefused, BrokerError)) as caught:
        complete(user, back, **changed)
    assert BrokerConnection.objects.count() == before
    error = caught.value
    assert isinstance(error, ConnectRefused | BrokerError)
    return error.code


@pytest.fixture
def apps(alice: User, brokers: SimulatedBrokers) -> None:
    for slug in SLUGS:
        own_app(alice, slug, brokers)


@pytest.mark.usefixtures("apps")
class TestBeginning:
    def test_the_state_is_long_random_and_stored_as_a_hash_only(self, alice: User) -> None:
        starts = [begin(alice, "upstox") for _ in range(2)]
        assert len({start.state for start in starts}) == 2
        assert all(len(start.state) >= 43 for start in starts)  # 256 bits in base64
        stored = set(OAuthState.objects.values_list("state", flat=True))
        assert stored.isdisjoint(start.state for start in starts)
        assert all(len(digest) == 64 for digest in stored)

    @each_broker
    def test_the_state_is_bound_to_user_broker_address_and_time(self, slug: str, alice: User) -> None:
        now = timezone.now()
        start = logins.initiate(user=alice, broker_type=slug, redirect_uri=reach.own_callback(slug), now=now)
        row = OAuthState.objects.get()
        assert (row.user, row.broker_type, row.redirect_uri) == (alice, slug, reach.own_callback(slug))
        assert row.expires_at == start.expires_at == now + timedelta(minutes=10)

    @pytest.mark.parametrize(
        "address",
        [
            "https://evil.example/callback",
            "http://127.0.0.1:8000/brokers/callback/zerodha/../evil",
            "http://127.0.0.1:8000/brokers/callback/zerodha?next=evil",
            "http://127.0.0.1:8000/brokers/callback/upstox",  # ours, but another broker's
            "",
        ],
    )
    def test_a_foreign_redirect_address_is_refused(self, alice: User, address: str) -> None:
        with pytest.raises(ConnectRefused) as caught:
            logins.initiate(user=alice, broker_type="zerodha", redirect_uri=address, now=timezone.now())
        assert caught.value.code == "redirect_uri_not_allowed"
        assert not OAuthState.objects.exists()

    def test_the_operator_can_allow_one_more_address(self, alice: User, settings: Settings) -> None:
        settings.REDIRECT_URIS = ["https://app.example/back"]
        start = logins.initiate(
            user=alice, broker_type="upstox", redirect_uri="https://app.example/back", now=timezone.now()
        )
        assert "redirect_uri=https%3A%2F%2Fapp.example%2Fback" in start.authorization_url

    def test_a_broker_we_do_not_know(self, alice: User) -> None:
        with pytest.raises(UnsupportedBroker):
            begin(alice, "barings")


@each_broker
def test_without_an_app_no_login_begins(slug: str, bob: User, brokers: SimulatedBrokers) -> None:
    with pytest.raises(ConnectRefused) as caught:
        begin(bob, slug)
    assert caught.value.code == "broker_app_missing"
    assert not OAuthState.objects.exists()


@each_broker
def test_the_platforms_own_app_serves_who_has_none(slug: str, bob: User, brokers: SimulatedBrokers) -> None:
    shared = settings.BROKERS[slug]
    shared["api_key"], shared["api_secret"] = (brokers.brokers[slug][name] for name in ("api_key", "api_secret"))
    assert complete(bob, log_in(bob, slug, brokers)).status == ConnectionStatus.CONNECTED


@pytest.mark.usefixtures("apps")
@each_broker
class TestState:
    def test_replayed(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        complete(alice, back)
        assert refusal(alice, back) == "invalid_state"

    @pytest.mark.parametrize("state", ["", "made up", "0" * 64])
    def test_made_up(self, slug: str, state: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        assert refusal(alice, Callback(state, back.parameters)) == "invalid_state"
        assert OAuthState.objects.count() == 1

    def test_the_stored_hash_is_not_a_state(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        assert refusal(alice, Callback(OAuthState.objects.get().pk, back.parameters)) == "invalid_state"

    def test_expired(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        expiry = OAuthState.objects.get().expires_at
        assert refusal(alice, back, now=expiry) == "state_expired"
        assert refusal(alice, back) == "invalid_state"  # and it is spent

    def test_good_until_the_last_moment(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        assert complete(alice, back, now=OAuthState.objects.get().expires_at - timedelta(microseconds=1))

    def test_of_another_user_and_not_burnt(
        self, slug: str, alice: User, mallory: User, brokers: SimulatedBrokers
    ) -> None:
        own_app(mallory, slug, brokers)
        back = log_in(alice, slug, brokers)
        assert refusal(mallory, back) == "state_of_another_user"
        assert complete(alice, back).user == alice

    def test_for_another_broker(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        assert refusal(alice, back, broker_type=OTHERS[slug]) == "state_of_another_broker"
        assert refusal(alice, back) == "invalid_state"

    def test_tampered_redirect(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        assert refusal(alice, back, redirect_uri="https://evil.example/") == "redirect_uri_mismatch"
        assert refusal(alice, back) == "invalid_state"

    def test_refused_states_never_reach_the_broker(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        brokers.control.reset_counters()
        refusal(alice, back, redirect_uri="https://evil.example/")
        refusal(alice, back)
        assert brokers.control.counters(slug) == {}


@pytest.mark.usefixtures("apps")
@each_broker
class TestAtTheBroker:
    def test_the_trader_says_no(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers, cancel="1")
        assert refusal(alice, back) == "login_refused"
        assert not OAuthState.objects.exists()

    def test_a_wrong_app_secret(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, slug, brokers, api_secret="wrong")
        # Kite has one answer for a wrong secret and a stale code.
        code = {"zerodha": "exchange_refused", "upstox": "app_misconfigured"}[slug]
        assert refusal(alice, log_in(alice, slug, brokers)) == code
        assert brokers.control.overview()["brokers"][slug]["live_sessions"] == 0

    def test_a_made_up_code(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        state = begin(alice, slug).state
        back = Callback(state, logins.callback_from("made-up", slug))
        assert refusal(alice, back) == "exchange_refused"

    def test_a_token_that_opens_nothing(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        brokers.control.set_fault(slug, "expired_token")
        assert refusal(alice, log_in(alice, slug, brokers)) == "session_ended"

    def test_a_broker_that_fails_at_the_profile(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        brokers.control.set_fault(slug, "server_error", path=PROFILES[slug].removeprefix("GET "))
        assert refusal(alice, back) == "broker_unavailable"

    def test_a_broker_that_is_down(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        back = log_in(alice, slug, brokers)
        brokers.control.set_fault(slug, "down")
        assert refusal(alice, back) == "broker_unavailable"

    def test_an_unreadable_profile(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        brokers.control.serve(slug, PROFILES[slug], {"status": "success", "data": {}})
        assert refusal(alice, log_in(alice, slug, brokers)) == "unexpected_response"

    def test_a_token_of_another_account(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, slug, brokers)
        back = log_in(alice, slug, brokers)
        # The exchange names one account, the profile another.
        brokers.control.serve(slug, PROFILES[slug], profile_of_somebody_else(slug, brokers))
        assert refusal(alice, back) == "account_mismatch"


def profile_of_somebody_else(slug: str, brokers: SimulatedBrokers) -> str:
    """The broker's own profile with another client code in it."""
    recorded = {
        "zerodha": '{"status":"success","data":{"user_id":"ZZ9999","user_name":"Other","email":"o@example.com",'
        '"user_shortname":"Other","broker":"ZERODHA","exchanges":["NSE"],"products":["CNC"],"order_types":["MARKET"],'
        '"avatar_url":null,"user_type":"individual","meta":{"demat_consent":"consent"}}}',
        "upstox": '{"status":"success","data":{"user_id":"ZZ9999","user_name":"Other","email":"o@example.com",'
        '"broker":"UPSTOX","exchanges":["NSE"],"products":["D"],"order_types":["MARKET"],"user_type":"individual",'
        '"poa":false,"is_active":true}}',
    }
    return recorded[slug]


@pytest.mark.usefixtures("apps")
def test_an_account_that_the_broker_has_closed(alice: User, brokers: SimulatedBrokers) -> None:
    back = log_in(alice, "upstox", brokers)
    account = brokers.control.book("upstox")["account"]["user_id"]
    body = profile_of_somebody_else("upstox", brokers).replace("ZZ9999", account)
    brokers.control.serve("upstox", PROFILES["upstox"], body.replace('"is_active":true', '"is_active":false'))
    assert refusal(alice, back) == "account_inactive"


@pytest.mark.django_db(transaction=True)
@each_broker
def test_of_two_simultaneous_completions_one_wins(slug: str, alice: User, brokers: SimulatedBrokers) -> None:
    own_app(alice, slug, brokers)
    back = log_in(alice, slug, brokers)
    both = Barrier(2)

    def finish(_: int) -> str:
        both.wait(timeout=20)
        try:
            return complete(alice, back).status
        except ConnectRefused as refused:
            return refused.code
        finally:
            database.close()

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(finish, range(2)))
    assert outcomes == ["CONNECTED", "invalid_state"]
    assert BrokerConnection.objects.count() == 1


class TestRepair:
    @each_broker
    def test_the_same_account_keeps_its_id_and_its_name(
        self, slug: str, alice: User, brokers: SimulatedBrokers
    ) -> None:
        first = connect(alice, slug, brokers)
        services.amend(first, display_name="Papa's account")
        token = first.session.access_token  # type: ignore[union-attr]
        first.refresh_from_db()
        services.change_status(
            first,
            ConnectionStatus.TOKEN_EXPIRED,
            code="session_ended",
            message="over",
            actor=Actor.CLOCK,
            now=timezone.now(),
        )

        second = connect(alice, slug, brokers)
        second.refresh_from_db()
        assert (second.pk, second.display_name) == (first.pk, "Papa's account")
        assert second.status == ConnectionStatus.CONNECTED
        assert (second.error_code, second.error_message, second.consecutive_failures) == ("", "", 0)
        assert second.access_token_encrypted != token
        assert second.next_health_check_at is not None
        assert BrokerConnection.objects.count() == 1

    def test_a_disconnected_account_comes_back_as_itself(self, alice: User, brokers: SimulatedBrokers) -> None:
        first = connect(alice, "zerodha", brokers)
        services.disconnect(first, now=timezone.now())
        assert connect(alice, "zerodha", brokers).pk == first.pk

    def test_the_same_account_of_two_users_is_two_connections(
        self, alice: User, mallory: User, brokers: SimulatedBrokers
    ) -> None:
        assert connect(alice, "zerodha", brokers).pk != connect(mallory, "zerodha", brokers).pk


class TestUse:
    def test_an_ended_session_is_not_tried(self, alices: dict[str, BrokerConnection], control: Control) -> None:
        connection = alices["zerodha"]
        services.change_status(
            connection,
            ConnectionStatus.TOKEN_EXPIRED,
            code="session_ended",
            message="over",
            actor=Actor.CLOCK,
            now=timezone.now(),
        )
        connection.refresh_from_db()
        with pytest.raises(SessionEnded):
            reach.client_for(connection, now=timezone.now())

    def test_a_pause_is_kept_to_the_second(self, alices: dict[str, BrokerConnection]) -> None:
        connection = alices["upstox"]
        now = timezone.now()
        connection.token_expires_at = now + timedelta(hours=1)  # whatever the hour of the test
        connection.save()
        error = RateLimited("Too many.")
        error.retry_after = 30.0
        services.learn(connection, error, now)
        connection.refresh_from_db()
        assert connection.status == ConnectionStatus.RATE_LIMITED
        assert connection.retry_after == now + timedelta(seconds=30)
        with pytest.raises(RateLimited):
            reach.client_for(connection, now=now + timedelta(seconds=29))
        assert reach.client_for(connection, now=now + timedelta(seconds=30)).profile().account_id

    def test_a_session_past_its_known_end_is_ended_before_any_call(
        self, alices: dict[str, BrokerConnection], control: Control
    ) -> None:
        end = alices["upstox"].token_expires_at
        assert end is not None
        assert end < alices["zerodha"].token_expires_at  # 03:30 comes before 06:00
        assert sessions.end_expired_sessions(end - timedelta(seconds=1)) == 0
        assert sessions.end_expired_sessions(end) == 1
        alices["upstox"].refresh_from_db()
        assert alices["upstox"].status == ConnectionStatus.TOKEN_EXPIRED
        assert alices["upstox"].error_code == "session_ended"
        assert alices["upstox"].next_health_check_at is None
        assert sessions.end_expired_sessions(end) == 0
        assert control.counters("upstox") == {}

    def test_an_old_sessions_late_refusal_does_not_kill_the_new_one(
        self, alice: User, alices: dict[str, BrokerConnection], brokers: SimulatedBrokers
    ) -> None:
        in_flight = BrokerConnection.objects.get(pk=alices["zerodha"].pk)
        connect(alice, "zerodha", brokers)  # meanwhile the trader logs in again
        services.learn(in_flight, SessionEnded("The old token is dead."), timezone.now())
        in_flight.refresh_from_db()
        assert in_flight.status == ConnectionStatus.CONNECTED

    def test_a_late_answer_does_not_revive_what_the_trader_ended(self, alices: dict[str, BrokerConnection]) -> None:
        in_flight = BrokerConnection.objects.get(pk=alices["zerodha"].pk)
        services.disconnect(alices["zerodha"], now=timezone.now())
        services.learn(in_flight, None, timezone.now())
        services.learn(in_flight, RateLimited("Too many."), timezone.now())
        in_flight.refresh_from_db()
        assert in_flight.status == ConnectionStatus.DISCONNECTED


class TestDisconnect:
    @each_broker
    def test_the_session_dies_at_the_broker_and_here(
        self, slug: str, alices: dict[str, BrokerConnection], control: Control
    ) -> None:
        services.disconnect(alices[slug], now=timezone.now())
        row = BrokerConnection.objects.get(pk=alices[slug].pk)
        assert row.status == ConnectionStatus.DISCONNECTED
        assert row.session is None
        assert (row.access_token_encrypted, row.refresh_token_encrypted, row.token_expires_at) == (None, None, None)
        assert control.overview()["brokers"][slug]["live_sessions"] == 0

    @each_broker
    @pytest.mark.parametrize("fault", ["down", "server_error", "expired_token", "malformed_body"])
    def test_the_traders_wish_does_not_depend_on_the_broker(
        self, slug: str, fault: str, alices: dict[str, BrokerConnection], control: Control
    ) -> None:
        control.set_fault(slug, fault)
        services.disconnect(alices[slug], now=timezone.now())
        alices[slug].refresh_from_db()
        assert alices[slug].status == ConnectionStatus.DISCONNECTED
        assert alices[slug].session is None


class TestForgettingAnApp:
    def test_one_users_and_one_brokers_keys_go(self, alice: User, mallory: User, brokers: SimulatedBrokers) -> None:
        for user, slug in ((alice, "zerodha"), (alice, "upstox"), (mallory, "zerodha")):
            own_app(user, slug, brokers)
        services.forget_app(user=alice, broker_type="zerodha")
        kept = BrokerApp.objects.values_list("user", "broker_type")
        assert set(kept) == {(alice.pk, "upstox"), (mallory.pk, "zerodha")}

    def test_the_platforms_app_serves_from_then_on(self, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, "upstox", brokers)
        settings.BROKERS["upstox"] |= {"api_key": "the platform's", "api_secret": "its secret"}
        assert reach.app_credentials(alice, "upstox").api_key.reveal() != "the platform's"
        services.forget_app(user=alice, broker_type="upstox")
        assert reach.app_credentials(alice, "upstox").api_key.reveal() == "the platform's"


class TestRenewal:
    @each_broker
    def test_no_broker_here_offers_it(self, slug: str, alices: dict[str, BrokerConnection]) -> None:
        with pytest.raises(sessions.TokenRefreshFailed) as caught:
            sessions.refresh_session(alices[slug], now=timezone.now())
        assert caught.value.code == "token_refresh_failed"
        alices[slug].refresh_from_db()
        assert alices[slug].status == ConnectionStatus.CONNECTED  # the session we have is as good as before

    def test_nothing_to_renew(self, alices: dict[str, BrokerConnection]) -> None:
        services.disconnect(alices["zerodha"], now=timezone.now())
        alices["zerodha"].refresh_from_db()
        with pytest.raises(sessions.TokenRefreshFailed):
            sessions.refresh_session(alices["zerodha"], now=timezone.now())


def test_logins_that_nobody_completed_are_purged(alice: User, brokers: SimulatedBrokers) -> None:
    own_app(alice, "zerodha", brokers)
    old, new = begin(alice, "zerodha"), begin(alice, "zerodha")
    OAuthState.objects.filter(expires_at=old.expires_at).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert logins.purge_states(timezone.now()) == 1
    assert OAuthState.objects.get().expires_at == new.expires_at


def test_what_changes_a_connection_moves_its_users_generation(
    alice: User, brokers: SimulatedBrokers, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    from brokers.changes import generation_key
    from brokers.shared import redis

    def generation() -> int:
        return int(redis().get(generation_key(alice.pk)) or 0)  # type: ignore[arg-type]

    seen = [generation()]
    with django_capture_on_commit_callbacks(execute=True):
        connection = connect(alice, "zerodha", brokers)
    seen.append(generation())
    for change in (
        lambda: services.amend(connection, display_name="New"),
        lambda: services.disconnect(connection, now=timezone.now()),
        lambda: services.forget_app(user=alice, broker_type="zerodha"),
    ):
        with django_capture_on_commit_callbacks(execute=True):
            change()
        seen.append(generation())
    assert seen == sorted(set(seen))
    with django_capture_on_commit_callbacks(execute=True):
        services.forget_app(user=alice, broker_type="zerodha")  # there is none any more: nothing changes
    assert generation() == seen[-1]
