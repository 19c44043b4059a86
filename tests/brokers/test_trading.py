"""The switch: who turns trading on, to what text, and what turns it off again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts import personal_tokens
from accounts.credentials import Scope
from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import consents, services, trading
from brokers.models import BrokerConnection, ConnectionConsent
from brokers.reach import ConnectRefused
from brokers.simulation.server import SimulatedBrokers
from tests.conftest import signed_in
from tests.people import connect
from tests.permissions.world import signed_in as session_of

TEXT = consents.current(consents.TRADE)
Alices = dict[str, BrokerConnection]


def address(connection: BrokerConnection) -> str:
    return f"/api/v1/brokers/connections/{connection.pk}/trading"


def turn_on(client: Client, connection: BrokerConnection, consent: object = TEXT.version) -> Any:
    return client.post(address(connection), {"consent": consent}, content_type="application/json")


def stored(connection: BrokerConnection) -> BrokerConnection:
    return BrokerConnection.objects.get(pk=connection.pk)


def events(*kinds: Event) -> list[str]:
    return list(AuditEntry.objects.filter(event__in=kinds).order_by("sequence").values_list("event", flat=True))


SWITCHED = (Event.TRADING_ENABLED, Event.TRADING_DISABLED)


def test_it_is_off_until_its_owner_turns_it_on(as_alice: Client, alice: User, alices: Alices) -> None:
    zerodha = alices["zerodha"]
    assert stored(zerodha).trading_enabled_at is None
    answer = turn_on(as_alice, zerodha)
    assert answer.status_code == 200, answer.content
    assert answer.json()["trading_enabled_at"] is not None
    assert "trading_off" not in [reason["code"] for reason in answer.json()["clearance"]["trade"]["reasons"]]
    assert stored(alices["upstox"]).trading_enabled_at is None
    told = AuditEntry.objects.get(event=Event.TRADING_ENABLED)
    assert (told.subject_id, told.actor_id, told.object_id) == (alice.pk, alice.pk, str(zerodha.pk))
    [consent] = ConnectionConsent.objects.filter(connection_id=zerodha.pk, scope="trade")
    assert (consent.version, consent.is_stated, consent.act) == (TEXT.version, True, "GIVEN")


def test_twice_is_once(as_alice: Client, alices: Alices) -> None:
    first = turn_on(as_alice, alices["zerodha"]).json()["trading_enabled_at"]
    assert turn_on(as_alice, alices["zerodha"]).json()["trading_enabled_at"] == first
    assert events(*SWITCHED) == [Event.TRADING_ENABLED]
    assert ConnectionConsent.objects.filter(scope="trade").count() == 1
    for _ in range(2):
        assert as_alice.delete(address(alices["zerodha"])).json()["trading_enabled_at"] is None
    assert events(*SWITCHED) == [Event.TRADING_ENABLED, Event.TRADING_DISABLED]
    [consent] = [one for one in consents.of([alices["zerodha"].pk])[alices["zerodha"].pk] if one.scope == "trade"]
    assert consent.withdrawn_at is not None


def test_the_consent_to_reading_stands_when_trading_goes_off(as_alice: Client, alices: Alices) -> None:
    turn_on(as_alice, alices["zerodha"])
    as_alice.delete(address(alices["zerodha"]))
    standing = [one.scope for one in consents.of([alices["zerodha"].pk])[alices["zerodha"].pk] if not one.withdrawn_at]
    assert standing == ["read"]


@pytest.mark.parametrize("consent", [consents.current().version, "2020-01-01", "", None, 7])
def test_to_another_text_or_to_none_it_stays_off(consent: object, as_alice: Client, alices: Alices) -> None:
    answer = turn_on(as_alice, alices["zerodha"], consent)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("consent_outdated", "invalid_input")
    assert stored(alices["zerodha"]).trading_enabled_at is None
    assert events(*SWITCHED) == []


def test_its_text_is_told(as_alice: Client) -> None:
    told = as_alice.get("/api/v1/brokers/consent?scope=trade").json()
    assert told == {"scope": "trade", "version": TEXT.version, "text": TEXT.text}
    assert as_alice.get("/api/v1/brokers/consent").json()["scope"] == "read"
    assert as_alice.get("/api/v1/brokers/consent?scope=all").status_code == 400
    page = as_alice.get("/").content.decode()
    assert f'data-consent-version="{TEXT.version}"' in page
    assert TEXT.text in page


def test_no_text_that_was_agreed_to_is_changed() -> None:
    first = consents.TEXTS[consents.READ]["2026-11-26"]
    assert first.endswith("until you disconnect it. It places no orders.")
    assert "unless you turn trading on" in consents.current().text


def test_it_needs_a_fresh_proof(alice: User, alices: Alices) -> None:
    stale = Client()
    minutes = settings.STEP_UP_LIFETIME.total_seconds() / 60 + 1
    stale.cookies["sessionid"] = session_of(alice, minutes_ago=minutes, with_factor=False)
    answer = turn_on(stale, alices["zerodha"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
    assert stored(alices["zerodha"]).trading_enabled_at is None
    trading.enable_trading(alices["zerodha"], consent=TEXT.version, now=timezone.now())
    assert stale.delete(address(alices["zerodha"])).status_code == 200  # turning it off is quick
    assert stored(alices["zerodha"]).trading_enabled_at is None


@pytest.mark.parametrize("scope", Scope)
def test_no_personal_token_turns_it_on(scope: Scope, alice: User, alices: Alices) -> None:
    _, token = personal_tokens.make(user=alice, name="bot", scope=scope, lifetime=timedelta(days=1), now=timezone.now())
    answer = Client().post(
        address(alices["zerodha"]), {"consent": TEXT.version}, content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert answer.status_code == 403
    assert stored(alices["zerodha"]).trading_enabled_at is None


def test_nobody_else_turns_it_on_or_off(alices: Alices, mallory: User) -> None:
    trading.enable_trading(alices["zerodha"], consent=TEXT.version, now=timezone.now())
    client = signed_in(mallory)
    assert turn_on(client, alices["upstox"]).status_code == 404
    assert client.delete(address(alices["zerodha"])).status_code == 404
    assert stored(alices["upstox"]).trading_enabled_at is None
    assert stored(alices["zerodha"]).trading_enabled_at is not None


def test_disconnecting_turns_it_off(alice: User, alices: Alices, brokers: SimulatedBrokers) -> None:
    zerodha = alices["zerodha"]
    trading.enable_trading(zerodha, consent=TEXT.version, now=timezone.now())
    services.disconnect(stored(zerodha), now=timezone.now())
    assert stored(zerodha).trading_enabled_at is None
    assert events(*SWITCHED) == [Event.TRADING_ENABLED, Event.TRADING_DISABLED]
    assert all(one.withdrawn_at for one in consents.of([zerodha.pk])[zerodha.pk])
    connect(alice, "zerodha", brokers)
    assert stored(zerodha).trading_enabled_at is None  # a login does not turn it on again


def test_a_session_that_ends_leaves_it_on(alice: User, alices: Alices, brokers: SimulatedBrokers) -> None:
    """Else every morning would ask for it again."""
    trading.enable_trading(alices["zerodha"], consent=TEXT.version, now=timezone.now())
    connect(alice, "zerodha", brokers)
    assert stored(alices["zerodha"]).trading_enabled_at is not None


def test_a_disconnected_account_does_not_trade(as_alice: Client, alices: Alices) -> None:
    zerodha = alices["zerodha"]
    known_before = stored(zerodha)
    services.disconnect(zerodha, now=timezone.now())
    answer = turn_on(as_alice, zerodha)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "connection_disconnected")
    with pytest.raises(ConnectRefused), transaction.atomic():  # nor by a row that was read before
        trading.enable_trading(known_before, consent=TEXT.version, now=timezone.now())
    assert stored(zerodha).trading_enabled_at is None
    assert not ConnectionConsent.objects.filter(scope="trade").exists()


def test_open_pages_hear_of_it(
    alices: Alices, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("brokers.push.broker_status", lambda row: told.append(row.trading_enabled_at is not None))
    for change in (
        lambda: trading.enable_trading(alices["zerodha"], consent=TEXT.version, now=timezone.now()),
        lambda: trading.disable_trading(alices["zerodha"], now=timezone.now()),
    ):
        with django_capture_on_commit_callbacks(execute=True):
            change()
    assert told == [True, False]
