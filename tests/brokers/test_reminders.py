"""The reminder at 08:45: to whom, when, once, by which way; and that it gives nothing away."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import sha256
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.locmem import EmailBackend
from django.db import connections
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from brokers import morning, tasks
from brokers.models import BrokerConnection, LoginReminder
from brokers.morning import due_reminders, remind, set_reminder
from brokers.secret import Secret
from tests.brokers.receiver import Receiver, receiving
from tests.brokers.test_api import refused, send
from tests.brokers.test_hours import ist
from tests.brokers.test_morning import connection
from tests.conftest import signed_in
from trademaster.environment import mail_server

REMINDER = "/brokers/logins/reminder"
DAY = date(2026, 11, 26)
MORNING = ist("2026-11-26T08:45")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    cache.clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def waiting(alice: User) -> BrokerConnection:
    return connection(alice, "zerodha", "AB1234", status="TOKEN_EXPIRED")


@pytest.fixture
def by_mail(alice: User, waiting: BrokerConnection) -> LoginReminder:
    return set_reminder(user=alice, by_email=True, webhook_url="")[0]


def run(now: datetime) -> None:
    """What beat starts every minute."""
    for user_id in due_reminders(now):
        remind(user_id, now=now)


def minutes(count: int) -> datetime:
    return MORNING + timedelta(minutes=count)


class TestWhen:
    @pytest.mark.parametrize(
        ("now", "sent"),
        [
            ("2026-11-26T08:44:59", 0),
            ("2026-11-26T08:45", 1),
            ("2026-11-26T09:14:59", 1),
            ("2026-11-26T09:15", 0),
            ("2026-11-24T08:45", 0),  # a holiday
            ("2026-11-28T08:45", 0),  # a Saturday
            ("2026-11-08T08:45", 1),  # Muhurat
            ("2027-01-04T08:45", 1),  # who knows
        ],
    )
    def test_on_trading_days_before_the_market_opens(self, now: str, sent: int, by_mail: LoginReminder) -> None:
        run(ist(now))
        assert len(mail.outbox) == sent

    def test_once_a_day(self, by_mail: LoginReminder) -> None:
        for minute in range(30):
            run(minutes(minute))
        assert len(mail.outbox) == 1
        run(MORNING + timedelta(days=1))
        assert len(mail.outbox) == 2
        by_mail.refresh_from_db()
        assert (by_mail.last_sent_on, by_mail.last_error) == (date(2026, 11, 27), "")

    def test_only_if_a_login_is_needed(self, by_mail: LoginReminder, waiting: BrokerConnection) -> None:
        row = BrokerConnection.objects.filter(pk=waiting.pk)
        row.update(status="CONNECTED", token_expires_at=ist("2026-11-27T06:00"))
        run(MORNING)
        row.update(status="DISCONNECTED")
        run(minutes(1))
        assert mail.outbox == []
        row.update(status="TOKEN_EXPIRED")
        run(minutes(2))  # it died within the window
        assert len(mail.outbox) == 1

    def test_a_session_that_ends_during_trading_is_a_reason(
        self, by_mail: LoginReminder, waiting: BrokerConnection
    ) -> None:
        row = BrokerConnection.objects.filter(pk=waiting.pk)
        row.update(status="CONNECTED", token_expires_at=ist("2026-11-26T12:00"))
        run(MORNING)
        assert len(mail.outbox) == 1

    def test_only_to_those_who_asked(self, alice: User, bob: User, waiting: BrokerConnection) -> None:
        connection(bob, "upstox", status="TOKEN_EXPIRED")
        set_reminder(user=alice, by_email=True, webhook_url="")
        set_reminder(user=bob, by_email=False, webhook_url="")
        run(MORNING)
        assert [letter.to for letter in mail.outbox] == [["alice@example.com"]]

    @pytest.mark.parametrize("change", [{"is_active": False}, {"role": "SUPPORT"}])
    def test_not_to_who_may_not_trade_here(self, change: dict[str, Any], by_mail: LoginReminder) -> None:
        User.objects.filter(pk=by_mail.pk).update(**change)
        assert due_reminders(MORNING) == []


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_send_one(alice: User, receiver: Receiver) -> None:
    connection(alice, "zerodha", status="TOKEN_EXPIRED")
    set_reminder(user=alice, by_email=True, webhook_url=receiver.url)
    ready = threading.Barrier(4)

    def sender() -> None:
        try:
            ready.wait()
            remind(alice.pk, now=MORNING)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=sender) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(mail.outbox), len(receiver.got)) == (1, 1)


def test_a_sender_that_was_overtaken_sends_nothing(
    alice: User, waiting: BrokerConnection, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one sent the letter, failed at the webhook and gave the day back, all while this one was thinking."""
    set_reminder(user=alice, by_email=True, webhook_url=receiver.url)
    receiver.statuses = [500]
    thinking = morning.queue

    def slowly(user: User, now: datetime) -> morning.Queue:
        monkeypatch.setattr(morning, "queue", thinking)
        remind(user.pk, now=now)
        return thinking(user, now)

    monkeypatch.setattr(morning, "queue", slowly)
    remind(alice.pk, now=MORNING)
    assert (len(mail.outbox), len(receiver.got)) == (1, 1)
    assert LoginReminder.objects.get().last_error == "webhook: HTTP 500"


