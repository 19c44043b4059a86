"""How the simulated Angel One words what becomes of orders; what all brokers have in common is in tests/contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from brokers.angel_one import BROKER
from brokers.angel_one.postback import read_postback
from brokers.angel_one.sandbox_stream import OrderStatusSocket
from brokers.angel_one.sandbox_wire import symbol as wire_name
from brokers.angel_one.spec import PIN_TOTP, SECURE
from brokers.angel_one.stream import AngelOneOrderStream
from brokers.base import BrokerClient
from brokers.dealing import GttKind, GttLeg, GttRequest, GttStatus, StandingOrder
from brokers.domain import AppCredentials, OrderStatus, OrderType, Product, Side
from brokers.errors import RequestRefused
from brokers.secret import Secret
from brokers.simulation.postbacks import Told
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import OrderUpdate
from brokers.transport import Endpoints
from tests.brokers.orders_kit import asked, standing, traded
from tests.simulation.conftest import TIMEOUT, MovableClock

FIXTURES = Path(__file__).parents[1] / "fixtures" / "angel_one"
INFY = traded("1594", symbol="INFY")
LAST = Decimal("1573.70")
LOW = Decimal("1550.00")


class Dealer:
    """Our client, and what it sends without it."""

    def __init__(self, simulated: SimulatedBrokers, clock: MovableClock) -> None:
        self.simulated, self.entry = simulated, simulated.brokers["angel_one"]
        self.control = simulated.control
        http = BROKER.transport(
            endpoints=Endpoints(base_url=self.entry["base_url"], login_url=self.entry["login_url"]), loopback_only=True
        )
        app = AppCredentials(api_key=Secret(self.entry["api_key"]), api_secret=Secret(""))
        self.session = BROKER.auth(http, app).exchange(
            callback={"method": PIN_TOTP.name, **self.entry["login"]}, redirect_uri="", now=clock()
        )
        self.client: BrokerClient = BROKER.client(http, app, self.session)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {
            **BROKER.spec.headers,
            "Authorization": f"Bearer {self.session.access_token.reveal()}",
            "X-PrivateKey": self.entry["api_key"],
        }
        return requests.post(
            f"{self.entry['base_url']}{SECURE}{path}", json=body, headers=headers, timeout=TIMEOUT
        ).json()


@pytest.fixture(scope="module")
def running() -> Iterator[Dealer]:
    clock = MovableClock()
    with SimulatedBrokers(["angel_one"], clock=clock) as simulated:
        yield Dealer(simulated, clock)


@pytest.fixture
def dealer(running: Dealer) -> Iterator[Dealer]:
    book = running.control.book("angel_one")
    running.control.set_price("NSE", str(LAST), symbol="INFY", close_price="1567.80")
    yield running
    running.control.clear_faults("angel_one")
    running.control.reset_exchange()
    running.control.set_book("angel_one", book)


def buy(**changed: Any) -> Any:
    return asked(**{"traded": INFY, "product": Product.CNC, "quantity": Decimal(2), "price": LOW, **changed})


PLACED = {
    "variety": "NORMAL",
    "tradingsymbol": "INFY-EQ",
    "symboltoken": "1594",
    "transactiontype": "BUY",
    "exchange": "NSE",
    "ordertype": "LIMIT",
    "producttype": "DELIVERY",
    "duration": "DAY",
    "price": "1550.00",
    "quantity": "2",
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"variety": "STOPLOSS"}, "AB1008"),
        ({"variety": "ROBO"}, "AB1008"),
        ({"symboltoken": "1"}, "AB1009"),
        ({"tradingsymbol": "INFY"}, "AB1009"),
        ({"producttype": "CNC"}, "AB1012"),
        ({"ordertag": "t" * 20}, "AB4008"),
        ({"ordertype": "SL"}, "AB4018"),
        ({"duration": "GTC"}, "AB4018"),
        ({"transactiontype": "B"}, "AB4018"),
        ({"quantity": "0"}, "AB4018"),
        ({"quantity": "two"}, "AB4018"),
        ({"price": "1550.01"}, "AB4018"),
        ({"price": "NaN"}, "AB4018"),
        ({"price": "3000"}, "AB4018"),
    ],
)
def test_a_bad_order_is_refused_by_code(dealer: Dealer, changed: dict[str, str], code: str) -> None:
    said = dealer.post("/order/v1/placeOrder", PLACED | changed)
    assert (said["status"], said["errorcode"], said["data"]) == (False, code, None)
    assert dealer.client.orders().items == ()


def test_an_order_goes_by_the_names_of_the_wire(dealer: Dealer) -> None:
    said = dealer.post("/order/v1/placeOrder", PLACED)["data"]
    assert said["script"] == "INFY-EQ"
    assert said["orderid"].startswith("261123")
    one = requests.get(
        f"{dealer.entry['base_url']}{SECURE}/order/v1/details/{said['uniqueorderid']}",
        headers={
            **BROKER.spec.headers,
            "Authorization": f"Bearer {dealer.session.access_token.reveal()}",
            "X-PrivateKey": dealer.entry["api_key"],
        },
        timeout=TIMEOUT,
    ).json()["data"]
    assert (one["orderid"], one["unfilledshares"], one["updatetime"]) == (said["orderid"], "2", "23-Nov-2026 10:30:00")
    wrong = dealer.post("/order/v1/cancelOrder", {"variety": "STOPLOSS", "orderid": said["orderid"]})
    assert wrong["errorcode"] == "AB1008"


def test_what_comes_too_late_finds_no_order(dealer: Dealer) -> None:
    order_id = dealer.client.place(buy(price=LAST))
    assert dealer.client.orders().items[0].status is OrderStatus.FILLED
    with pytest.raises(RequestRefused) as caught:
        dealer.client.cancel(standing(order_id, traded=INFY))
    assert (caught.value.vendor_code, caught.value.code) == ("AB1013", "order_not_found")


def test_the_broker_bounds_market_orders_itself(dealer: Dealer) -> None:
    dealer.client.place(buy(order_type=OrderType.MARKET, price=None, tag="t-market-0001"))
    [order] = dealer.client.find("t-market-0001")
    assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, 2)
    stop = buy(order_type=OrderType.SL_M, price=None, trigger_price=LAST + 10, tag="t-stop-00001")
    dealer.client.place(stop)
    [waiting] = dealer.client.find("t-stop-00001")
    assert (waiting.status, waiting.order_type) == (OrderStatus.TRIGGER_PENDING, OrderType.SL_M)
    assert waiting.trigger_price == LAST + 10
    dealer.client.cancel(StandingOrder(broker_order_id=waiting.broker_order_id, request=stop))
    assert dealer.client.find("t-stop-00001")[0].status is OrderStatus.CANCELLED


def test_mcx_is_counted_in_units_by_the_simulated_broker(dealer: Dealer) -> None:
    key, price = next(
        (key, price) for key, price in dealer.control.market()["prices"].items() if key.startswith("MCX:")
    )
    listing = dealer.simulated._simulation.market.instruments[key]
    units = Decimal(listing.contract_multiplier)
    assert units > 1
    whole = {
        **PLACED,
        "tradingsymbol": wire_name(listing),
        "symboltoken": listing.exchange_token,
        "exchange": "MCX",
        "producttype": "CARRYFORWARD",
        "price": price["last"],
        "quantity": str(units),
        "ordertag": "t-mcx-000001",
    }
    assert dealer.post("/order/v1/placeOrder", whole)["status"] is True
    [found] = dealer.client.find("t-mcx-000001")
    assert found.quantity == units
    [desk_order] = dealer.control.exchange()["desks"]["angel_one"]["orders"]
    assert desk_order["asked"]["quantity"] == 1
    odd = {**whole, "quantity": str(units + 1)}
    assert dealer.post("/order/v1/placeOrder", odd)["errorcode"] == "AB4018"


def test_rules_are_listed_by_status_and_page(dealer: Dealer) -> None:
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
    ids = [dealer.client.place_gtt(wanted) for _ in range(12)]
    first = dealer.client.gtts().items[0]
    dealer.client.cancel_gtt(first)
    dealer.control.set_price("NSE", str(LOW), symbol="INFY")
    listed = {gtt.broker_gtt_id: gtt.status for gtt in dealer.client.gtts().items}
    assert list(listed) == ids
    assert listed[first.broker_gtt_id] is GttStatus.CANCELLED
    assert set(listed.values()) == {GttStatus.CANCELLED, GttStatus.TRIGGERED}
    asked_for = {"status": ["CANCELLED"], "page": 1, "count": 10}
    assert [row["id"] for row in dealer.post("/gtt/v1/ruleList", asked_for)["data"]] == [first.broker_gtt_id]
    assert dealer.post("/gtt/v1/ruleList", {**asked_for, "page": 0})["status"] is False
    assert dealer.post("/gtt/v1/cancelRule", {"id": "none"})["errorcode"] == "AB9006"
    option = {**PLACED, "qty": "1", "triggerprice": "1", "producttype": "INTRADAY"}
    assert dealer.post("/gtt/v1/createRule", option)["errorcode"] == "AB1012"


def test_the_socket_tells_each_change_of_an_order(dealer: Dealer) -> None:
    sandbox = dealer.simulated._simulation.sites["angel_one"].sandbox
    socket = OrderStatusSocket(sandbox.market, "A1", sandbox.desk)
    assert json.loads(str(socket.opened()[0]))["order-status"] == "AB00"
    dealer.control.set_depth(1)
    order_id = dealer.client.place(buy(price=LAST, quantity=Decimal(3), tag="t-socket-0001"))
    dealer.client.cancel(standing(order_id, traded=INFY))
    dealer.control.set_depth(100)
    frames = socket.order_news()
    assert [json.loads(str(frame))["order-status"] for frame in frames] == ["AB01", "AB01", "AB02"]
    reader = AngelOneOrderStream(AppCredentials(api_key=Secret("k"), api_secret=Secret("")), dealer.session)
    updates = [event for frame in frames for event in reader.received(frame)]
    assert all(isinstance(event, OrderUpdate) for event in updates)
    told = [(event.broker_order_id, event.status) for event in updates if isinstance(event, OrderUpdate)]
    assert told == [
        (order_id, OrderStatus.OPEN),
        (order_id, OrderStatus.PARTIALLY_FILLED),
        (order_id, OrderStatus.CANCELLED),
    ]
    last = updates[-1]
    assert isinstance(last, OrderUpdate)
    assert last.order is not None
    assert (last.order.tag, last.order.filled_quantity) == ("t-socket-0001", 1)
    assert socket.order_news() == []


def test_a_postback_tells_an_order_as_it_stands(dealer: Dealer) -> None:
    sandbox = dealer.simulated._simulation.sites["angel_one"].sandbox
    order_id = dealer.client.place(buy(tag="t-posted-0001"))
    order = sandbox.desk.order(order_id)
    assert order is not None
    told = Told(order_id=order_id, account_id="A1", secret="", at=order.updated_at, order=order)
    row = sandbox.postback(told)
    assert isinstance(row, dict)
    published = json.loads((FIXTURES / "postback" / "postback_order.json").read_text())
    assert row.keys() == published.keys()
    assert (row["ordertag"], row["orderstatus"], row["quantity"]) == ("t-posted-0001", "open", "2")
    read = read_postback(json.dumps(row).encode(), {}, AppCredentials(api_key=Secret("k"), api_secret=Secret("")))
    assert (read.broker_order_id, read.account_id) == (order_id, "A1")
