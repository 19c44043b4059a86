"""Kite's ticker, simulated: packets as in fixtures/zerodha/ticker_*.hex, big-endian and unsigned."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession
from brokers.simulation.wire import Json

HEARTBEAT = b"\x00"
MOST_TOKENS = 3000
MODES = {"ltp": 8, "quote": 44, "full": 184}
DIVISORS = {"CDS": Decimal(10_000_000), "BCD": Decimal(10_000)}
LEVELS = 5


class KiteTicker(StreamSession):
    """One socket. A bare subscription is in mode `quote`, as the Python SDK takes it to be."""

    heartbeat_seconds = 1.0

    def __init__(
        self,
        market: Market,
        by_token: dict[int, Listing],
        now: Callable[[], datetime],
        *,
        desk: Desk,
        told: Callable[[DeskOrder], Json],
    ) -> None:
        super().__init__(market, desk)
        self._told = told
        self._by_token = by_token
        self._now = now
        self._modes: dict[str, str] = {}

    def heartbeat(self) -> Frame:
        return HEARTBEAT

    def received(self, frame: Frame) -> list[Frame]:
        try:
            said = json.loads(frame)
            action, value = said["a"], said["v"]
            mode, tokens = (value[0], value[1]) if action == "mode" else (None, value)
            names = [str(int(token)) for token in tokens]
        except (ValueError, KeyError, TypeError, IndexError):
            return [refusal("Invalid message.")]
        if action == "unsubscribe":
            for name in names:
                self.forget(name)
            return []
        if mode is not None and mode not in MODES:
            return [refusal("Invalid mode.")]
        if len(self.subscribed.keys() | set(names)) > MOST_TOKENS:
            return [refusal("Too many tokens requested.")]
        for name in names:
            listing = self._by_token.get(int(name))
            if listing is None:
                continue
            if mode is not None:
                self.forget(name)  # the new mode is told at once
                self._modes[name] = mode
            self.subscribed[name] = listing
        return []

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        packets = [self._packet(name, listing, price) for name, listing, price in changed]
        return [struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(each)) + each for each in packets)]

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        return [json.dumps({"type": "order", "data": self._told(order)}) for order in changed]

    def _packet(self, name: str, listing: Listing, price: Price) -> bytes:
        mode = self._modes.get(name, "quote")

        def wired(value: Decimal) -> int:
            return int(value * DIVISORS.get(listing.exchange, Decimal(100)))

        packet = struct.pack(">II", int(name), wired(price.last))
        if mode == "ltp":
            return packet
        if listing.is_index:
            return packet + self._of_index(
                mode, [wired(value) for value in (price.high, price.low, price.open, price.close)]
            )
        waiting = 100 * listing.lot_size
        prices = [wired(value) for value in (price.open, price.high, price.low, price.close)]
        packet += struct.pack(">9I", listing.lot_size, wired(price.last), price.volume, waiting, waiting, *prices)
        if mode == "quote":
            return packet
        now = int(self._now().timestamp())
        packet += struct.pack(">5I", now, 0, 0, 0, now)
        for side in (-1, 1):
            for number in range(LEVELS):
                beside = price.last + side * number * listing.tick(price.last)
                packet += struct.pack(">IIHxx", listing.lot_size * (number + 1), wired(beside), 1)
        return packet

    def _of_index(self, mode: str, prices: list[int]) -> bytes:
        """High and low come first; the change, whose scale nobody proved, is left at 0; a time in the mode `full`."""
        body = struct.pack(">5I", *prices, 0)
        return body + struct.pack(">I", int(self._now().timestamp())) if mode == "full" else body


def refusal(words: str) -> str:
    return json.dumps({"type": "error", "data": words})
