"""Alerts on their way out: signed, tried again, given up, held back by their owner, and never twice by us."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from cryptography.fernet import Fernet
from django.core import mail
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts import alerts
from accounts.alert_models import AlertDelivery, AlertKind, AlertRoute, DeliveryState, Way
from accounts.alerts import LEASE, MUTED_AFTER, MUTES, RETRIES, Alert
from accounts.events import Event
from accounts.management.commands.demo_users import support_group
from accounts.models import AuditEntry, User
from brokers import alert_sending, push, tasks, webhook
from brokers.alert_models import AlertWebhook
from brokers.reach import ConnectRefused
from brokers.secret import Secret
from tests.brokers.receiver import Receiver, receiving
from tests.conftest import signed_in

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)  # 11:30 IST
BLOCK = Alert(
    kind=AlertKind.RISK_BLOCK,
    subject="breach:7",
    title="the day's loss is at its limit",
    text="DAY_LOSS is 250.00, its block level 200.00.",
    data={"breach_id": 7, "value": "250.00"},
)
WARNING = Alert(kind=AlertKind.RISK_WARNING, subject="breach:8", title="a warning", text="It is close.")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def address(alice: User) -> str:
    return str(EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True).email)


@pytest.fixture
def hook(alice: User, receiver: Receiver) -> tuple[AlertRoute, Secret]:
    return alert_sending.add_webhook(user=alice, url=receiver.url, now=NOW, name="Mine")


def told(alice: User, alert: Alert = BLOCK, *, now: datetime = NOW) -> list[AlertDelivery]:
    event_id = alerts.tell(alice.pk, alert, now=now)
    return list(AlertDelivery.objects.filter(event_id=event_id).order_by("route__way"))


def state_of(delivery: AlertDelivery) -> tuple[str, int, str]:
    delivery.refresh_from_db()
    return delivery.state, delivery.attempts, delivery.last_error


class TestLetters:
    def test_it_goes_to_the_confirmed_address_without_being_asked_for(self, alice: User, address: str) -> None:
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        (letter,) = mail.outbox
        assert (letter.to, letter.subject) == ([address], "TradeMaster: the day's loss is at its limit")
        assert BLOCK.text in letter.body
        assert "26.11.2026 11:30 IST" in letter.body
        assert state_of(delivery) == (DeliveryState.SENT, 1, "")

    def test_an_address_that_nobody_confirmed_gets_nothing(self, alice: User) -> None:
        EmailAddress.objects.create(user=alice, email="alice@example.com", verified=False, primary=True)
        assert told(alice) == []

    def test_nor_does_who_turned_it_off_or_wants_other_kinds(self, alice: User, address: str) -> None:
        (route,) = alerts.routes_of(alice, now=NOW)
        alert_sending.change(route, kinds=[AlertKind.RISK_BLOCK.value])
        assert told(alice, WARNING) == []
        assert len(told(alice, BLOCK)) == 1
        alert_sending.change(route, is_enabled=False)
        assert told(alice, BLOCK) == []

    def test_a_mail_server_that_refuses_says_no_more_than_a_code(
        self, alice: User, address: str, settings: Settings
    ) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        assert state_of(delivery) == (DeliveryState.WAITING, 1, "email_not_taken")


class TestWebhooks:
    def test_its_receiver_can_tell_that_it_is_from_here_and_whether_it_is_a_double(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        ((headers, body),) = receiver.got
        stamped, signed = headers["X-TradeMaster-Signature"].split(",")
        assert stamped == f"t={int(NOW.timestamp())}"
        expected = hmac.new(hook[1].reveal().encode(), f"{int(NOW.timestamp())}.".encode() + body, sha256)
        assert signed == f"v1={expected.hexdigest()}"
        message = json.loads(body)
        assert headers["X-TradeMaster-Event"] == message["id"] == str(delivery.event_id)
        assert message["kind"] == "RISK_BLOCK"
        assert message["data"] == {"breach_id": 7, "value": "250.00"}
        assert message["happened_at"] == "2026-11-26T06:00:00Z"
        assert state_of(delivery) == (DeliveryState.SENT, 1, "")

    def test_what_fails_is_tried_again_later_and_later_and_given_up(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        receiver.statuses = [500]
        (delivery,) = told(alice)
        now, waits = NOW, []
        for _ in RETRIES:
            alert_sending.deliver(delivery.pk, now=now)
            delivery.refresh_from_db()
            waits.append(delivery.next_due_at - now)
            AlertRoute.objects.update(muted_until=None)
            alert_sending.deliver(delivery.pk, now=delivery.next_due_at - timedelta(seconds=1))
            now = delivery.next_due_at
        assert waits == list(RETRIES)
        assert state_of(delivery) == (DeliveryState.WAITING, len(RETRIES), "webhook_http_500")
        alert_sending.deliver(delivery.pk, now=now)
        assert state_of(delivery) == (DeliveryState.GIVEN_UP, len(RETRIES) + 1, "webhook_http_500")
        assert len(receiver.got) == len(RETRIES) + 1
        assert len({json.loads(body)["id"] for _, body in receiver.got}) == 1

    def test_a_redirect_is_not_followed(self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver) -> None:
        receiver.statuses = [302]
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        assert len(receiver.got) == 1
        assert state_of(delivery)[2] == "webhook_http_302"

    def test_what_was_taken_is_sent_to_nobody_again(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        (delivery,) = told(alice)
        for minutes in (0, 1, 10):
            alert_sending.deliver(delivery.pk, now=NOW + timedelta(minutes=minutes))
        assert len(receiver.got) == 1

    def test_whoever_sends_it_has_it_alone_and_a_dead_one_loses_it(
        self, alice: User, hook: tuple[AlertRoute, Secret]
    ) -> None:
        (delivery,) = told(alice)
        assert alerts.claim(delivery.pk, now=NOW) is not None
        assert alerts.claim(delivery.pk, now=NOW) is None
        late = alerts.claim(delivery.pk, now=NOW + LEASE)
        assert late is not None
        assert late.attempts == 2
        # The first one comes back, and what it says counts no more.
        delivery.attempts = 1
        assert not alerts.failed(delivery, "webhook_timeout", is_final=True, now=NOW + LEASE)
        assert state_of(delivery)[0] == DeliveryState.WAITING

    def test_a_private_address_is_refused_when_it_is_entered(self, alice: User, settings: Settings) -> None:
        settings.SIMULATED_BROKERS = False
        for url, code in (
            ("https://127.0.0.1/hook", "webhook_address_private"),
            ("https://169.254.169.254/latest", "webhook_address_private"),
            ("http://example.com/hook", "webhook_not_https"),
        ):
            with pytest.raises(ConnectRefused) as refusal:
                alert_sending.add_webhook(user=alice, url=url, now=NOW, name="Mine")
            assert refusal.value.code == code
        assert not AlertWebhook.objects.exists()

    def test_and_again_when_it_is_used(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver, settings: Settings
    ) -> None:
        settings.SIMULATED_BROKERS = False
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        assert receiver.got == []
        assert state_of(delivery) == (DeliveryState.GIVEN_UP, 1, "webhook_not_https")

    def test_where_it_leads_and_its_secret_are_kept_encrypted(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        with database.cursor() as cursor:
            cursor.execute("SELECT host, url_encrypted, secret_encrypted FROM alert_webhooks")
            (row,) = cursor.fetchall()
        assert row[0] in receiver.url
        assert not any(word in "".join(row) for word in ("hook?", hook[1].reveal()))

    def test_a_secret_that_no_key_reads_is_said_and_not_tried_again(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver, settings: Settings
    ) -> None:
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        assert receiver.got == []
        assert state_of(delivery) == (DeliveryState.GIVEN_UP, 1, "webhook_secret_unreadable")

    def test_neither_support_nor_the_log_sees_where_it_leads_or_its_secret(
        self,
        alice: User,
        sam: User,
        hook: tuple[AlertRoute, Secret],
        receiver: Receiver,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        receiver.statuses = [500]
        (delivery,) = told(alice)
        with caplog.at_level(logging.DEBUG):
            alert_sending.deliver(delivery.pk, now=NOW)
        sam.groups.add(support_group())
        desk, shown = signed_in(sam), [caplog.text]
        for app, model, key in (
            ("accounts", "alertroute", hook[0].pk),
            ("accounts", "alertdelivery", delivery.pk),
            ("brokers", "alertwebhook", hook[0].pk),
        ):
            for page in (
                reverse(f"admin:{app}_{model}_changelist"),
                reverse(f"admin:{app}_{model}_change", args=[key]),
            ):
                answer = desk.get(page)
                assert answer.status_code == 200
                shown.append(answer.content.decode())
        assert "webhook_http_500" in "".join(shown)
        assert not any(word in text for text in shown for word in ("hook?of=alice", hook[1].reveal()))


class TestSilence:
    @pytest.mark.parametrize(
        ("begins", "ends", "quiet_until"),
        [("11:00", "12:00", "12:00"), ("22:00", "11:45", "11:45"), ("11:30", "07:00", "+07:00")],
    )
    def test_quiet_hours_hold_back_what_is_not_urgent(
        self, begins: str, ends: str, quiet_until: str, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        alert_sending.change(hook[0], quiet_from=begins, quiet_until=ends)
        (warning,), (block,) = told(alice, WARNING), told(alice, BLOCK)
        for delivery in (warning, block):
            alert_sending.deliver(delivery.pk, now=NOW)
        assert [json.loads(body)["kind"] for _, body in receiver.got] == ["RISK_BLOCK"]
        warning.refresh_from_db()
        day = 27 if quiet_until.startswith("+") else 26
        hour, minute = map(int, quiet_until.lstrip("+").split(":"))
        assert warning.next_due_at == datetime(2026, 11, day, hour, minute, tzinfo=alerts.IST)
        assert warning.attempts == 0
        alert_sending.deliver(warning.pk, now=warning.next_due_at)
        assert state_of(warning)[0] == DeliveryState.SENT

    @pytest.mark.parametrize(("begins", "ends"), [("12:00", "13:00"), ("11:31", "11:29"), ("11:30", "11:30")])
    def test_outside_of_them_it_goes_at_once(
        self, begins: str, ends: str, alice: User, hook: tuple[AlertRoute, Secret]
    ) -> None:
        alert_sending.change(hook[0], quiet_from=begins, quiet_until=ends)
        (warning,) = told(alice, WARNING)
        alert_sending.deliver(warning.pk, now=NOW)
        assert state_of(warning)[0] == DeliveryState.SENT

    def test_a_pause_holds_back_everything_and_a_day_later_it_is_no_news(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        alert_sending.change(hook[0], paused_until=NOW + timedelta(days=2))
        (delivery,) = told(alice)
        alert_sending.deliver(delivery.pk, now=NOW)
        delivery.refresh_from_db()
        assert delivery.next_due_at == NOW + timedelta(days=2)
        alert_sending.deliver(delivery.pk, now=NOW + timedelta(days=2))
        assert state_of(delivery) == (DeliveryState.GIVEN_UP, 0, "too_late")
        assert receiver.got == []

    def test_a_route_that_fails_again_and_again_is_muted_for_longer_and_longer(
        self, alice: User, address: str, hook: tuple[AlertRoute, Secret], receiver: Receiver, pushed: list[Any]
    ) -> None:
        route, receiver.statuses, now, mutes = hook[0], [503], NOW, []
        (email,) = [each for each in alerts.routes_of(alice, now=NOW) if each.way == Way.EMAIL]
        alert_sending.change(email, is_enabled=False)
        for _ in range(MUTED_AFTER + len(MUTES)):
            (delivery,) = told(alice, now=now)
            alert_sending.deliver(delivery.pk, now=now)
            route.refresh_from_db()
            if route.muted_until is not None:
                mutes.append(route.muted_until - now)
                now = route.muted_until
        assert mutes == [*MUTES, MUTES[-1]]
        # Its owner was told once, by letter and on open pages.
        (letter,) = mail.outbox
        assert letter.to == [address]
        assert "webhook_http_503" in letter.body
        ((user_id, kind, told_page),) = pushed
        assert (user_id, kind) == (alice.pk, "ALERT_ROUTE_MUTED")
        assert json.loads(told_page)["route_id"] == str(route.pk)
        receiver.statuses = [204]
        (delivery,) = told(alice, now=now)
        alert_sending.deliver(delivery.pk, now=now)
        route.refresh_from_db()
        assert (route.failures, route.muted_until, route.last_error) == (0, None, "")

    def test_what_comes_while_it_is_muted_waits_for_the_end_of_it(
        self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver
    ) -> None:
        AlertRoute.objects.filter(pk=hook[0].pk).update(muted_until=NOW + timedelta(minutes=15), failures=MUTED_AFTER)
        (delivery,) = told(alice, WARNING)
        alert_sending.deliver(delivery.pk, now=NOW)
        assert receiver.got == []
        assert alerts.due(NOW) == []
        assert alerts.due(NOW + timedelta(minutes=15)) == [delivery.pk]

    def test_what_is_urgent_does_not(self, alice: User, hook: tuple[AlertRoute, Secret], receiver: Receiver) -> None:
        AlertRoute.objects.filter(pk=hook[0].pk).update(muted_until=NOW + timedelta(days=1), failures=99)
        (delivery,) = told(alice, BLOCK)
        alert_sending.deliver(delivery.pk, now=NOW)
        assert [json.loads(body)["kind"] for _, body in receiver.got] == ["RISK_BLOCK"]
        assert state_of(delivery)[0] == DeliveryState.SENT


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []

    def publish(user_id: int, kind: str, data: str, *, key: str = "") -> None:
        sent.append((user_id, kind, data))

    monkeypatch.setattr(push, "publish_json", publish)
    return sent


class TestTheQueue:
    def test_it_is_handed_to_a_worker_after_the_commit(
        self,
        alice: User,
        hook: tuple[AlertRoute, Secret],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked: list[Any] = []
        monkeypatch.setattr(alerts.current_app, "send_task", lambda name, args, **how: asked.append((name, args)))
        with django_capture_on_commit_callbacks(execute=True):
            (delivery,) = told(alice)
            assert asked == []
        assert asked == [(tasks.deliver_alert.name, (delivery.pk,))]

    def test_beat_finds_what_nobody_was_handed(self, alice: User, hook: tuple[AlertRoute, Secret]) -> None:
        (delivery,) = told(alice)
        assert alerts.due(NOW) == [delivery.pk]
        alerts.claim(delivery.pk, now=NOW)
        assert alerts.due(NOW) == []
        assert alerts.due(NOW + LEASE) == [delivery.pk]

    def test_who_has_left_is_told_nothing(self, alice: User, hook: tuple[AlertRoute, Secret]) -> None:
        (delivery,) = told(alice)
        User.objects.filter(pk=alice.pk).update(is_active=False)
        assert told(alice) == []
        assert alerts.claim(delivery.pk, now=NOW) is None
        assert state_of(delivery)[2] == "route_off"


ROUTES = "/api/v1/account/alerts/routes"


def asked(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = getattr(client, method)(path, data=json.dumps(body or {}), content_type="application/json")
    return answer.status_code, answer.json() if answer.content else None


class TestOverHttp:
    def test_a_webhook_from_its_making_to_its_end(self, alice: User, receiver: Receiver) -> None:
        client = signed_in(alice)
        status, made = asked(client, "post", ROUTES, {"name": "Phone", "url": receiver.url, "kinds": ["RISK_BLOCK"]})
        assert status == 201
        assert len(made["secret"]) > 30
        assert made["leads_to"] in receiver.url
        listed = client.get(ROUTES).json()
        assert [each["way"] for each in listed] == ["EMAIL", "WEBHOOK"]
        assert made["secret"] not in json.dumps(listed)
        assert "of=alice" not in json.dumps([made, listed])
        one = f"{ROUTES}/{made['id']}"
        assert asked(client, "patch", one, {"quiet_from": "22:00"})[0] == 400
        assert asked(client, "patch", one, {"kinds": ["NOTHING"]})[0] == 400
        status, changed = asked(client, "patch", one, {"quiet_from": "22:00", "quiet_until": "07:00"})
        assert (status, changed["quiet_until"]) == (200, "07:00:00")
        status, sent = asked(client, "post", f"{one}/test")
        assert (status, sent["kind"], sent["state"]) == (202, "TEST", "WAITING")
        alert_sending.deliver(AlertDelivery.objects.get(event_id=sent["event_id"]).pk, now=datetime.now(UTC))
        assert json.loads(receiver.got[0][1])["kind"] == "TEST"
        (shown,) = client.get("/api/v1/account/alerts/deliveries").json()
        assert (shown["state"], shown["next_due_at"], shown["last_error"]) == ("SENT", None, None)
        assert asked(client, "delete", one) == (204, None)
        assert not AlertWebhook.objects.exists()
        noted = AuditEntry.objects.filter(event=Event.ALERTS_CHANGED).order_by("sequence")
        assert [row.details["what"] for row in noted] == ["added", "changed", "removed"]

    def test_the_letters_stay_and_a_test_of_them_needs_an_address(self, as_alice: Client) -> None:
        (email,) = as_alice.get(ROUTES).json()
        assert (email["way"], email["leads_to"], email["is_enabled"]) == ("EMAIL", None, True)
        one = f"{ROUTES}/{email['id']}"
        assert asked(as_alice, "delete", one)[1]["error"]["code"] == "alert_route_kept"
        assert asked(as_alice, "post", f"{one}/test")[1]["error"]["code"] == "email_not_confirmed"
        asked(as_alice, "patch", one, {"is_enabled": False})
        assert asked(as_alice, "post", f"{one}/test")[1]["error"]["code"] == "alert_route_off"

    def test_there_is_an_end_to_them(self, as_alice: Client, receiver: Receiver) -> None:
        as_alice.get(ROUTES)
        answers = [
            asked(as_alice, "post", ROUTES, {"name": str(number), "url": receiver.url})
            for number in range(alerts.MOST_ROUTES)
        ]
        assert [status for status, _ in answers] == [201] * (alerts.MOST_ROUTES - 1) + [409]
        assert answers[-1][1]["error"]["code"] == "too_many_alert_routes"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"is_enabled": False}, "step_up_required"),
            ({"kinds": ["RISK_BLOCK", "RISK_WARNING"]}, "step_up_required"),
            ({"kinds": ["TRADING_HALT"]}, "step_up_required"),
            ({"paused_until": "2199-01-01T00:00:00Z"}, "step_up_required"),
            ({"kinds": ["RISK_BLOCK", "TRADING_HALT"]}, None),
            ({"paused_until": "2020-01-01T00:00:00Z"}, None),
            ({"quiet_from": "22:00", "quiet_until": "07:00"}, None),
            ({"name": "Mine"}, None),
        ],
    )
    def test_nothing_urgent_is_silenced_without_a_fresh_proof(
        self, change: dict[str, Any], code: str | None, as_alice: Client, alice: User, hook: tuple[AlertRoute, Secret]
    ) -> None:
        stale = Client()
        stale.force_login(alice)
        one = f"{ROUTES}/{hook[0].pk}"
        status, answer = asked(stale, "patch", one, change)
        assert (status, code) == ((200, None) if code is None else (403, answer["error"]["code"]))
        assert asked(as_alice, "patch", one, change)[0] == 200

    def test_nor_removed(self, as_alice: Client, alice: User, hook: tuple[AlertRoute, Secret]) -> None:
        stale = Client()
        stale.force_login(alice)
        one = f"{ROUTES}/{hook[0].pk}"
        assert asked(stale, "delete", one)[1]["error"]["code"] == "step_up_required"
        assert AlertRoute.objects.filter(pk=hook[0].pk).exists()
        assert asked(as_alice, "delete", one)[0] == 204

    def test_what_is_off_is_changed_and_put_on_without(self, alice: User, hook: tuple[AlertRoute, Secret]) -> None:
        alert_sending.change(hook[0], is_enabled=False)
        assert not alerts.silences(hook[0], {"kinds": []}, now=NOW)
        assert not alerts.silences(hook[0], {"is_enabled": True}, now=NOW)

    def test_a_name_is_looked_up_before_anybodys_row_is_held(
        self, as_alice: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        depth: list[int] = []
        resolved = webhook.resolved

        def looking(*args: Any, **how: Any) -> Any:
            depth.append(len(database.savepoint_ids))
            return resolved(*args, **how)

        outside = len(database.savepoint_ids)
        monkeypatch.setattr(webhook, "resolved", looking)
        assert asked(as_alice, "post", ROUTES, {"name": "Mine", "url": receiver.url})[0] == 201
        assert depth == [outside]

    def test_what_cannot_be_reached_is_refused(self, as_alice: Client) -> None:
        status, answer = asked(as_alice, "post", ROUTES, {"name": "Mine", "url": "https://10.0.0.1/hook"})
        assert (status, answer["error"]["code"]) == (400, "webhook_address_private")
        assert answer["error"]["remedy"]
