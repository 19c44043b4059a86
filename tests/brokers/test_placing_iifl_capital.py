"""Orders in IIFL Capital's words: what is sent is what was published, and what each answer means."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import responses

from brokers.dealing import OrderChange, OrderMargin, OrderRequest
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from brokers.errors import NotSupported, OrderRejected, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.iifl_capital import BROKER
from tests.brokers.placing import (
    OPEN_ENDS,
    TAG,
    assert_stays_open,
    client,
    made,
    order,
    refused,
    replying,
    standing,
    traded,
)
from tests.contract.recorded import ACCESS_TOKEN, answering, payload

SLUG, ORDERS, MARGIN = "iifl_capital", "/v1/orders", "/v1/preordermargin"
ID = "240919000000041"
ONE = f"{ORDERS}/{ID}"
CRUDE = traded(Exchange.MCX, "CRUDEOIL26OCTFUT", "255", multiplier=100)
# Those of bracket and cover orders, which are not sent, and a name for where an order came from, which may be left out.
NOT_SENT = {"slLegPrice", "targetLegPrice", "apiOrderSource"}
PUBLISHED = {
    "traded": traded(Exchange.NSE, "INFY", "1594"),
    "product": Product.MIS,
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


def asked(**changed: Any) -> OrderRequest:
    """Ten shares at 1400.50 at most, within the day; with what is `changed`."""
    plain = {"traded": traded(Exchange.NSE, "RELIANCE", "2885"), "product": Product.MIS, "price": Decimal("1400.5000")}
    plain |= changed
    return order(plain.pop("traded"), **plain)


def body(file: str) -> Any:
    return json.loads(payload(SLUG, file))


def said(result: Any) -> bytes:
    return json.dumps({"status": "Ok", "message": "Success", "result": result}).encode()


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_an_order_is_sent_as_published() -> None:
    placed, request = made(BROKER, lambda it: it.place(asked(**PUBLISHED)), "POST", ORDERS, "orders_place.json")
    assert placed == ID
    [published] = body("orders_place.request.json")
    assert request.said == [without(published, *NOT_SENT)]
    assert request.headers["Authorization"] == f"Bearer {ACCESS_TOKEN}"
    assert request.headers["Content-Type"] == "application/json"


def test_a_change_is_sent_as_published() -> None:
    """As one object, where a list of one is published: the published use cases are objects, too."""
    known = standing(asked(**PUBLISHED | {"quantity": Decimal(2)}), ID)
    changed, request = made(BROKER, lambda it: it.modify(known, CHANGE), "PUT", ONE, "orders_modify.json")
    assert changed == ID
    assert [request.said] == body("orders_modify.request.json")


@pytest.mark.parametrize(("order_id", "path"), [(ID, ONE), ("a/b?c", f"{ORDERS}/a%2Fb%3Fc")])
def test_an_order_is_cancelled_by_its_id(order_id: str, path: str) -> None:
    known = standing(asked(), order_id)
    _, request = made(BROKER, lambda it: it.cancel(known), "DELETE", path, "orders_cancel.json")
    assert request.said == {}
    assert request.url.endswith(path)


def test_a_margin_is_asked_for_as_published() -> None:
    request = asked(
        traded=traded(Exchange.NFO, "NIFTY24SEP25000CE", "54786"),
        side=Side.SELL,
        quantity=Decimal(25),
        product=Product.NRML,
        **{name: PUBLISHED[name] for name in ("order_type", "price", "trigger_price", "protection_pct")},
    )
    margin, sent = made(BROKER, lambda it: it.margin(request), "POST", MARGIN, "preordermargin.json")
    assert margin == OrderMargin(required=Decimal("12086.73"))
    assert sent.said == without(body("preordermargin.request.json"), *NOT_SENT)
    with replying(BROKER, "POST", MARGIN, said(body("preordermargin.json"))):
        assert client(BROKER).margin(request) == margin


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
            {"traded": CRUDE, "quantity": Decimal("300.0000")},
            {"exchange": "MCXCOMM", "instrumentId": "255", "quantity": "3"},
        ),
    ],
)
def test_our_words_become_theirs(changed: dict[str, Any], sent: dict[str, Any]) -> None:
    _, request = made(BROKER, lambda it: it.place(asked(**changed)), "POST", ORDERS, "orders_place.json")
    [leg] = request.said
    assert sent.items() <= leg.items()
    assert ("price" in leg) is (changed.get("price", ...) is not None)
    assert ("marketProtectionPercent" in leg) is (changed.get("order_type") is OrderType.MARKET)


def test_the_quantity_of_a_change_is_sent_only_where_it_changes() -> None:
    partly = standing(asked(), ID, filled=4)
    _, request = made(BROKER, lambda it: it.modify(partly, TO_LIMIT), "PUT", ONE, "orders_modify.json")
    assert request.said == {"orderType": "LIMIT", "validity": "DAY", "price": "1400"}
    fewer = replace(TO_LIMIT, quantity=Decimal(8))
    _, request = made(BROKER, lambda it: it.modify(standing(asked(), ID), fewer), "PUT", ONE, "orders_modify.json")
    assert request.said["quantity"] == "8"


@pytest.mark.parametrize(
    ("filled", "changed", "code"),
    [
        (4, {"quantity": Decimal(8)}, "partly_filled"),
        (0, {"order_type": OrderType.MARKET, "price": None}, "unprotected_order"),
        (0, {"order_type": OrderType.SL_M, "trigger_price": Decimal(1)}, "order_type_not_offered"),
    ],
)
def test_a_change_that_may_mean_another_never_leaves(filled: int, changed: dict[str, Any], code: str) -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported) as caught:
        client(BROKER).modify(standing(asked(), ID, filled), replace(TO_LIMIT, **changed))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"order_type": OrderType.MARKET, "price": None}, "unprotected_order"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(0)}, "unprotected_order"),
        ({"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1)}, "order_type_not_offered"),
        ({"traded": CRUDE, "quantity": Decimal(100), "validity": Validity.IOC}, "ioc_not_on_mcx"),
        ({"validity": Validity.GTC}, "validity_not_offered"),
        ({"product": Product.BO}, "product_not_offered"),
        ({"traded": CRUDE, "quantity": Decimal(150)}, "odd_quantity"),
        ({"traded": traded(Exchange.NSE, "RELIANCE", "INE002A01018")}, "instrument_not_offered"),
        ({"algo_id": "1234567890123"}, "algo_id_not_offered"),
    ],
)
@pytest.mark.parametrize("call", ["place", "margin"])
def test_what_the_broker_does_not_take_never_leaves(call: str, changed: dict[str, Any], code: str) -> None:
    with responses.RequestsMock(), pytest.raises(NotSupported) as caught:
        getattr(client(BROKER), call)(asked(**changed))
    assert caught.value.code == code


ACTS = [
    pytest.param("POST", ORDERS, lambda it: it.place(asked()), id="place"),
    pytest.param("PUT", ONE, lambda it: it.modify(standing(asked(), ID), TO_LIMIT), id="modify"),
    pytest.param("DELETE", ONE, lambda it: it.cancel(standing(asked(), ID)), id="cancel"),
]


@pytest.mark.parametrize(("method", "path", "act"), ACTS)
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
    method: str, path: str, act: Any, file: str, status: int, kind: type, code: str
) -> None:
    error = refused(BROKER, act, method, path, payload(SLUG, file), status)
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
def test_a_leg_that_failed_within_a_success(code: str, message: str, kind: type, ours: str) -> None:
    leg = {"status": code, "message": message}
    error = refused(BROKER, lambda it: it.place(asked()), "POST", ORDERS, said([leg]))
    assert (type(error), error.code) == (kind, ours)
    assert kind is OutcomeUnknown or error.reason == message
    whole = refused(BROKER, lambda it: it.place(asked()), "POST", ORDERS, json.dumps(leg).encode())
    assert (type(whole), whole.code) == (kind, ours)


def test_the_published_failure_of_a_leg_is_a_rejection() -> None:
    """Beside one that succeeded, which we never asked for, it proves nothing."""
    mixed = body("orders_place_mixed.json")
    error = refused(BROKER, lambda it: it.place(asked()), "POST", ORDERS, said(mixed["result"][1:]))
    assert (type(error), error.vendor_code) == (OrderRejected, "EC901")
    error = refused(BROKER, lambda it: it.place(asked()), "POST", ORDERS, json.dumps(mixed).encode())
    assert isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("end", OPEN_ENDS)
@pytest.mark.parametrize(("method", "path", "act"), ACTS)
def test_without_an_answer_nobody_knows(method: str, path: str, act: Any, end: str) -> None:
    assert_stays_open(BROKER, act, method, path, end)


@pytest.mark.parametrize(("method", "path", "act"), ACTS)
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'{"status":"Of tomorrow","message":"Something else"}', 400),
        (said([]), 200),
        (said([{"status": "Success", "message": "Success"}]), 200),
        (said([{"status": "Success", "brokerOrderId": ""}]), 200),
        (said([{"brokerOrderId": ID}]), 200),
        (said([{"status": "Success", "brokerOrderId": ID}, {"status": "Success", "brokerOrderId": "2"}]), 200),
        (said(None), 200),
        (b'{"status":"Ok"}', 200),
        (b"[]", 200),
        (said([{"status": "Success", "brokerOrderId": ID}]), 404),
    ],
)
def test_an_answer_that_is_no_verdict_leaves_it_open(
    method: str, path: str, act: Any, answer: bytes, status: int
) -> None:
    assert isinstance(refused(BROKER, act, method, path, answer, status), OutcomeUnknown)


def test_an_order_is_found_by_its_label() -> None:
    account, book = client(BROKER), body("orders_book.json")
    book[0]["orderTag"] = TAG
    with answering(BROKER, {f"GET {ORDERS}": json.dumps(book).encode()}):
        found = account.find(TAG)
    assert [order.broker_order_id for order in found] == [book[0]["brokerOrderId"]]
    with answering(BROKER, {f"GET {ORDERS}": payload(SLUG, "error_no_orders.json")}):
        assert account.find(TAG) == ()
