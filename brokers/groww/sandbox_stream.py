"""Groww's live feed, simulated: the server's side of NATS over a WebSocket, protobuf as in fixtures/groww/feed_*."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import uuid4

from brokers.groww import feed, nats
from brokers.groww.nkeys import ACCOUNT, KeyPair, is_signed
from brokers.groww.sandbox_wire import STATUSES, WORDS, number_of
from brokers.secret import Secret
from brokers.simulation.book import Position
from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Instruments, Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession
from brokers.simulation.wire import double
from brokers.web_token import claims

MOST_SUBSCRIBED = 1000
LEVELS = 5
TOKEN_LIFETIME = timedelta(hours=12)
# our exchange → what a subject begins with
PLACES = {"NSE": "/ld/eq/nse", "BSE": "/ld/eq/bse", "NFO": "/ld/fo/nse", "BFO": "/ld/fo/bse"}
INDEX_PLACES = {"NSE": "/ld/indices/nse", "BSE": "/ld/indices/bse"}
OWN = ("stocks/order/updates.apex", "stocks_fo/order/updates.apex", "stocks_fo/position/updates.apex")

SEGMENTS = ("CASH", "FNO", "CURRENCY", "COMMODITY")  # by number, in orders

NOT_AUTHORISED = "Authorization Violation"
UNKNOWN_WORD = "Unknown Protocol Operation"
TOO_MANY = "maximum subscriptions exceeded"

# The public key that a token names → whether its session lives, and the account's own part of subjects.
Admit = Callable[[str], str | None]


class SocketTokens:
    """Mints the tokens of the socket, and judges them: signed by an account's key, as NATS's users are."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._account = KeyPair(ACCOUNT)
        self._now = now

    def mint(self, public: str) -> str:
        now = self._now()
        said = {
            "jti": uuid4().hex,
            "iat": int(now.timestamp()),
            "exp": int((now + TOKEN_LIFETIME).timestamp()),
            "iss": self._account.public,
            "name": "simulated",
            "sub": public,
            "nats": {"pub": {"deny": [">"]}, "sub": {}, "subs": MOST_SUBSCRIBED, "type": "user", "version": 2},
        }
        head = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(said)}"
        signature = self._account.signature(head).rstrip("=").translate(str.maketrans("+/", "-_"))
        return f"{head}.{signature}"

    def user(self, token: str) -> str | None:
        """The public key that a good token is for."""
        head, _, signature = token.rpartition(".")
        said = claims(Secret(token))
        is_alive = isinstance(said.get("exp"), int) and said["exp"] > self._now().timestamp()
        if not is_alive or not is_signed(self._account.public, head, signature, ACCOUNT):
            return None
        return str(said.get("sub"))


