"""Fyers' two sockets: prices in a packed binary of its own (HSM), the account's orders, trades and positions as JSON.

Source: Fyers API v3, "Web Socket"; the layout as its SDK 3.2.0 reads it; fixtures/fyers/ws_*. Integers are big-endian.
Records name a topic by two bytes that are told once, in its snapshot, and hold for this connection alone; they are
taken as they come, in whatever order the server wrote them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from brokers import web_token
from brokers.domain import AppCredentials, Exchange, Level, Session, Streamed, Tick
from brokers.errors import TOKEN_EXPIRED, BrokerError, SessionEnded
from brokers.fyers.mapping import failure
from brokers.fyers.spec import SPEC, STATUSES
from brokers.secret import Secret
from brokers.streaming import (
    Alive,
    BookChanged,
    Event,
    Frame,
    Opening,
    OrderStream,
    OrderUpdate,
    PriceStream,
    Refused,
    SessionOver,
    StreamLimits,
    Unreadable,
    batches,
)
from brokers.transport import Transport
from brokers.wire import as_record, order_status, record, text, whole

_json = msgspec.json.Decoder(float_hook=Decimal)

PRICE_PATH, ORDER_PATH = "/hsm/v1-5/prod", "/trade/v3"
SOURCE = b"TradeMaster"
CHANNEL = 11

SEGMENTS = {
    Exchange.NSE: "nse_cm",
    Exchange.NFO: "nse_fo",
    Exchange.CDS: "cde_fo",
    Exchange.NCO: "nse_com",
    Exchange.MCX: "mcx_fo",
    Exchange.BSE: "bse_cm",
    Exchange.BFO: "bse_fo",
    Exchange.BCD: "bcs_fo",
}
LONGEST_NAME = 40  # a batch of them fits the 16 bits of its length

# The kinds of frames; of those from the broker, it is the third byte.
AUTH, ACK, SUBSCRIBE, UNSUBSCRIBE, FEED, PAUSE, RESUME = 1, 3, 4, 5, 6, 7, 8
PING, MODE, MASTER, MESSAGE = 11, 12, 13, 51
FULL_MODE = b"F"
DONE = b"K"
# What the SDK calls a refusal of each; the wire says no more than that it is one.
REFUSALS = {SUBSCRIBE: "11011", UNSUBSCRIBE: "11012", PAUSE: "11031", RESUME: "11032", MODE: "12001"}
ANSWERS = (AUTH, MESSAGE, *REFUSALS)
SYMBOL_LIMIT = "51001"

FEED_HEADER = 9
SNAPSHOT, UPDATE, LITE = b"SUL"
UNCHANGED = -(2**31)
MOST_DECIMALS = 9
FIELDS = tuple(struct.Struct(f">{count}i") for count in range(256))
MESSAGE_NUMBER, LITE_PRICE, SCALE = struct.Struct(">xxxI"), struct.Struct(">xxxi"), struct.Struct(">xxHB")


class FyersPriceStream(PriceStream):
    """UNCONFIRMED whether the server sends anything in a quiet market, so silence alone proves nothing."""

    spec = SPEC
    limits = StreamLimits(instruments=5000, batch=1500)
    beat_seconds = 10.0

    def __init__(self, app: AppCredentials, session: Session) -> None:
        super().__init__(app, session)
        self._feed = Feed()
        self._acknowledged_every = 0
        self._unacknowledged = 0
        self._owed: bytes | None = None

    def opening(self, http: Transport, base_url: str) -> Opening:
        """The handshake is open to everybody; what opens the feed is a key inside the access token."""
        if not self._key().reveal():
            raise SessionEnded("This session holds no key to Fyers' price stream.")
        return Opening(url=Secret(f"{base_url}{PRICE_PATH}"))

    def _key(self) -> Secret:
        return Secret(str(web_token.claims(self.session.access_token).get("hsm_key", "")))

    def hello(self) -> list[Frame]:
        """Wire: the length of the second is sent as 0."""
        mode = _said(MODE, (1 << CHANNEL).to_bytes(8, "big"), FULL_MODE)
        return [_said(AUTH, self._key().reveal().encode(), b"P", b"\x01", SOURCE), b"\x00\x00" + mode[2:]]

    def beat(self) -> Frame:
        return bytes((0, 1, PING))

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        return stream_name(wanted) is not None

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Frame]:
        frames: list[Frame] = []
        for batch in batches((each for each in wanted if self.can_stream(each)), self.limits.batch):
            frames.append(_listed(SUBSCRIBE, [self._feed.want(each) for each in batch]))
        return frames

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Frame]:
        frames: list[Frame] = []
        for batch in batches((each for each in unwanted if self.can_stream(each)), self.limits.batch):
            frames.append(_listed(UNSUBSCRIBE, [self._feed.leave(each) for each in batch]))
        return frames

    def received(self, frame: Frame) -> list[Event]:
        if isinstance(frame, str):
            return [Unreadable("a text")]
        kind = frame[2] if len(frame) > 2 else None
        if kind == FEED:
            return self._fed(frame)
        if kind in (PING, MASTER):
            return [Alive()]
        if kind in ANSWERS:
            return [self._answered(kind, frame)]
        return [Unreadable("a frame of an unknown kind")]

    def answers(self) -> list[Frame]:
        owed, self._owed = self._owed, None
        return [] if owed is None else [owed]

    def _fed(self, frame: bytes) -> list[Event]:
        """Every so many frames the number of the last one must go back."""
        if len(frame) < FEED_HEADER:
            return [Unreadable("a frame that is cut off")]
        self._unacknowledged += 1
        if 0 < self._acknowledged_every <= self._unacknowledged:
            self._unacknowledged = 0
            [number] = MESSAGE_NUMBER.unpack_from(frame)
            self._owed = _said(ACK, number.to_bytes(4, "big"))
        return list(self._feed.read(frame))

    def _answered(self, kind: int, frame: bytes) -> Event:
        """UNCONFIRMED how a key is refused: by any answer but the one that grants."""
        told = fields(frame)
        if told is None or 1 not in told:
            return Unreadable("an answer")
        if kind == MESSAGE:
            return _message(told[1])
        if told[1] == DONE:
            if kind == AUTH:
                self._acknowledged_every = int.from_bytes(told.get(2, b""), "big")
            return Alive()
        if kind == AUTH:
            return SessionOver("Fyers does not accept this session for prices.")
        return Refused("Fyers refused a wish.", REFUSALS[kind])


@dataclass(slots=True)
class Subscribed:
    """An instrument that was asked for, and the prices that records without them are completed by."""

    exchange: Exchange
    exchange_token: str
    last_price: Decimal | None = None
    close_price: Decimal | None = None


@dataclass(slots=True)
class Topic:
    """What two bytes stand for. `numbers` are as they came, `values` what they mean; None: not told."""

    name: str
    of: Subscribed
    divisor: Decimal
    readers: tuple[Reader, ...]
    tick: Callable[[Subscribed, list[Any]], Tick | None]
    numbers: list[int]
    values: list[Any]


class Feed:
    """The topics of one connection: for an instrument that is subscribed its own, and that of its depth; no others."""

    def __init__(self) -> None:
        self._subscribed: dict[str, Subscribed] = {}
        self._topics: dict[bytes, Topic] = {}
        self._ids: dict[str, bytes] = {}

    def want(self, wanted: Streamed) -> str:
        name = stream_name(wanted) or ""
        self._subscribed.setdefault(name, Subscribed(wanted.exchange, wanted.exchange_token))
        return name

    def leave(self, unwanted: Streamed) -> str:
        name = stream_name(unwanted) or ""
        self._subscribed.pop(name, None)
        for each in (name, "dp" + name[2:]):
            topic_id = self._ids.pop(each, None)
            if topic_id is not None:
                del self._topics[topic_id]
        return name

    def read(self, frame: bytes) -> Iterator[Event]:
        """The records of a frame. What is cut off is named once; past a record of unknown kind nothing can be found."""
        count = int.from_bytes(frame[7:FEED_HEADER], "big")
        place = FEED_HEADER
        try:
            for _ in range(count):
                kind = frame[place]
                event: Event | None
                if kind == UPDATE:
                    numbers = FIELDS[frame[place + 3]].unpack_from(frame, place + 4)
                    event = self._updated(frame[place + 1 : place + 3], numbers)
                    place += 4 + 4 * len(numbers)
                elif kind == LITE:
                    event = self._lite(frame[place + 1 : place + 3], *LITE_PRICE.unpack_from(frame, place))
                    place += LITE_PRICE.size
                elif kind == SNAPSHOT:
                    event, place = self._snapshot(frame, place)
                else:
                    yield Unreadable("a record of an unknown kind")
                    return
                if event is not None:
                    yield event
        except (IndexError, struct.error):
            yield Unreadable("a record that is cut off")

    def _snapshot(self, frame: bytes, place: int) -> tuple[Event | None, int]:
        """Wire: id, name, count and numbers, two unused bytes, u16 multiplier, u8 decimals, three texts."""
        topic_id, length = frame[place + 1 : place + 3], frame[place + 3]
        name = frame[place + 4 : place + 4 + length].decode("utf-8", "replace")
        place += 4 + length
        numbers = FIELDS[frame[place]].unpack_from(frame, place + 1)
        place += 1 + 4 * len(numbers)
        multiplier, decimals = SCALE.unpack_from(frame, place)
        place += SCALE.size
        for _ in range(3):
            place += 1 + frame[place]
        if place > len(frame):
            raise IndexError("the last text is cut off")
        kind, _, rest = name.partition("|")
        subscribed = self._subscribed.get(f"sf|{rest}" if kind == "dp" else name)
        self._forget(topic_id, name)
        if subscribed is None or kind not in LAYOUTS:
            return None, place
        if not multiplier or decimals > MOST_DECIMALS:
            return Unreadable("the scale of a snapshot"), place
        readers, tick = LAYOUTS[kind]
        divisor = Decimal(10**decimals * multiplier)
        count = len(readers)
        topic = Topic(name, subscribed, divisor, readers, tick, [UNCHANGED] * count, [None] * count)
        self._topics[topic_id], self._ids[name] = topic, topic_id
        return _told(topic, numbers), place

    def _forget(self, topic_id: bytes, name: str) -> None:
        """Neither the id nor the name means any longer what it meant before."""
        before = self._topics.pop(topic_id, None)
        if before is not None:
            del self._ids[before.name]
        old_id = self._ids.pop(name, None)
        if old_id is not None:
            del self._topics[old_id]

    def _updated(self, topic_id: bytes, numbers: tuple[int, ...]) -> Event | None:
        topic = self._topics.get(topic_id)
        return Unreadable("an update before its snapshot") if topic is None else _told(topic, numbers)

    def _lite(self, topic_id: bytes, number: int) -> Event | None:
        """The last price alone: the other values may have moved on since they were told, but for yesterday's close."""
        topic = self._topics.get(topic_id)
        if topic is None:
            return Unreadable("an update before its snapshot")
        last = None if topic.readers is DEPTH else price(number, topic.divisor)
        if last is None:
            return None
        of = topic.of
        of.last_price, topic.numbers[0], topic.values[0] = last, number, last
        return Tick(of.exchange, of.exchange_token, last, of.close_price)


