"""Scenarios of somebody's own: read from JSON, checked, and refused with a stable code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any

from portfolio.risk.errors import RiskError
from portfolio.risk.scenarios import EPISODES, SHIPPED, Basis, Scenario

CODES = (
    "scenario_shape",
    "scenario_unknown_field",
    "scenario_code",
    "scenario_code_taken",
    "scenario_title",
    "scenario_number",
    "scenario_range",
    "scenario_issuers",
    "scenario_empty",
)
CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
TAKEN = frozenset(scenario.code for scenario in SHIPPED) | {episode.code for episode in EPISODES}
LONGEST_TITLE = 80
MOST_ISSUERS = 100
LONGEST_ISSUER = 40
MOST_DAYS = 365
LONGEST_NUMBER = 24
RANGES: dict[str, tuple[Decimal, Decimal]] = {
    "index": (Decimal(-1), Decimal(2)),
    "volatility": (Decimal(-1), Decimal(10)),
    "rate": (Decimal("-0.2"), Decimal("0.2")),
    "rupee": (Decimal("-0.9"), Decimal(2)),
    "crude": (Decimal(-1), Decimal(5)),
}
OF_ISSUERS = (Decimal(-1), Decimal(5))


class ScenarioRefused(RiskError):
    """A scenario that cannot be. `code` is one of CODES, `field` says where."""

    def __init__(self, message: str, *, code: str, remedy: str, field: str) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.field = field


def read(wire: Any) -> Scenario:
    """Read `Scenario.plain()` back, or what somebody wrote by hand. Raises ScenarioRefused.

    `code` and `title` are required; what is not named does not move. Ratios are text, or whole numbers: no float.
    """
    if not isinstance(wire, Mapping):
        raise ScenarioRefused(
            "A scenario is an object.", code="scenario_shape", remedy="Send an object with its fields.", field=""
        )
    known = {item.name for item in fields(Scenario)}
    for name in wire:
        if name not in known:
            raise ScenarioRefused(
                f"A scenario has no field {str(name)[:40]!r}.",
                code="scenario_unknown_field",
                remedy=f"Use {', '.join(sorted(known - {'basis'}))}.",
                field=str(name)[:40],
            )
    each = wire.get("each_company")
    scenario = Scenario(
        code=_matching(wire.get("code")),
        title=_title(wire.get("title")),
        basis=Basis.OWN,
        days=_days(wire.get("days", 0)),
        issuers=_issuers(wire.get("issuers", {})),
        each_company=None if each is None else _number(each, "each_company", OF_ISSUERS),
        **{name: _number(wire.get(name, "0"), name, span) for name, span in RANGES.items()},
    )
    moves = (scenario.each_company, *(getattr(scenario, name) for name in RANGES))
    if not any(moves) and not scenario.days and not any(scenario.issuers.values()):
        raise ScenarioRefused(
            "A scenario in which nothing moves tells nothing.",
            code="scenario_empty",
            remedy="Move at least one of them, or let days pass.",
            field="",
        )
    return scenario


def _matching(value: Any) -> str:
    if not isinstance(value, str) or not CODE.fullmatch(value):
        raise ScenarioRefused(
            "The code of a scenario is up to 40 small letters, digits and underscores, a letter first.",
            code="scenario_code",
            remedy="Choose another code, such as my_crash.",
            field="code",
        )
    if value in TAKEN:
        raise ScenarioRefused(
            f"{value} is a scenario that is there already.",
            code="scenario_code_taken",
            remedy=f"Choose another code, such as my_{value}.",
            field="code",
        )
    return value


def _title(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= LONGEST_TITLE:
        raise ScenarioRefused(
            f"The title of a scenario is 1 to {LONGEST_TITLE} printable characters.",
            code="scenario_title",
            remedy="Write a shorter title, on one line.",
            field="title",
        )
    return value.strip()


def _days(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_DAYS:
        raise ScenarioRefused(
            f"The days that pass are a whole number from 0 to {MOST_DAYS}.",
            code="scenario_range",
            remedy="Choose a number of calendar days within it.",
            field="days",
        )
    return value


def _issuers(value: Any) -> dict[str, Decimal]:
    if (
        not isinstance(value, Mapping)
        or len(value) > MOST_ISSUERS
        or not all(isinstance(issuer, str) and 0 < len(issuer) <= LONGEST_ISSUER for issuer in value)
    ):
        raise ScenarioRefused(
            f"`issuers` is an object of at most {MOST_ISSUERS} ISINs or underlyings with the move of each.",
            code="scenario_issuers",
            remedy="Name each issuer by its ISIN, and give its move as a ratio.",
            field="issuers",
        )
    return {issuer: _number(move, f"issuers.{issuer}", OF_ISSUERS) for issuer, move in value.items()}


def _number(value: Any, name: str, span: tuple[Decimal, Decimal]) -> Decimal:
    """A ratio, as text (exact) or a whole number."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or len(str(value)) > LONGEST_NUMBER:
            raise InvalidOperation
        number = Decimal(value)
        if not number.is_finite():
            raise InvalidOperation
    except (InvalidOperation, ValueError):
        raise ScenarioRefused(
            f"{name} is no number.",
            code="scenario_number",
            remedy='Write a ratio as text: "-0.1" is ten percent down.',
            field=name,
        ) from None
    if not span[0] <= number <= span[1]:
        raise ScenarioRefused(
            f"{name} is {number}: outside of {span[0]} to {span[1]}.",
            code="scenario_range",
            remedy='Write a ratio, not a percentage: "-0.1" is ten percent down.',
            field=name,
        )
    return number
