"""What of a report depends on the past alone, and so is made once a day: returns, betas, covariances, volumes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from portfolio.risk.beta import BETA_DAYS, shrunk
from portfolio.risk.factors import FEWEST_DAYS, Factors, Proxy, factors
from portfolio.risk.liquidity import Depth
from portfolio.risk.numbers import Array, ratio
from portfolio.risk.scenarios import NotTold, Scenario, episodes
from portfolio.risk.tail import ewma_covariance, filtered_returns
from portfolio.risk.words import History, MarketData, RiskBook, RiskClass

DAYS = 500
ADV_DAYS = 20
# What the index may stand in for where there is no history. It says nothing of a currency, a metal or a bond.
LIKE_THE_INDEX = frozenset({RiskClass.EQUITY, RiskClass.INDEX, RiskClass.FUND, RiskClass.OTHER})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """`betas` by factor. `covariance` and `ewma` (m, m) are of daily returns, `filtered` the returns in today's market;
    all three in the order of `factors.names`. `depths` by factor. `remembered` and `untold`: days of the past."""

    factors: Factors
    betas: Mapping[str, Decimal]
    covariance: Array
    ewma: Array
    filtered: Array
    depths: Mapping[str, Depth]
    remembered: tuple[Scenario, ...]
    untold: tuple[NotTold, ...]


def wanted_factors(book: RiskBook, market: MarketData) -> tuple[str, ...]:
    """The factors of the book that have a past, or for which the index may stand in; sorted."""
    return tuple(
        sorted(
            {
                line.factor
                for line in book.lines
                if line.risk_class in LIKE_THE_INDEX or _is_told(market.histories.get(line.factor))
            }
        )
    )


def alike_of(book: RiskBook) -> frozenset[str]:
    """The factors of the book for which the index may stand in."""
    return frozenset(line.factor for line in book.lines if line.risk_class in LIKE_THE_INDEX)


def past_of(
    wanted: Iterable[str], market: MarketData, *, days: int = DAYS, alike: Collection[str] | None = None
) -> Past:
    """`alike`: see `factors`. Raises RiskError where a history cannot be."""
    told = factors(tuple(wanted), market, days=days, breaks=market.breaks, alike=alike)
    found = _with_borrowed(told, market)
    returns = found.returns
    many = len(found.days) > 1
    size = (len(found.names), len(found.names))
    remembered, untold = _remembered(market)
    return Past(
        factors=found,
        betas=_betas(found, market.index),
        covariance=np.atleast_2d(np.cov(returns, rowvar=False, ddof=1)) if many and found.names else np.zeros(size),
        ewma=ewma_covariance(returns) if many and found.names else np.zeros(size),
        filtered=filtered_returns(returns) if many and found.names else returns,
        depths=_depths(found, market),
        remembered=remembered,
        untold=untold,
    )


def _is_told(history: History | None) -> bool:
    return history is not None and (bool(history.days) or history.proxy is not None)


def _with_borrowed(found: Factors, market: MarketData) -> Factors:
    """A history that is another's closes (of an ETF for its index) is a proxy's too, though no day is missing."""
    proxied = dict(found.proxied)
    for name in found.names:
        history = market.histories.get(name)
        if name not in proxied and history is not None and history.proxy and history.proxy not in market.histories:
            beta = 1.0 if history.beta is None else float(history.beta)
            proxied[name] = Proxy(factor=history.proxy, beta=beta, days=len(found.days))
    return replace(found, proxied=proxied)


def _betas(found: Factors, index: str) -> dict[str, Decimal]:
    """As `beta.betas`, all columns at once."""
    market = found.column(index)
    if market is None or len(found.days) < FEWEST_DAYS:
        return {}
    recent, market = found.returns[-BETA_DAYS:], market[-BETA_DAYS:]
    off = market - market.mean()
    spread = float(off @ off)
    if spread <= 0:
        return {}
    raw = off @ recent / spread
    return {
        name: Decimal(1) if name == index else ratio(float(value) if name in found.proxied else shrunk(float(value)))
        for name, value in zip(found.names, raw, strict=True)
    }


def _depths(found: Factors, market: MarketData) -> dict[str, Depth]:
    """Volume and volatility of what has days of its own; another's are not taken for it."""
    deviations = found.returns.std(axis=0, ddof=1).tolist() if len(found.days) > 1 else [None] * len(found.names)
    volatility = dict(zip(found.names, deviations, strict=True))
    depths = {}
    for name, history in market.histories.items():
        if history.proxy is not None:
            continue
        own = volatility.get(name) if name not in found.proxied else None
        depths[name] = Depth(volume=_average(history.volumes[-ADV_DAYS:]), volatility=ratio(own))
    return depths


def _average(volumes: Sequence[Decimal | None]) -> Decimal | None:
    known = [volume for volume in volumes if volume is not None]
    return sum(known, Decimal(0)) / len(known) if known else None


def _remembered(market: MarketData) -> tuple[tuple[Scenario, ...], tuple[NotTold, ...]]:
    index = market.histories.get(market.index)
    return episodes({} if index is None else dict(zip(index.days, index.closes, strict=True)))
