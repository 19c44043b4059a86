"""Dealing at Upstox: our requests are those that its docs show, and its answers mean what its page says."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from brokers.base import BrokerClient
from brokers.dealing import OrderMargin
from brokers.domain import ConnectionStatus, Exchange, OrderType, Product, Side, Validity
from brokers.errors import NotSupported, OrderRejected, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.upstox import BROKER
from brokers.upstox.spec import CANCEL, MODIFY, PLACE, SPEC
from tests.brokers.placing import (
    OPEN_ENDS,
    TAG,
    assert_stays_open,
    change,
    client,
    made,
    order,
    refused,
    replying,
    standing,
    traded,
)
from tests.contract.recorded import payload

INFY = traded(Exchange.NSE, "INFY", "NSE_EQ|INE009A01021")
GOLD = traded(Exchange.NCO, "GOLD", "NSE_COM|1", multiplier=100)
HOST = "https://api-hft.upstox.com"
PLACED = "1644490272000"


def place(of: Any = INFY, **changed: Any) -> Callable[[BrokerClient], str]:
    return lambda upstox: upstox.place(order(of, **changed))


def body_of(**changed: Any) -> dict[str, Any]:
    _, request = made(BROKER, place(changed.pop("of", INFY), **changed), "POST", PLACE, "order_place_v3.json")
    return request.said


def test_a_limit_order_is_the_documented_body() -> None:
    order_id, request = made(BROKER, place(), "POST", PLACE, "order_place_v3.json")
    assert order_id == PLACED
    assert (request.method, request.url) == ("POST", f"{HOST}/v3/order/place")
    assert request.headers["Authorization"] == "Bearer recorded-token"
    assert request.headers["Content-Type"] == request.headers["Accept"] == "application/json"
    assert "X-Algo-Name" not in request.headers
    assert request.said == {
        "instrument_token": "NSE_EQ|INE009A01021",
        "quantity": 10,
        "transaction_type": "BUY",
        "product": "D",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": 1500.5,
        "trigger_price": 0,
        "disclosed_quantity": 0,
        "is_amo": False,
        "slice": False,
        "tag": TAG,
    }


def test_every_kind_of_order_says_what_it_needs() -> None:
    market = body_of(order_type=OrderType.MARKET, price=None, product=Product.MIS, validity=Validity.IOC)
    assert (market["order_type"], market["price"], market["market_protection"]) == ("MARKET", 0, -1)
    assert (market["product"], market["validity"]) == ("I", "IOC")
    stop = body_of(order_type=OrderType.SL, side=Side.SELL, trigger_price=Decimal("1490.0500"))
    assert (stop["order_type"], stop["price"], stop["trigger_price"]) == ("SL", 1500.5, 1490.05)
    assert "market_protection" not in stop
    loss = body_of(order_type=OrderType.SL_M, price=None, trigger_price=Decimal(1490), protection_pct=Decimal("2.5000"))
    assert (loss["order_type"], loss["trigger_price"], loss["market_protection"]) == ("SL-M", 1490, 2.5)
    assert body_of(disclosed_quantity=Decimal(4))["disclosed_quantity"] == 4
    gold = body_of(of=GOLD, product=Product.NRML, quantity=Decimal(300))
    assert (gold["quantity"], gold["product"]) == (3, "D")  # lots; carried forward


def test_a_registered_algorithm_is_named_in_a_header_of_every_write() -> None:
    asked = standing(order(INFY, algo_id="ALGO7"), PLACED)
    named = [
        made(BROKER, place(algo_id="ALGO7"), "POST", PLACE, "order_place_v3.json"),
        made(BROKER, lambda upstox: upstox.modify(asked, change()), "PUT", MODIFY, "order_modify_v3.json"),
        made(BROKER, lambda upstox: upstox.cancel(asked), "DELETE", CANCEL, "order_cancel_v3.json"),
    ]
    assert [request.headers["X-Algo-Name"] for _, request in named] == ["ALGO7"] * 3


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"of": traded(Exchange.MCX, "GOLDM", "MCX_FO|1"), "product": Product.NRML}, "exchange_not_offered"),
        ({"product": Product.NRML}, "product_not_offered"),  # of a share
        ({"product": Product.BO}, "product_not_offered"),
        ({"validity": Validity.GTC}, "validity_not_offered"),
        ({"of": GOLD, "product": Product.NRML, "quantity": Decimal(150)}, "odd_quantity"),
        (
            {"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal("25.5")},
            "protection_not_offered",
        ),
    ],
)
def test_what_upstox_does_not_take_is_never_sent(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(NotSupported) as caught:  # no reply is ready: a call would fail otherwise
        place(changed.pop("of", INFY), **changed)(client(BROKER))
    assert caught.value.code == code


def test_a_change_says_how_the_order_is_to_stand() -> None:
    asked = standing(order(INFY), PLACED)
    changed, request = made(
        BROKER, lambda upstox: upstox.modify(asked, change()), "PUT", MODIFY, "order_modify_v3.json"
    )
    assert changed == PLACED
    assert (request.method, request.url) == ("PUT", f"{HOST}/v3/order/modify")
    terms = {"order_id": PLACED, "order_type": "LIMIT", "validity": "DAY", "price": 1501, "trigger_price": 0}
    assert request.said == terms
    more = change(quantity=Decimal(12), disclosed_quantity=Decimal(2), order_type=OrderType.MARKET, price=None)
    _, request = made(BROKER, lambda upstox: upstox.modify(asked, more), "PUT", MODIFY, "order_modify_v3.json")
    assert request.said == terms | {
        "order_type": "MARKET",
        "price": 0,
        "market_protection": -1,
        "quantity": 12,
        "disclosed_quantity": 2,
    }


def test_of_a_partly_filled_order_the_price_alone_is_changed() -> None:
    asked = standing(order(INFY), PLACED, filled=4)
    _, request = made(BROKER, lambda upstox: upstox.modify(asked, change()), "PUT", MODIFY, "order_modify_v3.json")
    assert "quantity" not in request.said
    with pytest.raises(NotSupported) as caught:
        client(BROKER).modify(asked, change(quantity=Decimal(12)))
    assert caught.value.code == "partly_filled"


def test_a_cancellation_is_the_documented_call() -> None:
    asked = standing(order(INFY), PLACED)
    _, request = made(BROKER, lambda upstox: upstox.cancel(asked), "DELETE", CANCEL, "order_cancel_v3.json")
    assert (request.method, request.url) == ("DELETE", f"{HOST}/v3/order/cancel")
    assert request.said == {"order_id": PLACED}


@pytest.mark.parametrize(
    ("reply", "status", "kind", "code"),
    [
        ("error_market_order_blocked_400.json", 400, OrderRejected, "market_orders_barred"),
        ("error_mcx_disabled_400.json", 400, OrderRejected, "exchange_barred"),
        ("error_order_not_found_400.json", 400, RequestRefused, "unknown_order"),
        ("error_cancel_terminal_400.json", 400, RequestRefused, "order_has_ended"),
        ("error_input_400.json", 400, RequestRefused, "request_refused"),
        ("error_static_ip_403.json", 403, RequestRefused, "ip_not_registered"),
        ("error_token_401.json", 401, SessionEnded, "session_ended"),
        ("error_rate_limit_429.json", 429, RateLimited, "broker_rate_limited"),
        ("error_internal_500.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("error_service_hours_423.json", 423, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_a_recorded_error_says_what_became_of_the_order(reply: str, status: int, kind: type, code: str) -> None:
    error = refused(BROKER, place(), "POST", PLACE, payload("upstox", reply), status)
    assert (type(error), error.code) == (kind, code)


def _said(code: str) -> bytes:
    return json.dumps({"status": "error", "errors": [{"error_code": code, "message": "No."}]}).encode()


@pytest.mark.parametrize(("status", "kind"), [(400, RequestRefused), (404, OutcomeUnknown), (200, OutcomeUnknown)])
def test_a_code_that_nobody_knows_says_no_by_its_status_alone(status: int, kind: type) -> None:
    assert type(refused(BROKER, place(), "POST", PLACE, _said("UDAPI99999"), status)) is kind


@pytest.mark.parametrize(("code", "means"), [("UDAPI1154", "ip_not_registered"), ("UDAPI1156", "algo_not_registered")])
def test_what_stops_orders_alone_leaves_the_connection_as_it_is(code: str, means: str) -> None:
    error = refused(BROKER, place(), "POST", PLACE, _said(code), 403)
    assert (type(error), error.code, error.connection_status) == (RequestRefused, means, None)
    read = refused(BROKER, lambda upstox: upstox.profile(), "GET", "/v2/user/profile", _said(code), 403)
    assert (read.code, read.connection_status) == ("access_suspended", ConnectionStatus.SUSPENDED)


@pytest.mark.parametrize("end", OPEN_ENDS)
def test_what_says_nothing_leaves_open_what_became_of_it(end: str) -> None:
    asked = standing(order(INFY), PLACED)
    assert_stays_open(BROKER, place(), "POST", PLACE, end)
    assert_stays_open(BROKER, lambda upstox: upstox.modify(asked, change()), "PUT", MODIFY, end)
    assert_stays_open(BROKER, lambda upstox: upstox.cancel(asked), "DELETE", CANCEL, end)


@pytest.mark.parametrize(
    "body",
    [payload("upstox", "order_place_v3_sliced.json"), b'{"status": "success", "data": {"order_ids": []}}'],
    ids=["split", "none"],
)
def test_an_acknowledgement_of_not_one_order_leaves_it_open(body: bytes) -> None:
    assert type(refused(BROKER, place(), "POST", PLACE, body)) is OutcomeUnknown


def test_too_many_is_not_known_to_come_before_entry() -> None:
    assert not SPEC.order_rules.throttled_before_entry
    assert {SPEC.rate_class(*call)[0] for call in (("POST", PLACE), ("PUT", MODIFY))} == {"orders"}
    assert SPEC.rate_class("DELETE", CANCEL)[0] == "cancels"


def test_the_margin_of_an_order_counts_no_hedge() -> None:
    path = "/v2/charges/margin"
    margin, request = made(BROKER, lambda upstox: upstox.margin(order(INFY)), "POST", path, "charges_margin.json")
    assert margin == OrderMargin(required=Decimal("33.6"))
    assert request.url == "https://api.upstox.com/v2/charges/margin"
    row = {"instrument_key": "NSE_EQ|INE009A01021", "quantity": 10, "product": "D", "transaction_type": "BUY"}
    assert request.said == {"instruments": [row | {"price": 1500.5}]}
    market = order(INFY, order_type=OrderType.MARKET, price=None)
    _, request = made(BROKER, lambda upstox: upstox.margin(market), "POST", path, "charges_margin.json")
    assert request.said == {"instruments": [row]}


def test_an_order_that_waits_for_a_price_is_not_offered() -> None:
    with pytest.raises(NotSupported):
        client(BROKER).gtts()
    assert "gtt" not in SPEC.capabilities.features


def test_an_order_is_found_by_its_tag() -> None:
    book = json.loads(payload("upstox", "order_retrieve_all.json"))
    book["data"][0]["tag"] = TAG
    with replying(BROKER, "GET", "/v2/order/retrieve-all", json.dumps(book).encode()):
        found = client(BROKER).find(TAG)
    assert [each.broker_order_id for each in found] == [book["data"][0]["order_id"]]
