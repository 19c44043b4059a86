"""XTS's orders, simulated: our client places them, the books and the socket tell what became of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests
from websockets.asyncio.client import connect

from brokers.domain import AppCredentials, OrderStatus, OrderType, Product, Session, Side, Validity
from brokers.errors import OrderRejected, OutcomeUnknown, RequestRefused
from brokers.iifl import BROKER
from brokers.iifl.client import IiflClient
from brokers.iifl.stream import IiflOrderStream
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import OrderUpdate
from brokers.transport import Endpoints
from tests.contract.recorded import FIXTURES
from tests.simulation.conftest import TIMEOUT, MovableClock
from tests.simulation.dealt import changed_to, found, last_price, order, standing
from tests.simulation.test_wire import field_names

SHARE, OTHER = "NSE:IDEA", "NSE:INFY"


@pytest.fixture
def blaze(clock: MovableClock) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers(["iifl"], clock=clock) as simulated:
        simulated.control.freeze()
        simulated.control.set_price("NSE", "8.10", symbol="IDEA", close_price="8.00")
        simulated.control.set_price("NSE", "1573.70", symbol="INFY", close_price="1567.80")
        yield simulated


@pytest.fixture
def session(blaze: SimulatedBrokers, clock: MovableClock) -> Session:
    return BROKER.auth(transport(blaze), app(blaze)).exchange(callback={}, redirect_uri="", now=clock())


@pytest.fixture
def client(blaze: SimulatedBrokers, session: Session) -> IiflClient:
    client = BROKER.client(transport(blaze), app(blaze), session)
    assert isinstance(client, IiflClient)
    return client


def app(blaze: SimulatedBrokers) -> AppCredentials:
    entry = blaze.brokers["iifl"]
    return AppCredentials(api_key=Secret(entry["api_key"]), api_secret=Secret(entry["api_secret"]))


def transport(blaze: SimulatedBrokers) -> Any:
    entry = blaze.brokers["iifl"]
    endpoints = Endpoints(base_url=entry["base_url"], login_url=entry["login_url"])
    return BROKER.transport(endpoints=endpoints, loopback_only=True)


def test_an_order_stands_is_changed_and_is_cancelled(client: IiflClient) -> None:
    request = order(SHARE, "7.95", 50)
    order_id = client.place(request)
    row = found(client, request)
    assert (row.broker_order_id, row.status, row.quantity, row.price) == (order_id, OrderStatus.OPEN, 50, request.price)
    assert (row.side, row.order_type, row.product, row.validity) == (
        Side.BUY,
        OrderType.LIMIT,
        Product.MIS,
        Validity.DAY,
    )
    assert row.exchange_order_id
    lower = changed_to(request, price=Decimal("7.90"), quantity=Decimal(40))
    assert client.modify(standing(order_id, request), lower) == order_id
    row = found(client, request)
    assert (row.status, row.quantity, row.price) == (OrderStatus.OPEN, 40, Decimal("7.90"))
    client.cancel(standing(order_id, request))
    assert found(client, request).status is OrderStatus.CANCELLED
    with pytest.raises(OrderRejected) as caught:
        client.cancel(standing(order_id, request))
    assert caught.value.reason == "The order is cancelled."


def test_what_is_dealt_adds_up_in_every_book(client: IiflClient) -> None:
    funds = client.funds()
    request = order(SHARE, "8.20", 150, product=Product.CNC)
    order_id = client.place(request)
    row = found(client, request)
    deals = [trade for trade in client.trades().items if trade.broker_order_id == order_id]
    assert row.status is OrderStatus.FILLED
    assert sum(deal.quantity for deal in deals) == row.filled_quantity == 150
    assert len(deals) > 1
    paid = sum(deal.quantity * deal.price for deal in deals)
    assert row.average_price is not None
    assert abs(row.average_price * 150 - paid) < Decimal("0.01")
    [position] = [line for line in client.positions().items if line.tradingsymbol == "IDEA"]
    assert (position.quantity, position.product) == (150, Product.CNC)
    assert funds.available is not None
    assert client.funds().available == funds.available - paid


def test_a_large_order_is_filled_in_part(client: IiflClient, blaze: SimulatedBrokers) -> None:
    blaze.control.set_depth(10)
    request = order(SHARE, last_price(blaze.control, SHARE) + Decimal("0.01"), 60)
    client.place(request)
    row = found(client, request)
    assert row.status is OrderStatus.PARTIALLY_FILLED
    assert 0 < row.filled_quantity < 60


def test_a_stop_waits_for_its_trigger(client: IiflClient, blaze: SimulatedBrokers) -> None:
    request = order(SHARE, "8.40", 10, order_type=OrderType.SL, trigger_price=Decimal("8.30"))
    client.place(request)
    row = found(client, request)
    assert (row.status, row.order_type, row.trigger_price) == (
        OrderStatus.TRIGGER_PENDING,
        OrderType.SL,
        request.trigger_price,
    )
    blaze.control.set_price("NSE", "8.35", symbol="IDEA")
    assert found(client, request).status is OrderStatus.FILLED


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (order(OTHER, "1570.00", 900, product=Product.CNC), "RMS:Margin exceeds"),
        (order(OTHER, "1570.00", 900, product=Product.CNC, side=Side.SELL), "RMS:Insufficient holdings"),
    ],
)
def test_the_risk_system_rejects_what_the_gateway_took(client: IiflClient, request_: Any, words: str) -> None:
    order_id = client.place(request_)
    row = found(client, request_)
    assert (row.broker_order_id, row.status, row.filled_quantity) == (order_id, OrderStatus.REJECTED, 0)
    assert row.status_message is not None
    assert row.status_message.startswith(words)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"price": Decimal("8.005")}, "order_rejected"),  # off the tick
        ({"price": Decimal("88.00")}, "order_rejected"),  # outside the band
        ({"quantity": Decimal(200_000)}, "order_rejected"),  # frozen
        ({"product": Product.NRML}, "order_rejected"),
        ({"tag": "t" * 21}, "request_refused"),
    ],
)
def test_what_no_exchange_takes_is_refused_at_once(client: IiflClient, changed: dict[str, Any], code: str) -> None:
    request = replace(order(SHARE, "8.00", 10), **changed)
    with pytest.raises(RequestRefused) as caught:
        client.place(request)
    assert caught.value.code == code
    assert client.find(request.tag) == ()


def test_a_reply_that_is_lost_leaves_one_order_to_be_found(client: IiflClient, blaze: SimulatedBrokers) -> None:
    blaze.control.set_fault("iifl", "lost_reply", count=1)
    request = order(SHARE, "7.95", 10)
    with pytest.raises(OutcomeUnknown):
        client.place(request)
    assert found(client, request).status is OrderStatus.OPEN
    blaze.control.set_fault("iifl", "lost_request", count=1)
    lost = order(SHARE, "7.95", 10)
    with pytest.raises(OutcomeUnknown):
        client.place(lost)
    assert client.find(lost.tag) == ()


def ask(blaze: SimulatedBrokers, session: Session, method: str, path: str, **sent: Any) -> dict[str, Any]:
    headers = {"Authorization": session.access_token.reveal()}
    url = blaze.brokers["iifl"]["base_url"] + path
    reply: dict[str, Any] = requests.request(method, url, headers=headers, timeout=TIMEOUT, **sent).json()
    return reply


BODY = json.loads((FIXTURES / "iifl" / "orders_place.request.json").read_text()) | {
    "exchangeInstrumentID": 14366,
    "limitPrice": 8.2,
}


def test_replies_have_the_recorded_fields_in_order(blaze: SimulatedBrokers, session: Session) -> None:
    placed = ask(blaze, session, "POST", "/interactive/orders", json=BODY)
    order_id = placed["result"]["AppOrderID"]
    replies = {
        "orders_place.json": placed,
        "orders_book.json": ask(blaze, session, "GET", "/interactive/orders"),
        "orders_trades.json": ask(blaze, session, "GET", "/interactive/orders/trades"),
        "orders_history.json": ask(blaze, session, "GET", f"/interactive/orders?appOrderID={order_id}"),
    }
    for file, reply in replies.items():
        recorded = json.loads((FIXTURES / "iifl" / file).read_text())
        assert field_names(reply) == field_names(recorded)
        assert reply["description"] == recorded["description"]
    history = replies["orders_history.json"]
    assert [row["OrderStatus"] for row in history["result"]] == ["New", "Filled"]
    assert {row["AppOrderID"] for row in history["result"]} == {order_id}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"orderQuantity": None}, "e-property-validation-failed"),
        ({"orderQuantity": "ten"}, "e-property-validation-failed"),
        ({"limitPrice": "much"}, "e-property-validation-failed"),
        ({"orderType": "Limit"}, "e-property-validation-failed"),
        ({"exchangeInstrumentID": 1}, "e-instrument-0001"),
        ({"orderType": "MARKET", "limitPrice": 0}, "e-orders-0001"),
        ({"orderQuantity": "10", "limitPrice": "8.00"}, "s-orders-0001"),  # numbers may be texts
    ],
)
def test_what_the_gateway_says_to_a_body(
    blaze: SimulatedBrokers, session: Session, changed: dict[str, Any], code: str
) -> None:
    assert ask(blaze, session, "POST", "/interactive/orders", json=BODY | changed)["code"] == code


def test_books_without_rows_are_errors(blaze: SimulatedBrokers, session: Session) -> None:
    for path, code in (("orders", "e-orders-0005"), ("orders/trades", "e-tradebook-0005")):
        assert ask(blaze, session, "GET", f"/interactive/{path}")["code"] == code
    assert ask(blaze, session, "GET", "/interactive/orders?appOrderID=7")["code"] == "e-orders-0005"
    assert ask(blaze, session, "DELETE", "/interactive/orders")["code"] == "e-property-validation-failed"
    assert ask(blaze, session, "DELETE", "/interactive/orders?appOrderID=7")["code"] == "e-orders-0001"


def test_the_socket_tells_every_change_and_every_fill(
    blaze: SimulatedBrokers, session: Session, client: IiflClient
) -> None:
    stream = IiflOrderStream(app(blaze), session)
    opening = stream.opening(transport(blaze), blaze.brokers["iifl"]["stream_url"])
    resting, dealt = order(SHARE, "7.95", 10), order(SHARE, "8.20", 20)
    names: list[str] = []

    async def listen() -> list[OrderUpdate]:
        updates: list[OrderUpdate] = []
        async with connect(opening.url.reveal()) as socket:
            await socket.recv()
            await socket.recv()
            placed = await asyncio.to_thread(client.place, resting)
            await asyncio.to_thread(client.cancel, standing(placed, resting))
            await asyncio.to_thread(client.place, dealt)
            while not updates or updates[-1].status is not OrderStatus.FILLED or len(names) < 5:
                frame = await asyncio.wait_for(socket.recv(), TIMEOUT)
                names.append(str(json.loads(str(frame)[2:])[0]))
                updates += [event for event in stream.received(frame) if isinstance(event, OrderUpdate)]
        return updates

    updates = asyncio.run(listen())
    assert names == ["order", "order", "order", "order", "trade"]
    assert [update.status for update in updates] == [
        OrderStatus.OPEN,
        OrderStatus.CANCELLED,
        OrderStatus.OPEN,
        OrderStatus.FILLED,
        OrderStatus.FILLED,
    ]
    assert [update.order and update.order.tag for update in updates] == [resting.tag] * 2 + [dealt.tag] * 3
    last = updates[-1].order
    assert last is not None
    assert last == replace(found(client, dealt), tradingsymbol="IDEA")  # a row of the book has no symbol


def test_events_have_the_recorded_fields(blaze: SimulatedBrokers, session: Session, client: IiflClient) -> None:
    told: list[list[Any]] = []

    async def listen() -> None:
        stream = IiflOrderStream(app(blaze), session)
        address = stream.opening(transport(blaze), blaze.brokers["iifl"]["stream_url"]).url.reveal()
        async with connect(address) as socket:
            await socket.recv()
            await socket.recv()
            await asyncio.to_thread(client.place, order(SHARE, "8.20", 20))
            while len(told) < 3:
                told.append(json.loads(str(await asyncio.wait_for(socket.recv(), TIMEOUT))[2:]))

    asyncio.run(listen())
    rows = {name: json.loads(row) for name, row in told}
    for name, file in (("order", "socket_order_event.json"), ("trade", "socket_trade_event.json")):
        recorded = json.loads((FIXTURES / "iifl" / "stream" / file).read_text())
        assert set(recorded) <= set(rows[name])
