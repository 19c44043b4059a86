"""The days that the simulated market has behind it: invented, and the same for every broker and every run.

A path is walked back from the previous close by returns that hang on the symbol and the day alone. Shares of one
market move together: each return is a part of the market's and a part of its own. An index is nearly the market itself,
and has no volume; the volatility index moves against it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from brokers.simulation.instruments import Listing
from brokers.simulation.market import SEED, Market, on_grid
from brokers.simulation.walks import VOLATILITY_INDEX

OLDEST = date(2024, 1, 1)
MARKET_DEVIATION = 0.0085
OWN_DEVIATION = 0.011
INDEX_DEVIATION = 0.0012
VOLATILITY_BETA, VOLATILITY_DEVIATION = -4.0, 0.02
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of one listing: rupees on the tick grid, units."""

    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


def bars(market: Market, listing: Listing, first: date, last: date, *, today: date) -> list[Bar]:
    """Days of both ends included, oldest first; the last there is is the one before `today`."""
    price = market.price(listing.key)
    if price is None:
        return []
    found: list[Bar] = []
    close, day = price.close, today
    while day > max(first, OLDEST):
        day -= timedelta(days=1)
        if day.weekday() >= SATURDAY:
            continue
        moved = _moved(listing.symbol, listing.is_index, day)
        before = max(on_grid(close / Decimal(repr(round(math.exp(moved.change), 8))), listing), listing.tick(close))
        if day <= last:
            high = on_grid(max(close, before) * (1 + moved.reach), listing)
            low = on_grid(min(close, before) * (1 - moved.reach), listing)
            found.append(Bar(day, before, high, low, close, 0 if listing.is_index else moved.volume))
        close = before
    return [bar for bar in reversed(found) if bar.day >= first]


@dataclass(frozen=True, slots=True)
class _Moved:
    change: float  # logarithmic, from the close before
    reach: Decimal
    volume: int


@lru_cache(maxsize=200_000)
def _moved(symbol: str, is_index: bool, day: date) -> _Moved:
    together = random.Random(f"{SEED} {day}")  # noqa: S311 - a price walk, not a secret
    alone = random.Random(f"{SEED} {symbol} {day}")  # noqa: S311
    beta = random.Random(f"{SEED} {symbol}").uniform(0.6, 1.4)  # noqa: S311
    deviation = OWN_DEVIATION
    if is_index:
        is_volatility = VOLATILITY_INDEX.endswith(f":{symbol}")
        beta, deviation = (VOLATILITY_BETA, VOLATILITY_DEVIATION) if is_volatility else (1.0, INDEX_DEVIATION)
    change = beta * together.gauss(0, MARKET_DEVIATION) + alone.gauss(0, deviation)
    reach = Decimal(alone.randint(1, 90)) / 10_000
    return _Moved(change, reach, alone.randint(200_000, 4_000_000))
