"""XTS's two sockets: prices of the market data application, orders of the interactive one.

Source: Symphony XTS docs and SDKs, "Socket"; fixtures/iifl/md_quotes_*, md_subscription* and socket_*. Both speak
Socket.IO 2, which travels in Engine.IO 3: texts that begin with a digit of each. What is streamed is said by calls of
the API; the socket of the prices only tells.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from brokers.domain import ZERO, Level, OrderStatus, Streamed, Tick
from brokers.errors import RateLimited, RequestRefused, UnexpectedResponse
from brokers.iifl import mapping
from brokers.iifl.auth import feed_token
from brokers.iifl.instruments import SEGMENT_CODES
from brokers.iifl.spec import ALREADY_SUBSCRIBED, OVER_LIMIT, SPEC, STATUSES, TOUCHLINE
from brokers.secret import Secret
from brokers.streaming import (
    LATEST,
    Alive,
    BookChanged,
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
    Wish,
    batches,
    decoded,
    instant,
)
from brokers.transport import Transport
from brokers.wire import Row, amount, as_record, as_rows, first_text, number, positive, text, translated

SUBSCRIPTION = "/apimarketdata/instruments/subscription"

# Engine.IO's packets, and Socket.IO's inside its messages.
OPEN, PING, MESSAGE = "0", "2", "4"
ENGINE_PACKETS = frozenset("0123456")
CONNECT, DISCONNECT, EVENT, ACKNOWLEDGEMENT, REFUSAL = "0", "1", "2", "3", "4"

BEAT_SECONDS = 4.0
SHORTEST_BEAT = 1.0

DEPTH, LAST_PRICE, INTEREST = 1502, 1512, 1510
# Our names of the events that tell prices; of the others nobody asked.
PRICES = frozenset(f"{code}-json-full" for code in (TOUCHLINE, DEPTH, LAST_PRICE))
PARTIAL = "-json-partial"
ORDERS = frozenset({"order", "trade"})
BOOKS = frozenset({"position", "tradeConversion"})

EXCHANGES = {code: exchange for exchange, code in SEGMENT_CODES.items()}
XTS_EPOCH = 315_532_800 - 19_800  # 1980-01-01 on an Indian wall, in seconds since 1970
MAGNITUDES = range(-9, 13)  # of a number that is meant: beyond, arithmetic that never rounds would not end


class _Blaze(BrokerStream):
    """Either socket. The client is the one that pings, at the latest as often as the server's first packet says; more
    often, so that a dead connection shows sooner."""

    spec = SPEC
    beat_seconds = BEAT_SECONDS
    silence_seconds = 10.0
    params: ClassVar[Mapping[str, str]]

    def _opening(self, base_url: str, token: Secret, user_id: str) -> Opening:
        """The token stands in the address."""
        query = {"token": token.reveal(), "userID": user_id, **self.params, "EIO": "3", "transport": "websocket"}
        return Opening(url=Secret(f"{base_url}{self.path}?{urlencode(query)}"))

    def beat(self) -> Frame:
        return PING

    def received(self, frame: Frame) -> list[Event]:
        if not isinstance(frame, str) or frame[:1] not in ENGINE_PACKETS:
            return [Unreadable("a packet")]
        if frame[0] == OPEN:
            self._keep_pace(decoded(frame[1:]))
            return []
        return self._message(frame[1:]) if frame[0] == MESSAGE else [Alive()]

    def _keep_pace(self, said: Any) -> None:
        interval = said.get("pingInterval") if isinstance(said, dict) else None
        if type(interval) is int and interval > 0:
            self.beat_seconds = max(SHORTEST_BEAT, min(BEAT_SECONDS, interval / 1000))

    def _message(self, packet: str) -> list[Event]:
        """UNCONFIRMED how a dead session is told: at the handshake, by a refusal, or by a farewell. Any of them counts;
        whoever hears of it asks the broker whether it is true."""
        kind = packet[:1]
        if kind == EVENT:
            return self._happened(packet)
        if kind in (REFUSAL, DISCONNECT):
            return [SessionOver("The broker does not accept this session any more.")]
        return [Alive() if kind in (CONNECT, ACKNOWLEDGEMENT) else Unreadable("a message")]

    def _happened(self, packet: str) -> list[Event]:
        """Wire: `2["name","{…}"]`, a number between them where an acknowledgement is asked for. What is told is JSON
        inside a text; a bare object is read as well."""
        _, _, listed = packet.partition("[")
        said = decoded(f"[{listed}")
        if not isinstance(said, list) or not said or not isinstance(said[0], str):
            return [Unreadable("an event")]
        name, told = said[0], said[1] if len(said) > 1 else None
        if name == "logout":
            return [SessionOver("Another login has taken this session's place.")]
        if name == "error":
            return [Refused("The broker's stream tells of an error.")]
        return [self._told(name, told)]

    @abstractmethod
    def _told(self, name: str, told: Any) -> Event:
        """What an event means that is not the same on both sockets."""

    @staticmethod
    def refused(status: int, headers: Mapping[str, str]) -> SessionOver | None:
        """A dead token is a 400 in all of XTS; UNCONFIRMED at the handshake."""
        return SessionOver("The broker does not accept this session.") if status in (400, 401, 403) else None


class IiflStream(_Blaze, PriceStream):
    """Touchlines: the day so far, and the best bid and ask."""

    path = "/apimarketdata/socket.io/"
    has_own_session = True
    # UNCONFIRMED: IIFL publishes no figure. The one published answer leaves 49 after the first; a message of as many
    # is what quotes may ask for.
    limits = StreamLimits(instruments=50, batch=50)
    params = {"publishFormat": "JSON", "broadcastMode": "Full"}

    def opening(self, http: Transport, base_url: str) -> Opening:
        facts = self.session.facts
        token = feed_token(self.app, self.session)
        return self._opening(base_url, token, facts.get(mapping.MARKET_USER) or facts["userID"])

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        """The exchange's number is XTS's. Indices have numbers of XTS's own, in a list that would have to be read."""
        return not wanted.index_name and wanted.exchange in SEGMENT_CODES and wanted.exchange_token.isdecimal()

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Wish]:
        return [partial(self._subscribed, batch) for batch in self._known(wanted)]

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Wish]:
        return [partial(self._unsubscribed, batch) for batch in self._known(unwanted)]

    def _known(self, listed: Sequence[Streamed]) -> list[list[Streamed]]:
        return batches((each for each in listed if self.can_stream(each)), self.limits.batch)

    def _subscribed(self, batch: Sequence[Streamed], http: Transport) -> list[Event]:
        """The answer carries the last prices. That something is "already subscribed" does not, nor does it say what
        became of the rest: then all is taken back, and asked for anew. (A subscription is the session's, and outlives
        the socket: inferred from that answer.)
        """
        try:
            return self._asked(batch, http)
        except RequestRefused as refused:
            if refused.code != ALREADY_SUBSCRIBED.code:
                return [_refusal(refused)]
        self._unsubscribed(batch, http)
        try:
            return self._asked(batch, http)
        except RequestRefused as refused:
            return [Alive() if refused.code == ALREADY_SUBSCRIBED.code else _refusal(refused)]

    def _asked(self, batch: Sequence[Streamed], http: Transport) -> list[Event]:
        try:
            return quotes(self._call("POST", batch, http))
        except RateLimited as error:
            if error.vendor_code != OVER_LIMIT:
                raise
            return [Refused("The broker streams no more instruments here.", OVER_LIMIT)]

    def _unsubscribed(self, batch: Sequence[Streamed], http: Transport) -> list[Event]:
        try:
            self._call("PUT", batch, http)
        except RequestRefused as refused:
            return [_refusal(refused)]
        return [Alive()]

    def _call(self, method: str, batch: Sequence[Streamed], http: Transport) -> Any:
        """Either call may be made twice, so it is no write. Raises a BrokerError."""
        token = feed_token(self.app, self.session)
        listed = [
            {"exchangeSegment": SEGMENT_CODES[each.exchange], "exchangeInstrumentID": int(each.exchange_token)}
            for each in batch
        ]
        return http.call(
            method,
            SUBSCRIPTION,
            json={"instruments": listed, "xtsMessageCode": TOUCHLINE},
            authorization=token,
            secrets=(token, self.session.access_token, self.app.api_secret, self.app.api_key),
        )

    def _told(self, name: str, told: Any) -> Event:
        """Full messages are asked for; the short form of partial ones is not read."""
        if name.endswith(PARTIAL):
            return Unreadable("a partial message")
        return tick(told) if name in PRICES else Alive()


