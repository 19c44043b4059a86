"""Betas to the index, and the book's whole exposure told in it: what one short future would make up for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import SupportsFloat

import numpy as np

from brokers.domain import ZERO
from portfolio.risk.errors import RiskError
from portfolio.risk.exposure import NO_DELTAS, Deltas, exact, exposed
from portfolio.risk.factors import FEWEST_DAYS, Factors
from portfolio.risk.numbers import Array
from portfolio.risk.words import Line, RiskBook
from portfolio.sums import EXACT, quotient

BETA_DAYS = 250
# Blume: betas drift towards that of the market, which is 1.
OWN_PART, MARKET_PART = 0.67, 0.33


@dataclass(frozen=True, slots=True, kw_only=True)
class Beta:
    """`raw` = cov / var over `days` daily returns (ddof 1), `shrunk` = 0.67 raw + 0.33; `residual` is the daily
    volatility that the index leaves unexplained, a ratio; `correlation` None where one of the two does not move."""

    raw: float
    shrunk: float
    residual: float
    correlation: float | None
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaWeighted:
    """The rupees of index that the book stands for. INR; `per_line` is in the order of the lines, None unknown.

    `index_units` and `hedge_lots` (positive: to buy) need the index's level and lot; `pnl_if_index_falls_1pct` above
    zero is a gain. `unmodelled` lines have no beta, `unvalued` no exposure: `unmodelled_value` is the size of the
    former. None of them is in the sums, which are None where nothing is left for them.
    """

    rupees: Decimal | None
    per_line: tuple[Decimal | None, ...]
    index_units: Decimal | None
    hedge_lots: Decimal | None
    pnl_if_index_falls_1pct: Decimal | None
    unmodelled: int
    unmodelled_value: Decimal
    unvalued: int


def beta(returns: Array, index_returns: Array, *, fewest: int = FEWEST_DAYS) -> Beta | None:
    """Of two columns of returns on the same days, of which the last 250 count; NaN days are left out.

    None where fewer than `fewest` remain, or the index does not move. Raises RiskError where they are not as long.
    """
    if returns.shape != index_returns.shape:
        raise RiskError(
            "Two histories are not of the same days.", code="days_differ", remedy="Align them with `factors` first."
        )
    own, index = returns[-BETA_DAYS:], index_returns[-BETA_DAYS:]
    both = np.isfinite(own) & np.isfinite(index)
    own, index = own[both], index[both]
    if len(own) < max(fewest, 3):
        return None
    market = float(np.var(index, ddof=1))
    if market <= 0:
        return None
    covariance = float(np.cov(own, index, ddof=1)[0, 1])
    raw = covariance / market
    left = own - raw * index
    total = float(np.var(own, ddof=1))
    return Beta(
        raw=raw,
        shrunk=shrunk(raw),
        residual=float(np.std(left, ddof=2)),  # two are spent: the mean and the beta
        correlation=covariance / float(np.sqrt(market * total)) if total > 0 else None,
        days=len(own),
    )


def shrunk(raw: float) -> float:
    return OWN_PART * raw + MARKET_PART


def betas(factors: Factors, index: str, *, fewest: int = FEWEST_DAYS) -> dict[str, float]:
    """The shrunk beta of each factor to the index, by name, and 1 of the index itself.

    Of what has no history of its own it is that of its proxy, shrunk no more: it was taken, not measured.
    """
    found: dict[str, float] = {}
    market = factors.column(index)
    if market is None:
        return {}
    for name in factors.names:
        if name == index:
            found[name] = 1.0
            continue
        column = factors.column(name)
        measured = None if column is None else beta(column, market, fewest=fewest)
        if measured is not None:
            found[name] = measured.raw if name in factors.proxied else measured.shrunk
    return found


def beta_weighted(
    book: RiskBook,
    known: Mapping[str, SupportsFloat],
    deltas: Deltas = NO_DELTAS,
    *,
    index_level: Decimal | None = None,
    index_lot: Decimal | None = None,
) -> BetaWeighted:
    """Of the whole book. `known` is the beta by factor."""
    with localcontext(EXACT):
        rows = exposed(book, deltas)
        return weighted(
            [(row.amount, _beta_of(row.line, known)) for row in rows], index_level=index_level, index_lot=index_lot
        )


def weighted(
    parts: Iterable[tuple[Decimal | None, Decimal | None]],
    *,
    index_level: Decimal | None = None,
    index_lot: Decimal | None = None,
) -> BetaWeighted:
    """Of rupee deltas (units × delta × price) and their betas, one pair for each line."""
    with localcontext(EXACT):
        pairs = list(parts)
        each = tuple(None if amount is None or factor is None else amount * factor for amount, factor in pairs)
        told = [rupees for rupees in each if rupees is not None]
        total = sum(told, ZERO) if told or not each else None
        left_out = [amount for amount, factor in pairs if amount is not None and factor is None]
        units = quotient(total, index_level) if index_level and total is not None else None
        return BetaWeighted(
            rupees=total,
            per_line=each,
            index_units=units,
            hedge_lots=quotient(-units, index_lot) if units is not None and index_lot else None,
            pnl_if_index_falls_1pct=None if total is None else -total / 100 + 0,
            unmodelled=len(left_out),
            unmodelled_value=sum((abs(amount) for amount in left_out), ZERO),
            unvalued=sum(amount is None for amount, _ in pairs),
        )


def _beta_of(line: Line, known: Mapping[str, SupportsFloat]) -> Decimal | None:
    return exact(known.get(line.factor))
