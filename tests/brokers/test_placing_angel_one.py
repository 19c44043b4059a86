"""Orders in SmartAPI's words: what is sent is what was recorded, and what each answer means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses

from brokers.angel_one import BROKER
from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttRequest, GttStatus, OrderChange, OrderMargin
from brokers.domain import ConnectionStatus, Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import NotSupported, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded, UnexpectedResponse
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
from tests.contract.recorded import ACCESS_TOKEN, API_KEY, answering, payload

SLUG, SECURE = "angel_one", "/rest/secure/angelbroking"
PLACE, MODIFY = f"POST {SECURE}/order/v1/placeOrder", f"POST {SECURE}/order/v1/modifyOrder"
CANCEL, BOOK = f"POST {SECURE}/order/v1/cancelOrder", f"GET {SECURE}/order/v1/getOrderBook"
CREATE_RULE, CANCEL_RULE = f"POST {SECURE}/gtt/v1/createRule", f"POST {SECURE}/gtt/v1/cancelRule"
PLACED, ID, TAG = payload(SLUG, "place_order_success.json"), "201020000000080", "t2k3m4n5p6q7r8s9tau"
SBIN = traded("3045", symbol="SBIN")
CHANGE = OrderChange(
    order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal("1.0000"), price=Decimal("194.0000")
)
LEG = GttLeg(trigger_price=Decimal("196.0000"), price=Decimal("195.0000"), quantity=Decimal("1.0000"))
GTT = GttRequest(
    traded=SBIN,
    kind=GttKind.SINGLE,
    side=Side.BUY,
    product=Product.CNC,
    legs=(LEG,),
    tag="t2k3m4n5p6q7r8s9ta2",
    last_price=Decimal(200),
)
RULE = BrokerGtt(
    broker_gtt_id="1",
    exchange=Exchange.NSE,
    tradingsymbol="SBIN",
    broker_token="3045",
    kind=GttKind.SINGLE,
    side=Side.BUY,
    product=Product.CNC,
    legs=(GttLeg(trigger_price=Decimal(196), price=Decimal(195), quantity=Decimal(1)),),
    status=GttStatus.ACTIVE,
    created_at=datetime(2020, 11, 16, 14, 19, 51, tzinfo=UTC),
)


@pytest.fixture
def client() -> BrokerClient:
    return client_of(SLUG)


def test_an_order_is_sent_as_recorded(client: BrokerClient) -> None:
    """The published request is a market order that names a price, and has no tag: these two differ."""
    order = asked(traded=SBIN, order_type=OrderType.MARKET, price=None, quantity=Decimal(1), tag=TAG)
    placed, request = answered(client, lambda it: it.place(order), PLACE, PLACED)
    assert placed == "200910000000111"
    assert body_of(request) == recorded(SLUG, "place_order_request.json") | {"price": "0", "ordertag": TAG}
    sent = {name: request.headers[name] for name in ("Authorization", "X-PrivateKey", "X-UserType", "X-SourceID")}
    assert sent == {
        "Authorization": f"Bearer {ACCESS_TOKEN}",
        "X-PrivateKey": API_KEY,
        "X-UserType": "USER",
        "X-SourceID": "WEB",
    }
    assert request.headers["Content-Type"] == "application/json"


def test_a_change_is_sent_as_recorded(client: BrokerClient) -> None:
    order = standing(ID, traded=SBIN, quantity=Decimal(1))
    body = payload(SLUG, "modify_order_success.json")
    changed, request = answered(client, lambda it: it.modify(order, CHANGE), MODIFY, body)
    assert changed == ID
    assert body_of(request) == recorded(SLUG, "modify_order_request.json")


def test_a_cancellation_is_sent_as_recorded(client: BrokerClient) -> None:
    body = payload(SLUG, "cancel_order_success.json")
    _, request = answered(client, lambda it: it.cancel(standing(ID)), CANCEL, body)
    assert body_of(request) == recorded(SLUG, "cancel_order_request.json")


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        ({}, {"ordertype": "LIMIT", "price": "1400.50", "quantity": "10", "tradingsymbol": "RELIANCE-EQ"}),
        (
            {"order_type": OrderType.SL, "trigger_price": Decimal("1399.9500"), "side": Side.SELL},
            {
                "variety": "STOPLOSS",
                "ordertype": "STOPLOSS_LIMIT",
                "triggerprice": "1399.95",
                "price": "1400.50",
                "transactiontype": "SELL",
            },
        ),
        (
            {"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1400)},
            {"variety": "STOPLOSS", "ordertype": "STOPLOSS_MARKET", "triggerprice": "1400.00", "price": "0"},
        ),
        ({"product": Product.MTF, "validity": Validity.IOC}, {"producttype": "MARGIN", "duration": "IOC"}),
        ({"product": Product.CNC, "disclosed_quantity": Decimal(4)}, {"producttype": "DELIVERY",
                                                                      "disclosedquantity": "4"}),
        (
            {"traded": traded("500112", Exchange.BSE, symbol="SBIN")},
            {"exchange": "BSE", "tradingsymbol": "SBIN", "symboltoken": "500112"},
        ),
    ],
)  # fmt: skip
def test_our_words_become_theirs(client: BrokerClient, changed: dict[str, Any], sent: dict[str, Any]) -> None:
    _, request = answered(client, lambda it: it.place(asked(**changed)), PLACE, PLACED)
    assert sent.items() <= body_of(request).items()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(1)}, "protection_not_offered"),
        ({"validity": Validity.GTC}, "validity_not_offered"),
        ({"product": Product.BO}, "product_not_offered"),
        ({"traded": traded("1", Exchange.CDS)}, "exchange_not_offered"),
        ({"traded": traded("58662", Exchange.MCX, symbol="CRUDEOIL21SEP26FUT")}, "exchange_not_offered"),
        ({"quantity": Decimal("1.5")}, "odd_quantity"),
        ({"price": Decimal("1400.5050")}, "odd_price"),
        ({"algo_id": "1234"}, "algo_id_not_offered"),
    ],
)
def test_what_smartapi_does_not_take_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    error = never_sent(client, lambda it: it.place(asked(**changed)))
    assert (type(error), error.code) == (NotSupported, code)


def test_a_stop_loss_keeps_its_variety(client: BrokerClient) -> None:
    """An order is named by it: a change that would need another one is not sent, and one within it is."""
    order = standing(ID, order_type=OrderType.SL, trigger_price=Decimal(1399))
    error = never_sent(client, lambda it: it.modify(order, CHANGE))
    assert (type(error), error.code) == (NotSupported, "order_type_unchangeable")
    change = replace(CHANGE, order_type=OrderType.SL_M, price=None, trigger_price=Decimal("1390.5000"))
    _, request = answered(client, lambda it: it.modify(order, change), MODIFY, PLACED)
    sent = {"variety": "STOPLOSS", "ordertype": "STOPLOSS_MARKET", "price": "0", "triggerprice": "1390.50"}
    assert sent.items() <= body_of(request).items()
    _, request = answered(client, lambda it: it.cancel(order), CANCEL, PLACED)
    assert body_of(request) == {"variety": "STOPLOSS", "orderid": ID}


def test_a_partly_filled_order_is_not_changed(client: BrokerClient) -> None:
    """Whether the quantity is the total or the rest is not told: taken wrongly it would be more than was wanted."""
    error = never_sent(client, lambda it: it.modify(standing(ID, filled=1), CHANGE))
    assert (type(error), error.code) == (NotSupported, "partly_filled")


# --- what comes back --------------------------------------------------------------------------------------------------
ACTS = [
    pytest.param(PLACE, lambda it: it.place(asked()), id="place"),
    pytest.param(MODIFY, lambda it: it.modify(standing(ID), CHANGE), id="modify"),
    pytest.param(CANCEL, lambda it: it.cancel(standing(ID)), id="cancel"),
    pytest.param(CREATE_RULE, lambda it: it.place_gtt(GTT), id="place_gtt"),
    pytest.param(CANCEL_RULE, lambda it: it.cancel_gtt(RULE), id="cancel_gtt"),
]


@pytest.mark.parametrize(("request_line", "act"), ACTS)
@pytest.mark.parametrize(
    ("file", "status", "kind", "code"),
    [
        ("error_symbol_not_found.json", 200, RequestRefused, "unknown_instrument"),
        ("error_invalid_product.json", 200, RequestRefused, "product_refused"),
        ("error_invalid_variety.json", 200, RequestRefused, "request_refused"),
        ("error_order_not_found.json", 200, RequestRefused, "order_not_found"),
        ("error_ordertag_too_long.json", 200, RequestRefused, "tag_refused"),
        ("error_client_blocked.json", 200, RequestRefused, "access_suspended"),
        ("error_static_ip.json", 403, RequestRefused, "ip_not_registered"),
        ("error_static_ip.json", 200, RequestRefused, "ip_not_registered"),
        ("error_invalid_token_gateway.json", 200, SessionEnded, "session_ended"),
        ("error_session_expired.json", 200, SessionEnded, "session_ended"),
        ("error_rate_limited_json.json", 200, RateLimited, "broker_rate_limited"),
        # The order system, or the gateway before it, failed: at which moment nobody says.
        ("error_internal.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("error_try_later.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("error_invalid_api_key.json", 200, RequestRefused, "app_misconfigured"),
        ("error_order_not_found.json", 500, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_what_a_recorded_error_means_for_an_order(
    client: BrokerClient, request_line: str, act: Any, file: str, status: int, kind: type, code: str
) -> None:
    error = refused(client, act, request_line, payload(SLUG, file), status=status)
    assert (type(error), error.code) == (kind, code)


def test_an_address_that_is_not_registered_says_nothing_of_the_connection(client: BrokerClient) -> None:
    body = payload(SLUG, "error_static_ip.json")
    error = refused(client, lambda it: it.place(asked()), PLACE, body, status=403)
    assert error.connection_status is None
    blocked = refused(client, lambda it: it.place(asked()), PLACE, payload(SLUG, "error_client_blocked.json"))
    assert blocked.connection_status is ConnectionStatus.SUSPENDED


def test_an_order_above_the_rate_is_not_known_to_be_untaken(client: BrokerClient) -> None:
    text = b"Access denied because of exceeding access rate"
    error = refused(client, lambda it: it.place(asked()), PLACE, text, status=403)
    assert isinstance(error, RateLimited)
    assert not BROKER.spec.order_rules.throttled_before_entry


@pytest.mark.parametrize(("request_line", "act"), ACTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (requests.ReadTimeout(), 200),
        (requests.ConnectionError(ConnectionResetError()), 200),
        (b"<html>502</html>", 502),
        (b"<html>ok</html>", 200),
        (b'{"status":false,"message":"Something else","errorcode":"AB9999","data":null}', 200),
        (b'{"status":false,"message":"Something else","errorcode":"AB2000","data":null}', 200),
        (b'{"status":false,"message":"No code","errorcode":"","data":null}', 200),
        (b'{"status":true,"message":"SUCCESS","errorcode":"","data":null}', 200),
        (b'{"status":true,"message":"SUCCESS","errorcode":"","data":{"uniqueorderid":"34reqfachdfih"}}', 200),
        (b'{"status":true,"message":"SUCCESS","errorcode":"","data":{"orderid":"","id":""}}', 200),
        (b'{"status":true,"message":"SUCCESS","errorcode":""}', 200),
        (PLACED, 404),
    ],
)
def test_without_a_verdict_nobody_knows(
    client: BrokerClient, request_line: str, act: Any, body: Any, status: int
) -> None:
    assert isinstance(refused(client, act, request_line, body, status=status), OutcomeUnknown)


def test_an_order_is_found_by_its_tag(client: BrokerClient) -> None:
    book = {BOOK: payload(SLUG, "orderbook_all_statuses.json")}
    with answering(BROKER, book):
        [found] = client.find("tm0004")
    with answering(BROKER, book):
        assert client.find("tm000") == ()
    assert (found.broker_order_id, found.status) == ("260302000000104", OrderStatus.TRIGGER_PENDING)
    with answering(BROKER, {BOOK: payload(SLUG, "orderbook_empty.json")}):
        assert client.find("tm0004") == ()
    torn = payload(SLUG, "orderbook_all_statuses.json").replace(b'"orderid": "260302000000101"', b'"orderid": null')
    with answering(BROKER, {BOOK: torn}), pytest.raises(UnexpectedResponse):
        client.find("tm0004")


def test_lack_of_money_is_told_by_the_book_alone(client: BrokerClient) -> None:
    details = recorded(SLUG, "order_details.json")
    book = exact(payload(SLUG, "orderbook_empty.json")) | {"data": [details["data"]]}
    with responses.RequestsMock() as mock:
        mock.add("GET", BROKER.spec.endpoints.base_url + BOOK.split()[1], json=_floats(book))
        [order] = client.orders().items
    assert order.status is OrderStatus.REJECTED
    assert "Insufficient Funds" in str(order.status_message)


def _floats(book: Any) -> Any:
    """As the mock's JSON wants it."""
    [row] = book["data"]
    return book | {"data": [{name: float(it) if isinstance(it, Decimal) else it for name, it in row.items()}]}


