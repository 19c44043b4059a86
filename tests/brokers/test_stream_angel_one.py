"""SmartStream's published packets decode to the published values, and so do the order socket's frames."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_socket

from accounts.models import User
from brokers import reach, registry
from brokers.angel_one.sandbox_stream import SmartStream
from brokers.angel_one.stream import AngelOneOrderStream, AngelOneStream, deep
from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.errors import SessionEnded
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import Alive, OrderUpdate, Refused, SessionOver, Unreadable
from tests.people import connect

PLACE = Path(__file__).parents[1] / "fixtures" / "angel_one" / "stream"
APP = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
SESSION = Session(access_token=Secret("token"), feed_token=Secret("feed"), account_id="A1")
SBIN = (Exchange.NSE, "3045")
NIFTY = Streamed(Exchange.NSE, "26000", index_name="Nifty 50")


def stream() -> AngelOneStream:
    return AngelOneStream(APP, SESSION)


def packet(name: str) -> bytes:
    return bytes.fromhex(fixture("ws_binary_packets")["hex"][name])


def fixture(name: str) -> Any:
    return json.loads((PLACE / f"{name}.json").read_text(), parse_float=Decimal)


DECODED = fixture("ws_binary_packets")["decoded"]
LTP, QUOTE, SNAP_QUOTE = (packet(name) for name in ("ltp (51 bytes)", "quote (123)", "snap quote (379)"))
DEPTH, CURRENCY = packet("depth 20 (443)"), packet("currency ltp (51)")


def rupees(name: str) -> Decimal:
    return Decimal(DECODED[name]) / 100


def only(frame: bytes) -> Tick:
    [tick] = stream().received(frame)
    assert isinstance(tick, Tick)
    return tick


def test_a_packet_in_mode_1_has_the_last_price() -> None:
    at = datetime.fromtimestamp(DECODED["exchange_timestamp_ms"] // 1000, UTC)
    assert only(LTP) == Tick(*SBIN, DECODED["ltp_rupees"], at=at)


def test_a_packet_in_mode_2_has_the_day() -> None:
    assert only(QUOTE) == only(LTP)._replace(
        close_price=rupees("close_previous_day"),
        open_price=rupees("open"),
        high_price=rupees("high"),
        low_price=rupees("low"),
        average_price=rupees("average_traded_price_paise"),
        volume=DECODED["volume"],
        last_quantity=DECODED["last_traded_quantity"],
        buy_quantity=DECODED["total_buy_quantity"],
        sell_quantity=DECODED["total_sell_quantity"],
    )


def test_a_packet_in_mode_3_has_bids_below_asks() -> None:
    """A public port of the SDK has them the wrong way round: there, the flag's name misleads."""
    tick = only(SNAP_QUOTE)
    assert tick._replace(bids=(), asks=()) == only(QUOTE)._replace(
        traded_at=datetime.fromtimestamp(DECODED["last_traded_timestamp_s"], UTC),
        open_interest=DECODED["open_interest"],
    )
    assert (tick.bids[0], tick.asks[0]) == (published("best_buy_1"), published("best_sell_1"))
    assert [len(tick.bids), len(tick.asks)] == [5, 5]
    assert is_a_book(tick.bids, tick.asks)


def published(name: str) -> Level:
    step = DECODED[name]
    return Level(Decimal(step["price"]) / 100, step["quantity"], step["orders"])


def is_a_book(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> bool:
    """From the lowest bid up to the highest ask."""
    prices = [level.price for level in (*reversed(bids), *asks)]
    return prices == sorted(set(prices))


def test_a_packet_in_mode_4_has_twenty_steps_and_no_price() -> None:
    assert stream().received(DEPTH) == [Alive()]
    bids, asks = deep(DEPTH)
    assert (bids[0], asks[0]) == (
        Level(rupees("ltp_paise"), Decimal(100), 1),
        Level(Decimal("606.45"), Decimal(100), 1),
    )
    assert [len(bids), len(asks), bids[19].orders, asks[19].quantity] == [20, 20, 20, 119]
    assert is_a_book(bids, asks)


def test_a_currency_has_a_divisor_of_its_own() -> None:
    assert only(CURRENCY)[:3] == (Exchange.CDS, "1187", DECODED["currency_ltp_rupees"])


def test_a_price_of_nothing_is_no_price() -> None:
    assert stream().received(LTP[:43] + bytes(8)) == [Alive()]
    empty = only(QUOTE[:91] + bytes(32))
    assert (empty.close_price, empty.open_price, empty.high_price, empty.low_price) == (None, None, None, None)


def test_an_index_comes_back_under_our_number() -> None:
    known = stream()
    [frame] = known.subscribe([NIFTY, Streamed(Exchange.NSE, "9", index_name="Nifty Nobody")])
    assert isinstance(frame, str)
    assert json.loads(frame)["params"]["tokenList"] == [{"exchangeType": 1, "tokens": ["99926000"]}]
    [tick] = known.received(LTP[:2] + b"99926000".ljust(25, b"\0") + LTP[27:])
    assert isinstance(tick, Tick)
    assert tick[:2] == (Exchange.NSE, "26000")


def test_wishes_are_worded_as_published() -> None:
    asked = fixture("ws_request_subscribe")
    wanted = [
        Streamed(Exchange.NSE, "10626"),
        Streamed(Exchange.MCX, "234230"),
        Streamed(Exchange.NSE, "5290"),
        Streamed(Exchange.BCD, "1"),
        *(Streamed(Exchange.MCX, token) for token in ("234235", "234219")),
    ]
    [frame], [other] = stream().subscribe(wanted), stream().unsubscribe(wanted)
    mode_2 = {**asked["params"], "mode": 2}
    assert json.loads(frame) == {"correlationID": "prices", "action": 1, "params": mode_2}
    assert json.loads(other)["action"] == 0


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ("pong", Alive()),
        (
            (PLACE / "ws_error_limit.json").read_text(),
            Refused("The broker streams no more instruments here.", "E1002"),
        ),
        ((PLACE / "ws_error_payload.json").read_text(), Refused("The broker refused a wish.", "E1001")),
        ("ping?", Unreadable("a text")),
        ('{"errorCode":1}', Unreadable("a text")),
        ("[" * 20_000, Unreadable("a text")),
    ],
)
def test_texts(frame: str, event: object) -> None:
    assert stream().received(frame) == [event]


