"""What was sent after an order was decided, and before it is: two that are decided at once know nothing of each other.

Whoever writes an order down does so in turn (`keys.take_turn`), sees what was written down since its facts were read,
and is held against the checks once more where there is any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from brokers.domain import DELIVERY_PRODUCTS, ZERO, Exchange, Product, Side
from brokers.errors import HeldBack
from orders.checks import table
from orders.decisions import Planned
from orders.facts import RECENT, Account, Facts, Resting, Wanted, facts_from, wanted_from
from orders.lifecycle import LIVE
from orders.margins import bound_per_unit
from orders.models import ChildOrder, GttOrder, OrderIntent, RoutingDecision
from orders.readings import NEVER_THERE
from orders.reducing import decision_reduces
from orders.risk_facts import RiskReader
from orders.waiting import units_of, waiting


@dataclass(frozen=True, slots=True)
class Judged:
    """What stands in an order's way by now, and whether it reduces by now."""

    held: HeldBack | None
    reduces: bool


def judged(intent: OrderIntent, decision: RoutingDecision) -> Judged:
    """Within the turn of its person. A decision that was stored without facts is known to reduce nothing."""
    problem, answer = decision.problem, decision.answer
    if not problem.get("facts") or not problem.get("wanted"):
        return Judged(None, reduces=False)
    children, gtts = _since(intent, problem["facts"])
    facts = facts_from(problem["facts"])
    if not children and not gtts:
        return Judged(None, reduces=decision_reduces(facts, problem, answer))
    wanted = wanted_from(problem["wanted"])
    facts = after(facts, wanted, children, gtts, RiskReader(intent.user, (), children, (), (), {}, facts.now, gtts))
    planned = msgspec.convert(answer["children"], tuple[Planned, ...], strict=False)
    stops = table.stopping(table.run(facts, wanted, planned)) if "risk" in problem["facts"] else ()
    held = None
    if stops:
        words = f"Another order went first. {stops[0].words}"
        held = HeldBack(words, code=stops[0].code, user_action=stops[0].remedy)
    return Judged(held, reduces=decision_reduces(facts, problem, answer))


def _since(intent: OrderIntent, facts: Mapping[str, Any]) -> tuple[list[ChildOrder], list[GttOrder]]:
    """Orders of this person that the facts cannot know of. (Those of a basket know of each other.)"""
    began = datetime.fromisoformat(facts["now"]) - RECENT
    known = facts.get("recent", [])
    rows = ChildOrder.objects.filter(intent__user=intent.user_id, sent_at__gte=began).exclude(pk__in=known)
    rows = rows.exclude(intent=intent.pk).exclude(state__in=NEVER_THERE)
    if intent.group_id is not None:
        rows = rows.exclude(intent__group=intent.group_id)
    gtts = waiting(intent.user_id).filter(created_at__gte=began).exclude(pk__in=known)
    return list(rows.select_related("intent__instrument")), list(gtts)


def after(
    facts: Facts, wanted: Wanted, children: Sequence[ChildOrder], gtts: Sequence[GttOrder], reader: RiskReader
) -> Facts:
    """The same when these have gone before. What is filled of them no book that was read shows."""
    taken: dict[str, Decimal] = defaultdict(Decimal)
    sold: dict[str, Decimal] = defaultdict(Decimal)
    spent: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    closing: dict[str, Decimal] = defaultdict(Decimal)
    resting, dealt = list[Resting](), ZERO
    for child in children:
        at, side = str(child.broker_connection_id), Side(child.side)
        price = child.price or child.trigger_price or child.intent.market_price or ZERO
        bound = bound_per_unit(child.intent.instrument, side, Product(child.product), price)
        taken[at] += child.quantity * bound
        if not _is_in(facts, child.intent.instrument):
            continue
        dealt += child.quantity * price
        left = child.quantity - child.filled_quantity if child.state in LIVE else ZERO
        if left > 0:
            resting.append(
                Resting(
                    connection_id=at, exchange=Exchange(child.exchange), side=side, price=child.price, quantity=left
                )
            )
        if side is Side.SELL and child.product in DELIVERY_PRODUCTS:
            sold[at] += child.quantity
        if (side, child.product) == (wanted.side, wanted.product):
            closing[at] += child.quantity
            if child.product not in DELIVERY_PRODUCTS:
                spent[at, child.exchange] += child.filled_quantity
    for gtt in gtts:
        if _is_in(facts, gtt.instrument) and (gtt.side, gtt.product) == (wanted.side, wanted.product):
            spent[str(gtt.broker_connection_id), gtt.instrument.exchange] += units_of(gtt)
    orders = [reader.opened(child, child.quantity) for child in children]
    orders += [reader.opened(gtt, units_of(gtt)) for gtt in gtts]
    later = facts.after(taken, sold, tuple(orders), dealt, tuple(resting))
    accounts = tuple(_with(each, spent, closing[each.connection_id], wanted) for each in later.accounts)
    return replace(later, accounts=accounts)


def _with(
    account: Account, spent: Mapping[tuple[str, str], Decimal], closing: Decimal, wanted: Wanted
) -> Account:  # fmt: skip
    found = {exchange: units for (at, exchange), units in spent.items() if at == account.connection_id}
    both = {each: account.spent.get(each, ZERO) + found.get(each, ZERO) for each in {*account.spent, *found}}
    return replace(account, spent=both, closing=account.closing + (closing if wanted.reduces else ZERO))


def _is_in(facts: Facts, instrument: Any) -> bool:
    places = facts.tradables.values()
    return any(
        each.instrument_id == instrument.pk or (each.isin is not None and each.isin == instrument.isin)
        for each in places
    )
