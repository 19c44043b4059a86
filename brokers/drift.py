"""The shape of a reply: which fields each kind of object in it has. Pure.

Brokers change their replies without notice. A field that appears or vanishes never breaks a row here; it is reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = Mapping[str, frozenset[str]]

# Objects keyed by data, not by field names: by ISIN, `NSE:INFY`, `NSE_EQ|…`, `NSE_M&M`, `NSECM`, or number.
DATA_KEY = re.compile(r"^(IN[A-Z0-9]{10}|.*[:|].*|(NSE|BSE|NFO|BFO|CDS|BCD|MCX)([A-Z]*|_.+)|\d+)$")
DEEPEST = 5
# Of a long list, so many objects tell which of their fields hold something.
LOOKED_INTO = 20


@dataclass(frozen=True, slots=True)
class Change:
    """A field that was not there before, or is there no more. `place` is a path such as `data[].mtf`."""

    place: str
    field: str
    appeared: bool


def shape_of(body: Any) -> Shape:
    """Field names per place, e.g. {"": {"status", "data"}, "data[]": {"isin", …}}. Empty lists say nothing."""
    found: dict[str, set[str]] = {}
    _gather([body], "", found, 0)
    return {place: frozenset(names) for place, names in found.items()}


def changes(before: Shape, now: Shape) -> list[Change]:
    """What differs in the places that both replies have."""
    return [
        Change(place, name, appeared=name in now[place])
        for place in sorted(before.keys() & now.keys())
        for name in sorted(before[place] ^ now[place])
    ]


def _gather(values: list[Any], place: str, found: dict[str, set[str]], depth: int) -> None:
    """Note the field names of all objects among the values of one place, and look into what they hold."""
    if depth > DEEPEST:
        return
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        _gather(items, f"{place}[]", found, depth + 1)
    objects = [value for value in values if isinstance(value, dict) and value]
    if not objects:
        return
    if all(DATA_KEY.match(str(key)) for key in objects[0]):
        _gather([item for each in objects for item in each.values()], f"{place}{{}}", found, depth + 1)
        return
    found.setdefault(place, set()).update(*objects)
    holding = {name for each in objects[:LOOKED_INTO] for name, item in each.items() if isinstance(item, list | dict)}
    for name in holding:
        inside = [each[name] for each in objects if name in each]
        _gather(inside, f"{place}.{name}" if place else name, found, depth + 1)
