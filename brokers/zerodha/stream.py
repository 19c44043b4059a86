"""Kite's ticker: prices in packed binary, the account's orders as JSON on the same socket.

Source: Kite Connect v3, "WebSocket streaming"; fixtures/zerodha/ticker_*. Everything is big-endian and unsigned; the
length of a packet says what it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

import msgspec

from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.secret import Secret
from brokers.streaming import (
    Alive,
    Event,
    Frame,
    Opening,
    OrderUpdate,
    PriceStream,
    Refused,
    StreamLimits,
    Unreadable,
    batches,
)
from brokers.transport import Transport
from brokers.zerodha.instruments import SEGMENT_CODES, instrument_token
from brokers.zerodha.spec import SPEC, STATUSES

# Segment code → exchange, and what a price is divided by. Indices share one segment: NSE's and BSE's tokens differ.
EXCHANGES = {code: exchange for exchange, code in SEGMENT_CODES.items()} | {9: Exchange.NSE, 12: Exchange.NCO}
# Kite's own numbers of indices, those of nobody else. UNCONFIRMED but for the first three: no page shows them.
INDEX_TOKENS = {
    (Exchange.NSE, "Nifty 50"): 256265,
    (Exchange.NSE, "Nifty Bank"): 260105,
    (Exchange.BSE, "SENSEX"): 265,
    (Exchange.NSE, "India VIX"): 264969,
    (Exchange.NSE, "Nifty Fin Service"): 257801,
    (Exchange.NSE, "Nifty Next 50"): 270857,
    (Exchange.BSE, "BANKEX"): 274441,
}
DIVISORS = {3: Decimal(10_000_000), 6: Decimal(10_000), 12: Decimal(10_000)}  # UNCONFIRMED for 6: the SDKs' figure
PAISE = Decimal(100)

LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL = 8, 28, 32, 44, 184
NO_INDICES: Mapping[int, Streamed] = {}
NO_TIME = 0


class ZerodhaStream(PriceStream):
    """Both in one: an order's frame has the payload of a postback, and covers orders from every platform."""

    spec = SPEC
    limits = StreamLimits(instruments=3000, batch=1000, connections=3)
    silence_seconds = 10.0  # a heartbeat of one byte comes every couple of seconds

    def __init__(self, app: AppCredentials, session: Session) -> None:
        super().__init__(app, session)
        self._indices: dict[int, Streamed] = {}  # by Kite's number; never more than INDEX_TOKENS

    def opening(self, http: Transport, base_url: str) -> Opening:
        query = {"api_key": self.app.api_key.reveal(), "access_token": self.session.access_token.reveal()}
        return Opening(url=Secret(f"{base_url}?{urlencode(query)}"), headers={"X-Kite-Version": Secret("3")})

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        if wanted.index_name:
            return (wanted.exchange, wanted.index_name) in INDEX_TOKENS
        return wanted.exchange in SEGMENT_CODES and wanted.exchange_token.isdecimal()

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Frame]:
        """The mode after a bare subscription is UNCONFIRMED, so it is always asked for."""
        self._indices |= {_token(each): each for each in wanted if each.index_name and self.can_stream(each)}
        frames: list[Frame] = []
        for batch in batches((each for each in wanted if self.can_stream(each)), self.limits.batch):
            tokens = [_token(each) for each in batch]
            frames += [_said("subscribe", tokens), _said("mode", ["quote", tokens])]
        return frames

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Frame]:
        known = (each for each in unwanted if self.can_stream(each))
        return [_said("unsubscribe", [_token(each) for each in batch]) for batch in batches(known, self.limits.batch)]

    def received(self, frame: Frame) -> list[Event]:
        if isinstance(frame, str):
            return [_told(frame)]
        if len(frame) <= 1:
            return [Alive()]
        return list(ticks(frame, self._indices))


