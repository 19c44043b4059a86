"""Where an order goes and why: what the router answers. Plain, and to be stored beside its problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from brokers.domain import Exchange
from orders.routing.problem import BadProblem
from portfolio.sums import EXACT

PAISA = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """So many units at one account on one exchange: all that it gets, or one order of it."""

    broker: str
    exchange: Exchange
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """What one account's part costs, by component (`charges.Costs`, "total" included), INR, unrounded."""

    broker: str
    exchange: Exchange
    components: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Why an account gets nothing, whatever it costs. `code` and `words` are stable; the rest is for people."""

    broker: str
    code: str
    words: str
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that an account could take of this order, where that is less than all, and what holds it there."""

    broker: str
    exchange: Exchange
    quantity: Decimal
    code: str
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The best answer that does without one of the chosen accounts; where there is none, without its exchange.

    `difference`: what it costs more, INR; None where it routes less than the chosen one: then rupees do not compare.
    """

    allocation: tuple[Part, ...]
    unrouted: Decimal
    difference: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`allocation` in the owner's order of brokers, `children` in the order of sending. All INR are unrounded.

    `held_for_reconciliation`: what may be live already and is routed nowhere. `unrouted`: what nobody could take.
    `objective` is the sum that was made least: price, charges, penalties and tax; a sale's is below zero.
    """

    allocation: tuple[Part, ...]
    children: tuple[Part, ...]
    unrouted: Decimal
    held_for_reconciliation: Decimal
    costs: tuple[CostLine, ...]
    total_charges: Decimal
    health_penalty: Decimal
    tax: Decimal
    split_penalty: Decimal
    objective: Decimal
    excluded: tuple[Exclusion, ...]
    limits: tuple[Limit, ...]
    alternative: Alternative | None
    warnings: tuple[Warned, ...]
    solver: str
    rates_version: str

    @property
    def charges_in_paise(self) -> Decimal:
        """As it is shown: the unrounded sum, rounded once."""
        return in_paise(self.total_charges)

    def plain(self) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Decision:
        """Raises BadProblem."""
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise BadProblem(f"The routing decision cannot be read: {error}.") from None


def in_paise(amount: Decimal) -> Decimal:
    return amount.quantize(PAISA, rounding=ROUND_HALF_UP, context=EXACT)
