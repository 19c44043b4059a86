"""What contracts hang on, so that it is streamed beside them: an option without its underlying's price has no risk.

The future of the same expiry (of a commodity the next one that outlives the option), the index, and the share.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from brokers.domain import SEGMENT_OF, Exchange, InstrumentKind, Segment, Streamed
from brokers.wire import IST
from market.indices import BY_UNDERLYING
from market.models import Instrument
from portfolio.domain import InstrumentKey
from portfolio.risk_rows import CONTRACTS, Row, around, named_index, rows_of

KEPT = timedelta(minutes=10)


class HungOn:
    """Remembers for a while. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[frozenset[InstrumentKey], tuple[datetime, frozenset[Streamed]]] = {}

    def of(self, held: Collection[InstrumentKey], now: datetime) -> frozenset[Streamed]:
        """What those of them hang on that are contracts; reads rows where they are others than before."""
        keys = frozenset(held)
        known = self._known.get(keys)
        if known is None or known[0] <= now:
            self._known = {each: kept for each, kept in self._known.items() if kept[0] > now}
            known = self._known[keys] = now + KEPT, _read(keys, now)
        return known[1]


def _read(keys: Collection[InstrumentKey], now: datetime) -> frozenset[Streamed]:
    living = Instrument.objects.filter(ended_on=None, kind__in=CONTRACTS)
    by_exchange: dict[Exchange, list[str]] = {}
    for exchange, token in keys:
        by_exchange.setdefault(exchange, []).append(token)
    parts = [living.filter(exchange=exchange, exchange_token__in=tokens) for exchange, tokens in by_exchange.items()]
    today = now.astimezone(IST).date()
    contracts = [row for row in rows_of(parts) if row.expiry is not None and row.expiry >= today]
    if not contracts:
        return frozenset()
    about = around({row.underlying for row in contracts}, today)
    found = {_streamed(row) for row in about if row.kind != InstrumentKind.FUTURE}
    found |= {_streamed(future) for row in contracts if (future := _future(row, about)) is not None}
    return frozenset(each for each in found if each is not None)


def _future(row: Row, about: Collection[Row]) -> Row | None:
    """The one whose price the contract is valued at; of a future itself it is that."""
    futures = [
        each
        for each in about
        if each.kind == InstrumentKind.FUTURE
        and (each.exchange, each.underlying) == (row.exchange, row.underlying)
        and each.expiry is not None
        and row.expiry is not None
        and each.expiry >= row.expiry
    ]
    first = min(futures, key=lambda each: (each.expiry, each.identity), default=None)
    is_commodity = SEGMENT_OF[Exchange(row.exchange)] is Segment.COMMODITY
    return first if first is not None and (is_commodity or first.expiry == row.expiry) else None


def _streamed(row: Row) -> Streamed | None:
    if row.key is None:
        return None
    if row.kind != InstrumentKind.INDEX:
        return Streamed(*row.key, isin=row.isin)
    index = BY_UNDERLYING.get(named_index(row.identity) or "")
    name = index.streamed_as if index is not None else None
    return Streamed(*row.key, index_name=name) if name is not None else None
