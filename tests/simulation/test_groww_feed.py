"""Groww's simulated feed: NATS's keys and signatures, who is let in, and how wishes are taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from accounts.models import User
from brokers import reach, registry
from brokers.domain import Exchange, Tick
from brokers.errors import RequestRefused, SessionEnded, UnexpectedResponse
from brokers.groww import nats, nkeys
from brokers.groww.sandbox_stream import LiveFeed, SocketTokens
from brokers.groww.stream import GrowwStream, deep, tick
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import Alive, Refused, SessionOver
from brokers.transport import Transport
from tests.brokers.test_stream_groww import NIFTY, SHARE, published, stream
from tests.people import connect


# --- keys -------------------------------------------------------------------------------------------------------------
def test_keys_are_written_as_nats_writes_them() -> None:
    """Against an example of the format; the official SDK, which brings NATS's own library, is run against the rest."""
    public = published("socket_token_create.request")["socketKey"]
    assert nkeys.encoded(nkeys.USER, nkeys.decoded(public)) == public


@pytest.mark.parametrize("place", range(0, 55, 6))
def test_a_key_with_a_wrong_letter_is_none(place: int) -> None:
    public = published("socket_token_create.request")["socketKey"]
    wrong = public[:place] + ("A" if public[place] != "A" else "B") + public[place + 1 :]
    with pytest.raises(ValueError, match="not a key"):
        nkeys.decoded(wrong)


@pytest.mark.parametrize("text", ["", "U", "a key", "ü" * 56, "U" * 55])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several libraries
        nkeys.decoded(text)


def test_a_signature_is_the_owner_s_and_of_that_text_alone() -> None:
    mine, other = nkeys.KeyPair(), nkeys.KeyPair()
    signature = mine.signature("nonce")
    assert nkeys.is_signed(mine.public, "nonce", signature)
    assert nkeys.is_signed(mine.public, "nonce", signature.rstrip("=").translate(str.maketrans("+/", "-_")))
    assert not nkeys.is_signed(other.public, "nonce", signature)
    assert not nkeys.is_signed(mine.public, "another", signature)
    assert not nkeys.is_signed(mine.public, "nonce", signature, nkeys.ACCOUNT)
    assert not nkeys.is_signed(mine.public, "nonce", "no base 64")


# --- the simulated socket ---------------------------------------------------------------------------------------------
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


class TestSimulated:
    """What the contract of all streams does not ask: who is let in, and how wishes are taken."""

    @pytest.fixture
    def tokens(self) -> SocketTokens:
        return SocketTokens(lambda: NOW)

    @pytest.fixture
    def socket(self, tokens: SocketTokens) -> LiveFeed:
        return LiveFeed(Market(load_instruments()), tokens, lambda user: "own", lambda: NOW)

    def admitted(self, socket: LiveFeed, tokens: SocketTokens) -> LiveFeed:
        assert said(socket, hello(socket, tokens, nkeys.KeyPair())) == b""
        return socket

    def test_a_signed_nonce_lets_in(self, socket: LiveFeed, tokens: SocketTokens) -> None:
        keys = nkeys.KeyPair()
        assert said(socket, hello(socket, tokens, keys, verbose=True) + b"PING\r\n") == b"+OK\r\nPONG\r\n"

    @pytest.mark.parametrize(
        "first",
        [
            b"PING\r\n",
            b"SUB /ld/eq/nse/price.1594 1\r\n",
            b"CONNECT {\r\n",
            b"CONNECT {}\r\n",
            b"CONNECT []\r\n",
            b'CONNECT {"jwt":1,"sig":2}\r\n',
        ],
    )
    def test_nothing_is_served_before(self, socket: LiveFeed, first: bytes) -> None:
        assert said(socket, first) == b"-ERR 'Authorization Violation'\r\n"
        assert socket.subscribed == {}

    def test_another_s_signature_or_token_lets_nobody_in(self, socket: LiveFeed, tokens: SocketTokens) -> None:
        mine, other = nkeys.KeyPair(), nkeys.KeyPair()
        stolen = hello(socket, tokens, mine, signer=other)
        foreign = hello(socket, SocketTokens(lambda: NOW), mine)  # minted by somebody else
        late = hello(socket, SocketTokens(lambda: datetime(2026, 11, 1, tzinfo=UTC)), mine)
        for each in (stolen, foreign, late):
            assert said(socket, each) == b"-ERR 'Authorization Violation'\r\n"

    def test_a_dead_session_s_token_lets_nobody_in(self, tokens: SocketTokens) -> None:
        dead = LiveFeed(Market(load_instruments()), tokens, lambda user: None, lambda: NOW)
        answer = said(dead, hello(dead, tokens, nkeys.KeyPair()))
        assert stream().received(answer) == [SessionOver("The broker does not accept this session.")]

    def test_other_subjects_and_too_many_are_refused(self, socket: LiveFeed, tokens: SocketTokens) -> None:
        self.admitted(socket, tokens)
        assert b"Permissions Violation" in said(socket, b"SUB stocks/order/updates.apex.other 1\r\n")
        assert said(socket, b"SUB stocks/order/updates.apex.own 1\r\n") == b""
        many = b"".join(b"SUB /ld/eq/nse/price.%d %d\r\n" % (number, number) for number in range(2, 1001))
        assert said(socket, many) == b""
        [refused] = stream().received(said(socket, b"SUB /ld/eq/nse/price.1594 1001\r\n"))
        assert refused == Refused("The broker streams no more instruments here.", "maximum subscriptions exceeded")

    def test_every_kind_of_message(self, socket: LiveFeed, tokens: SocketTokens) -> None:
        self.admitted(socket, tokens)
        kinds = (b"/ld/eq/nse/price.1594", b"/ld/eq/nse/price_detailed.1594", b"/ld/eq/nse/book.1594",
                 b"/ld/indices/nse/price.NIFTY")  # fmt: skip
        said(socket, b"".join(b"SUB %s  %d\r\n" % (kind, number) for number, kind in enumerate(kinds, 1)))
        [frame] = socket.news()
        told = [each for each in nats.Reader().read(bytes(frame)) if isinstance(each, nats.Message)]  # type: ignore[arg-type]
        assert [each.subject for each in told] == list(kinds)
        last = socket.market.price("NSE:INFY")
        assert last is not None
        plain, detailed = (tick(SHARE, each.payload) for each in told[:2])
        assert isinstance(plain, Tick)
        assert isinstance(detailed, Tick)
        assert plain == Tick(Exchange.NSE, "2885", last.last, at=NOW)
        assert (detailed.open_price, detailed.volume) == (last.open, last.volume)
        bids, asks = deep(told[2].payload)
        assert (len(bids), len(asks), bids[0].price < last.last < asks[0].price) == (5, 5, True)
        index = socket.market.price("NSE:NIFTY 50")
        assert index is not None
        assert tick(NIFTY, told[3].payload) == Tick(Exchange.NSE, "26000", index.last, at=NOW)
        said(socket, b"UNSUB 1\r\nUNSUB 2 5\r\nUNSUB\r\nUNSUB 99\r\n")
        assert list(socket.subscribed) == ["3", "4"]

    @given(st.lists(st.binary(max_size=200) | st.text(max_size=80), max_size=5))
    def test_no_frame_crashes_it(self, frames: list[str | bytes]) -> None:
        tokens = SocketTokens(lambda: NOW)
        socket = self.admitted(LiveFeed(Market(load_instruments()), tokens, lambda user: "own", lambda: NOW), tokens)
        for frame in frames:
            assert len(socket.received(frame)) <= 1


