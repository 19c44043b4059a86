"""One price per instrument out of several feeds. Pure: no I/O, no clock.

The freshest trustworthy feed is chosen, and kept as long as it is live: two live feeds are not hopped between at each
tick. Another takes over when the chosen one goes, when it falls behind the others, or when a preferred one has been
live for a while. What cannot be true is refused and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from brokers.domain import Exchange, Tick

# An exchange, and its own number of what trades there: the same at every broker.
InstrumentKey = tuple[Exchange, str]

FUTURE = timedelta(minutes=1)  # the clocks of exchange and machine may differ by so much
AGREEMENT = Decimal("0.05")
FAREWELL = timedelta(seconds=30)  # in a closed market nobody is told that a price is stale
ZERO = Decimal(0)


class Price(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """INR. `as_of` is the exchange's time where it was told, else when it was received; `source` is the broker's slug.

    `close_price` is the previous day's, None where no feed told it. `stale`: no feed stands for it any more. `asked`:
    no stream told it, it was asked for.
    """

    exchange: Exchange
    exchange_token: str
    last_price: Decimal
    close_price: Decimal | None
    as_of: datetime
    source: str
    stale: bool = False
    asked: bool = False

    @property
    def key(self) -> InstrumentKey:
        return self.exchange, self.exchange_token


class Refusal(StrEnum):
    """Why a tick was not believed."""

    NO_PRICE = "no_price"  # zero, or less
    LATE = "late"  # older than what the same feed told before
    SAME = "same"  # nothing new: noted, and not told again
    JUMP = "jump"  # far from the close, and from what is known otherwise
    CROWDED = "crowded"  # enough feeds tell of this instrument
    NO_ROOM = "no_room"  # too many instruments
    UNKNOWN_FEED = "unknown_feed"  # not live


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long one feed is kept, and what is believed.

    `behind`: a chosen feed that is silent while another tells a different price loses the instrument after so long.
    `settled`: so long a preferred feed must have been live before it is gone back to. `grace`: so long the last price
    of a feed that went stands, in case it comes back at once. `insisted`: a jump that one feed alone tells for so long
    is believed after all. `refresh`: how much later the same price is worth telling again. `feeds` (of one instrument)
    and `instruments` bound the memory.
    """

    behind: timedelta = timedelta(seconds=3)
    settled: timedelta = timedelta(seconds=15)
    grace: timedelta = timedelta(seconds=4)
    insisted: timedelta = timedelta(seconds=10)
    refresh: timedelta = timedelta(seconds=5)
    jump: Decimal = Decimal("0.40")
    feeds: int = 4
    instruments: int = 250_000


@dataclass(slots=True)
class _Feed:
    source: str
    rank: int
    live_since: datetime
    is_polled: bool = False  # quotes that are asked for: each lives until the next one of its instrument is overdue


@dataclass(slots=True)
class _Told:
    """The last that one feed told of one instrument. `at`: the exchange's time, if that was told."""

    tick: Tick
    at: datetime | None
    received: datetime

    @property
    def as_of(self) -> datetime:
        return self.at or self.received


@dataclass(slots=True)
class _Row:
    """One instrument. `told` and `doubted` hold live feeds only."""

    told: dict[Hashable, _Told] = field(default_factory=dict)
    doubted: dict[Hashable, tuple[Decimal, datetime]] = field(default_factory=dict)  # a jump, and since when
    price: Price | None = None
    chosen: Hashable | None = None
    chosen_since: datetime | None = None
    ahead_since: datetime | None = None  # since when another feed tells another price
    orphan_since: datetime | None = None  # since when no feed stands for the price


