"""Groww's published messages decode to the published values; NATS is framed and signed as its documentation says."""

from __future__ import annotations

import json
import struct
from base64 import b32decode, b64decode
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import (
    AppCredentials,
    BrokerOrder,
    Exchange,
    Level,
    OrderStatus,
    OrderType,
    Product,
    Session,
    Side,
    Streamed,
    Tick,
    Validity,
)
from brokers.errors import UnexpectedResponse
from brokers.groww import nats, nkeys
from brokers.groww.feed import PositionDetail
from brokers.groww.stream import GrowwStream, deep, moment, order_update, tick
from brokers.secret import Secret
from brokers.streaming import Alive, BookChanged, OrderUpdate, Refused, SessionOver, Unreadable

PLACE = Path(__file__).parents[1] / "fixtures" / "groww" / "stream"
APP = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
SESSION = Session(access_token=Secret("token"))
SHARE = Streamed(Exchange.NSE, "2885", isin="INE002A01018")
CONTRACT = Streamed(Exchange.NFO, "35241")
NIFTY = Streamed(Exchange.NSE, "26000", index_name="Nifty 50")
SENSEX = Streamed(Exchange.BSE, "1", index_name="SENSEX")
TOLD_AT = datetime(2025, 5, 2, 8, 27, 59, 582000, tzinfo=UTC)
PRICE, DEPTH, INDEX = 4, 5, 6  # fields of the message that wraps them
DETAIL, INFO, AT_NSE = 2, 2, 3
URL = "wss://socket-api.groww.in"

# The fields of an order by number, and the words of its numbers, as the documentation of the wire has them.
ORDER = {
    "qty": 1, "price": 2, "triggerPrice": 3, "filledQty": 4, "remainingQty": 5, "avgFillPrice": 6, "growwOrderId": 7,
    "exchangeOrderId": 8, "orderStatus": 9, "duration": 10, "exchange": 11, "segment": 12, "product": 13,
    "orderType": 14, "buySell": 15, "remark": 16, "contractId": 22,
}  # fmt: skip
WORDS = {
    "orderStatus": {"NEW": 0, "ACKED": 1, "TRIGGER_PENDING": 2, "APPROVED": 3, "REJECTED": 4, "FAILED": 5,
                    "EXECUTED": 6, "DELIVERY_AWAITED": 7, "CANCELLED": 8, "CANCELLATION_REQUESTED": 9,
                    "MODIFICATION_REQUESTED": 10, "COMPLETED": 11},
    "duration": {"IOC": 0, "DAY": 1},
    "exchange": {"BSE": 0, "NSE": 1},
    "segment": {"CASH": 0, "FNO": 1},
    "product": {"CNC": 0, "MIS": 1, "NRML": 4},
}  # fmt: skip


# --- a wire of our own, so that the decoder is not its own judge ------------------------------------------------------
def field(number: int, value: float | str | bytes) -> bytes:
    """One field of a protobuf message: a double, a whole number, a text or a message."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def varint(number: int) -> bytes:
    more, last = divmod(number, 128) if number >= 0 else divmod(number + (1 << 64), 128)
    return bytes([last | 128]) + varint(more) if more else bytes([last])


def price(**fields: float) -> bytes:
    numbers = {"tsInMillis": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6, "avgPrice": 10, "ltp": 13,
               "openInterest": 14}  # fmt: skip
    return field(PRICE, b"".join(field(numbers[name], value) for name, value in fields.items()))


def index(at: float, value: float) -> bytes:
    return field(INDEX, field(1, at) + field(2, value))


def order(**said: Any) -> bytes:
    rows = {name: WORDS[name][value] if name in WORDS else value for name, value in said.items()}
    whole = {name: int(value) if name in ("price", "avgFillPrice") else value for name, value in rows.items()}
    return field(DETAIL, b"".join(field(ORDER[name], value) for name, value in whole.items()))


def published(name: str) -> Any:
    return json.loads((PLACE / f"{name}.json").read_text())


def message(subject: bytes, payload: bytes, number: int = 1) -> bytes:
    return b"MSG %s %d %d\r\n%s\r\n" % (subject, number, len(payload), payload)


def stream(*wanted: Streamed) -> GrowwStream:
    listening = GrowwStream(APP, SESSION)
    listening.subscribe(wanted)
    return listening


class Answers:
    """A transport whose one call is answered so; it keeps what was asked."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.asked: dict[str, Any] = {}

    def call(self, method: str, path: str, **options: Any) -> Any:
        self.asked = {"method": method, "path": path, **options}
        return self.body