def hello(
    socket: LiveFeed, tokens: SocketTokens, keys: nkeys.KeyPair, *, signer: nkeys.KeyPair | None = None, **options: Any
) -> bytes:
    [greeting] = socket.opened()
    assert isinstance(greeting, bytes)
    nonce = json.loads(greeting.removeprefix(b"INFO "))["nonce"]
    said = {"verbose": False, "jwt": tokens.mint(keys.public), "sig": (signer or keys).signature(nonce), **options}
    return b"CONNECT " + json.dumps(said).encode() + b"\r\n"


def said(socket: LiveFeed, frame: bytes) -> bytes:
    return b"".join(bytes(each) for each in socket.received(frame) if not isinstance(each, str))


class TestSockets:
    """Over real HTTP and a real socket."""

    @pytest.fixture
    def live(self, alice: User, brokers: SimulatedBrokers) -> GrowwStream:
        connection = connect(alice, "groww", brokers)
        assert connection.session is not None
        return GrowwStream(reach.app_credentials(alice, "groww"), connection.session)

    @pytest.fixture
    def http(self, brokers: SimulatedBrokers) -> Transport:
        return reach.transport_to(registry.load("groww"), account="test")

    def greeted(self, live: GrowwStream, socket: ClientConnection) -> list[object]:
        """What it hears until it has been answered."""
        heard: list[object] = []
        while len(heard) < 2:  # the greeting, and the answer to the first ping
            heard += live.received(bytes(socket.recv(timeout=20)))  # type: ignore[arg-type]
            for said in live.answers():
                socket.send(said)
        return heard

    def test_it_is_let_in(self, live: GrowwStream, http: Transport, brokers: SimulatedBrokers) -> None:
        with open_socket(live.opening(http, brokers.brokers["groww"]["stream_url"]).url.reveal()) as socket:
            assert self.greeted(live, socket) == [Alive(), Alive()]

    def test_a_session_that_ends_after_the_token_was_asked_for_is_over(
        self, live: GrowwStream, http: Transport, brokers: SimulatedBrokers
    ) -> None:
        opening = live.opening(http, brokers.brokers["groww"]["stream_url"])
        brokers.control.revoke("groww")
        with open_socket(opening.url.reveal()) as socket:
            assert SessionOver("The broker does not accept this session.") in self.greeted(live, socket)
        with pytest.raises(SessionEnded):
            live.opening(http, "ws://127.0.0.1")

    def test_a_key_that_is_none_is_refused(self, http: Transport, live: GrowwStream) -> None:
        with pytest.raises(RequestRefused, match="GA001"):
            http.call(
                "POST",
                "/v1/api/apex/v1/socket/token/create/",
                authorization=Secret(f"Bearer {live.session.access_token.reveal()}"),
                json={"socketKey": "U123"},
            )

    @pytest.mark.parametrize("answer", ['{"token":"a.b.c"}', '{"subscriptionId":"x"}', "[]", '{"payload":1}'])
    def test_an_answer_without_a_token_is_named(
        self, live: GrowwStream, http: Transport, brokers: SimulatedBrokers, answer: str
    ) -> None:
        brokers.control.serve("groww", "POST /v1/api/apex/v1/socket/token/create/", answer)
        with pytest.raises(UnexpectedResponse):
            live.opening(http, "ws://127.0.0.1")
