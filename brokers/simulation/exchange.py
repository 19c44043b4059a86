"""The exchange behind the simulated brokers: one order book per instrument, shared by all their desks.

Price before time; whoever stood there first sets the price. A market maker quotes both sides of the market's price,
finite at every level, so that a large order fills in parts and the rest of it stands. While prices move it renews its
quotes with every tick; while they stand still, before each order that comes, and only on the side that is asked of it.
What stood there before is served first. Nothing here knows the hour, sleeps or rolls dice.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import msgspec

from brokers.domain import Side
from brokers.simulation.market import Market

LEVELS = 5
LEVEL_LOTS = 100  # at the best price; twice as many a tick behind it, and so on
MAKER = "maker"
FIRST_ORDER_NUMBER = 1_100_000_000_000_000
FIRST_TRADE_NUMBER = 70_000_000


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade. `buyer` and `seller` are slugs, or the market maker, whose orders have no number."""

    trade_id: str
    key: str
    price: Decimal
    quantity: int
    at: datetime
    buyer: str
    seller: str
    buy_order: str | None
    sell_order: str | None


class Owner(Protocol):
    """Whose orders stand here: a desk."""

    slug: str

    def filled(self, entry: Entry, trade: Trade) -> None:
        """Hear of a trade of an own order."""


@dataclass(eq=False, slots=True, kw_only=True)
class Entry:
    """What stands in a book, or is about to. `owner` None: the market maker. `number` is its place in time."""

    key: str
    side: Side
    price: Decimal
    owner: Owner | None = None
    exchange_order_id: str | None = None
    remaining: int = 0
    number: int = 0

    @property
    def rank(self) -> tuple[Decimal, int]:
        return (-self.price if self.side is Side.BUY else self.price, self.number)

    def reaches(self, other: Entry) -> bool:
        return self.price >= other.price if self.side is Side.BUY else self.price <= other.price


@dataclass(eq=False, slots=True, kw_only=True)
class Stop:
    """What waits for the last price to come to `price`: from below a buyer's, from above a seller's, or as said."""

    key: str
    price: Decimal
    upwards: bool
    fire: Callable[[], None]

    def is_hit(self, last: Decimal) -> bool:
        return last >= self.price if self.upwards else last <= self.price


@dataclass(slots=True)
class OrderBook:
    """Both sides of one instrument, best first."""

    bids: list[Entry] = field(default_factory=list)
    asks: list[Entry] = field(default_factory=list)

    def of(self, side: Side) -> list[Entry]:
        return self.bids if side is Side.BUY else self.asks

    def against(self, side: Side) -> list[Entry]:
        return self.asks if side is Side.BUY else self.bids


