"""Price histories into one matrix of daily returns on common days, and how much of the book it speaks of. Pure.

Days are the index's (or those given). A return counts where both of its days have a close. A history that is long
enough has its few holes filled by what it follows: its sector's index, or beta × the index. One that is too short is
told by that altogether on the days that it lacks, and counts as proxied: its own surprises are then not in it. So does
one whose closes are another's throughout: its `proxy` is then no history of its own. What nothing can stand for is
unmodelled, is left out of the matrix, and is said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

import numpy as np

from brokers.domain import ZERO
from portfolio.risk.exposure import NO_DELTAS, Deltas, exposed
from portfolio.risk.numbers import Array
from portfolio.risk.words import History, MarketData, RiskBook
from portfolio.sums import EXACT, percent

DAYS = 250
FEWEST_DAYS = 60  # below this a beta says more of chance than of the share
OWN_SHARE = 0.9  # of the days: with fewer of its own a history counts as proxied


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Whose returns stand in, times `beta`. `days`: on how many days."""

    factor: str
    beta: float
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """`returns` has the shape (len(days), len(names)): simple returns, ratios, no NaN in it, oldest first.

    `days` are those on which the returns end. `own_days` counts a factor's own returns among them. `proxied` are those
    of which most are not; `unmodelled` factors are not among the names.
    """

    names: tuple[str, ...]
    days: tuple[date, ...]
    returns: Array
    own_days: Mapping[str, int]
    proxied: Mapping[str, Proxy]
    unmodelled: tuple[str, ...]

    def column(self, name: str) -> Array | None:
        return self.returns[:, self.names.index(name)] if name in self.names else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelled:
    """How much of the book has a past. INR of gross exposure by line; percent None where there is no exposure at all.

    `unvalued` lines have none that is known.
    """

    gross: Decimal
    proxied: Decimal
    unmodelled: Decimal
    unvalued: int

    @property
    def proxied_pct(self) -> Decimal | None:
        return percent(self.proxied, self.gross)

    @property
    def unmodelled_pct(self) -> Decimal | None:
        return percent(self.unmodelled, self.gross)


Breaks = Mapping[str, Collection[date]]
NO_BREAKS: Breaks = {}


def factors(
    wanted: Sequence[str],
    market: MarketData,
    *,
    days: int = DAYS,
    fewest: int = FEWEST_DAYS,
    breaks: Breaks = NO_BREAKS,
) -> Factors:
    """Returns of these factors, and of the index beside them, over the last `days` days.

    `breaks` are days, by factor, whose return is none: a split that the source did not adjust for. Whoever asks leaves
    out what the index says nothing of, such as a currency without a history.
    """
    calendar = _calendar(market, days)
    known = {name: _told(name, market, calendar, breaks.get(name, ())) for name in _all(wanted, market)}
    index = known[market.index]
    columns: dict[str, Array] = {}
    own_days: dict[str, int] = {}
    proxied: dict[str, Proxy] = {}
    unmodelled: list[str] = []
    for name in dict.fromkeys((*wanted, market.index)):
        own = known[name]
        own_days[name] = int(np.isfinite(own).sum())
        is_short = own_days[name] < OWN_SHARE * max(1, len(calendar) - 1) or own_days[name] < fewest
        column, proxy = _filled(name, own, market, known, fewest)
        if is_short and proxy is None:
            unmodelled.append(name)
            continue
        columns[name] = column
        stands_in = _lent(name, market) or (proxy if is_short else None)
        if stands_in is not None:
            proxied[name] = stands_in
    names = tuple(columns)
    matrix = np.column_stack(list(columns.values())) if names else np.empty((len(index), 0))
    whole = np.isfinite(matrix).all(axis=1) if names else np.zeros(len(index), dtype=np.bool_)
    kept = np.flatnonzero(whole)
    return Factors(
        names=names,
        days=tuple(calendar[row + 1] for row in kept),
        returns=matrix[kept],
        own_days=own_days,
        proxied=proxied,
        unmodelled=tuple(unmodelled),
    )


def modelled(book: RiskBook, found: Factors, deltas: Deltas = NO_DELTAS) -> Modelled:
    """What of the book's exposure the factors tell of themselves, by another, or not at all."""
    with localcontext(EXACT):
        gross = proxied = unmodelled = ZERO
        unvalued = 0
        names = frozenset(found.names)
        for row in exposed(book, deltas):
            if row.amount is None:
                unvalued += 1
                continue
            size = abs(row.amount)
            gross += size
            if row.line.factor not in names:
                unmodelled += size
            elif row.line.factor in found.proxied:
                proxied += size
        return Modelled(gross=gross, proxied=proxied, unmodelled=unmodelled, unvalued=unvalued)