def ticks(frame: bytes, indices: Mapping[int, Streamed] = NO_INDICES) -> Iterator[Event]:
    """Wire: u16 count, then per packet u16 length and body. What is cut off is named once.

    `indices`, by Kite's number, come back as they were asked for.
    """
    count = int.from_bytes(frame[:2], "big")
    place = 2
    for _ in range(count):
        length = int.from_bytes(frame[place : place + 2], "big")
        body = frame[place + 2 : place + 2 + length]
        if len(frame) < place + 2 or len(body) < length:
            yield Unreadable("a packet that is cut off")
            return
        place += 2 + length
        found = tick(body, indices)
        if found is not None:
            yield found


def tick(body: bytes, indices: Mapping[int, Streamed] = NO_INDICES) -> Event | None:
    """One packet; None for a length that is not ours to read.

    Wire: u32 throughout; a zero among times, opens and closes means none. Indices have packets of their own, in which
    high and low come before open, and no volume.
    """
    size = len(body)
    if size not in (LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL):
        return None
    token = int.from_bytes(body[:4], "big")
    segment, exchange_token = token & 0xFF, str(token >> 8)
    exchange = EXCHANGES.get(segment)
    if exchange is None:
        return None
    if (index := indices.get(token)) is not None:
        exchange, exchange_token = index.exchange, index.exchange_token
    divisor = DIVISORS.get(segment, PAISE)
    if size == LTP:
        return Tick(exchange, exchange_token, Decimal(int.from_bytes(body[4:8], "big")) / divisor)
    numbers = struct.unpack_from(f">{min(size, 64) // 4}I", body)
    if size in (INDEX_QUOTE, INDEX_FULL):
        last, high, low, opened, close = (Decimal(number) / divisor for number in numbers[1:6])
        at = _instant(numbers[7]) if size == INDEX_FULL else None
        return Tick(exchange, exchange_token, last, close or None, at, opened or None, high or None, low or None)
    average, day_open, day_high, day_low, day_close = (
        Decimal(number) / divisor or None for number in (numbers[3], *numbers[7:11])
    )
    is_full = size == FULL
    return Tick(
        exchange,
        exchange_token,
        Decimal(numbers[1]) / divisor,
        day_close,
        _instant(numbers[15]) if is_full else None,
        day_open,
        day_high,
        day_low,
        average,
        Decimal(numbers[4]),
        Decimal(numbers[2]),
        _instant(numbers[11]) if is_full else None,
        Decimal(numbers[5]),
        Decimal(numbers[6]),
        Decimal(numbers[12]) if is_full else None,
        _levels(body, 64, divisor) if is_full else (),
        _levels(body, 124, divisor) if is_full else (),
    )


def _levels(body: bytes, start: int, divisor: Decimal) -> tuple[Level, ...]:
    """Five steps of 12 bytes: u32 quantity, u32 price, u16 orders, two bytes unused. Empty steps are left out."""
    steps = (struct.unpack_from(">IIH", body, start + 12 * number) for number in range(5))
    return tuple(
        Level(Decimal(price) / divisor, Decimal(quantity), orders) for quantity, price, orders in steps if price
    )


def _told(frame: str) -> Event:
    """A text: an order, an error, or a message of the broker's to everybody."""
    try:
        said = msgspec.json.decode(frame, type=dict[str, msgspec.Raw])
        kind = msgspec.json.decode(said["type"], type=str)
        if kind == "order":
            row = msgspec.json.decode(said["data"], type=dict[str, object])
            return OrderUpdate(str(row["order_id"]), STATUSES.get(str(row["status"]), OrderStatus.UNKNOWN))
    except (msgspec.DecodeError, KeyError, RecursionError):
        return Unreadable("a text")
    return Refused("The broker refused a wish.") if kind == "error" else Alive()


def _instant(seconds: int) -> datetime | None:
    return None if seconds == NO_TIME else datetime.fromtimestamp(seconds, UTC)


def _token(wanted: Streamed) -> int:
    if wanted.index_name:
        return INDEX_TOKENS[wanted.exchange, wanted.index_name]
    return instrument_token(wanted.exchange, int(wanted.exchange_token))


def _said(action: str, value: object) -> str:
    return msgspec.json.encode({"a": action, "v": value}).decode()