@pytest.mark.parametrize(
    ("status", "header", "reason"),
    [
        (401, "Invalid Header - Invalid Auth token", "session"),
        (401, "Invalid Header - Invalid Feed Token", "session"),
        (401, "Invalid Header - Invalid API Key", "API key"),
        (403, "", None),
        (429, "", None),
        (503, "", None),
    ],
)
def test_a_refused_handshake_says_why(status: int, header: str, reason: str | None) -> None:
    over = AngelOneStream.refused(status, {"x-error-message": header})
    assert over is None if reason is None else isinstance(over, SessionOver) and reason in over.reason


def test_the_order_socket_refuses_an_expired_session_in_its_own_way() -> None:
    assert [AngelOneOrderStream.refused(status, {}) is None for status in (401, 403, 429)] == [False, False, True]


@pytest.mark.parametrize("kind", [AngelOneStream, AngelOneOrderStream])
def test_without_a_feed_token_there_is_no_connecting(kind: type[AngelOneStream]) -> None:
    bare = kind(APP, Session(access_token=Secret("token"), account_id="A1"))
    with pytest.raises(SessionEnded):
        bare.opening(http=None, base_url="ws://127.0.0.1")  # type: ignore[arg-type]


@given(st.binary(max_size=500), st.integers(1, 4), st.sampled_from([0, *range(1, 14)]))
def test_no_packet_crashes_the_decoder(noise: bytes, mode: int, exchange: int) -> None:
    """Any noise behind a start that is right."""
    [event] = stream().received(bytes([mode, exchange]) + b"3045".ljust(25, b"\0") + noise)
    assert isinstance(event, Tick | Alive | Unreadable)


@given(st.sampled_from([LTP, QUOTE, SNAP_QUOTE, DEPTH]), st.data())
def test_a_packet_that_is_cut_off_is_named(whole: bytes, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(whole) - 1))
    assert stream().received(whole[:kept]) == [Unreadable("a packet")]


class TestOrders:
    @pytest.fixture
    def orders(self) -> AngelOneOrderStream:
        return AngelOneOrderStream(APP, SESSION)

    def test_the_first_frame_has_no_order(self, orders: AngelOneOrderStream) -> None:
        assert orders.received((PLACE / "ws_order_connected.json").read_text()) == [Alive()]

    @pytest.mark.parametrize(
        ("name", "order_id", "status"),
        [
            ("ws_order_complete", "260302000000112", OrderStatus.FILLED),
            ("ws_order_rejected_published", "1111111", OrderStatus.REJECTED),  # it calls itself AB00, connected
        ],
    )
    def test_an_order_is_told_whole(
        self, orders: AngelOneOrderStream, name: str, order_id: str, status: OrderStatus
    ) -> None:
        [update] = orders.received((PLACE / f"{name}.json").read_text())
        assert isinstance(update, OrderUpdate)
        assert (update.broker_order_id, update.status) == (order_id, status)
        assert update.order is not None
        assert (update.order.quantity, update.order.price, update.order.status) == (1, 551, status)

    def test_an_order_that_cannot_be_read_whole_has_its_state(self, orders: AngelOneOrderStream) -> None:
        frame = fixture("ws_order_complete")
        frame["orderData"] |= {"producttype": "NEW", "averageprice": 1}
        assert orders.received(json.dumps(frame, default=str)) == [OrderUpdate("260302000000112", OrderStatus.FILLED)]

    @pytest.mark.parametrize("frame", ["", "[]", "{}", '{"orderData":1}', b"\xff", '{"orderData":' * 10_000])
    def test_what_is_no_order_is_named(self, orders: AngelOneOrderStream, frame: str) -> None:
        assert orders.received(frame) == [Unreadable("a frame of orders")]

    @given(st.sampled_from(sorted(fixture("ws_order_complete")["orderData"])), st.data())
    def test_no_order_crashes_the_decoder(self, field: str, data: st.DataObject) -> None:
        frame = fixture("ws_order_complete")
        frame["orderData"][field] = data.draw(
            st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just([]) | st.just({})
        )
        [event] = AngelOneOrderStream(APP, SESSION).received(json.dumps(frame, default=str))
        assert isinstance(event, OrderUpdate | Alive)


