"""Limits in the words of a page: names, units, what one is on, and what its block level does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from django.utils.text import capfirst

from accounts.models import User
from brokers import registry
from brokers.domain import Segment
from portfolio import limits
from portfolio.limit_refusals import LimitRefused
from portfolio.models import ConsolidatedPosition
from portfolio.risk.limits import IN_RUPEES, Action, Limit, Metric, Scope
from portfolio.risk_page import legible
from portfolio.templatetags.risk import rupees
from trademaster.glossary import TERMS
from trademaster.settings_pages import edge

PERCENT, RUPEES, UNITS, TIMES = "percent", "rupees", "units", "times"
AMOUNTS = (RUPEES, UNITS)

METRICS: Mapping[Metric, str] = {metric: TERMS[metric.lower()].name for metric in Metric}
UNIT_OF: Mapping[Metric, str] = {
    **dict.fromkeys(IN_RUPEES, RUPEES),
    Metric.ORDER_QUANTITY: UNITS,
    Metric.LEVERAGE_RATIO: TIMES,
}
# What one types a level in.
TYPED_IN = {PERCENT: "percent", RUPEES: "rupees", UNITS: "units", TIMES: "times equity"}
ACTIONS: Mapping[Action, str] = {
    Action.NOTIFY: "tell me, and stop nothing",
    Action.CONFIRM: "ask me to confirm each order with a fresh proof",
    Action.BLOCK_INCREASING: "refuse orders that would make it worse",
    Action.REDUCE_ONLY: "refuse whatever does not reduce a position",
    Action.KILL: "stop trading at all brokers, until I re-arm it",
}
EACH: Mapping[Scope, str] = {
    Scope.GLOBAL: "the whole book",
    Scope.BROKER: "each broker by itself",
    Scope.ACCOUNT: "each account by itself",
    Scope.SEGMENT: "each segment by itself",
    Scope.ISSUER: "each issuer by itself",
    Scope.STRATEGY: "each strategy by itself",
}
SEGMENTS: Mapping[Segment, str] = {
    Segment.EQUITY: "Equity",
    Segment.FNO: "Futures and options",
    Segment.CURRENCY: "Currency",
    Segment.COMMODITY: "Commodity",
}
# Those whose keys can be listed; the name of a strategy is typed.
LISTED = (Scope.BROKER, Scope.ACCOUNT, Scope.SEGMENT, Scope.ISSUER)
BETWEEN = "|"
ZERO = Decimal(0)


def unit_of(metric: str) -> str:
    return UNIT_OF.get(Metric(metric), PERCENT)


def level(value: Decimal | None, metric: str, *, beside: Sequence[Decimal | None] = ()) -> str | None:
    """A figure with its unit: 12.5%, ₹1,50,000, 3×. To two places, no zeros at the end. None: not known, or not set.

    It has more places where two would put it on a level `beside` it that it has not reached, or past it: 24.996%.
    """
    if value is None:
        return None
    text = f"{legible(value, [ZERO, *(each for each in beside if each is not None)]).normalize():f}"
    unit = unit_of(metric)
    if unit in AMOUNTS:
        grouped = rupees(text)
        return grouped if unit == RUPEES else grouped.replace("₹", "")
    return f"{text}{'%' if unit == PERCENT else '×'}"


def scopes_of(metric: Metric) -> list[Scope]:
    """By what it can be watched, the widest first."""
    allowed = limits.SCOPES.get(metric, frozenset({Scope.GLOBAL}))
    return [scope for scope in Scope if scope in allowed]


def actions_of(user: User, metric: Metric) -> list[Action]:
    """What the block level of this metric may do: whatever the service does not refuse."""
    tried = Limit(metric=metric, scope=scopes_of(metric)[0], block=Decimal(1))
    return [action for action in Action if _is_good(user, replace(tried, action=action))]


def _is_good(user: User, limit: Limit) -> bool:
    try:
        limits.checked(user, limit)
    except LimitRefused:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Names:
    """What the keys of one person's limits are called: brokers, their accounts, the issuers they hold."""

    keys: Mapping[Scope, Mapping[str, str]]

    def of(self, scope: str, key: str) -> str:
        """`Zerodha`, `INFY`, `each account by itself`, `the whole book`."""
        if not key:
            return EACH[Scope(scope)]
        return self.keys.get(Scope(scope), {}).get(key, key)

    def choices(self, metric: Metric) -> list[tuple[str, list[tuple[str, str]]] | tuple[str, str]]:
        """For a select: each of a scope by itself, then one of it; a value is `SCOPE|key`."""
        found: list[tuple[str, list[tuple[str, str]]] | tuple[str, str]] = []
        for scope in scopes_of(metric):
            found.append((f"{scope}{BETWEEN}", capfirst(EACH[scope])))
            named = [(f"{scope}{BETWEEN}{key}", name) for key, name in self.keys.get(scope, {}).items()]
            if scope in LISTED and named:
                found.append((f"One {scope.lower()}", named))
        return found


def names_of(user: User) -> Names:
    accounts = user.broker_connections.without_secrets().order_by("broker_type", "account_id")
    held = ConsolidatedPosition.objects.filter(user=user).order_by("symbol")
    return Names(
        {
            Scope.BROKER: {broker.spec.slug: broker.spec.name for broker in registry.brokers()},
            Scope.ACCOUNT: {str(row.pk): edge.called(row.broker_name, row.display_name) for row in accounts},
            Scope.SEGMENT: {segment.value: name for segment, name in SEGMENTS.items()},
            Scope.ISSUER: dict(held.values_list("instrument_key", "symbol")),
        }
    )
