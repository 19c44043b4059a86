"""The edge where numbers become text: rounding happens here, once, half up.

The kinds of number are annotations on the fields of the answer, so that the same declaration yields the JSON and its
schema: `Money` to paise, `Price` to 2–4 places, `Average` (of prices paid) to 2–8, `Quantity` without trailing zeros,
`Percent` to 2 places. All are written as strings; None is null.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

PAISA = Decimal("0.01")
FINEST_PRICE = Decimal("0.0001")
FINEST_AVERAGE = Decimal("0.00000001")

Formatter = Callable[[Any], Any]


def paise(value: Decimal) -> str:
    return f"{value.quantize(PAISA, ROUND_HALF_UP) + 0:f}"


def price(value: Decimal) -> str:
    return _at_least_paise(value.quantize(FINEST_PRICE, ROUND_HALF_UP))


def average(value: Decimal) -> str:
    return _at_least_paise(value.quantize(FINEST_AVERAGE, ROUND_HALF_UP))


def _at_least_paise(value: Decimal) -> str:
    whole, _, fraction = f"{value + 0:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def quantity(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Money = Annotated[Decimal, paise]
Price = Annotated[Decimal, price]
Average = Annotated[Decimal, average]
Quantity = Annotated[Decimal, quantity]
Percent = Annotated[Decimal, paise]


def present(value: Any) -> Any:
    """A dataclass of the answer as plain JSON values."""
    return {name: None if (item := getattr(value, name)) is None else shown(item) for name, shown in _plan(type(value))}  # type: ignore[arg-type]


@cache
def _plan(kind: type) -> tuple[tuple[str, Formatter], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((field.name, _formatter(hints[field.name])) for field in fields(kind))


def _formatter(hint: Any) -> Formatter:
    hint = _without_none(hint)
    if get_origin(hint) is Annotated:
        formatter: Formatter = get_args(hint)[1]
        return formatter
    if get_origin(hint) is tuple:
        item = _formatter(get_args(hint)[0])
        return lambda items: [item(each) for each in items]
    if hint is datetime:
        return instant
    if hint is date:
        return date.isoformat
    if is_dataclass(hint):
        return present
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda member: member.value
    return lambda plain: plain


SCHEMAS: dict[Any, dict[str, Any]] = {
    paise: {"type": "string", "example": "23605.50"},
    price: {"type": "string", "example": "1573.70"},
    average: {"type": "string", "example": "801.78125"},
    quantity: {"type": "string", "example": "15"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
}


def schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of what `present` yields, for the OpenAPI document."""
    plain = _without_none(kind)
    if plain is not kind:
        return schema(plain) | {"nullable": True}
    if get_origin(kind) is Annotated:
        return dict(SCHEMAS[get_args(kind)[1]])
    if get_origin(kind) is tuple:
        return {"type": "array", "items": schema(get_args(kind)[0])}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"type": "string", "enum": [member.value for member in kind]}
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        properties = {field.name: schema(hints[field.name]) for field in fields(kind)}
        return {"type": "object", "properties": properties, "required": list(properties)}
    return dict(SCHEMAS[kind])


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(option for option in get_args(hint) if option is not type(None))
    return hint
