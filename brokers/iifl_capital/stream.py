"""IIFL Capital's bridge: packed prices, and the account's orders and trades as JSON, all over one MQTT connection.

Source: IIFL Capital open API docs, "Streaming", and the layout of its published client; fixtures/iifl_capital/stream.
Packets are little-endian; the topic, not the packet, says what it is about.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal

from brokers import web_token
from brokers.domain import Exchange, Level, OrderStatus, Streamed, Tick
from brokers.errors import SessionEnded, UnexpectedResponse
from brokers.iifl_capital import mapping
from brokers.iifl_capital.instruments import WORDS
from brokers.iifl_capital.spec import EXCHANGES, SPEC
from brokers.secret import Secret
from brokers.streaming import (
    ASK,
    LEAVE,
    REFUSED,
    Alive,
    BookChanged,
    Event,
    Frame,
    Opening,
    OrderUpdate,
    PriceStream,
    Refused,
    SessionOver,
    StreamLimits,
    Unreadable,
    batches,
    decoded,
    instant,
    topics_frame,
)
from brokers.transport import Transport
from brokers.wire import Row, as_record, text

PRICES, INDICES = "prod/marketfeed/mw/v1/", "prod/marketfeed/index/v1/"
ORDERS, TRADES = "prod/updates/order/v1/", "prod/updates/trade/v1/"
# What else there is, in bytes: open interest, an exchange's state, bounds of orders, of the day and of the year. Each
# topic counts as a subscription and tells nothing that is shown, so that none is asked for.
OTHERS = {
    "prod/marketfeed/oi/v1/": 16,
    "prod/marketfeed/marketstatus/v1/": 2,
    "prod/marketfeed/lpp/v1/": 12,
    "prod/marketfeed/uppercircuit/v1/": 12,
    "prod/marketfeed/lowercircuit/v1/": 12,
    "prod/marketfeed/high52week/v1/": 12,
    "prod/marketfeed/low52week/v1/": 12,
}
MOST_TOPICS, OWN_TOPICS = 6000, 2

# From 0: last price, last quantity, volume, high, low, open, close, average, two bytes unused, best bid and best ask
# (quantity and price each), quantity to buy and to sell, divisor, the last trade's time in s. From 66 five steps to
# buy, from 126 five to sell: quantity, price, orders, and a side, which the place tells already. Two bytes are left.
PACKET = struct.Struct("<iIIiiiiiHIiIiIIii" + 10 * "IiHH" + "2x")
BIDS, ASKS = slice(17, 37), slice(37, 57)

EXCHANGE_OF = {word.lower(): exchange for word, exchange in EXCHANGES.items()}
BAD_LOGIN, NOT_AUTHORISED = 4, 5


class IiflCapitalStream(PriceStream):
    """Both in one: orders and trades come from every platform.

    UNCONFIRMED: how many connections an account may have; and whether the server's certificate passes, as the published
    client checks none. It is checked here, whatever comes of it.
    """

    spec = SPEC
    limits = StreamLimits(instruments=MOST_TOPICS - OWN_TOPICS, batch=1024)

    def opening(self, http: Transport, base_url: str) -> Opening:
        """The published client has the token looked at by another host first. UNCONFIRMED whether one must: others do
        without. Raises SessionEnded where the token does not say whose it is."""
        token = self.session.access_token.reveal()
        return Opening(url=Secret(base_url), username=Secret(self._client_id()), password=Secret(f"OPENID~~{token}~"))

    def hello(self) -> list[Frame]:
        client_id = self._client_id()
        return [topics_frame(ASK, [f"{ORDERS}{client_id}", f"{TRADES}{client_id}"])]

    def _client_id(self) -> str:
        found = web_token.claims(self.session.access_token).get("preferred_username") or self.session.account_id
        if not isinstance(found, str):
            raise SessionEnded("This login does not say whose it is: a new login is needed.")
        return found

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        """Indices have numbers of the broker's own, which stand in its master alone."""
        return not wanted.index_name and wanted.exchange in WORDS and wanted.exchange_token.isdecimal()

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Frame]:
        return self._said(ASK, wanted)

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Frame]:
        return self._said(LEAVE, unwanted)

    def _said(self, sign: str, listed: Sequence[Streamed]) -> list[Frame]:
        known = (each for each in listed if self.can_stream(each))
        return [topics_frame(sign, map(_topic, batch)) for batch in batches(known, self.limits.batch)]

    def received(self, frame: Frame) -> list[Event]:
        if isinstance(frame, str):
            is_refusal = frame.startswith(REFUSED)
            return [Refused("The broker refused a wish.") if is_refusal else Unreadable("a text")]
        topic, _, payload = frame.partition(b"\0")
        return [told(topic.decode(errors="replace"), payload)]

    @staticmethod
    def refused(status: int, headers: object) -> SessionOver | None:
        """UNCONFIRMED which of the two codes a dead token has: either ends the session."""
        dead = status in (BAD_LOGIN, NOT_AUTHORISED)
        return SessionOver("The broker does not accept this session.") if dead else None


