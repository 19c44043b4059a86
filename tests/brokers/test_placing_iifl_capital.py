"""Orders in IIFL Capital's words: what is sent is what was published, and what each answer means."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests

from brokers.base import BrokerClient
from brokers.dealing import OrderChange, OrderMargin
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from brokers.errors import NotSupported, OrderRejected, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.iifl_capital import BROKER
from tests.brokers.orders_kit import (
    answered,
    asked,
    body_of,
    client_of,
    never_sent,
    recorded,
    refused,
    standing,
    traded,
)
from tests.contract.recorded import ACCESS_TOKEN, answering, payload

SLUG, ORDERS, MARGIN = "iifl_capital", "/v1/orders", "/v1/preordermargin"
PLACED, CHANGED, CANCELLED = (payload(SLUG, f"orders_{what}.json") for what in ("place", "modify", "cancel"))
ID = "240919000000041"
ONE = f"{ORDERS}/{ID}"
# Those of bracket and cover orders, which are not sent, and a name for where an order came from, which may be left out.
NOT_SENT = {"slLegPrice", "targetLegPrice", "apiOrderSource"}
PUBLISHED = {
    "traded": traded("1594", symbol="INFY"),
    "order_type": OrderType.MARKET,
    "quantity": Decimal("1.0000"),
    "price": Decimal("1501.5500"),
    "trigger_price": Decimal("1505.2000"),
    "disclosed_quantity": Decimal("500.0000"),
    "protection_pct": Decimal(1400),
    "algo_id": "1234",
    "tag": "Stangle Leg 1",
}
CHANGE = OrderChange(
    order_type=OrderType.MARKET,
    validity=Validity.DAY,
    quantity=Decimal("1.0000"),
    price=Decimal("1501.5500"),
    trigger_price=Decimal("1505.2000"),
    disclosed_quantity=Decimal("500.0000"),
)
TO_LIMIT = OrderChange(
    order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal("10.0000"), price=Decimal("1400.0000")
)


@pytest.fixture
def client() -> BrokerClient:
    return client_of(SLUG, {"clientId": "31625881"})


def said(result: Any) -> bytes:
    return json.dumps({"status": "Ok", "message": "Success", "result": result}).encode()


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_an_order_is_sent_as_published(client: BrokerClient) -> None:
    placed, request = answered(client, lambda it: it.place(asked(**PUBLISHED)), f"POST {ORDERS}", PLACED)
    assert placed == ID
    [published] = recorded(SLUG, "orders_place.request.json")
    assert body_of(request) == [without(published, *NOT_SENT)]
    assert request.headers["Authorization"] == f"Bearer {ACCESS_TOKEN}"
    assert request.headers["Content-Type"] == "application/json"


def test_a_change_is_sent_as_published(client: BrokerClient) -> None:
    """As one object, in which an array is published: the published use cases are objects, too."""
    order = standing(ID, **(PUBLISHED | {"quantity": Decimal(2)}))
    changed, request = answered(client, lambda it: it.modify(order, CHANGE), f"PUT {ONE}", CHANGED)
    assert changed == ID
    assert [body_of(request)] == recorded(SLUG, "orders_modify.request.json")


def test_an_order_is_cancelled_by_its_id(client: BrokerClient) -> None:
    _, request = answered(client, lambda it: it.cancel(standing(ID)), f"DELETE {ONE}", CANCELLED)
    assert request.body is None
    _, request = answered(client, lambda it: it.cancel(standing("a/b?c")), f"DELETE {ORDERS}/a%2Fb%3Fc", CANCELLED)
    assert request.url.endswith("/a%2Fb%3Fc")


def test_a_margin_is_asked_for_as_published(client: BrokerClient) -> None:
    order = asked(
        traded=traded("54786", Exchange.NFO),
        side=Side.SELL,
        quantity=Decimal(25),
        product=Product.NRML,
        **{name: PUBLISHED[name] for name in ("order_type", "price", "trigger_price", "protection_pct")},
    )
    bare = payload(SLUG, "preordermargin.json")
    margin, request = answered(client, lambda it: it.margin(order), f"POST {MARGIN}", bare)
    assert margin == OrderMargin(required=Decimal("12086.73"))
    assert body_of(request) == without(recorded(SLUG, "preordermargin.request.json"), *NOT_SENT)
    wrapped = json.dumps({"status": "Ok", "message": "Success", "result": json.loads(bare)}).encode()
    assert answered(client, lambda it: it.margin(order), f"POST {MARGIN}", wrapped)[0] == margin


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        (
            {"order_type": OrderType.SL, "trigger_price": Decimal("1399.9500"), "side": Side.SELL},
            {"orderType": "SL", "slTriggerPrice": "1399.95", "price": "1400.5", "transactionType": "SELL"},
        ),
        ({"product": Product.CNC, "validity": Validity.IOC}, {"product": "DELIVERY", "validity": "IOC"}),
        ({"product": Product.MTF}, {"product": "BNPL"}),
        (
            {"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal("0.500")},
            {"orderType": "MARKET", "marketProtectionPercent": "0.5"},
        ),
        (
            {"traded": traded("255", Exchange.MCX, multiplier=100), "quantity": Decimal("300.0000")},
            {"exchange": "MCXCOMM", "instrumentId": "255", "quantity": "3"},
        ),
    ],
)
def test_our_words_become_theirs(client: BrokerClient, changed: dict[str, Any], sent: dict[str, Any]) -> None:
    _, request = answered(client, lambda it: it.place(asked(**changed)), f"POST {ORDERS}", PLACED)
    [leg] = body_of(request)
    assert sent.items() <= leg.items()
    assert ("price" in leg) is (changed.get("price", ...) is not None)
    assert ("marketProtectionPercent" in leg) is (changed.get("order_type") is OrderType.MARKET)


def test_the_quantity_of_a_change_is_sent_only_where_it_changes(client: BrokerClient) -> None:
    order = standing(ID, filled=4)
    _, request = answered(client, lambda it: it.modify(order, TO_LIMIT), f"PUT {ONE}", CHANGED)
    assert body_of(request) == {"orderType": "LIMIT", "validity": "DAY", "price": "1400"}
    fewer = replace(TO_LIMIT, quantity=Decimal(8))
    _, request = answered(client, lambda it: it.modify(standing(ID), fewer), f"PUT {ONE}", CHANGED)
    assert body_of(request)["quantity"] == "8"
    error = never_sent(client, lambda it: it.modify(order, fewer))
    assert (type(error), error.code) == (NotSupported, "partly_filled")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"order_type": OrderType.MARKET, "price": None}, "unprotected_order"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(0)}, "unprotected_order"),
        ({"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1)}, "order_type_not_offered"),
        ({"traded": traded("1", Exchange.MCX), "validity": Validity.IOC}, "ioc_not_on_mcx"),
        ({"validity": Validity.GTC}, "validity_not_offered"),
        ({"product": Product.BO}, "product_not_offered"),
        ({"traded": traded("1", Exchange.MCX, multiplier=100), "quantity": Decimal(150)}, "odd_quantity"),
        ({"traded": traded("INE002A01018")}, "instrument_not_offered"),
        ({"algo_id": "1234567890123"}, "algo_id_not_offered"),
    ],
)
def test_what_the_broker_does_not_take_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    for act in (lambda it: it.place(asked(**changed)), lambda it: it.margin(asked(**changed))):
        error = never_sent(client, act)
        assert isinstance(error, NotSupported)
        assert error.code == code


def test_a_change_makes_no_bare_market_order(client: BrokerClient) -> None:
    to_market = replace(TO_LIMIT, order_type=OrderType.MARKET, price=None)
    error = never_sent(client, lambda it: it.modify(standing(ID), to_market))
    assert (type(error), error.code) == (NotSupported, "unprotected_order")


ACTS = [
    pytest.param(f"POST {ORDERS}", lambda it: it.place(asked()), id="place"),
    pytest.param(f"PUT {ONE}", lambda it: it.modify(standing(ID), TO_LIMIT), id="modify"),
    pytest.param(f"DELETE {ONE}", lambda it: it.cancel(standing(ID)), id="cancel"),
]


@pytest.mark.parametrize(("request_line", "act"), ACTS)
@pytest.mark.parametrize(
    ("file", "status", "kind", "code"),
    [
        ("orders_place_short.json", 200, OrderRejected, "insufficient_funds"),
        ("error_user_blocked.json", 200, RequestRefused, "access_suspended"),
        ("error_dormant.json", 200, RequestRefused, "access_suspended"),
        ("error_ip_not_allowed.json", 403, RequestRefused, "access_suspended"),
        ("error_token_invalid.json", 401, SessionEnded, "session_ended"),
        ("error_token_invalid.json", 200, SessionEnded, "session_ended"),
        ("error_unauthorized.json", 401, SessionEnded, "session_ended"),
        ("error_rate_limited.json", 429, RateLimited, "broker_rate_limited"),
        ("error_try_later.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("error_rms_down.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("error_token_invalid.json", 500, OutcomeUnknown, "outcome_unknown"),
        # How the book says that it is empty: of an order it says nothing.
        ("error_no_orders.json", 200, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_what_a_recorded_error_means_for_an_order(
    client: BrokerClient, request_line: str, act: Any, file: str, status: int, kind: type, code: str
) -> None:
    error = refused(client, act, request_line, payload(SLUG, file), status=status)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("code", "message", "kind", "ours"),
    [
        ("EC901", "Invalid parameter: 'exchange'", OrderRejected, "order_rejected"),
        ("EC971", "orderTag is too long", OrderRejected, "order_rejected"),
        ("EC992", "Order cannot be modified", OrderRejected, "order_rejected"),
        ("EC805", "Invalid price", RequestRefused, "request_refused"),
        ("Not_Ok", "RMS:Rule: Check holdings including BTST", OrderRejected, "insufficient_holdings"),
        ("Not_Ok", "RMS:Scrip is in Ban Period", OrderRejected, "order_rejected"),
        ("EC912", "Error while placing the order", OutcomeUnknown, "outcome_unknown"),
        ("EC042", "Something", OutcomeUnknown, "outcome_unknown"),
        ("EC999999", "Something", OutcomeUnknown, "outcome_unknown"),
        ("Not_Ok", "Something", OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_a_leg_that_failed_within_a_success(
    client: BrokerClient, code: str, message: str, kind: type, ours: str
) -> None:
    leg = {"status": code, "message": message}
    body = json.dumps({"status": "Ok", "message": "Success", "result": [leg]}).encode()
    error = refused(client, lambda it: it.place(asked()), f"POST {ORDERS}", body)
    assert (type(error), error.code) == (kind, ours)
    assert kind is OutcomeUnknown or error.reason == message
    whole = refused(client, lambda it: it.place(asked()), f"POST {ORDERS}", json.dumps(leg).encode())
    assert (type(whole), whole.code) == (kind, ours)


def test_the_published_failure_of_a_leg_is_a_rejection(client: BrokerClient) -> None:
    """Beside one that succeeded, which we never asked for, it proves nothing."""
    mixed = recorded(SLUG, "orders_place_mixed.json")
    error = refused(client, lambda it: it.place(asked()), f"POST {ORDERS}", said(mixed["result"][1:]))
    assert (type(error), error.vendor_code) == (OrderRejected, "EC901")
    error = refused(client, lambda it: it.place(asked()), f"POST {ORDERS}", json.dumps(mixed).encode())
    assert isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize(("request_line", "act"), ACTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (requests.ReadTimeout(), 200),
        (requests.ConnectionError(ConnectionResetError()), 200),
        (b"<html>502</html>", 502),
        (b"<html>ok</html>", 200),
        (b'{"status":"Of tomorrow","message":"Something else"}', 400),
        (said([]), 200),
        (said([{"status": "Success", "message": "Success"}]), 200),
        (said([{"status": "Success", "brokerOrderId": ""}]), 200),
        (said([{"brokerOrderId": ID}]), 200),
        (said([{"status": "Success", "brokerOrderId": ID}, {"status": "Success", "brokerOrderId": "2"}]), 200),
        (said(None), 200),
        (b'{"status":"Ok"}', 200),
        (b"[]", 200),
        (PLACED, 404),
    ],
)
def test_without_a_verdict_nobody_knows(
    client: BrokerClient, request_line: str, act: Any, body: Any, status: int
) -> None:
    assert isinstance(refused(client, act, request_line, body, status=status), OutcomeUnknown)


def test_an_order_is_found_by_its_label(client: BrokerClient) -> None:
    book = recorded(SLUG, "orders_book.json")
    book[0]["orderTag"] = "t2k3m4n5p6q7r8s9tau"
    with answering(BROKER, {f"GET {ORDERS}": json.dumps(book, default=str).encode()}):
        found = client.find("t2k3m4n5p6q7r8s9tau")
    assert [order.broker_order_id for order in found] == [book[0]["brokerOrderId"]]
    with answering(BROKER, {f"GET {ORDERS}": payload(SLUG, "error_no_orders.json")}):
        assert client.find("t2k3m4n5p6q7r8s9tau") == ()