class Exchange:
    """Every book, every trade, and what waits for a price. `depth_lots` 0 sends the market maker away."""

    def __init__(self, market: Market, *, now: Callable[[], datetime], depth_lots: int = LEVEL_LOTS) -> None:
        self.market = market
        self.now = now
        self.depth_lots = depth_lots
        self.trades: list[Trade] = []
        self.books: dict[str, OrderBook] = {}
        self._stops: list[Stop] = []
        self._orders = 0
        self._times = 0

    def new_order_number(self) -> str:
        self._orders += 1
        return str(FIRST_ORDER_NUMBER + self._orders)

    def number_from(self, exchange_order_id: str) -> None:
        """Give no number twice: go on behind one that an earlier run gave."""
        self._orders = max(self._orders, int(exchange_order_id) - FIRST_ORDER_NUMBER)

    # --- orders ----------------------------------------------------------------------------------

    def bring(self, entry: Entry, quantity: int) -> None:
        """Bring in so much of an order. It meets what stands against it; what is left stands, last in its row."""
        book = self._book(entry.key)
        if self.market.frozen:
            self._quote(entry.key, opposite(entry.side))
        standing = self.take(entry)
        entry.remaining = standing + quantity
        self._match(book, entry)
        if entry.remaining:
            self._stand(book, entry)
        self.check_stops()

    def stand(self, entry: Entry, quantity: int) -> None:
        """Put back, unmatched, what stood in an earlier run: before all that is new, among themselves by their age."""
        entry.remaining = quantity
        entry.number = int(str(entry.exchange_order_id)) - 2 * FIRST_ORDER_NUMBER
        insort(self._book(entry.key).of(entry.side), entry, key=lambda each: each.rank)

    def take(self, entry: Entry) -> int:
        """Take an order out; returns what of it stood."""
        standing, entry.remaining = entry.remaining, 0
        row = self._book(entry.key).of(entry.side)
        if entry in row:
            row.remove(entry)
        return standing

    def lessen(self, entry: Entry, remaining: int) -> None:
        """Leave less of an order where it stands: its turn is kept."""
        if remaining <= 0:
            self.take(entry)
        entry.remaining = remaining

    def _book(self, key: str) -> OrderBook:
        book = self.books.get(key)
        if book is None:
            book = self.books[key] = OrderBook()
            self._requote(key)
        return book

    def _stand(self, book: OrderBook, entry: Entry) -> None:
        self._times += 1
        entry.number = self._times
        insort(book.of(entry.side), entry, key=lambda each: each.rank)

    def _match(self, book: OrderBook, coming: Entry) -> None:
        row = book.against(coming.side)
        for standing in list(row):
            if not coming.remaining or not coming.reaches(standing):
                return
            if coming.owner is None and standing.owner is None:
                continue  # the market maker does not deal with itself
            quantity = min(coming.remaining, standing.remaining)
            coming.remaining -= quantity
            standing.remaining -= quantity
            if not standing.remaining:
                row.remove(standing)
            self._trade(coming, standing, quantity)

    def _trade(self, coming: Entry, standing: Entry, quantity: int) -> None:
        buy, sell = (coming, standing) if coming.side is Side.BUY else (standing, coming)
        trade = Trade(
            trade_id=str(FIRST_TRADE_NUMBER + len(self.trades) + 1),
            key=coming.key,
            price=standing.price,
            quantity=quantity,
            at=self.now(),
            buyer=buy.owner.slug if buy.owner else MAKER,
            seller=sell.owner.slug if sell.owner else MAKER,
            buy_order=buy.exchange_order_id,
            sell_order=sell.exchange_order_id,
        )
        self.trades.append(trade)
        self.market.traded(coming.key, standing.price, quantity)
        for entry in (standing, coming):
            if entry.owner is not None:
                entry.owner.filled(entry, trade)

    # --- prices ----------------------------------------------------------------------------------

    def prices_moved(self, keys: Iterable[str] | None = None) -> None:
        """Have the market maker follow the prices of these listings, or all; then see what they set off."""
        for key in list(self.books) if keys is None else keys:
            if key in self.books:
                self._requote(key)
        self.check_stops()

    def watch(self, stop: Stop) -> None:
        self._stops.append(stop)

    def unwatch(self, stop: Stop) -> None:
        if stop in self._stops:
            self._stops.remove(stop)

    def check_stops(self) -> None:
        """Set off, oldest first, what the last prices have come to: it may move them on."""
        while (stop := next(self._hit(), None)) is not None:
            self._stops.remove(stop)
            stop.fire()

    def _hit(self) -> Iterator[Stop]:
        for stop in self._stops:
            price = self.market.price(stop.key)
            if price is not None and stop.is_hit(price.last):
                yield stop

    # --- the market maker ------------------------------------------------------------------------

    def _requote(self, key: str) -> None:
        book = self.books[key]
        for row in (book.bids, book.asks):
            row[:] = [entry for entry in row if entry.owner is not None]
        for side in Side:
            self._quote(key, side)

    def _quote(self, key: str, side: Side) -> None:
        """Renew the market maker's side: what waits against it is served first, the rest stands."""
        price, book = self.market.price(key), self.books[key]
        row = book.of(side)
        row[:] = [entry for entry in row if entry.owner is not None]
        if price is None or not self.depth_lots:
            return
        listing = self.market.instruments[key]
        step = self.market.tick_size(listing) * (-1 if side is Side.BUY else 1)
        centre = price.last  # its own trades may move the last price while it quotes
        for level in range(LEVELS):
            quote = Entry(key=key, side=side, price=centre + level * step)
            if quote.price <= 0:
                return
            quote.remaining = self.depth_lots * (level + 1) * listing.lot_size
            self._match(book, quote)
            if quote.remaining:
                self._stand(book, quote)

    def reset(self) -> None:
        """Forget every order and trade. The desks forget theirs themselves."""
        self.trades.clear()
        self.books.clear()
        self._stops.clear()


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY
