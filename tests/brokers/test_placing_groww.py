"""Orders in Groww's words: what is sent is what was recorded, and what each answer means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import responses
import time_machine

from brokers.base import BrokerClient
from brokers.dealing import (
    BrokerGtt,
    GttKind,
    GttLeg,
    GttRequest,
    GttStatus,
    OrderChange,
    OrderMargin,
    OrderRequest,
    StandingOrder,
)
from brokers.domain import ConnectionStatus, Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import (
    BrokerError,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SessionEnded,
)
from brokers.groww import BROKER
from brokers.wire import IST
from tests.brokers.orders_kit import answered, asked, body_of, client_of, exact, never_sent, recorded, refused, traded
from tests.contract.recorded import ACCESS_TOKEN, payload

SLUG, HOST = "groww", BROKER.spec.endpoints.base_url
PLACE, MODIFY, CANCEL = "POST /v1/order/create", "POST /v1/order/modify", "POST /v1/order/cancel"
CREATE_SMART, CANCEL_SMART = "POST /v1/order-advance/create", "POST /v1/order-advance/cancel/CASH/GTT/gtt_91a7f4"
PROFILE, BOOK = "/v1/user/detail", "/v1/order/list"
PLACED, ID, TAG = payload(SLUG, "order_create.json"), "GMK39038RDT490CCVRO", "Ab-654321234-1628190"
CHANGE = OrderChange(
    order_type=OrderType.SL,
    validity=Validity.DAY,
    quantity=Decimal("100.0000"),
    price=Decimal("2500.0000"),
    trigger_price=Decimal("2450.0000"),
)
LEG = GttLeg(trigger_price=Decimal("3985.0000"), price=Decimal("3990.0000"), quantity=Decimal("10.0000"))
GTT = GttRequest(
    traded=traded("NSE_TCS", symbol="TCS"),
    kind=GttKind.SINGLE,
    side=Side.BUY,
    product=Product.CNC,
    legs=(LEG,),
    tag=TAG,
    last_price=Decimal("4000.50"),
)
SMART = BrokerGtt(
    broker_gtt_id="gtt_91a7f4",
    exchange=Exchange.NSE,
    tradingsymbol="TCS",
    broker_token="NSE_TCS",
    kind=GttKind.SINGLE,
    side=Side.BUY,
    product=Product.CNC,
    legs=(GttLeg(trigger_price=Decimal(3985), price=Decimal(3990), quantity=Decimal(10)),),
    status=GttStatus.ACTIVE,
    created_at=datetime(2025, 9, 30, 7, 0, tzinfo=IST),
)


@pytest.fixture
def client() -> BrokerClient:
    return client_of(SLUG)


def wipro(**changed: Any) -> OrderRequest:
    """The published order: a hundred shares, from 2450 on, at 2500 at most."""
    order = {
        "traded": traded("NSE_WIPRO", symbol="WIPRO"),
        "order_type": OrderType.SL,
        "product": Product.CNC,
        "quantity": Decimal("100.0000"),
        "price": Decimal("2500.0000"),
        "trigger_price": Decimal("2450.0000"),
        "tag": TAG,
    }
    return asked(**(order | changed))


STANDING = StandingOrder(broker_order_id=ID, request=wipro())


def test_an_order_is_sent_as_recorded(client: BrokerClient) -> None:
    placed, request = answered(client, lambda it: it.place(wipro()), PLACE, PLACED)
    assert placed == ID
    assert body_of(request) == recorded(SLUG, "order_create.request.json")
    sent = {name: request.headers[name] for name in ("Authorization", "X-API-VERSION", "Content-Type", "Accept")}
    assert sent == {
        "Authorization": f"Bearer {ACCESS_TOKEN}",
        "X-API-VERSION": "1.0",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }


def test_a_change_is_sent_as_recorded(client: BrokerClient) -> None:
    body = payload(SLUG, "order_modify.json")
    changed, request = answered(client, lambda it: it.modify(STANDING, CHANGE), MODIFY, body)
    assert changed == ID
    assert body_of(request) == recorded(SLUG, "order_modify.request.json")


def test_a_cancellation_is_sent_as_recorded(client: BrokerClient) -> None:
    _, request = answered(client, lambda it: it.cancel(STANDING), CANCEL, payload(SLUG, "order_cancel.json"))
    assert body_of(request) == recorded(SLUG, "order_cancel.request.json")


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        (
            {"order_type": OrderType.LIMIT, "price": Decimal("2500.0500"), "trigger_price": None},
            {"order_type": "LIMIT", "price": Decimal("2500.05")},
        ),
        ({"side": Side.SELL, "product": Product.MIS}, {"transaction_type": "SELL", "product": "MIS"}),
        (
            {"traded": traded("NSE_NIFTY26DEC27000CE", Exchange.NFO, symbol="NIFTY26DEC27000CE")},
            {"exchange": "NSE", "segment": "FNO", "trading_symbol": "NIFTY26DEC27000CE"},
        ),
        ({"traded": traded("BSE_SBIN", Exchange.BSE, symbol="SBIN")}, {"exchange": "BSE", "segment": "CASH"}),
    ],
)
def test_our_words_become_theirs(client: BrokerClient, changed: dict[str, Any], sent: dict[str, Any]) -> None:
    _, request = answered(client, lambda it: it.place(wipro(**changed)), PLACE, PLACED)
    body = body_of(request)
    assert sent.items() <= body.items()
    assert ("trigger_price" in body) == (body["order_type"] == "SL")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"order_type": OrderType.MARKET, "price": None}, "order_type_not_offered"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_pct": Decimal(1)}, "order_type_not_offered"),
        ({"order_type": OrderType.SL_M, "price": None}, "order_type_not_offered"),
        ({"validity": Validity.IOC}, "validity_not_offered"),
        ({"traded": traded("MCX_GOLD", Exchange.MCX), "validity": Validity.IOC}, "exchange_not_offered"),
        ({"product": Product.MTF}, "product_not_offered"),
        ({"traded": traded("MCX_GOLD", Exchange.MCX)}, "exchange_not_offered"),
        ({"quantity": Decimal("1.5")}, "odd_quantity"),
        ({"disclosed_quantity": Decimal(5)}, "disclosed_quantity_not_offered"),
        ({"algo_id": "1234"}, "algo_id_not_offered"),
    ],
)
def test_what_groww_does_not_take_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    error = never_sent(client, lambda it: it.place(wipro(**changed)))
    assert (type(error), error.code) == (NotSupported, code)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"validity": Validity.IOC}, "validity_unchangeable"),
        ({"order_type": OrderType.MARKET}, "order_type_not_offered"),
    ],
)
def test_what_groww_does_not_change_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    error = never_sent(client, lambda it: it.modify(STANDING, replace(CHANGE, **changed)))
    assert (type(error), error.code) == (NotSupported, code)


def test_a_partly_filled_order_is_not_changed(client: BrokerClient) -> None:
    """Whether the quantity is the total or the rest is not told: taken wrongly it would be more than was wanted."""
    error = never_sent(client, lambda it: it.modify(replace(STANDING, filled_quantity=Decimal(1)), CHANGE))
    assert (type(error), error.code) == (NotSupported, "partly_filled")


# --- what comes back --------------------------------------------------------------------------------------------------
ACTS = [
    pytest.param(PLACE, lambda it: it.place(wipro()), id="place"),
    pytest.param(MODIFY, lambda it: it.modify(STANDING, CHANGE), id="modify"),
    pytest.param(CANCEL, lambda it: it.cancel(STANDING), id="cancel"),
    pytest.param(CREATE_SMART, lambda it: it.place_gtt(GTT), id="place_gtt"),
    pytest.param(CANCEL_SMART, lambda it: it.cancel_gtt(SMART), id="cancel_gtt"),
]


@pytest.mark.parametrize(("request_line", "act"), ACTS)
@pytest.mark.parametrize(
    ("file", "status", "kind", "code"),
    [
        ("error_bad_request.json", 400, RequestRefused, "request_refused"),
        ("error_bad_request.json", 200, RequestRefused, "request_refused"),
        ("error_not_found.json", 404, RequestRefused, "order_not_found"),
        ("error_cannot_process.json", 400, RequestRefused, "not_possible_now"),
        ("error_token_expired.json", 401, SessionEnded, "session_ended"),
        ("error_rate_limited.json", 429, RateLimited, "broker_rate_limited"),
        # At which moment it failed nobody says.
        ("error_internal.json", 500, OutcomeUnknown, "outcome_unknown"),
        ("error_internal.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("error_maintenance.json", 503, OutcomeUnknown, "outcome_unknown"),
        ("error_maintenance.json", 200, OutcomeUnknown, "outcome_unknown"),
        ("error_bad_request.json", 504, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_what_a_recorded_error_means_for_an_order(
    client: BrokerClient, request_line: str, act: Any, file: str, status: int, kind: type, code: str
) -> None:
    error = refused(client, act, request_line, payload(SLUG, file), status=status)
    assert (type(error), error.code) == (kind, code)


def test_a_reference_that_is_there_already_may_be_this_very_orders(client: BrokerClient) -> None:
    body = payload(SLUG, "error_duplicate_reference.json")
    error = refused(client, lambda it: it.place(wipro()), PLACE, body, status=400)
    assert (type(error), error.vendor_code) == (OutcomeUnknown, "GA007")


@pytest.mark.parametrize(("request_line", "act"), ACTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (requests.ReadTimeout(), 200),
        (requests.ConnectionError(ConnectionResetError()), 200),
        (b"<html>502</html>", 502),
        (b"<html>ok</html>", 200),
        (b"<html>400</html>", 400),
        (b'{"status":"FAILURE"}', 400),
        (b'{"status":"FAILURE","error":{"code":"GA999","message":"Something else"}}', 200),
        (b'{"status":"FAILURE"}', 200),
        (b'{"status":"SUCCESS","payload":null}', 200),
        (b'{"status":"SUCCESS","payload":{"order_status":"OPEN","status":"ACTIVE"}}', 200),
        (b'{"status":"SUCCESS"}', 200),
        (b'{"status":"SUCCESS","payload":{"groww_order_id":"","smart_order_id":"","order_status":"REJECTED"}}', 200),
        (PLACED, 405),
    ],
)
def test_without_a_verdict_nobody_knows(
    client: BrokerClient, request_line: str, act: Any, body: Any, status: int
) -> None:
    assert isinstance(refused(client, act, request_line, body, status=status), OutcomeUnknown)


def test_an_order_may_be_taken_or_rejected_at_once(client: BrokerClient) -> None:
    acked, _ = answered(client, lambda it: it.place(wipro()), PLACE, payload(SLUG, "order_create_acked.json"))
    assert acked == "GMK39038RDT490CCVRP"
    error = refused(client, lambda it: it.place(wipro()), PLACE, payload(SLUG, "order_create_rejected.json"))
    assert (type(error), error.code, error.reason) == (OrderRejected, "order_rejected", "Insufficient balance")
    assert "Insufficient" not in str(error)


@pytest.mark.parametrize("status", ["REJECTED", "FAILED"])
def test_a_change_that_failed_is_no_end_of_the_order(client: BrokerClient, status: str) -> None:
    body = payload(SLUG, "order_modify.json").replace(b"OPEN", status.encode())
    error = refused(client, lambda it: it.modify(STANDING, CHANGE), MODIFY, body)
    assert (type(error), error.code) == (RequestRefused, "change_refused")


@pytest.mark.parametrize(
    ("profile", "kind", "code", "connection_status"),
    [
        (("user_detail.json", 200), RequestRefused, "orders_not_permitted", None),
        (("error_maintenance.json", 503), RequestRefused, "orders_not_permitted", None),
        (("error_not_authorised.json", 403), SessionEnded, "session_ended", ConnectionStatus.TOKEN_EXPIRED),
        (("error_token_expired.json", 401), SessionEnded, "session_ended", ConnectionStatus.TOKEN_EXPIRED),
    ],
)
def test_a_refusal_as_a_whole_is_told_apart_by_the_profile(
    client: BrokerClient, profile: tuple[str, int], kind: type, code: str, connection_status: ConnectionStatus | None
) -> None:
    """Whatever that says, the order was refused: it is sent no second time, and is not of unknown outcome."""
    file, status = profile
    with responses.RequestsMock() as mock:
        mock.post(f"{HOST}/v1/order/create", body=payload(SLUG, "error_not_authorised.json"), status=403)
        mock.get(HOST + PROFILE, body=payload(SLUG, file), status=status)
        with pytest.raises(BrokerError) as caught:
            client.place(wipro())
        assert [call.request.method for call in mock.calls] == ["POST", "GET"]
    error = caught.value
    assert (type(error), error.code, error.connection_status) == (kind, code, connection_status)


# --- finding an order -------------------------------------------------------------------------------------------------
def test_an_order_is_found_in_the_book(client: BrokerClient) -> None:
    with responses.RequestsMock() as mock:
        mock.get(HOST + BOOK, body=payload(SLUG, "order_list_multi.json"))
        [found] = client.find("TM-20260715-0005")
        assert len(mock.calls) == 1
    assert (found.tradingsymbol, found.status) == ("SBIN", OrderStatus.TRIGGER_PENDING)


@pytest.mark.parametrize("torn", [False, True])
def test_an_order_that_the_book_lacks_is_asked_for_by_its_reference(client: BrokerClient, torn: bool) -> None:
    """In each segment of the account; a book with a row that cannot be read proves nothing, and need not."""
    book = payload(SLUG, "order_list_multi.json")
    book = book.replace(b'"quantity": 5,', b'"quantity": null,') if torn else book
    with responses.RequestsMock() as mock:
        mock.get(HOST + BOOK, body=book)
        mock.get(HOST + PROFILE, body=payload(SLUG, "user_detail.json"))
        reference = f"{HOST}/v1/order/status/reference/{TAG}"
        for segment, file, status in (
            ("COMMODITY", "error_not_found.json", 404),
            ("CASH", "order_status_reference.json", 200),
            ("FNO", "error_not_found.json", 404),
        ):
            query = responses.matchers.query_param_matcher({"segment": segment})
            mock.get(reference, body=payload(SLUG, file), status=status, match=[query])
        mock.get(f"{HOST}/v1/order/detail/{ID}", body=payload(SLUG, "order_detail.json"))
        [found] = client.find(TAG)
    assert (found.broker_order_id, found.tag, found.status) == (ID, TAG, OrderStatus.OPEN)
    assert not any(name.endswith((ID, TAG)) for name in client.shapes)


def test_an_order_is_absent_where_book_and_reference_say_so(client: BrokerClient) -> None:
    with responses.RequestsMock() as mock:
        mock.get(HOST + BOOK, body=payload(SLUG, "order_list_multi.json"))
        mock.get(HOST + PROFILE, body=payload(SLUG, "user_detail.json"))
        mock.get(f"{HOST}/v1/order/status/reference/{TAG}", body=payload(SLUG, "error_not_found.json"), status=404)
        assert client.find(TAG) == ()
    with responses.RequestsMock() as mock:
        mock.get(HOST + BOOK, body=payload(SLUG, "order_list_multi.json"))
        mock.get(HOST + PROFILE, body=payload(SLUG, "user_detail.json"))
        mock.get(f"{HOST}/v1/order/status/reference/{TAG}", body=payload(SLUG, "error_bad_request.json"), status=400)
        with pytest.raises(RequestRefused):
            client.find(TAG)


# --- margin and GTT ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("file", "margin"),
    [
        ("margins_detail_orders_cash.json", OrderMargin(required=Decimal("100.2"), charges=Decimal("0.2"))),
        ("margins_detail_orders.json", OrderMargin(required=Decimal(2115), charges=Decimal(15))),
    ],
)
def test_what_an_order_needs_is_asked_as_recorded(client: BrokerClient, file: str, margin: OrderMargin) -> None:
    order = wipro(order_type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(100))
    line = "POST /v1/margins/detail/orders"
    needed, request = answered(client, lambda it: it.margin(order), line, payload(SLUG, file))
    assert needed == margin
    assert body_of(request) == recorded(SLUG, "margins_detail_orders.request.json")
    assert dict(parse_qsl(urlsplit(request.url).query)) == {"segment": "CASH"}


def test_a_gtt_is_left_as_recorded(client: BrokerClient) -> None:
    body = payload(SLUG, "order_advance_create_gtt.json")
    placed, request = answered(client, lambda it: it.place_gtt(GTT), CREATE_SMART, body, status=201)
    assert placed == "gtt_91a7f4"
    sent, published = body_of(request), recorded(SLUG, "order_advance_create_gtt.request.json")
    assert published.pop("reference_id")
    assert sent.pop("reference_id") == TAG
    assert sent == published


def test_a_gtt_under_a_reference_that_is_taken_may_be_this_very_one(client: BrokerClient) -> None:
    body = payload(SLUG, "error_duplicate_reference.json")
    error = refused(client, lambda it: it.place_gtt(GTT), CREATE_SMART, body, status=400)
    assert (type(error), error.vendor_code) == (OutcomeUnknown, "GA007")


def test_a_gtt_waits_for_the_price_from_where_it_is(client: BrokerClient) -> None:
    above, body = replace(GTT, last_price=Decimal(3900)), payload(SLUG, "order_advance_create_gtt.json")
    _, request = answered(client, lambda it: it.place_gtt(above), CREATE_SMART, body)
    assert body_of(request)["trigger_direction"] == "UP"


def test_a_gtt_is_cancelled_by_its_path(client: BrokerClient) -> None:
    body = payload(SLUG, "order_advance_cancel.json")
    _, request = answered(client, lambda it: it.cancel_gtt(SMART), CANCEL_SMART, body, status=202)
    assert request.body is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"kind": GttKind.OCO, "legs": (LEG, LEG)}, "oco_not_offered"),
        ({"traded": traded("MCX_GOLD", Exchange.MCX)}, "exchange_not_offered"),
        ({"product": Product.MTF}, "product_not_offered"),
        ({"legs": (replace(LEG, price=Decimal("195.005")),)}, "odd_price"),
    ],
)
def test_a_gtt_that_is_not_offered_never_leaves(client: BrokerClient, changed: dict[str, Any], code: str) -> None:
    error = never_sent(client, lambda it: it.place_gtt(replace(GTT, **changed)))
    assert (type(error), error.code) == (NotSupported, code)


@time_machine.travel(datetime(2026, 11, 23, 5, 0, tzinfo=UTC), tick=False)
def test_gtts_are_listed_by_segment_and_status_and_asked_for_the_rest(client: BrokerClient) -> None:
    none = b'{"status":"SUCCESS","payload":{"orders":[]}}'
    statuses = ("ACTIVE", "TRIGGERED", "COMPLETED", "CANCELLED", "EXPIRED", "FAILED")
    window = {"start_date_time": "2026-10-24T10:30:00", "end_date_time": "2026-11-23T10:30:00"}
    with responses.RequestsMock() as mock:
        for segment in ("CASH", "FNO"):
            for status in statuses:
                filters = {"segment": segment, "smart_order_type": "GTT", "status": status, **window}
                query = responses.matchers.query_param_matcher({**filters, "page": "0", "page_size": "50"})
                found = (segment, status) == ("CASH", "ACTIVE")
                body = payload(SLUG, "order_advance_list.json") if found else none
                mock.get(f"{HOST}/v1/order-advance/list", body=body, match=[query])
        path = f"{HOST}/v1/order-advance/status/CASH/GTT/internal/gtt_91a7f4"
        mock.get(path, body=payload(SLUG, "order_advance_status_gtt.json"))
        listed = client.gtts()
    assert listed.items == (SMART,)
    assert listed.problems == ()


def test_a_gtt_without_a_price_is_a_problem_and_no_gtt(client: BrokerClient) -> None:
    torn = exact(payload(SLUG, "order_advance_status_gtt.json"))
    torn["payload"]["order"]["price"], torn["payload"]["ltp"] = None, 4000
    with responses.RequestsMock() as mock:
        mock.get(f"{HOST}/v1/order-advance/list", body=payload(SLUG, "order_advance_list.json"))
        for segment in ("CASH", "FNO"):
            mock.get(f"{HOST}/v1/order-advance/status/{segment}/GTT/internal/gtt_91a7f4", json=torn)
        listed = client.gtts()
    assert listed.items == ()
    assert {problem.field for problem in listed.problems} == {"price"}
