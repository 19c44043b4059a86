"""Price histories for tests: seeded walks over weekdays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from portfolio.risk.words import History, MarketData

LAST = date(2026, 11, 20)
LENGTH = 260


def weekdays(count: int = LENGTH, last: date = LAST) -> tuple[date, ...]:
    days = (last - timedelta(days=back) for back in range(count * 2))
    return tuple(reversed([day for day in days if day.weekday() < 5][:count]))


def walk(seed: int, count: int = LENGTH, *, daily: float = 0.01) -> list[Decimal]:
    """Closes to paise, about 1,000."""
    steps = np.random.default_rng(seed).normal(0, daily, count)
    return [Decimal(f"{close:.2f}") for close in 1000 * np.cumprod(1 + steps)]


def history(factor: str, closes: Sequence[Decimal], *, late: bool = False, **more: Any) -> History:
    """The closes of the first weekdays, or (`late`) of the last ones."""
    days = weekdays()
    own = days[-len(closes) :] if late else days[: len(closes)]
    return History(factor=factor, days=own, closes=tuple(closes), **more)


def market_of(*histories: History, **more: Any) -> MarketData:
    return MarketData(
        index="NIFTY", rate=Decimal("0.0525"), histories={each.factor: each for each in histories}, **more
    )


def without(past: History, *days: date) -> History:
    kept = [place for place, day in enumerate(past.days) if day not in days]
    return History(
        factor=past.factor,
        days=tuple(past.days[place] for place in kept),
        closes=tuple(past.closes[place] for place in kept),
        proxy=past.proxy,
        beta=past.beta,
    )