def opened(body: Any = None) -> tuple[GrowwStream, Answers]:
    http = Answers(body or published("socket_token_create"))
    listening = GrowwStream(APP, SESSION)
    assert listening.opening(http, URL).url.reveal() == URL  # type: ignore[arg-type]
    return listening, http


# --- prices -----------------------------------------------------------------------------------------------------------
def test_published_prices_are_told_of_what_the_subject_names() -> None:
    said = published("feed_ltp_decoded")["ltp"]["NSE"]
    share, contract = said["CASH"]["2885"], said["FNO"]["35241"]
    frame = message(b"/ld/eq/nse/price.2885", field(1, "another") + price(**share))
    frame += message(b"/ld/fo/nse/price.35241", price(**contract), 2)
    assert stream(SHARE, CONTRACT).received(frame) == [
        Tick(Exchange.NSE, "2885", Decimal("1419.1"), at=TOLD_AT),
        Tick(Exchange.NFO, "35241", Decimal("26111.1"), at=TOLD_AT),
    ]


def test_published_indices_come_back_under_our_numbers() -> None:
    said = published("feed_index_decoded")
    nifty, sensex = said["NSE"]["CASH"]["NIFTY"], said["BSE"]["CASH"]["1"]
    frame = message(b"/ld/indices/nse/price.NIFTY", index(nifty["tsInMillis"], nifty["value"]))
    frame += message(b"/ld/indices/bse/price.1", index(sensex["tsInMillis"], sensex["value"]))
    at = datetime(2025, 5, 2, 8, 29, 42, 295000, tzinfo=UTC)
    assert stream(NIFTY, SENSEX).received(frame) == [
        Tick(Exchange.NSE, "26000", Decimal("24386.7"), at=at),
        Tick(Exchange.BSE, "1", Decimal("73386.7"), at=at),
    ]


def test_published_depth_is_read_from_the_best_step_on() -> None:
    """A map has no order on the wire: here, the worst step comes first."""
    said = published("feed_depth_decoded")["NSE"]["CASH"]["2885"]
    steps = [
        field(number, field(1, int(place)) + field(2, field(1, step["price"]) + field(2, step["qty"])))
        for number, side in ((2, "buyBook"), (3, "sellBook"))
        for place, step in reversed(said[side].items())
    ]
    bids, asks = deep(field(DEPTH, field(1, said["tsInMillis"]) + b"".join(steps)))
    assert [bids, asks] == [
        tuple(Level(Decimal(str(step["price"])), Decimal(int(step["qty"]))) for step in said[side].values())
        for side in ("buyBook", "sellBook")
    ]
    assert bids[0].price < asks[0].price


def test_what_else_a_price_tells_is_read_and_its_close_is_not() -> None:
    body = price(tsInMillis=1746174479582.0, open=1410.0, high=1425.35, low=1401.05, close=1405.6, volume=1234567.0,
                 avgPrice=1415.27, ltp=1419.1, openInterest=500.0)  # fmt: skip
    assert tick(SHARE, body) == Tick(
        Exchange.NSE, "2885", Decimal("1419.1"), at=TOLD_AT, open_price=Decimal(1410), high_price=Decimal("1425.35"),
        low_price=Decimal("1401.05"), average_price=Decimal("1415.27"), volume=Decimal(1234567),
        open_interest=Decimal(500),
    )  # fmt: skip


@pytest.mark.parametrize("body", [b"", price(tsInMillis=1.0), price(ltp=0.0), price(ltp=float("nan")), index(1.0, 0.0),
                                  field(DEPTH, field(1, 1.0))])  # fmt: skip
