"""Price histories into one matrix of daily returns on common days, and how much of the book it speaks of. Pure.

Days are the index's (or those given). A return is that from the last close before to the day's, however many days lie
between: no fall is lost in a day without a close. Such a day moves with what the share follows (its sector's index, or
beta × the index), and the next close with what then remains.

On days of which a history says nothing at all (before a listing, across a split that was not adjusted for) what it
follows stands in, with surprises beside it: drawn from the share's own where it has enough of them, else as large as
shares usually have. A history that lacks many days counts as proxied. So does one whose closes are another's
throughout: its `proxy` is then no history of its own. Only what is like the index has it to stand in: anything else is
told by its own days, drawn anew where it has enough. What nothing can stand for is unmodelled, is left out of the
matrix, and is said. Draws are the same at every call.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

import numpy as np

from brokers.domain import ZERO
from portfolio.risk.arrays import Flags, Integers
from portfolio.risk.directory import INDEX_NAMES
from portfolio.risk.exposure import NO_DELTAS, Deltas, exposed
from portfolio.risk.numbers import Array
from portfolio.risk.words import History, MarketData, RiskBook
from portfolio.sums import EXACT, percent

DAYS = 250
FEWEST_DAYS = 60  # below this a beta says more of chance than of the share
OWN_SHARE = 0.9  # of the days: with fewer of its own a history counts as proxied
# What moves a share by itself in a day, where neither it nor another in the matrix tells: an assumption, of the order
# of what shares in NIFTY 500 have. Of an index beside the index much less.
USUAL_SURPRISE = 0.02
USUAL_SURPRISE_OF_INDEX = 0.005
# Names that are like the index: shares and funds by their ISIN, shares that nobody could match by where they trade.
LIKE_THE_INDEX = re.compile(r"IN[EF9][A-Z0-9]{9}|.+\|(NSE|BSE)\|.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Whose returns stand in, times `beta`, on how many `days`. Its own name: its own days, drawn anew."""

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
    alike: Collection[str] | None = None,
) -> Factors:
    """Returns of these factors, and of the index beside them, over the last `days` days.

    `breaks` are days, by factor, whose return is none: a split that the source did not adjust for. `alike` names those
    for which the index may stand in; without it, those that look it (`is_like_the_index`).
    """
    calendar = _calendar(market, days)
    told = {name: _told(name, market, calendar, breaks.get(name, ())) for name in _all(wanted, market)}
    index = told[market.index].returns
    like = {name for name in told if (is_like_the_index(name) if alike is None else name in alike)}
    maker = _Columns(market, told, frozenset(like), fewest, _usual_surprise(told, market.index, like, fewest))
    columns: dict[str, Array] = {}
    own_days: dict[str, int] = {}
    proxied: dict[str, Proxy] = {}
    unmodelled: list[str] = []
    for name in dict.fromkeys((*wanted, market.index)):
        own_days[name] = int(np.isfinite(told[name].returns).sum())
        is_short = own_days[name] < OWN_SHARE * max(1, len(calendar) - 1) or own_days[name] < fewest
        column, proxy = maker.column(name)
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


def is_like_the_index(name: str) -> bool:
    """By its name alone: an ISIN of a share or fund, a share by where it trades, an index. No commodity, no currency.

    The bare symbol of a share looks like neither; whoever knows better gives `alike`.
    """
    return name in INDEX_NAMES or LIKE_THE_INDEX.fullmatch(name) is not None


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


@dataclass(frozen=True, slots=True)
class _Told:
    """A factor's own `returns`, NaN on a day without a close or without one before, and on how many days each is."""

    returns: Array
    spans: Integers

    @property
    def of_one_day(self) -> Array:
        return np.where(self.spans == 1, self.returns, np.nan)

    @property
    def between(self) -> Flags:
        """Days without a close whose move is in the return to the next one."""
        found = np.zeros(len(self.returns), dtype=np.bool_)
        for row in np.flatnonzero((self.spans > 1) & np.isfinite(self.returns)):
            found[row - self.spans[row] + 1 : row] = True
        return found


def _told(name: str, market: MarketData, calendar: Sequence[date], breaks: Collection[date]) -> _Told:
    """A factor by its own history; by its beta to another's where the closes are that other's."""
    own, lent = _returns(market.histories.get(name), calendar, breaks), _lent(name, market)
    return own if lent is None else _Told(own.returns * lent.beta, own.spans)


