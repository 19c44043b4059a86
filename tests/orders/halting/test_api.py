"""The kill switch as a person pulls it: by API and page, with one confirmation; and re-arms it, with more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.alert_models import AlertDelivery, AlertKind, AlertRoute, Way
from accounts.models import AuditEntry, User
from brokers import alert_sending, push
from brokers.models import BrokerConnection
from orders.lifecycle import State
from orders.models import OrderIntent
from portfolio import halting
from portfolio.risk_models import HaltKind, HaltLevel, TradingHalt
from tests.orders.fakes import Desks
from tests.orders.halting.conftest import Stand

pytestmark = pytest.mark.django_db(transaction=True)
SWITCH = "/api/v1/risk/kill-switch"


@pytest.fixture
def client_of_alice(as_alice: Client, desks: Desks, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Whose brokers are those in memory."""
    from orders import halt_rounds
    from orders import halting as verbs

    for function in (verbs.pull, verbs.cancel_everything, halt_rounds.go_on):
        monkeypatch.setitem(function.__kwdefaults__, "clients", desks)
    return as_alice


def pull(client: Client, level: str = "CANCEL", **more: Any) -> Any:
    return client.post(SWITCH, {"level": level, "confirm": True} | more, content_type="application/json")


def rearm(client: Client, **body: Any) -> Any:
    return client.post(f"{SWITCH}/re-arm", body, content_type="application/json")


def test_it_is_pulled_with_one_confirmation_and_says_what_came_of_it(
    client_of_alice: Client, stand: Stand, accounts: dict[str, BrokerConnection]
) -> None:
    child = stand("zerodha")
    assert client_of_alice.get(SWITCH).json() | {"dead_man": ""} == {
        **{"level": None, "readable": True, "halts": [], "progress": [], "in_flight": None, "dead_man": ""}
    }
    answer = pull(client_of_alice, reason="A bad day.").json()
    child.refresh_from_db()
    assert child.state == State.CANCELLED
    assert (answer["level"], answer["in_flight"]) == ("CANCEL", 0)
    [halt] = answer["halts"]
    assert (halt["kind"], halt["reason"], halt["set_by"], halt["cause"]) == ("KILL", "A bad day.", "alice", "person")
    rows = {row["broker_type"]: row for row in answer["progress"]}
    assert rows["zerodha"]["counts"]["CANCELLED"] == 1
    assert {row["state"] for row in rows.values()} == {"SETTLED"}
    assert client_of_alice.get(SWITCH).json()["progress"] == answer["progress"]
    assert list(AuditEntry.objects.filter(event__startswith="risk.").values_list("event", flat=True)) == [
        "risk.trading_halted"
    ]


@pytest.mark.parametrize(
    "body", [{"level": "CANCEL"}, {"level": "CANCEL", "confirm": False}, {"confirm": True}, {"level": "REDUCE_ONLY"}]
)
def test_nothing_is_stopped_by_accident(client_of_alice: Client, body: dict[str, Any]) -> None:
    answer = client_of_alice.post(SWITCH, body, content_type="application/json")
    assert (answer.status_code, TradingHalt.objects.count()) == (400, 0)


def test_while_it_stands_no_order_is_taken_in(client_of_alice: Client, stand: Stand) -> None:
    child = stand("zerodha")
    pull(client_of_alice, "STOP")
    wanted = {
        **{"instrument": child.intent.instrument_id, "side": "BUY", "order_type": "LIMIT", "product": "CNC"},
        **{"quantity": "1", "price": "1500"},
    }
    headers = {"Idempotency-Key": "a-new-order-1"}
    answer = client_of_alice.post("/api/v1/orders", wanted, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "halted")
    assert OrderIntent.objects.count() == 1
    patched = client_of_alice.patch(
        f"/api/v1/orders/{child.intent_id}", {"quantity": "20"}, content_type="application/json"
    )
    assert (patched.status_code, patched.json()["error"]["code"]) == (409, "halted")
    assert client_of_alice.delete(f"/api/v1/orders/{child.intent_id}").status_code == 200


def test_rearming_needs_a_fresh_proof_and_a_reason(client_of_alice: Client, alice: User) -> None:
    pull(client_of_alice, "STOP")
    assert rearm(client_of_alice, reason="  .").json()["error"]["code"] == "halt_reason_needed"
    assert rearm(client_of_alice).status_code == 400
    stale = Client()
    stale.force_login(alice)
    assert rearm(stale, reason="Looked into.").json()["error"]["code"] == "step_up_required"
    assert halting.standing(alice.pk).level == HaltLevel.STOP
    answer = rearm(client_of_alice, reason="Looked into.")
    assert (answer.status_code, answer.json()["level"]) == (200, None)
    assert rearm(client_of_alice, reason="Again.").json()["error"]["code"] == "not_halted"
    [told] = client_of_alice.get("/api/v1/risk/halts").json()["halts"]
    assert (told["ended_by"], told["end_reason"]) == ("alice", "Looked into.")