def test_without_a_price_there_is_no_tick(body: bytes) -> None:
    assert stream(SHARE).received(message(b"/ld/eq/nse/price.2885", body)) == [Alive()]


@pytest.mark.parametrize(
    ("stamp", "at"),
    [
        (1746174479582.0, TOLD_AT),
        (1746156600.0, datetime(2025, 5, 2, 3, 30, tzinfo=UTC)),  # the published depth is in seconds
        *((wrong, None) for wrong in (0.0, -1.0, 1e300, float("nan"), float("inf"))),
    ],
)
def test_a_time_is_in_seconds_or_milliseconds(stamp: float, at: datetime | None) -> None:
    assert moment(stamp) == at


def test_what_can_be_streamed_is_what_has_a_published_subject() -> None:
    named = {
        b"/ld/eq/nse/price.2885": SHARE,
        b"/ld/eq/bse/price.500325": Streamed(Exchange.BSE, "500325"),
        b"/ld/fo/nse/price.35241": CONTRACT,
        b"/ld/fo/bse/price.824": Streamed(Exchange.BFO, "824"),
        b"/ld/indices/nse/price.NIFTY": NIFTY,
        b"/ld/indices/bse/price.1": SENSEX,
    }
    others = [
        Streamed(Exchange.MCX, "1"),
        Streamed(Exchange.CDS, "1"),
        Streamed(Exchange.NSE, "26009", index_name="Nifty Bank"),
        Streamed(Exchange.NSE, "1.> 2"),
    ]
    said = GrowwStream(APP, SESSION).subscribe([*named.values(), *others])
    assert said == [b"".join(b"SUB %s %d\r\n" % (name, place) for place, name in enumerate(named, 1))]
    assert [GrowwStream.can_stream(each) for each in (*named.values(), *others)] == [True] * 6 + [False] * 4


def test_what_is_not_wanted_any_more_is_taken_back_by_its_number() -> None:
    listening = stream(SHARE, CONTRACT)
    assert listening.unsubscribe([CONTRACT, CONTRACT, NIFTY]) == [b"UNSUB 2\r\n"]
    assert listening.received(message(b"/ld/fo/nse/price.35241", price(ltp=1.0))) == [Alive()]
    assert listening.subscribe([SHARE, CONTRACT]) == [b"SUB /ld/fo/nse/price.35241 3\r\n"]


# --- orders and positions ---------------------------------------------------------------------------------------------
def test_a_published_order_of_a_contract_is_told_whole_with_its_paise_as_rupees() -> None:
    update = order_update(order(**published("feed_order_update_fno_decoded")), "FNO")
    assert update == OrderUpdate(
        "GMKFO250214150557M2HR6EJF2HSE",
        OrderStatus.FILLED,
        BrokerOrder(
            broker_order_id="GMKFO250214150557M2HR6EJF2HSE",
            exchange_order_id="1400000179694433",
            exchange=Exchange.NFO,
            tradingsymbol="NIFTY2522025400CE",
            broker_token="NSE_NIFTY2522025400CE",
            side=Side.BUY,
            order_type=OrderType.MARKET,
            product=Product.NRML,
            validity=Validity.DAY,
            quantity=Decimal(75),
            filled_quantity=Decimal(75),
            price=Decimal("1.3"),
            trigger_price=None,
            average_price=Decimal("1.1"),
            status=OrderStatus.FILLED,
            status_message=None,
            tag=None,
            placed_at=None,
        ),
    )


