"""The life of a session: renewed where the broker allows it, ended at its hour, and no token lost on the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from brokers import morning, reach, registry, services, sessions, tasks
from brokers.domain import ConnectionStatus, Session
from brokers.errors import BrokerError, BrokerUnavailable, OutcomeUnknown, SessionEnded
from brokers.models import BrokerConnection, ConnectionChange
from brokers.secret import Secret
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.spec import Renewal, SessionPolicy
from brokers.statuses import Actor
from brokers.wire import IST
from tests.people import connect, own_app

RENEWABLE = {"angel_one": "/rest/auth/angelbroking/jwt/v1/generateTokens", "iifl": "/interactive/user/session"}
each_renewable = pytest.mark.parametrize("slug", RENEWABLE)


def due(user: User, slug: str, brokers: SimulatedBrokers) -> BrokerConnection:
    """A connection whose session is to be renewed now."""
    connection = connect(user, slug, brokers)
    BrokerConnection.objects.filter(pk=connection.pk).update(renewal_due_at=timezone.now())
    brokers.control.reset_counters()
    return fresh(connection)


def fresh(connection: BrokerConnection) -> BrokerConnection:
    return BrokerConnection.objects.select_related("user").get(pk=connection.pk)


def works(connection: BrokerConnection) -> bool:
    """Whether the broker knows the stored session, and no other."""
    return bool(reach.client_for(fresh(connection), now=timezone.now()).profile().account_id)


def refreshes(control: Control, slug: str) -> int:
    return control.counters(slug).get(f"POST {RENEWABLE[slug]}", 0)


class TestPolicy:
    LOGIN = datetime(2026, 11, 26, 9, 0, tzinfo=IST)

    def test_every_broker_says_how_its_sessions_are_renewed(self) -> None:
        known = {slug: registry.load(slug).spec.session.renewal for slug in registry.slugs()}
        assert {slug for slug, renewal in known.items() if renewal is not Renewal.NONE} == set(RENEWABLE)
        assert known["iifl"] is Renewal.STORED_KEYS

    @pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
    def test_it_is_renewed_before_its_end_and_not_all_at_once(self, spread: float) -> None:
        policy = SessionPolicy(renewal=Renewal.STORED_KEYS)
        expires_at = self.LOGIN + timedelta(days=1)
        planned = policy.renewal_due(expires_at, now=self.LOGIN, spread=spread)
        assert planned == expires_at - timedelta(minutes=15) * (1 + spread)

    def test_a_refresh_token_serves_within_its_day_alone(self) -> None:
        policy = SessionPolicy(ends_at=time(0, 0), renewal=Renewal.REFRESH_TOKEN)
        midnight = datetime(2026, 11, 27, 0, 0, tzinfo=IST)
        assert policy.renewal_due(midnight, now=self.LOGIN, spread=0) is None
        assert policy.renewal_due(midnight - timedelta(hours=4), now=self.LOGIN, spread=0) is not None

    def test_others_are_never_renewed(self) -> None:
        assert SessionPolicy(ends_at=time(6, 0)).renewal_due(self.LOGIN, now=self.LOGIN, spread=0) is None


class TestRenewal:
    @each_renewable
    def test_the_new_session_takes_the_place_of_the_old_one(
        self, slug: str, alice: User, brokers: SimulatedBrokers
    ) -> None:
        before = due(alice, slug, brokers)
        sessions.renew(before.pk, now=timezone.now())
        after = fresh(before)
        assert (after.pk, after.status, after.session_number) == (before.pk, ConnectionStatus.CONNECTED, 2)
        assert after.access_token_encrypted != before.access_token_encrypted
        assert (after.renewal_lease_until, after.renewal_attempts) == (None, 0)
        assert works(after)
        assert ConnectionChange.objects.first().reason == "The session was renewed."  # type: ignore[union-attr]
        assert sessions.due_renewals(timezone.now()) == []

    def test_a_rotated_refresh_token_renews_again(self, alice: User, brokers: SimulatedBrokers) -> None:
        connection = due(alice, "angel_one", brokers)
        for _ in range(3):
            sessions.refresh_session(fresh(connection), now=timezone.now())
        assert works(connection)

    def test_the_task_renews_what_is_due(self, alice: User, brokers: SimulatedBrokers) -> None:
        connection = due(alice, "iifl", brokers)
        assert sessions.due_renewals(timezone.now()) == [connection.pk]
        tasks.renew_session(str(connection.pk))
        assert fresh(connection).session_number == 2

    @each_renewable
    def test_a_refusal_ends_it_with_the_reason_and_is_not_repeated(
        self, slug: str, alice: User, brokers: SimulatedBrokers
    ) -> None:
        connection = due(alice, slug, brokers)
        connection.refresh_token_encrypted = Secret("not one of yours")
        connection.save(update_fields=["refresh_token_encrypted"])
        app = alice.broker_apps.get(broker_type=slug)
        app.api_secret_encrypted = "not the secret"
        app.save()
        sessions.renew(connection.pk, now=timezone.now())
        after = fresh(connection)
        assert (after.status, after.error_code) == (ConnectionStatus.TOKEN_EXPIRED, "token_refresh_failed")
        assert after.error_message
        assert sessions.due_renewals(timezone.now() + timedelta(days=1)) == []
        sessions.renew(connection.pk, now=timezone.now() + timedelta(days=1))
        assert refreshes(brokers.control, slug) == 1

    def test_a_refusal_after_its_end_is_not_repeated_either(self, alice: User, brokers: SimulatedBrokers) -> None:
        connection = due(alice, "iifl", brokers)
        app = alice.broker_apps.get(broker_type="iifl")
        app.api_secret_encrypted = "not the secret"
        app.save()
        end = connection.token_expires_at
        assert end is not None
        assert sessions.end_expired_sessions(end) == 1
        for minutes in (0, 5, 600):
            sessions.renew(connection.pk, now=end + timedelta(minutes=minutes))
        after = fresh(connection)
        assert (after.status, after.error_code) == (ConnectionStatus.TOKEN_EXPIRED, "token_refresh_failed")
        assert after.renewal_due_at is None
        assert refreshes(brokers.control, "iifl") == 1

    @each_renewable
    def test_a_broker_that_is_down_is_asked_again_later_and_later(
        self, slug: str, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        connection = due(alice, slug, brokers)
        control.set_fault(slug, "down")
        now = timezone.now()
        pauses = []
        for _ in range(4):
            with pytest.raises(BrokerUnavailable):
                sessions.refresh_session(fresh(connection), now=now)
            planned = fresh(connection).renewal_due_at
            assert planned is not None
            pauses.append((planned - now).total_seconds() / 60)
            now = planned
        assert pauses == [1, 2, 4, 8]
        assert fresh(connection).status == ConnectionStatus.CONNECTED  # it lives until its known end
        control.clear_faults(slug)
        sessions.renew(connection.pk, now=now)
        assert works(connection)

    def test_after_the_last_attempt_a_person_is_asked(
        self, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        connection = due(alice, "iifl", brokers)
        BrokerConnection.objects.update(renewal_attempts=sessions.MOST_ATTEMPTS - 1)
        control.set_fault("iifl", "down")
        sessions.renew(connection.pk, now=timezone.now())
        assert fresh(connection).status == ConnectionStatus.TOKEN_EXPIRED
        assert fresh(connection).renewal_due_at is None

    def test_impatience_ends_no_session(self, alice: User, brokers: SimulatedBrokers, control: Control) -> None:
        """Presses of the button while the broker is down: the session lives, and is renewed once the broker is well."""
        connection = due(alice, "angel_one", brokers)
        control.set_fault("angel_one", "down")
        now = timezone.now()
        for _ in range(sessions.MOST_ATTEMPTS + 1):
            with pytest.raises(BrokerUnavailable):
                sessions.refresh_session(fresh(connection), now=now)
        assert (fresh(connection).status, fresh(connection).renewal_attempts) == (ConnectionStatus.CONNECTED, 1)
        control.clear_faults("angel_one")
        sessions.renew(connection.pk, now=now + timedelta(minutes=2))
        assert works(connection)


class TestDoubt:
    """The request went out and no answer came: the broker may have acted, or not."""

    def test_where_it_had_not_acted_the_old_session_is_renewed(
        self, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        connection = due(alice, "angel_one", brokers)
        control.set_fault("angel_one", "drop_connection", path=RENEWABLE["angel_one"], count=1)
        now = timezone.now()
        with pytest.raises(OutcomeUnknown):
            sessions.refresh_session(connection, now=now)
        assert fresh(connection).is_renewal_in_doubt
        assert works(connection)
        sessions.renew(connection.pk, now=now + timedelta(minutes=2))
        assert (fresh(connection).session_number, works(connection)) == (2, True)

    def test_where_it_had_acted_the_trader_is_told_why_a_login_is_needed(
        self, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        connection = due(alice, "angel_one", brokers)
        control.set_fault("angel_one", "drop_connection", path=RENEWABLE["angel_one"], count=1, mode="mid_body")
        now = timezone.now()
        with pytest.raises(OutcomeUnknown):
            sessions.refresh_session(connection, now=now)
        sessions.renew(connection.pk, now=now + timedelta(minutes=2))
        after = fresh(connection)
        assert (after.status, after.error_code) == (ConnectionStatus.TOKEN_EXPIRED, "token_refresh_failed")
        assert "broke off" in after.error_message
        assert refreshes(control, "angel_one") == 1  # the spent token is not tried again

    def test_stored_keys_open_another_session_whatever_happened(
        self, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        connection = due(alice, "iifl", brokers)
        control.set_fault("iifl", "drop_connection", path=RENEWABLE["iifl"], count=1, mode="mid_body")
        now = timezone.now()
        with pytest.raises(OutcomeUnknown):
            sessions.refresh_session(connection, now=now)
        sessions.renew(connection.pk, now=now + timedelta(minutes=2))
        assert works(connection)

    def test_as_long_as_nobody_can_tell_the_doubt_stays(
        self, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        connection = due(alice, "angel_one", brokers)
        now = timezone.now()
        BrokerConnection.objects.update(renewal_lease_until=now)  # a worker was killed
        control.set_fault("angel_one", "down")
        with pytest.raises(BrokerUnavailable):
            sessions.refresh_session(fresh(connection), now=now)
        assert fresh(connection).is_renewal_in_doubt

    def test_a_worker_that_was_killed_is_followed_by_another(self, alice: User, brokers: SimulatedBrokers) -> None:
        connection = due(alice, "angel_one", brokers)
        now = timezone.now()
        assert connection.claim_renewal(now)  # and then nothing more was heard of it
        assert sessions.due_renewals(now + timedelta(seconds=59)) == []
        assert sessions.due_renewals(now + timedelta(seconds=61)) == [connection.pk]
        sessions.renew(connection.pk, now=now + timedelta(seconds=61))
        assert (fresh(connection).session_number, works(connection)) == (2, True)


@pytest.mark.django_db(transaction=True)
@each_renewable
def test_of_many_renewals_at_once_one_reaches_the_broker(slug: str, alice: User, brokers: SimulatedBrokers) -> None:
    connection = due(alice, slug, brokers)

    def renew(_: int) -> str:
        try:
            sessions.refresh_session(fresh(connection), now=timezone.now())
        except (reach.ConnectRefused, BrokerError) as error:
            return error.code
        finally:
            database.close()
        return "renewed"

    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(renew, range(6)))
    assert "renewed" in outcomes
    assert set(outcomes) <= {"renewed", "renewal_under_way"}
    assert refreshes(brokers.control, slug) == outcomes.count("renewed")
    assert fresh(connection).session_number == 1 + outcomes.count("renewed")
    assert works(connection)


class TestCallsDuringARenewal:
    """The broker ends the old session before we have the new one: a call that finds it dead means nothing then."""

    @each_renewable
    def test_a_dead_token_ends_nothing_while_it_is_being_renewed(
        self, slug: str, alice: User, brokers: SimulatedBrokers
    ) -> None:
        connection = due(alice, slug, brokers)
        now = timezone.now()
        assert connection.claim_renewal(now)
        services.learn(connection, SessionEnded("Dead."), now)
        assert fresh(connection).status == ConnectionStatus.CONNECTED

    def test_one_that_broke_off_is_settled_at_its_own_time(self, alice: User, brokers: SimulatedBrokers) -> None:
        connection = due(alice, "iifl", brokers)
        now = timezone.now()
        assert connection.claim_renewal(now)  # and the worker was killed
        later = now + timedelta(seconds=61)
        services.learn(fresh(connection), SessionEnded("Dead."), later)
        assert fresh(connection).status == ConnectionStatus.TOKEN_EXPIRED
        assert sessions.due_renewals(later) == [connection.pk]
        sessions.renew(connection.pk, now=later)
        assert works(connection)

    @each_renewable
    def test_what_is_disconnected_meanwhile_does_not_live_on_at_the_broker(
        self, slug: str, alice: User, brokers: SimulatedBrokers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = due(alice, slug, brokers)
        renewed = sessions._renewed

        def and_a_disconnect(*arguments: Any) -> Session:
            brought = renewed(*arguments)
            services.disconnect(fresh(connection), now=timezone.now())
            return brought

        monkeypatch.setattr(sessions, "_renewed", and_a_disconnect)
        with pytest.raises(sessions.TokenRefreshFailed):
            sessions.refresh_session(connection, now=timezone.now())
        assert fresh(connection).status == ConnectionStatus.DISCONNECTED
        assert brokers.control.overview()["brokers"][slug]["live_sessions"] == 0

    @each_renewable
    def test_what_is_logged_in_anew_meanwhile_is_not_ended_with_the_renewed_one(
        self, slug: str, alice: User, brokers: SimulatedBrokers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A logout may mean the client, and not the session."""
        connection = due(alice, slug, brokers)
        renewed = sessions._renewed

        def and_a_login(*arguments: Any) -> Session:
            brought = renewed(*arguments)
            connect(alice, slug, brokers)
            brokers.control.reset_counters()
            return brought

        monkeypatch.setattr(sessions, "_renewed", and_a_login)
        with pytest.raises(sessions.TokenRefreshFailed):
            sessions.refresh_session(connection, now=timezone.now())
        assert brokers.control.counters(slug) == {}
        assert works(connection)


