"""Consent: what was agreed to, when, from where, and until when; rows that are only ever added."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import consents, logins, reach, registry, services
from brokers.models import BrokerConnection, ConnectionConsent
from brokers.simulation.server import SimulatedBrokers
from tests.people import connect, own_app

VERSION = consents.current().version
API = "/api/v1/brokers"


def begun(client: Client, **more: str) -> Any:
    body = {"broker_type": "zerodha", **more}
    return client.post(f"{API}/connect/initiate", body, content_type="application/json", REMOTE_ADDR="192.0.2.7")


def completed(client: Client, brokers: SimulatedBrokers, **more: str) -> dict[str, Any]:
    start = begun(client, **more).json()
    back = brokers.login("zerodha", start["authorization_url"])
    callback = {name: value for name, value in back.items() if name != "state"}
    answer = client.post(
        f"{API}/connect/complete",
        {"state": start["state"], "callback": callback},
        content_type="application/json",
        REMOTE_ADDR="192.0.2.7",
    )
    assert answer.status_code == 200, answer.content
    document: dict[str, Any] = answer.json()
    return document


@pytest.fixture(autouse=True)
def alices_app(alice: User, brokers: SimulatedBrokers) -> None:
    own_app(alice, "zerodha", brokers)


def test_a_login_agrees_to_the_text_and_says_from_where(as_alice: Client, brokers: SimulatedBrokers) -> None:
    [consent] = completed(as_alice, brokers)["consents"]
    assert consent["given_from"] == "192.0.2.7"
    assert (consent["scope"], consent["version"], consent["stated"]) == ("read", VERSION, False)
    assert consent["text"] == consents.current().text
    assert consent["withdrawn_at"] is None
    assert begun(as_alice).json()["consent"] == as_alice.get(f"{API}/consent").json()


def test_its_version_may_be_sent_and_must_then_be_the_newest(as_alice: Client, brokers: SimulatedBrokers) -> None:
    [consent] = completed(as_alice, brokers, consent=VERSION)["consents"]
    assert consent["stated"]
    refused = begun(as_alice, consent="2020-01-01")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "consent_outdated")


def test_a_login_every_morning_is_no_new_consent(alice: User, brokers: SimulatedBrokers) -> None:
    for _ in range(3):
        connect(alice, "zerodha", brokers)
    assert ConnectionConsent.objects.count() == 1
    assert AuditEntry.objects.filter(event=Event.CONSENT_GIVEN).count() == 1


def test_disconnecting_withdraws_it_and_a_new_login_gives_another(
    alice: User, as_alice: Client, brokers: SimulatedBrokers
) -> None:
    connection = connect(alice, "zerodha", brokers)
    as_alice.delete(f"{API}/connections/{connection.pk}")
    as_alice.delete(f"{API}/connections/{connection.pk}")
    connect(alice, "zerodha", brokers)
    first, second = as_alice.get(f"{API}/connections/{connection.pk}").json()["consents"]
    assert first["withdrawn_at"] is not None
    assert second["withdrawn_at"] is None
    assert list(ConnectionConsent.objects.order_by("id").values_list("act", flat=True)) == [
        "GIVEN",
        "WITHDRAWN",
        "GIVEN",
    ]
    assert AuditEntry.objects.filter(event=Event.CONSENT_WITHDRAWN, subject_id=alice.pk).count() == 1


def test_a_new_text_is_agreed_to_at_the_next_login(
    alice: User, as_alice: Client, brokers: SimulatedBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(alice, "zerodha", brokers)
    monkeypatch.setitem(consents.TEXTS["read"], "2027-01-01", "Another text.")
    connect(alice, "zerodha", brokers)
    listed = as_alice.get(f"{API}/connections").json()
    assert [consent["text"] for consent in listed[0]["consents"]][-1] == "Another text."
    services.disconnect(BrokerConnection.objects.get(pk=connection.pk), now=timezone.now())
    assert all(one.withdrawn_at for one in consents.of([connection.pk])[connection.pk])


def test_what_was_agreed_to_is_what_was_shown_when_it_began(
    alice: User, brokers: SimulatedBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    redirect = reach.own_callback("zerodha")
    start = logins.initiate(user=alice, broker_type="zerodha", redirect_uri=redirect, now=timezone.now())
    back = brokers.login("zerodha", start.authorization_url)
    monkeypatch.setitem(consents.TEXTS["read"], "2027-01-01", "Another text.")
    callback = {name: value for name, value in back.items() if name != "state"}
    logins.complete(user=alice, state=start.state, callback=callback, now=timezone.now())
    assert ConnectionConsent.objects.get().version == VERSION


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_no_row_is_ever_changed(verb: str, alice: User, brokers: SimulatedBrokers) -> None:
    connect(alice, "zerodha", brokers)
    rows = ConnectionConsent.objects.all()
    change = {"update": lambda: rows.update(version="x"), "delete": rows.delete}[verb]
    with pytest.raises(IntegrityError), transaction.atomic():
        change()


def test_the_pages_on_which_a_login_begins_state_the_text(as_alice: Client) -> None:
    form = next(slug for slug in registry.slugs() if registry.load(slug).spec.login_methods)
    for page in ("/connect", "/logins", f"/brokers/login/{form}?state=x"):
        html = as_alice.get(page).content.decode()
        assert f'data-consent="{VERSION}"' in html
        assert consents.current().text in html


def test_versions_are_days_in_order() -> None:
    for texts in consents.TEXTS.values():
        assert list(texts) == sorted(texts)


def test_many_connections_are_looked_up_at_once(
    alice: User, as_alice: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    BrokerConnection.objects.bulk_create(
        BrokerConnection(user=alice, broker_type="zerodha", account_id=str(number)) for number in range(9)
    )
    with django_assert_max_num_queries(4):
        assert all(row["consents"] == [] for row in as_alice.get(f"{API}/connections").json())