def test_a_published_order_of_a_share_is_named_by_its_isin_and_so_not_told_whole() -> None:
    update = order_update(order(**published("feed_order_update_cash_decoded")), "CASH")
    assert update == OrderUpdate("GMK250502123553ZXM5BKVXX9LM", OrderStatus.FILLED)


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("NEW", 0, OrderStatus.PENDING),
        ("ACKED", 0, OrderStatus.PENDING),
        ("TRIGGER_PENDING", 0, OrderStatus.TRIGGER_PENDING),
        ("APPROVED", 0, OrderStatus.OPEN),
        ("APPROVED", 40, OrderStatus.PARTIALLY_FILLED),
        ("REJECTED", 0, OrderStatus.REJECTED),
        ("FAILED", 0, OrderStatus.REJECTED),
        ("EXECUTED", 75, OrderStatus.FILLED),
        ("DELIVERY_AWAITED", 75, OrderStatus.FILLED),
        ("CANCELLED", 40, OrderStatus.CANCELLED),
        ("CANCELLATION_REQUESTED", 0, OrderStatus.OPEN),
        ("MODIFICATION_REQUESTED", 0, OrderStatus.OPEN),
        ("COMPLETED", 75, OrderStatus.FILLED),
    ],
)
@pytest.mark.parametrize("segment", ["CASH", "FNO"])
def test_every_number_of_a_status_is_known(word: str, filled: int, status: OrderStatus, segment: str) -> None:
    said = {**published("feed_order_update_fno_decoded"), "orderStatus": word, "filledQty": filled}
    update = order_update(order(**said), segment)
    assert isinstance(update, OrderUpdate)
    assert update.status is status
    assert (update.order and update.order.status) == (status if segment == "FNO" else None)


def test_a_number_that_is_new_is_no_state_and_no_end() -> None:
    update = order_update(order(growwOrderId="GMK1") + field(DETAIL, field(9, 12)), "FNO")
    assert update == OrderUpdate("GMK1", OrderStatus.UNKNOWN)
    assert order_update(order(growwOrderId="GMK1") + field(DETAIL, field(9, -1)), "CASH") == update


def test_the_default_of_every_field_vanishes_and_means_what_it_means() -> None:
    """A CNC order at the market on BSE, to buy, IOC, new: not one of its words is sent."""
    update = order_update(order(growwOrderId="GMK1", contractId="SENSEX26JUL90000CE", qty=20, buySell=1), "FNO")
    assert isinstance(update, OrderUpdate)
    assert update.order is not None
    told = update.order
    assert (told.exchange, told.product, told.order_type) == (Exchange.BFO, Product.CNC, OrderType.MARKET)
    assert (told.validity, told.side, told.status) == (Validity.IOC, Side.SELL, OrderStatus.PENDING)
    assert (told.price, told.average_price, told.filled_quantity) == (None, None, 0)


def test_a_published_position_says_that_the_book_has_changed() -> None:
    said = published("feed_position_update_fno_decoded")
    numbers = {"creditQty": 1, "creditPrice": 2, "debitQty": 3, "debitPrice": 4}
    nse = b"".join(field(numbers[name], value) for name, value in said["exchangePosition"]["NSE"].items())
    body = field(INFO, field(1, said["symbolIsin"]) + field(2, b"") + field(AT_NSE, nse))
    info = PositionDetail.FromString(body).positionInfo
    assert info.symbolIsin == said["symbolIsin"]
    assert {name: getattr(info.NSE, name) for name in numbers} == said["exchangePosition"]["NSE"]
    listening, _ = opened()
    assert listening.received(message(b"stocks_fo/position/updates.apex.9f2c3d4e-demo", body)) == [BookChanged()]


def test_the_account_s_own_news_come_under_its_own_subjects() -> None:
    listening, _ = opened()
    cash, fno = (order(**published(f"feed_order_update_{kind}_decoded")) for kind in ("cash", "fno"))
    frame = message(b"stocks/order/updates.apex.9f2c3d4e-demo", cash)
    frame += message(b"stocks_fo/order/updates.apex.9f2c3d4e-demo", fno)
    first, second = listening.received(frame + message(b"stocks/order/updates.apex.somebody-else", cash))[:2]
    assert isinstance(first, OrderUpdate)
    assert isinstance(second, OrderUpdate)
    assert (first.order is None, second.order is None) == (True, False)
    assert listening.received(message(b"stocks/order/updates.apex.somebody-else", cash)) == [Alive()]
    assert listening.received(message(b"stocks/order/updates.apex.9f2c3d4e-demo", b"")) == [Unreadable("an order")]


