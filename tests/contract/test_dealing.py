"""Every broker that takes orders: our client on one side, the simulated broker and its exchange on the other.

A new broker needs nothing here: it is in the list as soon as the features of its spec say `place`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from inspect import isawaitable
from typing import Any

import pytest

from brokers import registry
from brokers.base import BrokerClient, listing_of
from brokers.dealing import (
    BrokerGtt,
    GttKind,
    GttLeg,
    GttRequest,
    GttStatus,
    OrderChange,
    OrderRequest,
    StandingOrder,
    Traded,
)
from brokers.domain import (
    BrokerOrder,
    BrokerTrade,
    Exchange,
    InstrumentKind,
    OrderStatus,
    OrderType,
    Product,
    Session,
    Side,
    Validity,
)
from brokers.errors import BrokerError, NotSupported, OutcomeUnknown, RateLimited, RequestRefused, SessionEnded
from brokers.simulation.instruments import load_instruments
from brokers.streaming import BookChanged, BrokerStream, OrderUpdate
from market.sockets import Socket, opened
from tests.contract.live import LiveBroker

TAG, OTHER_TAG = "t5kq2m7wx3c9pd8hj4", "t9zq4m7wx3c9pd8hj2"
SYMBOL = "INFY"
PATIENCE = 20
SPECS = {slug: registry.load(slug).spec for slug in registry.slugs()}
DEALING = [slug for slug in SPECS if "place" in SPECS[slug].capabilities.features]
TYPES = {slug: SPECS[slug].capabilities.order_types for slug in SPECS}
STANDING = (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING)  # some brokers have one word for both
# What stands between us and the broker's word, and what it is at the broker: taken, or never seen.
LEAVE_OPEN = ("server_error", "html_gateway", "maintenance", "drop_connection", "malformed_body")


def offering(feature: str) -> list[str]:
    return [slug for slug in DEALING if feature in SPECS[slug].capabilities.features]


class Account:
    """One account at one simulated broker, dealing in one share."""

    def __init__(self, live: LiveBroker) -> None:
        self.live = live
        self.session: Session = live.log_in()
        self.client: BrokerClient = live.client(self.session)
        held = next(line for line in self.client.holdings().items if line.tradingsymbol == SYMBOL)
        self.listed = load_instruments()[f"{held.exchange}:{SYMBOL}"]
        self.traded = Traded(
            listing=listing_of(held), kind=InstrumentKind.EQUITY, exchange_token=self.listed.exchange_token
        )
        self.last = Decimal(live.control.market()["prices"][self.listed.key]["last"])
        self.tick = self.listed.tick(self.last)

    @property
    def names(self) -> set[tuple[Exchange, str]]:
        """What an order's row may call it: one broker's books know the exchange's number alone."""
        return {(self.traded.exchange, SYMBOL), (self.traded.exchange, self.listed.exchange_token)}

    def order(self, *, ticks: int = -20, **changed: Any) -> OrderRequest:
        """Buy three, so many ticks from the last price: far below it the order stands."""
        asked: dict[str, Any] = {
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "product": Product.CNC,
            "validity": Validity.DAY,
            "quantity": Decimal(3),
            "price": self.last + ticks * self.tick,
            "tag": TAG,
        }
        return OrderRequest(traded=self.traded, **asked | changed)

    def found(self, tag: str = TAG) -> BrokerOrder:
        """The one order that carries the tag."""
        [order] = self.client.find(tag)
        return order

    def trades(self, order: BrokerOrder) -> list[BrokerTrade]:
        return [trade for trade in self.client.trades().items if trade.broker_order_id == order.broker_order_id]

    def available(self) -> Decimal:
        """To the paisa: some wires carry binary noise."""
        available = self.client.funds().available
        assert available is not None
        return available.quantize(Decimal("0.01"))

    def at_exchange(self, tag: str = TAG) -> list[str]:
        """The numbers of the orders with this tag that the desk really has, told or not."""
        desk: dict[str, Any] = self.live.control.exchange()["desks"][self.live.slug]
        return list(desk["by_tag"].get(tag, []))

    def move_to(self, price: Decimal) -> None:
        exchange, _, symbol = self.listed.key.partition(":")
        self.live.control.set_price(exchange, str(price), symbol=symbol)


def as_standing(order: BrokerOrder, request: OrderRequest) -> StandingOrder:
    return StandingOrder(broker_order_id=order.broker_order_id, request=request, filled_quantity=order.filled_quantity)


@pytest.fixture
def account(live: LiveBroker) -> Account:
    return Account(live)