def by_factor(book: RiskBook, deltas: Deltas = NO_DELTAS) -> dict[str, Decimal]:
    """Signed INR that the book stands for in each factor, over all accounts. What is not known is left out."""
    with localcontext(EXACT):
        sums: dict[str, Decimal] = {}
        for row in exposed(book, deltas):
            if row.amount is not None:
                sums[row.line.factor] = sums.get(row.line.factor, ZERO) + row.amount
        return sums


# --- days and returns -------------------------------------------------------------------------------------------------
def _all(wanted: Sequence[str], market: MarketData) -> list[str]:
    proxies = [market.histories[name].proxy for name in wanted if name in market.histories]
    return list(
        dict.fromkeys((*wanted, market.index, *(name for name in proxies if name and name in market.histories)))
    )


def _calendar(market: MarketData, days: int) -> tuple[date, ...]:
    """One day more than there are returns: the trading days, else the index's, else all that any history has."""
    index = market.histories.get(market.index)
    last = max((history.days[-1] for history in market.histories.values() if history.days), default=None)
    if market.trading_days:
        told = sorted(day for day in market.trading_days if last is not None and day <= last)
    elif index is not None and index.days:
        told = sorted(index.days)
    else:
        told = sorted({day for history in market.histories.values() for day in history.days})
    return tuple(told[-(days + 1) :])


def _told(name: str, market: MarketData, calendar: Sequence[date], breaks: Collection[date]) -> Array:
    """A factor's returns by its own history; by its beta to another's where the closes are that other's."""
    own, lent = _returns(market.histories.get(name), calendar, breaks), _lent(name, market)
    return own if lent is None else own * lent.beta


def _returns(history: History | None, calendar: Sequence[date], breaks: Collection[date]) -> Array:
    """NaN where one of the two days has no close, none above zero, or the price was cut anew between them."""
    if history is None or len(calendar) < 2:
        return np.full(max(0, len(calendar) - 1), np.nan)
    closes = dict(zip(history.days, history.closes, strict=True))
    prices = np.array([float(closes.get(day) or np.nan) for day in calendar])
    prices[prices <= 0] = np.nan
    returns = prices[1:] / prices[:-1] - 1
    if breaks:
        returns[[day in breaks for day in calendar[1:]]] = np.nan
    return np.asarray(returns)


def _filled(
    name: str, own: Array, market: MarketData, known: Mapping[str, Array], fewest: int
) -> tuple[Array, Proxy | None]:
    """The column with its holes filled, and by whom; None where nothing is missing or nobody can stand in."""
    holes = ~np.isfinite(own)
    if not holes.any():
        return own, None
    column, proxy = own.copy(), None
    for by, beta in _stand_ins(name, market):
        left = ~np.isfinite(column)
        if by == name or not left.any():
            continue
        other = known[by]
        times = beta if beta is not None else _beta(own, other, fewest)
        filled = left & np.isfinite(other)
        if filled.any():
            column[filled] = times * other[filled]
            proxy = proxy or Proxy(factor=by, beta=times, days=int(filled.sum()))
    return column, proxy


def _lent(name: str, market: MarketData) -> Proxy | None:
    """Whose closes these are where they are another's: one that has no history beside it."""
    history = market.histories.get(name)
    if history is None or history.proxy is None or history.proxy in market.histories:
        return None
    beta = 1.0 if history.beta is None else float(history.beta)
    return Proxy(factor=history.proxy, beta=beta, days=max(0, len(history.days) - 1))


def _stand_ins(name: str, market: MarketData) -> list[tuple[str, float | None]]:
    """Who may stand in, the likest first, and with which beta where that is told."""
    history = market.histories.get(name)
    is_own = history is not None and _lent(name, market) is None
    told = float(history.beta) if history is not None and is_own and history.beta is not None else None
    proxy = history.proxy if history is not None else None
    if proxy is not None and proxy in market.histories and proxy != market.index:
        return [(proxy, told), (market.index, None)]
    return [(market.index, told)]


def _beta(own: Array, other: Array, fewest: int) -> float:
    """From the days that both have; where these are too few, 1: it moves as much."""
    both = np.isfinite(own) & np.isfinite(other)
    if both.sum() < fewest:
        return 1.0
    spread = float(np.var(other[both], ddof=1))
    return float(np.cov(own[both], other[both], ddof=1)[0, 1]) / spread if spread > 0 else 1.0