# --- NATS -------------------------------------------------------------------------------------------------------------
def test_the_socket_s_token_is_asked_for_with_a_key_of_its_own_each_time() -> None:
    asked = [opened()[1].asked for _ in range(2)]
    keys = [each["json"]["socketKey"] for each in asked]
    assert [len(key) for key in keys] == [56, 56]
    assert len(set(keys)) == 2
    example = published("socket_token_create.request")
    assert set(example) == {"socketKey"}
    assert (len(nkeys.decoded(example["socketKey"])), keys[0][0]) == (32, "U")
    assert (asked[0]["method"], asked[0]["path"]) == ("POST", "/v1/api/apex/v1/socket/token/create/")
    assert asked[0]["authorization"] == Secret("Bearer token")


def test_the_greeting_is_answered_by_the_token_and_the_signed_nonce() -> None:
    listening, http = opened({"status": "SUCCESS", "payload": published("socket_token_create")})
    assert listening.subscribe([SHARE]) == []  # before the greeting nothing else may be said
    assert listening.received(b'INFO {"nonce":"PXoWU7zWAMt75FY","auth_required":true,"headers":true}\r\n') == [Alive()]
    first, wishes = listening.answers()
    assert isinstance(first, bytes)
    connect_line, *lines = first.split(b"\r\n")
    options = json.loads(connect_line.removeprefix(b"CONNECT "))
    assert (options["jwt"], options["verbose"]) == (published("socket_token_create")["token"], False)
    raw = b32decode(http.asked["json"]["socketKey"])
    Ed25519PublicKey.from_public_bytes(raw[1:33]).verify(b64decode(options["sig"]), b"PXoWU7zWAMt75FY")
    assert lines == [
        b"PING",
        b"SUB stocks/order/updates.apex.9f2c3d4e-demo 2",
        b"SUB stocks_fo/order/updates.apex.9f2c3d4e-demo 3",
        b"SUB stocks_fo/position/updates.apex.9f2c3d4e-demo 4",
        b"",
    ]
    assert wishes == b"SUB /ld/eq/nse/price.2885 1\r\n"
    assert listening.received(b'INFO {"nonce":"another","connect_urls":[]}\r\n') == [Alive()]
    assert listening.answers() == []  # nobody introduces himself twice
    assert listening.unsubscribe([SHARE]) == [b"UNSUB 1\r\n"]


def test_a_greeting_that_cannot_be_read_is_waited_out() -> None:
    listening, _ = opened()
    assert listening.received(b"INFO {\r\nINFO []\r\n") == [Unreadable("a greeting")] * 2
    assert listening.answers() == []
    assert listening.received(b"INFO {}\r\n") == [Alive()]
    [said] = listening.answers()
    assert b'"jwt"' in said  # type: ignore[operator]
    assert b'"sig"' not in said  # type: ignore[operator]


@pytest.mark.parametrize("own", ["two words", "a\r\nSUB > 1", "*", ">", "a.b"])
def test_what_would_break_out_of_a_subject_is_not_used(own: str) -> None:
    with pytest.raises(UnexpectedResponse):
        opened({"token": "a.b.c", "subscriptionId": own})


def test_a_ping_is_answered_once_and_pings_are_sent() -> None:
    listening = stream()
    assert listening.received(b"PING\r\nPING\r\n+OK\r\nPONG\r\n") == [Alive()] * 4
    assert listening.answers() == [b"PONG\r\n"]
    assert listening.answers() == []
    assert listening.beat() == b"PING\r\n"


@pytest.mark.parametrize(
    ("words", "event"),
    [
        ("'Authorization Violation'", SessionOver("The broker does not accept this session.")),
        ("'User Authentication Revoked'", SessionOver("The broker does not accept this session.")),
        (
            "'maximum subscriptions exceeded'",
            Refused("The broker streams no more instruments here.", "maximum subscriptions exceeded"),
        ),
        (
            "'Permissions Violation for Subscription to \"stocks/order/updates.apex.SECRET\"'",
            Refused("The broker does not stream this to this account.", "permissions violation"),
        ),
        ("'User Authentication Expired'", Refused("The broker wants a new connection.", "user authentication expired")),
        ("'Stale Connection'", Refused("The broker heard nothing of us.", "stale connection")),
        ("'Something SECRET'", Unreadable("an error")),
        ("\xff", Unreadable("an error")),
    ],
)
def test_errors(words: str, event: object) -> None:
    [found] = stream().received(b"-ERR " + words.encode("latin1") + b"\r\n")
    assert found == event
    assert "SECRET" not in repr(found)


