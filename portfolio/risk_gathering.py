"""One person's book of risk: the brokers' answers, what streams now, and who is who. Rows and Redis, no broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from accounts.models import User
from brokers.domain import Exchange
from brokers.shared import if_redis_is_there, redis
from brokers.wire import IST
from market import sectors
from market.identity import is_isin
from market.publishing import latest
from portfolio import services, sharing
from portfolio.domain import BorrowedPrice, LivePrices, Source, SourceState
from portfolio.engine import live_price
from portfolio.marks import live_prices
from portfolio.risk.book import risk_book
from portfolio.risk.directory import Directory
from portfolio.risk.words import RiskBook
from portfolio.risk_rows import directory_of

# An answer that is not older is as good as live, as a page's host asks that often.
RECENT = timedelta(seconds=60)


def gathered(user: User, *, now: datetime, ask: bool = True) -> RiskBook:
    """What the person's accounts hold. `ask`: have the brokers asked where an answer is old; everybody shares that.

    Raises NoBrokerConnections.
    """
    sources = services.known_sources(user, now=now, recent=RECENT)
    if ask and any(source.state is not SourceState.LIVE for source in sources):
        services.consolidated(user, now=now)
        sources = services.known_sources(user, now=now, recent=RECENT)
    return book_of(user, sources, now=now)


def book_of(user: User, sources: Sequence[Source], *, now: datetime) -> RiskBook:
    directory = directory_of(sources, today=now.astimezone(IST).date(), sector_of=sectors.sector_of)
    return risk_book(
        sources, now=now, streamed=_streamed(directory), borrowed=_borrowed(user, now), directory=directory
    )


def _streamed(directory: Directory) -> LivePrices:
    """The last prices of what is held and of what it hangs on, as far as somebody stands for them."""
    listings = {
        key: known.isin for key, known in directory.tokens.items() if known.isin is not None and known.expiry is None
    }
    listings |= {key: issuer for issuer, keys in directory.spots.items() for key in keys if is_isin(issuer)}
    keys = {
        *directory.tokens,
        *(key for keys in directory.spots.values() for key in keys),
        *(key for futures in directory.futures.values() for _, key in futures),
    }
    if not keys:
        return LivePrices()
    with if_redis_is_there("streamed prices of a risk report"):
        told = latest(redis(), sorted(keys))
        if told.is_fed:
            return live_prices({key: live_price(price) for key, price in told.prices.items()}, listings)
    return LivePrices()


def _borrowed(user: User, now: datetime) -> Mapping[str, BorrowedPrice]:
    """Prices that another broker lent to the book which is shown, while that is kept."""
    found = sharing.cached(sharing.own(user.pk))
    if found is None:
        return {}
    return dict(_lent(msgspec.json.decode(found.include)["positions"], now))


def _lent(positions: Iterable[Mapping[str, Any]], now: datetime) -> Iterable[tuple[str, BorrowedPrice]]:
    for row in positions:
        if row["isin"] and row["current_price"] is not None:
            yield (
                row["isin"],
                BorrowedPrice(
                    exchange=Exchange(row["exchange"]),
                    price=Decimal(row["current_price"]),
                    close=None if row["close_price"] is None else Decimal(row["close_price"]),
                    broker_type=row["price_source"] or "",
                    as_of=now if row["price_as_of"] is None else datetime.fromisoformat(row["price_as_of"]),
                ),
            )
