"""What a derivative's underlying costs now: from the book itself, from the prices given, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from brokers.domain import SEGMENT_OF, Exchange, Segment
from portfolio.domain import BorrowedPrice, InstrumentKey, LivePrice, LivePrices
from portfolio.risk.directory import Described, Directory
from portfolio.risk.words import Kind

Futures = Mapping[tuple[Exchange, str], Mapping[date, Decimal]]


@dataclass(frozen=True, slots=True)
class Hung:
    """The price that a derivative hangs on, and the expiry of the future that it is of; None: it is the spot's."""

    price: Decimal | None
    expiry: date | None = None


@dataclass(frozen=True, slots=True)
class Underlyings:
    """Prices to hang derivatives on: those of the book's shares (by ISIN) and futures, and those that were given.

    An option hangs on the future of the same expiry where its price is known, else on the spot; an old price of that
    future is taken only where there is no spot. A future hangs on its spot. A price is never made from options, nor
    from another month: then there is none. An option on a commodity is one on the next listed future that outlives it.
    `aged` are those of the book's futures whose price is old.
    """

    shares: Mapping[str, Decimal]
    futures: Futures
    streamed: LivePrices
    borrowed: Mapping[str, BorrowedPrice]
    directory: Directory
    aged: Futures = field(default_factory=dict)

    def price(self, what: Described, exchange: Exchange) -> tuple[Decimal | None, bool]:
        """The price, and whether it is a future's."""
        told = self.hung(what, exchange)
        return told.price, told.expiry is not None

    def hung(self, what: Described, exchange: Exchange) -> Hung:
        future = self._future(what, exchange, self.futures)
        spot = self._spot(what)
        if spot is not None and (future is None or what.kind is not Kind.OPTION):
            return Hung(spot)
        return future or self._future(what, exchange, self.aged) or Hung(None)

    def _spot(self, what: Described) -> Decimal | None:
        if what.issuer_isin is not None:
            held = self.shares.get(what.issuer_isin)
            if held is not None:
                return held
            told = _price(self.streamed.shares.get(what.issuer_isin))
            if told is not None:
                return told
            lent = self.borrowed.get(what.issuer_isin)
            if lent is not None and lent.price is not None:
                return lent.price
        return self._first(self.directory.spots.get(what.issuer, ()))

    def _future(self, what: Described, exchange: Exchange, of_book: Futures) -> Hung | None:
        if what.contract is None:
            return None
        place = (exchange, what.underlying)
        held = of_book.get(place, {})
        listed = dict(self.directory.futures.get(place, ()))
        expiry = what.contract.expiry
        if SEGMENT_OF[exchange] is Segment.COMMODITY and listed:
            expiry = min((each for each in listed if each >= expiry), default=expiry)
        key = listed.get(expiry)
        price = held[expiry] if expiry in held else self._first((key,) if key is not None else ())
        return None if price is None else Hung(price, expiry)

    def _first(self, keys: tuple[InstrumentKey, ...]) -> Decimal | None:
        told = (_price(self.streamed.instruments.get(key)) for key in keys)
        return next((price for price in told if price is not None), None)


def _price(told: LivePrice | None) -> Decimal | None:
    return None if told is None or told.stale else told.price
