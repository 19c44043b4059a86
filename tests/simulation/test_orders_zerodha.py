"""What is Kite's alone in dealing: its fields, its words, market orders that turn into limit orders, signed news."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from brokers.domain import AppCredentials, OrderStatus, Postback
from brokers.secret import Secret
from brokers.simulation.faults import FaultKind
from brokers.zerodha.postback import read_postback
from brokers.zerodha.sandbox import ZerodhaSandbox
from tests.simulation.orders import Offline, names, recorded

ORDERS, TRIGGERS = "/orders/regular", "/gtt/triggers"


@pytest.fixture
def kite() -> Offline[ZerodhaSandbox]:
    return Offline(ZerodhaSandbox)


def form(kite: Offline[ZerodhaSandbox], **changed: Any) -> dict[str, Any]:
    """Two shares, far below the last price."""
    asked = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 2,
        "product": "CNC",
        "order_type": "LIMIT",
        "price": kite.last - 20 * kite.tick,
        "validity": "DAY",
        "tag": "ours1234",
    }
    return {name: value for name, value in (asked | changed).items() if value is not None}


def placed(kite: Offline[ZerodhaSandbox], **changed: Any) -> str:
    reply = kite.said("POST", ORDERS, form=form(kite, **changed))
    order_id: str = reply["data"]["order_id"]
    return order_id


def row(kite: Offline[ZerodhaSandbox], order_id: str) -> dict[str, Any]:
    [found] = [each for each in kite.said("GET", "/orders")["data"] if each["order_id"] == order_id]
    return dict(found)


def test_rows_have_the_published_fields(kite: Offline[ZerodhaSandbox]) -> None:
    order_id = placed(kite, price=kite.last)
    published = recorded("zerodha", "orders.json")["data"][4]  # one with tags
    assert names(row(kite, order_id)) == names(published)
    arrival, present = kite.said("GET", f"/orders/{order_id}")["data"]
    assert names(arrival) >= names(recorded("zerodha", "orders_history.json")["data"][0])
    assert (arrival["status"], present["status"]) == ("PUT ORDER REQ RECEIVED", "COMPLETE")
    [trade] = kite.said("GET", "/trades")["data"]
    assert names(trade) == names(recorded("zerodha", "trades.json")["data"][0])
    assert kite.said("GET", f"/orders/{order_id}/trades")["data"] == [trade]
    assert len(trade["order_timestamp"]) == len("10:30:00")
    [margin] = kite.said("POST", "/margins/orders", document=[json_row(form(kite))])["data"]
    [charged] = recorded("zerodha", "margins_orders.json")["data"]
    assert (names(margin), names(margin["charges"])) == (names(charged), names(charged["charges"]))


def json_row(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in asked.items()}


def test_a_market_order_is_kept_as_a_limit_order_with_tags_of_kite_s_own(kite: Offline[ZerodhaSandbox]) -> None:
    market = {"order_type": "MARKET", "price": None}
    automatic = row(kite, placed(kite, **market, market_protection=-1))
    assert (automatic["order_type"], automatic["status"]) == ("LIMIT", "COMPLETE")
    assert automatic["tags"][:2] == ["ours1234", "mktp"]
    wide = row(kite, placed(kite, **market, market_protection="2.5", transaction_type="SELL"))
    assert kite.last * Decimal("0.975") <= wide["price"] < kite.last * Decimal("0.976")
    bare = kite.ask("POST", ORDERS, form=form(kite, **market))
    assert (bare.status, json.loads(bare.body)["error_type"]) == (400, "InputException")


@pytest.mark.parametrize(
    ("changed", "status", "error_type"),
    [
        ({"tradingsymbol": "NOSUCH"}, 400, "InputException"),
        ({"quantity": 0}, 400, "InputException"),
        ({"quantity": "two"}, 400, "InputException"),
        ({"price": "1.234"}, 400, "InputException"),
        ({"product": "BO"}, 400, "InputException"),
        ({"validity": "GTC"}, 400, "InputException"),
        ({"market_protection": "none"}, 400, "InputException"),
    ],
)
def test_what_is_wrong_by_itself_is_refused_at_once(
    kite: Offline[ZerodhaSandbox], changed: dict[str, Any], status: int, error_type: str
) -> None:
    reply = kite.ask("POST", ORDERS, form=form(kite, **changed))
    assert (reply.status, json.loads(reply.body)["error_type"]) == (status, error_type)
    assert kite.said("GET", "/orders")["data"] == []


@pytest.mark.parametrize(
    ("kind", "status", "error_type"),
    [
        (FaultKind.UNREGISTERED_ADDRESS, 403, "PermissionException"),
        (FaultKind.MARKET_CLOSED, 400, "OrderException"),
    ],
)
def test_refusals_that_are_switched_on(
    kite: Offline[ZerodhaSandbox], kind: FaultKind, status: int, error_type: str
) -> None:
    kite.fault(kind)
    reply = kite.ask("POST", ORDERS, form=form(kite))
    assert (reply.status, json.loads(reply.body)["error_type"]) == (status, error_type)


def test_only_regular_orders_that_are_known_are_changed(kite: Offline[ZerodhaSandbox]) -> None:
    order_id = placed(kite)
    assert kite.said("POST", "/orders/amo", form=form(kite))["error_type"] == "InputException"
    assert kite.said("DELETE", f"/orders/co/{order_id}")["error_type"] == "InputException"
    assert kite.said("DELETE", f"{ORDERS}/1")["error_type"] == "InputException"
    assert kite.said("GET", "/orders/1")["error_type"] == "InputException"
    assert kite.said("DELETE", f"{ORDERS}/{order_id}")["status"] == "success"
    late = kite.said("PUT", f"{ORDERS}/{order_id}", form={"quantity": 3})
    assert late["error_type"] == "OrderException"


def test_an_order_is_modified_25_times_at_most(kite: Offline[ZerodhaSandbox]) -> None:
    order_id = placed(kite)
    for change in range(25):
        reply = kite.said("PUT", f"{ORDERS}/{order_id}", form={"price": kite.last - (21 + change) * kite.tick})
        assert reply["status"] == "success"
    late = kite.ask("PUT", f"{ORDERS}/{order_id}", form={"price": kite.last - 60 * kite.tick})
    assert (late.status, json.loads(late.body)["error_type"]) == (400, "OrderException")
    assert row(kite, order_id)["modified"] is True


def test_an_order_may_be_changed_into_a_market_order(kite: Offline[ZerodhaSandbox]) -> None:
    order_id = placed(kite)
    kite.said("PUT", f"{ORDERS}/{order_id}", form={"order_type": "MARKET", "market_protection": -1})
    assert row(kite, order_id)["status"] == "COMPLETE"


def test_want_of_money_is_told_in_words_and_raw(kite: Offline[ZerodhaSandbox]) -> None:
    rejected = row(kite, placed(kite, quantity=90_000))
    assert rejected["status"] == "REJECTED"
    assert rejected["status_message"].startswith("Insufficient funds. Required margin is ")
    assert rejected["status_message_raw"].startswith("RMS:")


def test_news_are_signed_and_have_the_published_fields(kite: Offline[ZerodhaSandbox]) -> None:
    published = recorded("zerodha", "postback/postback.json")
    order_id = placed(kite, price=kite.last)
    order = kite.sandbox.desk.order(order_id)
    assert order is not None
    body = kite.sandbox.postback(kite.told(order))
    assert isinstance(body, dict)
    assert names(body) == names(published)
    assert body["status"] == "COMPLETE"
    app = AppCredentials(api_key=Secret(kite.sandbox.app.api_key), api_secret=Secret(kite.sandbox.app.api_secret))
    account = kite.sandbox.book.account.user_id
    read = read_postback(json.dumps(body).encode(), {}, app)
    assert read == Postback(broker_order_id=order_id, account_id=account, is_genuine=True)


def test_an_order_that_merely_stands_is_not_posted_until_it_is_changed(kite: Offline[ZerodhaSandbox]) -> None:
    order_id = placed(kite)
    order = kite.sandbox.desk.order(order_id)
    assert order is not None
    assert order.status is OrderStatus.OPEN
    assert kite.sandbox.postback(kite.told(order)) is None
    kite.said("PUT", f"{ORDERS}/{order_id}", form={"quantity": 3})
    body = kite.sandbox.postback(kite.told(order))
    assert isinstance(body, dict)
    assert (body["status"], body["quantity"]) == ("UPDATE", 3)


def test_gtt_rows_have_the_published_fields(kite: Offline[ZerodhaSandbox]) -> None:
    names_of = {"exchange": "NSE", "tradingsymbol": "INFY"}
    low, high = float(kite.last - 20 * kite.tick), float(kite.last + 20 * kite.tick)
    leg = {**names_of, "transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC"}
    condition = {**names_of, "trigger_values": [low, high], "last_price": float(kite.last)}
    asked = {
        "type": "two-leg",
        "condition": json.dumps(condition),
        "orders": json.dumps([{**leg, "price": low}, {**leg, "price": high}]),
    }
    trigger_id = kite.said("POST", TRIGGERS, form=asked)["data"]["trigger_id"]
    [waiting] = kite.said("GET", TRIGGERS)["data"]
    published = recorded("zerodha", "gtt_triggers.json")["data"][0]
    assert names(waiting) == names(published)
    assert names(waiting["condition"]) == names(published["condition"])
    assert names(waiting["orders"][0]) == names(published["orders"][0])
    changed = {**asked, "condition": json.dumps({**condition, "trigger_values": [low - 1, high]})}
    kite.said("PUT", f"{TRIGGERS}/{trigger_id}", form=changed)
    found = kite.said("GET", f"{TRIGGERS}/{trigger_id}")["data"]
    assert found["condition"]["trigger_values"] == [Decimal(str(low - 1)), Decimal(str(high))]
    assert kite.said("DELETE", f"{TRIGGERS}/{trigger_id}")["data"] == {"trigger_id": trigger_id}
    assert kite.said("DELETE", f"{TRIGGERS}/{trigger_id}")["error_type"] == "OrderException"
    assert kite.said("GET", f"{TRIGGERS}/1")["error_type"] == "InputException"
    assert kite.said("POST", TRIGGERS, form={"type": "single"})["error_type"] == "InputException"
