"""A report as plain JSON values: rounding happens here, once, half up. Pure.

How a number is written follows from what its field is called; what no rule names is money, to paise. The same rules
make the schema.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from portfolio.presentation import instant, paise, price, quantity

FINEST = Decimal("0.0001")
FINE = Decimal("0.000001")

Formatter = Callable[[Any], Any]


def ratio(value: Decimal) -> str:
    return f"{value.quantize(FINEST, ROUND_HALF_UP) + 0:f}"


def fine(value: Decimal) -> str:
    return f"{value.quantize(FINE, ROUND_HALF_UP) + 0:f}"


UNITS = frozenset(
    {"units", "closes", "nets", "net_units", "received", "to_give", "free", "t1", "pledged", "shortfall_units"}
)
RATIOS = frozenset(
    {
        "hhi", "effective_number", "utilisation", "after_fall", "after_rise", "after_span", "stressed", "worst",
        "leverage_gross", "leverage_net", "days_of_cash", "delta", "volatility", "move", "beta", "index_units",
        "hedge_lots", "days", "sharpe", "sortino", "calmar", "expected", "statistic", "weight_ratio",
    }
)  # fmt: skip
FINEST_FIELDS = frozenset({"marginal", "p_value", "value_of_unit"})
# What the same word means elsewhere.
EXCEPTIONS: Mapping[tuple[str, str], Formatter] = {
    ("Counterparty", "pledged"): paise,
    ("ShareNeed", "shortfall"): quantity,
    ("Unit", "value"): fine,
    ("Obligation", "in_the_money"): price,
}
# What is in no answer: kept for whoever computes on.
LEFT_OUT: frozenset[tuple[str, str]] = frozenset({("Report", "failures"), ("BetaWeighted", "per_line")})


def written(value: Any) -> Any:
    """A dataclass, or anything that is made of them, as JSON values. None stays null."""
    if value is None or isinstance(value, str | int):
        return value.value if isinstance(value, Enum) else value
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: None if (item := getattr(value, name)) is None else shown(item) for name, shown in _plan(type(value))
        }
    if isinstance(value, Mapping):
        return {str(key): written(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [written(item) for item in value]
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return paise(value)
    raise TypeError(f"{type(value).__name__} has no form in an answer.")


@cache
def _plan(kind: type) -> tuple[tuple[str, Formatter], ...]:
    return tuple((name, _formatter(kind, name)) for name in _names(kind))


def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if (kind.__name__, each.name) not in LEFT_OUT)


def _formatter(kind: type, name: str) -> Formatter:
    form = _form(kind, name)
    return lambda value: form(value) if isinstance(value, Decimal) else written(value)


def _form(kind: type, name: str) -> Formatter:
    special = EXCEPTIONS.get((kind.__name__, name))
    if special is not None:
        return special
    if name in UNITS:
        return quantity
    if name in RATIOS:
        return ratio
    return fine if name in FINEST_FIELDS else paise


# --- schema -----------------------------------------------------------------------------------------------------------
EXAMPLES: Mapping[Formatter, str] = {
    paise: "23605.50",
    price: "1573.70",
    quantity: "15",
    ratio: "0.7312",
    fine: "0.021345",
}
PLAIN: Mapping[Any, Mapping[str, Any]] = {
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
}


def schema(hint: Any, form: Formatter = paise) -> dict[str, Any]:
    """The JSON schema of what `written` makes of such a value."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = schema(next(part for part in parts if part is not type(None)), form)
        return inner | {"nullable": True} if type(None) in parts else inner
    if hint is Decimal:
        return {"type": "string", "example": EXAMPLES[form]}
    if origin is tuple:
        return {"type": "array", "items": schema(parts[0], form)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema(parts[1], form)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": "string", "enum": [member.value for member in hint]}
    kind = origin or hint
    if is_dataclass(kind):
        return _schema_of(kind if isinstance(kind, type) else type(kind), parts)
    return dict(PLAIN[hint])


def _schema_of(kind: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties = {name: _property(kind, name, hints[name], arguments) for name in _names(kind)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _property(kind: type, name: str, hint: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """A tree may hold more of its own kind: told once, and below that as what it is."""
    inner = get_args(hint)
    if kind in inner:
        return {"type": "array", "items": {"type": "object"}}
    if arguments and any(isinstance(part, TypeVar) for part in inner):
        return schema(arguments[0]) | {"nullable": True}
    return schema(hint, _form(kind, name))
