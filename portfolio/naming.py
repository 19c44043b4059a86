"""What brokers leave out of their rows, by the instrument master: which share it is, and what its company is called.

ISINs are asked for when an answer comes, so that whatever is made of it, books and what they stream, has the ISIN in
the row; companies' names whenever a book is made, so that a kept answer has them too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from brokers.domain import BrokerPortfolio, Exchange, Holding, InstrumentKind, Position
from market.models import Instrument, InstrumentListing
from market.remembered import Remembered
from portfolio.domain import Source
from portfolio.fetching import Answer

# A broker, an exchange, and that broker's own number of what trades there.
ListingKey = tuple[str, Exchange, str]
Line = TypeVar("Line", Holding, Position)


# --- shares -----------------------------------------------------------------------------------------------------------
def named(answers: Mapping[UUID, Answer], slugs: Mapping[UUID, str], now: datetime) -> dict[UUID, Answer]:
    """The answers, with the ISIN of each share dealt in for delivery that neither its row nor any holding names.

    `slugs` are the connections' brokers. One query at most, and none where all is known (docs/adr/0002).
    """
    told = {key: answer.portfolio for key, answer in answers.items() if answer.portfolio is not None}
    held = {_symbol(line) for portfolio in told.values() for line in portfolio.holdings if line.isin}
    lacking = {
        (slugs[key], position.exchange, position.broker_token)
        for key, portfolio in told.items()
        for position in portfolio.positions
        if _is_nameless(position) and _symbol(position) not in held
    }
    if not lacking:
        return dict(answers)
    isins = share_names.of(lacking, now)
    return dict(answers) | {
        key: replace(answers[key], portfolio=_with_isins(portfolio, slugs[key], isins))
        for key, portfolio in told.items()
    }


def _isins(keys: Collection[ListingKey]) -> dict[ListingKey, str]:
    rows = InstrumentListing.objects.filter(
        broker_type__in={slug for slug, _, _ in keys},
        broker_token__in={token for _, _, token in keys},
        instrument__kind=InstrumentKind.EQUITY,
        instrument__ended_on=None,
        withdrawn_on=None,
    ).values_list("broker_type", "instrument__exchange", "broker_token", "instrument__isin")
    return {(slug, Exchange(exchange), token): isin for slug, exchange, token, isin in rows if isin}


def _with_isins(portfolio: BrokerPortfolio, slug: str, isins: Mapping[ListingKey, str]) -> BrokerPortfolio:
    positions = tuple(
        replace(position, isin=isins.get((slug, position.exchange, position.broker_token)))
        if _is_nameless(position)
        else position
        for position in portfolio.positions
    )
    return replace(portfolio, positions=positions)


def _is_nameless(position: Position) -> bool:
    return position.is_delivery and position.isin is None


def _symbol(line: Holding | Position) -> tuple[Exchange, str]:
    return (line.exchange, line.tradingsymbol)


# --- companies --------------------------------------------------------------------------------------------------------
def with_companies(sources: Sequence[Source], now: datetime) -> list[Source]:
    """The same sources; what has an ISIN and no company's name bears the one of its ISIN. One query, or none."""
    bare = {line.isin for source in sources for line in _lines(source) if line.isin and not line.company_name}
    names = company_names.of(bare, now)
    return [_with_companies(source, names) for source in sources] if names else list(sources)


def _companies(isins: Collection[str]) -> dict[str, str]:
    rows = Instrument.objects.filter(isin__in=isins, kind=InstrumentKind.EQUITY, ended_on=None).exclude(name="")
    # Both exchanges may name it, each in its own way: NSE's word comes last, and stands.
    return {isin: name for isin, name in rows.order_by("exchange").values_list("isin", "name") if isin}


def _lines(source: Source) -> Iterable[Holding | Position]:
    return (*source.portfolio.holdings, *source.portfolio.positions) if source.portfolio else ()


def _with_companies(source: Source, names: Mapping[str, str]) -> Source:
    if source.portfolio is None:
        return source
    holdings = tuple(_with_company(line, names) for line in source.portfolio.holdings)
    positions = tuple(_with_company(line, names) for line in source.portfolio.positions)
    return replace(source, portfolio=replace(source.portfolio, holdings=holdings, positions=positions))


def _with_company(line: Line, names: Mapping[str, str]) -> Line:
    name = names.get(line.isin) if line.isin and not line.company_name else None
    return line if name is None else replace(line, company_name=name)


# --- remembered, by all threads of a process --------------------------------------------------------------------------
share_names = Remembered(_isins)
company_names = Remembered(_companies)
