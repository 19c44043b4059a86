"""Postbacks: who may post, what is made of it, and that nothing is believed that the broker's own book does not say."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from redis.exceptions import ConnectionError as RedisGone

from accounts.models import User
from brokers import postbacks, services, tasks
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.postback_models import BrokerPostback, Outcome, PostbackInbox, Verified
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from tests.brokers.posting import (
    IN_BOOK,
    NOW,
    NOWHERE,
    ORDERS,
    SILENT,
    asked,
    generation,
    inbox,
    outcomes,
    path_of,
    post,
)
from tests.brokers.test_api import refused, send
from tests.contract.recorded import payload
from tests.people import connect


@pytest.fixture
def zerodha(alice: User, brokers: SimulatedBrokers) -> BrokerConnection:
    """Alice's connection, with an empty book of orders."""
    connection = connect(alice, "zerodha", brokers)
    brokers.control.reset_counters()
    return connection


@pytest.fixture
def posted(brokers: SimulatedBrokers, zerodha: BrokerConnection) -> Callable[..., bytes]:
    """The body that Kite posts of an order, signed with the secret of Alice's app."""

    def body(order: str = IN_BOOK, **changed: object) -> bytes:
        stamp = "2026-11-26 10:30:00"
        secret = brokers.brokers["zerodha"]["api_secret"]
        checksum = sha256(f"{order}{stamp}{secret}".encode()).hexdigest()
        row = {"user_id": zerodha.account_id, "order_id": order, "order_timestamp": stamp, "status": "COMPLETE"}
        return json.dumps({**row, "checksum": checksum, **changed}).encode()

    return body