def told(topic: str, payload: bytes) -> Event:
    """What a topic tells with a payload."""
    kind, version, name = topic.partition("/v1/")
    kind += version
    if kind in (PRICES, INDICES):
        word, _, number = name.partition("/")
        if not number.isdecimal():
            return Unreadable("a topic of prices")
        exchange = EXCHANGE_OF.get(word)
        return Alive() if exchange is None else tick(exchange, number, payload)
    if kind == ORDERS:
        return _order(payload)
    if kind == TRADES:
        return _trade(payload)
    if kind not in OTHERS:
        return Unreadable("a topic")
    return Alive() if len(payload) >= OTHERS[kind] else Unreadable("a packet")


def tick(exchange: Exchange, exchange_token: str, packet: bytes) -> Event:
    """One packet of prices.

    Wire: prices are whole numbers of which the packet names the divisor; a zero among prices and times means none.
    UNCONFIRMED: that volumes on MCX are not lots, they are taken as they stand; that times count from 1970, UTC, as in
    the published client, so that no tick is put in order by one; what no divisor means: others take it for 100, here
    such prices cannot be read.
    """
    if len(packet) < PACKET.size:
        return Unreadable("a packet")
    numbers = PACKET.unpack_from(packet)
    last, last_quantity, volume, *prices = numbers[:8]
    to_buy, to_sell, divided_by, traded = numbers[13:17]
    if last <= 0:
        return Alive()  # not traded yet
    if divided_by <= 0:
        return Unreadable("a packet without a divisor")
    divisor = Decimal(divided_by)
    high, low, opened, close, average = (Decimal(price) / divisor if price > 0 else None for price in prices)
    return Tick(
        exchange,
        exchange_token,
        Decimal(last) / divisor,
        close,
        None,
        opened,
        high,
        low,
        average,
        Decimal(volume),
        Decimal(last_quantity),
        instant(traded * 1000),
        Decimal(to_buy),
        Decimal(to_sell),
        None,
        _levels(numbers[BIDS], divisor),
        _levels(numbers[ASKS], divisor),
    )


def _levels(steps: Sequence[int], divisor: Decimal) -> tuple[Level, ...]:
    """Empty steps are left out."""
    return tuple(
        Level(Decimal(price) / divisor, Decimal(quantity), orders)
        for quantity, price, orders in zip(steps[::4], steps[1::4], steps[2::4], strict=True)
        if price > 0
    )


def _order(payload: bytes) -> Event:
    """An order's row, as in the book but for its `exchange`: without that only its state is told."""
    try:
        row = as_record(decoded(payload), "order")
        order_id = text(row, "brokerOrderId")
    except UnexpectedResponse:
        return Unreadable("an order")
    try:
        [order] = mapping.orders(row)
    except UnexpectedResponse:
        return OrderUpdate(order_id, _status(row))
    return OrderUpdate(order_id, order.status, order)


def _status(row: Row) -> OrderStatus:
    try:
        return mapping.status(row)
    except UnexpectedResponse:
        return OrderStatus.UNKNOWN


def _trade(payload: bytes) -> Event:
    """A fill, which moves positions. It does not say what becomes of its order, nor when it was in a form of ours:
    `fillDate` is the number of a day and `fillTime` a part of one. The book tells both."""
    try:
        text(as_record(decoded(payload), "trade"), "brokerOrderId")
    except UnexpectedResponse:
        return Unreadable("a trade")
    return BookChanged()


def _topic(wanted: Streamed) -> str:
    return f"{PRICES}{WORDS[wanted.exchange].lower()}/{wanted.exchange_token}"