class PriceBook:
    """Not for several threads at once. A feed is named by whatever names it: a connection's id."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.refused: Counter[Refusal] = Counter()
        self._feeds: dict[Hashable, _Feed] = {}
        self._rows: dict[InstrumentKey, _Row] = {}
        # Rows that time alone may change: another feed is ahead, or none is left.
        self._waiting: set[InstrumentKey] = set()
        # Until when a quote stands that was asked for, by feed and instrument: others of that broker do not renew it.
        self._polled: dict[tuple[Hashable, InstrumentKey], datetime] = {}

    def __len__(self) -> int:
        return len(self._rows)

    # --- feeds --------------------------------------------------------------------------------------------------------
    def feed_live(self, feed: Hashable, source: str, rank: int, now: datetime) -> None:
        """A feed of the broker `source` is live; of two, the lower `rank` is preferred.

        What it told before it was last gone counts no more until it is told again.
        """
        self._feeds[feed] = _Feed(source, rank, live_since=now)

    def feed_gone(self, feed: Hashable, now: datetime) -> list[Price]:
        """It is down, stalled or over. Returns the prices that another feed took over."""
        if self._feeds.pop(feed, None) is None:
            return []
        moved = []
        for key, row in self._rows.items():
            row.told.pop(feed, None)
            row.doubted.pop(feed, None)
            if row.chosen == feed:
                price = self._succeed(key, row, now)
                if price is not None:
                    moved.append(price)
        return moved

    def polled(self, source: str, tick: Tick, now: datetime, until: datetime) -> Price | None:
        """A quote that was asked for; it stands until the time at which the next one is overdue."""
        feed, key = ("polled", source), (tick.exchange, tick.exchange_token)
        if feed not in self._feeds:
            self._feeds[feed] = _Feed(source, rank=1_000_000, live_since=now, is_polled=True)
        price = self.tick(feed, tick, now)
        row = self._rows.get(key)
        told = row.told.get(feed) if row is not None else None
        if told is not None and told.received == now:  # else it was not believed
            self._polled[feed, key] = until
        return price

    # --- prices -------------------------------------------------------------------------------------------------------
    def tick(self, feed: Hashable, tick: Tick, received: datetime) -> Price | None:
        """What a live feed told. Returns the instrument's price if that changed."""
        known = self._feeds.get(feed)
        if known is None:
            return self._refuse(Refusal.UNKNOWN_FEED)
        key = tick.exchange, tick.exchange_token
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= self.rules.instruments:
                return self._refuse(Refusal.NO_ROOM)
            row = self._rows[key] = _Row()
        refusal = self._taken(row, feed, tick, received)
        if refusal is not None:
            return self._refuse(refusal)
        if row.chosen == feed:
            if row.ahead_since is not None and not self._lags(row, feed):
                row.ahead_since = None
                self._waiting.discard(key)
        elif not self._takes_over(key, row, feed, known, received):
            return None
        price = self._choose(key, row, feed, received)
        return self._refuse(Refusal.SAME) if price is None else price

    def remember(self, price: Price, now: datetime) -> None:
        """A price from before this book began. No feed stands for it until one tells it again."""
        if price.key in self._rows or len(self._rows) >= self.rules.instruments:
            return
        row = self._rows[price.key] = _Row()
        row.price, row.orphan_since = price, now
        self._waiting.add(price.key)

    def price(self, key: InstrumentKey) -> Price | None:
        row = self._rows.get(key)
        return row.price if row is not None else None

    def has_feed(self, key: InstrumentKey, *, besides_polling: bool = False) -> bool:
        """Whether a live feed stands for its price."""
        row = self._rows.get(key)
        feed = self._feeds.get(row.chosen) if row is not None and row.chosen is not None else None
        return feed is not None and not (besides_polling and feed.is_polled)

    def keep(self, wanted: Container[InstrumentKey], now: datetime) -> None:
        """Forget every instrument that is not wanted.

        A fresh price of one is first left without a feed, until `sweep` has told that it is stale: it may be unwanted
        because nobody is left to ask, and whoever looks at it must not take it for live.
        """
        for key in [key for key in self._rows if key not in wanted]:
            row = self._rows[key]
            if row.price is not None and not row.price.stale and row.orphan_since is None:
                row.told.clear()
                row.doubted.clear()
                row.chosen, row.chosen_since, row.ahead_since, row.orphan_since = None, None, None, now
                self._waiting.add(key)
            elif row.price is None or row.price.stale or row.orphan_since is None or now - row.orphan_since > FAREWELL:
                del self._rows[key]
                self._waiting.discard(key)

    def sweep(self, now: datetime, is_open: Callable[[Exchange], bool] = lambda exchange: True) -> list[Price]:
        """Do what time alone brings about: leave feeds that fell behind, and mark what no feed stands for.

        In a closed market the last price is no worse for having no feed. Returns the prices that changed.
        """
        changed: list[Price] = []
        for feed, key in [lapsed for lapsed, until in self._polled.items() if until < now]:
            del self._polled[feed, key]
            row = self._rows.get(key)
            if row is None:
                continue
            row.told.pop(feed, None)
            if row.chosen == feed:
                price = self._succeed(key, row, now)
                if price is not None:
                    changed.append(price)
        for key in list(self._waiting):
            price = self._overdue(key, self._rows[key], now, is_open)
            if price is not None:
                changed.append(price)
        return changed

    # --- within -------------------------------------------------------------------------------------------------------
    def _refuse(self, refusal: Refusal) -> Price | None:
        self.refused[refusal] += 1
        return None

    def _taken(self, row: _Row, feed: Hashable, tick: Tick, received: datetime) -> Refusal | None:
        """Note what a feed told, or say why not."""
        if tick.last_price <= ZERO:
            return Refusal.NO_PRICE
        at = tick.at if tick.at is not None and tick.at <= received + FUTURE else None
        before = row.told.get(feed)
        if before is None:
            if len(row.told.keys() | row.doubted.keys() | {feed}) > self.rules.feeds:
                return Refusal.CROWDED
        elif at is not None and before.at is not None and at < before.at:
            return Refusal.LATE
        elif tick.close_price is None:
            tick = tick._replace(close_price=before.tick.close_price)
        if self._jumps(row, feed, tick, received):
            return Refusal.JUMP
        row.doubted.pop(feed, None)
        if before is None:
            row.told[feed] = _Told(tick, at, received)
        else:
            before.tick, before.at, before.received = tick, at or before.at, received
        return None

    def _jumps(self, row: _Row, feed: Hashable, tick: Tick, received: datetime) -> bool:
        """Whether a price is too far from the close and from every other that is known.

        It is believed where another feed tells the same, or where this one goes on telling it.
        """
        last = tick.last_price
        close = tick.close_price or (row.price.close_price if row.price is not None else None)
        if close is None or not self._is_far(last, close):
            return False
        known = [told.tick.last_price for name, told in row.told.items() if name != feed]
        if not known and row.price is not None:
            known = [row.price.last_price]
        if not known or not all(self._is_far(last, price) for price in known):
            return False
        if any(_agree(price, last) for name, (price, _) in row.doubted.items() if name != feed):
            return False
        doubted, since = row.doubted.get(feed, (last, received))
        if not _agree(doubted, last):
            since = received
        row.doubted[feed] = last, since
        return received - since < self.rules.insisted

    def _lags(self, row: _Row, feed: Hashable) -> bool:
        """Whether what it tells is, by the exchange's own time, long past at another feed."""
        own = row.told[feed].at
        return own is not None and any(
            told.at is not None and told.at - own > self.rules.behind for told in row.told.values()
        )

    def _is_far(self, price: Decimal, other: Decimal) -> bool:
        return abs(price - other) > self.rules.jump * other

    def _takes_over(self, key: InstrumentKey, row: _Row, feed: Hashable, known: _Feed, received: datetime) -> bool:
        """Whether the chosen feed of an instrument is left for this one, which has just told something."""
        chosen = self._feeds.get(row.chosen) if row.chosen is not None else None
        if chosen is None or (chosen.is_polled and not known.is_polled):
            return True
        since = max(known.live_since, row.chosen_since or known.live_since)
        if known.rank < chosen.rank and received - since >= self.rules.settled:
            return True
        if row.price is None or row.told[feed].tick.last_price == row.price.last_price:
            return False
        if row.ahead_since is None:
            row.ahead_since = received
            self._waiting.add(key)
        return received - row.ahead_since >= self.rules.behind

    def _choose(self, key: InstrumentKey, row: _Row, feed: Hashable, now: datetime) -> Price | None:
        """Take the price of this feed. None where that changes nothing worth telling."""
        told, before = row.told[feed], row.price
        if row.chosen != feed:
            row.chosen, row.chosen_since, row.ahead_since, row.orphan_since = feed, now, None, None
            self._waiting.discard(key)
        close = told.tick.close_price
        if close is None:  # it is the exchange's, whoever tells it
            closes = (each.tick.close_price for each in row.told.values() if each.tick.close_price is not None)
            close = next(closes, before.close_price if before is not None else None)
        known = self._feeds[feed]
        asked = known.is_polled
        price = Price(*key, told.tick.last_price, close, told.as_of, known.source, asked=asked)
        if before is not None and price.as_of - before.as_of < self.rules.refresh and _same(price, before):
            return None
        row.price = price
        return price

    def _succeed(self, key: InstrumentKey, row: _Row, now: datetime) -> Price | None:
        """Leave the chosen feed for the freshest of the others, or wait for one."""
        others = [feed for feed in row.told if feed != row.chosen]
        if others:
            return self._choose(key, row, max(others, key=lambda feed: self._freshness(row, feed)), now)
        row.chosen, row.chosen_since, row.ahead_since, row.orphan_since = None, None, None, now
        self._waiting.add(key)
        return None

    def _freshness(self, row: _Row, feed: Hashable) -> tuple[datetime, int]:
        return row.told[feed].as_of, -self._feeds[feed].rank

    def _overdue(
        self, key: InstrumentKey, row: _Row, now: datetime, is_open: Callable[[Exchange], bool]
    ) -> Price | None:
        if row.orphan_since is not None:
            if now - row.orphan_since < self.rules.grace or not is_open(key[0]):
                return None
            self._waiting.discard(key)
            if row.price is None or row.price.stale:
                return None
            row.price = msgspec.structs.replace(row.price, stale=True)
            return row.price
        if row.ahead_since is None or now - row.ahead_since < self.rules.behind:
            return None
        if row.price is None or all(told.tick.last_price == row.price.last_price for told in row.told.values()):
            row.ahead_since = None  # whoever was ahead has gone
            self._waiting.discard(key)
            return None
        return self._succeed(key, row, now)


def _agree(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= AGREEMENT * other


def _same(one: Price, other: Price) -> bool:
    """Whether two prices of an instrument differ in their time alone."""
    return (one.last_price, one.close_price, one.source, one.stale, one.asked) == (
        other.last_price,
        other.close_price,
        other.source,
        other.stale,
        other.asked,
    )
