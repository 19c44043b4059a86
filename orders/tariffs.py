"""What is taken from a deal, by rate and by plan, as dated rows say. Pure; read from the plain form of charges.json.

A statutory row says what fraction of its basis is taken; a plan, what a broker takes for an order. No rate stands in
the code. Amounts are INR, rates are fractions, both exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from brokers.domain import ZERO
from portfolio.sums import EXACT

ANY = "*"
ANY_STOCK = "*STOCK"
SEGMENTS = tuple(
    f"{family}_{kind}"
    for family, kinds in {
        "equity": ("delivery", "intraday", "futures", "options"),
        "currency": ("futures", "options"),
        "commodity": ("futures", "options"),
    }.items()
    for kind in kinds
)
# What is beyond these was mistyped.
LARGEST, FINEST = Decimal(10) ** 9, -12
UNDERLYING = re.compile(r"[A-Z0-9&-]{1,40}")
# A row or plan that is missing here is an error, not a charge of zero: every house takes these, even if at a rate of 0.
NEVER_ABSENT = frozenset({"exchange_txn", "sebi_fee", "gst"})


class ChargeError(ValueError):
    """What a deal costs cannot be said: the data lack a row, or have two. `code` is stable."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class BrokerageKind(StrEnum):
    FLAT = "flat"
    PERCENT = "percent"
    PERCENT_CAPPED = "percent_capped"
    PER_LOT = "per_lot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brokerage:
    """What a broker takes for one executed order in one segment. `per_lot` holds the amounts of single underlyings."""

    kind: BrokerageKind
    amount: Decimal = ZERO
    rate: Decimal = ZERO
    cap: Decimal | None = None
    floor: Decimal | None = None
    per_lot: tuple[tuple[str, Decimal], ...] = ()

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Brokerage:
        kind = one_of_kinds(plain)
        named = plain.get("by_underlying") or {}
        if not all(UNDERLYING.fullmatch(name) for name in named):
            raise ChargeError("An underlying has a name in capitals.", code="rates_broken")
        return cls(
            kind=kind,
            amount=exact_number(plain, "amount") if kind in (BrokerageKind.FLAT, BrokerageKind.PER_LOT) else ZERO,
            rate=exact_number(plain, "rate") if "percent" in kind else ZERO,
            cap=exact_number(plain, "cap") if kind is BrokerageKind.PERCENT_CAPPED else None,
            floor=exact_number(plain, "floor") if plain.get("floor") is not None else None,
            per_lot=tuple((name, exact_number(named, name)) for name in sorted(named)),
        )

    def plain(self) -> dict[str, Any]:
        """The rule as in charges.json."""
        told: dict[str, Any] = {"type": self.kind.value}
        if "percent" in self.kind:
            told["rate"] = f"{self.rate:f}"
        else:
            told["amount"] = f"{self.amount:f}"
        told |= {name: f"{value:f}" for name, value in (("cap", self.cap), ("floor", self.floor)) if value is not None}
        return told | ({"by_underlying": {name: f"{value:f}" for name, value in self.per_lot}} if self.per_lot else {})

    def of(self, turnover: Decimal, lots: Decimal | None, underlying: str | None) -> Decimal:
        """INR for one order, before the law's ceiling."""
        match self.kind:
            case BrokerageKind.FLAT:
                taken = self.amount
            case BrokerageKind.PER_LOT:
                if lots is None:
                    raise ChargeError("This plan counts lots, and the deal does not say how many.", code="lots_missing")
                taken = EXACT.multiply(dict(self.per_lot).get(underlying or "", self.amount), lots)
            case _:
                taken = EXACT.multiply(self.rate, turnover)
        if self.cap is not None:
            taken = min(taken, self.cap)
        return taken if self.floor is None else max(taken, self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitCharge:
    """What the depository and the broker take for one ISIN that leaves the demat on one day.

    A debit worth less than `waived_below` pays the depository's own part alone.
    """

    amount: Decimal
    has_gst: bool
    depository_part: Decimal | None = None
    waived_below: Decimal | None = None
    women_less: Decimal = ZERO

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> DebitCharge:
        below = plain.get("waive_broker_part_below_value")
        return cls(
            amount=exact_number(plain, "amount"),
            has_gst=bool(plain.get("gst", True)),
            depository_part=exact_number(plain["split"], "cdsl") if "split" in plain else None,
            waived_below=exact_number(plain, "waive_broker_part_below_value") if below is not None else None,
            women_less=exact_number(plain, "women_less") if "women_less" in plain else ZERO,
        )

    def of(self, value: Decimal, *, is_woman: bool) -> Decimal:
        taken = self.amount
        if self.waived_below is not None and value < self.waived_below and self.depository_part is not None:
            taken = self.depository_part
        return max(ZERO, taken - self.women_less) if is_woman else taken


@dataclass(frozen=True, slots=True)
class Window:
    """From one day to another, both included; no last day: still open."""

    first: date
    last: date | None

    def holds(self, on: date) -> bool:
        return self.first <= on and (self.last is None or on <= self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One broker's plan. What `brokerage` does not name is not offered, or not known: never free.

    `funded`: the brokerage of deals on the broker's money; None: not known.
    """

    broker: str
    plan_id: str
    window: Window
    brokerage: Mapping[str, Brokerage]
    clearing: Mapping[str, Decimal]
    funded: Brokerage | None
    debit: DebitCharge | None
    ceiling: Mapping[str, Decimal]
    is_default: bool
    plain: Mapping[str, Any]

    @classmethod
    def from_plain(cls, broker: str, plain: Mapping[str, Any]) -> Plan:
        return cls(
            broker=broker,
            plan_id=plain["plan_id"],
            window=window(plain),
            brokerage={segment: Brokerage.from_plain(rule) for segment, rule in plain["brokerage"].items()},
            clearing={segment: exact_number(row, "rate") for segment, row in plain.get("clearing", {}).items()},
            funded=Brokerage.from_plain(plain["mtf"]["brokerage"]) if "brokerage" in plain.get("mtf", {}) else None,
            debit=DebitCharge.from_plain(plain["dp_sell"]) if plain.get("dp_sell") else None,
            ceiling={name: exact_number(plain["regulatory_ceiling"], name) for name in plain["regulatory_ceiling"]},
            is_default=bool(plain.get("is_default")),
            plain=plain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatutoryRow:
    """One dated rate. A filter that is None lets everything through."""

    component: str
    segment: str
    exchange: str
    side: str
    rate: Decimal
    window: Window
    assets: frozenset[str] | None
    bse_groups: frozenset[str] | None
    underlyings: frozenset[str] | None
    of: frozenset[str]
    plain: Mapping[str, Any]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> StatutoryRow:
        return cls(
            component=plain["component"],
            segment=plain["segment"],
            exchange=plain["exchange"],
            side=plain["side"],
            rate=exact_number(plain, "rate"),
            window=window(plain),
            assets=_filter(plain, "applies_to"),
            bse_groups=_filter(plain, "bse_groups"),
            underlyings=_filter(plain, "underlyings"),
            of=frozenset(plain.get("of") or ()),
            plain=plain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What statutory rows are looked up by. `exchange` is the house (NSE, BSE, MCX); `side` is buy or sell."""

    segment: str
    exchange: str
    side: str
    on: date
    asset: str
    bse_group: str
    underlying: str | None


class Rates:
    """Every rate and every plan, from the plain form of charges.json. Looks up; never changes.

    `version` names the rows that it was made from. Raises ChargeError, naming the row, for a document that is broken.
    """

    def __init__(self, document: Mapping[str, Any], *, version: str | None = None) -> None:
        self.version = version or str(document.get("as_of", ""))
        self._rows: dict[tuple[str, str], list[StatutoryRow]] = {}
        self._plans: dict[str, list[Plan]] = {}
        for number, plain in enumerate(document["statutory"]):
            row = _read(StatutoryRow.from_plain, plain, f"statutory row {number}")
            self._rows.setdefault((row.component, row.segment), []).append(row)
        for broker, listed in document["brokers"].items():
            plans = [
                _read(lambda plain, name=broker: Plan.from_plain(name, plain), plan, f"plan {number} of {broker}")
                for number, plan in enumerate(listed["plans"])
            ]
            self._plans[broker] = sorted(plans, key=lambda plan: not plan.is_default)

    def plans(self, broker: str, on: date) -> tuple[Plan, ...]:
        """Every plan of a broker that stands on that day, the usual one first."""
        return tuple(plan for plan in self._plans.get(broker, ()) if plan.window.holds(on))

    def plan(self, broker: str, plan_id: str | None, on: date) -> Plan:
        """The plan of that name, or the broker's usual one, as it stood on that day. Raises ChargeError."""
        standing = [plan for plan in self.plans(broker, on) if plan_id in (None, plan.plan_id)]
        if not standing:
            name = "a plan" if plan_id is None else f"the plan {plan_id}"
            raise ChargeError(f"The rates do not know {name} of {broker} on {on}.", code="plan_missing")
        if plan_id is not None and len(standing) > 1:
            raise ChargeError(f"The plan {plan_id} of {broker} is there twice on {on}.", code="plan_ambiguous")
        return standing[0]

    def row(self, component: str, asked: Asked) -> StatutoryRow | None:
        """The one row that holds; None: nothing is taken.

        Raises ChargeError where two rows match, where the data begin only later, and where a row asks for a fact that
        the deal does not tell or the data do not know.
        """
        rows = [
            row
            for segment in (asked.segment, ANY)
            for row in self._rows.get((component, segment), ())
            if row.exchange in (ANY, asked.exchange)
        ]
        rows = [row for row in rows if row.side in ("both", asked.side) and _passes(row, rows, asked)]
        standing = [row for row in rows if row.window.holds(asked.on)]
        if len(standing) > 1:
            raise ChargeError(f"Two rates of {component} hold for {_words(asked)}.", code="rate_ambiguous")
        begins_later = rows and all(row.window.first > asked.on for row in rows)
        if not standing and (begins_later or component in NEVER_ABSENT):
            raise ChargeError(f"No rate of {component} is known for {_words(asked)}.", code="rate_missing")
        return standing[0] if standing else None

    def excerpt(self, brokers: Iterable[str], segment: str, on: date) -> dict[str, Any]:
        """The rows that deals in one segment on one day are reckoned by, in plain form: enough to make them again.

        Rows that begin only later are among them: that they are all there is must stay an error.
        """
        return {
            "as_of": self.version,
            "statutory": [
                row.plain
                for (_, of_segment), rows in self._rows.items()
                if of_segment in (ANY, segment)
                for row in rows
                if row.window.last is None or on <= row.window.last
            ],
            "brokers": {
                broker: {"plans": [plan.plain for plan in self._plans.get(broker, ()) if plan.window.holds(on)]}
                for broker in brokers
            },
        }


def exact_number(plain: Mapping[str, Any], name: str) -> Decimal:
    """A number from 0 to a milliard that was written as text, or a whole one. A float is not what was written."""
    value = plain[name]
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ChargeError(f"{name} is no exact number: write it as text.", code="rates_broken")
    number = Decimal(value)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= number <= LARGEST or exponent < FINEST:
        raise ChargeError(f"{name} is no number that can be charged.", code="rates_broken")
    return number


def one_of_kinds(plain: Mapping[str, Any]) -> BrokerageKind:
    try:
        return BrokerageKind(plain["type"])
    except ValueError:
        raise ChargeError(f"There is no brokerage of type {plain['type']}.", code="rates_broken") from None


def window(plain: Mapping[str, Any]) -> Window:
    last = plain.get("effective_to")
    return Window(_day(plain["effective_from"]), None if last is None else _day(last))


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _filter(plain: Mapping[str, Any], name: str) -> frozenset[str] | None:
    named = plain.get(name)
    return frozenset(named) if named else None


def _passes(row: StatutoryRow, rows: list[StatutoryRow], asked: Asked) -> bool:
    return (
        (row.assets is None or _named("asset class", asked.asset, row.assets, [r.assets for r in rows]))
        and (
            row.bse_groups is None or _named("BSE group", asked.bse_group, row.bse_groups, [r.bse_groups for r in rows])
        )
        and (row.underlyings is None or _of_underlying(asked, row.underlyings, rows))
    )


def _named(what: str, name: str, wanted: frozenset[str], known: Iterable[frozenset[str] | None]) -> bool:
    """Whether a row is for `name`. One that no row knows would go untaxed by a mistake in writing: an error."""
    if not any(name in names for names in known if names is not None):
        raise ChargeError(f"The rates know no {what} {name}.", code="rate_missing")
    return name in wanted


def _of_underlying(asked: Asked, wanted: frozenset[str], rows: list[StatutoryRow]) -> bool:
    """By its name, or as one of the stocks that no row names."""
    if asked.underlying is None:
        raise ChargeError("This charge depends on the underlying, and the deal does not name it.", code="fact_missing")
    named = any(asked.underlying in row.underlyings for row in rows if row.underlyings is not None)
    return asked.underlying in wanted or (ANY_STOCK in wanted and not named)


def _words(asked: Asked) -> str:
    return f"a {asked.side} in {asked.segment} at {asked.exchange} on {asked.on}"


def _read(reader: Any, plain: Any, place: str) -> Any:
    try:
        return reader(plain)
    except ChargeError as error:
        raise ChargeError(f"{place}: {error}", code="rates_broken") from None
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ChargeError(f"{place} cannot be read: {type(error).__name__} {error}.", code="rates_broken") from None
