"""Orders in XTS's words: what is sent is what was recorded, and what each answer means."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import responses

from brokers.dealing import OrderChange, OrderRequest
from brokers.domain import AppCredentials, Exchange, OrderType, Product, Session, Side, Validity
from brokers.errors import NotSupported, OrderRejected, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.iifl import BROKER
from brokers.secret import Secret
from tests.brokers.placing import (
    OPEN_ENDS,
    assert_stays_open,
    client,
    made,
    order,
    refused,
    replying,
    standing,
    traded,
)
from tests.contract.recorded import ACCESS_TOKEN, API_KEY, API_SECRET, answering, payload

SLUG, ORDERS = "iifl", "/interactive/orders"
DEALER = {"userID": "DLR1", "clientID": "DEMO2", "isInvestor": "no"}
ID = "648468730"
RELIANCE = traded(Exchange.NSE, "RELIANCE", "2885")
CRUDE = traded(Exchange.MCX, "CRUDEOIL26OCTFUT", "255", multiplier=100)
CHANGE = OrderChange(
    order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal("8.0000"), price=Decimal("1401.0000")
)


def asked(**changed: Any) -> OrderRequest:
    """The recorded order, with what is `changed`."""
    recorded = {"traded": RELIANCE, "product": Product.MIS, "price": Decimal("1400.5000"), "tag": "TM-0001"}
    recorded |= changed
    return order(recorded.pop("traded"), **recorded)


def body(file: str) -> Any:
    return json.loads(payload(SLUG, file))


def test_an_order_is_sent_as_recorded() -> None:
    placed, request = made(BROKER, lambda it: it.place(asked()), "POST", ORDERS, "orders_place.json")
    assert placed == ID
    assert request.said == body("orders_place.request.json")
    assert request.headers["Authorization"] == ACCESS_TOKEN
    assert request.headers["Content-Type"] == "application/json"


def test_a_change_is_sent_as_recorded() -> None:
    known = standing(asked(product=Product.NRML), ID)
    changed, request = made(BROKER, lambda it: it.modify(known, CHANGE), "PUT", ORDERS, "orders_modify.json")
    assert changed == ID
    assert request.said == body("orders_modify.request.json")


def test_an_order_is_cancelled_by_its_id_and_its_label() -> None:
    known = standing(asked(), ID)
    _, request = made(BROKER, lambda it: it.cancel(known), "DELETE", ORDERS, "orders_cancel.json")
    assert request.said == {"appOrderID": ID, "orderUniqueIdentifier": "TM-0001"}


def test_a_dealers_calls_name_the_client() -> None:
    app = AppCredentials(api_key=Secret(API_KEY), api_secret=Secret(API_SECRET))
    dealer = BROKER.client(BROKER.transport(), app, Session(access_token=Secret(ACCESS_TOKEN), facts=DEALER))
    known = standing(asked(), ID)
    acts = {
        "POST": lambda: dealer.place(asked()),
        "PUT": lambda: dealer.modify(known, CHANGE),
        "DELETE": lambda: dealer.cancel(known),
    }
    for method, act in acts.items():
        with replying(BROKER, method, ORDERS, payload(SLUG, "orders_place.json")) as sent:
            act()
        assert [request.said["clientID"] for request in sent] == ["DEMO2"]


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        (
            {"order_type": OrderType.SL, "trigger_price": Decimal("1399.9500"), "side": Side.SELL},
            {"orderType": "STOPLIMIT", "stopPrice": 1399.95, "limitPrice": 1400.5},
        ),
        ({"product": Product.MTF, "validity": Validity.IOC}, {"productType": "MTF", "timeInForce": "IOC"}),
        ({"disclosed_quantity": Decimal(4)}, {"disclosedQuantity": 4}),
        (
            {"traded": CRUDE, "quantity": Decimal("300.0000")},
            {"exchangeSegment": "MCXFO", "exchangeInstrumentID": 255, "orderQuantity": 3},
        ),
    ],
)
def test_our_words_become_theirs(changed: dict[str, Any], sent: dict[str, Any]) -> None:
    _, request = made(BROKER, lambda it: it.place(asked(**changed)), "POST", ORDERS, "orders_place.json")
    assert sent.items() <= request.said.items()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"order_type": OrderType.MARKET, "price": None}, "order_type_not_offered"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(1)}, "order_type_not_offered"),
        ({"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1)}, "order_type_not_offered"),
        ({"traded": CRUDE, "validity": Validity.IOC}, "ioc_not_on_mcx"),
        ({"validity": Validity.GTC}, "validity_not_offered"),
        ({"product": Product.CO}, "product_not_offered"),
        ({"traded": traded(Exchange.NCO, "GOLD", "1")}, "exchange_not_offered"),
        ({"traded": CRUDE, "quantity": Decimal(150)}, "odd_quantity"),
        ({"traded": traded(Exchange.NSE, "RELIANCE", "INE002A01018")}, "instrument_not_offered"),
        ({"algo_id": "1234"}, "algo_id_not_offered"),
    ],
)
def test_what_xts_does_not_take_never_leaves(changed: dict[str, Any], code: str) -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported) as caught:
        client(BROKER).place(asked(**changed))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("filled", "change", "code"),
    [
        (1, CHANGE, "partly_filled"),
        (0, replace(CHANGE, order_type=OrderType.MARKET), "order_type_not_offered"),
    ],
)
def test_a_change_that_may_mean_another_never_leaves(filled: int, change: OrderChange, code: str) -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported) as caught:
        client(BROKER).modify(standing(asked(), ID, filled), change)
    assert caught.value.code == code


ACTS = [
    pytest.param("POST", lambda it: it.place(asked()), id="place"),
    pytest.param("PUT", lambda it: it.modify(standing(asked(), ID), CHANGE), id="modify"),
    pytest.param("DELETE", lambda it: it.cancel(standing(asked(), ID)), id="cancel"),
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
    method: str, act: Any, file: str, status: int, kind: type, code: str
) -> None:
    error = refused(BROKER, act, method, ORDERS, payload(SLUG, file), status)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize("end", OPEN_ENDS)
@pytest.mark.parametrize(("method", "act"), ACTS)
def test_without_an_answer_nobody_knows(method: str, act: Any, end: str) -> None:
    assert_stays_open(BROKER, act, method, ORDERS, end)


@pytest.mark.parametrize(("method", "act"), ACTS)
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"type": "error", "code": "e-of-tomorrow", "description": "Something else", "result": {}}, 400),
        ({"type": "success", "description": "Request sent", "result": {"ClientID": "DEMO1"}}, 200),
        ({"type": "success", "description": "Request sent", "result": {"AppOrderID": 0}}, 200),
        ({"type": "success", "description": "Request sent", "result": ""}, 200),
        ({"type": "success"}, 200),
        ({"type": "success", "result": {"AppOrderID": 648468730}}, 404),
    ],
)
def test_an_answer_that_is_no_verdict_leaves_it_open(method: str, act: Any, said: Any, status: int) -> None:
    assert isinstance(refused(BROKER, act, method, ORDERS, json.dumps(said).encode(), status), OutcomeUnknown)


def test_the_reason_is_kept_for_its_owner() -> None:
    file = "error_order_margin.json"
    error = refused(BROKER, lambda it: it.place(asked()), "POST", ORDERS, payload(SLUG, file), 400)
    assert error.reason == body(file)["description"]
    assert "160000" not in str(error)


def test_an_order_is_found_by_its_label() -> None:
    account = client(BROKER)
    book = {f"GET {ORDERS}": payload(SLUG, "orders_book.json")}
    with answering(BROKER, book):
        found = account.find("123abc")
    with answering(BROKER, book):
        assert account.find("123ab") == ()
    assert [order.broker_order_id for order in found] == [ID]
    with answering(BROKER, {f"GET {ORDERS}": payload(SLUG, "orders_book_empty.json")}, status=400):
        assert account.find("123abc") == ()
