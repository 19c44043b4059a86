"""Instruments held in opposite directions at several accounts: what the market nets, and what it costs twice. Pure.

Two such legs are no market risk, but two margins, two daily settlements and two possible square-offs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from brokers.domain import ZERO
from portfolio.risk.words import Line, RiskBook
from portfolio.sums import EXACT, whole_sum

# INR that one unit of a line binds at its broker, positive; None: not known.
MarginOfOne = Callable[[Line], Decimal | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One account's side. `units` are signed and net of all its products, `closes` how many of them the other side
    offsets (positive). `bound`: INR of margin that the whole leg binds, `freed` what closing those units would free."""

    connection_id: str
    broker_type: str
    broker_name: str
    units: Decimal
    closes: Decimal
    bound: Decimal | None
    freed: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opposed:
    """One instrument. `nets` units stand on either side, and `net_units` remain. `value` is INR of the units that net
    at the last price, None where there is none. `bound` is the margin of all legs, `freed` what closing both sides
    would free; None: the margin of a leg is not known."""

    instrument: str
    symbol: str
    issuer: str
    nets: Decimal
    net_units: Decimal
    value: Decimal | None
    legs: tuple[Leg, ...]
    bound: Decimal | None
    freed: Decimal | None


def opposed(book: RiskBook, margin_of_one: MarginOfOne) -> tuple[Opposed, ...]:
    """What is long at one account and short at another, the most valuable first.

    Where one side is larger, its dearest legs are closed first: that frees the most.
    """
    with localcontext(EXACT):
        groups: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
        for line in book.lines:
            groups[line.instrument][line.connection_id].append(line)
        found = [
            made
            for accounts in groups.values()
            if len(accounts) > 1 and (made := _opposed(list(accounts.values()), margin_of_one)) is not None
        ]
        return tuple(sorted(found, key=lambda each: (-(each.value or ZERO), each.instrument)))


def _opposed(accounts: Sequence[Sequence[Line]], margin_of_one: MarginOfOne) -> Opposed | None:
    sides = [_Side(lines, margin_of_one) for lines in accounts]
    long = sum((side.units for side in sides if side.units > 0), ZERO)
    short = -sum((side.units for side in sides if side.units < 0), ZERO)
    nets = min(long, short)
    if not nets:
        return None
    legs = [*_closed([side for side in sides if side.units > 0], nets)]
    legs += _closed([side for side in sides if side.units < 0], nets)
    face = accounts[0][0]
    price = next((line.price for lines in accounts for line in lines if line.price is not None), None)
    return Opposed(
        instrument=face.instrument,
        symbol=face.symbol,
        issuer=face.issuer,
        nets=nets,
        net_units=long - short,
        value=None if price is None else nets * price,
        legs=tuple(sorted(legs, key=lambda leg: (-leg.units, leg.connection_id))),
        bound=whole_sum(leg.bound for leg in legs),
        freed=whole_sum(leg.freed for leg in legs),
    )


class _Side:
    """One account's lines of one instrument: its own long and short have met there already."""

    def __init__(self, lines: Sequence[Line], margin_of_one: MarginOfOne) -> None:
        self.face = lines[0]
        self.units = sum((line.units for line in lines), ZERO)
        self.legs = [(abs(line.units), margin_of_one(line)) for line in lines if (line.units > 0) == (self.units > 0)]

    @property
    def dearest(self) -> tuple[bool, Decimal, str]:
        known = [margin for _, margin in self.legs if margin is not None]
        return (not known, -max(known, default=ZERO), self.face.connection_id)

    def bound(self) -> Decimal | None:
        return whole_sum(None if margin is None else units * margin for units, margin in self.legs)

    def freed(self, closes: Decimal) -> Decimal | None:
        """Of the units that are closed, the dearest lines first; None where one of these has no known margin."""
        left, parts = closes, list[Decimal | None]()
        for units, margin in sorted(self.legs, key=lambda leg: (leg[1] is None, -(leg[1] or ZERO))):
            taken = min(units, left)
            if taken:
                parts.append(None if margin is None else taken * margin)
            left -= taken
        return whole_sum(parts)


def _closed(sides: Sequence[_Side], nets: Decimal) -> list[Leg]:
    left, legs = nets, []
    for side in sorted(sides, key=lambda side: side.dearest):
        closes = min(abs(side.units), left)
        left -= closes
        legs.append(
            Leg(
                connection_id=side.face.connection_id,
                broker_type=side.face.broker_type,
                broker_name=side.face.broker_name,
                units=side.units,
                closes=closes,
                bound=side.bound(),
                freed=side.freed(closes),
            )
        )
    return legs
