"""Finding instruments: by symbol, then by words of the name, then by ISIN. Each step is one indexed query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from django.db.models import BooleanField, Prefetch, Q, QuerySet, prefetch_related_objects
from django.db.models.expressions import RawSQL

from market.identity import is_isin
from market.models import Instrument, InstrumentListing

WORD = re.compile(r"[^\W_]+")
MOST_WORDS = 8
LAST_RANK_OF_SHARES, HIGHEST_RANK = 1, 3
LISTINGS = Prefetch("listings", queryset=InstrumentListing.objects.filter(withdrawn_on=None))
MATCHES = "to_tsvector('simple', words) @@ to_tsquery('simple', %s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Narrow a search down; None: not asked for."""

    exchange: str | None = None
    segment: str | None = None
    kind: str | None = None
    expiry: date | None = None

    def as_query(self) -> Q:
        asked = {"exchange": self.exchange, "segment": self.segment, "kind": self.kind, "expiry": self.expiry}
        return Q(**{name: value for name, value in asked.items() if value is not None})


def search(text: str, filters: Filters, *, limit: int, today: date) -> list[Instrument]:
    """At most `limit` living instruments, the likeliest first, with their listings.

    The symbol itself; symbols that begin with it; names in which every word begins a word; an ISIN. Within each, shares
    of NSE come before those of other exchanges, futures and options. What has expired or ended is left out.
    """
    living = Instrument.objects.filter(filters.as_query(), Q(expiry=None) | Q(expiry__gte=today), ended_on=None)
    found: dict[int, Instrument] = {}
    for step in _steps(living, " ".join(text.split())):
        for instrument in step[: limit + len(found)]:
            found.setdefault(instrument.pk, instrument)
        if len(found) >= limit:
            break
    instruments = list(found.values())[:limit]
    prefetch_related_objects(instruments, LISTINGS)
    return instruments


def _steps(living: QuerySet[Instrument], text: str) -> Iterator[QuerySet[Instrument]]:
    symbol = text.upper()
    if is_isin(symbol):
        yield living.filter(isin=symbol)
        return
    yield living.filter(rank__lte=HIGHEST_RANK, tradingsymbol=symbol)
    for rank in range(HIGHEST_RANK + 1):  # one stretch of the index each
        begun = living.filter(rank=rank, tradingsymbol__startswith=symbol)
        yield begun if rank <= LAST_RANK_OF_SHARES else begun.order_by("expiry", "tradingsymbol", "id")
    words = WORD.findall(text.lower())[:MOST_WORDS]
    if words:
        query = " & ".join(f"{word}:*" for word in words)
        matches = RawSQL(MATCHES, [query], output_field=BooleanField())  # noqa: S611 - only the parameter varies
        yield living.filter(matches).order_by("rank", "expiry", "tradingsymbol", "id")
