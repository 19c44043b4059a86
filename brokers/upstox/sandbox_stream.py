"""Upstox's market data feed v3 and portfolio stream, simulated: frames as in fixtures/upstox/feed_v3_*."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession
from brokers.simulation.wire import Json, double
from brokers.upstox.feed import (
    FULL_D5,
    INITIAL_FEED,
    LIVE_FEED,
    LTPC,
    MARKET_INFO,
    NORMAL_OPEN,
    OPTION_GREEKS,
    FeedResponse,
)

# mode → the most keys in it, and its number; `full_d30` is for another plan than this customer's.
MODES = {"ltpc": (5000, LTPC), "option_greeks": (3000, OPTION_GREEKS), "full": (2000, FULL_D5)}
SEGMENTS = ("NSE_EQ", "NSE_FO", "NSE_INDEX", "BSE_EQ", "BSE_FO", "BSE_INDEX", "NCD_FO", "MCX_FO")
LEVELS = 5


class MarketDataFeed(StreamSession):
    """One socket. What it does not understand, or is too much, it passes over: no answer is documented.

    A key is in one mode. The market is always open, and the portfolio's instruments have no greeks.
    """

    def __init__(self, market: Market, by_key: Mapping[str, Listing], now: Callable[[], datetime]) -> None:
        super().__init__(market)
        self._by_key = by_key
        self._now = now
        self._modes: dict[str, str] = {}
        self._kind = INITIAL_FEED

    def opened(self) -> list[Frame]:
        said = FeedResponse(type=MARKET_INFO, currentTs=self._milliseconds())
        for segment in SEGMENTS:
            said.marketInfo.segmentStatus[segment] = NORMAL_OPEN
        return [said.SerializeToString()]

    def received(self, frame: Frame) -> list[Frame]:
        """A wish is JSON in a binary frame."""
        if isinstance(frame, str):
            return []
        try:
            said = json.loads(frame)
            method, data = said["method"], said["data"]
            mode, keys = data.get("mode", "ltpc"), [str(key) for key in data["instrumentKeys"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []
        if method == "unsub":
            for key in keys:
                self.forget(key)
                self._modes.pop(key, None)
        elif method in ("sub", "change_mode") and mode in MODES:
            self._subscribe(mode, keys)
        return []

    def _subscribe(self, mode: str, keys: list[str]) -> None:
        known = {key: self._by_key[key] for key in keys if key in self._by_key}
        already = {key for key, each in self._modes.items() if each == mode}
        if len(already | known.keys()) > MODES[mode][0]:
            return
        for key, listing in known.items():
            self.forget(key)  # the new mode is told at once
            self._modes[key] = mode
            self.subscribed[key] = listing

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        """The first of them is the snapshot."""
        said = FeedResponse(type=self._kind, currentTs=self._milliseconds())
        self._kind = LIVE_FEED
        for key, listing, price in changed:
            self._write(said.feeds[key], self._modes[key], listing, price)
        return [said.SerializeToString()]

    def _write(self, feed: Any, mode: str, listing: Listing, price: Price) -> None:
        feed.requestMode = MODES[mode][1]
        if mode == "ltpc":
            self._last(feed.ltpc, listing, price)
        elif mode == "option_greeks":
            greeks = feed.firstLevelWithGreeks
            self._last(greeks.ltpc, listing, price)
            step(greeks.firstDepth, listing, price, 0)
            greeks.vtt = price.volume
        elif listing.is_index:
            self._days(feed.fullFeed.indexFF, listing, price)
        else:
            self._full(feed.fullFeed.marketFF, listing, price)

    def _full(self, full: Any, listing: Listing, price: Price) -> None:
        self._days(full, listing, price)
        for number in range(LEVELS):
            step(full.marketLevel.bidAskQuote.add(), listing, price, number)
        full.atp = double(((price.high + price.low + price.last) / 3).quantize(Decimal("0.01")))
        full.vtt = price.volume
        full.tbq = full.tsq = double(100 * listing.lot_size)

    def _days(self, full: Any, listing: Listing, price: Price) -> None:
        """All that is told of an index: the last price, and the day so far."""
        self._last(full.ltpc, listing, price)
        for interval in ("1d", "I1"):
            full.marketOHLC.ohlc.add(
                interval=interval,
                open=double(price.open),
                high=double(price.high),
                low=double(price.low),
                close=double(price.last),
                vol=price.volume,
                ts=self._milliseconds(),
            )

    def _last(self, ltpc: Any, listing: Listing, price: Price) -> None:
        """`cp` is the previous day's close."""
        ltpc.ltp, ltpc.cp = double(price.last), double(price.close)
        ltpc.ltt, ltpc.ltq = self._milliseconds(), listing.lot_size

    def _milliseconds(self) -> int:
        return int(self._now().timestamp() * 1000)


def step(quote: Any, listing: Listing, price: Price, number: int) -> None:
    """Write one step of the depth, so many ticks from the last price."""
    apart = number * listing.tick(price.last)
    quote.bidP, quote.askP = double(price.last - apart), double(price.last + apart)
    quote.bidQ = quote.askQ = listing.lot_size * (number + 1)


class PortfolioStream(StreamSession):
    """Tells every change of every order of the customer's; nothing is asked for on it."""

    def __init__(self, market: Market, *, desk: Desk, told: Callable[[DeskOrder], Json]) -> None:
        super().__init__(market, desk)
        self._told = told

    def received(self, frame: Frame) -> list[Frame]:
        return []

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        return []

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        return [json.dumps(self._told(order)) for order in changed]
