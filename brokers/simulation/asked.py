"""What a client asks a desk for, read from a wire: words, quantities and prices. Forgiving in form, strict in kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from brokers.simulation.dealing import Refusal, Refused

Ours = TypeVar("Ours")
SHORTFALL = re.compile(r"([\d.]+) required, (-?[\d.]+) available")


def word(table: Mapping[Any, Ours], said: object, what: str) -> Ours:
    """The broker's word in ours. Raises Refused."""
    try:
        return table[said]
    except (KeyError, TypeError):
        raise Refused(Refusal.NOT_OFFERED, f"Invalid `{what}`.") from None


def quantity(said: object, what: str = "quantity") -> int:
    """A whole number of units, or lots; nothing said is 0. Raises Refused."""
    number = _number(said)
    if number is None or number != number.to_integral_value():
        raise Refused(Refusal.BAD_QUANTITY, f"Invalid `{what}`.")
    return int(number)


def price(said: object, what: str = "price") -> Decimal | None:
    """Rupees; None where nothing is said, or 0. Raises Refused."""
    number = _number(said)
    if number is None or number < 0:
        raise Refused(Refusal.BAD_PRICE, f"Invalid `{what}`.")
    return number or None


def percent(said: object, what: str) -> Decimal:
    """A number that may be negative; nothing said is 0. Raises Refused."""
    number = _number(said)
    if number is None:
        raise Refused(Refusal.NOT_OFFERED, f"Invalid `{what}`.")
    return number


def _number(said: object) -> Decimal | None:
    """A number, however it is written; None for what is none."""
    if said in (None, ""):
        return Decimal(0)
    try:
        number = Decimal(str(said))
    except InvalidOperation:
        return None
    return number if number.is_finite() and not isinstance(said, bool) else None


def shortfall(message: str) -> tuple[Decimal, Decimal] | None:
    """What an order that was rejected for want of money needed, and what there was; None: that was not why."""
    found = SHORTFALL.search(message)
    return (Decimal(found[1]), Decimal(found[2])) if found else None