def _part(value: Mapping[str, object]) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class LiveFeed(StreamSession):
    """One socket. Nothing is served before the one who connects has signed this server's nonce.

    Whoever subscribes hears the last price at once, and then each new one. The real server closes a connection that it
    does not authorise; here it goes on refusing.
    """

    def __init__(
        self,
        market: Market,
        tokens: SocketTokens,
        admit: Admit,
        now: Callable[[], datetime],
        desk: Desk | None = None,
    ) -> None:
        super().__init__(market, desk)
        self._reader = nats.Reader(nats.OF_A_CLIENT)
        self._tokens = tokens
        self._admit = admit
        self._now = now
        self._nonce = secrets.token_urlsafe(11)
        self._own: frozenset[str] | None = None  # the account's own subjects, once it is known
        self._subjects: dict[str, str] = {}  # by the number of the subscription

    def opened(self) -> list[Frame]:
        greeting = {
            "server_id": f"N{sha256(self._nonce.encode()).hexdigest()[:55].upper()}",
            "server_name": "simulated",
            "version": "2.10.0",
            "proto": 1,
            "headers": True,
            "auth_required": True,
            "max_payload": 1 << 20,
            "nonce": self._nonce,
        }
        return [nats.line(nats.INFO, json.dumps(greeting).encode())]

    def received(self, frame: Frame) -> list[Frame]:
        said = self._reader.read(frame.encode() if isinstance(frame, str) else frame)
        answers = b"".join(answer for each in said for answer in self._answered(each))
        return [answers] if answers else []

    def _answered(self, said: nats.Line | nats.Message | nats.Broken) -> Iterator[bytes]:
        if not isinstance(said, nats.Line):
            yield error(UNKNOWN_WORD)
        elif said.word == nats.CONNECT:
            yield from self._connected(said.rest)
        elif self._own is None:
            yield error(NOT_AUTHORISED)
        elif said.word == b"PING":
            yield nats.PONG
        elif said.word == nats.SUB:
            yield from self._subscribed(said.rest)
        elif said.word == nats.UNSUB:
            for number in said.rest.decode(errors="replace").split()[:1]:
                self._subjects.pop(number, None)
                self.forget(number)

    def _connected(self, rest: bytes) -> Iterator[bytes]:
        try:
            options = json.loads(rest)
            token, signature = str(options["jwt"]), str(options["sig"])
            is_verbose = options.get("verbose", True)
        except (ValueError, KeyError, TypeError, RecursionError):
            yield error(NOT_AUTHORISED)
            return
        user = self._tokens.user(token)
        own = self._admit(user) if user and is_signed(user, self._nonce, signature) else None
        if own is None:
            yield error(NOT_AUTHORISED)
            return
        self._own = frozenset(f"{start}.{own}" for start in OWN)
        if is_verbose:
            yield nats.line(nats.OK)

    def _subscribed(self, rest: bytes) -> Iterator[bytes]:
        """`SUB <subject> [<group of listeners>] <number>`; groups are not known here."""
        words = rest.decode(errors="replace").split()
        if len(words) != 2:
            yield error(UNKNOWN_WORD)
            return
        subject, number = words
        listing = listing_of(subject, self.market.instruments)
        if not (subject in (self._own or ()) or subject.startswith("/ld/")):
            yield error(f'Permissions Violation for Subscription to "{subject}"')
        elif len(self._subjects) >= MOST_SUBSCRIBED:
            yield error(TOO_MANY)
        else:
            self._subjects[number] = subject
            if listing is not None:
                self.subscribed[number] = listing

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        """All in one frame."""
        at = self._now().timestamp() * 1000
        told = (
            (self._subjects[number], number, payload(self._subjects[number], listing, price, at))
            for number, listing, price in changed
        )
        return [b"".join(nats.message(subject.encode(), number.encode(), body) for subject, number, body in told)]

    def order_news(self) -> list[Frame]:
        """What became of orders between opening and asking for them is kept until then; a real server would not."""
        asked = any(subject in (self._own or ()) for subject in self._subjects.values())
        return super().order_news() if asked else []

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        """Under the subject of its segment, and that a position changed under that of contracts' positions."""
        numbers = {subject.rpartition(".")[0]: number for number, subject in self._subjects.items()}
        told = b"".join(
            nats.message(self._subjects[numbers[start]].encode(), numbers[start].encode(), body)
            for order in changed
            for start, body in self._order_messages(order)
            if start in numbers
        )
        return [told] if told else []

    def _order_messages(self, order: DeskOrder) -> Iterator[tuple[str, bytes]]:
        listing = self.market.instruments[order.asked.key]
        cash, contracts, positions = OWN
        yield cash if listing.is_cash else contracts, order_message(order, listing)
        row = self.desk.ledger.position(order.asked) if self.desk and order.filled and not listing.is_cash else None
        if row is not None:
            yield positions, position_message(row, listing)


def listing_of(subject: str, instruments: Instruments) -> Listing | None:
    """What trades under a subject of live data, whatever of it is asked for."""
    start, _, token = subject.rpartition(".")
    place, _, kind = start.rpartition("/")
    if kind not in ("price", "price_detailed", "book"):
        return None
    for each in instruments:
        places = INDEX_PLACES if each.is_index else PLACES
        if (places.get(each.exchange), number_of(each)) == (place, token):
            return each if kind == "price" or not each.is_index else None
    return None


