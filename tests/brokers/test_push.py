"""What is published, to whom, and that a lost push costs nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from redis.exceptions import ConnectionError as RedisAway

from accounts.models import User
from brokers import push, services
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from brokers.statuses import Actor
from tests.people import connect

Sent = list[tuple[str, dict[str, Any]]]


class Layer:
    """Stands where the channel layer stands, and keeps or refuses what it is given."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.sent: Sent = []
        self.failure = failure

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((group, message))


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Layer:
    layer = Layer()
    monkeypatch.setattr(push, "channels", lambda: layer)
    return layer


def test_a_new_connection_is_told_once_it_is_committed(
    alice: User,
    brokers: SimulatedBrokers,
    layer: Layer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        connection = connect(alice, "upstox", brokers)
        assert layer.sent == []
    for callback in callbacks:
        callback()
    [(group, message)] = layer.sent
    assert group == push.group_of(alice.pk)
    assert (message["type"], message["kind"], message["key"]) == ("push", "BROKER_STATUS_UPDATE", str(connection.pk))
    data = json.loads(message["data"])
    assert data["connection_id"] == str(connection.pk)
    assert (data["status"], data["broker_name"], data["error_code"]) == ("CONNECTED", "Upstox", None)
    assert data["session_began_at"] == data["status_since"]
    assert data["registered_ip"] is None
    assert data["clearance"]["data"] == {"state": "YES", "reasons": []}
    assert data["trading_enabled_at"] is None
    assert data["clearance"]["trade"]["state"] == "NO"


def test_a_status_that_changed_is_told_with_its_reason(
    alices: dict[str, BrokerConnection],
    layer: Layer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    for _ in range(2):  # the second time nothing changes, and nothing is told
        with django_capture_on_commit_callbacks(execute=True):
            services.change_status(
                alices["zerodha"],
                ConnectionStatus.TOKEN_EXPIRED,
                code="session_ended",
                message="It is over.",
                actor=Actor.CLOCK,
                now=timezone.now(),
            )
    [(_, message)] = layer.sent
    data = json.loads(message["data"])
    assert (data["status"], data["error_code"]) == ("TOKEN_EXPIRED", "session_ended")
    assert data["error_message"] == "It is over."
    for light in ("data", "trade", "sell_holdings"):
        assert data["clearance"][light]["state"] == "NO"
        assert data["clearance"][light]["reasons"][0]["code"] == "session_ended"


def test_an_address_that_was_entered_is_told_to_the_users_other_pages(
    alices: dict[str, BrokerConnection],
    layer: Layer,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        services.amend(alices["zerodha"], registered_ip="203.0.113.7")
    [(_, message)] = layer.sent
    data = json.loads(message["data"])
    assert data["registered_ip"] == "203.0.113.7"
    assert [reason["code"] for reason in data["clearance"]["trade"]["reasons"]] == ["egress_ip_unknown", "trading_off"]


@pytest.mark.parametrize("failure", [RedisAway("gone"), ConnectionRefusedError()])
def test_a_lost_push_is_logged_and_loses_nothing_else(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(push, "channels", lambda: Layer(failure))
    push.publish_json(7, "PORTFOLIO_UPDATE", '{"secret":"data"}')
    assert "PORTFOLIO_UPDATE push for user 7 was lost" in caplog.text
    assert '"data"' not in caplog.text


def test_everybody_has_a_group_of_their_own() -> None:
    assert push.group_of(1) != push.group_of(11)
