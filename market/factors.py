"""What moves something, and whose daily prices that is: an instrument of its own, or a proxy that is named.

A factor is an ISIN, an index or commodity of `data/factors.json` by its name, the symbol of a share at NSE, the name of
any other underlying, or the identity of an instrument (`NSE|INDEX|NIFTY 50`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from brokers.domain import Exchange, InstrumentKind
from market.identity import is_isin
from market.models import Instrument

DATA = Path(__file__).with_name("data") / "factors.json"
SHARES_AT = (Exchange.NSE, Exchange.BSE)
# A proxy is taken to move as what it stands for does: nobody publishes by how much it differs.
BETA_OF_PROXY = Decimal(1)


@dataclass(frozen=True, slots=True)
class Proxy:
    name: str
    isin: str


@dataclass(frozen=True, slots=True)
class Named:
    """One entry of the data file: the identities under which masters list it, the likeliest first, and its proxies."""

    name: str
    title: str
    listed_as: tuple[str, ...]
    proxies: tuple[Proxy, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instrument whose past may be taken for a factor's; `proxy` is its name where it is not the factor itself."""

    instrument_id: int
    proxy: str | None = None


@cache
def named() -> Mapping[str, Named]:
    """The data file, by name."""
    told = json.loads(DATA.read_text(encoding="utf-8"))
    return {
        each["name"]: Named(
            each["name"],
            each["title"],
            tuple(each["listed_as"]),
            tuple(Proxy(proxy["name"], proxy["isin"]) for proxy in each["proxies"]),
        )
        for each in told["factors"]
    }


@cache
def index() -> str:
    """The factor that betas are measured against."""
    name: str = json.loads(DATA.read_text(encoding="utf-8"))["index"]
    return name


def candidates_of(keys: Collection[str], today: date) -> dict[str, tuple[Candidate, ...]]:
    """Where the past of each factor may be looked for, the best first; nothing where no master lists any of it.

    Four queries at most, however many they are. A share's are its listings, NSE's first; an index's are its own rows
    and then its proxies; another underlying's is its future of the nearest expiry, by that contract's own days.
    """
    known = named()
    asked = [known[key] for key in keys if key in known]
    isins = {key for key in keys if is_isin(key)} | {proxy.isin for each in asked for proxy in each.proxies}
    identities = {key for key in keys if "|" in key} | {name for each in asked for name in each.listed_as}
    symbols = {key for key in keys if key not in known and key not in isins and key not in identities}
    shares, listed = _shares(isins), _by_identity(identities)
    by_symbol = _by_symbol(symbols)
    futures = _nearest_futures(symbols - by_symbol.keys(), today)
    found: dict[str, tuple[Candidate, ...]] = {}
    for key in keys:
        if key in known:
            own = [Candidate(listed[name]) for name in known[key].listed_as if name in listed]
            proxies = [Candidate(row, proxy.name) for proxy in known[key].proxies for row in shares.get(proxy.isin, ())]
            found[key] = (*own, *proxies)
        elif key in shares:
            found[key] = tuple(map(Candidate, shares[key]))
        else:
            rows = [table[key] for table in (listed, by_symbol, futures) if key in table]
            found[key] = tuple(map(Candidate, rows))
    return found


def instruments_of(keys: Collection[str], today: date) -> set[int]:
    """Whose days must be held for these factors: one listing of each share, a proxy included, and all of an index's
    own rows, as brokers that call it by different names are asked by different rows.
    """
    known, found = named(), set[int]()
    for key, candidates in candidates_of(keys, today).items():
        own = [candidate for candidate in candidates if candidate.proxy is None]
        first_of = {candidate.proxy: candidate for candidate in reversed(candidates) if candidate.proxy is not None}
        found |= {each.instrument_id for each in (*(own if key in known else own[:1]), *first_of.values())}
    return found


def listings_of(isin: str) -> list[int]:
    """The living listings of one share, NSE's first."""
    return _shares([isin]).get(isin, [])


def _shares(isins: Iterable[str]) -> dict[str, list[int]]:
    """The living listings of each share, NSE's first."""
    rows = Instrument.objects.filter(
        isin__in=list(isins), exchange__in=SHARES_AT, kind=InstrumentKind.EQUITY, ended_on=None
    ).values_list("isin", "exchange", "pk")
    found: dict[str, list[int]] = defaultdict(list)
    for isin, _, pk in sorted(rows, key=lambda row: (SHARES_AT.index(Exchange(row[1])), row[2])):
        found[str(isin)].append(pk)
    return found


def _by_identity(identities: Collection[str]) -> dict[str, int]:
    if not identities:
        return {}
    return dict(Instrument.objects.filter(identity__in=identities, ended_on=None).values_list("identity", "pk"))


def _by_symbol(symbols: Collection[str]) -> dict[str, int]:
    if not symbols:
        return {}
    shares = Instrument.objects.filter(
        exchange=Exchange.NSE, kind=InstrumentKind.EQUITY, tradingsymbol__in=symbols, ended_on=None
    )
    return dict(shares.values_list("tradingsymbol", "pk"))


def _nearest_futures(underlyings: Collection[str], today: date) -> dict[str, int]:
    if not underlyings:
        return {}
    living = Instrument.objects.filter(
        underlying__in=underlyings, kind=InstrumentKind.FUTURE, expiry__gte=today, ended_on=None
    )
    nearest = living.order_by("underlying", "expiry", "rank", "pk").distinct("underlying")
    return dict(nearest.values_list("underlying", "pk"))
