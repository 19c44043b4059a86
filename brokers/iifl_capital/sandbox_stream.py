"""IIFL Capital's bridge, simulated: topics of MQTT, and packets of 188 bytes as the docs lay them out."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession

MOST_TOPICS, MOST_AT_ONCE = 6000, 1024
MARKET_TOPIC = re.compile(
    r"prod/marketfeed/(?:(?:mw|index|oi|lpp)/v1/[a-z]+/[0-9]+"
    r"|(?:marketstatus|uppercircuit|lowercircuit|high52week|low52week)/v1/[a-z]+)"
)
DIVISORS = {"CDS": 10_000}  # UNCONFIRMED: every packet names its own
PAISE = 100
STEPS = 5
TO_BUY, TO_SELL = 1, 2


class TellOrder(Protocol):
    """The payloads of one change of an order: of `order`, and of `trade` where it was filled."""

    def __call__(self, order: DeskOrder, *, is_filled: bool) -> dict[str, bytes]: ...


class Bridge(StreamSession):
    """One connection. Prices are told, and with a desk its orders and trades; the other topics may be had, and stay
    silent."""

    def __init__(
        self,
        market: Market,
        by_topic: Mapping[str, Listing],
        client_id: str,
        now: Callable[[], datetime],
        desk: Desk | None,
        tell: TellOrder,
    ) -> None:
        super().__init__(market, desk)
        self._by_topic = by_topic
        self._own = {f"prod/updates/{kind}/v1/{client_id}": kind for kind in ("order", "trade")}
        self._now = now
        self._tell = tell
        self._filled: dict[str, int] = {}
        self._topics: set[str] = set()

    def received(self, frame: Frame) -> list[Frame]:
        """Refused are what is no topic of theirs, such as one with a wildcard or of another client, and what is too
        much. How the real one refuses is UNCONFIRMED."""
        sign, topics = str(frame)[:1], str(frame)[1:].split("\n")
        if sign == "-":
            for topic in topics:
                self._topics.discard(topic)
                self.forget(topic)
            return []
        refused = [topic for topic in topics if len(topics) > MOST_AT_ONCE or not self._granted(topic)]
        return ["!" + "\n".join(refused)] if refused else []

    def _granted(self, topic: str) -> bool:
        if topic not in self._own and not MARKET_TOPIC.fullmatch(topic):
            return False
        if topic not in self._topics and len(self._topics) >= MOST_TOPICS:
            return False
        self._topics.add(topic)
        listing = self._by_topic.get(topic)
        if listing is not None:
            self.subscribed[topic] = listing
        return True

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        """A message for each."""
        seconds = int(self._now().timestamp())
        return [topic.encode() + b"\0" + packed(listing, price, seconds) for topic, listing, price in changed]

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        """Every change, and every fill besides, to the topics that were asked for."""
        frames: list[Frame] = []
        for order in changed:
            is_filled = order.filled > self._filled.get(order.order_id, 0)
            self._filled[order.order_id] = order.filled
            payloads = self._tell(order, is_filled=is_filled)
            asked = ((topic, kind) for topic, kind in self._own.items() if topic in self._topics)
            frames += [topic.encode() + b"\0" + payloads[kind] for topic, kind in asked if kind in payloads]
        return frames


def packed(listing: Listing, price: Price, seconds: int) -> bytes:
    """The head, five steps to buy, five to sell, and two bytes that nobody explains."""
    divisor = DIVISORS.get(listing.exchange, PAISE)
    waiting = 100 * listing.lot_size

    def wired(value: Decimal) -> int:
        return int(value * divisor)

    average = round((price.high + price.low + price.last) / 3, 2)
    day = [wired(value) for value in (price.high, price.low, price.open, price.close, average)]
    tick = listing.tick(price.last)
    head = struct.pack("<iII5iH", wired(price.last), listing.lot_size, price.volume, *day, 0)
    best = struct.pack("<IiIi", listing.lot_size, wired(price.last - tick), listing.lot_size, wired(price.last))
    rest = struct.pack("<IIii", waiting, waiting, divisor, seconds)
    levels = [(TO_BUY, price.last - (step + 1) * tick) for step in range(STEPS)]
    levels += [(TO_SELL, price.last + step * tick) for step in range(STEPS)]
    steps = (struct.pack("<IiHH", listing.lot_size, wired(level), 1, side) for side, level in levels)
    return head + best + rest + b"".join(steps) + bytes(2)


def topic_of(word: str, number: str) -> str:
    """Of the prices of an instrument, by the exchange's word and number."""
    return f"prod/marketfeed/mw/v1/{word.lower()}/{number}"
