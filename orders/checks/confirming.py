"""12: must a person say yes first? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from orders.checks.exposure import increases
from orders.checks.sizes import NAMES, of_size, parts_of, value_of
from orders.checks.words import Finding, denied, passed, to_confirm
from orders.decisions import Planned
from orders.explaining import rupees
from orders.facts import Facts, Wanted
from orders.worth import needs_approval, worth
from portfolio.risk.limits import Metric
from portfolio.sums import percent


def confirmation(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    """By the settings of approval, of every order; by its part of the equity, of one that makes a position larger."""
    if not planned:
        return ()
    value = worth_of(facts, wanted, planned)
    found: list[Finding] = []
    needed = needs_approval(facts.choices, wanted.product, value)
    if needed is not None:
        found.append(to_confirm(12, needed.code, needed.words, needed.remedy))
    risk = facts.risk
    if risk is None or risk.limits is None:
        return (*found, denied(12, "limits_unknown", "Your limits cannot be read.", "Try again in a moment."))
    grows = increases(facts, wanted, planned)
    for each in risk.limits:
        if each.limit.metric is not Metric.ORDER_VALUE_PCT:
            continue
        equity = risk.book.equity if risk.book is not None else None
        for part in parts_of(each.limit, facts, risk, planned):
            worth_it = value_of(facts, part.children)
            share = None if worth_it is None or equity is None or equity <= 0 else percent(worth_it, equity)
            found += of_size(12, each.limit, share, grows, NAMES[each.limit.metric])
    if not found:
        found.append(passed(12, "No confirmation is asked for" + ("." if value is None else f" at ₹{rupees(value)}.")))
    return tuple(found)


def worth_of(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> Decimal | None:
    """The most that all that was asked for may come to, at its dearest part."""
    prices = [child.price for child in planned if child.price is not None]
    return worth(wanted.side, wanted.quantity, max(prices), facts.prices) if prices else None
