"""What is to be routed, and all that the choice depends on: one plain value, which can be stored and solved again.

Quantities are units, money is INR, both exact. None means unknown or, where a field says so, no limit. The plain form
is JSON whose numbers are text; it is also the format of the worked examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from brokers.domain import ZERO, Exchange, Product, Side

DELIVERY = "equity_delivery"
# What the plain form calls our fields.
ORDER_NAMES = {"prices": "price", "on": "date", "freeze_quantities": "freeze_qty"}
POLICY_NAMES = {"latency_cost_bps_per_second": "latency_cost_bps_per_s"}


class BadProblem(ValueError):
    """A problem that cannot be read, or contradicts itself. `code` is stable."""

    code = "bad_routing_problem"


class Circuit(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted. `exchanges` in the order of preference, which decides between equal ones.

    `prices`: what is expected per unit and exchange, after protection. `segment` is a word of the charges' table.
    `margin_rate` is the margin as a fraction of the value; None: all of it. `is_exit`: it closes a position, which
    needs no margin and can happen only where the position is. `freeze_quantities`: the largest single order.
    """

    side: Side
    segment: str
    quantity: Decimal
    exchanges: tuple[Exchange, ...]
    prices: Mapping[Exchange, Decimal]
    on: date
    lot_size: Decimal = Decimal(1)
    freeze_quantities: Mapping[Exchange, Decimal] = field(default_factory=dict)
    multiplier: Decimal = Decimal(1)
    margin_rate: Decimal | None = None
    asset: str = "EQUITY"
    bse_group: str = "A"
    underlying: str | None = None
    product: Product | None = None
    is_exit: bool = False

    @property
    def is_delivery_sale(self) -> bool:
        return self.segment == DELIVERY and self.side is Side.SELL


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxLot:
    """So many units in a demat, bought at `cost` each; a sale takes the oldest first. `term` is short or long.

    None as cost: not known. It is then reckoned at its worst: as if all of the price were a short-term gain.
    """

    quantity: Decimal
    cost: Decimal | None
    term: str = "short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Why a broker is out for a reason that the router does not know of: trading off, an address not registered."""

    code: str
    words: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One account. `id` is unique here; `slug` is the broker's (None: the id is).

    `available` is cash or margin, `reserved` what other orders will take of it. `sellable`: settled units that are
    neither pledged nor offered already, or, for an exit, units of the position; `unsettled`: delivered tomorrow.
    `exposure_left`, `max_order_value`, `rate_tokens`, `exchanges`, `products` None: no limit. `debit_authorised` None:
    the broker does not say. `reject_rate` and `latency_ms` None: not measured, and not held against it. `own_brokerage`
    is in the charges' plain form.
    """

    id: str
    segments: tuple[str, ...]
    slug: str | None = None
    name: str | None = None
    circuit: Circuit = Circuit.CLOSED
    circuit_since: str | None = None
    session: str = "valid"
    barred: Bar | None = None
    exchanges: tuple[Exchange, ...] | None = None
    products: tuple[Product, ...] | None = None
    available: Decimal | None = None
    reserved: Decimal = ZERO
    sellable: Decimal | None = None
    unsettled: Decimal = ZERO
    debit_authorised: bool | None = True
    lots: tuple[TaxLot, ...] | None = None
    rate_tokens: int | None = None
    exposure_left: Decimal | None = None
    max_order_value: Decimal | None = None
    reject_rate: Decimal | None = None
    latency_ms: Decimal | None = None
    dp_paid_today: bool = False
    plan_id: str | None = None
    is_woman: bool = False
    own_brokerage: Mapping[str, str] | None = None
    own_debit: Decimal | None = None

    @property
    def words(self) -> str:
        return self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """Rates on gains, and how much long-term gain is still exempt this year."""

    stcg: Decimal
    ltcg: Decimal
    ltcg_exemption_left: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner chose. `split_penalty`: what each broker beyond the first costs in attention, INR.

    `probe_value`: what the one order to a broker that is being tried again may be worth; None: none goes there.
    `sells_unsettled`: shares bought yesterday may be sold. `tax` None: it is not considered.
    """

    split_penalty: Decimal = Decimal(5)
    fail_cost_bps: Decimal = Decimal(10)
    latency_cost_bps_per_second: Decimal = Decimal(1)
    max_children: int = 10
    probe_value: Decimal | None = None
    sells_unsettled: bool = False
    tax: Tax | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PossiblyLive:
    """A child of this very intent of which nobody knows whether it is at the broker."""

    broker: str
    quantity: Decimal
    client_order_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`brokers` in the order that their owner prefers. `rates`: the rows that it is reckoned by, in plain form.

    A problem that was solved carries its rates, so that it is solved the same when those in force have changed.
    """

    order: Order
    brokers: tuple[Broker, ...]
    policy: Policy = Policy()
    possibly_live: tuple[PossiblyLive, ...] = ()
    rates: Mapping[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        rows: dict[str, Any] = msgspec.to_builtins(replace(self, rates=None))
        rows["order"] = _renamed(rows["order"], ORDER_NAMES)
        rows["order"]["side"] = rows["order"]["side"].lower()
        rows["policy"] = _renamed(rows["policy"], POLICY_NAMES)
        return rows | {"rates": self.rates}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Problem:
        """Read the plain form. Raises BadProblem, naming the field."""
        rows = dict(plain)
        try:
            order = _renamed(rows["order"], {name: field for field, name in ORDER_NAMES.items()})
            order["side"] = str(order["side"]).upper()
            freeze = order.get("freeze_quantities") or {}
            if not isinstance(freeze, Mapping):
                order["freeze_quantities"] = dict.fromkeys(order["exchanges"], freeze)
            policy = _renamed(rows.get("policy", {}), {name: field for field, name in POLICY_NAMES.items()})
            problem = msgspec.convert(rows | {"order": order, "policy": policy}, cls)
        except (msgspec.ValidationError, KeyError, TypeError, ArithmeticError) as error:
            raise BadProblem(f"The routing problem cannot be read: {error}.") from None
        problem.check()
        return problem

    def check(self) -> None:
        """Raises BadProblem for what has no answer."""
        order = self.order
        ids = [broker.id for broker in self.brokers]
        missing = [exchange for exchange in order.exchanges if exchange not in order.prices]
        wrong = {
            "order.exchanges: none is named, or one twice": len(set(order.exchanges)) != max(1, len(order.exchanges)),
            f"order.price: missing for {', '.join(missing)}": bool(missing),
            "order.price: not above zero": not all(_positive(price) for price in order.prices.values()),
            "order.lot_size, multiplier: not above zero": not (
                _positive(order.lot_size) and _positive(order.multiplier)
            ),
            "order.quantity: no positive multiple of the lot": not _positive(order.quantity)
            or not _positive(order.lot_size)
            or order.quantity % order.lot_size != 0,
            "brokers: one is there twice": len(set(ids)) != len(ids),
            "policy: a negative number": any(
                number < 0
                for number in (
                    self.policy.split_penalty,
                    self.policy.fail_cost_bps,
                    self.policy.latency_cost_bps_per_second,
                )
            ),
            "policy.max_children: below one": self.policy.max_children < 1,
            "order.margin_rate: negative": order.margin_rate is not None and order.margin_rate < 0,
            "policy.tax: a negative number": self.policy.tax is not None
            and min(self.policy.tax.stcg, self.policy.tax.ltcg, self.policy.tax.ltcg_exemption_left) < 0,
            "possibly_live: a quantity not above zero": not all(_positive(row.quantity) for row in self.possibly_live),
        }
        said = [words for words, is_wrong in wrong.items() if is_wrong]
        if said:
            raise BadProblem(f"The routing problem contradicts itself: {'; '.join(said)}.")


def _positive(number: Decimal) -> bool:
    return number.is_finite() and number > 0


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items()}
