"""4: is it too large, by itself, with what was dealt in today, or for its market? Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.domain import ZERO
from orders.checks.exposure import dearest, increases
from orders.checks.system import accounts_of
from orders.checks.words import Finding, Verdict, denied, passed, warned
from orders.decisions import Planned
from orders.explaining import plainly, rupees
from orders.facts import Facts, Wanted
from orders.risk_words import RiskFacts, SetLimit
from portfolio.risk.limits import Action, Limit, Metric, Scope
from portfolio.sums import HUNDRED

VERDICTS: Mapping[Action, Verdict] = {
    Action.NOTIFY: Verdict.WARN,
    Action.CONFIRM: Verdict.CONFIRM,
    Action.BLOCK_INCREASING: Verdict.DENY,
    Action.REDUCE_ONLY: Verdict.DENY,
    Action.KILL: Verdict.DENY,
}
REMEDY = "Make it smaller, or look at your limits."
NOT_APPLIED = warned(
    4,
    "limit_not_applied",
    "You set a limit for a strategy, and orders carry none yet.",
    "Set it for an account instead.",
)


@dataclass(frozen=True, slots=True)
class Part:
    """What of an order a limit is about: all of it, or what goes to one broker, account, segment or issuer."""

    name: str
    children: tuple[Planned, ...]


def sizes(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    """An order that makes no position larger is told of a limit that it is beyond, and not held back by it."""
    risk = facts.risk
    if not planned:
        return ()
    if risk is None or risk.limits is None:
        return (denied(4, "limits_unknown", "Your limits cannot be read.", "Try again in a moment."),)
    found = list(_of_brokers(facts, planned))
    grows = increases(facts, wanted, planned)
    for each in risk.limits:
        if each.limit.scope is Scope.STRATEGY:
            found.append(NOT_APPLIED)
        for part in parts_of(each.limit, facts, risk, planned):
            found += _judged(each, part, facts, risk, grows)
    if not found:
        value = value_of(facts, planned)
        told = "of unknown value" if value is None else f"₹{rupees(value)}"
        found.append(
            passed(4, f"{plainly(sum((c.quantity for c in planned), ZERO))} units, {told}: within all limits.")
        )
    return tuple(found)


def _of_brokers(facts: Facts, planned: Sequence[Planned]) -> Iterator[Finding]:
    """What a broker takes in one order at all."""
    for account in accounts_of(facts, planned):
        for child in planned:
            if child.connection_id != account.connection_id:
                continue
            if account.max_order_quantity is not None and child.quantity > account.max_order_quantity:
                most = plainly(account.max_order_quantity)
                yield denied(4, "above_broker_quantity", f"{account.name} takes {most} units in one order.", REMEDY)
            value = value_of(facts, [child])
            if account.max_order_value is not None and value is not None and value > account.max_order_value:
                most = rupees(account.max_order_value)
                yield denied(4, "above_broker_value", f"{account.name} takes ₹{most} in one order.", REMEDY)


# --- limits of the owner ----------------------------------------------------------------------------------------------
def parts_of(limit: Limit, facts: Facts, risk: RiskFacts, planned: Sequence[Planned]) -> Iterator[Part]:
    """By the scope of a limit; none that it is not about."""
    names: Mapping[Scope, Callable[[Planned], str]] = {
        Scope.GLOBAL: lambda child: "",
        Scope.BROKER: lambda child: child.broker_type,
        Scope.ACCOUNT: lambda child: child.connection_id,
        Scope.SEGMENT: lambda child: facts.tradables[child.exchange].segment.value,
        Scope.ISSUER: lambda child: risk.issuer,
    }
    name_of = names.get(limit.scope)
    if name_of is None:
        return
    for name in dict.fromkeys(map(name_of, planned)):
        if limit.scope is Scope.GLOBAL or limit.scope_key in ("", name):
            yield Part(name, tuple(child for child in planned if name_of(child) == name))


def _judged(each: SetLimit, part: Part, facts: Facts, risk: RiskFacts, grows: bool) -> Iterator[Finding]:
    measure = MEASURES.get(each.limit.metric)
    if measure is None:
        return
    yield from of_size(4, each.limit, measure(facts, risk, part), grows, NAMES[each.limit.metric])


def of_size(check: int, limit: Limit, value: Decimal | None, grows: bool, name: str) -> Iterator[Finding]:
    """An order may be as large as the level says, and no larger."""
    code = limit.metric.value.lower()
    if value is None:
        if limit.block is not None and VERDICTS[limit.action] is not Verdict.WARN and grows:
            verdict = VERDICTS[limit.action]
            yield Finding(
                check=check, code=f"{code}_unknown", verdict=verdict,
                words=f"{name} is not known, and you set a limit on it.", remedy=REMEDY,
            )  # fmt: skip
        elif limit.block is not None or limit.warn is not None:
            yield warned(check, f"{code}_unknown", f"{name} is not known.", REMEDY)
        return
    shown = f"{value.quantize(Decimal('0.01')):f}"
    if limit.block is not None and value > limit.block:
        verdict = VERDICTS[limit.action] if grows else Verdict.WARN
        words = f"{name} is {shown}: your limit is {plainly(limit.block)}."
        yield Finding(check=check, code=code, verdict=verdict, words=words, remedy=REMEDY)
    elif limit.warn is not None and value > limit.warn:
        yield warned(check, f"{code}_near", f"{name} is {shown}: you are warned from {plainly(limit.warn)}.", REMEDY)
    else:
        yield passed(check, f"{name} is {shown}, within your limit.")


def value_of(facts: Facts, planned: Sequence[Planned]) -> Decimal | None:
    """INR that these may come to at most, premiums of options included as such. None: no price is known."""
    total = ZERO
    for child in planned:
        price = dearest(child.price, facts.prices.get(child.exchange))
        if price is None:
            return None
        total += child.quantity * price
    return total


def _value(facts: Facts, risk: RiskFacts, part: Part) -> Decimal | None:
    return value_of(facts, part.children)


def _quantity(facts: Facts, risk: RiskFacts, part: Part) -> Decimal | None:
    return sum((child.quantity for child in part.children), ZERO)


def _of_day(facts: Facts, risk: RiskFacts, part: Part) -> Decimal | None:
    value = value_of(facts, part.children)
    return None if value is None or risk.dealt_today is None else risk.dealt_today + value


def _of_volume(facts: Facts, risk: RiskFacts, part: Part) -> Decimal | None:
    if risk.adv is None or risk.adv <= 0:
        return None
    return sum((child.quantity for child in part.children), ZERO) * HUNDRED / risk.adv


MEASURES: Mapping[Metric, Callable[[Facts, RiskFacts, Part], Decimal | None]] = {
    Metric.ORDER_VALUE: _value,
    Metric.ORDER_QUANTITY: _quantity,
    Metric.SYMBOL_DAY_VALUE: _of_day,
    Metric.ORDER_ADV_PCT: _of_volume,
}
NAMES: Mapping[Metric, str] = {
    Metric.ORDER_VALUE: "Its value in INR",
    Metric.ORDER_QUANTITY: "Its quantity",
    Metric.SYMBOL_DAY_VALUE: "What is dealt in this symbol today, with it, in INR",
    Metric.ORDER_ADV_PCT: "Its part of an average day's volume, percent,",
    Metric.ORDER_VALUE_PCT: "Its part of your equity, percent,",
}
