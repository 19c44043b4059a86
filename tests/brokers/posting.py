"""News of orders posted to the address of a connection, and what was made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.test import Client

from accounts.models import User
from brokers import postbacks, registry
from brokers.changes import generation_key
from brokers.models import BrokerConnection
from brokers.postback_models import BrokerPostback, PostbackInbox
from brokers.shared import redis
from brokers.simulation.control import Control

POSTING = [broker.spec.slug for broker in registry.brokers() if broker.spec.postback]
SILENT = [slug for slug in registry.slugs() if slug not in POSTING]
NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
ORDERS = "GET /orders"
IN_BOOK, NOWHERE = "100000000000000", "999999999999999"


def path_of(connection: BrokerConnection) -> str:
    return postbacks.make_address(connection, now=NOW).reveal().removeprefix("http://127.0.0.1:8000")


def inbox(connection: BrokerConnection) -> PostbackInbox:
    path = path_of(connection)
    found = postbacks.inbox_at(path.rpartition("/")[2])
    assert found is not None
    return found


def post(path: str, body: bytes) -> Any:
    """As a broker does: nobody is signed in, and there is no CSRF token."""
    return Client(enforce_csrf_checks=True).generic("POST", path, body, content_type="application/json")


def outcomes() -> list[tuple[str, str]]:
    return [(row.verified, row.outcome) for row in BrokerPostback.objects.order_by("id")]


def asked(control: Control) -> int:
    return control.counters("zerodha").get(ORDERS, 0)


def generation(user: User) -> int:
    return int(redis().get(generation_key(user.pk)) or 0)
