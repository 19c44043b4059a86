"""Fyers' two sockets, simulated: HSM frames as in fixtures/fyers/ws_hsm_frames.json, and the JSON of the order socket.

As awkward as the original: the handshake of the market socket is open to everybody and a dead key is told by a frame;
the lengths that clients send are not to be trusted (the SDK sends 0, or too much); updates carry only what changed.
Invented, because nothing is published: the letter of a refusal, and that acknowledgements are counted and not enforced.
Channels may be paused and resumed, which is granted and changes nothing.
"""

from __future__ import annotations

import json
import secrets
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession
from brokers.simulation.wire import Json

AUTH, ACK, SUBSCRIBE, UNSUBSCRIBE, FEED, PAUSE, RESUME, MODE, MESSAGE = 1, 3, 4, 5, 6, 7, 8, 12, 51
GRANTED, NOT_GRANTED = b"K", b"E"
LITE = b"L"
SNAPSHOT_RECORD, UPDATE_RECORD, LITE_RECORD = b"S", b"U", b"L"
ACKNOWLEDGED_EVERY = 50
MOST_SYMBOLS = 5000
SYMBOL_LIMIT, SYMBOL_LIMIT_WORDS = 51001, b"Symbol limit exceeded"
MOST_RECORDS = 300  # in one frame, so that its length fits 16 bits
UNCHANGED, LARGEST = -(2**31), 2**31 - 1
LAST_PRICE = 0
STEPS = 5

# Segment in the names of topics, and decimals of its prices.
SEGMENTS = {
    "NSE": ("nse_cm", 2),
    "NFO": ("nse_fo", 2),
    "CDS": ("cde_fo", 4),
    "MCX": ("mcx_fo", 2),
    "BSE": ("bse_cm", 2),
    "BFO": ("bse_fo", 2),
}
SUBSCRIBED = {"code": 1605, "message": "Successfully subscribed", "s": "ok"}
NOT_UNDERSTOOD = {"code": -50, "message": "Please provide valid inputs", "s": "error"}


