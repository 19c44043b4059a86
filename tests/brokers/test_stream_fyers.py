"""Fyers' sockets: the published frames decode to the published values."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.errors import SessionEnded
from brokers.fyers.stream import FyersOrderStream, FyersPriceStream
from brokers.secret import Secret
from brokers.simulation.web_token import signed_token
from brokers.streaming import Alive, BookChanged, Event, OrderUpdate, Refused, SessionOver, Unreadable

PLACE = Path(__file__).parents[1] / "fixtures" / "fyers" / "stream"
SBIN = Streamed(Exchange.NSE, "3045", isin="INE062A01020")
NIFTY = Streamed(Exchange.NSE, "26000", index_name="Nifty 50")
AT = datetime.fromtimestamp(1690953622, UTC)


def recorded(name: str) -> Any:
    return json.loads((PLACE / f"{name}.json").read_text(), parse_float=Decimal)


FRAMES = recorded("ws_hsm_frames")
DECODED = FRAMES["decoded"]


def client(name: str) -> bytes:
    return bytes.fromhex(FRAMES["client"][name])


def server(name: str) -> bytes:
    return bytes.fromhex(FRAMES["server"][name])


SBIN_SNAPSHOT = server("feed: SBIN snapshot")
NIFTY_SNAPSHOT = server("feed: Nifty 50 snapshot")
DEPTH_SNAPSHOT = server("feed: SBIN depth snapshot")
SBIN_UPDATE = server("feed: SBIN update ltp 606.55, all else unchanged or absent")
SBIN_LITE = server("feed: SBIN lite ltp 606.60")
LIMIT_REACHED = server("custom message 51001")


def credentials() -> tuple[AppCredentials, Session]:
    token = signed_token(recorded("access_token_claims"), "not verified")
    return AppCredentials(api_key=Secret("APP-100"), api_secret=Secret("secret")), Session(access_token=Secret(token))


def stream(*wanted: Streamed) -> FyersPriceStream:
    made = FyersPriceStream(*credentials())
    made.subscribe(wanted)
    return made


def order_stream() -> FyersOrderStream:
    return FyersOrderStream(*credentials())


def one_tick(events: list[Event]) -> Tick:
    [tick] = events
    assert isinstance(tick, Tick)
    return tick


def levels(wire: dict[str, Any], side: str) -> tuple[Level, ...]:
    return tuple(
        Level(wire[f"{side}_price{step}"], Decimal(wire[f"{side}_size{step}"]), wire[f"{side}_order{step}"])
        for step in range(1, 6)
    )


def test_a_snapshot_of_a_share_decodes_to_the_published_values() -> None:
    wire = DECODED["SBIN snapshot"]
    assert one_tick(stream(SBIN).received(SBIN_SNAPSHOT)) == Tick(
        Exchange.NSE,
        "3045",
        wire["ltp"],
        close_price=wire["prev_close_price"],
        at=datetime.fromtimestamp(wire["exch_feed_time"], UTC),
        open_price=wire["open_price"],
        high_price=wire["high_price"],
        low_price=wire["low_price"],
        average_price=wire["avg_trade_price"],
        volume=Decimal(wire["vol_traded_today"]),
        last_quantity=Decimal(wire["last_traded_qty"]),
        traded_at=datetime.fromtimestamp(wire["last_traded_time"], UTC),
        buy_quantity=Decimal(wire["tot_buy_qty"]),
        sell_quantity=Decimal(wire["tot_sell_qty"]),
        bids=(Level(wire["bid_price"], Decimal(wire["bid_size"])),),
        asks=(Level(wire["ask_price"], Decimal(wire["ask_size"])),),
    )


def test_a_snapshot_of_an_index_comes_back_under_the_number_it_was_asked_by() -> None:
    assert one_tick(stream(NIFTY).received(NIFTY_SNAPSHOT)) == Tick(
        Exchange.NSE,
        "26000",
        Decimal("26188.10"),
        close_price=Decimal("26216.05"),
        at=datetime.fromtimestamp(1727428424, UTC),
        open_price=Decimal("26248.25"),
        high_price=Decimal("26277.35"),
        low_price=Decimal("26166.95"),
    )


def test_depth_stands_beside_the_last_price_that_its_share_told() -> None:
    live = stream(SBIN)
    assert live.received(DEPTH_SNAPSHOT) == []  # there is no price yet, and depth has none
    live.received(SBIN_SNAPSHOT)
    tick = one_tick(live.received(DEPTH_SNAPSHOT))
    wire = DECODED["SBIN depth"]
    assert (tick.exchange_token, tick.last_price) == ("3045", Decimal("606.40"))
    assert (tick.bids, tick.asks) == (levels(wire, "bid"), levels(wire, "ask"))


def test_an_update_changes_what_it_tells_and_leaves_the_rest() -> None:
    live = stream(SBIN)
    before = one_tick(live.received(SBIN_SNAPSHOT))
    after = one_tick(live.received(SBIN_UPDATE))
    assert after == before._replace(last_price=DECODED["after update ltp"])


def test_a_lite_record_tells_the_last_price_and_no_stale_values_beside_it() -> None:
    live = stream(SBIN)
    before = one_tick(live.received(SBIN_SNAPSHOT))
    after = one_tick(live.received(SBIN_LITE))
    assert after == Tick(Exchange.NSE, "3045", DECODED["after lite ltp"], before.close_price)
    again = one_tick(live.received(SBIN_UPDATE))
    assert (again.last_price, again.volume) == (DECODED["after update ltp"], before.volume)


@pytest.mark.parametrize("frame", [SBIN_UPDATE, SBIN_LITE])
def test_an_update_before_its_snapshot_is_named(frame: bytes) -> None:
    assert stream(SBIN).received(frame) == [Unreadable("an update before its snapshot")]


@pytest.mark.parametrize("name", ["auth ok, ack every 50 messages", "mode ok", "subscribe ok", "unsubscribe ok"])
def test_what_is_granted_is_a_sign_of_life(name: str) -> None:
    assert stream().received(server(name)) == [Alive()]


def refusal_of(kind: int) -> bytes:
    return bytes((0, 6, kind, 1, 1, 0, 1)) + b"E"


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (refusal_of(1), SessionOver("Fyers does not accept this session for prices.")),
        (refusal_of(4), Refused("Fyers refused a wish.", "11011")),
        (refusal_of(5), Refused("Fyers refused a wish.", "11012")),
        (refusal_of(12), Refused("Fyers refused a wish.", "12001")),
        (LIMIT_REACHED, Refused("Fyers streams no more symbols to this account.", "51001")),
        (bytes((0, 1, 13)), Alive()),
        (bytes((0, 1, 99)), Unreadable("a frame of an unknown kind")),
        (refusal_of(1)[:-1], Unreadable("an answer")),  # cut off: no reason to send anybody to the login
        (bytes((0, 2, 1, 0)), Unreadable("an answer")),
        (b"", Unreadable("a frame of an unknown kind")),
        (SBIN_SNAPSHOT[:8], Unreadable("a frame that is cut off")),
        ("text", Unreadable("a text")),
    ],
)
def test_answers(frame: bytes | str, event: Event) -> None:
    assert stream().received(frame) == [event]


def test_every_so_many_frames_are_acknowledged_by_the_number_of_the_last() -> None:
    live = stream(SBIN)
    live.received(server("auth ok, ack every 50 messages").replace(bytes((0, 0, 0, 50)), bytes((0, 0, 0, 2))))
    live.received(SBIN_SNAPSHOT)
    assert live.answers() == []
    live.received(SBIN_LITE[:3] + (7).to_bytes(4, "big") + SBIN_LITE[7:])
    assert live.answers() == [client("ack of message 7 (type 3)")]
    assert live.answers() == []


def test_wishes_are_the_published_bytes() -> None:
    live = stream()
    auth, mode = live.hello()
    assert isinstance(auth, bytes)
    source = client("auth (type 1)").index(b"PythonSDK") - 3
    assert auth[2:source] == client("auth (type 1)")[2:source]
    assert mode == client("full mode (type 12, byte 70)")
    assert live.beat() == client("ping")
    assert live.subscribe([SBIN, NIFTY]) == [client("subscribe SBIN and Nifty 50 (type 4, channel 11)")]
    assert live.unsubscribe([SBIN]) == [client("unsubscribe SBIN (type 5)")]


def test_wishes_keep_to_the_batch_and_leave_out_what_has_no_name() -> None:
    unknown = [
        Streamed(Exchange.NSE, "²"),
        Streamed(Exchange.NSE, "1", index_name="Ü"),
        Streamed(Exchange.NSE, "9" * 99),
    ]
    wanted = [*unknown, *(Streamed(Exchange.NFO, str(number)) for number in range(1501))]
    frames = stream().subscribe(wanted)
    assert [struct.unpack_from(">7xH", frame)[0] for frame in frames if isinstance(frame, bytes)] == [1500, 1]
    assert frames[1] == b"\x00\x1a\x04\x02\x01\x00\x11\x00\x01\x0esf|nse_fo|1500\x02\x00\x01\x0b"


def test_a_token_without_the_feeds_key_is_told_before_the_socket_opens() -> None:
    app, _ = credentials()
    live = FyersPriceStream(app, Session(access_token=Secret("opaque")))
    with pytest.raises(SessionEnded):
        live.opening(http=None, base_url="ws://127.0.0.1")  # type: ignore[arg-type]


def snapshot(topic_id: bytes, name: str, numbers: list[int], *, multiplier: int = 1, decimals: int = 2) -> bytes:
    """One record, with three empty texts."""
    named = bytes((len(name),)) + name.encode()
    told = struct.pack(f">B{len(numbers)}i", len(numbers), *numbers)
    return b"S" + topic_id + named + told + struct.pack(">xxHB", multiplier, decimals) + b"\0\0\0"


def lite(topic_id: bytes, number: int) -> bytes:
    return b"L" + topic_id + struct.pack(">i", number)


def fed(*records: bytes) -> bytes:
    return struct.pack(">HBIH", 0, 6, 1, len(records)) + b"".join(records)


def test_precision_and_multiplier_scale_a_price() -> None:
    tick = one_tick(
        stream(NIFTY).received(fed(snapshot(b"\0\1", "if|nse_cm|Nifty 50", [727550], multiplier=10, decimals=3)))
    )
    assert tick.last_price == Decimal("72.755")


@pytest.mark.parametrize("scale", [{"multiplier": 0}, {"decimals": 200}])
def test_a_scale_that_cannot_be_is_named(scale: dict[str, int]) -> None:
    frame = fed(snapshot(b"\0\1", "sf|nse_cm|3045", [1], **scale))
    assert stream(SBIN).received(frame) == [Unreadable("the scale of a snapshot")]


def test_a_price_of_nothing_is_no_tick_and_a_count_that_overflowed_is_unknown() -> None:
    live = stream(SBIN)
    assert live.received(fed(snapshot(b"\0\1", "sf|nse_cm|3045", [0, 5]))) == []
    tick = one_tick(live.received(fed(snapshot(b"\0\1", "sf|nse_cm|3045", [100, -5, 0, -1]))))
    assert (tick.last_price, tick.volume, tick.traded_at, tick.at) == (Decimal(1), None, None, None)


def test_a_topic_that_moves_takes_its_meaning_along() -> None:
    other = Streamed(Exchange.NSE, "1594")
    live = stream(SBIN, other)
    live.received(fed(snapshot(b"\0\1", "sf|nse_cm|3045", [100])))
    live.received(fed(snapshot(b"\0\2", "sf|nse_cm|3045", [200])))
    assert live.received(fed(lite(b"\0\1", 300))) == [Unreadable("an update before its snapshot")]
    live.received(fed(snapshot(b"\0\2", "sf|nse_cm|1594", [400])))
    assert one_tick(live.received(fed(lite(b"\0\2", 500)))).exchange_token == "1594"
    live.received(fed(snapshot(b"\0\2", "sf|nse_cm|1", [600])))  # of something that nobody asked for
    assert live.received(fed(lite(b"\0\2", 700))) == [Unreadable("an update before its snapshot")]


def test_nothing_is_remembered_of_what_was_unsubscribed() -> None:
    live = stream(SBIN)
    live.received(SBIN_SNAPSHOT)
    live.received(DEPTH_SNAPSHOT)
    live.unsubscribe([SBIN])
    assert live.received(SBIN_UPDATE) == [Unreadable("an update before its snapshot")]
    assert live.received(SBIN_SNAPSHOT) == []
    assert remembered(live) == 0


def remembered(live: FyersPriceStream) -> int:
    assert len(live._feed._topics) == len(live._feed._ids)
    return len(live._feed._topics)


@given(st.binary(max_size=400))
def test_no_frame_crashes_the_decoder(frame: bytes) -> None:
    assert len(stream(SBIN).received(frame)) <= len(frame) // 4 + 1


@given(st.integers(0, len(SBIN_SNAPSHOT) + len(SBIN_LITE)))
def test_a_frame_that_is_cut_off_yields_its_whole_records(kept: int) -> None:
    whole = fed(SBIN_SNAPSHOT[9:], SBIN_LITE[9:])
    found = stream(SBIN).received(whole[:9] + whole[9 : 9 + kept])
    assert [type(event) for event in found] in ([Unreadable], [Tick, Unreadable], [Tick, Tick])


NAMES = (
    "sf|nse_cm|3045",
    "dp|nse_cm|3045",
    "if|nse_cm|Nifty 50",
    "sf|nse_cm|1",
    "sf|bse_cm|3045",
    "xx|nse_cm|3045",
    "",
)
IDS = st.binary(min_size=2, max_size=2)
NUMBERS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40)
RECORDS = st.one_of(
    st.builds(
        snapshot,
        st.sampled_from([b"\0\1", b"\0\2", b"\1\0"]) | IDS,
        st.sampled_from(NAMES),
        NUMBERS,
        multiplier=st.integers(0, 2**16 - 1),
        decimals=st.integers(0, 255),
    ),
    st.builds(lite, st.sampled_from([b"\0\1", b"\0\2"]) | IDS, st.integers(-(2**31), 2**31 - 1)),
    st.builds(
        lambda topic_id, numbers: b"U" + topic_id + struct.pack(f">B{len(numbers)}i", len(numbers), *numbers),
        st.sampled_from([b"\0\1", b"\0\2"]) | IDS,
        NUMBERS,
    ),
)
STEPS = st.one_of(
    st.lists(RECORDS, max_size=5).map(lambda records: fed(*records)),
    st.binary(max_size=60),
    st.integers(0, 255).map(refusal_of),
    st.sampled_from(["subscribe", "unsubscribe"]),
)


@given(st.lists(STEPS, max_size=30))
def test_no_sequence_of_frames_crashes_it_or_makes_it_remember_without_bound(steps: list[bytes | str]) -> None:
    live = stream(SBIN)
    for step in steps:
        if step == "subscribe":
            live.subscribe([SBIN, NIFTY])
        elif step == "unsubscribe":
            live.unsubscribe([SBIN])
        else:
            assert all(tick.last_price > 0 for tick in live.received(step) if isinstance(tick, Tick))
        assert remembered(live) <= 3
        assert len(live.answers()) <= 1


def text_of(name: str) -> str:
    return (PLACE / f"{name}.json").read_text()


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (text_of("ws_order_raw"), OrderUpdate("23121800292158", OrderStatus.PENDING)),
        (text_of("ws_order_raw_filled"), OrderUpdate("23121800292158", OrderStatus.FILLED)),
        (
            '{"orders":{"id":"1","org_ord_status":6,"qty":5,"qty_filled":2}}',
            OrderUpdate("1", OrderStatus.PARTIALLY_FILLED),
        ),
        ('{"orders":{"id":"1","org_ord_status":90,"qty":5}}', OrderUpdate("1", OrderStatus.UNKNOWN)),
        (text_of("ws_trade_raw"), BookChanged()),
        (text_of("ws_position_raw"), BookChanged()),
        (json.dumps(recorded("ws_order_subscribe")["server"]), Alive()),
        (recorded("ws_order_subscribe")["heartbeat"]["server"], Alive()),
        (
            '{"s":"error","code":-16,"message":"Could not authenticate the user"}',
            SessionOver("Fyers does not accept this session."),
        ),
        ('{"s":"error","code":-50,"message":"Please provide valid inputs"}', Refused("Fyers refused a wish.", "-50")),
    ],
)
def test_texts(frame: str, event: Event) -> None:
    assert order_stream().received(frame) == [event]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        b"\xff",
        "\ud800",
        '{"orders":[]}',
        '{"orders":{}}',
        '{"orders":{"id":true}}',
        "[" * 20_000,
    ],
)
def test_a_text_that_is_none_of_these_is_named(frame: str | bytes) -> None:
    assert order_stream().received(frame) == [Unreadable("a text")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORDS = st.sampled_from(["s", "code", "message", "orders", "trades", "positions"])
FIELDS = st.sampled_from(["id", "org_ord_status", "qty", "qty_filled"])


@given(st.dictionaries(WORDS, VALUES | st.dictionaries(FIELDS, VALUES)) | VALUES)
def test_no_text_crashes_the_decoder(said: object) -> None:
    assert len(order_stream().received(json.dumps(said))) == 1


def test_a_number_too_long_for_anything_is_named() -> None:
    assert order_stream().received('{"code":-%s}' % ("9" * 10_000)) == [Unreadable("a text")]


def test_the_order_socket_is_asked_for_what_changes_a_book() -> None:
    live = order_stream()
    opening = live.opening(http=None, base_url="wss://socket.fyers.in")  # type: ignore[arg-type]
    assert opening.url.reveal() == "wss://socket.fyers.in/trade/v3"
    assert opening.headers["authorization"].reveal() == f"APP-100:{live.session.access_token.reveal()}"
    [hello] = live.hello()
    wanted = recorded("ws_order_subscribe")["client"]
    assert json.loads(hello) == {**wanted, "SLIST": wanted["SLIST"][:3]}
    assert live.beat() == recorded("ws_order_subscribe")["heartbeat"]["client"]
