"""Readers of one wire field each, shared by every `mapping.py`.

They are strict: a field that is absent, or of a kind that we do not expect, raises `UnexpectedResponse` naming the
field. Brokers write numbers as JSON numbers, as strings, with thousands commas, and as the string "NaN"; all of these
come out as exact `Decimal`, and "no number" as None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from brokers.domain import ZERO, OrderStatus, RowProblem, Rows
from brokers.errors import UnexpectedResponse

Row = Mapping[str, Any]
T = TypeVar("T")
E = TypeVar("E", bound=Enum)

IST = ZoneInfo("Asia/Kolkata")
NO_NUMBER = frozenset({"", "-", "NA", "N/A", "NAN", "NULL", "NONE"})
IDENTIFIER = re.compile(r"[!-~]{1,64}")
YES = frozenset({"true", "1", "y", "yes"})
NUMBERS = (int, Decimal)  # a tuple: `int | Decimal` would be built anew for every field of every row


def required(row: Row, name: str) -> Any:
    """The field's value, which may be null; its absence is an error."""
    try:
        return row[name]
    except KeyError:
        raise UnexpectedResponse(name, "is missing") from None


def record(row: Row, name: str) -> Row:
    """A nested object."""
    return as_record(required(row, name), name)


def as_record(value: object, name: str) -> Row:
    if not isinstance(value, dict):
        raise UnexpectedResponse(name, "is not an object")
    return value


def as_rows(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnexpectedResponse(name, "is not a list")
    return value


def text(row: Row, name: str) -> str:
    """A non-empty string; numbers that serve as identifiers become strings."""
    value = required(row, name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UnexpectedResponse(name, "is not a text")
    return str(value)


def first_text(row: Row, *names: str) -> str:
    """The first of several spellings that is there: brokers keep deprecated twins of many fields."""
    for name in names:
        if row.get(name) not in (None, ""):
            return text(row, name)
    raise UnexpectedResponse(names[0], "is missing")


def identifier(row: Row, *names: str) -> str:
    """An order's or account's id that anybody may have sent: printable ASCII and short. As `first_text` of several."""
    value = first_text(row, *names)
    if not IDENTIFIER.fullmatch(value):
        raise UnexpectedResponse(names[0], "is not an id")
    return value


def texts(row: Row, name: str) -> tuple[str, ...]:
    """A list of strings; an absent or null list is empty."""
    return tuple(str(item) for item in as_rows(row.get(name) or [], name))


def number(value: object, name: str) -> Decimal | None:
    """An exact number, or None where the wire says that there is none. Floats are refused: they lost digits already."""
    if type(value) is Decimal and value.is_finite():  # first, because most are
        return value or ZERO
    if value is None:
        return None
    if isinstance(value, str):
        digits = value.strip().replace(",", "").replace("- ", "-")  # "- 2235.80" is published
        if digits.upper() in NO_NUMBER:
            return None
        value = digits
    elif isinstance(value, bool) or not isinstance(value, NUMBERS):
        raise UnexpectedResponse(name, "is not a number")
    try:
        exact = Decimal(value)
    except InvalidOperation:
        raise UnexpectedResponse(name, "is not a number") from None
    if not exact.is_finite():
        raise UnexpectedResponse(name, "is not a finite number")
    return exact or ZERO  # -0.0 occurs on the wire


def money(row: Row, name: str) -> Decimal | None:
    """An amount in INR; the field must be there, null means unknown."""
    return number(required(row, name), name)


def amount(row: Row, name: str) -> Decimal:
    """A number that cannot be unknown: a quantity, or a value that others are computed from."""
    exact = money(row, name)
    if exact is None:
        raise UnexpectedResponse(name, "has no number")
    return exact


def positive(row: Row, name: str) -> Decimal | None:
    """A price for which the wire writes 0 or null when it does not know."""
    exact = money(row, name)
    if exact is not None and exact < 0:
        raise UnexpectedResponse(name, "is negative")
    return exact or None


def whole(row: Row, name: str) -> Decimal:
    """A quantity that must not be negative."""
    exact = amount(row, name)
    if exact < 0:
        raise UnexpectedResponse(name, "is negative")
    return exact


def flag(row: Row, name: str) -> bool:
    value = required(row, name)
    if not isinstance(value, bool):
        raise UnexpectedResponse(name, "is not true or false")
    return value


def optional_flag(row: Row, name: str) -> bool | None:
    """Whether something is so, where the wire says it in plain words; None where it does not."""
    value = row.get(name)
    return value if isinstance(value, bool) else None


def written_flag(row: Row, name: str) -> bool | None:
    """A yes or no that may be absent, and that files write in many ways."""
    value = row.get(name)
    return None if value in (None, "") else str(value).strip().lower() in YES


def one_of(kind: type[E], row: Row, name: str) -> E:
    """A word of ours written the same way on the wire."""
    try:
        return kind(required(row, name))
    except ValueError:
        raise UnexpectedResponse(name, "has a value we do not know") from None


def translated(table: Mapping[Any, T], key: object, name: str) -> T:
    """A word of theirs, looked up in a table of the spec."""
    try:
        return table[key]
    except (KeyError, TypeError):
        raise UnexpectedResponse(name, "has a value we do not know") from None


def known(table: Mapping[Any, T], words: Iterable[str]) -> tuple[T, ...]:
    """Those of their words that we know, in our words: for lists that describe and do not decide."""
    return tuple(dict.fromkeys(table[word] for word in words if word in table))


def optional_text(row: Row, name: str) -> str | None:
    """A text that may be absent, null or empty."""
    value = row.get(name)
    return None if value in (None, "") else str(value)


def order_status(table: Mapping[str, OrderStatus], word: str, filled: Decimal, quantity: Decimal) -> OrderStatus:
    """A broker's word for an order's state. An open order with fills is partly filled; an unknown word is UNKNOWN."""
    status = table.get(word, OrderStatus.UNKNOWN)
    if status is OrderStatus.OPEN and 0 < filled < quantity:
        return OrderStatus.PARTIALLY_FILLED
    return status


def ist(value: str, name: str, form: str = "%Y-%m-%d %H:%M:%S") -> datetime:
    """A naive wire time, which is Indian Standard Time."""
    try:
        return datetime.strptime(value, form).replace(tzinfo=IST)
    except ValueError:
        raise UnexpectedResponse(name, "is not a time") from None


def day(value: str, name: str, form: str = "%Y-%m-%d") -> date:
    """A calendar day, such as an expiry."""
    try:
        return datetime.strptime(value, form).date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UnexpectedResponse(name, "is not a date") from None


def each(part: str, read: Callable[[Row], Iterable[T]], data: object) -> Rows[T]:
    """Read every row of a list; a row yields one object or several. One bad row does not hide the others."""
    items: list[T] = []
    problems: list[RowProblem] = []
    for index, row in enumerate(as_rows(data, part)):
        try:
            items.extend(read(as_record(row, part)))
        except UnexpectedResponse as error:
            problems.append(RowProblem(part=part, row=index, field=error.field))
    return Rows(tuple(items), tuple(problems))
