"""Upstox's market data feed v3, protobuf, and its portfolio stream, JSON.

Source: Upstox API documentation, "Market Data Feed V3" and "Portfolio Stream Feed"; fixtures/upstox/feed_* and
portfolio_stream_*. Each connection has an address of its own, good for once, that a call asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Session, Streamed, Tick
from brokers.errors import UnexpectedResponse
from brokers.secret import Secret
from brokers.streaming import (
    Alive,
    BookChanged,
    BrokerStream,
    Event,
    Frame,
    Opening,
    OrderStream,
    OrderUpdate,
    PriceStream,
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
from brokers.upstox import mapping
from brokers.upstox.feed import FeedResponse
from brokers.upstox.instruments import INDEX_SEGMENTS, SEGMENTS, share_key
from brokers.upstox.spec import SPEC, STATUSES
from brokers.wire import as_record, text

SHARES = frozenset({Exchange.NSE, Exchange.BSE})
MODE = "full"
DAY = "1d"  # beside it there are candles of one minute


class _OneTimeAddress(BrokerStream):
    """Both sockets are opened alike."""

    params: Mapping[str, str] = {}

    def opening(self, http: Transport, base_url: str) -> Opening:
        """The address needs no header: its code lets in whoever has it, once. It may lead to any host of the broker."""
        token = self.session.access_token
        said = http.call(
            "GET",
            f"{self.path}/authorize",
            authorization=Secret(f"Bearer {token.reveal()}"),
            params=self.params,
            secrets=(token, self.app.api_secret, self.app.api_key),
        )
        url = text(as_record(mapping.data(said), "data"), "authorized_redirect_uri")
        if not url.startswith(f"{base_url.partition('://')[0]}://"):
            raise UnexpectedResponse("authorized_redirect_uri", "is not an address of a WebSocket")
        return Opening(url=Secret(url))

    @staticmethod
    def refused(status: int, headers: Mapping[str, str]) -> SessionOver | None:
        """The one-time address was refused, which says nothing of the session: `opening` will hear of that.

        UNCONFIRMED: how a used address is refused.
        """
        return None


class UpstoxStream(_OneTimeAddress, PriceStream):
    """Prices, in the mode `full`: the day so far, and five steps of depth. A quiet market sends nothing but pings."""

    spec = SPEC
    path = "/v3/feed/market-data-feed"
    # For one mode only. A message's size is UNCONFIRMED: no figure is published; nor is it sure that there may be two
    # connections.
    limits = StreamLimits(instruments=2000, batch=500, connections=1)

    def __init__(self, app: AppCredentials, session: Session) -> None:
        super().__init__(app, session)
        self._wanted: dict[str, Streamed] = {}  # by Upstox's key, which does not tell a share's number

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        return key(wanted) is not None

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Frame]:
        self._wanted |= {name: each for each in wanted if (name := key(each)) is not None}
        return self._said("sub", wanted)

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Frame]:
        for each in unwanted:
            self._wanted.pop(key(each) or "", None)
        return self._said("unsub", unwanted)

    def _said(self, method: str, listed: Sequence[Streamed]) -> list[Frame]:
        """JSON, in a binary frame."""
        known = (each for each in listed if self.can_stream(each))
        return [
            msgspec.json.encode(
                {
                    "guid": "prices",
                    "method": method,
                    "data": {"mode": MODE, "instrumentKeys": [key(each) for each in batch]},
                }
            )
            for batch in batches(known, self.limits.batch)
        ]

    def received(self, frame: Frame) -> list[Event]:
        """Wire: `market_info` first, then one `initial_feed`, then `live_feed`; the last two look alike."""
        if isinstance(frame, str):
            return [Unreadable("a text")]
        try:
            said = FeedResponse.FromString(frame)
        except DecodeError:
            return [Unreadable("a frame")]
        return list(self._ticks(said)) or [Alive()]

    def _ticks(self, said: Any) -> Iterator[Tick]:
        at = instant(said.currentTs)  # UNCONFIRMED that this is the exchange's time; there is no other but the trade's
        for name, feed in said.feeds.items():
            wanted = self._wanted.get(name)
            told = None if wanted is None else tick(wanted, feed, at)
            if told is not None:
                yield told


class UpstoxOrderStream(_OneTimeAddress, OrderStream):
    """Orders, from every platform; and that holdings or positions changed, whose frames have no confirmed shape."""

    spec = SPEC
    path = "/v2/feed/portfolio-stream-feed"
    params = {"update_types": "order,position,holding"}
    limits = StreamLimits(instruments=0, batch=0, connections=1)

    def received(self, frame: Frame) -> list[Event]:
        """An order's frame is the payload of a webhook, which in its older form does not say what it tells of."""
        try:
            row = as_record(decoded(frame), "frame")
            if row.get("update_type", "order") != "order":
                return [BookChanged()]
            order_id, word = text(row, "order_id"), text(row, "status")
        except UnexpectedResponse:
            return [Unreadable("a frame of orders")]
        try:
            [order] = mapping.orders(row)
        except UnexpectedResponse:
            return [OrderUpdate(order_id, STATUSES.get(word.lower(), OrderStatus.UNKNOWN))]
        return [OrderUpdate(order_id, order.status, order)]