class MarketSocket(StreamSession):
    """One HSM connection. `is_live` judges the key that a client shows; nothing is told before."""

    def __init__(
        self,
        market: Market,
        by_name: Mapping[str, Listing],
        is_live: Callable[[str], bool],
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(market)
        self._by_name = by_name
        self._is_live = is_live
        self._now = now
        self._is_known = False
        self._is_lite = False
        self._asked: set[str] = set()
        self._message_number = 0
        self._next_topic = secrets.randbelow(1 << 15)
        self._topics: dict[str, bytes] = {}
        self._told: dict[str, list[int]] = {}

    def received(self, frame: Frame) -> list[Frame]:
        kind, sent = understood(frame)
        if kind == AUTH:
            self._is_known = self._is_live(sent.get(1, b"").decode("ascii", "replace"))
            words = GRANTED if self._is_known else NOT_GRANTED
            return [told(AUTH, words, ACKNOWLEDGED_EVERY.to_bytes(4, "big"))]
        if kind in (SUBSCRIBE, UNSUBSCRIBE, PAUSE, RESUME, MODE) and not self._is_known:
            return [told(kind, NOT_GRANTED)]
        if kind == SUBSCRIBE:
            return [self._subscribe(names(sent.get(1, b"")))]
        if kind == UNSUBSCRIBE:
            for name in names(sent.get(1, b"")):
                self.forget(name)
        if kind == MODE:
            self._is_lite = sent.get(2) == LITE
        return [told(kind, GRANTED)] if kind in (UNSUBSCRIBE, PAUSE, RESUME, MODE) else []

    def _subscribe(self, wanted: list[str]) -> Frame:
        """Names of nothing are granted and counted, too, and never heard of again."""
        if len(self._asked.union(wanted)) > MOST_SYMBOLS:
            return told(MESSAGE, struct.pack(">i", SYMBOL_LIMIT), SYMBOL_LIMIT_WORDS, bytes((SUBSCRIBE,)))
        for name in wanted:
            self.forget(name)  # asked for again, it begins with a snapshot again
            self._asked.add(name)
            if name in self._by_name:
                self.subscribed[name] = self._by_name[name]
        return told(SUBSCRIBE, GRANTED)

    def forget(self, name: str) -> None:
        super().forget(name)
        self._asked.discard(name)
        self._topics.pop(name, None)
        self._told.pop(name, None)

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        records = [self._record(*each) for each in changed]
        return [self._fed(records[start : start + MOST_RECORDS]) for start in range(0, len(records), MOST_RECORDS)]

    def _fed(self, records: list[bytes]) -> Frame:
        self._message_number += 1
        body = struct.pack(">BIH", FEED, self._message_number, len(records)) + b"".join(records)
        return len(body).to_bytes(2, "big") + body

    def _record(self, name: str, listing: Listing, price: Price) -> bytes:
        values = self._told_of(name, listing, price)
        before = self._told.get(name)
        self._told[name] = values
        if before is None:
            return self._snapshot(name, listing, values)
        if self._is_lite and not name.startswith("dp"):
            return LITE_RECORD + self._topics[name] + struct.pack(">i", values[LAST_PRICE])
        news = [value if value != old else UNCHANGED for value, old in zip(values, before, strict=True)]
        return UPDATE_RECORD + self._topics[name] + numbers(news)

    def _told_of(self, name: str, listing: Listing, price: Price) -> list[int]:
        if name.startswith("dp"):
            return self._depth(listing, price)
        return self._index(listing, price) if listing.is_index else self._values(listing, price)

    def _snapshot(self, name: str, listing: Listing, values: list[int]) -> bytes:
        self._next_topic = (self._next_topic + 1) % (1 << 16)
        topic = self._topics[name] = self._next_topic.to_bytes(2, "little")
        segment, decimals = SEGMENTS[listing.exchange]
        own = (listing.name, listing.name) if listing.is_index else (listing.exchange_token, listing.symbol)
        words = b"".join(short(text) for text in (segment, *own))
        return SNAPSHOT_RECORD + topic + short(name) + numbers(values) + struct.pack(">xxHB", 1, decimals) + words

    def _values(self, listing: Listing, price: Price) -> list[int]:
        """In the order of the wire. Open interest and the bounds of year and circuit are left out, as in fixtures."""
        now, waiting = int(self._now().timestamp()), 100 * listing.lot_size
        last, ask = price.last, price.last + listing.tick(price.last)
        wired = Wire(listing)
        return [
            *(wired(last), price.volume, now, now),
            *(listing.lot_size, listing.lot_size, wired(last), wired(ask)),
            *(listing.lot_size, waiting, waiting, wired(last)),
            *(UNCHANGED, wired(price.low), wired(price.high)),
            *[UNCHANGED] * 4,
            *(wired(price.open), wired(price.close)),
        ]

    def _index(self, listing: Listing, price: Price) -> list[int]:
        wired = Wire(listing)
        last, close, high, low, opened = map(wired, (price.last, price.close, price.high, price.low, price.open))
        return [last, close, int(self._now().timestamp()), high, low, opened]

    def _depth(self, listing: Listing, price: Price) -> list[int]:
        tick, wired = listing.tick(price.last), Wire(listing)
        return [
            *(wired(price.last - step * tick) for step in range(STEPS)),
            *(wired(price.last + step * tick) for step in range(1, STEPS + 1)),
            *[listing.lot_size * (step + 1) for step in range(STEPS)] * 2,
            *[1] * (2 * STEPS),
        ]


class Wire:
    """A price as the wire has it: whole, in the smallest unit of its segment."""

    def __init__(self, listing: Listing) -> None:
        self.scale = Decimal(10 ** SEGMENTS[listing.exchange][1])

    def __call__(self, price: Decimal) -> int:
        return min(int(price * self.scale), LARGEST)


class OrderSocket(StreamSession):
    """Tells every change of every order, from when orders are asked for; trades and positions are left to the lists."""

    def __init__(self, market: Market, *, desk: Desk, told: Callable[[DeskOrder], Json]) -> None:
        super().__init__(market, desk)
        self._told = told
        self._is_asked = False

    def received(self, frame: Frame) -> list[Frame]:
        if frame == "ping":
            return ["pong"]
        try:
            said = json.loads(frame)
            is_understood = said["T"] == "SUB_ORD" and isinstance(said["SLIST"], list) and said["SUB_T"] in (1, -1)
        except (ValueError, KeyError, TypeError, RecursionError):
            is_understood = False
        if is_understood and "orders" in said["SLIST"]:
            self._is_asked = said["SUB_T"] == 1
        return [json.dumps(SUBSCRIBED if is_understood else NOT_UNDERSTOOD)]

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        return []

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        told = changed if self._is_asked else []
        return [json.dumps({"orders": self._told(order), "s": "ok"}) for order in told]


def topic_names(listing: Listing) -> Iterator[str]:
    segment, _ = SEGMENTS[listing.exchange]
    if listing.is_index:
        yield f"if|{segment}|{listing.name}"
        return
    yield f"sf|{segment}|{listing.exchange_token}"
    yield f"dp|{segment}|{listing.exchange_token}"


def understood(frame: Frame) -> tuple[int, dict[int, bytes]]:
    """The kind of a client's frame, and its fields by number; kind 0 is none. The length in front is not read."""
    if isinstance(frame, str) or len(frame) < 4:
        return 0, {}
    found, place = {}, 4
    for _ in range(frame[3]):
        if len(frame) < place + 3:
            return 0, {}
        length = int.from_bytes(frame[place + 1 : place + 3], "big")
        found[frame[place]] = frame[place + 3 : place + 3 + length]
        place += 3 + length
    return frame[2], found


def names(packed: bytes) -> list[str]:
    """Wire: u16 count, then per name u8 length and ASCII."""
    found, place = [], 2
    while place < len(packed):
        end = place + 1 + packed[place]
        found.append(packed[place + 1 : end].decode("ascii", "replace"))
        place = end
    return found


def numbers(values: list[int]) -> bytes:
    return struct.pack(f">B{len(values)}i", len(values), *values)


def short(text: str) -> bytes:
    return bytes((len(text.encode()),)) + text.encode()


def told(kind: int, *values: bytes) -> Frame:
    body = bytes((kind, len(values)))
    for number, value in enumerate(values, start=1):
        body += bytes((number,)) + len(value).to_bytes(2, "big") + value
    return len(body).to_bytes(2, "big") + body
