"""Dealing at Zerodha: our requests are those that Kite documents, and its answers mean what its page says."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttStatus, OrderMargin
from brokers.domain import ConnectionStatus, Exchange, OrderType, Product, Side, Validity
from brokers.errors import NotSupported, OrderRejected, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.zerodha import BROKER, mapping
from brokers.zerodha.spec import SPEC
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

INFY = traded(Exchange.NSE, "INFY", "408065")
GOLD = traded(Exchange.MCX, "GOLDM26DECFUT", "1", multiplier=100)
ORDERS = "/orders/regular"
PLACED = "151220000000000"


def place(of: Any = INFY, **changed: Any) -> Callable[[BrokerClient], str]:
    return lambda kite: kite.place(order(of, **changed))


def form_of(**changed: Any) -> dict[str, str]:
    _, request = made(BROKER, place(changed.pop("of", INFY), **changed), "POST", ORDERS, "orders_place.json")
    return request.said


def test_a_limit_order_is_the_documented_form() -> None:
    order_id, request = made(BROKER, place(), "POST", ORDERS, "orders_place.json")
    assert order_id == PLACED
    assert (request.method, request.url) == ("POST", "https://api.kite.trade/orders/regular")
    assert request.headers["X-Kite-Version"] == "3"
    assert request.headers["Authorization"] == "token recorded-key:recorded-token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.said == {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": "10",
        "product": "CNC",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": "1500.5",
        "tag": TAG,
    }


def test_every_kind_of_order_says_what_it_needs() -> None:
    market = form_of(order_type=OrderType.MARKET, price=None, product=Product.MIS, validity=Validity.IOC)
    assert market == {
        **{"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "10", "tag": TAG},
        **{"product": "MIS", "order_type": "MARKET", "validity": "IOC", "market_protection": "-1"},
    }
    stop = form_of(order_type=OrderType.SL, side=Side.SELL, trigger_price=Decimal("1490.0000"))
    assert (stop["order_type"], stop["price"], stop["trigger_price"]) == ("SL", "1500.5", "1490")
    assert "market_protection" not in stop
    loss = form_of(
        order_type=OrderType.SL_M, price=None, trigger_price=Decimal(1490), protection_pct=Decimal("2.5"), algo_id="A1"
    )
    assert (loss["order_type"], loss["trigger_price"], loss["market_protection"]) == ("SL-M", "1490", "2.5")
    assert (loss["algo_id"], "price" in loss) == ("A1", False)
    assert form_of(disclosed_quantity=Decimal(4))["disclosed_quantity"] == "4"
    assert form_of(of=GOLD, product=Product.NRML, quantity=Decimal(300))["quantity"] == "3"  # lots


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"of": GOLD, "product": Product.NRML, "validity": Validity.IOC, "quantity": Decimal(100)}, "ioc_not_on_mcx"),
        ({"of": GOLD, "product": Product.NRML, "quantity": Decimal(150)}, "odd_quantity"),
        ({"of": traded(Exchange.NCO, "GOLD", "1")}, "exchange_not_offered"),
        ({"product": Product.BO}, "product_not_offered"),
        ({"validity": Validity.TTL}, "validity_not_offered"),
    ],
)
def test_what_kite_does_not_take_is_never_sent(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(NotSupported) as caught:  # no reply is ready: a call would fail otherwise
        place(changed.pop("of", INFY), **changed)(client(BROKER))
    assert caught.value.code == code


def test_a_change_says_how_the_order_is_to_stand() -> None:
    asked = standing(order(INFY))
    path = f"{ORDERS}/{PLACED}"
    changed, request = made(BROKER, lambda kite: kite.modify(asked, change()), "PUT", path, "orders_modify.json")
    assert changed == PLACED
    assert (request.method, request.url) == ("PUT", f"https://api.kite.trade{path}")
    assert request.said == {"order_type": "LIMIT", "validity": "DAY", "price": "1501"}
    more = change(quantity=Decimal(12), order_type=OrderType.MARKET, price=None)
    _, request = made(BROKER, lambda kite: kite.modify(asked, more), "PUT", path, "orders_modify.json")
    assert request.said == {"order_type": "MARKET", "validity": "DAY", "market_protection": "-1", "quantity": "12"}


def test_of_a_partly_filled_order_the_price_alone_is_changed() -> None:
    asked = standing(order(INFY), filled=4)
    path = f"{ORDERS}/{PLACED}"
    _, request = made(BROKER, lambda kite: kite.modify(asked, change()), "PUT", path, "orders_modify.json")
    assert "quantity" not in request.said
    with pytest.raises(NotSupported) as caught:
        client(BROKER).modify(asked, change(quantity=Decimal(12)))
    assert caught.value.code == "partly_filled"


def test_a_cancellation_is_the_documented_call() -> None:
    path = f"{ORDERS}/{PLACED}"
    asked = standing(order(INFY))
    _, request = made(BROKER, lambda kite: kite.cancel(asked), "DELETE", path, "orders_cancel.json")
    assert (request.method, request.url, request.said) == ("DELETE", f"https://api.kite.trade{path}", {})


@pytest.mark.parametrize(
    ("reply", "status", "kind", "code"),
    [
        ("error_margin_400.json", 400, OrderRejected, "insufficient_funds"),
        ("error_edis_428.json", 428, OrderRejected, "debit_not_authorised"),
        ("error_input_400.json", 400, RequestRefused, "request_refused"),
        ("error_permission_403.json", 403, RequestRefused, "ip_not_registered"),
        ("error_token_403.json", 403, SessionEnded, "session_ended"),
        ("error_rate_limit_429.json", 429, RateLimited, "broker_rate_limited"),
        ("error_general_500.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("error_oms_502.json", 502, OutcomeUnknown, "outcome_unknown"),
        ("error_maintenance_503.json", 503, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_a_recorded_error_says_what_became_of_the_order(reply: str, status: int, kind: type, code: str) -> None:
    error = refused(BROKER, place(), "POST", ORDERS, payload("zerodha", reply), status)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("status", "error_type", "kind", "code"),
    [
        (400, "HoldingException", OrderRejected, "insufficient_holdings"),
        (400, "OrderException", OrderRejected, "order_rejected"),
        (500, "OrderException", OutcomeUnknown, "outcome_unknown"),
        (400, "TypeOfTomorrow", RequestRefused, "request_refused"),  # "fall back on the status"
        (404, "TypeOfTomorrow", OutcomeUnknown, "outcome_unknown"),
        (428, "InputException", OrderRejected, "debit_not_authorised"),
        (428, "OrderException", OrderRejected, "debit_not_authorised"),
        (428, "TypeOfTomorrow", OrderRejected, "debit_not_authorised"),
        (404, "GeneralException", OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_only_words_that_are_known_reject_an_order(status: int, error_type: str, kind: type, code: str) -> None:
    body = json.dumps({"status": "error", "message": "No.", "data": None, "error_type": error_type}).encode()
    error = refused(BROKER, place(), "POST", ORDERS, body, status)
    assert (type(error), error.code) == (kind, code)


def test_what_stops_orders_alone_leaves_the_connection_as_it_is() -> None:
    said = payload("zerodha", "error_permission_403.json")
    assert refused(BROKER, place(), "POST", ORDERS, said, 403).connection_status is None
    read = refused(BROKER, lambda kite: kite.profile(), "GET", "/user/profile", said, 403)
    assert (read.code, read.connection_status) == ("access_suspended", ConnectionStatus.SUSPENDED)


def test_the_broker_s_own_reason_comes_along() -> None:
    error = refused(BROKER, place(), "POST", ORDERS, payload("zerodha", "error_margin_400.json"), 400)
    assert str(error.reason).startswith("Insufficient funds. Required margin is 95417.84")


@pytest.mark.parametrize("end", OPEN_ENDS)
def test_what_says_nothing_leaves_open_what_became_of_it(end: str) -> None:
    asked, path = standing(order(INFY)), f"{ORDERS}/{PLACED}"
    assert_stays_open(BROKER, place(), "POST", ORDERS, end)
    assert_stays_open(BROKER, lambda kite: kite.modify(asked, change()), "PUT", path, end)
    assert_stays_open(BROKER, lambda kite: kite.cancel(asked), "DELETE", path, end)


@pytest.mark.parametrize("reply", ["orders_place_autoslice.json", "orders_place_autoslice_flat.json"])
def test_an_order_that_was_split_in_spite_of_us_stays_open(reply: str) -> None:
    assert type(refused(BROKER, place(), "POST", ORDERS, payload("zerodha", reply))) is OutcomeUnknown


def test_an_order_of_which_no_part_was_taken_is_rejected() -> None:
    split = json.loads(payload("zerodha", "orders_place_autoslice_flat.json"))
    split["data"] = [part for part in split["data"] if "error" in part]
    error = refused(BROKER, place(), "POST", ORDERS, json.dumps(split).encode())
    assert type(error) is OrderRejected
    assert str(error.reason).startswith("Insufficient funds.")


def test_an_order_that_is_too_many_was_not_taken() -> None:
    assert SPEC.order_rules.throttled_before_entry
    assert SPEC.order_rules.most_changes == 25
    assert SPEC.rate_class("PUT", f"{ORDERS}/{PLACED}")[0] == "order_changes"
    assert SPEC.rate_class("POST", "/gtt/triggers")[0] == "gtt"
    assert SPEC.rate_class("DELETE", "/gtt/triggers/123")[0] == "gtt_cancels"


def test_the_margin_of_an_order_is_its_total() -> None:
    margin, request = made(
        BROKER, lambda kite: kite.margin(order(INFY)), "POST", "/margins/orders", "margins_orders.json"
    )
    assert margin == OrderMargin(required=Decimal(1498), charges=Decimal("1.79255122"))
    assert request.said == [
        {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": "BUY",
            "variety": "regular",
            "product": "CNC",
            "order_type": "LIMIT",
            "quantity": 10,
            "price": 1500.5,
            "trigger_price": 0,
        }
    ]


def test_an_order_that_waits_for_a_price_is_a_form_with_json_in_it() -> None:
    asked = gtt(INFY, "702.5000", "905")
    gtt_id, request = made(
        BROKER, lambda kite: kite.place_gtt(asked), "POST", "/gtt/triggers", "gtt_triggers__place.json"
    )
    assert gtt_id == "123"
    condition, orders = json.loads(request.said.pop("condition")), json.loads(request.said.pop("orders"))
    assert request.said == {"type": "two-leg"}
    names = {"exchange": "NSE", "tradingsymbol": "INFY"}
    assert condition == {**names, "trigger_values": [702.5, 905], "last_price": 800}
    leg = {**names, "transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC"}
    assert orders == [{**leg, "price": 702}, {**leg, "price": 904.5}]


def test_the_list_of_waiting_orders_is_read() -> None:
    rows, _ = made(BROKER, lambda kite: kite.gtts(), "GET", "/gtt/triggers", "gtt_triggers.json")
    assert rows.problems == ()
    single, double = rows.items
    assert single == BrokerGtt(
        broker_gtt_id="112127",
        exchange=Exchange.NSE,
        tradingsymbol="INFY",
        broker_token="408065",
        kind=GttKind.SINGLE,
        side=Side.BUY,
        product=Product.CNC,
        legs=(GttLeg(trigger_price=Decimal(702), price=Decimal("702.5"), quantity=Decimal(1)),),
        status=GttStatus.ACTIVE,
        created_at=mapping.time_of({"at": "2019-09-12 13:25:16"}, "at"),
    )
    assert (double.kind, double.side, double.status) == (GttKind.OCO, Side.SELL, GttStatus.TRIGGERED)
    assert [leg.trigger_price for leg in double.legs] == [Decimal(102), Decimal("103.7")]


def test_a_waiting_order_is_taken_back() -> None:
    [waiting, _] = made(BROKER, lambda kite: kite.gtts(), "GET", "/gtt/triggers", "gtt_triggers.json")[0].items
    path = "/gtt/triggers/112127"
    with replying(BROKER, "DELETE", path, payload("zerodha", "gtt_triggers__place.json")) as asked:
        client(BROKER).cancel_gtt(waiting)
    assert [(request.method, request.said) for request in asked] == [("DELETE", {})]


@pytest.mark.parametrize("first", [None, "mktp", "autoslice"])
def test_an_order_is_found_by_its_tag_though_kite_adds_its_own(first: str | None) -> None:
    book = json.loads(payload("zerodha", "orders.json"))
    protected = next(row for row in book["data"] if row.get("tags") == ["mktp", "mktp:2.00"])
    protected |= {"tag": first, "tags": ["mktp", "mktp:2.00", TAG]}
    with replying(BROKER, "GET", "/orders", json.dumps(book).encode()):
        found = client(BROKER).find(TAG)
    assert [each.broker_order_id for each in found] == [protected["order_id"]]