class TestKnownEnd:
    def test_no_call_is_made_with_a_session_whose_hour_has_come(
        self, alices: dict[str, BrokerConnection], control: Control
    ) -> None:
        end = alices["upstox"].token_expires_at
        assert end is not None
        with pytest.raises(SessionEnded):
            reach.client_for(alices["upstox"], now=end)
        assert control.counters("upstox") == {}

    def test_stored_keys_open_the_next_session_without_a_person(self, alice: User, brokers: SimulatedBrokers) -> None:
        connection = connect(alice, "iifl", brokers)
        end = connection.token_expires_at
        assert end is not None
        assert sessions.end_expired_sessions(end) == 1
        assert fresh(connection).status == ConnectionStatus.TOKEN_EXPIRED
        assert sessions.due_renewals(end) == [connection.pk]
        sessions.renew(connection.pk, now=timezone.now() + timedelta(days=1))
        assert fresh(connection).status == ConnectionStatus.CONNECTED

    @each_renewable
    def test_the_end_waits_for_a_renewal_under_way(self, slug: str, alice: User, brokers: SimulatedBrokers) -> None:
        """A second login with the same keys would end the session that the first one is about to bring."""
        connection = connect(alice, slug, brokers)
        end = connection.token_expires_at
        assert end is not None
        assert connection.claim_renewal(end - timedelta(seconds=10))
        assert sessions.end_expired_sessions(end) == 0
        assert sessions.due_renewals(end) == []
        assert (
            services.change_status(
                connection, ConnectionStatus.TOKEN_EXPIRED, code="x", message="x", actor=Actor.CLOCK, now=end
            )
            is False
        )
        assert sessions.end_expired_sessions(end + timedelta(seconds=60)) == 1  # nothing came of it

    def test_stored_keys_that_are_refused_after_the_end_ask_for_a_person(
        self, alice: User, brokers: SimulatedBrokers
    ) -> None:
        connection = connect(alice, "iifl", brokers)
        end = connection.token_expires_at
        assert end is not None
        sessions.end_expired_sessions(end)
        own_app(alice, "iifl", brokers, api_secret="not the secret")
        brokers.control.reset_counters()
        sessions.renew(connection.pk, now=end)
        after = fresh(connection)
        assert (after.status, after.error_code) == (ConnectionStatus.TOKEN_EXPIRED, "token_refresh_failed")
        assert (after.renewal_due_at, after.renewal_lease_until) == (None, None)
        sessions.renew(connection.pk, now=end + timedelta(hours=1))
        assert refreshes(brokers.control, "iifl") == 1  # no loop
        assert [entry.needs_login for entry in morning.queue(alice, end).entries] == [morning.Need.NOW]
        assert list(ConnectionChange.objects.values_list("from_status", "to_status", "actor")[:1]) == [
            ("TOKEN_EXPIRED", "TOKEN_EXPIRED", "RENEWAL")
        ]

    def test_two_programs_with_the_same_keys_do_not_fight(self, alice: User, brokers: SimulatedBrokers) -> None:
        """The other one's login ended our session: ours comes back, but not at once, and not in a loop."""
        connection = connect(alice, "iifl", brokers)
        began = connection.session_began_at
        assert began is not None
        services.learn(connection, SessionEnded("Replaced."), began + timedelta(seconds=20))
        assert fresh(connection).renewal_due_at == began + services.BETWEEN_KEY_LOGINS

    def test_elsewhere_a_dead_session_waits_for_its_trader(self, alices: dict[str, BrokerConnection]) -> None:
        services.learn(alices["zerodha"], SessionEnded("Dead."), timezone.now())
        assert fresh(alices["zerodha"]).renewal_due_at is None

    def test_the_hours_are_those_of_the_brokers(self) -> None:
        login = datetime(2026, 11, 26, 3, 30, tzinfo=UTC)  # 09:00 IST
        ends = {
            slug: registry.load(slug).spec.session.end(login).astimezone(IST).strftime("%d %H:%M")
            for slug in registry.slugs()
        }
        assert ends == {
            "zerodha": "27 06:00",
            "groww": "27 06:00",
            "angel_one": "27 00:00",
            "upstox": "27 03:30",
            "fyers": "27 06:00",
            "iifl": "27 09:00",
            "iifl_capital": "27 00:00",
        }
