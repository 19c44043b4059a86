"""Exact arithmetic: sums that do not depend on the order of what is added, and know what they do not know. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal

from brokers.domain import ZERO

HUNDRED = Decimal(100)
# Wide enough that no product or sum of quantities and prices is ever rounded. Then a sum kept by differences equals the
# sum counted anew, to the last digit.
EXACT = Context(prec=100)
# What does not come out even is rounded once, to as many digits as Python's own default.
ROUNDED = Context(prec=28)


def quotient(part: Decimal, whole: Decimal) -> Decimal:
    return ROUNDED.divide(part, whole)


def percent(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    return None if part is None or not whole else ROUNDED.multiply(quotient(part, whole), HUNDRED)


def known_sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known; None where there are values and none of them is known."""
    return Tally.of(values).of_known


def whole_sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum, or None if a single value is unknown."""
    return Tally.of(values).whole


class Tally:
    """A running sum that counts what it covers: a value can be taken out again as it was put in."""

    __slots__ = ("amount", "known", "unknown")

    def __init__(self) -> None:
        self.amount = ZERO
        self.known = 0
        self.unknown = 0

    @classmethod
    def of(cls, values: Iterable[Decimal | None]) -> Tally:
        tally = cls()
        for value in values:
            tally.count(value)
        return tally

    @classmethod
    def together(cls, tallies: Iterable[Tally]) -> Tally:
        total = cls()
        for tally in tallies:
            total.amount += tally.amount
            total.known += tally.known
            total.unknown += tally.unknown
        return total

    def count(self, value: Decimal | None, sign: int = 1) -> None:
        """Put a value in; with `sign` -1 take it out."""
        if value is None:
            self.unknown += sign
            return
        self.known += sign
        if sign > 0:
            self.amount += value
        else:
            self.amount -= value

    @property
    def of_known(self) -> Decimal | None:
        return None if self.unknown and not self.known else self.amount

    @property
    def whole(self) -> Decimal | None:
        return None if self.unknown else self.amount
