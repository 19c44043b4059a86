"""What is wanted, and everything that a decision about it is made from. Pure words, no I/O.

A decision is made from these alone, and both are stored with it, so that it can be made again. Unknown is None: it
excludes a broker, or is said as a warning, and is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from brokers.clearance import Answer
from brokers.domain import (
    SEGMENT_OF,
    ZERO,
    Exchange,
    InstrumentKind,
    OptionType,
    OrderType,
    Product,
    Segment,
    Side,
    Validity,
)
from orders.risk_words import OpenOrder, RiskFacts
from orders.routing import TaxLot

# The two houses at which one share, by its ISIN, is the same thing.
SHARES_AT = frozenset({Exchange.NSE, Exchange.BSE})
# Of so long ago `Facts.recent` names what is reckoned with: clocks of two processes differ by less.
RECENT = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order as it was asked for. Units and INR.

    It may go to `exchanges` and `connection_ids` alone; none of these: to any. `reduces`: it closes what stands at its
    broker, and may go nowhere else. `avoids`: connections at which it was tried, and which it leaves.
    """

    instrument_id: int
    side: Side
    order_type: OrderType
    product: Product
    quantity: Decimal
    validity: Validity = Validity.DAY
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    exchanges: tuple[Exchange, ...] = ()
    connection_ids: tuple[str, ...] = ()
    valid_until: datetime | None = None
    reduces: bool = False
    avoids: tuple[str, ...] = ()

    @property
    def limit(self) -> Decimal | None:
        """The worst price it may have by its own words; None: any."""
        return self.price if self.order_type in (OrderType.LIMIT, OrderType.SL) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradable:
    """The instrument at one exchange, as our own table has it. `asset` and `bse_group`: see `charges.Deal`."""

    instrument_id: int
    exchange: Exchange
    exchange_token: str | None
    tradingsymbol: str
    kind: InstrumentKind
    isin: str | None = None
    underlying: str = ""
    expiry: date | None = None
    strike: Decimal | None = None
    option_type: OptionType | None = None
    lot_size: Decimal | None = None
    tick_size: Decimal | None = None
    freeze_quantity: Decimal | None = None
    series: str = ""
    cas_eligible: bool | None = None
    banned: bool | None = None
    ended: bool = False
    asset: str = "EQUITY"
    bse_group: str = "A"
    last_seen_on: date | None = None

    @property
    def segment(self) -> Segment:
        return SEGMENT_OF[self.exchange]

    @property
    def lot(self) -> Decimal | None:
        """Units in a lot; shares trade by the piece where nothing else is said."""
        if self.lot_size is None and self.segment is Segment.EQUITY:
            return Decimal(1)
        return self.lot_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The last price at one exchange, and when it was told. `by`: the broker that told it.

    `close_price`: the previous day's; None where nobody told it.
    """

    last_price: Decimal
    as_of: datetime
    by: str
    close_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The phase of one exchange's day (`market.calendar.Phase`) for this instrument; None: not known."""

    phase: str | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Something for a person: `code` is stable, the two texts are whole sentences."""

    code: str
    words: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What one broker calls it at one exchange, and its own word on lot, tick and freeze.

    `multiplier`: the units in one of what it counts; None where it counts lots, and nobody knows of how many.
    """

    broker_token: str
    tradingsymbol: str
    multiplier: Decimal | None = Decimal(1)
    lot_size: Decimal | None = None
    tick_size: Decimal | None = None
    freeze_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """An order of the owner's that stands, or may stand, at a broker."""

    connection_id: str
    exchange: Exchange
    side: Side
    price: Decimal | None
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One connection, as far as it matters to this order. INR and units.

    `trade` and `sell` are the clearance's lights with what stops them. `available` is the broker's word as of
    `as_of`, `reserved` what of it our own orders have taken since. `owned` are settled free shares of this ISIN, `t1`
    those that are not settled yet, `sold` those that open or newer sales take. `positions` is signed, by exchange and
    product (`NSE:MIS`). `possibly_live`: quantity of this same order that may stand here.
    `closing`: of an exit, units that other orders close already. `spent`: by exchange, units that orders of this
    product and side took of the position since it was told, or may take by a GTT.
    `plan_overrides`: see `AccountTerms.overrides`.
    """

    connection_id: str
    broker_type: str
    name: str
    rank: int
    trading_enabled: bool
    trade: Answer
    trade_reasons: tuple[Why, ...] = ()
    sell: Answer = Answer.UNKNOWN
    sell_reasons: tuple[Why, ...] = ()
    segments: Mapping[str, str] = field(default_factory=dict)
    products: tuple[Product, ...] = ()
    order_types: tuple[OrderType, ...] = ()
    exchanges: tuple[Exchange, ...] = tuple(Exchange)
    validities: tuple[Validity, ...] = tuple(Validity)
    answered: bool = False
    as_of: datetime | None = None
    available: Decimal | None = None
    reserved: Decimal = ZERO
    owned: Decimal | None = None
    t1: Decimal = ZERO
    sold: Decimal = ZERO
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    lots: tuple[TaxLot, ...] | None = None
    listed: Mapping[str, Listed] = field(default_factory=dict)
    circuit: str = "closed"
    circuit_since: datetime | None = None
    reject_rate: Decimal | None = None
    latency_ms: int | None = None
    rate_tokens: int | None = None
    max_order_value: Decimal | None = None
    max_order_quantity: Decimal | None = None
    squared_off_at: datetime | None = None
    dp_paid_today: bool = False
    plan_id: str | None = None
    is_woman: bool = False
    plan_overrides: Mapping[str, Any] = field(default_factory=dict)
    possibly_live: Decimal = ZERO
    closing: Decimal = ZERO
    spent: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the owner chose, or the house's own; `approval_known` is False where that could not be read."""

    split_penalty: Decimal = Decimal(5)
    sells_unsettled: bool = False
    minimises_tax: bool = False
    broker_order: tuple[str, ...] = ()
    approval_above: Decimal | None = None
    approval_products: tuple[Product, ...] = ()
    approval_minutes: int = 10
    approval_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything at one moment. `tradables`, `prices` and `markets` are by exchange.

    `risk`: what the checks before an order need besides; None: nobody gathered it, and nothing passes. `recent`: orders
    and GTTs of the last moments that are reckoned with here; any other of then came later (see `overtaken`).
    """

    now: datetime
    tradables: Mapping[str, Tradable]
    prices: Mapping[str, Priced]
    markets: Mapping[str, Market]
    accounts: tuple[Account, ...]
    choices: Choices = Choices()
    resting: tuple[Resting, ...] = ()
    held_quantity: Decimal = ZERO
    risk: RiskFacts | None = None
    recent: tuple[str, ...] = ()

    def after(
        self,
        taken: Mapping[str, Decimal],
        sold: Mapping[str, Decimal],
        orders: tuple[OpenOrder, ...] = (),
        dealt: Decimal = ZERO,
        resting: tuple[Resting, ...] = (),
    ) -> Facts:
        """The same when these orders have gone before: money and shares by connection.

        `dealt`: INR of them in the very same instrument, in which `resting` are those that may stand now.
        """
        accounts = tuple(
            replace(
                account,
                reserved=account.reserved + taken.get(account.connection_id, ZERO),
                sold=account.sold + sold.get(account.connection_id, ZERO),
            )
            for account in self.accounts
        )
        risk = None if self.risk is None else self.risk.after(orders, dealt)
        return replace(self, accounts=accounts, resting=(*self.resting, *resting), risk=risk)


def plain(thing: Any) -> Any:
    """As JSON holds it: numbers as strings, moments in ISO 8601."""
    return msgspec.json.decode(msgspec.json.encode(thing))


def facts_from(stored: Any) -> Facts:
    return msgspec.convert(stored, Facts, strict=False)


def wanted_from(stored: Any) -> Wanted:
    return msgspec.convert(stored, Wanted, strict=False)
