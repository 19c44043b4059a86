"""Dealing at Fyers: our requests are those that its docs show, and its answers mean what its page says."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttStatus, OrderMargin
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from brokers.errors import NotSupported, OrderRejected, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.fyers import BROKER, mapping
from brokers.fyers.spec import SPEC
from tests.brokers.placing import (
    OPEN_ENDS,
    TAG,
    assert_stays_open,
    change,
    client,
    gtt,
    made,
    order,
    refused,
    replying,
    standing,
    traded,
)
from tests.contract.recorded import payload

SBIN = traded(Exchange.NSE, "SBIN", "NSE:SBIN-EQ")
SILVER = traded(Exchange.MCX, "SILVERMIC20NOVFUT", "MCX:SILVERMIC20NOVFUT", multiplier=1)
GAS = traded(Exchange.MCX, "NATURALGAS26DECFUT", "MCX:NATURALGAS26DECFUT", multiplier=1250)
HOST = "https://api-t1.fyers.in"
ORDERS, TRIGGERS, WAITING = "/api/v3/orders/sync", "/api/v3/gtt/orders/sync", "/api/v3/gtt/orders"
MARGIN = "/api/v3/multiorder/margin"
PLACED = "808058117761"


def place(of: Any = SBIN, **changed: Any) -> Callable[[BrokerClient], str]:
    return lambda fyers: fyers.place(order(of, **changed))


def body_of(**changed: Any) -> dict[str, Any]:
    _, request = made(BROKER, place(changed.pop("of", SBIN), **changed), "POST", ORDERS, "place_order_success.json")
    return request.said


def test_an_order_is_the_published_request() -> None:
    published = json.loads(payload("fyers", "place_order_request.json"))
    asked = place(SILVER, order_type=OrderType.MARKET, price=None, product=Product.MIS, quantity=Decimal(1), tag="tag1")
    order_id, request = made(BROKER, asked, "POST", ORDERS, "place_order_success.json")
    assert order_id == PLACED
    assert (request.method, request.url) == ("POST", HOST + ORDERS)
    assert request.headers["Authorization"] == "recorded-key:recorded-token"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["version"] == "3"
    assert request.said == published


def test_every_kind_of_order_says_what_it_needs() -> None:
    limit = body_of(side=Side.SELL, disclosed_quantity=Decimal(4))
    assert (limit["type"], limit["side"], limit["productType"]) == (1, -1, "CNC")
    assert (limit["limitPrice"], limit["stopPrice"], limit["disclosedQty"]) == (1500.5, 0, 4)
    assert (limit["orderTag"], limit["isSliceOrder"]) == (TAG, False)
    stop = body_of(order_type=OrderType.SL, trigger_price=Decimal("1490.0500"), validity=Validity.IOC)
    assert (stop["type"], stop["stopPrice"], stop["validity"]) == (4, 1490.05, "IOC")
    gas = body_of(of=GAS, product=Product.NRML, quantity=Decimal(2500))
    assert (gas["qty"], gas["productType"]) == (2, "MARGIN")  # lots


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"of": GAS, "product": Product.NRML, "validity": Validity.IOC, "quantity": Decimal(1250)}, "ioc_not_on_mcx"),
        ({"of": GAS, "product": Product.NRML, "quantity": Decimal(150)}, "odd_quantity"),
        ({"order_type": OrderType.SL_M, "price": None}, "order_type_not_offered"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(2)}, "protection_not_offered"),
        ({"product": Product.CO}, "product_not_offered"),
        ({"validity": Validity.GTD}, "validity_not_offered"),
        ({"algo_id": "ALGO7"}, "algo_id_not_offered"),
    ],
)
def test_what_fyers_does_not_take_is_never_sent(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(NotSupported) as caught:  # no reply is ready: a call would fail otherwise
        place(changed.pop("of", SBIN), **changed)(client(BROKER))
    assert caught.value.code == code


def test_a_change_says_how_the_order_is_to_stand() -> None:
    asked = standing(order(SBIN), PLACED)
    reply = "modify_order_success.json"
    changed, request = made(BROKER, lambda fyers: fyers.modify(asked, change()), "PATCH", ORDERS, reply)
    assert changed == PLACED
    assert (request.method, request.url) == ("PATCH", HOST + ORDERS)
    assert request.said == {"id": PLACED, "type": 1, "limitPrice": 1501, "stopPrice": 0}
    more = change(quantity=Decimal(12), disclosed_quantity=Decimal(2))
    _, request = made(BROKER, lambda fyers: fyers.modify(asked, more), "PATCH", ORDERS, reply)
    assert request.said == {
        **{"id": PLACED, "type": 1, "limitPrice": 1501, "stopPrice": 0},
        **{"qty": 12, "disclosedQty": 2},
    }


@pytest.mark.parametrize(
    ("filled", "changed", "code"),
    [
        (4, {"quantity": Decimal(12)}, "partly_filled"),
        (0, {"validity": Validity.IOC}, "validity_unchangeable"),
    ],
)
def test_a_change_that_could_mean_something_else_is_never_sent(filled: int, changed: Any, code: str) -> None:
    with pytest.raises(NotSupported) as caught:
        client(BROKER).modify(standing(order(SBIN), PLACED, filled), change(**changed))
    assert caught.value.code == code


def test_a_cancellation_is_the_documented_call() -> None:
    asked = standing(order(SBIN), PLACED)
    _, request = made(BROKER, lambda fyers: fyers.cancel(asked), "DELETE", ORDERS, "cancel_order_success.json")
    assert (request.method, request.url, request.said) == ("DELETE", HOST + ORDERS, {"id": PLACED})


@pytest.mark.parametrize(
    ("reply", "status", "kind", "code"),
    [
        ("place_order_error_rejected.json", 400, OrderRejected, "order_rejected"),
        ("place_order_error_rejected.json", 200, OrderRejected, "order_rejected"),
        ("place_order_error_bad_params.json", 400, RequestRefused, "request_refused"),
        ("place_order_error_invalid_symbol.json", 400, RequestRefused, "unknown_instrument"),
        ("error_invalid_order_id.json", 400, RequestRefused, "unknown_order"),
        ("error_token_not_authenticated.json", 401, SessionEnded, "session_ended"),
        ("error_rate_limited_legacy.json", 429, RateLimited, "broker_rate_limited"),
        ("error_internal.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("error_connection.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("place_order_unacknowledged_201.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("place_order_async_success.json", 200, OutcomeUnknown, "outcome_unknown"),  # queued, without an id
        ("place_order_slice_success.json", 200, OutcomeUnknown, "outcome_unknown"),  # never asked for
    ],
)
def test_a_recorded_answer_says_what_became_of_the_order(reply: str, status: int, kind: type, code: str) -> None:
    error = refused(BROKER, place(), "POST", ORDERS, payload("fyers", reply), status)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize("number", [-161, -162, -164])
def test_an_order_that_has_ended_is_not_ended_again(number: int) -> None:
    body = json.dumps({"s": "error", "code": number, "message": "No."}).encode()
    asked = standing(order(SBIN), PLACED)
    error = refused(BROKER, lambda fyers: fyers.cancel(asked), "DELETE", ORDERS, body, 400)
    assert (type(error), error.code) == (RequestRefused, "order_has_ended")


@pytest.mark.parametrize(("status", "kind"), [(400, RequestRefused), (404, OutcomeUnknown), (200, OutcomeUnknown)])
def test_a_code_that_nobody_knows_says_no_by_its_status_alone(status: int, kind: type) -> None:
    body = json.dumps({"s": "error", "code": -9999, "message": "No."}).encode()
    assert type(refused(BROKER, place(), "POST", ORDERS, body, status)) is kind


def test_an_app_that_may_not_place_orders_is_told_no() -> None:
    error = refused(BROKER, place(), "POST", ORDERS, payload("fyers", "error_permission.json"), 403)
    assert (type(error), error.code, error.connection_status) == (RequestRefused, "app_permission_missing", None)


@pytest.mark.parametrize("end", OPEN_ENDS)
def test_what_says_nothing_leaves_open_what_became_of_it(end: str) -> None:
    asked = standing(order(SBIN), PLACED)
    assert_stays_open(BROKER, place(), "POST", ORDERS, end)
    assert_stays_open(BROKER, lambda fyers: fyers.modify(asked, change()), "PATCH", ORDERS, end)
    assert_stays_open(BROKER, lambda fyers: fyers.cancel(asked), "DELETE", ORDERS, end)


def test_one_acknowledgement_is_not_taken_for_another() -> None:
    placed = payload("fyers", "place_order_success.json")
    error = refused(BROKER, lambda fyers: fyers.cancel(standing(order(SBIN), PLACED)), "DELETE", ORDERS, placed)
    assert type(error) is OutcomeUnknown


def test_an_order_that_is_too_many_was_not_taken() -> None:
    assert SPEC.order_rules.throttled_before_entry
    calls = [("POST", ORDERS), ("PATCH", ORDERS), ("POST", TRIGGERS)]
    assert {SPEC.rate_class(*call)[0] for call in calls} == {"orders"}
    assert SPEC.rate_class("DELETE", ORDERS)[0] == "cancels"
    assert SPEC.rate_class("DELETE", TRIGGERS)[0] == "gtt_cancels"
    assert SPEC.rate_class("POST", MARGIN)[0] == "other"


def test_the_margin_of_an_order_is_asked_as_published() -> None:
    published = json.loads(payload("fyers", "multiorder_margin_request.json"))["data"][0]
    future = traded(Exchange.NFO, "NIFTY23DECFUT", "NSE:NIFTY23DECFUT")
    asked = order(future, order_type=OrderType.MARKET, price=None, product=Product.NRML, quantity=Decimal(50))
    margin, request = made(BROKER, lambda fyers: fyers.margin(asked), "POST", MARGIN, "multiorder_margin.json")
    assert request.said == {"data": [published]}
    assert margin == OrderMargin(required=Decimal("147738.05634886527"), available=Decimal("1999.9"))


def test_of_an_order_that_waits_for_two_prices_the_upper_leg_is_the_first() -> None:
    gtt_id, request = made(
        BROKER, lambda fyers: fyers.place_gtt(gtt(SBIN, "620", "1020")), "POST", TRIGGERS, "gtt_place_success.json"
    )
    assert gtt_id == "25012400002074"
    assert request.said == {
        "side": -1,
        "symbol": "NSE:SBIN-EQ",
        "productType": "CNC",
        "orderInfo": {
            "leg1": {"price": 1019.5, "triggerPrice": 1020, "qty": 1},
            "leg2": {"price": 619.5, "triggerPrice": 620, "qty": 1},
        },
    }


def test_an_order_that_waits_for_one_price_has_one_leg() -> None:
    _, request = made(
        BROKER, lambda fyers: fyers.place_gtt(gtt(SBIN, "1020")), "POST", TRIGGERS, "gtt_place_success.json"
    )
    assert list(request.said["orderInfo"]) == ["leg1"]


def test_the_list_of_waiting_orders_is_read() -> None:
    rows, _ = made(BROKER, lambda fyers: fyers.gtts(), "GET", WAITING, "gtt_orderbook.json")
    assert rows.problems == ()
    assert rows.items == (
        BrokerGtt(
            broker_gtt_id="25012400002074",
            exchange=Exchange.NSE,
            tradingsymbol="SBIN",
            broker_token="NSE:SBIN-EQ",
            kind=GttKind.OCO,
            side=Side.BUY,
            product=Product.CNC,
            legs=(
                GttLeg(trigger_price=Decimal(620), price=Decimal(620), quantity=Decimal(5)),
                GttLeg(trigger_price=Decimal(1020), price=Decimal(1020), quantity=Decimal(5)),
            ),
            status=GttStatus.CANCELLED,
            created_at=mapping.time_of({"at": "24-Jan-2025 16:13:31"}, "at"),
        ),
    )


def test_a_waiting_order_is_taken_back() -> None:
    [waiting] = made(BROKER, lambda fyers: fyers.gtts(), "GET", WAITING, "gtt_orderbook.json")[0].items
    with replying(BROKER, "DELETE", TRIGGERS, payload("fyers", "gtt_cancel_success.json")) as asked:
        client(BROKER).cancel_gtt(waiting)
    assert [(request.method, request.said) for request in asked] == [("DELETE", {"id": "25012400002074"})]


def test_an_order_is_found_by_its_tag_without_the_broker_s_prefix() -> None:
    book = json.loads(payload("fyers", "orderbook.json"))
    book["orderBook"][0]["orderTag"] = f"1:{TAG}"
    with replying(BROKER, "GET", "/api/v3/orders", json.dumps(book).encode()):
        found = client(BROKER).find(TAG)
    assert [each.broker_order_id for each in found] == [book["orderBook"][0]["id"]]
