"""Which account an order goes to, and why: solved exactly, explained, and the same again from what was stored. Pure.

All brokers reach the same books, so no better price can be found between them; what differs is where an order is
possible, what it costs, where the shares are, and who is well. See docs/routing.md and ADR 16.
"""

from orders.routing.decision import Alternative, CostLine, Decision, Exclusion, Limit, Part, Warned
from orders.routing.problem import (
    BadProblem,
    Bar,
    Broker,
    Circuit,
    Order,
    Policy,
    PossiblyLive,
    Problem,
    Tax,
    TaxLot,
)
from orders.routing.solve import pinned, replay, solve

__all__ = [
    "Alternative", "BadProblem", "Bar", "Broker", "Circuit", "CostLine", "Decision", "Exclusion", "Limit", "Order",
    "Part", "Policy", "PossiblyLive", "Problem", "Tax", "TaxLot", "Warned", "pinned", "replay", "solve",
]  # fmt: skip
