"""The directory of the risk book, read from the table of instruments: four queries at most, whatever is held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q, QuerySet

from brokers.domain import SEGMENT_OF, Exchange, Holding, InstrumentKind, OptionType, Position, Segment
from market.models import Instrument
from portfolio.domain import InstrumentKey, Source
from portfolio.risk.directory import INDEX_NAMES, Directory, Known, contract_identity, underlying_class
from portfolio.risk.words import RiskClass

SHARES_AT = (Exchange.NSE, Exchange.BSE)
LAST_RANK_OF_SHARES = 1  # the index of symbols begins with the rank
CONTRACTS = (InstrumentKind.FUTURE, InstrumentKind.OPTION)
# From ISINs to sectors; None where nobody said.
SectorOf = Callable[[Collection[str]], Mapping[str, str | None]]


class Row(NamedTuple):
    identity: str
    exchange: str
    kind: str
    tradingsymbol: str
    exchange_token: str | None
    isin: str | None
    name: str
    underlying: str
    expiry: date | None
    strike: Decimal | None
    option_type: str
    lot_size: Decimal | None
    series: str

    @property
    def key(self) -> InstrumentKey | None:
        return (Exchange(self.exchange), self.exchange_token) if self.exchange_token else None


@dataclass(slots=True)
class _Held:
    """What is to be looked up, by whichever name it has."""

    isins: set[str] = field(default_factory=set)
    tokens: set[InstrumentKey] = field(default_factory=set)
    identities: set[str] = field(default_factory=set)
    share_symbols: set[str] = field(default_factory=set)

    def add(self, line: Holding | Position) -> None:
        if line.isin:
            self.isins.add(line.isin)
        elif SEGMENT_OF[line.exchange] is Segment.EQUITY:
            self.share_symbols.add(line.tradingsymbol)
        if isinstance(line, Position):
            if line.exchange_token:
                self.tokens.add((line.exchange, line.exchange_token))
            identity = contract_identity(line, line.contract)
            if identity is not None:
                self.identities.add(identity)


def directory_of(sources: Iterable[Source], *, today: date, sector_of: SectorOf) -> Directory:
    """Who is who among what these sources hold. Contracts that have expired before `today` are none any more."""
    held = _Held()
    for source in sources:
        if source.portfolio is not None:
            for holding in source.portfolio.holdings:
                held.add(holding)
            for position in source.portfolio.positions:
                held.add(position)
    own = [row for row in _own(held) if row.expiry is None or row.expiry >= today]
    underlyings = {row.underlying for row in own if row.underlying}
    about = around(underlyings, today) if underlyings else []
    issuers = {
        row.tradingsymbol: row.isin
        for row in about
        if row.exchange == Exchange.NSE and row.kind == InstrumentKind.EQUITY and row.isin
    }
    isins = held.isins | {row.isin for row in (*own, *about) if row.isin}
    listings = _listings(set(issuers.values()), about, own)
    sectors = {isin: sector for isin, sector in sector_of(sorted(isins)).items() if sector} if isins else {}
    return Directory(
        tokens={row.key: _known(row, issuers) for row in own if row.key is not None},
        symbols={(Exchange(row.exchange), row.tradingsymbol): _known(row, issuers) for row in own},
        shares=_shares(own, issuers),
        issuers=issuers,
        sectors=sectors,
        spots={**listings, **_indices(about)},
        futures=_futures(about),
    )


# --- queries ----------------------------------------------------------------------------------------------------------
def _own(held: _Held) -> list[Row]:
    """What is held itself: one query, made of parts that each have an index."""
    living = Instrument.objects.filter(ended_on=None)
    shares = living.filter(exchange__in=SHARES_AT, kind=InstrumentKind.EQUITY)
    parts = []
    if held.isins:
        parts.append(shares.filter(isin__in=held.isins))
    if held.share_symbols:
        parts.append(shares.filter(rank__lte=LAST_RANK_OF_SHARES, tradingsymbol__in=held.share_symbols))
    if held.identities:
        parts.append(living.filter(identity__in=held.identities))
    by_exchange: dict[Exchange, list[str]] = defaultdict(list)
    for exchange, token in held.tokens:
        by_exchange[exchange].append(token)
    parts += [
        living.filter(exchange=exchange, exchange_token__in=tokens) for exchange, tokens in sorted(by_exchange.items())
    ]
    return rows_of(parts)


def around(underlyings: Collection[str], today: date) -> list[Row]:
    """The shares, indices and living futures that these names stand for."""
    living = Instrument.objects.filter(ended_on=None)
    shares = Q(kind=InstrumentKind.EQUITY, exchange__in=SHARES_AT)
    return rows_of(
        [
            living.filter(shares, rank__lte=LAST_RANK_OF_SHARES, tradingsymbol__in=underlyings),
            living.filter(kind=InstrumentKind.INDEX, identity__in=list(_index_identities(underlyings))),
            living.filter(kind=InstrumentKind.FUTURE, underlying__in=underlyings, expiry__gte=today),
        ]
    )


def rows_of(parts: Sequence[QuerySet[Instrument]]) -> list[Row]:
    if not parts:
        return []
    first, *others = (part.order_by().values_list(*Row._fields) for part in parts)
    found = {row[0]: Row(*row) for row in first.union(*others)}
    return sorted(found.values(), key=lambda row: (row.exchange != Exchange.NSE, row.identity))


# --- rows into what is known ------------------------------------------------------------------------------------------
def _known(row: Row, issuers: Mapping[str, str]) -> Known:
    is_contract = row.kind in CONTRACTS
    of_company = is_contract and SEGMENT_OF[Exchange(row.exchange)] is Segment.FNO
    isin = issuers.get(row.underlying) if of_company else None
    return Known(
        identity=row.identity,
        isin=None if is_contract else row.isin,
        underlying=row.underlying.upper(),
        expiry=row.expiry,
        strike=row.strike,
        option_type=OptionType(row.option_type) if row.option_type else None,
        lot_size=row.lot_size,
        series=row.series,
        isin_of_underlying=isin,
        name=row.name or None,
        risk_class=_class(row, isin),
    )


def _class(row: Row, isin_of_underlying: str | None) -> RiskClass | None:
    """Of a share its ISIN says it."""
    if row.kind == InstrumentKind.INDEX:
        return RiskClass.INDEX
    if row.kind not in CONTRACTS:
        return None
    if isin_of_underlying:
        return RiskClass.EQUITY
    found = underlying_class(Exchange(row.exchange), row.underlying.upper())
    # What no share bears the name of, and trades beside shares, is an index.
    return RiskClass.INDEX if found is RiskClass.EQUITY else found


def _shares(rows: Iterable[Row], issuers: Mapping[str, str]) -> dict[str, Known]:
    """By ISIN; NSE's row before any other's."""
    found: dict[str, Known] = {}
    for row in rows:
        if row.isin and row.kind == InstrumentKind.EQUITY:
            found.setdefault(row.isin, _known(row, issuers))
    return found


def _listings(isins: Collection[str], *lists: Iterable[Row]) -> dict[str, tuple[InstrumentKey, ...]]:
    """Where each of these shares is priced, NSE first."""
    found: dict[str, set[InstrumentKey]] = defaultdict(set)
    for row in (row for rows in lists for row in rows):
        if row.isin is not None and row.isin in isins and row.kind == InstrumentKind.EQUITY and row.key is not None:
            found[row.isin].add(row.key)
    return {isin: tuple(sorted(keys, key=lambda key: key[0] is not Exchange.NSE)) for isin, keys in found.items()}


def named_index(identity: str) -> str | None:
    """What derivatives call the index that a master lists so; None: it is none that we know."""
    return _index_identities(INDEX_NAMES).get(identity)


def _index_identities(underlyings: Collection[str]) -> dict[str, str]:
    """Under which identities masters may list an index, and the name that derivatives call it."""
    found = {}
    for name in underlyings:
        if name in INDEX_NAMES:
            exchange, title = INDEX_NAMES[name]
            for spelled in (title, title.replace(" ", ""), name):
                found[f"{exchange}|INDEX|{spelled}"] = name
    return found


def _indices(rows: Iterable[Row]) -> dict[str, tuple[InstrumentKey, ...]]:
    found: dict[str, list[InstrumentKey]] = defaultdict(list)
    names = _index_identities(INDEX_NAMES)
    for row in rows:
        if row.kind == InstrumentKind.INDEX and row.key is not None and row.identity in names:
            found[names[row.identity]].append(row.key)
    return {name: tuple(keys) for name, keys in found.items()}


def _futures(rows: Iterable[Row]) -> dict[tuple[Exchange, str], tuple[tuple[date, InstrumentKey], ...]]:
    found: dict[tuple[Exchange, str], list[tuple[date, InstrumentKey]]] = defaultdict(list)
    for row in rows:
        if row.kind == InstrumentKind.FUTURE and row.expiry is not None and row.key is not None:
            found[Exchange(row.exchange), row.underlying.upper()].append((row.expiry, row.key))
    return {place: tuple(sorted(each)) for place, each in found.items()}
