"""Fyers' simulated sockets on one side, the streams that read the real ones on the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from accounts.models import User
from brokers import reach
from brokers.domain import Exchange, Session, Streamed, Tick
from brokers.fyers.sandbox_stream import MarketSocket, OrderSocket
from brokers.fyers.stream import FyersOrderStream, FyersPriceStream
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import Alive, Event, Opening, Refused, SessionOver
from tests.people import connect
from tests.simulation.house import House

WELCOME = Path(__file__).parents[1] / "fixtures" / "fyers" / "stream" / "ws_order_subscribe.json"
AT = datetime.fromtimestamp(1690953622, UTC)


class TestSimulated:
    @pytest.fixture
    def session(self, alice: User, brokers: SimulatedBrokers) -> Session:
        connection = connect(alice, "fyers", brokers)
        assert connection.session is not None
        return connection.session

    @pytest.fixture
    def prices(self, alice: User, session: Session) -> FyersPriceStream:
        return FyersPriceStream(reach.app_credentials(alice, "fyers"), session)

    @pytest.fixture
    def orders(self, alice: User, session: Session) -> FyersOrderStream:
        return FyersOrderStream(reach.app_credentials(alice, "fyers"), session)

    @pytest.fixture
    def address(self, brokers: SimulatedBrokers) -> str:
        return str(brokers.brokers["fyers"]["stream_url"])

    def test_ticks_follow_the_market(self, prices: FyersPriceStream, address: str, brokers: SimulatedBrokers) -> None:
        infy = Streamed(Exchange.NSE, "1594")
        with opened(prices, address) as socket:
            for frame in prices.subscribe([infy, Streamed(Exchange.NSE, "999999")]):
                socket.send(frame)
            before = next_tick(prices, socket)
            brokers.control.set_price("NSE", str(before.last_price + 5), symbol="INFY")
            after = next_tick(prices, socket)
            brokers.control.set_price("NSE", str(before.last_price), symbol="INFY")
            assert next_tick(prices, socket).last_price == before.last_price
            for frame in prices.unsubscribe([infy]):
                socket.send(frame)
            assert next_event(prices, socket) == Alive()
        assert (before.exchange_token, after.last_price) == ("1594", before.last_price + 5)
        assert (after.close_price, after.volume) == (before.close_price, before.volume)
        assert before.at is not None

    @given(st.text(max_size=80) | st.binary(max_size=80) | st.just("[" * 20_000))
    def test_no_wish_crashes_it(self, frame: str | bytes) -> None:
        market = Market(load_instruments())
        socket = MarketSocket(market, {}, lambda key: True, lambda: AT)
        for kind in (b"\1", b"\4", b"\5", b"\x0c"):
            socket.received(frame)
            socket.received(b"\0\0" + kind + frame if isinstance(frame, bytes) else frame)
        assert socket.news() == []
        orders = OrderSocket(market, desk=House().desk("fyers"), told=lambda order: {})
        assert len(orders.received(frame)) == 1

    def test_one_symbol_too_many_is_refused(self, prices: FyersPriceStream, address: str) -> None:
        with opened(prices, address) as socket:
            for frame in prices.subscribe([Streamed(Exchange.NFO, str(number)) for number in range(5001)]):
                socket.send(frame)
            events = [next_event(prices, socket) for _ in range(6)]
        assert events[:5] == [Alive()] * 5  # the key, the mode, and three lists of 1500
        assert isinstance(events[5], Refused)
        assert events[5].code == "51001"

    def test_a_dead_key_is_told_by_a_frame(
        self, prices: FyersPriceStream, address: str, brokers: SimulatedBrokers
    ) -> None:
        brokers.control.revoke("fyers")
        with opened(prices, address) as socket:
            assert isinstance(next_event(prices, socket), SessionOver)

    def test_a_dead_token_is_refused_before_the_order_socket_opens(
        self, orders: FyersOrderStream, address: str, brokers: SimulatedBrokers
    ) -> None:
        brokers.control.revoke("fyers")
        with pytest.raises(InvalidStatus) as refused, opened(orders, address):
            pytest.fail("it opened")
        assert refused.value.response.status_code == 403
        assert orders.refused(403, refused.value.response.headers) is not None

    def test_the_order_socket_welcomes_and_answers(self, orders: FyersOrderStream, address: str) -> None:
        with opened(orders, address) as socket:
            assert json.loads(socket.recv(timeout=20)) == json.loads(WELCOME.read_text())["server"]
            socket.send(orders.beat())
            assert next_event(orders, socket) == Alive()

    def test_silence_and_outage_can_be_had(
        self, prices: FyersPriceStream, address: str, brokers: SimulatedBrokers
    ) -> None:
        with opened(prices, address) as socket:
            assert [next_event(prices, socket) for _ in range(2)] == [Alive()] * 2
            brokers.control.set_fault("fyers", "stream_silent")
            socket.send(prices.subscribe([Streamed(Exchange.NSE, "1594")])[0])
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.3)
            brokers.control.set_fault("fyers", "stream_down")
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=20)
        with pytest.raises(InvalidStatus), opened(prices, address):
            pytest.fail("it opened")


@contextmanager
def opened(live: FyersPriceStream | FyersOrderStream, address: str) -> Iterator[ClientConnection]:
    """Connected, and greeted."""
    opening: Opening = live.opening(http=None, base_url=address)  # type: ignore[arg-type]
    headers = {name: value.reveal() for name, value in opening.headers.items()}
    with open_socket(opening.url.reveal(), additional_headers=headers) as socket:
        for frame in live.hello():
            socket.send(frame)
        yield socket


def next_event(live: FyersPriceStream | FyersOrderStream, socket: ClientConnection) -> Event:
    [event] = live.received(socket.recv(timeout=20))
    return event


def next_tick(live: FyersPriceStream, socket: ClientConnection) -> Tick:
    """The next price, answers passed over."""
    return next(event for event in iter(lambda: next_event(live, socket), None) if isinstance(event, Tick))