def _told(topic: Topic, numbers: tuple[int, ...]) -> Tick | None:
    """Take over what changed. Fields past those that are known are left alone."""
    known, values, readers, divisor, unchanged = topic.numbers, topic.values, topic.readers, topic.divisor, UNCHANGED
    if len(numbers) > len(known):
        numbers = numbers[: len(known)]
    for place, number in enumerate(numbers):
        if number != unchanged and number != known[place]:
            known[place] = number
            values[place] = readers[place](number, divisor)
    return topic.tick(topic.of, values)


Reader = Callable[[int, Decimal], Any]


def price(number: int, divisor: Decimal) -> Decimal | None:
    """INR. A price of 0 is none, as in quotes (UNCONFIRMED for streams)."""
    return Decimal(number) / divisor if number > 0 else None


def units(number: int, divisor: Decimal) -> Decimal | None:
    """A count; one that is negative has grown past what the wire can hold. UNCONFIRMED whether MCX's are lots."""
    return Decimal(number) if number >= 0 else None


def orders(number: int, divisor: Decimal) -> int | None:
    return number if number >= 0 else None


def instant(number: int, divisor: Decimal) -> datetime | None:
    return datetime.fromtimestamp(number, UTC) if number > 0 else None


def unread(number: int, divisor: Decimal) -> None:
    """The SDK drops these, or calls them 0 whatever they are. UNCONFIRMED whether they can be relied on."""


