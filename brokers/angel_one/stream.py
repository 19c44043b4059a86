"""SmartStream's packed prices, and the order-status socket's JSON.

Source: SmartAPI documentation, "WebSocket Streaming 2.0" and "WebSocket Order Status"; fixtures/angel_one/ws_*. Prices
are little-endian; a packet's first byte, the mode it was asked for in, says how long it is.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from brokers.angel_one import mapping
from brokers.angel_one.spec import SPEC, STATUSES
from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.errors import SessionEnded, UnexpectedResponse
from brokers.secret import Secret
from brokers.streaming import (
    Alive,
    BrokerStream,
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
    count,
    decoded,
    instant,
)
from brokers.transport import Transport
from brokers.wire import Row, as_record, record

# 7 is NCDEX, which is not an exchange of ours; BSE's currencies have no number.
EXCHANGE_TYPES = {
    Exchange.NSE: 1,
    Exchange.NFO: 2,
    Exchange.BSE: 3,
    Exchange.BFO: 4,
    Exchange.MCX: 5,
    Exchange.CDS: 13,
}
EXCHANGES = {number: exchange for exchange, number in EXCHANGE_TYPES.items()}
# Angel One's own tokens of indices; others stand in its master alone. UNCONFIRMED for the last two: no page shows them.
INDEX_TOKENS = {
    (Exchange.NSE, "Nifty 50"): "99926000",
    (Exchange.NSE, "Nifty Bank"): "99926009",
    (Exchange.BSE, "SENSEX"): "99919000",
    (Exchange.NSE, "India VIX"): "99926017",
}

LTP, QUOTE, SNAP_QUOTE, DEPTH = 1, 2, 3, 4
SIZES = {LTP: 51, QUOTE: 123, SNAP_QUOTE: 379, DEPTH: 443}
PAISE = Decimal(100)
DIVISORS = {Exchange.CDS: Decimal(10_000_000)}
PRICE = struct.Struct("<qq")  # from 35: the exchange's time in ms, the last price
DAY = struct.Struct("<qqqddqqqq")  # from 51: last quantity, average, volume, to buy, to sell, open, high, low, close
TRADED = struct.Struct("<qq")  # from 123: the last trade's time in s, open interest
STEP = struct.Struct("<hqqH")  # from 147, ten: is to buy, quantity, price, orders
DEEP_STEP = struct.Struct("<iiH")  # from 43 twenty to buy, then twenty to sell: quantity, price, orders
BUY = 1

OVER_LIMIT = "E1002"


class AngelOneStream(PriceStream):
    """Prices, in the mode `quote`: what the day was so far, without depth."""

    spec = SPEC
    path = "/smart-stream"
    # Tokens are counted once for each mode. How many fit a message is UNCONFIRMED: no figure is published.
    limits = StreamLimits(instruments=1000, batch=500, connections=3)
    # A ping is due every 30 s at least; more often, so that a dead connection shows sooner.
    beat_seconds = 4.0
    silence_seconds = 10.0

    def __init__(self, app: AppCredentials, session: Session) -> None:
        super().__init__(app, session)
        self._indices: dict[str, Streamed] = {}  # by Angel One's token; never more than INDEX_TOKENS

    def opening(self, http: Transport, base_url: str) -> Opening:
        return Opening(url=Secret(f"{base_url}{self.path}"), headers=_headers(self))

    def beat(self) -> Frame:
        return "ping"

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        if wanted.index_name:
            return (wanted.exchange, wanted.index_name) in INDEX_TOKENS
        return wanted.exchange in EXCHANGE_TYPES and wanted.exchange_token.isdecimal()

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Frame]:
        self._indices |= {_token(each): each for each in wanted if each.index_name and self.can_stream(each)}
        return self._said(1, wanted)

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Frame]:
        return self._said(0, unwanted)

    def _said(self, action: int, listed: Sequence[Streamed]) -> list[Frame]:
        known = (each for each in listed if self.can_stream(each))
        return [_request(action, batch) for batch in batches(known, self.limits.batch)]

    def received(self, frame: Frame) -> list[Event]:
        if isinstance(frame, str):
            return [_told(frame)]
        event = tick(frame)
        if isinstance(event, Tick) and (index := self._indices.get(event.exchange_token)):
            event = event._replace(exchange_token=index.exchange_token)
        return [event]

    @staticmethod
    def refused(status: int, headers: Mapping[str, str]) -> SessionOver | None:
        """A 401 names the header that is wrong; a 403 is the rate limit of the other calls, so it may be tried again.

        UNCONFIRMED for this socket: its 403 is not documented.
        """
        if status != 401:
            return None
        if "api key" in headers.get("x-error-message", "").lower():
            return SessionOver("The broker does not accept this app's API key.")
        return SessionOver("The broker does not accept this session.")


class AngelOneOrderStream(OrderStream):
    """Orders, from every platform. The broker has no stream of positions or funds."""

    spec = SPEC
    path = "/smart-order-update"
    limits = StreamLimits(instruments=0, batch=0, connections=3)
    beat_seconds = 10.0  # a WebSocket ping; no frame answers it

    def opening(self, http: Transport, base_url: str) -> Opening:
        return Opening(url=Secret(f"{base_url}{self.path}"), headers=_headers(self))

    def received(self, frame: Frame) -> list[Event]:
        """`order-status` is not believed: a published frame says AB00, connected, and tells of a rejected order."""
        try:
            row = record(as_record(decoded(frame), "frame"), "orderData")
        except UnexpectedResponse:
            return [Unreadable("a frame of orders")]
        order_id = row.get("orderid")
        if not order_id or not isinstance(order_id, str):
            return [Alive()]  # the first frame, whose order is empty
        return [_update(order_id, row)]


def tick(packet: bytes) -> Event:
    """One packet. A mode that is asked for elsewhere is read as well.

    Wire: prices in paise, of currencies in 10,000,000ths; a zero among prices and times means none. Mode 4 tells no
    price, only `deep`.
    """
    mode = packet[0] if packet else 0
    token, end, _ = packet[2:27].partition(b"\0")
    if len(packet) < SIZES.get(mode, len(packet) + 1) or not end or not token.isdigit():
        return Unreadable("a packet")
    exchange = EXCHANGES.get(packet[1])
    if exchange is None or mode == DEPTH:
        return Alive()
    divisor = DIVISORS.get(exchange, PAISE)
    at, last = PRICE.unpack_from(packet, 35)
    if last == 0:
        return Alive()  # not traded yet: a price of nothing would be taken for one
    told = Tick(exchange, token.decode(), Decimal(last) / divisor, at=instant(at))
    if mode == LTP:
        return told
    quantity, average, volume, to_buy, to_sell, *prices = DAY.unpack_from(packet, 51)
    day_open, day_high, day_low, close = (Decimal(price) / divisor or None for price in prices)
    told = told._replace(
        close_price=close,
        open_price=day_open,
        high_price=day_high,
        low_price=day_low,
        average_price=Decimal(average) / divisor or None,
        volume=Decimal(volume),
        last_quantity=Decimal(quantity),
        buy_quantity=count(to_buy),
        sell_quantity=count(to_sell),
    )
    if mode == QUOTE:
        return told
    traded, interest = TRADED.unpack_from(packet, 123)
    steps = [STEP.unpack_from(packet, 147 + STEP.size * number) for number in range(10)]
    return told._replace(
        traded_at=instant(traded * 1000),
        open_interest=Decimal(interest),
        bids=_levels((step[1:] for step in steps if step[0] == BUY), divisor),
        asks=_levels((step[1:] for step in steps if step[0] != BUY), divisor),
    )


def deep(packet: bytes) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """The twenty bids and twenty asks of a packet in mode 4, which `tick` has found whole: NSE's shares only."""
    steps = [DEEP_STEP.unpack_from(packet, 43 + DEEP_STEP.size * number) for number in range(40)]
    return _levels(steps[:20], PAISE), _levels(steps[20:], PAISE)