class IiflOrderStream(_Blaze, OrderStream):
    """Orders, with every state and every fill; and that positions changed."""

    path = "/interactive/socket.io/"
    limits = StreamLimits(instruments=0, batch=0)
    params = {"apiType": "INTERACTIVE"}

    def opening(self, http: Transport, base_url: str) -> Opening:
        return self._opening(base_url, self.session.access_token, self.session.facts["userID"])

    def _told(self, name: str, told: Any) -> Event:
        if name in ORDERS:
            return order(told)
        return BookChanged() if name in BOOKS else Alive()


def quotes(body: Any) -> list[Event]:
    """The prices that the answer to a subscription carries; one that cannot be read does not hide the others."""
    try:
        rows = mapping.quote_rows(mapping.data(body))
    except UnexpectedResponse:
        return [Unreadable("the answer to a subscription")]
    return [tick(row) for row in rows] or [Alive()]


def tick(told: object) -> Event:
    """A message 1501, 1502 or 1512, as it comes on the socket or in an answer.

    Wire: INR; a price of zero means none, a count of zero is a count. `Close` is the previous day's. 1512 is flat, and
    so may 1501 be; 1502 has five steps of depth, empty ones among them, 1501 the best of them.
    """
    try:
        row = mapping.document(told)
        figures = mapping.touchline(row)
        exchange = translated(EXCHANGES, row.get("ExchangeSegment"), "ExchangeSegment")
        token = text(row, "ExchangeInstrumentID")
        last = _price(figures, "LastTradedPrice")
        if last is None:
            return Alive()  # not traded yet
        return Tick(
            exchange,
            token,
            last,
            close_price=_price(figures, "Close"),
            at=_time(row, "ExchangeTimeStamp") or _time(figures, "LastUpdateTime"),
            open_price=_price(figures, "Open"),
            high_price=_price(figures, "High"),
            low_price=_price(figures, "Low"),
            average_price=_price(figures, "AverageTradedPrice"),
            volume=_count(figures, "TotalTradedQuantity"),
            last_quantity=_count(figures, "LastTradedQunatity", "LastTradedQuantity"),
            traded_at=_time(figures, "LastTradedTime"),
            buy_quantity=_count(figures, "TotalBuyQuantity"),
            sell_quantity=_count(figures, "TotalSellQuantity"),
            bids=_levels(row.get("Bids") or [figures.get("BidInfo")]),
            asks=_levels(row.get("Asks") or [figures.get("AskInfo")]),
        )
    except UnexpectedResponse:
        return Unreadable("a quote")


