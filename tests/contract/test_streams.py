"""Every broker that streams: our stream on one side, the simulated broker's socket on the other.

A new broker needs nothing here: it is in the lists as soon as its package names a stream.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from accounts.models import User
from brokers import reach, registry
from brokers.domain import AppCredentials, Exchange, Session, Streamed, Tick
from brokers.errors import SessionEnded
from brokers.secret import Secret
from brokers.simulation.control import Control
from brokers.simulation.instruments import load_instruments
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import (
    Alive,
    BookChanged,
    BrokerStream,
    OrderUpdate,
    PriceStream,
    Refused,
    SessionOver,
    Unreadable,
    Wish,
)
from market.mqtt import MqttClosed, MqttRefused
from market.sockets import Socket, opened
from tests.people import connect

PRICES = [slug for slug in registry.slugs() if registry.load(slug).price_stream]
ORDERS = [slug for slug in registry.slugs() if registry.load(slug).order_stream]
KINDS = [
    kind for broker in registry.brokers() for kind in (broker.price_stream, broker.order_stream) if kind is not None
]
SHARE, OTHER_SHARE = "NSE:INFY", "NSE:SBIN"
TRADED = (SHARE, "BSE:SBIN", "NFO:NIFTY26DEC27000CE")
CLOSED, TURNED_AWAY = (ConnectionClosed, MqttClosed), (InvalidStatus, MqttRefused)
EVENTS = (Tick, OrderUpdate, BookChanged, Alive, SessionOver, Refused, Unreadable)


def streamed(key: str) -> Streamed:
    listing = load_instruments()[key]
    return Streamed(Exchange(listing.exchange), listing.exchange_token, isin=listing.isin)


def moved(control: Control, key: str, **also: str) -> Decimal:
    """Move a price by a tick, and return it."""
    exchange, _, symbol = key.partition(":")
    price = Decimal(control.market()["prices"][key]["last"]) + Decimal("0.05")
    control.set_price(exchange, str(price), symbol=symbol, **also)
    return price


def share(number: int) -> Streamed:
    return Streamed(Exchange.NSE, str(number), isin=f"INE{number:06}01")


class Wire:
    """A stream, and a socket of its own where it opens one: as the runner does, a step at a time."""

    def __init__(self, slug: str, kind: type[BrokerStream], alice: User, brokers: SimulatedBrokers) -> None:
        connection = connect(alice, slug, brokers)
        assert connection.session is not None
        self.stream = kind(reach.app_credentials(alice, slug), connection.session)
        self._http = reach.transport_to(registry.load(slug), account="test")
        self._address = str(brokers.brokers[slug]["stream_url"])
        self.told: list[object] = []
        self._loop: asyncio.Runner
        self._socket: Socket

    @contextmanager
    def opened(self) -> Iterator[None]:
        opening = self.stream.opening(self._http, self._address)
        with asyncio.Runner() as self._loop:
            self._socket = self._loop.run(opened(opening, self.stream))
            try:
                self.say(self.stream.hello())
                yield
            finally:
                self._loop.run(self._socket.close())

    def say(self, wishes: Sequence[Wish]) -> None:
        """Send frames, make calls; what these tell comes before what the socket tells."""
        for wish in wishes:
            if isinstance(wish, (str, bytes)):
                self._loop.run(self._socket.send(wish))
            else:
                self.told += wish(self._http)

    def hear(self, timeout: float) -> str | bytes:
        return self._loop.run(asyncio.wait_for(self._socket.recv(), timeout))

    def events(self, timeout: float = 20) -> Iterator[object]:
        while True:
            while self.told:
                yield self.told.pop(0)
            yield from self.stream.received(self.hear(timeout))
            self.say(self.stream.answers())

    def price_of(self, wanted: Streamed, last: Decimal | None = None, *, timeout: float = 20) -> Tick:
        """The next tick of it, heartbeats and others passed over; with `last`, the next at that price."""
        return next(
            event
            for event in self.events(timeout)
            if isinstance(event, Tick)
            and event[:2] == (wanted.exchange, wanted.exchange_token)
            and last in (None, event.last_price)
        )

    def refusal(self) -> SessionOver | SessionEnded | None:
        """How it ends where nothing may be had: before a socket, at its handshake, or on it."""
        try:
            with self.opened():
                return next(event for event in self.events() if isinstance(event, SessionOver))
        except SessionEnded as error:
            return error
        except InvalidStatus as refused:
            return self.stream.refused(refused.response.status_code, refused.response.headers)
        except MqttRefused as refused:
            return self.stream.refused(refused.code, {})


class PriceWire(Wire):
    stream: PriceStream


@pytest.fixture
def wire(slug: str, alice: User, brokers: SimulatedBrokers) -> PriceWire:
    kind = registry.load(slug).price_stream
    assert kind is not None
    return PriceWire(slug, kind, alice, brokers)


@pytest.fixture
def order_wire(slug: str, alice: User, brokers: SimulatedBrokers) -> Wire:
    kind = registry.load(slug).order_stream
    assert kind is not None
    return Wire(slug, kind, alice, brokers)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", KINDS)
@given(frame=st.binary(max_size=600) | st.text(max_size=200) | JSON.map(json.dumps))
def test_no_frame_crashes_a_stream_or_grows_in_it(kind: type[BrokerStream], frame: str | bytes) -> None:
    app = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
    session = Session(access_token=Secret("token"), feed_token=Secret("feed"), account_id="A1")
    found = kind(app, session).received(frame)
    assert all(isinstance(event, EVENTS) for event in found)
    assert len(found) <= len(frame) + 1


@pytest.mark.parametrize("slug", PRICES)
class TestPrices:
    def test_ticks_follow_the_market(self, wire: PriceWire, control: Control) -> None:
        wanted = {key: streamed(key) for key in TRADED if wire.stream.can_stream(streamed(key))}
        assert SHARE in wanted
        with wire.opened():
            wire.say(wire.stream.subscribe(list(wanted.values())))
            for key, each in wanted.items():
                price = moved(control, key)
                assert wire.price_of(each, price).last_price == price

    def test_the_last_price_is_told_at_once(self, wire: PriceWire, control: Control) -> None:
        price = moved(control, SHARE, close_price="1490.20")
        with wire.opened():
            wire.say(wire.stream.subscribe([streamed(SHARE)]))
            tick = wire.price_of(streamed(SHARE))
        assert tick.last_price == price
        assert tick.close_price in (Decimal("1490.20"), None)  # one that is not told is unknown, and never another

    def test_what_is_not_wanted_any_more_is_silent(self, wire: PriceWire, control: Control) -> None:
        unwanted, wanted = streamed(SHARE), streamed(OTHER_SHARE)
        with wire.opened():
            wire.say(wire.stream.subscribe([unwanted, wanted]))
            wire.say(wire.stream.unsubscribe([unwanted]))
            wire.price_of(wanted, moved(control, OTHER_SHARE))  # what was under way has come
            moved(control, SHARE)
            moved(control, OTHER_SHARE)
            ticks = (event for event in wire.events() if isinstance(event, Tick))
            assert next(ticks).exchange_token == wanted.exchange_token

    def test_a_dead_session_gets_nothing(self, wire: PriceWire, slug: str, brokers: SimulatedBrokers) -> None:
        brokers.control.revoke(slug)
        assert wire.refusal() is not None

    def test_silence_and_outage_can_be_had(self, wire: PriceWire, slug: str, brokers: SimulatedBrokers) -> None:
        with wire.opened():
            wire.say(wire.stream.subscribe([streamed(SHARE)]))
            wire.price_of(streamed(SHARE))
            brokers.control.set_fault(slug, "stream_silent")
            price = moved(brokers.control, SHARE)
            with pytest.raises(TimeoutError):
                wire.price_of(streamed(SHARE), price, timeout=0.3)
            brokers.control.set_fault(slug, "stream_down")
            with pytest.raises(CLOSED):
                wire.hear(timeout=20)
        with pytest.raises(TURNED_AWAY), wire.opened():
            pytest.fail("it opened")

    def test_wishes_keep_to_the_batch(self, wire: PriceWire) -> None:
        limits = wire.stream.limits
        wanted = [share(number) for number in range(1, 2 * limits.batch + 2)]
        assert all(map(wire.stream.can_stream, wanted))
        assert 0 < limits.batch <= limits.instruments
        assert len(wire.stream.subscribe(wanted)) >= 3
        assert wire.stream.subscribe([]) == []


@pytest.mark.parametrize("slug", ORDERS)
class TestOrders:
    def test_opens_for_a_live_session(self, order_wire: Wire) -> None:
        """And nothing follows a greeting: no orders are simulated."""
        heard = []
        with order_wire.opened(), suppress(TimeoutError):
            for event in order_wire.events(timeout=0.3):
                heard.append(event)
        assert heard in ([], [Alive()])

    def test_a_dead_session_gets_nothing(self, order_wire: Wire, slug: str, brokers: SimulatedBrokers) -> None:
        brokers.control.revoke(slug)
        assert order_wire.refusal() is not None