# The fields in the order of the wire.
SHARE: tuple[Reader, ...] = (
    *(price, units, instant, instant),  # last, volume, time of the last trade, of the feed
    *(units, units, price, price),  # best bid's and ask's size, and price
    *(units, units, units, price),  # last quantity, all that is bid, all that is asked, average
    *(unread, price, price),  # open interest, low, high
    *(unread, unread, unread, unread),  # high and low of the year, of the circuit
    *(price, price),  # open, previous close
)
INDEX: tuple[Reader, ...] = (price, price, instant, price, price, price)
DEPTH: tuple[Reader, ...] = (*[price] * 10, *[units] * 10, *[orders] * 10)
STEPS = 5


def share_tick(of: Subscribed, values: list[Any]) -> Tick | None:
    last, volume, traded_at, at, bid_size, ask_size, bid, ask, last_quantity, bought, sold, average = values[:12]
    if last is None:
        return None
    of.last_price, of.close_price = last, values[20]
    return Tick(
        of.exchange,
        of.exchange_token,
        last,
        values[20],
        at,
        values[19],
        values[14],
        values[13],
        average,
        volume,
        last_quantity,
        traded_at,
        bought,
        sold,
        None,
        (Level(bid, bid_size),) if bid is not None and bid_size is not None else (),
        (Level(ask, ask_size),) if ask is not None and ask_size is not None else (),
    )


