"""Limits and what becomes of them: levels, hysteresis, and which orders they stop. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

# A breach is over only when the figure has come back to so much of the level: it does not flicker.
CLEARS_AT = Decimal("0.95")


class Scope(StrEnum):
    GLOBAL = "GLOBAL"
    BROKER = "BROKER"  # by broker_type
    ACCOUNT = "ACCOUNT"  # by connection_id
    SEGMENT = "SEGMENT"
    ISSUER = "ISSUER"  # by ISIN or underlying
    STRATEGY = "STRATEGY"  # by the name that orders carry


class Metric(StrEnum):
    """Percent of equity or of the book where the name ends so; INR of IN_RUPEES. docs/risk.md defines each."""

    ISSUER_PCT = "ISSUER_PCT"
    SECTOR_PCT = "SECTOR_PCT"
    BROKER_PCT = "BROKER_PCT"
    MARGIN_PCT = "MARGIN_PCT"  # of one account; globally: of the worst one
    VAR_99_PCT = "VAR_99_PCT"
    ES_975_PCT = "ES_975_PCT"
    DRAWDOWN_PCT = "DRAWDOWN_PCT"
    DAY_LOSS_PCT = "DAY_LOSS_PCT"
    DAY_LOSS = "DAY_LOSS"
    GROSS_EXPOSURE = "GROSS_EXPOSURE"
    LEVERAGE_RATIO = "LEVERAGE_RATIO"
    ORDER_VALUE_PCT = "ORDER_VALUE_PCT"
    ORDER_VALUE = "ORDER_VALUE"
    ORDER_QUANTITY = "ORDER_QUANTITY"
    SYMBOL_DAY_VALUE = "SYMBOL_DAY_VALUE"
    ORDER_ADV_PCT = "ORDER_ADV_PCT"


IN_RUPEES = frozenset({Metric.DAY_LOSS, Metric.GROSS_EXPOSURE, Metric.ORDER_VALUE, Metric.SYMBOL_DAY_VALUE})


class Action(StrEnum):
    NOTIFY = "NOTIFY"
    CONFIRM = "CONFIRM"  # a person confirms the order with a fresh proof
    BLOCK_INCREASING = "BLOCK_INCREASING"  # what would make the figure worse is refused
    REDUCE_ONLY = "REDUCE_ONLY"  # whatever does not reduce a position is refused
    KILL = "KILL"  # trips the kill switch


class State(StrEnum):
    OK = "OK"
    WARN = "WARN"
    BLOCK = "BLOCK"
    UNKNOWN = "UNKNOWN"  # the figure is not known: nothing is cleared by that


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`action` is what its block level does; a warning always notifies only. A level that is None is not set.

    `scope_key` empty: every one of that scope by itself, such as each issuer.
    """

    metric: Metric
    scope: Scope = Scope.GLOBAL
    scope_key: str = ""
    warn: Decimal | None = None
    block: Decimal | None = None
    action: Action = Action.NOTIFY


def judged(limit: Limit, value: Decimal | None, before: State) -> State:
    """The state that a figure makes of a limit: reached at its level, left at 95% of it."""
    if value is None:
        return State.UNKNOWN if before in (State.OK, State.UNKNOWN) else before
    if _stands(limit.block, value, held=before is State.BLOCK):
        return State.BLOCK
    if _stands(limit.warn, value, held=before in (State.WARN, State.BLOCK)):
        return State.WARN
    return State.OK


def _stands(level: Decimal | None, value: Decimal, *, held: bool) -> bool:
    if level is None:
        return False
    return value >= level or (held and value > level * CLEARS_AT)


# risk.md §3: proposals to ship, no regulation. Percent are of equity, of the book, or of an account's margin.
DEFAULTS: tuple[Limit, ...] = (
    Limit(metric=Metric.ISSUER_PCT, scope=Scope.ISSUER, warn=Decimal(20)),
    Limit(metric=Metric.SECTOR_PCT, warn=Decimal(40)),
    Limit(metric=Metric.BROKER_PCT, scope=Scope.BROKER, warn=Decimal(60)),
    Limit(
        metric=Metric.MARGIN_PCT, scope=Scope.ACCOUNT, warn=Decimal(75), block=Decimal(90),
        action=Action.BLOCK_INCREASING,
    ),
    Limit(metric=Metric.VAR_99_PCT, warn=Decimal(3)),
    Limit(metric=Metric.ES_975_PCT, warn=Decimal(4)),
    Limit(metric=Metric.DRAWDOWN_PCT, warn=Decimal(10), block=Decimal(20), action=Action.REDUCE_ONLY),
    Limit(metric=Metric.DAY_LOSS_PCT, warn=Decimal(2), block=Decimal(3), action=Action.REDUCE_ONLY),
    Limit(metric=Metric.ORDER_VALUE_PCT, block=Decimal(10), action=Action.CONFIRM),
)  # fmt: skip
