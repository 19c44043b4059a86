"""The live books behind one thread: prices in, sources in, changes out. Whoever calls it does so one at a time.

It renders, too, so that the event loop is never held up by a large book.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from brokers.domain import Streamed
from market.pricing import Price
from portfolio import live_messages
from portfolio.day_series import DaySeries
from portfolio.deltas import Difference
from portfolio.domain import BorrowedPrice, ConsolidatedPortfolio, InstrumentKey, LivePrice, PriceState, Source
from portfolio.live import LiveBook, LiveBooks
from portfolio.live_messages import Place


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a book is made of: the brokers' answers, lent prices, and the listings of its shares."""

    sources: Sequence[Source]
    borrowed: Mapping[str, BorrowedPrice] = field(default_factory=dict)
    listings: Sequence[Streamed] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered message, and the total that it tells."""

    place: Place
    text: str
    total: Decimal | None


class Engine:
    """Everything but the constructor runs in one thread."""

    def __init__(self) -> None:
        self._listings: dict[InstrumentKey, str] = {}
        self._books = LiveBooks(self._listings)
        self._keys: dict[int, frozenset[InstrumentKey]] = {}
        self._holders: Counter[InstrumentKey] = Counter()
        self._loaded: dict[int, Loaded] = {}
        self._priced_at: dict[int, datetime] = {}
        self._sequence = 0

    # --- books --------------------------------------------------------------------------------------------------------
    def hold(self, user_id: int, loaded: Loaded) -> frozenset[InstrumentKey]:
        """Hold a user's book by what the brokers tell now. Returns instruments that nobody held here before."""
        for listing in loaded.listings:
            if listing.isin is not None:
                self._listings[listing.exchange, listing.exchange_token] = listing.isin
        self._loaded[user_id] = loaded
        book = self._books.hold(user_id, loaded.sources, loaded.borrowed)
        keys = frozenset((each.exchange, each.exchange_token) for each in loaded.listings)
        keys |= {key for key in book.rows if not isinstance(key, str)}
        new = keys - self._holders.keys()
        self._release(self._keys.get(user_id, frozenset()) - keys)
        self._holders.update(keys - self._keys.get(user_id, frozenset()))
        self._keys[user_id] = keys
        return new

    def rebuild(self, user_id: int) -> None:
        """Make the book anew from what it was made of."""
        loaded = self._loaded[user_id]
        self._books.drop(user_id)
        self._books.hold(user_id, loaded.sources, loaded.borrowed)

    def drop(self, user_id: int) -> None:
        self._books.drop(user_id)
        self._release(self._keys.pop(user_id, frozenset()))
        self._loaded.pop(user_id, None)
        self._priced_at.pop(user_id, None)

    def _release(self, keys: Iterable[InstrumentKey]) -> None:
        """Forget the price of what nobody holds any more: nobody may stream it from now on."""
        for key in keys:
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self._books.apply(key, None)

    def is_whole(self, user_id: int, now: datetime) -> bool:
        """Whether every share has its price and its day's change."""
        coverage = self._book(user_id).portfolio(now).coverage
        return not coverage.without_price and not coverage.without_day_change

    def portfolio(self, user_id: int, now: datetime) -> ConsolidatedPortfolio | None:
        """The whole book; None where it is not held any more."""
        book = self._books.books.get(user_id)
        return None if book is None else book.portfolio(now)

    def reconcile(self, user_id: int, now: datetime) -> list[Difference]:
        return self._book(user_id).reconcile(now)

    def keys(self) -> list[InstrumentKey]:
        """Every instrument that somebody here holds."""
        return list(self._holders)

    def keys_of(self, user_id: int) -> frozenset[InstrumentKey]:
        return self._keys.get(user_id, frozenset())

    def _book(self, user_id: int) -> LiveBook:
        return self._books.books[user_id]

    # --- prices -------------------------------------------------------------------------------------------------------
    def apply(self, prices: Iterable[Price], sequence: int) -> set[int]:
        """Take in one published batch. Returns the users whose books changed."""
        self._sequence = sequence
        changed: set[int] = set()
        for price in prices:
            if price.key in self._holders:
                users = self._books.apply(price.key, live_price(price))
                for user_id in users:
                    self._priced_at[user_id] = price.as_of
                changed |= users
        return changed

    def catch_up(self, prices: Iterable[Price], sequence: int) -> set[int] | None:
        """Take in last prices as of a batch. None: a later batch came before them, and they must be read again."""
        if sequence < self._sequence:
            return None
        return self.apply(prices, sequence)

    def withdraw(self) -> set[int]:
        """Nobody publishes any more: no price stands."""
        changed: set[int] = set()
        for key in self._holders:
            changed |= self._books.apply(key, None)
        return changed

    def priced_by(self, user_id: int) -> PriceState | None:
        """STREAMED where a stream tells anything of this book, else ASKED where quotes do, else None."""
        prices = [price for key in self._book(user_id).rows if (price := self._books.cell(key).price) is not None]
        if not prices:
            return None
        return PriceState.ASKED if all(price.asked for price in prices) else PriceState.STREAMED

    def priced_at(self, user_id: int) -> datetime | None:
        return self._priced_at.get(user_id)

    # --- messages -----------------------------------------------------------------------------------------------------
    def snapshot(self, user_id: int, place: Place, series: DaySeries | None, now: datetime) -> Message:
        portfolio = self._book(user_id).portfolio(now)
        return Message(place, live_messages.snapshot(place, portfolio, series, now), portfolio.total_value)

    def delta(self, user_id: int, place: Place, now: datetime) -> Message | None:
        """What changed since the last one, as the message after `place`; None where nothing did."""
        changes = self._book(user_id).changes(now)
        if changes.is_empty:
            return None
        return Message(place.next, live_messages.delta(place.next, changes), changes.total_value)


def live_price(price: Price) -> LivePrice:
    """A published price as the book takes it."""
    return LivePrice(
        exchange=price.exchange,
        price=price.last_price,
        close=price.close_price,
        source=price.source,
        as_of=price.as_of,
        stale=price.stale,
        asked=price.asked,
    )
