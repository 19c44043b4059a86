"""Groww's live feed: prices, order news and position news, protobuf over NATS over one WebSocket.

Source: Groww Trade API documentation, "Feed", and the SDK growwapi 1.5.0; fixtures/groww/feed_*. A connection has a key
pair of its own: a call trades its public half for a token, the private one signs the server's greeting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from brokers.domain import (
    AppCredentials,
    BrokerOrder,
    Exchange,
    Level,
    OrderStatus,
    Session,
    Side,
    Streamed,
    Tick,
)
from brokers.errors import UnexpectedResponse
from brokers.groww import feed, nats
from brokers.groww.instruments import quote_key
from brokers.groww.mapping import as_payload
from brokers.groww.nkeys import KeyPair
from brokers.groww.spec import EXCHANGES, ORDER_TYPES, PRODUCTS, SPEC, STATUSES, VALIDITIES
from brokers.secret import Secret
from brokers.streaming import (
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
    count,
    decoded,
    exact,
    instant,
)
from brokers.transport import Transport
from brokers.wire import order_status, text, translated

SOCKET_TOKEN = "/v1/api/apex/v1/socket/token/create/"  # noqa: S105 - a path

PRICES = {
    Exchange.NSE: "/ld/eq/nse/price",
    Exchange.BSE: "/ld/eq/bse/price",
    Exchange.NFO: "/ld/fo/nse/price",
    Exchange.BFO: "/ld/fo/bse/price",
}
# The two whose tokens are published; others stand in Groww's master alone.
INDICES = {
    (Exchange.NSE, "Nifty 50"): "/ld/indices/nse/price.NIFTY",
    (Exchange.BSE, "SENSEX"): "/ld/indices/bse/price.1",
}
# What is told of the account, by the start of its subject: the segment of the orders.
ORDERS = {"stocks/order/updates.apex": "CASH", "stocks_fo/order/updates.apex": "FNO"}
POSITIONS = "stocks_fo/position/updates.apex"
PLAIN = re.compile(r"[^\s.*>\x00-\x1f]+")  # what may be a part of a subject

# Orders and positions are told in paise, as INFERRED from published samples: their fields are whole numbers.
PAISE = Decimal(100)
IN_SECONDS = 1e11  # a time below it is in seconds, as one published sample is

# What the server says where it refuses, in small letters, as far as it is the same for everybody.
OVER = ("authorization violation", "user authentication revoked", "account authentication expired")
REFUSED = "The broker refused a wish."
REFUSALS = {
    "maximum subscriptions exceeded": "The broker streams no more instruments here.",
    "maximum connections exceeded": "The broker opens no more connections for this account.",
    "maximum account active connections exceeded": "The broker opens no more connections for this account.",
    "permissions violation": "The broker does not stream this to this account.",
    "user authentication expired": "The broker wants a new connection.",  # the socket's token has ended, no session
    "authentication timeout": "The broker was not answered in time.",
    "stale connection": "The broker heard nothing of us.",
    "slow consumer": "The broker found us too slow.",
    "server shutdown": "The broker closes this connection.",
    **dict.fromkeys(("invalid subject", "parser error", "unknown protocol operation"), REFUSED),
    **dict.fromkeys(("maximum control line exceeded", "maximum payload violation"), REFUSED),
}


class GrowwStream(PriceStream):
    """All in one: last prices, orders of both segments, and that positions of contracts changed.

    Wishes that come before the server has greeted wait for it: said earlier, they end the connection. What the server
    last told of an instrument is not told again to whoever asks anew, or so NATS works: UNCONFIRMED here.
    """

    spec = SPEC
    # A thousand subscriptions, of which the account's own news take three. A message's size is UNCONFIRMED.
    limits = StreamLimits(instruments=997, batch=100, connections=1)
    # The SDK's is 60; more often, so that a dead connection shows sooner.
    beat_seconds = 10.0
    silence_seconds = 25.0
    # One operator saw the connections that he was allowed shrink for 40 minutes after many in a short time.
    least_pause = 10.0

    def __init__(self, app: AppCredentials, session: Session) -> None:
        super().__init__(app, session)
        self._reader = nats.Reader()
        self._keys: KeyPair | None = None
        self._token = Secret("")
        self._orders: dict[bytes, str] = {}  # subject → segment
        self._positions: bytes | None = None
        self._wanted: dict[bytes, Streamed] = {}  # by subject, as are the numbers
        self._numbers: dict[bytes, bytes] = {}
        self._last_number = 0
        self._waiting: list[Frame] | None = None  # wishes, from the opening until the server's greeting
        self._answers: list[Frame] = []
        self._is_pinged = False

    def opening(self, http: Transport, base_url: str) -> Opening:
        """The socket itself is open to everybody; what it serves is decided by what is said on it."""
        keys, access = KeyPair(), self.session.access_token
        said = http.call(
            "POST",
            SOCKET_TOKEN,
            authorization=Secret(f"Bearer {access.reveal()}"),
            json={"socketKey": keys.public},
            secrets=(access, self.app.api_secret, self.app.api_key),
        )
        row = as_payload(said)
        self._token, own = Secret(text(row, "token")), text(row, "subscriptionId")
        if not PLAIN.fullmatch(own):
            raise UnexpectedResponse("subscriptionId", "cannot be a part of a subject")
        self._orders = {f"{start}.{own}".encode(): segment for start, segment in ORDERS.items()}
        self._positions = f"{POSITIONS}.{own}".encode()
        self._keys, self._waiting = keys, []
        return Opening(url=Secret(base_url))

    def beat(self) -> Frame:
        return nats.PING

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        return subject(wanted) is not None

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Frame]:
        new = {name: each for each in wanted if (name := subject(each)) is not None and name not in self._numbers}
        self._wanted |= new
        frames = [b"".join(map(self._subscription, names)) for names in batches(new, self.limits.batch)]
        return self._said_or_kept(frames)

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Frame]:
        lines = [
            nats.line(nats.UNSUB, self._forgotten(name))
            for each in unwanted
            if (name := subject(each)) is not None and name in self._wanted
        ]
        frames = [b"".join(some) for some in batches(lines, self.limits.batch)]
        return self._said_or_kept(frames)

    def _subscription(self, name: bytes) -> bytes:
        self._last_number += 1
        self._numbers[name] = b"%d" % self._last_number
        return nats.line(nats.SUB, name, self._numbers[name])

    def _forgotten(self, name: bytes) -> bytes:
        """Its number."""
        del self._wanted[name]
        return self._numbers.pop(name)

    def _said_or_kept(self, frames: Sequence[bytes]) -> list[Frame]:
        if self._waiting is None:
            return list(frames)
        self._waiting += frames
        return []

    def answers(self) -> list[Frame]:
        said, self._answers = self._answers, []
        if self._is_pinged:
            said.append(nats.PONG)
            self._is_pinged = False
        return said

    def received(self, frame: Frame) -> list[Event]:
        if isinstance(frame, str):
            return [Unreadable("a text")]
        return [self._heard(said) for said in self._reader.read(frame)]

    def _heard(self, said: nats.Line | nats.Message | nats.Broken) -> Event:
        if isinstance(said, nats.Message):
            return self._told(said)
        if isinstance(said, nats.Broken):
            return Unreadable(said.place)
        if said.word == nats.INFO:
            return self._greeted(said.rest)
        if said.word == nats.ERR:
            return refusal(said.rest)
        self._is_pinged |= said.word == b"PING"
        return Alive()

    def _told(self, said: nats.Message) -> Event:
        """What a message means is told by its subject: its body does not reliably name the instrument."""
        wanted = self._wanted.get(said.subject)
        try:
            if wanted is not None:
                return tick(wanted, said.payload)
            if said.subject in self._orders:
                return order_update(said.payload, self._orders[said.subject])
            if said.subject == self._positions:
                feed.PositionDetail.FromString(said.payload)
                return BookChanged()
        except DecodeError:
            return Unreadable("a message")
        return Alive()  # of something that is not wanted any more

    def _greeted(self, rest: bytes) -> Event:
        """The first greeting is answered by who we are; later ones tell of other servers."""
        greeting = decoded(rest)
        if not isinstance(greeting, dict):
            return Unreadable("a greeting")
        if self._keys is None or self._waiting is None:
            return Alive()
        options: dict[str, object] = {
            "verbose": False,
            "pedantic": False,
            "headers": False,
            "protocol": 1,
            "lang": "python",
            "version": "1",
            "jwt": self._token.reveal(),
        }
        nonce = greeting.get("nonce")
        if isinstance(nonce, str):
            options["sig"] = self._keys.signature(nonce)
        own = [*self._orders, *([self._positions] if self._positions else [])]
        news = b"".join(self._subscription(name) for name in own)
        connect = nats.line(nats.CONNECT, msgspec.json.encode(options))
        self._answers += [connect + nats.PING + news, *self._waiting]
        self._keys, self._waiting = None, None
        return Alive()


def subject(wanted: Streamed) -> bytes | None:
    """`/ld/eq/nse/price.2885` of a share, `/ld/indices/nse/price.NIFTY` of an index; None where there is none."""
    if wanted.index_name:
        name = INDICES.get((wanted.exchange, wanted.index_name))
        return name.encode() if name else None
    start, token = PRICES.get(wanted.exchange), wanted.exchange_token
    return f"{start}.{token}".encode() if start and token.isdecimal() else None


def tick(wanted: Streamed, payload: bytes) -> Event:
    """One message of a price, or of an index. Raises DecodeError.

    Wire: rupees; what is zero is left out, so nothing is told to be zero. `close` is not read: UNCONFIRMED that it is
    the previous day's, which it is not in the calls; nor the quantities that are bid and offered, which may be those of
    the best step alone.
    """
    said = feed.StocksSocketResponse.FromString(payload)
    kind = said.WhichOneof("choice")
    if kind == "stocksLiveIndices":
        last, at = exact(said.stocksLiveIndices.value), moment(said.stocksLiveIndices.tsInMillis)
        return Alive() if last is None else Tick(wanted.exchange, wanted.exchange_token, last, at=at)
    price = said.stockLivePrice
    last = exact(price.ltp)
    if kind != "stockLivePrice" or last is None:
        return Alive()
    return Tick(
        wanted.exchange,
        wanted.exchange_token,
        last,
        at=moment(price.tsInMillis),
        open_price=exact(price.open),
        high_price=exact(price.high),
        low_price=exact(price.low),
        average_price=exact(price.avgPrice),
        volume=count(price.volume) or None,
        open_interest=count(price.openInterest) or None,
    )


def deep(payload: bytes) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """The five bids and five asks of a message of depth, which has a subject of its own. Raises DecodeError."""
    depth = feed.StocksSocketResponse.FromString(payload).stocksMarketDepth
    return _levels(depth.buyBook), _levels(depth.sellBook)


def _levels(steps: Mapping[int, Any]) -> tuple[Level, ...]:
    """By their number, from the best; a step without a price is none."""
    found = ((exact(steps[number].price), count(steps[number].qty)) for number in sorted(steps))
    return tuple(Level(price, quantity) for price, quantity in found if price is not None and quantity is not None)


def order_update(payload: bytes, segment: str) -> OrderUpdate | Unreadable:
    """An order's message; whole for contracts only: a share is named by its ISIN there. Raises DecodeError."""
    row = feed.OrderDetailsBroadCast.FromString(payload).orderDetailUpdateDto
    if not row.growwOrderId:
        return Unreadable("an order")
    quantity, filled = Decimal(row.qty), Decimal(row.filledQty)
    word = named(feed.STATUSES, row.orderStatus) or str(row.orderStatus)
    status = order_status(STATUSES, word, filled, quantity)
    try:
        order = _order(row, segment, status, word) if segment == "FNO" else None
    except UnexpectedResponse:
        order = None
    return OrderUpdate(row.growwOrderId, status, order)


def _order(row: Any, segment: str, status: OrderStatus, word: str) -> BrokerOrder:
    """Without a time, and without a tag: UNCONFIRMED that `guiOrderId` is the reference that an order was sent with."""
    exchange = translated(EXCHANGES, (segment, named(feed.EXCHANGES, row.exchange)), "exchange")
    if not row.contractId:
        raise UnexpectedResponse("contractId", "is missing")
    return BrokerOrder(
        broker_order_id=row.growwOrderId,
        exchange_order_id=row.exchangeOrderId or None,
        exchange=exchange,
        tradingsymbol=row.contractId,
        broker_token=quote_key(exchange, row.contractId),
        side=Side(named(feed.SIDES, row.buySell) or ""),
        order_type=translated(ORDER_TYPES, named(feed.ORDER_TYPES, row.orderType), "orderType"),
        product=translated(PRODUCTS, named(feed.PRODUCTS, row.product), "product"),
        validity=translated(VALIDITIES, named(feed.DURATIONS, row.duration), "duration"),
        quantity=Decimal(row.qty),
        filled_quantity=Decimal(row.filledQty),
        price=rupees(row.price),
        trigger_price=rupees(row.triggerPrice),
        average_price=rupees(row.avgFillPrice),
        status=status,
        status_message=word if status is OrderStatus.UNKNOWN else row.remark or None,
        tag=None,
        placed_at=None,
    )


def rupees(paise: int) -> Decimal | None:
    """0 stands for "no price"."""
    return Decimal(paise) / PAISE if paise > 0 else None


def named(words: Sequence[str], number: int) -> str | None:
    return words[number] if 0 <= number < len(words) else None


def moment(stamp: float) -> datetime | None:
    """Milliseconds or seconds since the epoch, told apart by their size."""
    if not 0 < stamp < IN_SECONDS * 1000:
        return None
    return instant(int(stamp if stamp >= IN_SECONDS else stamp * 1000))


def refusal(rest: bytes) -> SessionOver | Refused | Unreadable:
    """`-ERR '<words>'`. Words that are not in a table are not believed to mean anything."""
    words = rest.decode(errors="replace").strip("' ").lower()
    if words.startswith(OVER):
        return SessionOver("The broker does not accept this session.")
    code = next((known for known in REFUSALS if words.startswith(known)), None)
    return Refused(REFUSALS[code], code) if code else Unreadable("an error")
