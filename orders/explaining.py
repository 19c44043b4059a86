"""A routing decision in words and rupees, for the person whose order it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from brokers.domain import Exchange
from orders.charges import COMPONENTS
from orders.decisions import Answer, CostLines, Excluded, NextBest, Planned
from orders.facts import Account, Facts, Wanted, Why
from orders.margins import bound_per_unit
from orders.problems import Terms
from orders.routing import Alternative, Part
from orders.routing import Decision as Routed
from portfolio.sums import EXACT

PAISA = Decimal("0.01")


def explained(answer: Answer, routed: Routed, facts: Facts, wanted: Wanted, terms: Mapping[Exchange, Terms]) -> Answer:
    """What was answered so far, with what the router found."""
    known = {account.connection_id: account for account in facts.accounts}
    warned = tuple(
        Why(code=each.code, words=each.sentence, remedy="See it before you confirm.") for each in routed.warnings
    )
    limits = tuple(Why(code=f"limit_{each.code}", words=each.sentence, remedy=each.remedy) for each in routed.limits)
    return replace(
        answer,
        children=tuple(_planned(part, known, wanted, terms) for part in routed.children),
        why=_why(routed, known),
        warnings=(*answer.warnings, *warned, *((_partly(routed, wanted), *limits) if routed.unrouted else ())),
        excluded=tuple(
            Excluded(
                connection_id=each.broker,
                broker_type=known[each.broker].broker_type,
                name=known[each.broker].name,
                code=each.code,
                words=each.sentence,
                remedy=each.remedy,
            )
            for each in routed.excluded
        ),
        unrouted=routed.unrouted,
        held_for_reconciliation=routed.held_for_reconciliation,
        costs=tuple(
            CostLines(
                connection_id=line.broker,
                broker_type=known[line.broker].broker_type,
                exchange=line.exchange,
                quantity=_quantity_of(line.broker, routed.allocation),
                components={name: paise(line.components[name]) for name in COMPONENTS if line.components.get(name)},
                total=paise(line.components["total"]),
            )
            for line in routed.costs
        ),
        total_charges=routed.charges_in_paise,
        health_penalty=paise(routed.health_penalty),
        tax=paise(routed.tax),
        split_penalty=paise(routed.split_penalty),
        next_best=_next_best(routed.alternative, known),
        solver=routed.solver,
    )


def _partly(routed: Routed, wanted: Wanted) -> Why:
    left, whole = plainly(routed.unrouted), plainly(wanted.quantity)
    return Why(
        code="partly_routed",
        words=f"{left} of {whole} units can go nowhere now, and would stay unsent.",
        remedy="See which accounts are left out, and the limits; make it smaller if you want all of it.",
    )


def excluded(account: Account, why: Why) -> Excluded:
    return Excluded(
        connection_id=account.connection_id,
        broker_type=account.broker_type,
        name=account.name,
        code=why.code,
        words=f"{why.words.rstrip('.')}.",
        remedy=why.remedy,
    )


def ages(facts: Facts) -> dict[str, int | None]:
    """How old what it was decided by is, in seconds: each account's answer, each exchange's price. None: not there."""
    moments = {f"account:{account.connection_id}": account.as_of for account in facts.accounts}
    moments |= {
        f"price:{exchange}": facts.prices[exchange].as_of if exchange in facts.prices else None
        for exchange in facts.tradables
    }
    return {
        name: None if moment is None else max(0, round((facts.now - moment).total_seconds()))
        for name, moment in moments.items()
    }


def bound(facts: Facts, child: Planned) -> Decimal:
    """INR that a planned order binds at its worst price."""
    place, price = facts.tradables[child.exchange], child.price or Decimal(0)
    return EXACT.multiply(child.quantity, bound_per_unit(place, child.side, child.product, price))


def _planned(part: Part, known: Mapping[str, Account], wanted: Wanted, terms: Mapping[Exchange, Terms]) -> Planned:
    at = terms[part.exchange]
    return Planned(
        connection_id=part.broker,
        broker_type=known[part.broker].broker_type,
        exchange=part.exchange,
        side=wanted.side,
        order_type=at.order_type,
        product=wanted.product,
        validity=wanted.validity,
        quantity=part.quantity,
        price=_tidy(at.price),
        trigger_price=_tidy(at.trigger_price),
    )


def _why(routed: Routed, known: Mapping[str, Account]) -> str:
    """One sentence: where, for how much, and against what."""
    if not routed.allocation:
        return ""
    where = _where(routed.allocation, known)
    words = f"Via {where}: charges of ₹{rupees(routed.charges_in_paise)}"
    other = routed.alternative
    if other is None or not other.allocation:
        return f"{words}. Nobody else can take it now."
    elsewhere = _where(other.allocation, known)
    if other.difference is None:
        return f"{words}. Via {elsewhere} less of it could go."
    if paise(other.difference) == 0:
        return f"{words}. Via {elsewhere} it would be the same; your order of brokers decides."
    return f"{words}; via {elsewhere} it would be ₹{rupees(other.difference)} worse in all."


def _where(parts: Sequence[Part], known: Mapping[str, Account]) -> str:
    places = [f"{known[part.broker].name} ({part.exchange})" for part in parts]
    return places[0] if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]}"


def _next_best(other: Alternative | None, known: Mapping[str, Account]) -> NextBest | None:
    if other is None or not other.allocation:
        return None
    where = _where(other.allocation, known)
    words = f"Via {where}."
    if other.difference is None:
        words = f"Via {where}, where {plainly(other.unrouted)} units would be left over."
    return NextBest(
        connection_ids=tuple(dict.fromkeys(part.broker for part in other.allocation)),
        words=words,
        difference=None if other.difference is None else paise(other.difference),
    )


def _quantity_of(broker: str, parts: Sequence[Part]) -> Decimal:
    return sum((part.quantity for part in parts if part.broker == broker), Decimal(0))


def paise(amount: Decimal) -> Decimal:
    return amount.quantize(PAISA, rounding=ROUND_HALF_UP, context=EXACT)


def rupees(amount: Decimal) -> str:
    """With paise, and the commas of Indian numbers: 1,23,45,678.90."""
    whole, _, part = f"{paise(abs(amount)):f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return f"{'-' if amount < 0 else ''}{','.join([*groups, tail])}.{part}"


def _tidy(price: Decimal | None) -> Decimal | None:
    return None if price is None else Decimal(plainly(price))


def plainly(quantity: Decimal) -> str:
    return f"{quantity.normalize():f}"
