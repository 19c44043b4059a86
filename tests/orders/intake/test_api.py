"""Orders over HTTP, from a preview to a cancellation, and the words of the socket."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
import yaml
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import push
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderIntent, OrderSettings
from tests.orders.conftest import NOW
from tests.orders.fakes import Desks
from tests.orders.intake.conftest import Told
from tests.orders.samples import orders_of

KEY = {"Idempotency-Key": "key-00000001"}


@pytest.fixture
def body(infy: Instrument) -> dict[str, Any]:
    return {
        "instrument": infy.pk,
        "side": "BUY",
        "order_type": "LIMIT",
        "product": "CNC",
        "quantity": "10",
        "price": "1500.05",
    }


@pytest.fixture
def api(
    as_alice: Client, told: Told, desks: Desks, time_machine: Any, monkeypatch: pytest.MonkeyPatch, last_price: Any
) -> Any:
    time_machine.move_to(NOW, tick=False)
    session = as_alice.session
    for each in session["account_authentication_methods"]:
        each["at"] = NOW.timestamp()
    session.save()
    from orders import sending

    monkeypatch.setitem(sending.send.__kwdefaults__, "clients", desks)

    def ask(method: str, path: str, data: Any = None, **headers: str) -> Any:
        cache.clear()
        last_price("1500")
        made = getattr(as_alice, method)
        sent = {} if data is None else {"data": data, "content_type": "application/json"}
        return made(f"/api/v1/orders{path}", headers=headers, **sent)

    return ask


def test_from_preview_to_story(api: Any, body: dict[str, Any]) -> None:
    shown = api("post", "/preview", body).json()["decision"]
    assert shown["why"].startswith("Via Zerodha (NSE)")
    placed = api("post", "", body, **KEY)
    assert placed.status_code == 201
    assert placed.json()["decision"] == shown
    order = placed.json()["order"]
    assert (order["status"], order["children"][0]["state"]) == ("WORKING", "PENDING")
    assert api("post", "", body, **KEY).status_code == 200
    assert api("get", f"/{order['id']}").json()["id"] == order["id"]
    decision = api("get", f"/{order['id']}/decision").json()
    assert decision["decision"] == shown
    assert decision["actual"][0]["note"] is None
    told = [each["code"] for each in api("get", f"/{order['id']}/timeline").json()["events"]]
    assert told[:2] == ["asked", "decided"]
    assert {"sending", "call_pending"} <= set(told)


def test_numbers_are_strings_and_exact(api: Any, body: dict[str, Any]) -> None:
    order = api("post", "", body, **KEY).json()["order"]
    assert (order["quantity"], order["price"], order["filled_quantity"]) == ("10", "1500.05", "0")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"price": None}, "price"),
        ({"order_type": "MARKET"}, "price"),
        ({"order_type": "SL"}, "trigger_price"),
        ({"quantity": "0"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"side": "HOLD"}, "side"),
        ({"product": "BO"}, "product"),
    ],
)
def test_what_is_no_order_is_told_by_field(api: Any, body: dict[str, Any], changed: Any, field: str) -> None:
    answer = api("post", "", {**body, **changed}, **KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    assert field in answer.json()["error"]["details"]


def test_the_codes_of_keys(api: Any, body: dict[str, Any]) -> None:
    assert api("post", "", body).json()["error"]["code"] == "idempotency_key_missing"
    api("post", "", body, **KEY)
    again = api("post", "", {**body, "quantity": "11"}, **KEY)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_key_reused")
    double = api("post", "", body, **{"Idempotency-Key": "key-00000002"})
    assert (double.status_code, double.json()["error"]["code"]) == (409, "confirm_duplicate")
    assert double.json()["error"]["details"]["order"]


def test_a_list_is_paged_and_filtered(api: Any, alice: User, accounts: dict[str, BrokerConnection]) -> None:
    for _ in range(3):
        orders_of(alice, accounts["zerodha"])
    first = api("get", "?limit=2").json()
    rest = api("get", f"?limit=2&before={first['next']}").json()
    assert [len(first["orders"]), len(rest["orders"])] == [2, 1]
    assert rest["next"] is None
    assert len({each["id"] for each in first["orders"] + rest["orders"]}) == 3
    assert api("get", "?is_open=true").json()["orders"] == []
    assert api("get", "?before=00000000-0000-0000-0000-000000000000").status_code == 400


def test_a_copy_is_scaled_to_each_account(
    api: Any, body: dict[str, Any], accounts: dict[str, BrokerConnection]
) -> None:
    parts = [
        {"connection": str(accounts["zerodha"].pk), "ratio": "0.25"},
        {"connection": str(accounts["upstox"].pk), "quantity": "7"},
    ]
    answer = api("post", "/copy", {"order": body, "accounts": parts}, **KEY)
    assert answer.status_code == 201
    sent = {child.broker_type: child.quantity for child in ChildOrder.objects.all()}
    assert sent == {"zerodha": Decimal(2), "upstox": Decimal(7)}
    too_small = [{"connection": str(accounts["zerodha"].pk), "ratio": "0.01"}]
    assert api("post", "/copy/preview", {"order": body, "accounts": too_small}).status_code == 400


def test_settings_are_kept_and_hold_orders(
    api: Any, body: dict[str, Any], accounts: dict[str, BrokerConnection]
) -> None:
    chosen = {
        "approval_above": "1000",
        "approval_products": [],
        "approval_minutes": 5,
        "split_penalty": "7.5",
        "sells_unsettled": True,
        "minimises_tax": False,
        "broker_order": [str(accounts["upstox"].pk)],
    }
    assert api("put", "/settings", chosen).json() == chosen
    assert OrderSettings.objects.get().split_penalty == Decimal("7.5")
    order = api("post", "", body, **KEY).json()["order"]
    assert order["status"] == "AWAITING_APPROVAL"
    done = api("post", f"/{order['id']}/approve").json()["order"]
    assert done["status"] == "WORKING"
    strange = {**chosen, "broker_order": ["00000000-0000-0000-0000-000000000000"]}
    assert api("put", "/settings", strange).json()["error"]["code"] == "unknown_connection"


def test_the_book_names_who_could_not_be_asked(api: Any) -> None:
    """Both accounts have no session here."""
    book = api("get", "/book").json()
    assert book["orders"] == []
    assert {(each["broker_type"], each["state"]) for each in book["sources"]} == {
        ("zerodha", "MISSING"),
        ("upstox", "MISSING"),
    }
    assert all(each["error_code"] and each["user_action"] for each in book["sources"])


def test_what_is_pushed_is_what_the_document_says(api: Any, body: dict[str, Any]) -> None:
    api("post", "", body, **KEY)
    import msgspec

    intent = OrderIntent.objects.get(status=IntentStatus.WORKING)
    with open("docs/asyncapi.yaml") as document:
        described = yaml.safe_load(document)
    message = msgspec.json.decode(msgspec.json.encode(push.described(intent) | {"alert": None}))
    schema = {**described["components"]["schemas"]["OrderUpdate"], "components": described["components"]}
    jsonschema.Draft7Validator(schema).validate(message)


def test_an_order_of_yesterday_is_settled(api: Any, body: dict[str, Any]) -> None:
    order = api("post", "", body, **KEY).json()["order"]
    said = {"child": order["children"][0]["id"], "filled_quantity": "4", "average_price": "1499.5"}
    ChildOrder.objects.update(state=State.UNKNOWN)
    assert api("post", f"/{order['id']}/settle", said).json()["error"]["code"] == "not_for_settling"
    ChildOrder.objects.update(sent_at=NOW - timedelta(days=1))
    assert api("post", f"/{order['id']}/settle", {**said, "child": order["id"]}).status_code == 404
    settled = api("post", f"/{order['id']}/settle", said).json()
    assert (settled["status"], settled["has_unknown"]) == ("PARTIALLY_FILLED", False)
    assert settled["children"][0]["reason_code"] == "contract_note"