def test_a_text_is_none_of_its_frames() -> None:
    assert stream().received("PING\r\n") == [Unreadable("a text")]


@given(st.data())
def test_messages_may_be_cut_anywhere(data: st.DataObject) -> None:
    """Two prices and a ping, in as many frames as one likes, of any sizes."""
    body = price(ltp=1419.1, tsInMillis=1746174479582.0)
    whole = message(b"/ld/eq/nse/price.2885", body) + b"PING\r\n" + message(b"/ld/eq/nse/price.2885", body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    listening, found = stream(SHARE), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += listening.received(whole[start:end])
    told = Tick(Exchange.NSE, "2885", Decimal("1419.1"), at=TOLD_AT)
    assert found == [told, Alive(), told]


def test_a_message_may_hold_what_looks_like_the_end_of_one() -> None:
    body = price(ltp=1419.1) + field(1, "\r\nMSG x 1 2\r\n")
    assert [event.last_price for event in stream(SHARE).received(message(b"/ld/eq/nse/price.2885", body))] == [  # type: ignore[union-attr]
        Decimal("1419.1")
    ]


def test_a_message_may_name_where_to_reply() -> None:
    body = price(ltp=1419.1)
    frame = b"msg /ld/eq/nse/price.2885 1 _INBOX.1 %d\r\n%s\r\n" % (len(body), body)
    assert isinstance(stream(SHARE).received(frame)[0], Tick)


@pytest.mark.parametrize(
    ("frame", "place"),
    [
        (b"HELLO\r\n", "a line"),
        (b"\r\n", "a line"),
        (b"\x00\xff\r\n", "a line"),
        (b"MSG a\r\n", "the line of a message"),
        (b"MSG a 1 -5\r\n", "the line of a message"),
        (b"MSG a 1 2 3 4\r\n", "the line of a message"),
        (b"MSG a 1 65537\r\n", "a message that is too large"),
        (b"MSG a 1 " + b"9" * 4000 + b"\r\n", "a message that is too large"),
        (b"MSG a 1 2\r\nabc\r\n", "a message that does not end where it says"),
        (b"INFO " + b"a" * 40_000, "a line without an end"),
        (b"INFO " + b"a" * 40_000 + b"\r\n", "a line"),
        (message(b"/ld/eq/nse/price.2885", b"\xff"), "a message"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_next_frame_is_read_anew(frame: bytes, place: str) -> None:
    listening = stream(SHARE)
    assert listening.received(frame) == [Unreadable(place)]
    assert listening.received(b"PING\r\n") == [Alive()]


@given(st.lists(st.binary(max_size=3000) | st.just(b"MSG a 1 60000\r\n") | st.just(b"a" * 3000), max_size=60))
def test_nothing_grows_whatever_comes(frames: list[bytes]) -> None:
    reader = nats.Reader()
    for frame in frames:
        found = list(reader.read(frame))
        assert len(found) <= len(frame) + 1
        assert len(reader._held) <= nats.LARGEST_MESSAGE + len(nats.END) + len(frame)


@given(st.binary(max_size=300), st.sampled_from([b"/ld/eq/nse/price.2885", b"/ld/indices/nse/price.NIFTY",
                                                 b"stocks_fo/order/updates.apex.9f2c3d4e-demo",
                                                 b"stocks_fo/position/updates.apex.9f2c3d4e-demo"]))  # fmt: skip
def test_no_message_crashes_the_decoder(noise: bytes, subject: bytes) -> None:
    listening, _ = opened()
    listening.subscribe([SHARE, NIFTY])
    for body in (noise, price(ltp=1.0) + noise, order(growwOrderId="G", contractId="C") + noise):
        [event] = listening.received(message(subject, body))
        assert isinstance(event, Tick | OrderUpdate | BookChanged | Alive | Unreadable)