class TestSimulated:
    """What the contract of all streams does not ask: this broker's own words."""

    @pytest.fixture
    def session(self) -> SmartStream:
        market = Market(load_instruments())
        by_token = {(listing.exchange, listing.exchange_token): listing for listing in market.instruments}
        return SmartStream(market, by_token, lambda: datetime(2026, 3, 2, 3, 50, 1, tzinfo=UTC))

    @pytest.mark.parametrize("mode", [1, 2, 3, 4])
    @pytest.mark.parametrize(
        ("exchange", "key", "last"), [(1, "NSE:INFY", "1573.70"), (13, "CDS:USDINR26N13101.25PE", "10.8275")]
    )
    def test_packets_in_every_mode(self, session: SmartStream, mode: int, exchange: int, key: str, last: str) -> None:
        session.market.set_price(key, last=Decimal(last), close=Decimal(last) - 1)
        listing, price = session.market.instruments[key], session.market.price(key)
        assert price is not None
        refused = session.received(wish(mode, exchange, listing.exchange_token))
        if mode == 4 and exchange != 1:
            assert [stream().received(text) for text in refused] == [[Refused("The broker refused a wish.", "E1001")]]
            return
        [frame] = session.news()
        assert isinstance(frame, bytes)
        assert len(frame) == {1: 51, 2: 123, 3: 379, 4: 443}[mode]
        if mode == 4:
            bids, asks = deep(frame)
            assert (bids[0].price, len(bids), len(asks), is_a_book(bids, asks[1:])) == (price.last, 20, 20, True)
            return
        tick = only(frame)
        assert tick[:3] == (Exchange(listing.exchange), listing.exchange_token, price.last)
        assert tick.close_price == (price.close if mode > 1 else None)
        assert (len(tick.bids), len(tick.asks)) == ((5, 5) if mode == 3 else (0, 0))

    def test_a_token_counts_once_for_each_mode(self, session: SmartStream) -> None:
        tokens = [listing.exchange_token for listing in session.market.instruments if listing.exchange == "NSE"][:60]
        assert [session.received(wish(mode, 1, *tokens)) for mode in (1, 2, 3)] == [[], [], []]
        assert len(session.subscribed) == 180
        [refusal] = session.received(wish(4, 1, *tokens))
        assert stream().received(refusal) == [Refused("The broker streams no more instruments here.", "E1002")]
        [refusal] = session.received(wish(1, 1, *map(str, range(10**6, 10**6 + 1000))))
        assert "E1002" in str(refusal)

    def test_a_ping_is_answered(self, session: SmartStream) -> None:
        assert [stream().received(frame) for frame in session.received(stream().beat())] == [[Alive()]]

    @given(st.text(max_size=80) | st.binary(max_size=80) | st.just("[" * 20_000))
    def test_no_wish_crashes_it(self, frame: str | bytes) -> None:
        said = SmartStream(Market(load_instruments()), {}, lambda: datetime.now(UTC)).received(frame)
        assert len(said) == 1

    @pytest.mark.parametrize(
        ("header", "named"),
        [
            ("Authorization", "Auth token"),
            ("x-client-code", "Client Code"),
            ("x-api-key", "API Key"),
            ("x-feed-token", "Feed Token"),
        ],
    )
    def test_the_handshake_names_the_header_that_is_wrong(
        self, alice: User, brokers: SimulatedBrokers, header: str, named: str
    ) -> None:
        connection = connect(alice, "angel_one", brokers)
        assert connection.session is not None
        live = AngelOneStream(reach.app_credentials(alice, "angel_one"), connection.session)
        opening = live.opening(
            reach.transport_to(registry.load("angel_one"), account="test"), brokers.brokers["angel_one"]["stream_url"]
        )
        headers = {name: value.reveal() for name, value in opening.headers.items()} | {header: "wrong"}
        with pytest.raises(InvalidStatus) as refused, open_socket(opening.url.reveal(), additional_headers=headers):
            pytest.fail("it opened")
        response = refused.value.response
        assert response.headers["x-error-message"] == f"Invalid Header - Invalid {named}"
        assert live.refused(response.status_code, response.headers) is not None


def wish(mode: int, exchange: int, *tokens: str) -> str:
    listed = [{"exchangeType": exchange, "tokens": tokens}]
    return json.dumps({"correlationID": "c", "action": 1, "params": {"mode": mode, "tokenList": listed}})