class TestWhatItSays:
    def test_the_letter(self, by_mail: LoginReminder, alice: User, settings: Settings) -> None:
        connection(alice, "upstox", "U98765", ends="2026-11-27T03:30", display_name="Papa")
        connection(alice, "fyers", "FY4321", status="TOKEN_EXPIRED", display_name="Fyers FY4321")
        connection(alice, "groww", "G55555", status="TOKEN_EXPIRED", display_name="Mama")
        run(MORNING)
        (letter,) = mail.outbox
        assert letter.subject == "SIMULATED: 3 broker logins are needed today"
        text = str(letter.body)
        assert "3 of your 4 broker connections need a login today. Trading begins at 09:00 IST." in text
        assert "- Zerodha, account ending 234:" in text
        assert "- Groww, Mama:" in text
        assert "Papa" not in text
        assert text.count("http") == 1
        assert f"{settings.PUBLIC_URL}/logins" in text
        for account in ("AB1234", "FY4321", "G55555"):
            assert account not in text + letter.subject

    def test_a_year_without_a_calendar_is_said_to_be_one(self, by_mail: LoginReminder) -> None:
        run(ist("2027-01-04T08:45"))
        assert "Whether the exchanges trade today is not known here" in str(mail.outbox[0].body)

    def test_the_message(self, alice: User, waiting: BrokerConnection, receiver: Receiver) -> None:
        _, secret = set_reminder(user=alice, by_email=False, webhook_url=receiver.url)
        assert secret
        run(MORNING)
        ((headers, body),) = receiver.got
        signed = f"{headers['X-TradeMaster-Timestamp']}.".encode() + body
        expected = hmac.new(secret.reveal().encode(), signed, sha256).hexdigest()
        assert headers["X-TradeMaster-Signature"] == f"v1={expected}"
        message = json.loads(body)
        assert (message["type"], message["date"], message["total"]) == ("LOGIN_REMINDER", "2026-11-26", 1)
        assert message["id"] == f"login-reminder-{alice.pk}-2026-11-26"
        assert message["logins"] == [
            {
                "connection_id": str(waiting.pk),
                "broker_type": "zerodha",
                "broker_name": "Zerodha",
                "needs_login": "now",
                "reason_code": "session_ended",
            }
        ]
        assert mail.outbox == []