def test_the_daily_loss_lock_is_lifted_by_nobody_before_the_close(client_of_alice: Client, alice: User) -> None:
    halting.halt(
        alice, kind=HaltKind.DAY_LOSS, level=HaltLevel.REDUCE_ONLY, cause="day_loss", reason="", by=None,
        now=timezone.now(),
    )  # fmt: skip
    answer = rearm(client_of_alice, kind="DAY_LOSS", reason="I know better.")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "halt_locked")
    assert answer.json()["error"]["details"]["locked_until"]
    assert halting.standing(alice.pk).level == HaltLevel.REDUCE_ONLY


def test_the_page_pulls_it_by_a_plain_form(client_of_alice: Client, stand: Stand, alice: User) -> None:
    child = stand("upstox")
    page = client_of_alice.get("/").content.decode()
    assert 'data-testid="panic"' in page
    assert 'data-testid="halt"' not in page
    careless = client_of_alice.post("/kill-switch", {"level": "CANCEL"}, follow=True).content.decode()
    assert ("Nothing was stopped" in careless, TradingHalt.objects.count()) == (True, 0)
    form = {"level": "CANCEL", "confirm": "true", "reason": "Enough."}
    told = client_of_alice.post("/kill-switch", form, follow=True).content.decode()
    child.refresh_from_db()
    assert child.state == State.CANCELLED
    assert 'data-testid="halt-progress"' in told
    for address in ("/", "/logins", "/connect"):
        page = client_of_alice.get(address).content.decode()
        assert "The kill switch is on" in page
        assert "Enough." in page
        assert "Enough.." not in page
        assert f"{timezone.localtime(TradingHalt.objects.get().set_at):%H:%M} IST" in page
        assert "/kill-switch/re-arm" in page
    stale = Client()
    stale.force_login(alice)
    assert stale.post("/kill-switch/re-arm", {"reason": "Looked into."}).status_code == 302
    assert halting.standing(alice.pk).halts
    assert "What was looked into" in client_of_alice.get("/kill-switch/re-arm").content.decode()
    refused = client_of_alice.post("/kill-switch/re-arm", {"reason": ""}, follow=True).content.decode()
    assert "Re-arming needs a reason" in refused
    done = client_of_alice.post("/kill-switch/re-arm", {"reason": "Looked into."}, follow=True).content.decode()
    assert "Trading goes on again" in done
    assert halting.standing(alice.pk).halts == ()


def test_open_pages_are_told_as_it_is_described(
    client_of_alice: Client, stand: Stand, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, str, dict[str, Any]]] = []
    monkeypatch.setattr(
        push, "publish_json", lambda user_id, kind, text, **_: told.append((user_id, kind, json.loads(text)))
    )
    stand("zerodha")
    pull(client_of_alice)
    rearm(client_of_alice, reason="Looked into.")
    halts = [data for user_id, kind, data in told if (user_id, kind) == (alice.pk, "TRADING_HALT")]
    description = yaml.safe_load(Path("docs/asyncapi.yaml").read_text())
    schema = {**description["components"]["schemas"]["TradingHalt"], "components": description["components"]}
    for data in halts:
        jsonschema.Draft7Validator(schema).validate(data)
    assert "progress" not in halts[0]
    assert {row["state"] for row in halts[-2]["progress"]} == {"SETTLED"}
    assert halts[-1]["ended_at"] is not None


def test_its_owner_is_told_by_every_way_that_says_nothing_of_why(client_of_alice: Client, alice: User) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.com", verified=True, primary=True)
    AlertRoute.objects.create(user=alice, way=Way.WEBHOOK, name="Phone", created_at=timezone.now())
    pull(client_of_alice, "STOP", reason="I lost it all.")
    pull(client_of_alice, "STOP", reason="Again.")  # nothing is new in that
    pull(client_of_alice, "CANCEL", reason="I lost it all.")
    rearm(client_of_alice, reason="Looked into, at last.")
    told = AlertDelivery.objects.filter(kind=AlertKind.TRADING_HALT).order_by("pk")
    assert set(told.values_list("route__way", flat=True)) == {Way.EMAIL, Way.WEBHOOK}
    by_hook = told.filter(route__way=Way.WEBHOOK)
    assert [(each.data["level"], each.data["stands"]) for each in by_hook] == [
        ("STOP", True),
        ("CANCEL", True),
        ("CANCEL", False),
    ]
    assert not [each for each in told if "lost it all" in each.text or "Looked into" in each.text]
    mail.outbox.clear()
    first = told.filter(route__way=Way.EMAIL)[0]
    alert_sending.deliver(first.pk, now=timezone.now())
    [letter] = mail.outbox
    assert letter.to == ["alice@example.com"]
    assert "orders of the day stay at the exchange" in letter.body
