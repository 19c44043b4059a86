"""Orders in XTS's words: what is sent is what was recorded, and what each answer means."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from brokers.base import BrokerClient
from brokers.dealing import OrderChange
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from brokers.errors import (
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SessionEnded,
)
from brokers.iifl import BROKER
from tests.brokers.orders_kit import (
    answered,
    asked,
    body_of,
    client_of,
    exact,
    never_sent,
    recorded,
    refused,
    standing,
    traded,
)
from tests.contract.recorded import ACCESS_TOKEN, answering, payload

SLUG, ORDERS = "iifl", "/interactive/orders"
CLIENT = {"userID": "DEMO1", "clientID": "DEMO1", "isInvestor": "yes"}
DEALER = CLIENT | {"clientID": "DEMO2", "isInvestor": "no"}
PLACED, ID = payload(SLUG, "orders_place.json"), "648468730"
CHANGE = OrderChange(
    order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal("8.0000"), price=Decimal("1401.0000")
)


@pytest.fixture
def client() -> BrokerClient:
    return client_of(SLUG, CLIENT)


def test_an_order_is_sent_as_recorded(client: BrokerClient) -> None:
    order = asked(tag="TM-0001")
    placed, request = answered(client, lambda it: it.place(order), f"POST {ORDERS}", PLACED)
    assert placed == ID
    assert body_of(request) == recorded(SLUG, "orders_place.request.json")
    assert request.headers["Authorization"] == ACCESS_TOKEN
    assert request.headers["Content-Type"] == "application/json"


def test_a_change_is_sent_as_recorded(client: BrokerClient) -> None:
    order = standing(ID, product=Product.NRML, tag="TM-0001")
    body = payload(SLUG, "orders_modify.json")
    changed, request = answered(client, lambda it: it.modify(order, CHANGE), f"PUT {ORDERS}", body)
    assert changed == ID
    assert body_of(request) == recorded(SLUG, "orders_modify.request.json")


def test_an_order_is_cancelled_by_its_id_and_its_label(client: BrokerClient) -> None:
    body = payload(SLUG, "orders_cancel.json")
    _, request = answered(client, lambda it: it.cancel(standing(ID, tag="TM-0001")), f"DELETE {ORDERS}", body)
    assert dict(parse_qsl(urlsplit(request.url).query)) == {"appOrderID": ID, "orderUniqueIdentifier": "TM-0001"}
    assert request.body is None


def test_a_dealers_calls_name_the_client() -> None:
    client, order = client_of(SLUG, DEALER), standing(ID)
    _, placed = answered(client, lambda it: it.place(asked()), f"POST {ORDERS}", PLACED)
    _, changed = answered(client, lambda it: it.modify(order, CHANGE), f"PUT {ORDERS}", PLACED)
    _, cancelled = answered(client, lambda it: it.cancel(order), f"DELETE {ORDERS}", PLACED)
    assert body_of(placed)["clientID"] == body_of(changed)["clientID"] == "DEMO2"
    assert ("clientID", "DEMO2") in parse_qsl(urlsplit(cancelled.url).query)


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        (
            {"order_type": OrderType.SL, "trigger_price": Decimal("1399.9500"), "side": Side.SELL},
            {"orderType": "STOPLIMIT", "stopPrice": Decimal("1399.95"), "limitPrice": Decimal("1400.5")},
        ),
        ({"product": Product.MTF, "validity": Validity.IOC}, {"productType": "MTF", "timeInForce": "IOC"}),
        ({"disclosed_quantity": Decimal(4)}, {"disclosedQuantity": 4}),
        (
            {"traded": traded("255", Exchange.MCX, multiplier=100), "quantity": Decimal("300.0000")},
            {"exchangeSegment": "MCXFO", "exchangeInstrumentID": 255, "orderQuantity": 3},
        ),
    ],
)
def test_our_words_become_theirs(client: BrokerClient, changed: dict[str, Any], sent: dict[str, Any]) -> None:
    _, request = answered(client, lambda it: it.place(asked(**changed)), f"POST {ORDERS}", PLACED)
    assert sent.items() <= body_of(request).items()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"order_type": OrderType.MARKET, "price": None}, "order_type_not_offered"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(1)}, "order_type_not_offered"),
        ({"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1)}, "order_type_not_offered"),
        ({"traded": traded("1", Exchange.MCX), "validity": Validity.IOC}, "ioc_not_on_mcx"),
        ({"validity": Validity.GTC}, "validity_not_offered"),
        ({"product": Product.CO}, "product_not_offered"),
        ({"traded": traded("1", Exchange.NCO)}, "exchange_not_offered"),
        ({"traded": traded("1", Exchange.MCX, multiplier=100), "quantity": Decimal(150)}, "odd_quantity"),
        ({"traded": traded("INE002A01018")}, "instrument_not_offered"),
        ({"algo_id": "1234"}, "algo_id_not_offered"),
    ],
)
def test_what_xts_does_not_take_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    error = never_sent(client, lambda it: it.place(asked(**changed)))
    assert isinstance(error, NotSupported)
    assert error.code == code


def test_a_partly_filled_order_is_not_changed(client: BrokerClient) -> None:
    error = never_sent(client, lambda it: it.modify(standing(ID, filled=1), CHANGE))
    assert (type(error), error.code) == (NotSupported, "partly_filled")
    to_market = replace(CHANGE, order_type=OrderType.MARKET)
    assert isinstance(never_sent(client, lambda it: it.modify(standing(ID), to_market)), NotSupported)


ACTS = [
    pytest.param("POST", lambda it: it.place(asked()), id="place"),
    pytest.param("PUT", lambda it: it.modify(standing(ID), CHANGE), id="modify"),
    pytest.param("DELETE", lambda it: it.cancel(standing(ID)), id="cancel"),
]


@pytest.mark.parametrize(("method", "act"), ACTS)
@pytest.mark.parametrize(
    ("file", "status", "kind", "code"),
    [
        ("error_order_rejected_sync.json", 400, OrderRejected, "order_rejected"),
        ("error_order_rejected_sync.json", 200, OrderRejected, "order_rejected"),
        ("error_order_margin.json", 400, OrderRejected, "insufficient_funds"),
        ("error_bad_request.json", 400, RequestRefused, "request_refused"),
        ("error_client_suspended.json", 400, RequestRefused, "access_suspended"),
        ("error_invalid_token.json", 400, SessionEnded, "session_ended"),
        ("error_missing_token.json", 400, SessionEnded, "session_ended"),
        ("error_rate_limited.json", 429, RateLimited, "broker_rate_limited"),
        ("error_rate_limited_wrapped.json", 429, RateLimited, "broker_rate_limited"),
        ("error_server.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("error_server.json", 400, OutcomeUnknown, "outcome_unknown"),
        ("error_order_rejected_sync.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("error_no_data_in_other_words.json", 400, OutcomeUnknown, "outcome_unknown"),
        # How books say that they are empty: of an order it says nothing.
        ("orders_book_empty.json", 400, OutcomeUnknown, "outcome_unknown"),
        ("stream/md_subscription_already.json", 400, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_what_a_recorded_error_means_for_an_order(
    client: BrokerClient, method: str, act: Any, file: str, status: int, kind: type, code: str
) -> None:
    error = refused(client, act, f"{method} {ORDERS}", payload(SLUG, file), status=status)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(("method", "act"), ACTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (requests.ReadTimeout(), 200),
        (requests.ConnectionError(ConnectionResetError()), 200),
        (b"<html>502</html>", 502),
        (b"<html>ok</html>", 200),
        (b'{"type":"error","code":"e-of-tomorrow","description":"Something else","result":{}}', 400),
        (b'{"type":"success","code":"s-orders-0001","description":"Request sent","result":{"ClientID":"D"}}', 200),
        (b'{"type":"success","code":"s-orders-0001","description":"Request sent","result":{"AppOrderID":0}}', 200),
        (b'{"type":"success","code":"s-orders-0001","description":"Request sent","result":""}', 200),
        (b'{"type":"success"}', 200),
        (PLACED, 404),
    ],
)
def test_without_a_verdict_nobody_knows(client: BrokerClient, method: str, act: Any, body: Any, status: int) -> None:
    error = refused(client, act, f"{method} {ORDERS}", body, status=status)
    assert isinstance(error, OutcomeUnknown)


def test_the_reason_is_kept_for_its_owner(client: BrokerClient) -> None:
    body = payload(SLUG, "error_order_margin.json")
    error = refused(client, lambda it: it.place(asked()), f"POST {ORDERS}", body, status=400)
    assert error.reason == exact(body)["description"]
    assert "160000" not in str(error)


def test_an_order_is_found_by_its_label(client: BrokerClient) -> None:
    book = {f"GET {ORDERS}": payload(SLUG, "orders_book.json")}
    with answering(BROKER, book):
        found = client.find("123abc")
    with answering(BROKER, book):
        assert client.find("123ab") == ()
    assert [order.broker_order_id for order in found] == [ID]
    with answering(BROKER, {f"GET {ORDERS}": payload(SLUG, "orders_book_empty.json")}, status=400):
        assert client.find("123abc") == ()
