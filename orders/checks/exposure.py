"""What an order would make of the book, together with all that stands: the worst case of each side. Pure.

Of what stands anything may be filled, and anything not: with all purchases filled and no sale, or all sales and no
purchase, a position is at its largest. An option counts with its whole strike, its delta at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Protocol

from brokers.domain import ZERO, InstrumentKind, OptionType, Side
from orders.decisions import Planned
from orders.facts import Facts, Priced, Wanted
from orders.reducing import reduces
from orders.risk_words import OpenOrder, RiskFacts


class Kinded(Protocol):
    """What is dealt in: of our table, or of a decision's facts."""

    @property
    def kind(self) -> str: ...
    @property
    def strike(self) -> Decimal | None: ...
    @property
    def option_type(self) -> str | None: ...


def adds(place: Kinded, side: Side, units: Decimal, price: Decimal | None) -> Decimal | None:
    """The signed exposure that so many units are, INR. None: no price is known."""
    if place.kind == InstrumentKind.OPTION:
        if place.strike is None:
            return None
        is_long = (side is Side.BUY) is (place.option_type != OptionType.PE)
        return units * place.strike if is_long else -units * place.strike
    if price is None:
        return None
    return units * price if side is Side.BUY else -units * price


def dearest(limit: Decimal | None, priced: Priced | None) -> Decimal | None:
    """A limit bounds what is bought from above, and what is sold from below: the dearer of it and the last price."""
    known = [each for each in (limit, priced.last_price if priced else None) if each is not None]
    return max(known, default=None)


def opened(facts: Facts, risk: RiskFacts, child: Planned) -> OpenOrder:
    """A planned order as one that stands; what is filled of it is in the book already."""
    place, units = facts.tradables[child.exchange], child.quantity - risk.filled
    return OpenOrder(
        connection_id=child.connection_id,
        broker_type=child.broker_type,
        instrument=risk.instrument,
        issuer=risk.issuer,
        sector=risk.sector,
        segment=place.segment,
        product=child.product,
        side=child.side,
        units=units,
        adds=adds(place, child.side, units, dearest(child.price, facts.prices.get(child.exchange))),
    )


def worst(value: Decimal | None, orders: Iterable[OpenOrder]) -> Decimal | None:
    """The largest size that a signed value may come to as any of these are filled. None: something is not known."""
    both = sides(value, orders)
    return None if both is None else max(both)


def sides(value: Decimal | None, orders: Iterable[OpenOrder]) -> tuple[Decimal, Decimal] | None:
    """How large it may come to be long, and short. None: something is not known."""
    if value is None:
        return None
    up = down = ZERO
    for order in orders:
        if order.adds is None:
            return None
        if order.adds > 0:
            up += order.adds
        else:
            down += order.adds
    return max(ZERO, value + up), max(ZERO, -(value + down))


def is_closing(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> bool:
    """Whether every part makes a position at its account smaller and opens none, or a change takes from an order.

    Not known is no.
    """
    if facts.risk is not None and facts.risk.shrinks:
        return True
    parts: dict[tuple[str, str], Decimal] = {}
    for child in planned:
        key = (child.connection_id, child.exchange.value)
        parts[key] = parts.get(key, ZERO) + child.quantity
    return reduces(facts, wanted, parts)


def increases(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> bool:
    """Whether the position in this instrument may become larger by it, on either side; not known: unless it is an exit.

    Each side by itself: what may be long as large as this already says nothing of a short that it opens.
    """
    risk = facts.risk
    if risk is None or risk.book is None:
        return not is_closing(facts, wanted, planned)
    others = [order for order in risk.orders if order.instrument == risk.instrument]
    before = sides(risk.book.instrument, [order for order in risk.standing if order.instrument == risk.instrument])
    after = sides(risk.book.instrument, [*others, *(opened(facts, risk, child) for child in planned)])
    if before is None or after is None:
        return not is_closing(facts, wanted, planned)
    return any(then > now for now, then in zip(before, after, strict=True))
