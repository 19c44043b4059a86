"""What a decision says, in plain words: the answer that is shown before an order, stored with it and replayed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from brokers.domain import ZERO, Exchange, OrderType, Product, Side, Validity
from orders.checks.words import Checked
from orders.facts import Facts, Wanted, Why, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One order at one broker, as it will be sent. Units and INR."""

    connection_id: str
    broker_type: str
    exchange: Exchange
    side: Side
    order_type: OrderType
    product: Product
    validity: Validity
    quantity: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A broker that takes no part, and why."""

    connection_id: str
    broker_type: str
    name: str
    code: str
    words: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLines:
    """What one broker's part costs, INR, by component and in all, each rounded to paise."""

    connection_id: str
    broker_type: str
    exchange: Exchange
    quantity: Decimal
    components: Mapping[str, Decimal]
    total: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class NextBest:
    """The best answer that goes elsewhere, and by how many rupees it is worse; None: less can go there."""

    connection_ids: tuple[str, ...]
    words: str
    difference: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that is shown of a decision. `refusals` stop the order; without children nothing is sent.

    `checks`: the twelve before an order (`orders.checks`), all of them, whatever they found.
    """

    children: tuple[Planned, ...] = ()
    why: str = ""
    refusals: tuple[Why, ...] = ()
    warnings: tuple[Why, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    unrouted: Decimal = ZERO
    held_for_reconciliation: Decimal = ZERO
    value: Decimal | None = None
    costs: tuple[CostLines, ...] = ()
    total_charges: Decimal | None = None
    health_penalty: Decimal = ZERO
    tax: Decimal = ZERO
    split_penalty: Decimal = ZERO
    next_best: NextBest | None = None
    needs_approval: Why | None = None
    ages: Mapping[str, int | None] = field(default_factory=dict)
    solver: str = ""
    checks: tuple[Checked, ...] = ()

    @property
    def is_sent(self) -> bool:
        return bool(self.children) and not self.refusals

    @property
    def is_whole(self) -> bool:
        """Whether all of it would go."""
        return self.is_sent and self.unrouted == 0 and self.held_for_reconciliation == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision with all that it was made from. `problem` is the router's own, with the rates that it used."""

    facts: Facts
    wanted: Wanted
    problem: Mapping[str, Any] | None
    answer: Answer
    microseconds: int = 0

    def stored_problem(self) -> dict[str, Any]:
        return {"facts": plain(self.facts), "wanted": plain(self.wanted), "routing": self.problem}

    def stored_answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = plain(self.answer)
        return answer