def test_what_an_order_needs_is_asked_as_recorded(client: BrokerClient) -> None:
    """Its first position; the published one is of two, and names no price."""
    option = traded("67300", Exchange.NFO, symbol="NIFTY29DEC2627000CE")
    order = asked(traded=option, quantity=Decimal(50), price=None)
    line = f"POST {SECURE}/margin/v1/batch"
    needed, request = answered(client, lambda it: it.margin(order), line, payload(SLUG, "margin.json"))
    assert needed == OrderMargin(required=Decimal("29612.35"))
    first, _ = recorded(SLUG, "margin_request.json")["positions"]
    assert body_of(request) == {"positions": [first]}


# --- GTT --------------------------------------------------------------------------------------------------------------
def test_a_gtt_is_left_as_recorded(client: BrokerClient) -> None:
    """The published one discloses more than it buys: ours hides nothing."""
    placed, request = answered(client, lambda it: it.place_gtt(GTT), CREATE_RULE, payload(SLUG, "gtt_success.json"))
    assert placed == "1"
    assert body_of(request) == recorded(SLUG, "gtt_create_request.json") | {"disclosedqty": "0"}


def test_a_gtt_is_cancelled_by_its_id(client: BrokerClient) -> None:
    _, request = answered(client, lambda it: it.cancel_gtt(RULE), CANCEL_RULE, payload(SLUG, "gtt_success.json"))
    assert body_of(request) == {"id": "1", "symboltoken": "3045", "exchange": "NSE"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"kind": GttKind.OCO, "legs": (LEG, LEG)}, "oco_not_offered"),
        ({"traded": traded("67300", Exchange.NFO)}, "gtt_not_offered"),
        ({"product": Product.MIS}, "product_not_offered"),
    ],
)
def test_a_gtt_that_is_not_offered_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    error = never_sent(client, lambda it: it.place_gtt(replace(GTT, **changed)))
    assert (type(error), error.code) == (NotSupported, code)


def test_gtts_are_listed_page_by_page(client: BrokerClient) -> None:
    """The published row lacks its id: as such it is a problem, and hides nothing."""
    published = recorded(SLUG, "gtt_list.json")
    rows = [published["data"][0] | {"id": str(number)} for number in range(1, 11)]
    pages = [rows, [published["data"][0], rows[0] | {"id": "11", "status": "WORD_OF_TOMORROW"}]]
    with responses.RequestsMock() as mock:
        for page in pages:
            mock.add(
                "POST", f"{BROKER.spec.endpoints.base_url}{SECURE}/gtt/v1/ruleList", json={**published, "data": page}
            )
        listed = client.gtts()
        asked_for = [body_of(call.request) for call in mock.calls]
    assert listed.items[0] == RULE
    assert [gtt.broker_gtt_id for gtt in listed.items] == [str(number) for number in range(1, 12)]
    assert listed.items[-1].status is GttStatus.UNKNOWN
    assert [(problem.row, problem.field) for problem in listed.problems] == [(10, "id")]
    assert asked_for[0] == recorded(SLUG, "gtt_list_request.json")
    assert [body["page"] for body in asked_for] == [1, 2]
