"""Whether an order makes a position smaller and opens none: what may go out while only that may. Pure.

Not known is no. What rests on the same side at the same account is taken for filled, and so is what waits there in a
GTT; what was filled since the position was told is taken off it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from brokers.domain import DELIVERY_PRODUCTS, ZERO, Side
from orders.facts import Account, Facts, Wanted, wanted_from


def reduces(facts: Facts, wanted: Wanted, parts: Mapping[tuple[str, str], Decimal]) -> bool:
    """Of an order that goes in these parts: quantity by (connection, exchange)."""
    accounts = {each.connection_id: each for each in facts.accounts}
    of_account: dict[str, Decimal] = defaultdict(Decimal)
    for (connection_id, _), quantity in parts.items():
        of_account[connection_id] += quantity
    return bool(parts) and all(
        connection_id in accounts
        and _is_within(accounts[connection_id], facts, wanted, exchange, of_account[connection_id])
        for connection_id, exchange in parts
    )


def decision_reduces(facts: Facts, problem: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    """Of a decision as it is stored. `facts`: its own, or those of now."""
    parts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for child in answer["children"]:
        parts[str(child["connection_id"]), str(child["exchange"])] += Decimal(child["quantity"])
    return reduces(facts, wanted_from(problem["wanted"]), parts)


def _is_within(account: Account, facts: Facts, wanted: Wanted, exchange: str, quantity: Decimal) -> bool:
    if wanted.product in DELIVERY_PRODUCTS:
        owned = ZERO if account.owned is None else account.owned + account.t1 - account.sold
        owned -= sum(account.spent.values(), ZERO)
        return wanted.side is Side.SELL and quantity <= owned
    position = account.positions.get(f"{exchange}:{wanted.product}", ZERO)
    closes = position > 0 if wanted.side is Side.SELL else position < 0
    promised = sum(
        (
            each.quantity
            for each in facts.resting
            if each.connection_id == account.connection_id and each.side is wanted.side
        ),
        ZERO,
    )
    return closes and quantity <= abs(position) - promised - account.spent.get(exchange, ZERO)
