"""The shapes of a risk report: sections that stand or fall each by itself, and what they are judged by. Pure.

Amounts are INR, exact; losses are positive, except in stress, where a result is what the book would have gained. None
is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

from portfolio.risk.beta import BetaWeighted
from portfolio.risk.concentration import Concentration, Counterparty
from portfolio.risk.delivery import Deliveries
from portfolio.risk.equity import Equity
from portfolio.risk.exposure import Exposure
from portfolio.risk.liquidity import PARTICIPATION, Liquidity
from portfolio.risk.margins import DEFAULT_STRESS, Margins, Stress
from portfolio.risk.netting import Opposed
from portfolio.risk.scenarios import Basis, NotTold
from portfolio.risk.stress import CircuitLock, Left, Outage
from portfolio.risk.valuing import BookGreeks
from portfolio.risk.words import Coverage

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a figure is not told. `code` is stable."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Generic[T]):
    """`value` or `refused`, one of them; `coverage` says what either stands on."""

    coverage: Coverage
    value: T | None = None
    refused: Refused | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskTerms:
    """What a report is judged by, beside prices: assumptions, each of which somebody can change.

    `dividends` yields and `durations` (years) by issuer; `bands` daily price bands by issuer; `participation` the part
    of a day's volume that one may be; `cash_settled` commodities whose futures end in cash.
    """

    stress: Stress = DEFAULT_STRESS
    participation: Decimal = PARTICIPATION
    dividends: Mapping[str, Decimal] = field(default_factory=dict)
    durations: Mapping[str, Decimal] = field(default_factory=dict)
    bands: Mapping[str, Decimal] = field(default_factory=dict)
    cash_settled: tuple[str, ...] = ()


# --- worth ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What the book is worth, and what today did. `day_pnl` None: not wholly known."""

    equity: Equity
    day_pnl: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentrations:
    issuers: Concentration
    sectors: Concentration
    brokers: Concentration
    counterparties: tuple[Counterparty, ...]


# --- losses -----------------------------------------------------------------------------------------------------------
class Method(StrEnum):
    HISTORICAL = "HISTORICAL"
    FILTERED = "FILTERED"
    PARAMETRIC = "PARAMETRIC"
    EWMA = "EWMA"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossFigure:
    """One day's loss by one method. `var_pct` and `es_pct` are of equity. Refused: there is neither."""

    method: Method
    confidence_pct: Decimal
    var: Decimal | None = None
    es: Decimal | None = None
    var_pct: Decimal | None = None
    es_pct: Decimal | None = None
    refused: Refused | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """What one factor adds to parametric VaR at 99 %. `marginal`: VaR that one more rupee of it adds; `component`s sum
    to the VaR, to the paisa."""

    factor: str
    name: str
    exposure: Decimal
    marginal: Decimal | None
    component: Decimal
    part_pct: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadDay:
    day: date
    loss: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StoodFor:
    """A factor whose past is another's, times `beta`."""

    factor: str
    name: str
    by: str
    beta: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """VaR and ES of today's book over one day. `days` of history from `first_day` to `last_day`; `is_thin`: below 250.

    `unmodelled` factors have no past and nobody's in its place: what they hold is in no figure here.
    """

    figures: tuple[LossFigure, ...]
    components: tuple[Component, ...]
    worst_days: tuple[BadDay, ...]
    days: int
    first_day: date | None
    last_day: date | None
    is_thin: bool
    proxied: tuple[StoodFor, ...]
    unmodelled: tuple[str, ...]

    def figure(self, method: Method, confidence_pct: Decimal) -> LossFigure:
        return next(each for each in self.figures if (each.method, each.confidence_pct) == (method, confidence_pct))


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    statistic: Decimal
    p_value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """Historical VaR of today's book held against the days that came after: `window` days make each day's VaR.

    `exceptions` are the days that lost more; `expected` how many there should have been.
    """

    confidence_pct: Decimal
    window: int
    days: int
    exceptions: tuple[BadDay, ...]
    count: int
    expected: Decimal
    zone: str
    coverage_test: Likelihood
    independence_test: Likelihood
    conditional_test: Likelihood


# --- stress -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    key: str
    name: str
    pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Stressed:
    """One scenario. `pnl_pct` is of equity; `worst` are the issuers that lose most in it.

    `unmatched`: issuers that it names, and of which the book has nothing.
    """

    code: str
    title: str
    basis: Basis
    pnl: Decimal | None
    pnl_pct: Decimal | None
    by_broker: tuple[Hit, ...]
    worst: tuple[Hit, ...]
    worst_company: str | None
    unmatched: tuple[str, ...]
    left_out: Left


@dataclass(frozen=True, slots=True, kw_only=True)
class StressTable:
    """`untold` are remembered days of which there is neither a price here nor a published move."""

    scenarios: tuple[Stressed, ...]
    untold: tuple[NotTold, ...]
    outages: tuple[Outage, ...]
    locks: tuple[CircuitLock, ...]


# --- the record -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class DayWorth:
    """One day's end (`portfolio.risk_models.EquityDay`)."""

    day: date
    equity: Decimal | None
    cash_flow: Decimal
    day_pnl: Decimal | None
    unexplained: Decimal | None
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The worth of one unit on one day, 1 at the beginning, and how far it is below its peak (percent, at most 0)."""

    day: date
    value: Decimal
    drawdown_pct: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How the money did over the days that are wholly known. Percent, positive: drawdowns of so much below the peak.

    `gaps`: days left out because not all of them was known. `money_weighted_pct` is the yearly rate by the owner's own
    cash flows. None: not known yet.
    """

    days: int
    first_day: date
    last_day: date
    gaps: int
    drawdown_pct: Decimal
    worst_drawdown_pct: Decimal
    drawdown_since: date | None
    longest_drawdown_days: int
    annual_return_pct: Decimal | None
    daily_volatility_pct: Decimal | None
    annual_volatility_pct: Decimal | None
    sharpe: Decimal | None
    sortino: Decimal | None
    calmar: Decimal | None
    money_weighted_pct: Decimal | None
    units: tuple[Unit, ...]


# --- the whole --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`as_of` is the oldest part's, `computed_at` when this was made. Sections are independent of one another."""

    computed_at: datetime
    as_of: datetime | None
    coverage: Coverage
    worth: Section[Worth]
    exposure: Section[Exposure]
    concentration: Section[Concentrations]
    margins: Section[Margins]
    netting: Section[tuple[Opposed, ...]]
    beta: Section[BetaWeighted]
    losses: Section[Losses]
    greeks: Section[BookGreeks]
    stress: Section[StressTable]
    liquidity: Section[Liquidity]
    expiries: Section[Deliveries]
    record: Section[Record]
    # What went wrong in a way that nobody foresaw, by section; for whoever can log it, and in no answer.
    failures: tuple[tuple[str, Exception], ...] = ()


SECTIONS: tuple[str, ...] = (
    "worth", "exposure", "concentration", "margins", "netting", "beta",
    "losses", "greeks", "stress", "liquidity", "expiries", "record",
)  # fmt: skip
