"""One order, told whole: why it went where it went, what it cost, what stands, and all that happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers import registry
from orders import answers, words
from orders.explaining import plainly, rupees
from orders.lanes import Row, name_of, row_of
from orders.lifecycle import POSSIBLY_LIVE, STANDING
from orders.models import ChildOrder, Fill, IntentStatus, OrderEvent, OrderIntent

# Old orders of many slices are told from their newest events.
MOST_EVENTS = 500
VERDICTS: Mapping[str, tuple[str, str]] = {
    "PASS": ("passed", "good"),
    "WARN": ("warning", "warn"),
    "CONFIRM": ("asks you", "warn"),
    "DENY": ("stops it", "bad"),
    "NOT_RUN": ("not reached", "plain"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one broker's part was estimated to cost: (component, rupees), and in all."""

    broker: str
    exchange: str
    quantity: str
    lines: tuple[tuple[str, str], ...]
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One of the checks before an order; `findings` are (code, words, remedy)."""

    number: int
    name: str
    verdict: str
    tone: str
    findings: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The newest decision, in words and rupees."""

    at: datetime
    count: int
    why: str
    planned: tuple[str, ...]
    refusals: tuple[Mapping[str, str], ...]
    warnings: tuple[Mapping[str, str], ...]
    excluded: tuple[Mapping[str, str], ...]
    costs: tuple[Cost, ...]
    total: str
    value: str
    next_best: str
    difference: str
    needs_approval: Mapping[str, str] | None
    ages: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    unrouted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One order at one broker."""

    child: ChildOrder
    broker: str
    asked_and_filled: str
    price: str
    average: str
    state: words.Said
    costs: str
    costs_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    at: datetime
    teller: str
    sentence: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    row: Row
    decided: Decided | None
    parts: tuple[Part, ...]
    fills: tuple[tuple[Fill, str, str, str], ...]
    lines: tuple[Line, ...]
    may_change: bool
    why_no_change: str
    may_change_quantity: bool


def told(intent: OrderIntent, now: datetime) -> Told:
    """`intent` has its children and their connections at hand."""
    children = list(intent.children.all())
    decision = answers.decision_of(intent)
    names = {str(child.broker_connection_id): name_of(child) for child in children}
    standing = [child for child in children if child.state in STANDING]
    why_not = _why_no_change(intent, children, standing)
    fills = Fill.objects.filter(child__in=children).select_related("child__broker_connection")
    return Told(
        row=row_of(intent, now),
        decided=None if decision is None else _decided(decision, names | _own_names(intent)),
        parts=_parts(children, [] if decision is None else decision["actual"]),
        fills=tuple((fill, name_of(fill.child), plainly(fill.quantity), rupees(fill.price)) for fill in fills),
        lines=_lines(intent, children),
        may_change=not why_not,
        why_no_change=why_not,
        may_change_quantity=len(standing) == 1,
    )


def _own_names(intent: OrderIntent) -> dict[str, str]:
    rows = intent.user.broker_connections.without_secrets()
    return {str(row.pk): row.display_name or row.broker_name for row in rows}


def _why_no_change(intent: OrderIntent, children: Sequence[ChildOrder], standing: Sequence[ChildOrder]) -> str:
    if intent.status == IntentStatus.AWAITING_APPROVAL:
        return "It waits for your approval. To change it, do not approve it and place another."
    if any(child.state in POSSIBLY_LIVE for child in children):
        return "It is not known yet what became of a part of it; until then nothing of it is changed."
    return "" if standing else "Nothing of it stands at a broker, so there is nothing to change."


# --- the decision -----------------------------------------------------------------------------------------------------
def _decided(found: Mapping[str, Any], names: Mapping[str, str]) -> Decided:
    answer: Mapping[str, Any] = found["decision"]
    best = answer.get("next_best") or {}
    return Decided(
        at=found["made_at"],
        count=found["decisions"],
        why=answer.get("why", ""),
        planned=tuple(_planned(each, names) for each in answer.get("children", ())),
        refusals=tuple(answer.get("refusals", ())),
        warnings=tuple(answer.get("warnings", ())),
        excluded=tuple(answer.get("excluded", ())),
        costs=tuple(_cost(each, names) for each in answer.get("costs", ())),
        total=_money(answer.get("total_charges")),
        value=_money(answer.get("value")),
        next_best=best.get("words", ""),
        difference=_money(best.get("difference")),
        needs_approval=answer.get("needs_approval"),
        ages=tuple(_age(name, seconds, names) for name, seconds in answer.get("ages", {}).items()),
        checks=tuple(_check(each) for each in answer.get("checks", ())),
        unrouted=_more_than_none(answer.get("unrouted")),
    )


def _money(amount: str | None) -> str:
    return "" if amount is None else rupees(Decimal(amount))


def _more_than_none(quantity: str | None) -> str:
    return plainly(Decimal(quantity)) if quantity and Decimal(quantity) else ""


def _planned(child: Mapping[str, Any], names: Mapping[str, str]) -> str:
    price = child.get("price")
    at = "" if price is None else f" at {rupees(Decimal(price))}"
    where = names.get(str(child["connection_id"])) or _broker(child)
    return f"{plainly(Decimal(child['quantity']))} via {where} ({child['exchange']}){at}"


def _broker(row: Mapping[str, Any]) -> str:
    slug = row.get("broker_type", "")
    return registry.load(slug).spec.name if slug in registry.slugs() else slug


def _cost(line: Mapping[str, Any], names: Mapping[str, str]) -> Cost:
    parts = line["components"]
    return Cost(
        broker=names.get(str(line["connection_id"])) or _broker(line),
        exchange=line["exchange"],
        quantity=plainly(Decimal(line["quantity"])),
        lines=tuple(
            (words.COMPONENTS[name], rupees(Decimal(parts[name]))) for name in words.COMPONENTS if name in parts
        ),
        total=_money(line["total"]),
    )


def _age(name: str, seconds: int | None, names: Mapping[str, str]) -> tuple[str, str]:
    kind, _, which = name.partition(":")
    what = f"what {names.get(which, 'an account')} told" if kind == "account" else f"the price at {which}"
    return what, "not there" if seconds is None else f"{seconds} s old"


def _check(each: Mapping[str, Any]) -> Check:
    """What a check found is a list; one that found a single thing may say it by itself."""
    word, tone = VERDICTS.get(each["verdict"], (str(each["verdict"]).lower(), "plain"))
    found = each.get("findings") or ([each] if each.get("words") else [])
    return Check(
        number=each["number"],
        name=each["name"],
        verdict=word,
        tone=tone,
        findings=tuple((one.get("code", ""), one.get("words", ""), one.get("remedy", "")) for one in found),
    )


# --- what stands, and what happened -----------------------------------------------------------------------------------
def _parts(children: Iterable[ChildOrder], actual: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
    cost_of = {each["child"]: each for each in actual}
    return tuple(_part(child, cost_of.get(child.pk, {})) for child in children)


def _part(child: ChildOrder, cost: Mapping[str, Any]) -> Part:
    return Part(
        child=child,
        broker=name_of(child),
        asked_and_filled=words.filled_of(child.filled_quantity, child.quantity),
        price=words.at_price(child.order_type, child.price, child.trigger_price),
        average="" if child.average_price is None else rupees(child.average_price),
        state=words.CHILD[child.state],
        costs=_money(cost.get("total")),
        costs_from="contract note" if cost.get("note") else "estimate",
    )


def _lines(intent: OrderIntent, children: Sequence[ChildOrder]) -> tuple[Line, ...]:
    names = {child.pk: name_of(child) for child in children}
    events: list[OrderEvent] = list(intent.events.order_by("-at", "-id")[:MOST_EVENTS])[::-1]
    return tuple(
        Line(
            at=event.at,
            teller=words.TELLERS[event.teller],
            sentence=words.happened(event.code, event.to_state, names.get(event.child_id) if event.child_id else None),
            details=words.detailed(event.details),
        )
        for event in events
    )
