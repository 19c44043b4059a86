"""What a share's company is called, from the table of instruments, where its broker does not tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from brokers.domain import Holding, InstrumentKind, Position
from market.models import Instrument
from portfolio.domain import Source

Line = TypeVar("Line", Holding, Position)


def named(sources: Sequence[Source]) -> list[Source]:
    """The same sources; what has an ISIN and no company's name bears the one of its ISIN. One query, or none."""
    bare = {line.isin for source in sources for line in _lines(source) if line.isin and not line.company_name}
    if not bare:
        return list(sources)
    rows = Instrument.objects.filter(isin__in=bare, kind=InstrumentKind.EQUITY, ended_on=None).exclude(name="")
    # Both exchanges may name it, each in its own way: NSE's word comes last, and stands.
    names = dict(rows.order_by("exchange").values_list("isin", "name"))
    return [_named(source, names) for source in sources]


def _lines(source: Source) -> Iterable[Holding | Position]:
    return (*source.portfolio.holdings, *source.portfolio.positions) if source.portfolio else ()


def _named(source: Source, names: Mapping[str | None, str]) -> Source:
    if source.portfolio is None:
        return source
    holdings = tuple(_with_name(line, names) for line in source.portfolio.holdings)
    positions = tuple(_with_name(line, names) for line in source.portfolio.positions)
    return replace(source, portfolio=replace(source.portfolio, holdings=holdings, positions=positions))


def _with_name(line: Line, names: Mapping[str | None, str]) -> Line:
    name = names.get(line.isin)
    return line if line.company_name or name is None else replace(line, company_name=name)
