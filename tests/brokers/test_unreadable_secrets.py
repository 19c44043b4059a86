"""A secret that no key reads: what else goes on, what is said of it, and what mends it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from brokers import logins, morning, reach, sessions
from brokers.models import BrokerApp, BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from health.models import CheckSchedule, Incident
from tests.brokers.keys import NEW, write_raw
from tests.conftest import signed_in
from tests.people import connect, own_app


class TestASecretThatNoKeyReads:
    """It concerns one row: the others' sessions end at their hour, and its own trader logs in over it."""

    @pytest.fixture
    def unreadable(self, alices: dict[str, BrokerConnection]) -> BrokerConnection:
        write_raw(alices["upstox"], Fernet(Fernet.generate_key()).encrypt(b"lost").decode())
        return alices["upstox"]

    @pytest.mark.parametrize("moved", [False, True])
    def test_the_traders_other_accounts_go_on(
        self,
        moved: bool,
        unreadable: BrokerConnection,
        alices: dict[str, BrokerConnection],
        alice: User,
        as_alice: Client,
    ) -> None:
        if moved:
            with database.cursor() as cursor:
                cursor.execute(
                    "UPDATE broker_connections SET access_token_encrypted = (SELECT access_token_encrypted "
                    "FROM broker_connections WHERE id = %s) WHERE id = %s",
                    [alices["zerodha"].pk, unreadable.pk],
                )
        book = as_alice.get("/api/v1/brokers/portfolio/consolidated")
        assert book.status_code == 200
        states = {source["connection_id"]: source["state"] for source in book.json()["sources"]}
        assert states[str(alices["zerodha"].pk)] == "LIVE"
        assert states[str(unreadable.pk)] != "LIVE"
        row = BrokerConnection.objects.get(pk=unreadable.pk)
        code, words = ("secret_misplaced", "changed by hand") if moved else ("secret_unreadable", "No key")
        assert (row.status, row.error_code) == ("ERROR", code)
        assert words in row.error_message
        assert "Log in to the broker again." in row.error_message
        assert BrokerConnection.objects.get(pk=alices["zerodha"].pk).status == "CONNECTED"
        entries = as_alice.get("/api/v1/brokers/logins").json()["entries"]
        assert {entry["broker_type"]: entry["needs_login"] for entry in entries}["upstox"] == "now"

    def test_it_can_be_disconnected(self, unreadable: BrokerConnection, as_alice: Client) -> None:
        assert as_alice.delete(f"/api/v1/brokers/connections/{unreadable.pk}").status_code == 204
        row = BrokerConnection.objects.get(pk=unreadable.pk)
        assert (row.status, row.session) == ("DISCONNECTED", None)

    def test_asked_to_renew_it_says_what_is_wrong(self, unreadable: BrokerConnection, as_alice: Client) -> None:
        answer = as_alice.post(f"/api/v1/brokers/connections/{unreadable.pk}/refresh")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "secret_unreadable")

    def test_a_renewal_that_is_due_waits_for_the_key_and_then_goes_on(
        self, alice: User, brokers: SimulatedBrokers, settings: Settings
    ) -> None:
        now = timezone.now()
        row = connect(alice, "angel_one", brokers)
        BrokerConnection.objects.filter(pk=row.pk).update(renewal_due_at=now)
        [key], settings.FIELD_ENCRYPTION_KEY = settings.FIELD_ENCRYPTION_KEY, [NEW]
        sessions.renew(row.pk, now=now)
        row = BrokerConnection.objects.without_secrets().get(pk=row.pk)
        assert (row.status, row.error_code, row.renewal_attempts) == ("ERROR", "secret_unreadable", 0)
        assert sessions.due_renewals(now) == []
        settings.FIELD_ENCRYPTION_KEY = [key]
        later = now + sessions.LONGEST_PAUSE
        assert sessions.due_renewals(later) == [row.pk]
        sessions.renew(row.pk, now=later)
        assert BrokerConnection.objects.get(pk=row.pk).status == "CONNECTED"

    def test_an_apps_keys_alone_are_asked_for_again(
        self, alices: dict[str, BrokerConnection], alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        with database.cursor() as cursor:
            cursor.execute("UPDATE broker_apps SET api_key_encrypted = 'junk' WHERE broker_type = 'upstox'")
        assert as_alice.get("/api/v1/brokers/portfolio/consolidated").status_code == 200
        row = BrokerConnection.objects.get(pk=alices["upstox"].pk)
        assert (row.status, row.error_code) == ("ERROR", "secret_unreadable")
        assert "Enter the API key and secret of your app at Upstox again." in row.error_message
        BrokerApp.objects.filter(broker_type="zerodha").delete()
        own_app(alice, "upstox", brokers)
        assert connect(alice, "upstox", brokers).pk == row.pk

    def test_a_reminders_secret_alone_is_asked_for_again(self, alice: User, brokers: SimulatedBrokers) -> None:
        morning.set_reminder(user=alice, by_email=False, webhook_url="http://127.0.0.1:9/hook")
        with database.cursor() as cursor:
            cursor.execute("UPDATE login_reminders SET webhook_secret_encrypted = 'junk'")
        reminder, secret = morning.set_reminder(user=alice, by_email=True, webhook_url="http://127.0.0.1:9/hook")
        assert (reminder.by_email, secret) == (True, None)
        with pytest.raises(morning.Undelivered, match="make a new one"):
            morning._by_webhook(reminder, morning.queue(alice, timezone.now()), timezone.now())

    def test_sessions_end_all_the_same(
        self, unreadable: BrokerConnection, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        end = timezone.now() + timedelta(days=2)
        with django_capture_on_commit_callbacks(execute=True):
            assert sessions.end_expired_sessions(end) == 2

    def test_a_login_mends_it(self, unreadable: BrokerConnection, alice: User, brokers: SimulatedBrokers) -> None:
        assert connect(alice, "upstox", brokers).pk == unreadable.pk
        assert BrokerConnection.objects.get(pk=unreadable.pk).session is not None

    def test_the_list_of_connections_stands(self, unreadable: BrokerConnection, as_alice: Client) -> None:
        assert len(as_alice.get("/api/v1/brokers/connections").json()) == 2

    @pytest.mark.parametrize("address", ["brokers/logins", "health/brokers", "health/connections/{}/timeline"])
    def test_so_does_what_says_that_it_must_be_mended(
        self, address: str, unreadable: BrokerConnection, as_alice: Client
    ) -> None:
        assert as_alice.get(f"/api/v1/{address.format(unreadable.pk)}").status_code == 200

    @pytest.mark.parametrize(
        "table", ["brokers_brokerconnection", "brokers_connectionchange", "health_checkschedule", "health_incident"]
    )
    def test_support_sees_the_others(self, table: str, unreadable: BrokerConnection, root: User) -> None:
        CheckSchedule.objects.create(broker_connection=unreadable, broker_type="upstox", check_type="SESSION")
        Incident.objects.create(
            broker_connection=unreadable, broker_type="upstox", kind="ERROR", opened_at=timezone.now()
        )
        assert signed_in(root).get(reverse(f"admin:{table}_changelist")).status_code == 200

    def test_a_login_begun_for_it_knows_its_way_back(self, unreadable: BrokerConnection, alice: User) -> None:
        start = logins.initiate(
            user=alice,
            broker_type="upstox",
            redirect_uri=reach.own_callback("upstox"),
            return_to="logins",
            connection_id=unreadable.pk,
            now=timezone.now(),
        )
        assert logins.destination(alice, start.state) == logins.Destination("logins", unreadable)
