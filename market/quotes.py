"""Last prices for who polls: from Redis, as the streams told them. No broker is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from brokers.domain import Exchange
from brokers.shared import redis
from market.models import Instrument
from market.pricing import InstrumentKey
from market.publishing import latest

MOST_QUOTES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """`instrument` is as it was asked for. None: nobody told a price, or there is no such instrument.

    `stale`: no stream stands for the price now, and nobody is asked. `asked`: no stream told it, `source` was asked.
    """

    instrument: str
    exchange: Exchange | None
    exchange_token: str | None
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    source: str | None = None
    as_of: datetime | None = None
    stale: bool = True
    asked: bool = False


def quotes(asked: Sequence[str]) -> list[Quote]:
    """One quote for each, in the order asked: `NSE:2885`, or the id of an instrument. Raises RedisError.

    Only what some open page's book holds is streamed; other prices are from before, or not there.
    """
    keys = dict(_keys(asked))
    found = latest(redis(), sorted(set(keys.values())))
    answers = []
    for each in asked:
        key = keys.get(each)
        price = found.prices.get(key) if key is not None else None
        exchange, token = key or (None, None)
        quote = Quote(instrument=each, exchange=exchange, exchange_token=token)
        if price is not None:
            quote = replace(
                quote,
                last_price=price.last_price,
                close_price=price.close_price,
                source=price.source,
                as_of=price.as_of,
                stale=price.stale or not found.is_fed,
                asked=price.asked,
            )
        answers.append(quote)
    return answers


def _keys(asked: Sequence[str]) -> Iterator[tuple[str, InstrumentKey]]:
    """What each is called at the exchange, where that can be said."""
    ids = [each for each in asked if ":" not in each]
    rows = Instrument.objects.filter(pk__in=ids).exclude(exchange_token=None)
    for pk, exchange, token in rows.values_list("pk", "exchange", "exchange_token"):
        assert token is not None  # noqa: S101 - by the query
        yield str(pk), (Exchange(exchange), token)
    for each in asked:
        exchange, separator, token = each.partition(":")
        if separator:
            yield each, (Exchange(exchange), token)
