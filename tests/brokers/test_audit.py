"""Every verb of a connection leaves its event in the audit log, and never what was said."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import audit, audit_check
from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import consents, registry, rotation, services, sessions, vault
from brokers.models import BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from brokers.spec import Renewal
from tests.people import connect, own_app

API = "/api/v1/brokers"
READ_VERSION = consents.current().version
RENEWED_BY_TOKEN = [
    slug for slug in registry.slugs() if registry.load(slug).spec.session.renewal is Renewal.REFRESH_TOKEN
]


def told(user: User | None, *, after: int) -> list[tuple[str, str, Any]]:
    rows = AuditEntry.objects.filter(sequence__gt=after, subject_id=user.pk if user else None).order_by("sequence")
    return [(row.event, row.object_id, row.details) for row in rows]


def test_connecting_names_the_broker_and_the_session(alice: User, brokers: SimulatedBrokers) -> None:
    own_app(alice, "zerodha", brokers)
    before = audit.head()[0]
    first = connect(alice, "zerodha", brokers)
    connect(alice, "zerodha", brokers)
    assert told(alice, after=before) == [
        (Event.BROKER_CONNECTED, str(first.pk), {"broker": "zerodha", "session": 1}),
        (Event.CONSENT_GIVEN, str(first.pk), {"scope": "read", "version": READ_VERSION}),
        (Event.BROKER_CONNECTED, str(first.pk), {"broker": "zerodha", "session": 2}),
    ]


def test_renaming_and_disconnecting(alice: User, as_alice: Client, alices: dict[str, BrokerConnection]) -> None:
    before, one = audit.head()[0], alices["upstox"]
    body = {"display_name": "my secret plan", "registered_ip": "203.0.113.7"}
    as_alice.patch(f"{API}/connections/{one.pk}", body, content_type="application/json")
    for _ in range(2):
        as_alice.delete(f"{API}/connections/{one.pk}")
    found = told(alice, after=before)
    assert sorted(found[:2]) == sorted(
        [(Event.BROKER_RENAMED, str(one.pk), {}), (Event.BROKER_ADDRESS, str(one.pk), {})]
    )
    ended = {"broker": "upstox", "ended_at_broker": True}
    assert found[2:] == [
        (Event.BROKER_DISCONNECTED, str(one.pk), ended),
        (Event.CONSENT_WITHDRAWN, str(one.pk), {"scope": "read", "version": READ_VERSION}),
    ]
    rows = AuditEntry.objects.filter(sequence__gt=before)
    assert {(row.actor, row.actor_id, row.address) for row in rows} == {("user", alice.pk, "127.0.0.1")}


def test_a_broker_that_did_not_hear_of_the_end_is_told(
    alice: User, alices: dict[str, BrokerConnection], brokers: SimulatedBrokers
) -> None:
    brokers.control.set_fault("upstox", "down")
    assert not services.disconnect(alices["upstox"], now=timezone.now())
    assert AuditEntry.objects.get(event=Event.BROKER_DISCONNECTED).details["ended_at_broker"] is False


def test_tokens_that_no_key_reads_are_wiped_all_the_same(
    alices: dict[str, BrokerConnection], settings: Settings
) -> None:
    settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
    connection = BrokerConnection.objects.without_secrets().get(pk=alices["upstox"].pk)
    assert not services.disconnect(connection, now=timezone.now())
    assert BrokerConnection.objects.get(pk=connection.pk).session is None


def test_keys_stored_and_forgotten(alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    before = audit.head()[0]
    own_app(alice, "zerodha", brokers)
    for _ in range(2):
        as_alice.delete(f"{API}/apps/zerodha")
    rows = AuditEntry.objects.filter(sequence__gt=before).order_by("sequence")
    assert [(row.event, row.object_kind, row.object_id, row.details) for row in rows] == [
        (Event.APP_STORED, "broker", "zerodha", {}),
        (Event.APP_FORGOTTEN, "broker", "zerodha", {}),
    ]


@pytest.mark.parametrize("slug", RENEWED_BY_TOKEN)
def test_a_renewal_without_a_person_is_the_houses(slug: str, alice: User, brokers: SimulatedBrokers) -> None:
    connection = connect(alice, slug, brokers)
    before = audit.head()[0]
    sessions.refresh_session(BrokerConnection.objects.get(pk=connection.pk), now=timezone.now())
    assert told(alice, after=before) == [(Event.BROKER_RENEWED, str(connection.pk), {})]
    assert AuditEntry.objects.latest("sequence").actor == "system"


def test_the_reminder_without_its_address(alice: User, as_alice: Client) -> None:
    before = audit.head()[0]
    as_alice.put(f"{API}/logins/reminder", {"by_email": True}, content_type="application/json")
    details = {"by_email": True, "by_webhook": False, "new_secret": False}
    assert told(alice, after=before) == [(Event.REMINDER_CHANGED, "", details)]


def test_a_rotation_of_keys(alices: dict[str, BrokerConnection], settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEY]
    before = audit.head()[0]
    assert list(rotation.rotate(batch=100))
    [(event, _, details)] = told(None, after=before)
    assert (event, details["key"], details["done"]) == (Event.KEYS_ROTATED, vault.newest_key(), True)
    assert details["secrets"] > 0


def test_a_change_that_fails_leaves_no_event(alice: User, alices: dict[str, BrokerConnection]) -> None:
    before = audit.head()
    with pytest.raises(DatabaseError), transaction.atomic():
        services.amend(alices["upstox"], display_name="x" * 101)
    assert audit.head() == before
    assert audit_check.verify().broken is None
