"""What is believed of daily prices: sane days, closes that are the same, steps that are no return. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise, takewhile

from brokers.domain import Candle

# Two brokers' closes of one day are the same up to so much: one takes the last trade, another the exchange's average.
TICKS = 2
USUAL_TICK = Decimal("0.05")
TOLERANCE = Decimal("0.0005")
# Another broker's series stands on another adjustment, and not only on other closes, from here on.
ADJUSTED = Decimal("0.02")
# So many days tell that another broker's series was adjusted otherwise.
LEAST_OVERLAP = 3
# A step of more than this, in either direction, is no day's trading in what has price bands.
LARGEST_STEP = Decimal("0.40")
# Smaller steps are, unless the day began at the close before divided by one of these: bonuses of 1:2 and 1:3.
CLEAN_RATIOS = (Decimal(3) / 2, Decimal(4) / 3)
CLEAN_WITHIN = Decimal("0.015")


@dataclass(frozen=True, slots=True)
class Step:
    """A day as far as it is judged beside its neighbours."""

    day: date
    open_price: Decimal
    close_price: Decimal


def is_sane(candle: Candle) -> bool:
    """Whether its prices can be one day's: positive, and the others between low and high."""
    inner = (candle.open_price, candle.close_price)
    return 0 < candle.low_price <= min(inner) and max(inner) <= candle.high_price


def is_same(one: Decimal, other: Decimal, tick: Decimal | None) -> bool:
    return abs(one - other) <= max(TICKS * (tick or USUAL_TICK), TOLERANCE * max(one, other))


def is_adjusted_anew(
    held: Mapping[date, Decimal], told: Mapping[date, Decimal], tick: Decimal | None, *, same_source: bool
) -> bool:
    """Whether the told closes stand on another adjustment than those held: the oldest days in common differ.

    An adjustment changes all days before its ex-day, and none from then on, so the ex-day and those after it agree
    where it was made late. `same_source`: all that is held was told by who tells now. Then the oldest day alone tells,
    and more than it hold good, as few ticks are much of a small price; to ask for a series in vain costs a call. Two
    brokers may differ a little on every day; between them it takes several days that no closing rule explains.
    """
    common = sorted(held.keys() & told.keys())
    if same_source:
        return bool(common) and abs(told[common[0]] - held[common[0]]) > TOLERANCE * held[common[0]]

    def differs(day: date) -> bool:
        return not is_same(held[day], told[day], tick) and abs(told[day] / held[day] - 1) > ADJUSTED

    return sum(1 for _ in takewhile(differs, common)) >= LEAST_OVERLAP


def suspected_splits(steps: Iterable[Step]) -> set[date]:
    """The days, of a series in order, to which the step from the day before is no return.

    Beyond ±40% from close to close; or an opening at the close before divided by a clean ratio, and a close that stays
    nearer to that than to where it came from.
    """
    return {later.day for before, later in pairwise(steps) if _is_break(before.close_price, later)}


def _is_break(before: Decimal, later: Step) -> bool:
    change = later.close_price / before - 1
    if abs(change) > LARGEST_STEP:
        return True
    return any(
        abs(before / later.open_price / ratio - 1) <= CLEAN_WITHIN
        and abs(later.close_price * ratio - before) < abs(later.close_price - before)
        for ratio in CLEAN_RATIOS
    )