def _levels(steps: Iterable[tuple[int, ...]], divisor: Decimal) -> tuple[Level, ...]:
    """Steps of quantity, price and orders; one without a price is none."""
    return tuple(
        Level(Decimal(price) / divisor, Decimal(quantity), orders) for quantity, price, orders in steps if price
    )


def _told(frame: str) -> Event:
    """A text: the answer to a ping, or an error. Nothing acknowledges a wish."""
    if frame == "pong":
        return Alive()
    said = decoded(frame)
    code = said.get("errorCode") if isinstance(said, dict) else None
    if not isinstance(code, str):
        return Unreadable("a text")
    words = "The broker streams no more instruments here." if code == OVER_LIMIT else "The broker refused a wish."
    return Refused(words, code)


def _update(order_id: str, row: Row) -> OrderUpdate:
    try:
        [order] = mapping.orders(row)
    except UnexpectedResponse:
        return OrderUpdate(order_id, STATUSES.get(str(row.get("orderstatus")).lower(), OrderStatus.UNKNOWN))
    return OrderUpdate(order_id, order.status, order)


def _token(wanted: Streamed) -> str:
    return INDEX_TOKENS[wanted.exchange, wanted.index_name] if wanted.index_name else wanted.exchange_token


def _request(action: int, batch: Sequence[Streamed]) -> str:
    tokens: defaultdict[int, list[str]] = defaultdict(list)
    for each in batch:
        tokens[EXCHANGE_TYPES[each.exchange]].append(_token(each))
    listed = [{"exchangeType": number, "tokens": some} for number, some in tokens.items()]
    said = {"correlationID": "prices", "action": action, "params": {"mode": QUOTE, "tokenList": listed}}
    return msgspec.json.encode(said).decode()


def _headers(stream: BrokerStream) -> dict[str, Secret]:
    """Of both sockets. Raises SessionEnded where the login brought no feed token."""
    session = stream.session
    if session.feed_token is None or session.account_id is None:
        raise SessionEnded("This login brought no feed token: a new login is needed.")
    return {
        "Authorization": Secret(f"Bearer {session.access_token.reveal()}"),
        "x-api-key": stream.app.api_key,
        "x-client-code": Secret(session.account_id),
        "x-feed-token": session.feed_token,
    }
