"""Upstox's published frames decode to the published values; each connection asks for an address of its own."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_socket

from accounts.models import User
from brokers import reach, registry
from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.errors import SessionEnded, UnexpectedResponse
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import Alive, BookChanged, OrderUpdate, Unreadable, exact
from brokers.transport import Transport
from brokers.upstox.feed import INITIAL_FEED, LIVE_FEED, FeedResponse
from brokers.upstox.sandbox_stream import MarketDataFeed
from brokers.upstox.stream import UpstoxOrderStream, UpstoxStream
from tests.people import connect

PLACE = Path(__file__).parents[1] / "fixtures" / "upstox" / "stream"
APP = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
SESSION = Session(access_token=Secret("token"))
INFY = Streamed(Exchange.NSE, "1594", isin="INE009A01021")
NIFTY = Streamed(Exchange.NSE, "26000", index_name="Nifty 50")
PUT = Streamed(Exchange.NFO, "51834")
WANTED = {"NSE_EQ|INE009A01021": INFY, "NSE_INDEX|Nifty 50": NIFTY, "NSE_FO|51834": PUT}
ENUMS = {"type": ("initial_feed", "live_feed", "market_info"), "requestMode": ("ltpc", "full_d5", "option_greeks")}
MARKET_STATUSES = ("PRE_OPEN_START", "PRE_OPEN_END", "NORMAL_OPEN", "NORMAL_CLOSE", "CLOSING_START", "CLOSING_END")
FRAMES = ("feed_v3_initial_full", "feed_v3_live_ltpc", "feed_v3_live_option_greeks", "feed_v3_market_info")


def stream() -> UpstoxStream:
    """With everything subscribed that the published frames tell of."""
    listening = UpstoxStream(APP, SESSION)
    listening.subscribe([*WANTED.values()])
    return listening


def frame(name: str) -> bytes:
    return b64decode((PLACE / f"{name}.base64").read_text())


def expected(name: str) -> Any:
    return json.loads((PLACE / f"{name}.expected.json").read_text(), parse_float=Decimal)


def named(message: Any) -> Any:
    """Our message as the official SDK prints it: enums by name, which travel as numbers here."""
    said = json.loads(json_format.MessageToJson(message), parse_float=Decimal)
    for holder in (said, *said.get("feeds", {}).values()):
        holder |= {name: words[holder[name]] for name, words in ENUMS.items() if name in holder}
    statuses = said.get("marketInfo", {}).get("segmentStatus", {})
    statuses |= {segment: MARKET_STATUSES[number] for segment, number in statuses.items()}
    return said


@pytest.mark.parametrize("name", FRAMES)
def test_published_frames_have_the_published_fields(name: str) -> None:
    assert named(FeedResponse.FromString(frame(name))) == expected(name)


@pytest.mark.parametrize("name", FRAMES[:3])
def test_published_frames_become_the_published_ticks(name: str) -> None:
    said = expected(name)
    ticks = {tick[:2]: tick for tick in stream().received(frame(name)) if isinstance(tick, Tick)}
    wanted = {WANTED[key]: feed for key, feed in said["feeds"].items()}
    assert ticks == {
        (each.exchange, each.exchange_token): told(each, feed, instant(said["currentTs"]))
        for each, feed in wanted.items()
    }


def told(wanted: Streamed, feed: dict[str, Any], at: datetime) -> Tick:
    """The tick that the published JSON form describes."""
    full = feed.get("fullFeed", {})
    body = full.get("marketFF") or full.get("indexFF") or feed.get("firstLevelWithGreeks") or feed
    ltpc = body["ltpc"]
    steps = body.get("marketLevel", {}).get("bidAskQuote", [body["firstDepth"]] if "firstDepth" in body else [])
    day = next(iter(body.get("marketOHLC", {}).get("ohlc", [])), {})
    is_market = "marketFF" in full
    return Tick(
        wanted.exchange,
        wanted.exchange_token,
        ltpc["ltp"],
        ltpc["cp"],
        at,
        *(day.get(name) for name in ("open", "high", "low")),
        average_price=body.get("atp"),
        volume=number(body.get("vtt")),
        last_quantity=number(ltpc.get("ltq")),
        traded_at=instant(ltpc["ltt"]),
        buy_quantity=body.get("tbq"),
        sell_quantity=body.get("tsq"),
        open_interest=body.get("oi", Decimal(0) if is_market else None),
        bids=tuple(Level(step["bidP"], Decimal(step["bidQ"])) for step in steps),
        asks=tuple(Level(step["askP"], Decimal(step["askQ"])) for step in steps),
    )


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def instant(milliseconds: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))


def test_the_first_frame_tells_that_the_market_is_open() -> None:
    assert stream().received(frame("feed_v3_market_info")) == [Alive()]


def test_fields_that_are_newer_than_the_schema_are_skipped() -> None:
    newer = b"\xf8\x07\x01" + b"\xfa\x07\x03abc"  # number 127, as a varint and as bytes
    said = frame("feed_v3_live_ltpc")
    assert stream().received(said + newer) == stream().received(said)


def test_what_is_not_wanted_any_more_is_passed_over() -> None:
    listening = stream()
    listening.unsubscribe([INFY])
    assert listening.received(frame("feed_v3_live_ltpc")) == [Alive()]


@pytest.mark.parametrize(
    ("wired", "price"),
    [
        (1573.7, "1573.7"),
        (303.59999999999997, "303.6"),
        (0.1 + 0.2, "0.3"),
        (85.4275, "85.4275"),
        (25012.35, "25012.35"),
        (-37.63, "-37.63"),
        (0.0, None),
        (-0.0, None),
        (0.00001, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
    ],
)
def test_a_double_becomes_the_price_that_was_meant(wired: float, price: str | None) -> None:
    assert exact(wired) == (None if price is None else Decimal(price))


@given(st.integers(1, 10**12), st.sampled_from([Decimal("0.01"), Decimal("0.05"), Decimal("0.0025")]))
def test_every_price_on_the_grid_survives_the_wire(steps: int, size: Decimal) -> None:
    price = steps * size
    assert price >= 10**11 or exact(float(price)) == price


def test_wishes_are_worded_as_published_in_a_binary_frame() -> None:
    bank = Streamed(Exchange.NSE, "26009", index_name="Nifty Bank")
    unknown = [Streamed(Exchange.NSE, "1594"), Streamed(Exchange.NFO, "1", index_name="Nifty 50")]
    [said] = UpstoxStream(APP, SESSION).subscribe([bank, *unknown, INFY])
    published = json.loads((PLACE / "feed_v3_subscribe.json").read_text())
    assert isinstance(said, bytes)
    assert json.loads(said) == {**published, "guid": "prices"}
    assert [UpstoxStream.can_stream(each) for each in (bank, *unknown, INFY, PUT)] == [True, False, False, True, True]


@given(st.sampled_from(FRAMES), st.integers(0, 600), st.binary(max_size=6))
def test_no_frame_crashes_the_decoder(name: str, place: int, noise: bytes) -> None:
    """Published frames, spoilt: cut into, or cut off."""
    whole = frame(name)
    for spoilt in (whole[:place] + noise + whole[place:], whole[:place] + noise, whole[:place]):
        found = stream().received(spoilt)
        assert all(isinstance(event, Tick | Alive | Unreadable) for event in found)
        assert len(found) <= max(1, len(spoilt) // 4)


def test_a_text_is_none_of_its_frames() -> None:
    assert stream().received("hello") == [Unreadable("a text")]


class TestOrders:
    @pytest.fixture
    def orders(self) -> UpstoxOrderStream:
        return UpstoxOrderStream(APP, SESSION)

    @pytest.mark.parametrize(
        ("name", "order_id", "status"),
        [
            ("webhook_order", "240221025997024", OrderStatus.PENDING),
            ("webhook_order_2023", "230822025708869", OrderStatus.CANCELLED),
        ],
    )
    def test_an_order_is_told_whole(
        self, orders: UpstoxOrderStream, name: str, order_id: str, status: OrderStatus
    ) -> None:
        [update] = orders.received((PLACE / f"{name}.json").read_text())
        assert isinstance(update, OrderUpdate)
        assert (update.broker_order_id, update.status) == (order_id, status)
        assert update.order is not None
        assert (update.order.quantity, update.order.average_price) == (1, None)

    @pytest.mark.parametrize("name", ["portfolio_stream_holding", "portfolio_stream_position", "webhook_gtt_order"])
    def test_other_frames_say_that_the_book_changed(self, orders: UpstoxOrderStream, name: str) -> None:
        assert orders.received((PLACE / f"{name}.json").read_text()) == [BookChanged()]

    @pytest.mark.parametrize("frame", ["", "[]", "{}", '{"order_id":"1"}', b"\xff", '{"a":' * 10_000])
    def test_what_is_no_order_is_named(self, orders: UpstoxOrderStream, frame: str) -> None:
        assert orders.received(frame) == [Unreadable("a frame of orders")]

    @given(st.data())
    def test_no_order_crashes_the_decoder(self, data: st.DataObject) -> None:
        said = json.loads((PLACE / "webhook_order.json").read_text())
        said[data.draw(st.sampled_from(sorted(said)))] = data.draw(
            st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just([]) | st.just({})
        )
        [event] = UpstoxOrderStream(APP, SESSION).received(json.dumps(said))
        assert isinstance(event, OrderUpdate | BookChanged | Unreadable)


class TestOneTimeAddresses:
    @pytest.fixture
    def live(self, alice: User, brokers: SimulatedBrokers) -> UpstoxStream:
        connection = connect(alice, "upstox", brokers)
        assert connection.session is not None
        return UpstoxStream(reach.app_credentials(alice, "upstox"), connection.session)

    @pytest.fixture
    def http(self, brokers: SimulatedBrokers) -> Transport:
        return reach.transport_to(registry.load("upstox"), account="test")

    def test_an_address_opens_once(self, live: UpstoxStream, http: Transport) -> None:
        first, second = (live.opening(http, "ws://127.0.0.1").url.reveal() for _ in range(2))
        assert first != second
        with open_socket(first) as socket:
            assert live.received(socket.recv(timeout=20)) == [Alive()]
        with pytest.raises(InvalidStatus) as refused, open_socket(first):
            pytest.fail("it opened twice")
        response = refused.value.response
        assert live.refused(response.status_code, response.headers) is None  # the next address may open
        with open_socket(second):
            assert "token" not in second

    def test_a_dead_session_is_told_by_the_call_before(
        self, live: UpstoxStream, http: Transport, brokers: SimulatedBrokers
    ) -> None:
        brokers.control.revoke("upstox")
        with pytest.raises(SessionEnded):
            live.opening(http, "ws://127.0.0.1")

    @pytest.mark.parametrize("answer", ['{"data":{"authorized_redirect_uri":"http://a"}}', '{"data":{}}', '{"data":1}'])
    def test_no_other_address_is_followed(
        self, live: UpstoxStream, http: Transport, brokers: SimulatedBrokers, answer: str
    ) -> None:
        brokers.control.serve("upstox", "GET /v3/feed/market-data-feed/authorize", answer)
        with pytest.raises(UnexpectedResponse):
            live.opening(http, "ws://127.0.0.1")

    def test_published_answers_are_understood(self, http: Transport, brokers: SimulatedBrokers, alice: User) -> None:
        connection = connect(alice, "upstox", brokers)
        assert connection.session is not None
        for kind, name in ((UpstoxStream, "market_data_v3"), (UpstoxOrderStream, "portfolio_stream")):
            answer = (PLACE / f"feed_{name}_authorize.json").read_text()
            brokers.control.serve("upstox", f"GET {kind.path}/authorize", answer)
            url = kind(APP, connection.session).opening(http, "wss://api.upstox.com").url.reveal()
            assert url == json.loads(answer)["data"]["authorized_redirect_uri"]


class TestSimulated:
    """What the contract of all streams does not ask: modes, and how wishes are taken."""

    @pytest.fixture
    def session(self) -> MarketDataFeed:
        market = Market(load_instruments())
        by_key = {f"NSE_EQ|{each.isin}": each for each in market.instruments if each.exchange == "NSE"}
        return MarketDataFeed(market, by_key, lambda: instant("1739160602000"))

    @pytest.mark.parametrize(("mode", "levels"), [("ltpc", 0), ("option_greeks", 1), ("full", 5)])
    def test_every_mode_is_read_alike(self, session: MarketDataFeed, mode: str, levels: int) -> None:
        price = session.market.price("NSE:INFY")
        assert price is not None
        assert session.received(wish(mode=mode)) == []
        [said] = session.news()
        assert isinstance(said, bytes)
        [tick] = stream().received(said)
        assert isinstance(tick, Tick)
        assert tick[:5] == (Exchange.NSE, "1594", price.last, price.close, instant("1739160602000"))
        assert (len(tick.bids), len(tick.asks)) == (levels, levels)
        assert tick.volume == (price.volume if levels else None)
        assert tick.open_price == (price.open if mode == "full" else None)

    def test_the_snapshot_comes_once_and_a_new_mode_is_told_at_once(self, session: MarketDataFeed) -> None:
        kinds = []
        for said in (wish(mode="full"), wish(method="change_mode", mode="ltpc"), wish(method="unsub")):
            session.received(said)
            kinds += [FeedResponse.FromString(frame).type for frame in session.news()]
        assert kinds == [INITIAL_FEED, LIVE_FEED]
        assert session.subscribed == {}

    @pytest.mark.parametrize(
        "said", ["{}", b"{}", b"[" * 20_000, json.dumps({"method": "sub", "data": {"instrumentKeys": [1]}}).encode()]
    )
    def test_what_it_does_not_understand_is_passed_over(self, session: MarketDataFeed, said: str | bytes) -> None:
        assert session.received(said) == session.news() == []


def wish(method: str = "sub", mode: str = "ltpc") -> bytes:
    data = {"mode": mode, "instrumentKeys": ["NSE_EQ|INE009A01021"]}
    return json.dumps({"guid": "g", "method": method, "data": data}).encode()
