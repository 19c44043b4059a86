"""What an order binds of the money at its broker, where no broker has said it: by a cautious table of the house. Pure.

UNCONFIRMED figures, on the safe side: intraday brokers ask for about a fifth (VAR and ELM), for futures and written
options for less than is taken here. A rate that is too high leaves money unused; the broker itself has the last word.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from brokers.domain import DELIVERY_PRODUCTS, ZERO, InstrumentKind, Product, Side

INTRADAY_SHARES = Decimal("0.25")
FUTURES = Decimal("0.25")
WRITTEN_OPTIONS = Decimal("0.25")  # of the strike


class Kinded(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def strike(self) -> Decimal | None: ...


def bound_per_unit(instrument: Kinded, side: Side, product: Product, price: Decimal) -> Decimal:
    """INR that one unit binds at this price. Shares that are sold for keeps bind none: they are there."""
    kind = InstrumentKind(instrument.kind)
    if kind is InstrumentKind.FUTURE:
        return price * FUTURES
    if kind is InstrumentKind.OPTION:
        return price if side is Side.BUY else (instrument.strike or price) * WRITTEN_OPTIONS
    if product in DELIVERY_PRODUCTS:
        return price if side is Side.BUY else ZERO
    return price * INTRADAY_SHARES


def is_estimated(instrument: Kinded, side: Side, product: Product) -> bool:
    """Whether the broker's own figure may well differ: everything but what is paid in full."""
    kind = InstrumentKind(instrument.kind)
    if kind is InstrumentKind.OPTION:
        return side is Side.SELL
    return kind is InstrumentKind.FUTURE or product not in DELIVERY_PRODUCTS
