"""XTS's simulated sockets, in what the contract of all streams does not ask: this broker's own words."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_socket

from accounts.models import User
from brokers import reach, registry
from brokers.domain import Exchange, Streamed
from brokers.iifl.sandbox_stream import MarketSocket
from brokers.iifl.stream import IiflOrderStream, IiflStream
from brokers.simulation.control import Control
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import Alive, Refused, SessionOver
from tests.contract.test_streams import PriceWire, moved, streamed
from tests.people import connect


class TestSimulated:
    @pytest.fixture
    def wire(self, alice: User, brokers: SimulatedBrokers) -> PriceWire:
        return PriceWire("iifl", IiflStream, alice, brokers)

    def test_a_new_socket_finds_the_session_s_subscriptions(self, wire: PriceWire, control: Control) -> None:
        """And is told the last price nevertheless."""
        infy = streamed("NSE:INFY")
        with wire.opened():
            wire.say(wire.stream.subscribe([infy]))
            wire.price_of(infy)
        price = moved(control, "NSE:INFY")
        with wire.opened():
            wire.say(wire.stream.subscribe([infy]))
            assert wire.price_of(infy).last_price == price
            price = moved(control, "NSE:INFY")
            assert wire.price_of(infy, price).last_price == price

    def test_it_greets_and_answers_pings(self, wire: PriceWire) -> None:
        with wire.opened():
            heard = wire.events()
            assert next(heard) == Alive()
            wire.say([wire.stream.beat() or ""])
            assert next(heard) == Alive()

    def test_another_login_takes_the_place_of_a_session(
        self, alice: User, brokers: SimulatedBrokers, control: Control
    ) -> None:
        broker = registry.load("iifl")
        connection = connect(alice, "iifl", brokers)
        assert connection.session is not None
        app, http = reach.app_credentials(alice, "iifl"), reach.transport_to(broker, account="test")
        live = IiflOrderStream(app, connection.session)
        with open_socket(live.opening(http, brokers.brokers["iifl"]["stream_url"]).url.reveal()) as socket:
            broker.auth(http, app).refresh(connection.session, now=datetime.now(UTC))
            moved(control, "NSE:INFY")
            heard = [event for _ in range(3) for event in live.received(socket.recv(timeout=20))]
        assert heard == [Alive(), SessionOver("Another login has taken this session's place.")]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("token", "wrong"), ("userID", "OTHER"), ("EIO", "4"), ("transport", "polling"), ("broadcastMode", "Partial")],
    )
    def test_the_handshake_reads_the_whole_address(self, wire: PriceWire, name: str, value: str) -> None:
        address = wire.stream.opening(wire._http, wire._address).url.reveal()
        known = parse_qs(urlsplit(address).query)[name][0]
        with (
            pytest.raises(InvalidStatus) as refused,
            open_socket(address.replace(f"{name}={known}", f"{name}={value}")),
        ):
            pytest.fail("it opened")
        assert refused.value.response.status_code == 400

    def test_more_than_a_session_may_have_is_refused(self, wire: PriceWire) -> None:
        listed = [each for each in load_instruments() if each.exchange in ("NSE", "BSE", "NFO")]
        known = [Streamed(Exchange(each.exchange), each.exchange_token) for each in listed]
        with wire.opened():
            wire.say(wire.stream.subscribe(known[:50]))
            wire.told.clear()
            wire.say(wire.stream.subscribe(known[50:51]))
            assert wire.told == [Refused("The broker streams no more instruments here.", "e-session-0004")]

    @given(st.text(max_size=80) | st.binary(max_size=80))
    def test_no_frame_crashes_it(self, frame: str | bytes) -> None:
        said = MarketSocket(Market(load_instruments()), "market t", {}, lambda *_: "").received(frame)
        assert said == ([f"3{frame[1:]}"] if isinstance(frame, str) and frame[:1] == "2" else [])
