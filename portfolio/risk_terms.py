"""The assumptions of risk, read from their data file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from portfolio.risk.margins import Stress
from portfolio.risk.sections import RiskTerms

DATA = Path(__file__).with_name("data") / "risk_terms.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """`rate` is the yearly risk-free rate, a ratio; `index_future` names the underlying of the future to hedge with."""

    rate: Decimal
    index_future: str
    terms: RiskTerms


@cache
def assumed() -> Assumed:
    told = json.loads(DATA.read_text(encoding="utf-8"))
    return Assumed(
        rate=Decimal(told["rate"]["value"]),
        index_future=told["index_future"],
        terms=RiskTerms(
            stress=Stress(**{name: Decimal(value) for name, value in told["stress"].items()}),
            participation=Decimal(told["participation"]),
            dividends={issuer: Decimal(value) for issuer, value in told["dividends"].items()},
            durations={issuer: Decimal(value) for issuer, value in told["durations"].items()},
            cash_settled=tuple(told["cash_settled"]),
        ),
    )