@pytest.mark.parametrize("slug", SPECS)
def test_what_a_broker_does_not_offer_is_never_asked_for(live: LiveBroker, slug: str) -> None:
    account = Account(live)
    request = account.order()
    standing = StandingOrder(broker_order_id="1", request=request)
    verbs: dict[str, Callable[[], object]] = {
        "place": lambda: account.client.place(request),
        "modify": lambda: account.client.modify(standing, unchanged(request)),
        "cancel": lambda: account.client.cancel(standing),
        "order_margin": lambda: account.client.margin(request),
        "gtt": account.client.gtts,
    }
    live.control.reset_counters()
    for feature in verbs.keys() - set(SPECS[slug].capabilities.features):
        with pytest.raises(NotSupported):
            verbs[feature]()
    assert live.control.counters(slug) == {}


def unchanged(request: OrderRequest) -> OrderChange:
    return OrderChange(
        order_type=request.order_type, validity=request.validity, quantity=request.quantity, price=request.price
    )


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_stands_in_the_book_with_our_tag(account: Account) -> None:
    before, request = account.available(), account.order()
    order_id = account.client.place(request)
    order = account.found()
    assert order.broker_order_id == order_id
    assert (order.exchange, order.tradingsymbol) in account.names
    assert (order.side, order.order_type, order.product) == (Side.BUY, OrderType.LIMIT, Product.CNC)
    assert (order.validity, order.status, order.tag) == (Validity.DAY, OrderStatus.OPEN, TAG)
    assert (order.quantity, order.filled_quantity, order.price) == (3, 0, request.price)
    assert request.price is not None
    assert before - account.available() == 3 * request.price  # delivery is paid in full


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_is_changed_where_it_stands(account: Account) -> None:
    request = account.order()
    account.client.place(request)
    price = account.last - 30 * account.tick
    change = OrderChange(order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal(2), price=price)
    order_id = account.client.modify(as_standing(account.found(), request), change)
    order = account.found()
    assert (order.broker_order_id, order.quantity, order.price) == (order_id, 2, price)
    assert order.status is OrderStatus.OPEN


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_is_cancelled_once(account: Account) -> None:
    before, request = account.available(), account.order()
    account.client.place(request)
    standing = as_standing(account.found(), request)
    account.client.cancel(standing)
    assert account.found().status is OrderStatus.CANCELLED
    assert account.available() == before
    with pytest.raises(RequestRefused):
        account.client.cancel(standing)


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_that_nobody_placed_is_not_cancelled(account: Account) -> None:
    account.client.place(account.order())
    known = account.found()
    number = str(int(known.broker_order_id[-6:]) + 1).zfill(6)
    unknown = replace(known, broker_order_id=known.broker_order_id[:-6] + number)
    with pytest.raises(RequestRefused):
        account.client.cancel(as_standing(unknown, account.order()))
    assert account.found().status is OrderStatus.OPEN


@pytest.mark.parametrize("slug", DEALING)
def test_want_of_money_rejects_an_order_in_the_broker_s_words(account: Account) -> None:
    before = account.available()
    with suppress(RequestRefused):  # some say it at once, others once the order is in their book
        account.client.place(account.order(quantity=Decimal(50_000)))
    orders = account.client.find(TAG)
    assert {order.status for order in orders} <= {OrderStatus.REJECTED}
    assert all(order.status_message for order in orders)
    assert [order.broker_order_id for order in orders] == account.at_exchange()
    assert account.available() == before


@pytest.mark.parametrize("slug", DEALING)
def test_a_price_off_the_tick_is_refused_and_nothing_is_placed(account: Account) -> None:
    with pytest.raises(RequestRefused) as caught:
        account.client.place(account.order(price=account.last - account.tick / 2))
    assert caught.value.reason
    assert account.client.find(TAG) == ()


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_is_filled_in_part_and_its_trades_add_up(account: Account) -> None:
    account.live.control.set_depth(1)
    account.client.place(account.order(ticks=0))
    order = account.found()
    assert order.status is OrderStatus.PARTIALLY_FILLED
    assert 0 < order.filled_quantity < order.quantity == 3
    trades = account.trades(order)
    assert sum(trade.quantity for trade in trades) == order.filled_quantity
    assert {(trade.side, trade.product) for trade in trades} == {(Side.BUY, Product.CNC)}
    assert {(trade.exchange, trade.tradingsymbol) for trade in trades} <= account.names
    assert order.average_price is not None
    assert sum(trade.quantity * trade.price for trade in trades) == order.filled_quantity * order.average_price


