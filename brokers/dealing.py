"""The words of dealing: what is asked of a broker, and how it stands there afterwards.

Beside `domain.py`, which says what an account holds. Quantities are units, money is INR, both exact; a client turns
units into what its broker counts (`Traded.counted`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from brokers.domain import (
    SEGMENT_OF,
    Contract,
    Exchange,
    InstrumentKind,
    Listing,
    OrderType,
    Product,
    Segment,
    Side,
    Validity,
)
from brokers.errors import NotSupported

# What stands in every broker's field for it, and means nothing: 8 to 19 letters and digits. See `orders.tags`.
SHORTEST_TAG, LONGEST_TAG = 8, 19
# What takes any price unless it is bounded: none of these may reach an exchange bare.
UNBOUNDED = frozenset({OrderType.MARKET, OrderType.SL_M})

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What is dealt in, by the names of the broker that is asked.

    `multiplier`: the units in one of what this broker counts; 1 where it counts units. `lot_size` is in units.
    """

    listing: Listing
    kind: InstrumentKind
    exchange_token: str | None = None
    contract: Contract | None = None
    lot_size: Decimal = Decimal(1)
    tick_size: Decimal | None = None
    multiplier: Decimal = Decimal(1)

    @property
    def exchange(self) -> Exchange:
        return self.listing.exchange

    @property
    def segment(self) -> Segment:
        return SEGMENT_OF[self.exchange]

    def counted(self, quantity: Decimal) -> int:
        """Units as this broker counts them. Raises NotSupported where that is no whole number."""
        count = quantity / self.multiplier
        if count != count.to_integral_value():
            raise NotSupported(f"{quantity} is no whole number of lots of {self.multiplier}.", code="odd_quantity")
        return int(count)

    def units(self, count: Decimal) -> Decimal:
        """What this broker counts, in units: the rows of a book that counts lots say lots."""
        return count * self.multiplier


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """One order for one broker, as it is sent once. Units and INR.

    `price` is there for LIMIT and SL, `trigger_price` for SL and SL_M. `protection_pct` bounds a MARKET or SL_M order
    around the last price, which none may be sent without; None: the broker's own automatic bounds, where it has some.
    `algo_id` is the exchange's, for a registered strategy alone.
    """

    traded: Traded
    side: Side
    order_type: OrderType
    product: Product
    validity: Validity
    quantity: Decimal
    tag: str
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    disclosed_quantity: Decimal | None = None
    protection_pct: Decimal | None = None
    algo_id: str | None = None

    @property
    def count(self) -> int:
        """The quantity as this broker counts it. Raises NotSupported."""
        return self.traded.counted(self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """How an order is to stand from now on, whole: brokers differ in what they take for unchanged.

    `quantity` is the new total in units, what is filled included.
    """

    order_type: OrderType
    validity: Validity
    quantity: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    disclosed_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingOrder:
    """An order at its broker: what was asked, as changed since, and the broker's id for it."""

    broker_order_id: str
    request: OrderRequest
    filled_quantity: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMargin:
    """What a broker itself says that an order needs, INR. `charges`: its own estimate of all costs, where it tells."""

    required: Decimal
    charges: Decimal | None = None
    available: Decimal | None = None


class GttKind(StrEnum):
    SINGLE = "SINGLE"
    OCO = "OCO"  # two triggers, of which one cancels the other


class GttStatus(StrEnum):
    SENDING = "SENDING"
    ACTIVE = "ACTIVE"
    TRIGGERED = "TRIGGERED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    NOT_PLACED = "NOT_PLACED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class GttLeg:
    """At `trigger_price` a limit order over `quantity` at `price` is placed by the broker."""

    trigger_price: Decimal
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class GttRequest:
    """An order that waits at the broker for a price (good till triggered). SINGLE has one leg, OCO two, lower first.

    `tag` is our own label on it, for brokers that take one.
    """

    traded: Traded
    kind: GttKind
    side: Side
    product: Product
    legs: tuple[GttLeg, ...]
    last_price: Decimal
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerGtt:
    """A GTT as its broker's list shows it. Quantities are as the broker counts them."""

    broker_gtt_id: str
    exchange: Exchange
    tradingsymbol: str
    broker_token: str
    kind: GttKind
    side: Side
    product: Product
    legs: tuple[GttLeg, ...]
    status: GttStatus
    created_at: datetime | None


def reversed_table(table: Mapping[Theirs, Ours]) -> dict[Ours, Theirs]:
    """A spec's table of the broker's words, for the way out: of several words for one of ours the first."""
    return {ours: theirs for theirs, ours in reversed(list(table.items()))}


def sent_as(words: Mapping[Any, Theirs], ours: Any, what: str) -> Theirs:
    """The broker's word for one of ours. Raises NotSupported, so that nothing is sent."""
    if ours not in words:
        raise NotSupported(f"This {what} is not offered by the broker.", code=f"{what}_not_offered")
    return words[ours]


def validity_sent_as(words: Mapping[Validity, Theirs], traded: Traded, validity: Validity) -> Theirs:
    """The same for a validity, with what no broker's API may send. Raises NotSupported."""
    if traded.exchange is Exchange.MCX and validity is Validity.IOC:
        raise NotSupported("An IOC order may not be sent to MCX by API.", code="ioc_not_on_mcx")
    return sent_as(words, validity, "validity")


def written(amount: Decimal | None) -> int | Decimal:
    """A price as it is sent, without needless zeros; 0 where there is none."""
    if amount is None:
        return 0
    return int(amount) if amount == amount.to_integral_value() else amount.normalize()


def changed_count(standing: StandingOrder, change: OrderChange) -> int | None:
    """The new quantity as the broker counts it; None where it stays, for brokers that can be told the rest alone.

    They do not say whether they take it for the total or for what is left. As long as nothing is filled these are the
    same; after that the quantity is not changed. Raises NotSupported.
    """
    if change.quantity == standing.request.quantity:
        return None
    if standing.filled_quantity:
        raise NotSupported(
            "The broker does not say how the quantity of a partly filled order is changed.",
            code="partly_filled",
            user_action="Cancel the rest of the order, then place it anew.",
        )
    return standing.request.traded.counted(change.quantity)
