"""Prices for shares whose own brokers do not quote them now, asked of another connected broker.

A previous close is the exchange's, the same at every broker, and stays for the day: it is remembered for a while, so
that a broker without closes does not cost a round of quotes each time.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import cast
from uuid import UUID

from brokers.base import BrokerClient
from brokers.errors import BrokerError
from brokers.shared import if_redis_is_there, redis
from brokers.transport import Deadline
from brokers.wire import IST
from portfolio.domain import BorrowedPrice, Unpriced
from portfolio.fetching import pool

logger = logging.getLogger(__name__)

REMEMBER_CLOSE_SECONDS = 600
# A share that none of the connected brokers quotes is not asked for at every turn.
REMEMBER_NOTHING_SECONDS = 60


def borrowed(
    wanted: Sequence[Unpriced], clients: Mapping[UUID, BrokerClient | BrokerError], deadline: Deadline, *, now: datetime
) -> dict[str, BorrowedPrice]:
    """Prices by ISIN; who is not in the answer has none anywhere. No broker is asked for closes that are remembered.

    `clients` are those that may be asked: a broker that has just failed would only use up the time.
    """
    if not wanted:
        return {}
    lenders = sorted({client.spec.slug for client in clients.values() if isinstance(client, BrokerClient)})
    today = now.astimezone(IST).date()
    closes, unknown = _remembered(wanted, lenders, today)
    asked = [share for share in wanted if share.isin not in unknown and not (share.has_price and share.isin in closes)]
    found = borrow_prices(asked, clients, deadline, now=now, with_close=closes)
    if deadline.remaining() > 0:  # else who is not found was perhaps not asked for
        _remember(asked, found, lenders, today)
    for share in wanted:
        if share.isin in closes:
            nothing = BorrowedPrice(exchange=share.exchange, price=None, close=None, broker_type="", as_of=now)
            lent = found.get(share.isin, nothing)
            found[share.isin] = lent if lent.close is not None else replace(lent, close=closes[share.isin])
    return found


def borrow_prices(
    wanted: Sequence[Unpriced],
    clients: Mapping[UUID, BrokerClient | BrokerError],
    deadline: Deadline,
    *,
    now: datetime,
    with_close: Container[str] = (),
) -> dict[str, BorrowedPrice]:
    """Prices (by ISIN) for shares whose own brokers quote none: one batched request to each broker that may know more,
    until all are found or the time is up. A broker that cannot be asked, or fails, is passed over.

    Some quote no previous close: the price is then the first one's, and the close the next one's that has it; nobody
    is asked for the close of a share in `with_close`.
    """
    found: dict[str, BorrowedPrice] = {}
    for client in clients.values():
        missing = [
            share
            for share in wanted
            if share.isin not in found or (found[share.isin].close is None and share.isin not in with_close)
        ]
        if not missing or deadline.remaining() <= 0:
            break
        if isinstance(client, BrokerClient):
            for isin, quote in _quoted(client, missing, deadline, now).items():
                found[isin] = replace(found.get(isin, quote), close=quote.close)
    return found


def _quoted(
    client: BrokerClient, wanted: Sequence[Unpriced], deadline: Deadline, now: datetime
) -> dict[str, BorrowedPrice]:
    asked = [(share, client.listing(share.exchange, share.symbol, share.isin)) for share in wanted]
    listings = {listing: share.isin for share, listing in asked if listing is not None}
    if not listings:
        return {}
    call = pool(client.spec.slug).submit(client.quotes, list(listings))
    wait([call], timeout=max(0.0, deadline.remaining()))
    if not call.done():
        call.cancel()
        return {}
    try:
        quotes = call.result()
    except BrokerError as error:
        logger.info("%s lends no prices: %s", client.spec.slug, error.code)
        return {}
    except Exception:  # a mistake of ours in one dialect must not cost the answer
        logger.exception("Reading quotes of %s failed", client.spec.slug)
        return {}
    isins = {(listing.exchange, listing.broker_token): isin for listing, isin in listings.items()}
    return {
        isins[quote.exchange, quote.broker_token]: BorrowedPrice(
            exchange=quote.exchange,
            price=quote.last_price,
            close=quote.close_price,
            broker_type=client.spec.slug,
            as_of=now,
        )
        for quote in quotes
        if quote.last_price is not None
    }


def _remembered(wanted: Sequence[Unpriced], lenders: Sequence[str], today: date) -> tuple[dict[str, Decimal], set[str]]:
    """Closes by ISIN, and the shares that these lenders knew nothing of."""
    keys = [_key(share, today) for share in wanted] + [_nothing_key(share, lenders) for share in wanted]
    stored: list[bytes | None] = [None] * len(keys)
    with if_redis_is_there("what is remembered of closes"):
        stored = cast(list[bytes | None], redis().mget(keys))
    closes, nothings = stored[: len(wanted)], stored[len(wanted) :]
    return (
        {share.isin: Decimal(close.decode()) for share, close in zip(wanted, closes, strict=True) if close is not None},
        {share.isin for share, nothing in zip(wanted, nothings, strict=True) if nothing is not None},
    )


def _remember(
    asked: Sequence[Unpriced], found: Mapping[str, BorrowedPrice], lenders: Sequence[str], today: date
) -> None:
    pipe = redis().pipeline(transaction=False)
    for share in asked:
        price = found.get(share.isin)
        if price is None or (share.has_price and price.close is None):
            pipe.set(_nothing_key(share, lenders), 1, ex=REMEMBER_NOTHING_SECONDS)
        elif price.close is not None:
            pipe.set(_key(share, today), str(price.close), ex=REMEMBER_CLOSE_SECONDS)
    with if_redis_is_there("remembering closes"):
        pipe.execute()


def _nothing_key(share: Unpriced, lenders: Sequence[str]) -> str:
    return f"unquoted:{','.join(lenders)}:{share.exchange}:{share.isin}"


def _key(share: Unpriced, today: date) -> str:
    """Of one day in India: the next one's previous close is another."""
    return f"close:{today}:{share.exchange}:{share.isin}"
