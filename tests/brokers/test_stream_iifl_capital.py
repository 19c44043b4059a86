"""Packets of the bridge decode by the published offsets; orders and trades tell what they can."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, OrderType, Session, Streamed, Tick
from brokers.errors import SessionEnded
from brokers.iifl_capital.sandbox_stream import Bridge
from brokers.iifl_capital.stream import OTHERS, IiflCapitalStream
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.web_token import signed_token
from brokers.streaming import Alive, BookChanged, OrderUpdate, Refused, SessionOver, Unreadable

PLACE = Path(__file__).parents[1] / "fixtures" / "iifl_capital" / "stream"
APP = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
TOKEN = signed_token({"preferred_username": "31625881"}, "key")
SESSION = Session(access_token=Secret(TOKEN), account_id="A1")
FEED = "prod/marketfeed/mw/v1/"
ORDER, TRADE = "prod/updates/order/v1/31625881", "prod/updates/trade/v1/31625881"
SHARE, CURRENCY, SILENT = "nseeq/2885", "nsecurr/1187", "nseeq/2886"


def fixture(name: str) -> Any:
    return json.loads((PLACE / f"{name}.json").read_text())


PACKETS = fixture("packets")


def packet(name: str) -> bytes:
    return bytes.fromhex(PACKETS[name]["hex"])


def stream(session: Session = SESSION) -> IiflCapitalStream:
    return IiflCapitalStream(APP, session)


def told(topic: str, payload: bytes | Any) -> object:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    [event] = stream().received(topic.encode() + b"\0" + body)
    return event


def levels(rows: list[Any]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(quantity), orders) for price, quantity, orders in rows)


class TestPrices:
    def test_a_packet_has_the_day_and_five_steps(self) -> None:
        known = PACKETS["decoded"][SHARE]
        tick = told(FEED + SHARE, packet(SHARE))
        assert isinstance(tick, Tick)
        assert tick[:2] == (Exchange.NSE, "2885")
        numbers = {
            name: Decimal(value) for name, value in known.items() if isinstance(value, str) and name != "traded_at"
        }
        assert {name: getattr(tick, name) for name in numbers} == numbers
        assert tick.traded_at == datetime(2026, 3, 2, 5, 0, 1, tzinfo=UTC)
        assert (tick.bids, tick.asks) == (levels(known["bids"]), levels(known["asks"]))
        assert (tick.at, tick.open_interest) == (None, None)

    def test_a_packet_names_its_divisor(self) -> None:
        known = PACKETS["decoded"][CURRENCY]
        tick = told(FEED + CURRENCY, packet(CURRENCY))
        assert isinstance(tick, Tick)
        assert tick[:4] == (Exchange.CDS, "1187", Decimal(known["last_price"]), Decimal(known["close_price"]))
        assert (tick.bids, tick.asks) == (levels(known["bids"]), levels(known["asks"]))

    def test_what_is_not_traded_yet_has_no_price(self) -> None:
        assert told(FEED + SILENT, packet(SILENT)) == Alive()

    def test_a_zero_is_none(self) -> None:
        bare = packet(SHARE)[:12] + bytes(20) + packet(SHARE)[32:62] + bytes(126)
        tick = told(FEED + SHARE, bare)
        assert isinstance(tick, Tick)
        assert (tick.high_price, tick.low_price, tick.open_price, tick.close_price, tick.average_price) == (None,) * 5
        assert (tick.traded_at, tick.bids, tick.asks) == (None, (), ())

    @pytest.mark.parametrize("divisor", [0, -100])
    def test_without_a_divisor_there_is_no_price(self, divisor: int) -> None:
        body = packet(SHARE)[:58] + divisor.to_bytes(4, "little", signed=True) + packet(SHARE)[62:]
        assert told(FEED + SHARE, body) == Unreadable("a packet without a divisor")

    def test_an_index_has_a_topic_of_its_own(self) -> None:
        tick = told("prod/marketfeed/index/v1/bseeq/999907", packet(SHARE))
        assert isinstance(tick, Tick)
        assert tick[:3] == (Exchange.BSE, "999907", Decimal("2875.50"))

    @pytest.mark.parametrize(("topic", "size"), [(f"{kind}nsefo/100336", size) for kind, size in OTHERS.items()])
    def test_other_topics_do_no_harm(self, topic: str, size: int) -> None:
        assert told(topic, bytes(size)) == Alive()
        assert told(topic, bytes(size - 1)) == Unreadable("a packet")

    @pytest.mark.parametrize(
        ("topic", "event"),
        [
            (f"{FEED}ncdexcomm/1", Alive()),
            (f"{FEED}nseeq/", Unreadable("a topic of prices")),
            (f"{FEED}nseeq/2885/1", Unreadable("a topic of prices")),
            ("prod/marketfeed/mw/v2/nseeq/2885", Unreadable("a topic")),
            ("", Unreadable("a topic")),
        ],
    )
    def test_topics_that_are_not_ours(self, topic: str, event: object) -> None:
        assert told(topic, packet(SHARE)) == event

    def test_a_frame_without_a_topic_is_named(self) -> None:
        assert stream().received(b"\xff" * 300) == [Unreadable("a topic")]

    @given(st.binary(max_size=250), st.sampled_from([FEED, "prod/marketfeed/index/v1/", *OTHERS]))
    def test_no_packet_crashes_the_decoder(self, noise: bytes, kind: str) -> None:
        assert isinstance(told(f"{kind}nseeq/2885", noise), Tick | Alive | Unreadable)

    @given(st.integers(0, 187))
    def test_a_packet_that_is_cut_off_is_named(self, kept: int) -> None:
        assert told(FEED + SHARE, packet(SHARE)[:kept]) == Unreadable("a packet")


class TestOrders:
    def test_an_order_without_its_exchange_has_its_state(self) -> None:
        assert told(ORDER, fixture("order_update")) == OrderUpdate("240807000000068", OrderStatus.REJECTED)

    def test_with_one_it_is_told_whole(self) -> None:
        update = told(ORDER, fixture("order_update") | {"exchange": "NSEFO", "orderStatus": "Trigger_Pending"})
        assert isinstance(update, OrderUpdate)
        assert update.order is not None
        assert (update.status, update.order.status) == (OrderStatus.TRIGGER_PENDING,) * 2
        assert (update.order.exchange, update.order.order_type, update.order.quantity, update.order.price) == (
            Exchange.NFO,
            OrderType.MARKET,
            1,
            1500,
        )

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"orderStatus": "open", "quantity": "100", "filledQuantity": "40"}, OrderStatus.PARTIALLY_FILLED),
            ({"orderStatus": "complete"}, OrderStatus.FILLED),
            ({"orderStatus": "gone fishing"}, OrderStatus.UNKNOWN),
            ({"orderStatus": None}, OrderStatus.UNKNOWN),
            ({"filledQuantity": "many"}, OrderStatus.UNKNOWN),
        ],
    )
    def test_states(self, changed: dict[str, object], status: OrderStatus) -> None:
        assert told(ORDER, fixture("order_update") | changed) == OrderUpdate("240807000000068", status)

    def test_a_trade_changes_the_book(self) -> None:
        assert told(TRADE, fixture("trade_update")) == BookChanged()

    @pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"brokerOrderId":[]}', b"\xff", b'{"a":' * 10_000])
    def test_what_is_neither_is_named(self, payload: bytes) -> None:
        assert told(ORDER, payload) == Unreadable("an order")
        assert told(TRADE, payload) == Unreadable("a trade")

    @given(st.sampled_from(sorted(fixture("order_update"))), st.data())
    def test_no_order_crashes_the_decoder(self, field: str, data: st.DataObject) -> None:
        said = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just([]) | st.just({})
        event = told(ORDER, fixture("order_update") | {"exchange": "NSEEQ", field: data.draw(said)})
        assert isinstance(event, OrderUpdate | Unreadable)


class TestWishes:
    def test_the_accounts_own_topics_come_first(self) -> None:
        assert stream().hello() == [f"+{ORDER}\n{TRADE}"]

    def test_topics_are_named_by_exchange_and_number(self) -> None:
        wanted = [
            Streamed(Exchange.NSE, "2885"),
            Streamed(Exchange.BFO, "1113375"),
            Streamed(Exchange.NSE, "26000", index_name="Nifty 50"),
            Streamed(Exchange.NCO, "7"),
        ]
        topics = f"{FEED}nseeq/2885\n{FEED}bsefo/1113375\n{FEED}nsecomm/7"
        assert stream().subscribe(wanted) == [f"+{topics}"]
        assert stream().unsubscribe(wanted) == [f"-{topics}"]
        assert [stream().can_stream(each) for each in wanted] == [True, True, False, True]

    def test_a_refused_topic_is_told(self) -> None:
        assert stream().received(f"!{FEED}nseeq/2885") == [Refused("The broker refused a wish.")]
        assert stream().received("what") == [Unreadable("a text")]


class TestLogin:
    def opening(self, session: Session) -> Any:
        return stream(session).opening(None, "mqtts://bridge.example:8883")  # type: ignore[arg-type]

    def test_the_token_is_the_password(self) -> None:
        opening = self.opening(SESSION)
        assert opening.url.reveal() == "mqtts://bridge.example:8883"
        assert (opening.username.reveal(), opening.password.reveal()) == ("31625881", f"OPENID~~{TOKEN}~")
        assert TOKEN not in repr(opening)

    def test_a_token_that_names_nobody_is_the_logins(self) -> None:
        opening = self.opening(Session(access_token=Secret("opaque"), account_id="A1"))
        assert opening.username.reveal() == "A1"

    def test_without_either_there_is_no_connecting(self) -> None:
        with pytest.raises(SessionEnded):
            self.opening(Session(access_token=Secret("opaque")))

    @pytest.mark.parametrize(
        ("code", "is_over"), [(0, False), (1, False), (2, False), (3, False), (4, True), (5, True)]
    )
    def test_what_a_refused_connection_means(self, code: int, is_over: bool) -> None:
        over = stream().refused(code, {})
        assert isinstance(over, SessionOver) if is_over else over is None

    def test_the_published_answer_accepts(self) -> None:
        assert fixture("connack")["status"] == 0


class TestSimulated:
    """What the contract of all streams does not ask: this broker's own words."""

    @pytest.fixture
    def bridge(self) -> Bridge:
        market = Market(load_instruments())
        by_topic = {
            f"{FEED}nseeq/1594": market.instruments["NSE:INFY"],
            f"{FEED}nsecurr/1": market.instruments["CDS:USDINR26N13101.25PE"],
        }
        now = datetime(2026, 3, 2, 5, 0, 1, tzinfo=UTC)
        return Bridge(market, by_topic, "31625881", lambda: now, None, lambda order, *, is_filled: {})

    @pytest.mark.parametrize(
        ("topic", "key", "last"),
        [("nseeq/1594", "NSE:INFY", "1573.70"), ("nsecurr/1", "CDS:USDINR26N13101.25PE", "10.8275")],
    )
    def test_a_packet_reads_back(self, bridge: Bridge, topic: str, key: str, last: str) -> None:
        bridge.market.set_price(key, last=Decimal(last), close=Decimal(last) - 1)
        price = bridge.market.price(key)
        assert price is not None
        assert bridge.received(f"+{FEED}{topic}") == []
        [frame] = bridge.news()
        [tick] = stream().received(frame)
        assert isinstance(tick, Tick)
        assert len(frame) == len(FEED + topic) + 1 + 188
        assert (tick.last_price, tick.close_price, tick.volume) == (price.last, price.close, price.volume)
        assert tick.traded_at == datetime(2026, 3, 2, 5, 0, 1, tzinfo=UTC)
        steps = [level.price for level in (*reversed(tick.bids), *tick.asks)]
        assert len(steps) == 10
        assert steps == sorted(set(steps))

    @pytest.mark.parametrize("topic", ["#", f"{FEED}+/1594", "prod/updates/order/v1/4711", f"{FEED}nseeq/x", ""])
    def test_a_strangers_topic_is_refused(self, bridge: Bridge, topic: str) -> None:
        own = "prod/updates/order/v1/31625881"
        assert bridge.received(f"+{own}\n{topic}") == [f"!{topic}"]

    def test_more_than_its_limits_are_refused(self, bridge: Bridge) -> None:
        def wish(first: int, count: int) -> str:
            return "+" + "\n".join(f"{FEED}nseeq/{number}" for number in range(first, first + count))

        assert len(bridge.received(wish(1, 1025))) == 1
        answers = [bridge.received(wish(1 + 1000 * part, 1000)) for part in range(6)]
        assert answers == [[]] * 6
        assert bridge.received(wish(9001, 1)) == [f"!{FEED}nseeq/9001"]
        bridge.received("-" + wish(1, 1)[1:])
        assert bridge.received(wish(9001, 1)) == []