def _returns(history: History | None, calendar: Sequence[date], breaks: Collection[date]) -> _Told:
    """From close to close. NaN where there is none, none above zero, or the price was cut anew between the two."""
    count = max(0, len(calendar) - 1)
    returns, spans = np.full(count, np.nan), np.ones(count, dtype=np.int64)
    if history is None or not count:
        return _Told(returns, spans)
    closes = dict(zip(history.days, history.closes, strict=True))
    prices = np.array([float(closes.get(day) or np.nan) for day in calendar])
    places = np.flatnonzero(prices > 0)
    steps = prices[places[1:]] / prices[places[:-1]] - 1
    if breaks:
        ordered = np.array(sorted(day.toordinal() for day in breaks))
        before = np.searchsorted(ordered, [day.toordinal() for day in calendar], side="right")[places]
        steps[before[1:] > before[:-1]] = np.nan
    returns[places[1:] - 1] = steps
    spans[places[1:] - 1] = np.diff(places)
    return _Told(returns, spans)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Makes whole columns of what histories tell. `surprise` is the usual one of a share, a ratio a day."""

    market: MarketData
    told: Mapping[str, _Told]
    like: frozenset[str]
    fewest: int
    surprise: float

    def column(self, name: str) -> tuple[Array, Proxy | None]:
        """The column, filled, and by whom; None where nothing is missing or nobody can stand in."""
        told = self.told[name]
        if np.isfinite(told.returns).all():
            return told.returns, None
        column, between = told.returns.copy(), told.between
        proxy = None
        for by, given in self._stand_ins(name):
            filled = ~np.isfinite(column) & np.isfinite(self.told[by].returns)
            if not filled.any():
                continue
            other = self.told[by].returns
            times = given if given is not None else _beta(told.of_one_day, self.told[by].of_one_day, self.fewest)
            column[filled] = times * other[filled]
            new = filled & ~between
            column[new] += self._surprises(name, by, times, new)
            proxy = proxy or Proxy(factor=by, beta=times, days=int(filled.sum()))
        if name != self.market.index and name not in self.like:
            proxy = self._drawn(name, column, between) or proxy
        _keep_the_whole(column, told)
        return column, proxy

    def _stand_ins(self, name: str) -> list[tuple[str, float | None]]:
        """Who may stand in, the likest first, and with which beta where that is told."""
        market = self.market
        history = market.histories.get(name)
        is_own = history is not None and _lent(name, market) is None
        given = float(history.beta) if history is not None and is_own and history.beta is not None else None
        proxy = history.proxy if history is not None else None
        found: list[tuple[str, float | None]] = []
        if proxy is not None and proxy in market.histories and proxy not in (name, market.index):
            found.append((proxy, given))
        if (name in self.like or proxy == market.index) and name != market.index:
            found.append((market.index, None if found else given))
        return found

    def _surprises(self, name: str, by: str, times: float, days: Flags) -> Array:
        """What it does by itself on these days: its own residuals drawn anew, else made as large as is usual.

        They have no mean, and nothing in common with what stands in, so that the beta stays what was said.
        """
        count = int(days.sum())
        left = self.told[name].of_one_day - times * self.told[by].of_one_day
        left = left[np.isfinite(left)]
        draw = _draws(name)
        if len(left) >= self.fewest:
            size, found = float(np.std(left, ddof=1)), draw.choice(left, count)
        else:
            size = USUAL_SURPRISE_OF_INDEX if name in INDEX_NAMES else self.surprise
            found = size * draw.standard_normal(count)
        other = self.told[by].returns[days]
        if count > 2:
            base = np.column_stack([np.ones(count), other])
            found = found - base @ np.linalg.lstsq(base, found, rcond=None)[0]
            spread = float(np.std(found, ddof=1))
            found = found * size / spread if spread > 0 else found
        return np.asarray(found)

    def _drawn(self, name: str, column: Array, between: Flags) -> Proxy | None:
        """Fill what no other stands in for by its own days; between two closes it waits for the second."""
        column[between & ~np.isfinite(column)] = 0.0
        own = self.told[name].of_one_day
        own = own[np.isfinite(own)]
        holes = ~np.isfinite(column)
        if len(own) < self.fewest or not holes.any():
            return None
        column[holes] = _draws(name).choice(own, int(holes.sum()))
        return Proxy(factor=name, beta=1.0, days=int(holes.sum()))


def _draws(name: str) -> np.random.Generator:
    """The same at every call, and another for each name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def _keep_the_whole(column: Array, told: _Told) -> None:
    """Take from the return to a next close what the days before it were given, so that together they are the move."""
    for row in np.flatnonzero((told.spans > 1) & np.isfinite(told.returns)):
        given = float(np.prod(1 + column[row - told.spans[row] + 1 : row]))
        if given > 0:  # neither unknown nor more than all
            column[row] = (1 + told.returns[row]) / given - 1


def _usual_surprise(told: Mapping[str, _Told], index: str, like: Collection[str], fewest: int) -> float:
    """The median over the shares that have enough days, ratio a day; as assumed where there is none."""
    base = told[index].of_one_day
    found = []
    for name in sorted(like):
        both = np.isfinite(told[name].of_one_day) & np.isfinite(base)
        if name != index and name not in INDEX_NAMES and both.sum() >= fewest:
            own = told[name].of_one_day[both]
            found.append(float(np.std(own - _beta(own, base[both], fewest) * base[both], ddof=1)))
    return float(np.median(found)) if found else USUAL_SURPRISE


def _lent(name: str, market: MarketData) -> Proxy | None:
    """Whose closes these are where they are another's: one that has no history beside it."""
    history = market.histories.get(name)
    if history is None or history.proxy is None or history.proxy in market.histories:
        return None
    beta = 1.0 if history.beta is None else float(history.beta)
    return Proxy(factor=history.proxy, beta=beta, days=max(0, len(history.days) - 1))


def _beta(own: Array, other: Array, fewest: int) -> float:
    """From the days that both have; where these are too few, 1: it moves as much."""
    both = np.isfinite(own) & np.isfinite(other)
    if both.sum() < fewest:
        return 1.0
    spread = float(np.var(other[both], ddof=1))
    return float(np.cov(own[both], other[both], ddof=1)[0, 1]) / spread if spread > 0 else 1.0