class TestWhatFails:
    def test_what_did_not_get_through_is_tried_again_and_what_did_is_not(
        self, alice: User, waiting: BrokerConnection, receiver: Receiver
    ) -> None:
        set_reminder(user=alice, by_email=True, webhook_url=receiver.url)
        receiver.statuses = [500, 204]
        run(MORNING)
        reminder = LoginReminder.objects.get()
        assert (reminder.last_sent_on, reminder.last_error) == (None, "webhook: HTTP 500")
        run(minutes(1))  # too soon
        assert len(receiver.got) == 1
        run(minutes(5))
        reminder.refresh_from_db()
        assert (reminder.last_sent_on, reminder.last_error) == (DAY, "")
        for minute in range(6, 30):
            run(minutes(minute))
        assert (len(mail.outbox), len(receiver.got)) == (1, 2)

    def test_it_is_given_up_with_the_window(self, alice: User, waiting: BrokerConnection, receiver: Receiver) -> None:
        set_reminder(user=alice, by_email=False, webhook_url=receiver.url)
        receiver.statuses = [500]
        for minute in range(60):
            run(minutes(minute))
        assert len(receiver.got) == 6
        reminder = LoginReminder.objects.get()
        assert (reminder.last_sent_on, reminder.last_error) == (None, "webhook: HTTP 500")
        receiver.statuses = [204]
        run(MORNING + timedelta(days=1))  # yesterday's failure does not hold up today
        assert len(receiver.got) == 7

    def test_one_way_that_got_through_counts_as_sent(
        self, alice: User, waiting: BrokerConnection, receiver: Receiver
    ) -> None:
        set_reminder(user=alice, by_email=True, webhook_url=receiver.url)
        receiver.statuses = [500]
        for minute in range(30):
            run(minutes(minute))
        reminder = LoginReminder.objects.get()
        assert (reminder.last_sent_on, reminder.last_error) == (DAY, "webhook: HTTP 500")

    def test_a_mail_server_that_fails(self, by_mail: LoginReminder, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> int:
            raise SMTPServerDisconnected("alice@example.com")

        with monkeypatch.context() as patch:
            patch.setattr(EmailBackend, "send_messages", fail)
            run(MORNING)
        by_mail.refresh_from_db()
        assert by_mail.last_error == "e-mail: the mail server did not take the letter"
        run(minutes(5))
        assert len(mail.outbox) == 1

    def test_an_address_that_was_taken_away(self, by_mail: LoginReminder, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(email="")
        run(MORNING)
        by_mail.refresh_from_db()
        assert by_mail.last_error == "e-mail: there is no address on the account"

    def test_a_name_that_began_to_lead_into_a_private_network(
        self, alice: User, waiting: BrokerConnection, receiver: Receiver, settings: Settings
    ) -> None:
        """It is judged again each time: here this machine was allowed, and no longer is."""
        set_reminder(user=alice, by_email=False, webhook_url=receiver.url.replace("http:", "https:"))
        settings.SIMULATED_BROKERS = False
        run(MORNING)
        assert LoginReminder.objects.get().last_error == "webhook: This address leads into a private network."
        assert receiver.got == []


class TestTheSettings:
    def test_nothing_is_asked_for_at_first(self, as_alice: Client) -> None:
        assert send(as_alice, "get", REMINDER).json() == {
            "by_email": False,
            "email": "alice@example.com",
            "webhook_url": "",
            "last_sent_on": None,
            "last_error": None,
        }
        assert not LoginReminder.objects.exists()

    def test_a_secret_comes_out_once(self, as_alice: Client, receiver: Receiver) -> None:
        body = {"by_email": False, "webhook_url": receiver.url}
        answer = send(as_alice, "put", REMINDER, body)
        first = answer.json()["webhook_secret"]
        assert len(first) >= 32
        assert answer["Cache-Control"] == "no-store"
        again = send(as_alice, "put", REMINDER, {**body, "by_email": True})
        assert again.json()["webhook_secret"] is None
        shown = send(as_alice, "get", REMINDER)
        assert shown.json()["by_email"] is True
        assert "webhook_secret" not in shown.json()
        assert first not in again.content.decode() + shown.content.decode()
        assert LoginReminder.objects.get().webhook_secret_encrypted == Secret(first)

    def test_it_can_be_made_anew_and_another_address_gets_another(self, as_alice: Client, receiver: Receiver) -> None:
        def put(url: str, **more: bool) -> str | None:
            secret: str | None = send(as_alice, "put", REMINDER, {"webhook_url": url, **more}).json()["webhook_secret"]
            return secret

        found = [put(receiver.url), put(receiver.url, rotate_secret=True), put(f"{receiver.url}&more")]
        assert len({secret for secret in found if secret}) == 3
        assert put("") is None
        reminder = LoginReminder.objects.get()
        assert (reminder.webhook_url, reminder.webhook_secret_encrypted) == ("", None)

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("hook", "webhook_url_invalid"),
            ("http://example.com/hook", "webhook_not_https"),
            ("https://10.0.0.1/hook", "webhook_address_private"),
            ("https://nowhere.invalid/hook", "webhook_host_unknown"),
        ],
    )
    def test_an_address_that_cannot_be_used_changes_nothing(self, url: str, code: str, as_alice: Client) -> None:
        refused(send(as_alice, "put", REMINDER, {"by_email": True, "webhook_url": url}), 400, code)
        assert not LoginReminder.objects.exists()

    def test_an_email_needs_an_address(self, alice: User, as_alice: Client) -> None:
        User.objects.filter(pk=alice.pk).update(email="")
        refused(send(as_alice, "put", REMINDER, {"by_email": True}), 400, "email_missing")

    def test_it_is_everybodys_own(self, as_alice: Client, as_mallory: Client, receiver: Receiver) -> None:
        send(as_alice, "put", REMINDER, {"by_email": True, "webhook_url": receiver.url})
        assert send(as_mallory, "get", REMINDER).json()["webhook_url"] == ""

    def test_no_secret_is_shown_to_support_or_logged(
        self, alice: User, root: User, waiting: BrokerConnection, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        receiver.statuses = [500]
        with caplog.at_level("DEBUG"):
            _, secret = set_reminder(user=alice, by_email=True, webhook_url=receiver.url)
            run(MORNING)
        assert secret
        admin = signed_in(root)
        seen = caplog.text + str(mail.outbox[0].message())
        for page in ("", f"{alice.pk}/change/"):
            answer = admin.get(f"/admin/brokers/loginreminder/{page}")
            assert answer.status_code == 200
            seen += answer.content.decode()
        assert "webhook: HTTP 500" in seen
        assert secret.reveal() not in seen
        assert "/hook?of=alice" not in seen


def test_beat_starts_one_task_for_each_trader(
    by_mail: LoginReminder, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    sent: list[tuple[int]] = []
    monkeypatch.setattr(tasks.send_login_reminder, "apply_async", lambda arguments, **options: sent.append(arguments))
    monkeypatch.setattr(tasks.timezone, "now", lambda: MORNING)
    assert settings.CELERY_BEAT_SCHEDULE["send-login-reminders"]["task"] == tasks.send_login_reminders.name
    tasks.send_login_reminders()
    assert sent == [(by_mail.pk,)]
    tasks.send_login_reminder(*sent[0])
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("smtp+tls://alice:p%40ss@mail.example:587", "smtp+tls", "mail.example", 587),
        ("smtps://mail.example:465", "smtps", "mail.example", 465),
        ("smtp://127.0.0.1:25", "smtp", "127.0.0.1", 25),
    ],
)
def test_a_mail_server_is_one_address(url: str, scheme: str, host: str, port: int) -> None:
    server = mail_server(url)
    assert (server.scheme, server.hostname, server.port) == (scheme, host, port)


@pytest.mark.parametrize("url", ["mail.example", "http://mail.example:25", "smtp://mail.example", "smtp://mail:x"])
def test_a_mail_server_that_is_none_stops_the_start(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL"):
        mail_server(url)
