"""What the house stands on is away for a moment: what can be done without it is done, the rest says to come back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from django.core import mail
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from redis import Redis

from accounts import throttles, tickets
from accounts.models import User
from brokers import morning, services
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerUnavailable
from brokers.models import BrokerConnection
from brokers.shared import redis
from tests.brokers.receiver import receiving
from tests.brokers.test_api import refused, send
from tests.brokers.test_hours import ist
from tests.brokers.test_morning import connection
from tests.conftest import signed_in
from trademaster.local.house import free_port

PORTFOLIO = "/brokers/portfolio/consolidated"


@pytest.fixture
def redis_away(settings: Settings) -> Iterator[None]:
    """Nobody listens where Redis should be."""
    nowhere = f"redis://127.0.0.1:{free_port()}/1"
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": nowhere}}
    yield
    redis().close()


@pytest.fixture
def redis_silent(settings: Settings) -> Iterator[None]:
    """Redis takes connections and says nothing: a process that is stopped, or a network that swallows."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as mute:
        silent = f"redis://127.0.0.1:{mute.getsockname()[1]}/1"
        settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": silent}}
        yield
        redis().close()


class TestRedis:
    def test_one_that_hangs_holds_nobody_for_long(
        self, alices: dict[str, BrokerConnection], as_alice: Client, redis_silent: None
    ) -> None:
        began = time.monotonic()
        assert send(as_alice, "get", "/brokers/connections").status_code == 200
        assert time.monotonic() - began < 20
        assert send(as_alice, "get", PORTFOLIO).json()["complete"] is True
        assert time.monotonic() - began < 40

    def test_the_portfolio_is_served_whole(
        self, alices: dict[str, BrokerConnection], as_alice: Client, redis_away: None
    ) -> None:
        answer = send(as_alice, "get", PORTFOLIO)
        assert answer.status_code == 200, answer.content
        assert answer.json()["complete"] is True

    def test_a_failing_broker_is_marked_as_ever(
        self, alices: dict[str, BrokerConnection], as_alice: Client, control: object, redis_away: None
    ) -> None:
        assert send(as_alice, "get", PORTFOLIO).json()["complete"] is True
        control.set_fault("upstox", "down")  # type: ignore[attr-defined]
        book = send(as_alice, "get", PORTFOLIO).json()
        assert (book["complete"], {source["state"] for source in book["sources"]}) == (False, {"LIVE", "STALE"})

    def test_a_change_of_status_is_kept_though_nobody_hears_of_it(
        self,
        alices: dict[str, BrokerConnection],
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
        redis_away: None,
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            services.learn(alices["upstox"], BrokerUnavailable("Down."), timezone.now())
            services.disconnect(alices["zerodha"], now=timezone.now())
        statuses = set(BrokerConnection.objects.values_list("broker_type", "status"))
        assert statuses == {("upstox", ConnectionStatus.ERROR), ("zerodha", ConnectionStatus.DISCONNECTED)}

    def test_a_reminder_goes_out_by_every_way(self, alice: User, redis_away: None) -> None:
        connection(alice, "zerodha", status="TOKEN_EXPIRED")
        with receiving() as receiver:
            morning.set_reminder(user=alice, by_email=True, webhook_url=receiver.url)
            morning.remind(alice.pk, now=ist("2026-11-26T08:45"))
            assert (len(mail.outbox), len(receiver.got)) == (1, 1)

    def test_nobody_is_signed_out_and_pages_come(self, as_alice: Client, redis_away: None) -> None:
        assert as_alice.get("/").status_code == 200

    def test_it_is_said_who_is_away(self, client: Client, db: None, redis_away: None) -> None:
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["redis"]) == (503, "away")

    @pytest.mark.parametrize("client", [redis, tickets.redis, lambda: throttles.shared().storage.storage])
    def test_a_process_asks_where_its_settings_say(self, client: Callable[[], Redis], settings: Settings) -> None:
        """A client that was made while Redis was elsewhere is not the one that is asked afterwards."""
        here, port = settings.CACHES, client().get_connection_kwargs()["port"]
        settings.CACHES = {"default": {**here["default"], "LOCATION": "redis://127.0.0.1:1/1"}}
        assert client().get_connection_kwargs()["port"] == 1
        settings.CACHES = here
        assert client().get_connection_kwargs()["port"] == port


class TestDatabase:
    def test_a_view_that_finds_it_away_says_to_come_back(
        self, alice: object, as_alice: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(*args: object, **kwargs: object) -> None:
            raise OperationalError("the connection is closed, with a password in it")

        monkeypatch.setattr("brokers.views.ConnectionViewSet.get_queryset", gone)
        answer = send(as_alice, "get", "/brokers/connections")
        refused(answer, 503, "not_ready")
        assert answer["Retry-After"] == "5"
        assert b"password" not in answer.content

    @pytest.mark.parametrize("address", ["/strip", "/logins", "/demo/first-run"])
    def test_so_does_a_page(self, address: str, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(*args: object, **kwargs: object) -> None:
            raise OperationalError("the connection is closed, with a password in it")

        client = signed_in(alice)
        client.raise_request_exception = False
        monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", gone)
        answer = client.get(address)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert b"is restarting" in answer.content
        assert b"password" not in answer.content

    def test_so_does_what_comes_before_a_view(self, alice: object, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(*args: object, **kwargs: object) -> None:
            raise OperationalError("the connection is closed")

        client = signed_in(alice)  # type: ignore[arg-type]
        client.raise_request_exception = False
        monkeypatch.setattr("django.contrib.auth.middleware.AuthenticationMiddleware.process_request", gone)
        refused(send(client, "get", "/brokers/connections"), 503, "not_ready")
