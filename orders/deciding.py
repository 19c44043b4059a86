"""Decide where an order goes. Pure glue: rules, then the router's problem, then its answer in words.

Preview and execution run this very same function; what it answered is stored with all that it was given.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from brokers.domain import DELIVERY_PRODUCTS, ZERO, Exchange, Side
from orders import explaining, routing, ruling
from orders.charges import ChargeError
from orders.checks import table
from orders.checks.exposure import opened
from orders.checks.sizes import value_of
from orders.decisions import Answer, Decision
from orders.facts import Account, Facts, Resting, Wanted, Why, facts_from, wanted_from
from orders.problems import Terms, problem_of, reason_against, terms_of
from orders.routing import BadProblem, Problem
from orders.tariffs import Rates
from orders.worth import needs_approval as needs_approval
from orders.worth import worth as worth

HELD = Why(
    code="held_for_reconciliation",
    words="All of it may stand at a broker already, which has not said what became of it.",
    remedy="Wait: it is being settled from the broker's own book.",
)
NOWHERE = Why(
    code="nowhere_to_go",
    words="None of your brokers can take this order now.",
    remedy="Each account that is left out says why, and what would have to change.",
)


def decide(facts: Facts, wanted: Wanted, rates: Rates) -> Decision:
    """Where it goes and why; or why it goes nowhere. Nothing is asked and nothing is kept."""
    begun = time.perf_counter_ns()
    decision = _decided(facts, wanted, rates)
    return replace(decision, microseconds=(time.perf_counter_ns() - begun) // 1000)


def replayed(stored: Mapping[str, Any]) -> Decision:
    """The decision made again from what was stored with it, at the rates of that time.

    One that is older than the checks before an order was made without them, and is made again so.
    """
    decide = _decided if "risk" in stored["facts"] else _routed
    return decide(facts_from(stored["facts"]), wanted_from(stored["wanted"]), stored["routing"])


def after(decision: Decision, facts: Facts) -> Facts:
    """The facts of the next order of a basket, when this one has gone before it."""
    taken: dict[str, Decimal] = defaultdict(Decimal)
    sold: dict[str, Decimal] = defaultdict(Decimal)
    if not decision.answer.is_sent:
        return facts
    for line in decision.answer.costs:
        taken[line.connection_id] += line.total
    same = _is_same(decision.facts, facts)
    children, risk = decision.answer.children, decision.facts.risk
    for child in children:
        taken[child.connection_id] += explaining.bound(decision.facts, child)
        if same and child.side is Side.SELL and child.product in DELIVERY_PRODUCTS:
            sold[child.connection_id] += child.quantity
    standing = () if risk is None else tuple(opened(decision.facts, risk, child) for child in children)
    if not same:
        return facts.after(taken, sold, standing)
    resting = tuple(
        Resting(
            connection_id=child.connection_id,
            exchange=child.exchange,
            side=child.side,
            price=child.price,
            quantity=child.quantity,
        )
        for child in children
    )
    return facts.after(taken, sold, standing, value_of(decision.facts, children) or ZERO, resting)


def _is_same(one: Facts, other: Facts) -> bool:
    """Whether both are of one instrument; of one share, at whichever exchange."""
    return not _names(one).isdisjoint(_names(other))


def _names(facts: Facts) -> set[int | str]:
    places = facts.tradables.values()
    return {each.instrument_id for each in places} | {each.isin for each in places if each.isin}


def _decided(facts: Facts, wanted: Wanted, rates: Rates | Mapping[str, Any] | None) -> Decision:
    """Where it would go, held against the twelve checks before an order."""
    routed = _routed(facts, wanted, rates)
    return replace(routed, answer=_checked(facts, wanted, routed.answer))


def _checked(facts: Facts, wanted: Wanted, answer: Answer) -> Answer:
    """The answer with all checks in it. What denies stops the order: no part of it is left to be sent."""
    barred = [Why(code=each.code, words=each.words, remedy=each.remedy) for each in answer.excluded]
    told = answer.refusals + (tuple(barred) if NOWHERE in answer.refusals else ())
    answer = replace(answer, checks=table.run(facts, wanted, answer.children, told))
    if answer.refusals:
        return answer
    if stops := table.stopping(answer.checks):
        return replace(
            answer,
            refusals=tuple(table.why(found) for found in stops),
            children=(),
            why="",
            unrouted=wanted.quantity - answer.held_for_reconciliation,
            costs=(),
            total_charges=None,
            next_best=None,
            needs_approval=None,
        )
    confirms = table.confirming(answer.checks)
    return replace(answer, needs_approval=table.why(confirms[0]) if confirms else None)


def _routed(facts: Facts, wanted: Wanted, rates: Rates | Mapping[str, Any] | None) -> Decision:
    """`rates`: those of now; or the routing problem that was stored, which carries its own."""
    terms, refusals = terms_of(facts, wanted)
    if not refusals:
        terms, refusals = ruling.at_exchanges(facts, wanted, terms)
    accounts = _in_order(facts)
    against = {
        each.connection_id: reason_against(each, facts, wanted) or ruling.against(each, facts, wanted, terms)
        for each in accounts
    }
    answer = Answer(
        refusals=refusals,
        warnings=ruling.warnings(facts, wanted),
        excluded=tuple(
            explaining.excluded(each, why) for each in accounts if (why := against[each.connection_id]) is not None
        ),
        unrouted=wanted.quantity,
        ages=explaining.ages(facts),
        value=None if (value := _value(facts, wanted, terms)) is None else explaining.paise(value),
    )
    if answer.refusals:
        return Decision(facts=facts, wanted=wanted, problem=None, answer=answer)
    try:
        problem = problem_of(facts, wanted, terms, accounts, against)
        problem = _with_rates(problem, rates)
        routed = routing.solve(problem)
    except (ChargeError, BadProblem) as error:
        return Decision(facts=facts, wanted=wanted, problem=None, answer=replace(answer, refusals=(_odd(error),)))
    answer = explaining.explained(answer, routed, facts, wanted, terms)
    unsure = ruling.unsure(facts, {child.connection_id for child in answer.children})
    answer = replace(answer, warnings=(*unsure, *answer.warnings))
    if not answer.children:
        answer = replace(answer, refusals=(NOWHERE if answer.excluded or not accounts else HELD,))
    else:
        value = _value(facts, wanted, terms)
        answer = replace(answer, needs_approval=needs_approval(facts.choices, wanted.product, value))
    return Decision(facts=facts, wanted=wanted, problem=problem.plain(), answer=answer)


def _with_rates(problem: Problem, rates: Rates | Mapping[str, Any] | None) -> Problem:
    if isinstance(rates, Rates):
        return routing.pinned(problem, rates)
    assert rates is not None  # noqa: S101 - what was solved was stored with its rates
    return replace(problem, rates=rates["rates"])


def _odd(error: ChargeError | BadProblem) -> Why:
    return Why(
        code=error.code,
        words=f"It cannot be reckoned. {error}",
        remedy="Correct the order; if it is right, tell support.",
    )


def _in_order(facts: Facts) -> tuple[Account, ...]:
    """The owner's order of preference; then that of the brokers' list."""
    order = {key: number for number, key in enumerate(facts.choices.broker_order)}
    return tuple(
        sorted(
            facts.accounts,
            key=lambda each: (order.get(each.connection_id, len(order)), each.rank, each.connection_id),
        )
    )


def _value(facts: Facts, wanted: Wanted, terms: Mapping[Exchange, Terms]) -> Decimal | None:
    """The most that it may come to, INR. None: not known."""
    if not terms:
        return None
    return worth(wanted.side, wanted.quantity, max(each.price for each in terms.values()), facts.prices)
