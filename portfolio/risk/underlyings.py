"""What a derivative's underlying costs now: from the book itself, from the prices given, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from brokers.domain import SEGMENT_OF, Exchange, Segment
from portfolio.domain import BorrowedPrice, InstrumentKey, LivePrice, LivePrices
from portfolio.risk.directory import Described, Directory

Futures = Mapping[tuple[Exchange, str], Mapping[date, Decimal]]


@dataclass(frozen=True, slots=True)
class Underlyings:
    """Prices to hang derivatives on: those of the book's shares (by ISIN) and futures, and those that were given.

    The spot where it is known, else the future of the same expiry. A price is never made from options, nor from
    another month: then there is none. An option on a commodity is one on the next listed future that outlives it.
    """

    shares: Mapping[str, Decimal]
    futures: Futures
    streamed: LivePrices
    borrowed: Mapping[str, BorrowedPrice]
    directory: Directory

    def price(self, what: Described, exchange: Exchange) -> tuple[Decimal | None, bool]:
        """The price, and whether it is a future's."""
        spot = self._spot(what)
        if spot is not None:
            return spot, False
        future = self._future(what, exchange)
        return future, future is not None

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

    def _future(self, what: Described, exchange: Exchange) -> Decimal | None:
        if what.contract is None:
            return None
        place = (exchange, what.underlying)
        held = self.futures.get(place, {})
        listed = dict(self.directory.futures.get(place, ()))
        expiry = what.contract.expiry
        if SEGMENT_OF[exchange] is Segment.COMMODITY and listed:
            expiry = min((each for each in listed if each >= expiry), default=expiry)
        key = listed.get(expiry)
        return held[expiry] if expiry in held else self._first((key,) if key is not None else ())

    def _first(self, keys: tuple[InstrumentKey, ...]) -> Decimal | None:
        told = (_price(self.streamed.instruments.get(key)) for key in keys)
        return next((price for price in told if price is not None), None)


def _price(told: LivePrice | None) -> Decimal | None:
    return None if told is None or told.stale else told.price