@pytest.mark.parametrize("slug", DEALING)
def test_a_fill_is_a_position_and_money_spent(account: Account) -> None:
    before = account.available()
    account.client.place(account.order(ticks=20))
    order = account.found()
    assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, 3)
    spent = sum(trade.quantity * trade.price for trade in account.trades(order))
    assert before - account.available() == spent
    [position] = [
        row
        for row in account.client.positions().items
        if row.tradingsymbol == SYMBOL and row.product is Product.CNC and row.day_buy_quantity
    ]
    assert (position.day_buy_quantity, position.day_buy_value) == (3, spent)


@pytest.mark.parametrize("slug", [slug for slug in DEALING if OrderType.MARKET in TYPES[slug]])
def test_a_market_order_is_bounded_and_filled(account: Account) -> None:
    """By the broker itself; one that has no bounds of its own takes none without ours."""
    request = account.order(order_type=OrderType.MARKET, price=None)
    try:
        account.client.place(request)
    except NotSupported as error:
        if error.code != "unprotected_order":
            raise
        account.client.place(replace(request, protection_pct=Decimal(1)))
    order = account.found()
    assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, 3)


@pytest.mark.parametrize("slug", DEALING)
def test_an_ioc_order_leaves_nothing_behind(account: Account) -> None:
    account.live.control.set_depth(1)
    with suppress(NotSupported):  # not every broker documents it
        account.client.place(account.order(ticks=0, validity=Validity.IOC))
    orders = account.client.find(TAG)
    assert [order.broker_order_id for order in orders] == account.at_exchange()
    for order in orders:
        assert (order.status, order.validity) == (OrderStatus.CANCELLED, Validity.IOC)
        assert 0 < order.filled_quantity < 3
        assert sum(trade.quantity for trade in account.trades(order)) == order.filled_quantity


@pytest.mark.parametrize("slug", [slug for slug in DEALING if OrderType.SL in TYPES[slug]])
def test_a_stop_loss_order_waits_for_its_trigger(account: Account) -> None:
    trigger, price = account.last + 10 * account.tick, account.last + 20 * account.tick
    account.client.place(account.order(order_type=OrderType.SL, price=price, trigger_price=trigger))
    order = account.found()
    assert order.status in STANDING
    assert (order.order_type, order.price, order.trigger_price) == (OrderType.SL, price, trigger)
    account.move_to(trigger)
    assert account.found().status is OrderStatus.FILLED


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_whose_reply_was_lost_is_found_by_its_tag(account: Account) -> None:
    account.live.control.set_fault(account.live.slug, "lost_reply", count=1)
    with pytest.raises(OutcomeUnknown):
        account.client.place(account.order())
    assert [account.found().broker_order_id] == account.at_exchange()


@pytest.mark.parametrize("slug", DEALING)
def test_an_order_that_got_lost_on_the_way_is_nowhere(account: Account) -> None:
    account.live.control.set_fault(account.live.slug, "lost_request", count=1)
    with pytest.raises(OutcomeUnknown):
        account.client.place(account.order())
    assert account.client.find(TAG) == ()
    assert account.at_exchange() == []


@pytest.mark.parametrize("kind", LEAVE_OPEN)
@pytest.mark.parametrize("slug", DEALING)
def test_no_outage_makes_two_orders_of_one(account: Account, kind: str) -> None:
    account.live.control.set_fault(account.live.slug, kind, count=1)
    with pytest.raises(OutcomeUnknown):
        account.client.place(account.order())
    found = [order.broker_order_id for order in account.client.find(TAG)]
    assert found == account.at_exchange()
    assert len(found) == (1 if kind == "malformed_body" else 0)


@pytest.mark.parametrize("slug", DEALING)
def test_too_many_calls_place_nothing(account: Account) -> None:
    account.live.control.set_fault(account.live.slug, "rate_limit", count=1)
    with pytest.raises(RateLimited):
        account.client.place(account.order())
    assert account.at_exchange() == []


@pytest.mark.parametrize("slug", DEALING)
def test_a_dead_session_places_nothing(account: Account) -> None:
    account.live.control.revoke(account.live.slug)
    with pytest.raises(SessionEnded):
        account.client.place(account.order())
    assert account.at_exchange() == []


@pytest.mark.parametrize("slug", DEALING)
def test_an_address_that_is_not_registered_places_nothing(account: Account) -> None:
    account.live.control.set_fault(account.live.slug, "unregistered_address", count=1)
    with pytest.raises(BrokerError) as caught:
        account.client.place(account.order())
    assert not isinstance(caught.value, OutcomeUnknown)
    assert account.at_exchange() == []