def index_tick(of: Subscribed, values: list[Any]) -> Tick | None:
    last, close, at, high, low, opened = values
    if last is None:
        return None
    of.last_price, of.close_price = last, close
    return Tick(of.exchange, of.exchange_token, last, close, at, opened, high, low)


def depth_tick(of: Subscribed, values: list[Any]) -> Tick | None:
    """The order book beside the last price that the instrument's own topic told; without one there is no tick."""
    if of.last_price is None:
        return None
    bids, asks = (
        tuple(
            Level(values[number], values[number + 10], values[number + 20])
            for number in range(start, start + STEPS)
            if values[number] is not None and values[number + 10] is not None
        )
        for start in (0, STEPS)
    )
    return Tick(of.exchange, of.exchange_token, of.last_price, of.close_price, bids=bids, asks=asks)


LAYOUTS = {"sf": (SHARE, share_tick), "if": (INDEX, index_tick), "dp": (DEPTH, depth_tick)}


def stream_name(wanted: Streamed) -> str | None:
    """`sf|nse_cm|2885`, `if|nse_cm|Nifty 50`; None where the broker has none."""
    segment, index_name, token = SEGMENTS.get(wanted.exchange), wanted.index_name, wanted.exchange_token
    name = f"if|{segment}|{index_name}" if index_name else f"sf|{segment}|{token}"
    is_plain = segment is not None and name.isascii() and len(name) <= LONGEST_NAME
    return name if is_plain and (index_name or token.isdecimal()) else None


def fields(frame: bytes) -> dict[int, bytes] | None:
    """Wire: u16 length, u8 kind, u8 count, then per field u8 number, u16 length, bytes. None: it is cut off."""
    found = {}
    place = 4
    for _ in range(frame[3] if len(frame) > 3 else 0):
        number, length = frame[place : place + 1], int.from_bytes(frame[place + 1 : place + 3], "big")
        value = frame[place + 3 : place + 3 + length]
        if len(frame) < place + 3 + length:
            return None
        found[number[0]] = value
        place += 3 + length
    return found


def _message(code: bytes) -> Refused:
    known = str(int.from_bytes(code, "big", signed=True))
    if known == SYMBOL_LIMIT:
        return Refused("Fyers streams no more symbols to this account.", known)
    return Refused("Fyers refused a wish.", known)


def _said(kind: int, *values: bytes) -> bytes:
    body = bytes((kind, len(values)))
    for number, value in enumerate(values, start=1):
        body += bytes((number,)) + len(value).to_bytes(2, "big") + value
    return len(body).to_bytes(2, "big") + body


def _listed(kind: int, names: Sequence[str]) -> bytes:
    named = b"".join(bytes((len(name),)) + name.encode() for name in names)
    return _said(kind, len(names).to_bytes(2, "big") + named, bytes((CHANNEL,)))


class FyersOrderStream(OrderStream):
    spec = SPEC
    limits = StreamLimits(instruments=0, batch=0)
    beat_seconds = 10.0
    silence_seconds = 35.0  # a beat is answered at once

    def opening(self, http: Transport, base_url: str) -> Opening:
        credentials = Secret(f"{self.app.api_key.reveal()}:{self.session.access_token.reveal()}")
        return Opening(url=Secret(f"{base_url}{ORDER_PATH}"), headers={"authorization": credentials})

    def hello(self) -> list[Frame]:
        wish = {"T": "SUB_ORD", "SLIST": ["orders", "trades", "positions"], "SUB_T": 1}
        return [msgspec.json.encode(wish).decode()]

    def beat(self) -> Frame:
        return "ping"

    def received(self, frame: Frame) -> list[Event]:
        if frame == "pong":
            return [Alive()]
        try:
            return [_account_event(as_record(_json.decode(frame), "frame"))]
        except (msgspec.DecodeError, ValueError, RecursionError, BrokerError):
            return [Unreadable("a text")]


def _account_event(said: Mapping[str, Any]) -> Event:
    """Wire: the status is `org_ord_status`; `ord_status` is another scale. Before a fill there is no `qty_filled`."""
    if failed := failure(said):
        if failed.code is not None and SPEC.errors.get((None, failed.code)) is TOKEN_EXPIRED:
            return SessionOver("Fyers does not accept this session.")
        return Refused("Fyers refused a wish.", failed.code)
    if "orders" in said:
        row = record(said, "orders")
        filled = whole(row, "qty_filled") if "qty_filled" in row else Decimal(0)
        status = order_status(STATUSES, text(row, "org_ord_status"), filled, whole(row, "qty"))
        return OrderUpdate(text(row, "id"), status)
    return BookChanged() if "trades" in said or "positions" in said else Alive()