def open_interest(told: object) -> Decimal:
    """A message 1510, which tells no price: asked for elsewhere. Raises UnexpectedResponse."""
    return amount(mapping.document(told), "OpenInterest")


def order(told: object) -> Event:
    """An `order` or `trade` event. Where its row cannot be read whole, its number and state are told."""
    try:
        row = as_record(decoded(told) if isinstance(told, str) else told, "event")
        order_id, word = first_text(row, "AppOrderID"), text(row, "OrderStatus")
    except UnexpectedResponse:
        return Unreadable("an event of orders")
    try:
        found = mapping.told_order(row)
    except UnexpectedResponse:
        return OrderUpdate(order_id, STATUSES.get(word, OrderStatus.UNKNOWN))
    return OrderUpdate(order_id, found.status, found)


def _refusal(refused: RequestRefused) -> Refused:
    return Refused("The broker refused a wish.", refused.vendor_code)


def _price(row: Row, name: str) -> Decimal | None:
    return _meant(positive(row, name), name) if name in row else None


def _count(row: Row, *names: str) -> Decimal | None:
    """By the first of its spellings that is there."""
    return next((_meant(number(row[name], name), name) for name in names if name in row), None)


def _meant(value: Decimal | None, name: str) -> Decimal | None:
    if value and value.adjusted() not in MAGNITUDES:
        raise UnexpectedResponse(name, "is beyond any market")
    return value


def _time(row: Row, name: str) -> datetime | None:
    """Seconds since 1980 of the clock on an Indian wall."""
    seconds = number(row.get(name), name)
    return instant((XTS_EPOCH + int(seconds)) * 1000) if seconds and 0 < seconds < LATEST else None


def _levels(steps: object) -> tuple[Level, ...]:
    """A step without a price is none."""
    found = (as_record(step, "depth") for step in as_rows(steps, "depth") if step is not None)
    return tuple(
        Level(price, _count(step, "Size") or ZERO, int(_count(step, "TotalOrders") or ZERO))
        for step in found
        if (price := _price(step, "Price")) is not None
    )
