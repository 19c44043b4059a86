"""IIFL Capital's orders, simulated: our client places them, the books and the stream tell what became of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests

from brokers.base import BrokerClient
from brokers.domain import AppCredentials, OrderStatus, OrderType, Product, Session, Side
from brokers.errors import OrderRejected, OutcomeUnknown, RequestRefused
from brokers.iifl_capital import BROKER
from brokers.iifl_capital.stream import IiflCapitalStream
from brokers.secret import Secret
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import BookChanged, OrderUpdate
from brokers.transport import Endpoints
from market.sockets import opened
from tests.contract.recorded import FIXTURES
from tests.simulation.conftest import TIMEOUT, MovableClock
from tests.simulation.dealt import changed_to, found, last_price, order, standing
from tests.simulation.test_wire import field_names

SLUG = "iifl_capital"
SHARE, OTHER, CRUDE = "NSE:IDEA", "NSE:INFY", "MCX:CRUDEOIL26OCTFUT"


@pytest.fixture
def capital(clock: MovableClock) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers([SLUG], clock=clock) as simulated:
        simulated.control.freeze()
        simulated.control.set_price("NSE", "8.10", symbol="IDEA", close_price="8.00")
        simulated.control.set_price("NSE", "1573.70", symbol="INFY", close_price="1567.80")
        yield simulated


def app(capital: SimulatedBrokers) -> AppCredentials:
    entry = capital.brokers[SLUG]
    return AppCredentials(api_key=Secret(entry["api_key"]), api_secret=Secret(entry["api_secret"]))


def transport(capital: SimulatedBrokers) -> Any:
    entry = capital.brokers[SLUG]
    endpoints = Endpoints(base_url=entry["base_url"], login_url=entry["login_url"])
    return BROKER.transport(endpoints=endpoints, loopback_only=True)


@pytest.fixture
def session(capital: SimulatedBrokers, clock: MovableClock) -> Session:
    auth = BROKER.auth(transport(capital), app(capital))
    address = auth.authorization_url(state="", redirect_uri=capital.brokers[SLUG]["redirect_uri"])
    return auth.exchange(callback=dict(capital.login(SLUG, address)), redirect_uri="", now=clock())


@pytest.fixture
def client(capital: SimulatedBrokers, session: Session) -> BrokerClient:
    return BROKER.client(transport(capital), app(capital), session)


def test_an_order_stands_is_changed_and_is_cancelled(client: BrokerClient) -> None:
    request = order(SHARE, "7.95", 50)
    order_id = client.place(request)
    row = found(client, request)
    assert (row.broker_order_id, row.status, row.quantity, row.price) == (order_id, OrderStatus.OPEN, 50, request.price)
    assert (row.side, row.order_type, row.product) == (Side.BUY, OrderType.LIMIT, Product.MIS)
    lower = changed_to(request, price=Decimal("7.90"), quantity=Decimal(40))
    assert client.modify(standing(order_id, request), lower) == order_id
    row = found(client, request)
    assert (row.status, row.quantity, row.price) == (OrderStatus.OPEN, 40, Decimal("7.90"))
    client.cancel(standing(order_id, request))
    assert found(client, request).status is OrderStatus.CANCELLED
    for act in (
        lambda: client.cancel(standing(order_id, request)),
        lambda: client.modify(standing(order_id, request), lower),
        lambda: client.cancel(standing("nobody-knows", request)),
    ):
        with pytest.raises(OrderRejected):
            act()


def test_what_is_dealt_adds_up_in_every_book(client: BrokerClient) -> None:
    funds, request = client.funds(), order(SHARE, "8.20", 150, product=Product.CNC)
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


def test_a_market_order_is_dealt_within_its_protection(client: BrokerClient) -> None:
    request = order(SHARE, None, 20, order_type=OrderType.MARKET, protection_pct=Decimal(1))
    client.place(request)
    row = found(client, request)
    assert (row.status, row.price, row.filled_quantity) == (OrderStatus.FILLED, None, 20)


def test_a_large_order_is_filled_in_part_and_its_price_can_be_changed(
    client: BrokerClient, capital: SimulatedBrokers
) -> None:
    capital.control.set_depth(10)
    request = order(SHARE, last_price(capital.control, SHARE) + Decimal("0.01"), 60)
    order_id = client.place(request)
    row = found(client, request)
    assert row.status is OrderStatus.PARTIALLY_FILLED
    assert 0 < row.filled_quantity < 60
    partly = replace(standing(order_id, request), filled_quantity=row.filled_quantity)
    assert client.modify(partly, changed_to(request, price=Decimal("7.90"))) == order_id
    assert (found(client, request).quantity, found(client, request).price) == (60, Decimal("7.90"))


def test_a_stop_waits_for_its_trigger(client: BrokerClient, capital: SimulatedBrokers) -> None:
    request = order(SHARE, "8.40", 10, order_type=OrderType.SL, trigger_price=Decimal("8.30"))
    client.place(request)
    row = found(client, request)
    assert (row.status, row.trigger_price) == (OrderStatus.TRIGGER_PENDING, request.trigger_price)
    capital.control.set_price("NSE", "8.35", symbol="IDEA")
    assert found(client, request).status is OrderStatus.FILLED


def test_the_margin_is_what_an_order_blocks(client: BrokerClient) -> None:
    funds, request = client.funds(), order(SHARE, "8.00", 100)
    margin = client.margin(request)
    client.place(request)
    assert funds.used is not None
    assert client.funds().used == funds.used + margin.required
    assert margin.required > 0


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (order(OTHER, "1570.00", 9000, product=Product.CNC), "RMS:Margin exceeds"),
        (order(OTHER, "1570.00", 9000, product=Product.CNC, side=Side.SELL), "RMS:Insufficient holdings"),
    ],
)
def test_the_risk_system_rejects_what_was_taken(client: BrokerClient, request_: Any, words: str) -> None:
    order_id = client.place(request_)
    row = found(client, request_)
    assert (row.broker_order_id, row.status, row.filled_quantity) == (order_id, OrderStatus.REJECTED, 0)
    assert row.status_message is not None
    assert row.status_message.startswith(words)


@pytest.mark.parametrize(
    "changed",
    [
        {"price": Decimal("8.005")},  # off the tick
        {"price": Decimal("88.00")},  # outside the band
        {"quantity": Decimal(200_000)},  # frozen
        {"product": Product.NRML},
        {"tag": "t" * 51},
    ],
)
def test_what_no_exchange_takes_is_refused_at_once(client: BrokerClient, changed: dict[str, Any]) -> None:
    request = replace(order(SHARE, "8.00", 10), **changed)
    with pytest.raises(OrderRejected) as caught:
        client.place(request)
    assert caught.value.vendor_code in ("EC901", "EC971")
    assert client.find(request.tag) == ()


def test_orders_from_another_address_are_refused(client: BrokerClient, capital: SimulatedBrokers) -> None:
    capital.control.set_fault(SLUG, "unregistered_address", count=1)
    with pytest.raises(RequestRefused) as caught:
        client.place(order(SHARE, "8.00", 10))
    assert (caught.value.code, caught.value.vendor_code) == ("access_suspended", "EC500")


def test_a_reply_that_is_lost_leaves_one_order_to_be_found(client: BrokerClient, capital: SimulatedBrokers) -> None:
    capital.control.set_fault(SLUG, "lost_reply", count=1)
    request = order(SHARE, "7.95", 10)
    with pytest.raises(OutcomeUnknown):
        client.place(request)
    assert found(client, request).status is OrderStatus.OPEN
    capital.control.set_fault(SLUG, "lost_request", count=1)
    lost = order(SHARE, "7.95", 10)
    with pytest.raises(OutcomeUnknown):
        client.place(lost)
    assert client.find(lost.tag) == ()


def ask(capital: SimulatedBrokers, session: Session, method: str, path: str, **sent: Any) -> Any:
    headers = {"Authorization": f"Bearer {session.access_token.reveal()}"}
    url = capital.brokers[SLUG]["base_url"] + path
    return requests.request(method, url, headers=headers, timeout=TIMEOUT, **sent).json()


LEG = {
    **json.loads((FIXTURES / SLUG / "orders_place.request.json").read_text())[0],
    **{"instrumentId": "14366", "orderType": "LIMIT", "price": "8.2", "slTriggerPrice": "0", "disclosedQuantity": "0"},
}


def test_replies_have_the_published_fields_in_order(capital: SimulatedBrokers, session: Session) -> None:
    placed = ask(capital, session, "POST", "/v1/orders", json=[LEG, LEG | {"price": "7.9"}])
    done, resting = (leg["brokerOrderId"] for leg in placed["result"])
    replies = {
        "orders_place.json": placed,
        "orders_book.json": ask(capital, session, "GET", "/v1/orders"),
        "trades.json": ask(capital, session, "GET", "/v1/trades"),
        "orders_modify.json": ask(capital, session, "PUT", f"/v1/orders/{resting}", json=[{"price": "7.8"}]),
        "orders_cancel.json": ask(capital, session, "DELETE", f"/v1/orders/{resting}"),
        "preordermargin.json": ask(capital, session, "POST", "/v1/preordermargin", json=LEG),
    }
    for file, reply in replies.items():
        assert field_names(reply) == field_names(json.loads((FIXTURES / SLUG / file).read_text()))
    history = ask(capital, session, "GET", f"/v1/orders/{resting}")
    assert field_names(history) == field_names(json.loads((FIXTURES / SLUG / "orders_history.json").read_text()))
    assert [(row["orderStatus"], row["price"], row["cancelledQuantity"]) for row in history] == [
        ("open", "7.9", "0"),
        ("open", "7.8", "0"),
        ("cancelled", "7.8", "1"),
    ]
    assert ask(capital, session, "GET", f"/v1/orders/{done}")[-1]["orderStatus"] == "complete"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "Success"),
        ({"quantity": 1, "price": 8.2}, "Success"),  # numbers are taken, too
        ({"exchange": "NYSE"}, "EC901"),
        ({"instrumentId": "1"}, "EC901"),
        ({"transactionType": ""}, "EC901"),
        ({"quantity": "one"}, "EC901"),
        ({"price": "much"}, "EC901"),
        ({"orderComplexity": "BO"}, "EC901"),
        ({"orderType": "MARKET", "marketProtectionPercent": "0"}, "EC901"),
        ({"orderType": "SLM", "slTriggerPrice": "8.3", "marketProtectionPercent": "1"}, "EC901"),
    ],
)
def test_every_leg_has_a_verdict_of_its_own(
    capital: SimulatedBrokers, session: Session, changed: dict[str, Any], status: str
) -> None:
    reply = ask(capital, session, "POST", "/v1/orders", json=[LEG, LEG | changed])
    assert reply["status"] == "Ok"
    assert [leg["status"] for leg in reply["result"]] == ["Success", status]


def test_codes_for_nothing(capital: SimulatedBrokers, session: Session) -> None:
    replies = {
        "EC916": ask(capital, session, "GET", "/v1/orders"),
        "EC918": ask(capital, session, "GET", "/v1/trades"),
        "EC920": ask(capital, session, "GET", "/v1/orders/7"),
        "EC999": ask(capital, session, "DELETE", "/v1/orders/7"),
        "EC801": ask(capital, session, "POST", "/v1/orders", json=LEG),
    }
    assert {code: reply["status"] for code, reply in replies.items()} == {code: code for code in replies}


def test_the_stream_tells_every_change_and_every_fill(
    capital: SimulatedBrokers, session: Session, client: BrokerClient
) -> None:
    stream = IiflCapitalStream(app(capital), session)
    resting, dealt = order(SHARE, "7.95", 10), order(SHARE, "8.20", 20)
    told: list[tuple[str, dict[str, Any]]] = []

    async def listen() -> list[object]:
        events: list[object] = []
        opening = stream.opening(transport(capital), capital.brokers[SLUG]["stream_url"])
        socket = await opened(opening, stream)
        try:
            for frame in stream.hello():
                assert isinstance(frame, str)
                await socket.send(frame)
            placed = await asyncio.to_thread(client.place, resting)
            await asyncio.to_thread(client.cancel, standing(placed, resting))
            await asyncio.to_thread(client.place, dealt)
            while not any(isinstance(event, BookChanged) for event in events):
                frame = await asyncio.wait_for(socket.recv(), TIMEOUT)
                assert isinstance(frame, bytes)
                topic, _, payload = frame.partition(b"\0")
                told.append((topic.decode(), json.loads(payload)))
                events += stream.received(frame)
        finally:
            await socket.close()
        return events

    updates = [event for event in asyncio.run(listen()) if isinstance(event, OrderUpdate)]
    assert [update.status for update in updates] == [
        OrderStatus.OPEN,
        OrderStatus.CANCELLED,
        OrderStatus.OPEN,
        OrderStatus.FILLED,
    ]
    assert updates[0].broker_order_id == updates[1].broker_order_id != updates[2].broker_order_id
    user = session.account_id
    assert [topic for topic, _ in told] == [f"prod/updates/order/v1/{user}"] * 4 + [f"prod/updates/trade/v1/{user}"]
    for row, file in ((told[0][1], "order_update.json"), (told[-1][1], "trade_update.json")):
        assert list(row) == list(json.loads((FIXTURES / SLUG / "stream" / file).read_text()))
    assert told[-1][1]["fillDate"] == "46349"  # 2026-11-23
    assert told[-1][1]["fillTime"] == "0.437500000000000"  # 10:30
