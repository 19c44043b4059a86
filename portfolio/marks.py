"""One price per share and per contract: whose it is, and which previous close may stand beside it. Pure.

A streamed price is believed first, then that of a live source, then a lent one, then the one in the last good answer
(ADR 7). A close is always of the same exchange and day as its price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from brokers.domain import ZERO, Exchange
from brokers.wire import IST
from portfolio.domain import BorrowedPrice, InstrumentKey, LivePrice, LivePrices, PriceState, SourceState
from portfolio.lots import Lot, Trade


@dataclass(frozen=True, slots=True)
class Mark:
    """The one price of a position in this snapshot, and where it is from; `told` where a stream told it."""

    price: Decimal | None = None
    close: Decimal | None = None
    source: str | None = None
    as_of: datetime | None = None
    state: PriceState | None = None
    told: LivePrice | None = None

    @classmethod
    def streamed(cls, told: LivePrice, close: Decimal | None) -> Mark:
        state = PriceState.ASKED if told.asked else PriceState.STREAMED
        return cls(told.price, close, told.source, told.as_of, state, told)

    def value(self, quantity: Decimal) -> Decimal | None:
        return None if self.price is None else quantity * self.price

    def gain(self, lot: Lot) -> Decimal | None:
        return None if self.price is None or lot.cost is None else lot.quantity * self.price - lot.cost

    def day_change(self, lot: Lot) -> Decimal | None:
        """Since the previous close; since the purchase for what was bought today."""
        if self.price is None:
            return None
        carried, change = lot.quantity - lot.today, ZERO
        if carried:
            if self.close is None:
                return None
            change += carried * (self.price - self.close)
        if lot.today:
            if lot.average_price is None:
                return None
            change += lot.today * (self.price - lot.average_price)
        return change


def ranked(lots: Sequence[Lot]) -> Sequence[Lot]:
    """Whose price counts first: a live answer before a stale one, NSE before BSE, the freshest, registry order."""
    return sorted(lots, key=_price_rank) if len(lots) > 1 else lots


def mark_of(lots: Sequence[Lot], borrowed: BorrowedPrice | None = None, told: LivePrice | None = None) -> Mark:
    """One price per share: a stream's, else a live source's, else another broker's, else the last good answer's.

    Who holds a share and has its price is the first of the lots, which are ranked.
    """
    if told is not None:
        return Mark.streamed(told, close_beside(told, lots, borrowed))
    best = bearer(lots)
    live = best is not None and best.source.state is SourceState.LIVE
    if borrowed and borrowed.price is not None and not live:
        close = borrowed.close if borrowed.close is not None else _close(lots, borrowed.exchange, borrowed.as_of)
        return Mark(borrowed.price, close, borrowed.broker_type, borrowed.as_of, PriceState.BORROWED)
    if best is None:
        return Mark(close=borrowed.close) if borrowed else Mark()
    as_of = best.source.answered_at
    close = _close(lots, best.exchange, as_of)
    if close is None:
        close = _lent_close(borrowed, best.exchange, as_of)
    state = PriceState.HELD if live else PriceState.STALE
    return Mark(best.last_price, close, best.source.broker_type, as_of, state)


def close_beside(told: LivePrice, lots: Sequence[Lot], borrowed: BorrowedPrice | None) -> Decimal | None:
    """The stream's own close; where it told none, that of a lot or of a lender."""
    if told.close is not None:
        return told.close
    close = _close(lots, told.exchange, told.as_of)
    return close if close is not None else _lent_close(borrowed, told.exchange, told.as_of)


def with_close(trade: Trade, lots: Sequence[Lot], borrowed: BorrowedPrice | None) -> Trade:
    """A sale out of a holding whose broker tells no close, beside that of a lot of the same share, or of a lender."""
    owned = trade.owned
    if owned is None or owned.close_price is not None:
        return trade
    as_of = trade.source.answered_at
    close = _close(lots, owned.exchange, as_of)
    if close is None:
        close = _lent_close(borrowed, owned.exchange, as_of)
    return trade if close is None else replace(trade, owned=replace(owned, close_price=close))


def same_close(one: LivePrice, other: LivePrice) -> bool:
    """Whether the close beside the one price stands beside the other too, whoever holds the share."""
    return (
        one.exchange is other.exchange
        and one.close == other.close
        and (one.close is not None or same_day(one.as_of, other.as_of))
    )


def bearer(lots: Sequence[Lot]) -> Lot | None:
    return next((lot for lot in lots if lot.last_price is not None), None)


def same_day(one: datetime, other: datetime) -> bool:
    return one.astimezone(IST).date() == other.astimezone(IST).date()


def _close(lots: Sequence[Lot], exchange: Exchange, as_of: datetime) -> Decimal | None:
    """The previous close to hold against a price of this exchange and day: not another's, nor one of days ago."""
    return next(
        (
            lot.close_price
            for lot in lots
            if lot.close_price is not None and lot.exchange is exchange and same_day(lot.source.answered_at, as_of)
        ),
        None,
    )


def _lent_close(borrowed: BorrowedPrice | None, exchange: Exchange, as_of: datetime) -> Decimal | None:
    fits = borrowed is not None and borrowed.exchange is exchange and same_day(borrowed.as_of, as_of)
    return borrowed.close if borrowed is not None and fits else None


def _price_rank(lot: Lot) -> tuple[bool, bool, float, int, str]:
    return (
        lot.source.state is not SourceState.LIVE,
        lot.exchange is not Exchange.NSE,
        -lot.source.answered_at.timestamp(),
        lot.source.rank,
        lot.source.connection_id,
    )


# --- what streams -----------------------------------------------------------------------------------------------------
def believed(prices: Iterable[LivePrice]) -> LivePrice | None:
    """Of one share's listings the one that prices it: a streamed one, NSE before BSE; a stale price is none at all."""
    return min((price for price in prices if not price.stale), key=_listing_rank, default=None)


def live_prices(latest: Mapping[InstrumentKey, LivePrice], listings: Mapping[InstrumentKey, str]) -> LivePrices:
    """The latest price of each instrument, as a full recompute takes them. `listings`: which share an instrument is."""
    by_share: dict[str, list[LivePrice]] = {}
    for instrument, price in latest.items():
        if instrument in listings:
            by_share.setdefault(listings[instrument], []).append(price)
    shares = {isin: best for isin, prices in by_share.items() if (best := believed(prices)) is not None}
    return LivePrices(shares, {instrument: price for instrument, price in latest.items() if not price.stale})


def _listing_rank(price: LivePrice) -> tuple[bool, bool, str]:
    return (price.asked, price.exchange is not Exchange.NSE, price.exchange)