def payload(subject: str, listing: Listing, price: Price, at: float) -> bytes:
    """The message of a price, which has no more than published, of all of it, of depth, or of an index."""
    said = feed.StocksSocketResponse()
    if listing.is_index:
        said.stocksLiveIndices.tsInMillis, said.stocksLiveIndices.value = at, double(price.last)
        return bytes(said.SerializeToString())
    said.symbol, said.exchange = listing.exchange_token, int(listing.exchange in ("NSE", "NFO"))
    said.segment = int(not listing.is_cash)
    kind = subject.rpartition(".")[0].rpartition("/")[2]
    if kind == "book":
        write_depth(said.stocksMarketDepth, listing, price, at)
        return bytes(said.SerializeToString())
    live = said.stockLivePrice
    live.tsInMillis, live.ltp = at, double(price.last)
    if kind == "price_detailed":
        live.open, live.high, live.low = double(price.open), double(price.high), double(price.low)
        live.close = double(price.close)
        live.volume = double(price.volume)
        live.avgPrice = double(((price.high + price.low + price.last) / 3).quantize(Decimal("0.01")))
        live.bidQty = live.offerQty = double(100 * listing.lot_size)
    return bytes(said.SerializeToString())


def order_message(order: DeskOrder, listing: Listing) -> bytes:
    """An order in numbers; prices in paise. A share is named by its ISIN, a contract by its symbol."""
    asked, units = order.asked, listing.contract_multiplier
    segment, exchange = WORDS[listing.exchange]
    word = STATUSES[order.status]
    said = feed.OrderDetailsBroadCast()
    row = said.orderDetailUpdateDto
    row.qty, row.filledQty, row.remainingQty = (
        number * units for number in (asked.quantity, order.filled, order.remaining)
    )
    row.price, row.triggerPrice = paise(asked.price), paise(asked.trigger_price)
    row.avgFillPrice = paise(order.average_price)
    row.growwOrderId, row.exchangeOrderId = order.order_id, order.exchange_order_id or ""
    row.orderStatus = feed.STATUSES.index("APPROVED" if word == "OPEN" else word)
    row.duration = feed.DURATIONS.index(asked.validity.value)
    row.exchange, row.segment = feed.EXCHANGES.index(exchange), SEGMENTS.index(segment)
    row.product = feed.PRODUCTS.index(asked.product.value)
    row.orderType = feed.ORDER_TYPES.index(asked.order_type.value)
    row.buySell = feed.SIDES.index(asked.side.value)
    row.remark = order.message
    row.contractId = (listing.isin or "") if listing.is_cash else listing.symbol
    return bytes(said.SerializeToString())


def position_message(row: Position, listing: Listing) -> bytes:
    said = feed.PositionDetail()
    said.positionInfo.symbolIsin = listing.symbol
    place = said.positionInfo.BSE if listing.exchange == "BFO" else said.positionInfo.NSE
    units = listing.contract_multiplier
    place.creditQty, place.creditPrice = double(row.day_buy_quantity * units), double(paise(row.day_buy_price))
    place.debitQty, place.debitPrice = double(row.day_sell_quantity * units), double(paise(row.day_sell_price))
    return bytes(said.SerializeToString())


def paise(price: Decimal | None) -> int:
    return round((price or Decimal(0)) * 100)


def write_depth(depth: Any, listing: Listing, price: Price, at: float) -> None:
    """Five steps on each side, a tick apart, numbered from 1."""
    depth.tsInMillis = at
    for number in range(1, LEVELS + 1):
        apart = number * listing.tick(price.last)
        for book, beside in ((depth.buyBook, price.last - apart), (depth.sellBook, price.last + apart)):
            book[number].price, book[number].qty = double(beside), double(listing.lot_size * number)


def error(words: str) -> bytes:
    return nats.line(nats.ERR, f"'{words}'".encode())