@pytest.mark.parametrize("slug", DEALING)
def test_a_later_word_of_the_risk_system_stands_in_the_book(account: Account) -> None:
    account.live.control.set_fault(account.live.slug, "reject_orders", count=1)
    with suppress(RequestRefused):
        account.client.place(account.order())
    account.client.place(account.order(tag=OTHER_TAG))
    assert {order.status for order in account.client.find(TAG)} <= {OrderStatus.REJECTED}
    assert account.found(OTHER_TAG).status is OrderStatus.OPEN


@pytest.mark.parametrize("slug", DEALING)
def test_orders_of_two_brokers_meet_at_one_exchange(account: Account) -> None:
    """With the market maker away, a sale at the same price is the only other side."""
    account.live.control.set_depth(0)
    account.client.place(account.order(ticks=0, quantity=Decimal(1)))
    assert account.found().status is OrderStatus.OPEN
    account.client.place(account.order(ticks=0, quantity=Decimal(1), side=Side.SELL, tag=OTHER_TAG))
    assert {account.found(tag).status for tag in (TAG, OTHER_TAG)} == {OrderStatus.FILLED}


@pytest.mark.parametrize("slug", offering("order_margin"))
def test_the_broker_says_what_an_order_needs(account: Account) -> None:
    request = account.order()
    assert request.price is not None
    assert account.client.margin(request).required == 3 * request.price
    assert account.at_exchange() == []


@pytest.mark.parametrize("slug", offering("gtt"))
def test_an_order_waits_at_the_broker_for_its_price(account: Account) -> None:
    trigger, price = account.last - 20 * account.tick, account.last - 21 * account.tick
    leg = GttLeg(trigger_price=trigger, price=price, quantity=Decimal(1))
    gtt_id = account.client.place_gtt(
        GttRequest(
            traded=account.traded,
            kind=GttKind.SINGLE,
            side=Side.BUY,
            product=Product.CNC,
            legs=(leg,),
            tag=TAG,
            last_price=account.last,
        )
    )
    waiting = one_gtt(account, gtt_id)
    assert (waiting.kind, waiting.side, waiting.product) == (GttKind.SINGLE, Side.BUY, Product.CNC)
    assert (waiting.tradingsymbol, waiting.legs, waiting.status) == (SYMBOL, (leg,), GttStatus.ACTIVE)
    account.client.cancel_gtt(waiting)
    assert one_gtt(account, gtt_id).status is GttStatus.CANCELLED


def one_gtt(account: Account, gtt_id: str) -> BrokerGtt:
    rows = account.client.gtts()
    assert rows.problems == ()
    [found] = [gtt for gtt in rows.items if gtt.broker_gtt_id == gtt_id]
    return found


def order_stream(slug: str) -> type[BrokerStream]:
    """The stream that tells of orders: one of its own, or that of the prices."""
    broker = registry.load(slug)
    kind = broker.order_stream or broker.price_stream
    assert kind is not None, "it deals, and tells of nothing"
    return kind


@pytest.mark.parametrize("slug", DEALING)
def test_the_stream_tells_what_becomes_of_an_order(account: Account, slug: str) -> None:
    stream = order_stream(slug)(account.live.app, account.session)
    opening = stream.opening(account.live.transport(), account.live.entry["stream_url"])
    with asyncio.Runner() as loop:
        socket = loop.run(opened(opening, stream))
        try:
            loop.run(greet(socket, stream))
            order_id = account.client.place(account.order(ticks=20))
            assert loop.run(asyncio.wait_for(hears_of(socket, stream, order_id), PATIENCE))
        finally:
            loop.run(socket.close())
    assert account.found().status is OrderStatus.FILLED


async def greet(socket: Socket, stream: BrokerStream) -> None:
    """Say what is said first, and be sure that it was heard: a pong comes after all that came before its ping."""
    for frame in stream.hello():
        await socket.send(frame)
    pong = await socket.ping()
    if isawaitable(pong):
        await pong


async def hears_of(socket: Socket, stream: BrokerStream, order_id: str) -> bool:
    """Listen until it is told that the order is filled, or that the book is to be read."""
    while True:
        for event in stream.received(await socket.recv()):
            if event == BookChanged():
                return True
            if isinstance(event, OrderUpdate) and event.status is OrderStatus.FILLED:
                return event.broker_order_id == order_id
        for answer in stream.answers():
            await socket.send(answer)