def key(wanted: Streamed) -> str | None:
    """`NSE_EQ|INE009A01021` of a share, `NSE_INDEX|Nifty 50` of an index, `NSE_FO|51834` of a contract."""
    exchange = wanted.exchange
    if wanted.index_name:
        segment = INDEX_SEGMENTS.get(exchange)
        return f"{segment}|{wanted.index_name}" if segment else None
    if exchange in SHARES:
        return share_key(exchange, wanted.isin) if wanted.isin else None
    return f"{SEGMENTS[exchange]}|{wanted.exchange_token}"


def tick(wanted: Streamed, feed: Any, at: datetime | None) -> Tick | None:
    """One instrument's feed, in whichever mode; None where it has no price.

    Wire: what is zero is left out. A price or time of zero is none, a count of zero is a count.
    """
    kind = feed.WhichOneof("choice")
    body = getattr(feed, kind) if kind else feed
    if kind == "fullFeed":
        kind = body.WhichOneof("choice")
        body = getattr(body, kind) if kind else body
    if not kind:
        return None
    ltpc = body if kind == "ltpc" else body.ltpc
    last = exact(ltpc.ltp)
    if last is None:
        return None
    is_index = kind == "indexFF"
    told = Tick(
        wanted.exchange,
        wanted.exchange_token,
        last,
        close_price=exact(ltpc.cp),
        at=at,
        last_quantity=None if is_index else count(ltpc.ltq),
        traded_at=instant(ltpc.ltt),
    )
    if kind == "firstLevelWithGreeks":
        bids, asks = _levels([body.firstDepth])
        return told._replace(volume=count(body.vtt), open_interest=count(body.oi), bids=bids, asks=asks)
    if kind == "ltpc":
        return told
    day = next((candle for candle in body.marketOHLC.ohlc if candle.interval == DAY), None)
    if day is not None:
        told = told._replace(open_price=exact(day.open), high_price=exact(day.high), low_price=exact(day.low))
    if is_index:
        return told
    bids, asks = _levels(body.marketLevel.bidAskQuote)
    return told._replace(
        average_price=exact(body.atp),
        volume=count(body.vtt),
        buy_quantity=count(body.tbq),
        sell_quantity=count(body.tsq),
        open_interest=count(body.oi),
        bids=bids,
        asks=asks,
    )


def _levels(steps: Sequence[Any]) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """Bids and asks; a step without a price is none."""
    bids = [(exact(step.bidP), step.bidQ) for step in steps]
    asks = [(exact(step.askP), step.askQ) for step in steps]
    return _side(bids), _side(asks)


def _side(steps: list[tuple[Decimal | None, int]]) -> tuple[Level, ...]:
    return tuple(Level(price, Decimal(quantity)) for price, quantity in steps if price is not None)
