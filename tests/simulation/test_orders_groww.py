"""How the simulated Groww words what becomes of orders; what all brokers have in common is in tests/contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests

from brokers.base import BrokerClient
from brokers.dealing import GttKind, GttLeg, GttRequest, GttStatus, StandingOrder
from brokers.domain import AppCredentials, Exchange, OrderStatus, OrderType, Product, Side
from brokers.errors import RequestRefused
from brokers.groww import BROKER, nats
from brokers.groww.nkeys import KeyPair
from brokers.groww.sandbox_stream import LiveFeed, SocketTokens
from brokers.groww.stream import order_update
from brokers.secret import Secret
from brokers.simulation.dialect import Sandbox
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import OrderUpdate
from brokers.transport import Endpoints
from tests.brokers.orders_kit import asked, standing, traded
from tests.simulation.conftest import TIMEOUT, MovableClock
from tests.simulation.test_groww_feed import hello, said

INFY = traded("NSE_INFY", symbol="INFY")
CALL = traded("NSE_NIFTY26DEC27000CE", Exchange.NFO, symbol="NIFTY26DEC27000CE")
LAST, LOW = Decimal("1573.70"), Decimal("1550.00")
PLACED = {
    "trading_symbol": "INFY",
    "quantity": 2,
    "price": 1550,
    "validity": "DAY",
    "exchange": "NSE",
    "segment": "CASH",
    "product": "CNC",
    "order_type": "LIMIT",
    "transaction_type": "BUY",
    "order_reference_id": "Ab-654321234-1628190",
}


class Dealer:
    """Our client, and what it sends without it."""

    def __init__(self, simulated: SimulatedBrokers, clock: MovableClock) -> None:
        self.simulated, self.entry, self.clock = simulated, simulated.brokers["groww"], clock
        self.control = simulated.control
        http = BROKER.transport(
            endpoints=Endpoints(base_url=self.entry["base_url"], login_url=self.entry["login_url"]), loopback_only=True
        )
        app = AppCredentials(api_key=Secret(self.entry["api_key"]), api_secret=Secret(self.entry["api_secret"]))
        callback = {"method": "totp", **self.entry["login"]}
        self.session = BROKER.auth(http, app).exchange(callback=callback, redirect_uri="", now=clock())
        self.client: BrokerClient = BROKER.client(http, app, self.session)

    @property
    def sandbox(self) -> Sandbox:
        return self.simulated._simulation.sites["groww"].sandbox

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.session.access_token.reveal()}", "X-API-VERSION": "1.0"}
        url = self.entry["base_url"] + path
        reply = requests.request(method, url, json=body, params=query, headers=headers, timeout=TIMEOUT)
        return reply.status_code, reply.json()

    def refused(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, str]:
        status, reply = self.ask(method, path, body, **query)
        assert reply["status"] == "FAILURE"
        return status, reply["error"]["code"]


@pytest.fixture(scope="module")
def running() -> Iterator[Dealer]:
    clock = MovableClock()
    with SimulatedBrokers(["groww"], clock=clock) as simulated:
        yield Dealer(simulated, clock)


@pytest.fixture
def dealer(running: Dealer) -> Iterator[Dealer]:
    book = running.control.book("groww")
    running.control.set_price("NSE", str(LAST), symbol="INFY", close_price="1567.80")
    yield running
    running.control.clear_faults("groww")
    running.control.reset_exchange()
    running.control.set_book("groww", book)


def buy(**changed: Any) -> Any:
    return asked(**{"traded": INFY, "product": Product.CNC, "quantity": Decimal(2), "price": LOW, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"trading_symbol": "NOSUCH"},
        {"segment": "FNO"},
        {"quantity": 0},
        {"quantity": 1.5},
        {"quantity": "many"},
        {"price": 1550.01},
        {"price": 3000},
        {"price": None},
        {"product": "DELIVERY"},
        {"validity": "GTC"},
        {"order_type": "MARKET"},
        {"order_type": "SL_M", "trigger_price": 1580},
        {"transaction_type": "B"},
        {"order_reference_id": None},
        {"order_reference_id": "short"},
        {"order_reference_id": "much-too-long-to-be-a-reference"},
        {"order_reference_id": "a-b-c-d-e-f"},
        {"order_reference_id": "under_score"},
    ],
)
def test_a_bad_order_is_a_bad_request(dealer: Dealer, changed: dict[str, Any]) -> None:
    assert dealer.refused("POST", "/v1/order/create", PLACED | changed) == (400, "GA001")
    assert dealer.client.orders().items == ()


def test_a_reference_is_taken_once(dealer: Dealer) -> None:
    status, reply = dealer.ask("POST", "/v1/order/create", PLACED)
    assert (status, reply["payload"]["order_status"]) == (200, "OPEN")
    assert dealer.refused("POST", "/v1/order/create", PLACED) == (400, "GA007")
    assert len(dealer.control.exchange()["desks"]["groww"]["orders"]) == 1
    order_id = reply["payload"]["groww_order_id"]
    path = f"/v1/order/status/reference/{PLACED['order_reference_id']}"
    _, found = dealer.ask("GET", path, segment="CASH")
    assert (found["payload"]["groww_order_id"], len(found["payload"])) == (order_id, 5)
    assert dealer.refused("GET", path, segment="FNO") == (404, "GA004")
    assert dealer.refused("GET", path) == (400, "GA001")


@pytest.mark.parametrize(
    ("fault", "refused", "code"),
    [("unregistered_address", (403, "GA005"), "orders_not_permitted"), ("market_closed", (400, "GA006"), None)],
)
def test_a_refusal_of_the_desk_has_its_code(
    dealer: Dealer, fault: str, refused: tuple[int, str], code: str | None
) -> None:
    dealer.control.set_fault("groww", fault)
    assert dealer.refused("POST", "/v1/order/create", PLACED) == refused
    with pytest.raises(RequestRefused) as caught:
        dealer.client.place(buy())
    assert caught.value.code == (code or "not_possible_now")
    assert caught.value.connection_status is None


def test_what_comes_too_late_cannot_be_processed(dealer: Dealer) -> None:
    order_id = dealer.client.place(buy(price=LAST))
    done = standing(order_id, traded=INFY)
    with pytest.raises(RequestRefused) as caught:
        dealer.client.cancel(done)
    assert (caught.value.vendor_code, caught.value.code) == ("GA006", "not_possible_now")
    with pytest.raises(RequestRefused) as caught:
        dealer.client.cancel(standing("GMK1", traded=INFY))
    assert (caught.value.vendor_code, caught.value.code) == ("GA004", "order_not_found")


def test_an_order_is_found_though_the_list_says_nothing(dealer: Dealer) -> None:
    """As soon as its row is there, by the reference; before that, nowhere."""
    tag = "t2k3m4n5p6q7r8s9tau"
    order_id = dealer.client.place(buy(tag=tag))
    dealer.control.serve("groww", "GET /v1/order/list", '{"status":"SUCCESS","payload":{"order_list":[]}}')
    [found] = dealer.client.find(tag)
    assert (found.broker_order_id, found.tag, found.status) == (order_id, tag, OrderStatus.OPEN)
    assert dealer.client.find("t2k3m4n5p6q7r8s9taw") == ()
    dealer.control.serve_nothing("groww")


def test_the_list_comes_in_pages(dealer: Dealer) -> None:
    tags = [f"t-page-{number:04d}" for number in range(27)]
    for tag in tags:
        dealer.client.place(buy(quantity=Decimal(1), price=LOW, product=Product.MIS, tag=tag))
    assert [order.tag for order in dealer.client.orders().items] == tags
    assert len(dealer.ask("GET", "/v1/order/list")[1]["payload"]["order_list"]) == 25
    assert dealer.refused("GET", "/v1/order/list", page_size="101") == (400, "GA001")
    assert dealer.refused("GET", "/v1/order/list", page="x") == (400, "GA001")


def test_a_gtt_follows_the_price_and_the_desk(dealer: Dealer) -> None:
    leg = GttLeg(trigger_price=LOW, price=LOW, quantity=Decimal(1))
    wanted = GttRequest(
        traded=INFY,
        kind=GttKind.SINGLE,
        side=Side.BUY,
        product=Product.CNC,
        legs=(leg,),
        tag="t2k3m4n5p6q7r8s9ta2",
        last_price=LAST,
    )
    another = replace(wanted, tag="t2k3m4n5p6q7r8s9ta3")
    first, second = dealer.client.place_gtt(wanted), dealer.client.place_gtt(another)
    listed = {gtt.broker_gtt_id: gtt for gtt in dealer.client.gtts().items}
    assert [gtt.status for gtt in listed.values()] == [GttStatus.ACTIVE] * 2
    assert listed[first].legs == (leg,)
    dealer.client.cancel_gtt(listed[first])
    dealer.control.set_price("NSE", str(LOW), symbol="INFY")
    ended = {gtt.broker_gtt_id: gtt.status for gtt in dealer.client.gtts().items}
    assert ended == {first: GttStatus.CANCELLED, second: GttStatus.TRIGGERED}
    with pytest.raises(RequestRefused) as caught:
        dealer.client.cancel_gtt(listed[first])
    assert caught.value.vendor_code == "GA006"
    assert len(dealer.client.orders().items) == 1


SMART = {
    "reference_id": "sref-unique-123",
    "smart_order_type": "GTT",
    "segment": "CASH",
    "trading_symbol": "INFY",
    "quantity": 1,
    "trigger_price": "1550.00",
    "trigger_direction": "DOWN",
    "order": {"order_type": "LIMIT", "price": "1550.00", "transaction_type": "BUY"},
    "product_type": "CNC",
    "exchange": "NSE",
    "duration": "DAY",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"smart_order_type": "OCO"},
        {"trigger_direction": "UP"},
        {"trigger_price": 1550},
        {"order": None},
        {"order": {**SMART["order"], "price": 1550}},  # type: ignore[dict-item]
        {"order": {**SMART["order"], "order_type": "MARKET"}},  # type: ignore[dict-item]
        {"reference_id": "x"},
        {"quantity": 0},
    ],
)
def test_a_bad_smart_order_is_a_bad_request(dealer: Dealer, changed: Mapping[str, Any]) -> None:
    assert dealer.refused("POST", "/v1/order-advance/create", {**SMART, **changed}) == (400, "GA001")


def test_a_smart_order_is_answered_as_created(dealer: Dealer) -> None:
    status, reply = dealer.ask("POST", "/v1/order-advance/create", SMART)
    assert (status, reply["payload"]["trigger_price"]) == (201, "1550.00")
    assert dealer.ask("GET", "/v1/order-advance/list")[1]["payload"]["orders"] == []  # OCO, unless asked for others
    window = {"start_date_time": "2026-01-01T00:00:00", "end_date_time": "2026-11-23T23:00:00"}
    listing = {"smart_order_type": "GTT", **window}
    assert dealer.refused("GET", "/v1/order-advance/list", **listing) == (400, "GA001")


def test_the_feed_tells_orders_in_paise_and_positions_of_contracts(dealer: Dealer) -> None:
    keys, tokens = KeyPair(), SocketTokens(dealer.clock)
    feed = LiveFeed(dealer.sandbox.market, tokens, lambda user: "own", dealer.clock, dealer.sandbox.desk)
    said(feed, hello(feed, tokens, keys))
    subjects = (b"stocks/order/updates.apex.own", b"stocks_fo/order/updates.apex.own")
    positions = b"stocks_fo/position/updates.apex.own"
    early = dealer.client.place(buy(tag="t-before-0001"))
    assert feed.order_news() == []  # nobody has asked yet
    wished = b"".join(b"SUB %s %d\r\n" % (each, number) for number, each in enumerate((*subjects, positions), 1))
    said(feed, wished)
    share = dealer.client.place(buy(tag="t-share-0001"))
    dealer.client.cancel(StandingOrder(broker_order_id=share, request=buy()))
    price = Decimal(dealer.control.market()["prices"]["NFO:NIFTY26DEC27000CE"]["last"])
    contract = dealer.client.place(
        buy(traded=CALL, product=Product.NRML, quantity=Decimal(65), price=price, tag="t-call-00001")
    )
    told = [
        message
        for frame in feed.order_news()
        for message in nats.Reader().read(bytes(frame))  # type: ignore[arg-type]
        if isinstance(message, nats.Message)
    ]
    assert [message.subject for message in told] == [subjects[0]] * 3 + [subjects[1]] * 2 + [positions]
    updates = [
        order_update(message.payload, "CASH" if number < 3 else "FNO") for number, message in enumerate(told[:5])
    ]
    assert all(isinstance(update, OrderUpdate) for update in updates)
    assert [(update.broker_order_id, update.status) for update in updates if isinstance(update, OrderUpdate)] == [
        (early, OrderStatus.OPEN),
        (share, OrderStatus.OPEN),
        (share, OrderStatus.CANCELLED),
        (contract, OrderStatus.OPEN),
        (contract, OrderStatus.FILLED),
    ]
    last = updates[-1]
    assert isinstance(last, OrderUpdate)
    assert last.order is not None
    assert (last.order.price, last.order.average_price, last.order.order_type) == (price, price, OrderType.LIMIT)
    assert feed.order_news() == []