class TestWhoMayPost:
    def test_the_address_is_random_and_kept_as_a_hash(self, zerodha: BrokerConnection) -> None:
        first, second = path_of(zerodha), path_of(zerodha)
        secret = second.removeprefix("/brokers/postback/")
        assert first != second
        assert len(secret) == 43  # 256 bits
        assert PostbackInbox.objects.get().address_hash == sha256(secret.encode()).hexdigest()

    def test_a_postback_is_taken_in_and_answered_with_nothing(
        self, zerodha: BrokerConnection, posted: Callable[..., bytes], control: Control
    ) -> None:
        answer = post(path_of(zerodha), posted())
        assert (answer.status_code, answer.content) == (200, b"")
        assert outcomes() == [(Verified.YES, Outcome.WAITING)]
        assert asked(control) == 0  # not within the request

    def test_void_and_unknown_addresses_are_the_same_404(
        self, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        unknown = post("/brokers/postback/" + "x" * 43, posted())
        replaced, voided = path_of(zerodha), path_of(zerodha)
        answers = [unknown, post(replaced, posted())]
        postbacks.void_address(zerodha)
        answers.append(post(voided, posted()))
        assert {answer.status_code for answer in answers} == {404}
        assert len({(answer.content, tuple(answer.headers.items())) for answer in answers}) == 1
        assert outcomes() == []

    def test_disconnecting_voids_it_and_the_same_account_brings_it_back(
        self, alice: User, brokers: SimulatedBrokers, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        path = path_of(zerodha)
        services.disconnect(zerodha, now=NOW)
        assert post(path, posted()).status_code == 404
        connect(alice, "zerodha", brokers)
        assert post(path, posted()).status_code == 200

    def test_somebody_who_was_switched_off_has_none(
        self, alice: User, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        path = path_of(zerodha)
        alice.is_active = False
        alice.save()
        assert post(path, posted()).status_code == 404

    @pytest.mark.parametrize("method", ["get", "put", "delete", "head", "patch"])
    def test_it_is_there_for_posting_alone(self, method: str, zerodha: BrokerConnection, client: Client) -> None:
        answers = [getattr(client, method)(path) for path in (path_of(zerodha), "/brokers/postback/unknown")]
        assert [answer.status_code for answer in answers] == [405, 405]

    def test_a_session_that_has_ended_keeps_its_address(
        self, zerodha: BrokerConnection, posted: Callable[..., bytes], control: Control
    ) -> None:
        path = path_of(zerodha)
        BrokerConnection.objects.update(status=ConnectionStatus.TOKEN_EXPIRED)
        assert post(path, posted()).status_code == 200
        tasks.read_postbacks(str(zerodha.pk))
        assert outcomes() == [(Verified.YES, Outcome.NOT_READ)]
        assert asked(control) == 0


class TestWhatIsMadeOfIt:
    @pytest.mark.parametrize(
        ("changed", "outcome"),
        [
            ({"checksum": "0" * 64}, (Verified.NO, Outcome.BAD_SIGNATURE)),
            ({"order_id": NOWHERE}, (Verified.NO, Outcome.BAD_SIGNATURE)),
            ({"user_id": "ZZ9999"}, (Verified.YES, Outcome.OTHER_ACCOUNT)),
            ({"user_id": "ZZ9999", "checksum": "é"}, (Verified.NO, Outcome.BAD_SIGNATURE)),
            ({"user_id": "A\x00"}, (Verified.NONE, Outcome.UNREADABLE)),
            ({"checksum": None}, (Verified.NONE, Outcome.UNREADABLE)),
        ],
    )
    def test_what_is_not_believed_is_written_down_and_leads_to_nothing(
        self,
        changed: dict[str, object],
        outcome: tuple[str, str],
        zerodha: BrokerConnection,
        posted: Callable[..., bytes],
        control: Control,
    ) -> None:
        assert post(path_of(zerodha), posted(**changed)).status_code == 200
        assert outcomes() == [outcome]
        assert PostbackInbox.objects.get().read_due_at is None
        assert postbacks.overdue(NOW + timedelta(days=365)) == []
        tasks.read_postbacks(str(zerodha.pk))
        assert asked(control) == 0

    @pytest.mark.parametrize("body", [b"", b"not JSON", b"\x00\xff", b"[" * 60_000])
    def test_what_is_no_postback(self, body: bytes, zerodha: BrokerConnection) -> None:
        assert post(path_of(zerodha), body).status_code == 200
        assert outcomes() == [(Verified.NONE, Outcome.UNREADABLE)]

    def test_what_is_too_large(self, zerodha: BrokerConnection, posted: Callable[..., bytes]) -> None:
        path = path_of(zerodha)
        largest = posted().ljust(postbacks.LARGEST)
        assert post(path, largest).status_code == 200
        assert post(path, largest + b" ").status_code == 413
        assert outcomes() == [(Verified.YES, Outcome.WAITING), (Verified.NONE, Outcome.TOO_LARGE)]

    def test_without_the_secret_nothing_can_be_checked(
        self, alice: User, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        path = path_of(zerodha)
        services.forget_app(user=alice, broker_type="zerodha")
        assert post(path, posted()).status_code == 200
        assert outcomes() == [(Verified.NO, Outcome.BAD_SIGNATURE)]

    def test_nor_while_no_key_reads_it(
        self, zerodha: BrokerConnection, posted: Callable[..., bytes], control: Control, settings: Settings
    ) -> None:
        """It is answered all the same, and the orders that an earlier one told of are not read."""
        path = path_of(zerodha)
        assert post(path, posted()).status_code == 200
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
        assert post(path, posted()).status_code == 200
        postbacks.read_orders(zerodha.pk, now=timezone.now())
        assert outcomes() == [(Verified.YES, Outcome.NOT_READ), (Verified.NO, Outcome.BAD_SIGNATURE)]
        assert asked(control) == 0

    def test_an_app_of_two_accounts_has_one_address(
        self, alice: User, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        other = BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="CD5678")
        path = path_of(zerodha)
        post(path, posted(user_id="CD5678"))
        assert BrokerPostback.objects.get().broker_connection == other
        assert PostbackInbox.objects.get(pk=other.pk).read_due_at is not None
        assert PostbackInbox.objects.get(pk=zerodha.pk).read_due_at is None

    def test_somebody_elses_account_is_another_one(
        self, bob: User, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        BrokerConnection.objects.create(user=bob, broker_type="zerodha", account_id="CD5678")
        post(path_of(zerodha), posted(user_id="CD5678"))
        assert outcomes() == [(Verified.YES, Outcome.OTHER_ACCOUNT)]


class TestReading:
    @pytest.fixture
    def orders(self, control: Control) -> None:
        control.serve("zerodha", ORDERS, payload("zerodha", "orders.json"))

    @pytest.mark.parametrize(
        ("order_id", "outcome", "moves"), [(IN_BOOK, Outcome.CONFIRMED, 1), (NOWHERE, Outcome.NOT_IN_BOOK, 0)]
    )
    def test_only_what_the_brokers_book_has_changes_anything(
        self,
        order_id: str,
        outcome: Outcome,
        moves: int,
        alice: User,
        orders: None,
        control: Control,
        zerodha: BrokerConnection,
        posted: Callable[..., bytes],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        """Both say COMPLETE, and both are signed by the broker."""
        post(path_of(zerodha), posted(order_id))
        before = generation(alice)
        with django_capture_on_commit_callbacks(execute=True):
            tasks.read_postbacks(str(zerodha.pk))
        assert outcomes() == [(Verified.YES, outcome)]
        assert asked(control) == 1
        assert generation(alice) - before == moves
        assert postbacks.overdue(NOW + timedelta(days=365)) == []

    def test_a_burst_is_one_reading_and_the_last_is_followed_by_one(
        self, orders: None, control: Control, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        own = inbox(zerodha)

        def receive(milliseconds: int) -> Any:
            return postbacks.receive(own, posted(), {}, now=NOW + timedelta(milliseconds=milliseconds))

        assert [receive(number) for number in range(50)] == [(zerodha.pk, NOW)] + 49 * [None]
        assert postbacks.read_orders(zerodha.pk, now=NOW + timedelta(milliseconds=60)) is None
        assert asked(control) == 1
        again_at = NOW + timedelta(milliseconds=1060)
        assert [receive(number) for number in range(100, 130)] == [(zerodha.pk, again_at)] + 29 * [None]
        assert postbacks.read_orders(zerodha.pk, now=NOW + timedelta(milliseconds=200)) == again_at  # too early
        assert asked(control) == 1
        assert [outcome for _, outcome in outcomes()].count(Outcome.WAITING) == 30
        postbacks.read_orders(zerodha.pk, now=again_at)
        assert asked(control) == 2
        assert set(outcomes()) == {(Verified.YES, Outcome.CONFIRMED)}
        postbacks.read_orders(zerodha.pk, now=again_at + timedelta(hours=1))  # nothing is due any more
        assert asked(control) == 2

    def test_one_that_comes_during_a_reading_gets_one_of_its_own(
        self,
        orders: None,
        control: Control,
        zerodha: BrokerConnection,
        posted: Callable[..., bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        own, really = inbox(zerodha), postbacks._orders_of

        def slowly(connection: BrokerConnection, now: datetime) -> Any:
            monkeypatch.setattr(postbacks, "_orders_of", really)
            book = really(connection, now)
            assert postbacks.receive(own, posted(), {}, now=now + timedelta(seconds=2)) is not None
            return book

        monkeypatch.setattr(postbacks, "_orders_of", slowly)
        postbacks.receive(own, posted(), {}, now=NOW)
        postbacks.read_orders(zerodha.pk, now=NOW)
        assert [outcome for _, outcome in outcomes()] == [Outcome.CONFIRMED, Outcome.WAITING]
        assert postbacks.overdue(NOW + timedelta(seconds=10)) == [zerodha.pk]
        postbacks.read_orders(zerodha.pk, now=NOW + timedelta(seconds=2))
        assert [outcome for _, outcome in outcomes()] == [Outcome.CONFIRMED, Outcome.CONFIRMED]
        assert asked(control) == 2

    def test_replays_lead_to_a_reading_at_most(
        self, orders: None, control: Control, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        own, body = inbox(zerodha), posted()
        for second in range(3):
            for _ in range(5):
                postbacks.receive(own, body, {}, now=NOW + timedelta(seconds=2 * second))
            postbacks.read_orders(zerodha.pk, now=NOW + timedelta(seconds=2 * second))
        assert asked(control) == 3
        assert set(outcomes()) == {(Verified.YES, Outcome.CONFIRMED)}

    def test_a_lost_task_and_a_dead_worker_are_made_good(
        self,
        orders: None,
        control: Control,
        zerodha: BrokerConnection,
        posted: Callable[..., bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        postbacks.receive(inbox(zerodha), posted(), {}, now=NOW)
        assert postbacks.overdue(NOW + timedelta(seconds=1)) == []  # its task may be on its way
        assert postbacks.overdue(NOW + timedelta(seconds=4)) == [zerodha.pk]

        def dies(connection: BrokerConnection, now: datetime) -> Any:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(postbacks, "_orders_of", dies)
            with pytest.raises(SystemExit):
                postbacks.read_orders(zerodha.pk, now=NOW + timedelta(seconds=4))
        later = NOW + timedelta(seconds=4) + postbacks.LEASE + postbacks.OVERDUE
        assert postbacks.overdue(later) == [zerodha.pk]
        postbacks.read_orders(zerodha.pk, now=later)
        assert outcomes() == [(Verified.YES, Outcome.CONFIRMED)]

    def test_a_broker_that_does_not_answer_is_asked_some_times_more(
        self, control: Control, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        control.set_fault("zerodha", "server_error", path="/orders")
        postbacks.receive(inbox(zerodha), posted(), {}, now=NOW)
        now, attempts = NOW, 0
        while PostbackInbox.objects.get().read_due_at is not None:
            now = PostbackInbox.objects.get().read_due_at or now
            postbacks.read_orders(zerodha.pk, now=now)
            attempts += 1
        assert attempts == postbacks.MOST_ATTEMPTS
        assert now - NOW == postbacks.RETRY * (1 + 2 + 3 + 4)
        assert outcomes() == [(Verified.YES, Outcome.NOT_READ)]
        assert BrokerConnection.objects.get().status == ConnectionStatus.CONNECTED  # the checks judge that

    def test_a_broker_that_ends_the_session_is_believed(
        self, control: Control, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        control.revoke("zerodha")
        postbacks.receive(inbox(zerodha), posted(), {}, now=NOW)
        postbacks.read_orders(zerodha.pk, now=NOW)
        assert outcomes() == [(Verified.YES, Outcome.NOT_READ)]
        assert BrokerConnection.objects.get().status == ConnectionStatus.TOKEN_EXPIRED

    def test_a_book_with_unreadable_rows_denies_nothing(
        self, control: Control, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        control.serve("zerodha", ORDERS, {"status": "success", "data": [{"order_id": NOWHERE}]})
        postbacks.receive(inbox(zerodha), posted(NOWHERE), {}, now=NOW)
        postbacks.read_orders(zerodha.pk, now=NOW)
        assert outcomes() == [(Verified.YES, Outcome.NOT_READ)]


class TestTooMany:
    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postbacks, "MOST_PER_MINUTE", 3)

    def test_what_comes_beyond_is_not_written_down_but_read_for(
        self,
        alice: User,
        control: Control,
        zerodha: BrokerConnection,
        posted: Callable[..., bytes],
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        control.serve("zerodha", ORDERS, payload("zerodha", "orders.json"))
        own = inbox(zerodha)
        for _ in range(3):
            postbacks.receive(own, posted(NOWHERE), {}, now=NOW)
        postbacks.read_orders(zerodha.pk, now=NOW)
        own.refresh_from_db()
        for _ in range(20):
            assert postbacks.receive(own, posted(), {}, now=NOW + timedelta(seconds=1)) is None
        assert [outcome for _, outcome in outcomes()] == 3 * [Outcome.NOT_IN_BOOK]
        assert caplog.text.count("gets more postbacks than are written down") == 1
        due = NOW + postbacks.CROWDED_PAUSE
        assert PostbackInbox.objects.get().read_due_at == due
        before = generation(alice)
        with django_capture_on_commit_callbacks(execute=True):
            postbacks.read_orders(zerodha.pk, now=due)
        assert asked(control) == 2
        assert generation(alice) == before + 1

    def test_forgeries_beyond_it_lead_to_nothing(self, zerodha: BrokerConnection, posted: Callable[..., bytes]) -> None:
        own = inbox(zerodha)
        for _ in range(9):
            postbacks.receive(own, posted(checksum="0" * 64), {}, now=NOW)
        assert outcomes() == 3 * [(Verified.NO, Outcome.BAD_SIGNATURE)]
        assert PostbackInbox.objects.get().read_due_at is None

    def test_each_minute_and_each_connection_has_its_own(
        self, brokers: SimulatedBrokers, alice: User, zerodha: BrokerConnection, posted: Callable[..., bytes]
    ) -> None:
        own, others = inbox(zerodha), inbox(connect(alice, "upstox", brokers))
        for second in (0, 0, 0, 0, 60):
            postbacks.receive(own, posted(), {}, now=NOW + timedelta(seconds=second))
        postbacks.receive(others, b"{}", {}, now=NOW)
        assert [row.broker_connection.broker_type for row in BrokerPostback.objects.order_by("id")] == [
            *(4 * ["zerodha"]),
            "upstox",
        ]

    def test_with_redis_away_nothing_is_written_down_and_nothing_lost(
        self, zerodha: BrokerConnection, posted: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Away:
            def pipeline(self, **options: object) -> Any:
                raise RedisGone("away")

        path = path_of(zerodha)
        with monkeypatch.context() as patch:
            patch.setattr(postbacks, "redis", Away)
            assert post(path, posted()).status_code == 200
        assert outcomes() == []
        due = PostbackInbox.objects.get().read_due_at
        assert due is not None
        assert postbacks.overdue(due + timedelta(seconds=4)) == [zerodha.pk]


class TestOfTheTrader:
    def path(self, connection: BrokerConnection) -> str:
        return f"/brokers/connections/{connection.pk}/postback"

    def test_an_address_is_shown_once(self, zerodha: BrokerConnection, as_alice: Client) -> None:
        before = send(as_alice, "get", self.path(zerodha)).json()
        assert (before["exists"], before["made_at"], before["last_received_at"]) == (False, None, None)
        assert "postback URL" in before["instruction"]
        made = send(as_alice, "post", self.path(zerodha))
        assert made["Cache-Control"] == "no-store"
        address = made.json()["address"]
        assert address.startswith("http://127.0.0.1:8000/brokers/postback/")
        after = send(as_alice, "get", self.path(zerodha))
        assert after.json().keys() == before.keys()
        assert (after.json()["exists"], after.json()["is_signed"]) == (True, True)
        assert address.rpartition("/")[2] not in after.content.decode()

    def test_it_can_be_replaced_and_voided(
        self, zerodha: BrokerConnection, as_alice: Client, posted: Callable[..., bytes]
    ) -> None:
        made = [send(as_alice, "post", self.path(zerodha)).json()["address"] for _ in range(2)]
        statuses = [post(address.removeprefix("http://127.0.0.1:8000"), posted()).status_code for address in made]
        assert statuses == [404, 200]
        assert send(as_alice, "get", self.path(zerodha)).json()["last_received_at"] is not None
        assert send(as_alice, "delete", self.path(zerodha)).status_code == 204
        assert send(as_alice, "get", self.path(zerodha)).json()["exists"] is False
        assert post(made[1].removeprefix("http://127.0.0.1:8000"), posted()).status_code == 404
        assert send(as_alice, "delete", self.path(zerodha)).status_code == 204

    @pytest.mark.parametrize("method", ["get", "post", "delete"])
    def test_it_is_nobody_elses(self, method: str, zerodha: BrokerConnection, as_mallory: Client) -> None:
        refused(send(as_mallory, method, self.path(zerodha)), 404, "not_found")
        assert not PostbackInbox.objects.exists()

    @pytest.mark.parametrize("method", ["get", "post", "delete"])
    @pytest.mark.parametrize("slug", SILENT)
    def test_some_brokers_have_none(self, slug: str, method: str, alice: User, as_alice: Client) -> None:
        connection = BrokerConnection.objects.create(user=alice, broker_type=slug, account_id="A1")
        refused(send(as_alice, method, self.path(connection)), 422, "not_supported")

    def test_what_is_disconnected_gets_none(self, zerodha: BrokerConnection, as_alice: Client) -> None:
        services.disconnect(zerodha, now=NOW)
        refused(send(as_alice, "post", self.path(zerodha)), 409, "connection_disconnected")


def test_old_ones_are_pruned(zerodha: BrokerConnection) -> None:
    for age in (postbacks.KEPT + timedelta(seconds=1), postbacks.KEPT - timedelta(seconds=1)):
        BrokerPostback.objects.create(
            broker_connection=zerodha, received_at=NOW - age, verified=Verified.YES, outcome=Outcome.CONFIRMED
        )
    postbacks.prune(NOW)
    assert BrokerPostback.objects.get().received_at > NOW - postbacks.KEPT


@pytest.mark.parametrize("further", ["", "/further", "/%0Afurther"])
@pytest.mark.parametrize(("method", "known"), [("post", False), ("get", True), ("get", False)])
def test_an_address_is_not_logged(
    method: str, known: bool, further: str, zerodha: BrokerConnection, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Django writes the path of whatever is refused, and hangs the request on the record."""
    caplog.set_level(logging.DEBUG, logger="django")
    path = path_of(zerodha) + ("" if known else f"guess{further}?and=again")
    getattr(client, method)(path)
    [record] = [record for record in caplog.records if record.name == "django.request"]
    assert record.getMessage().endswith(": /brokers/postback/…")
    assert path.split("/")[3][:43] not in f"{record.__dict__!r} {caplog.text}"


def test_nor_is_it_where_something_failed(
    zerodha: BrokerConnection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise RuntimeError("unforeseen")

    path = path_of(zerodha)
    monkeypatch.setattr(postbacks, "receive", fails)
    client = Client(raise_request_exception=False)
    assert client.generic("POST", path, b"the body").status_code == 500
    assert "Internal Server Error: /brokers/postback/…" in caplog.text
    assert "RuntimeError: unforeseen" in caplog.text
    assert path.rpartition("/")[2] not in caplog.text
    assert "the body" not in caplog.text
