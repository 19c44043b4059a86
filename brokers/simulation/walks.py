"""How the indices of the simulated market move, and what follows them. Every index and follower rolls dice of its own.

An index wavers about where its day began, so that it stays near what its derivatives are priced for. Indices move
together, the volatility index against them. Futures keep their distance from their index, options follow by what one
moves of the other: then no price of an option runs below what it is worth if exercised.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from decimal import Decimal

from brokers.simulation.instruments import Instruments, Listing

VOLATILITY_INDEX = "NSE:INDIA VIX"
FURTHEST_OPENING = 0.004  # of the close, either way
KEPT = 0.998  # of the distance from there, per tick
TOGETHER, ALONE = 0.00016, 0.00007  # of the price, per tick
AGAINST = -6.0  # what the volatility index makes of a move of the others
SLOPE = 0.035  # how far from the money, as a part of the strike, an option still follows a part of a move
NOISE_TICKS = 3


@dataclass(slots=True)
class _Wander:
    dice: random.Random
    began: float  # the day's beginning, as a part of the close
    away: float = 0.0


class Walks:
    """Not for prices that somebody chose: where a market is frozen nothing of this is asked."""

    def __init__(self, instruments: Instruments, seed: int) -> None:
        self._seed = seed
        self._together = self._dice("together")
        self._of = {each.underlying: each.key for each in instruments if each.is_index and each.underlying}
        self._wanders: dict[str, _Wander] = {}
        self._followers: dict[str, random.Random] = {}

    def moves(self, listing: Listing) -> bool:
        """Whether it is an index, or follows one."""
        return listing.is_index or (not listing.is_cash and listing.underlying in self._of)

    def index_of(self, listing: Listing) -> str:
        return self._of[listing.underlying]

    def level(self, listing: Listing, close: Decimal) -> Decimal:
        """Where an index stands now."""
        wander = self._wander(listing)
        return close * exact(1 + wander.began + wander.away)

    def step(self) -> float:
        """What all indices have in common, this tick."""
        return self._together.gauss(0, TOGETHER)

    def move(self, listing: Listing, step: float) -> None:
        wander = self._wander(listing)
        against = AGAINST if listing.key == VOLATILITY_INDEX else 1.0
        wander.away = KEPT * wander.away + against * step + abs(against) * wander.dice.gauss(0, ALONE)

    def follow(self, listing: Listing, close: Decimal, index_last: Decimal, index_close: Decimal) -> Decimal:
        """What a contract costs, with its index there; a few ticks beside it."""
        dice = self._followers.setdefault(listing.key, self._dice(listing.key))
        beside = dice.randint(-NOISE_TICKS, NOISE_TICKS) * listing.tick(close)
        if listing.strike is None:
            return close * index_last / index_close + beside
        return close + share_of_move(listing, index_last) * (index_last - index_close) + beside

    def _wander(self, listing: Listing) -> _Wander:
        found = self._wanders.get(listing.key)
        if found is None:
            dice = self._dice(listing.key)
            found = self._wanders[listing.key] = _Wander(dice, dice.uniform(-FURTHEST_OPENING, FURTHEST_OPENING))
        return found

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{self._seed} {name}")  # noqa: S311 - a price walk, not a secret


def share_of_move(listing: Listing, index_last: Decimal) -> Decimal:
    """How much of a move of its index an option makes, roughly: all of it deep in the money, none far out of it."""
    strike = listing.strike or index_last
    called = 1 / (1 + math.exp(-float((index_last - strike) / strike) / SLOPE))
    return exact(called if listing.option_type == "CE" else called - 1)


def exact(number: float) -> Decimal:
    return Decimal(repr(round(number, 8)))
