"""The words between a dialect and the simulated exchange: what a client asks for, and what becomes of it.

Every simulated broker has a desk, `Sandbox.desk`, over the one exchange that all of them share. A dialect turns its
wire into a `NewOrder`, the desk keeps the account (funds, shares, positions of the `Book`) and answers `DeskOrder`s in
the words of `brokers.domain`; the dialect turns those into its rows.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from brokers.domain import OrderStatus, OrderType, Product, Side, Validity


class Refusal(StrEnum):
    """Why a desk does not take an order, a change or a cancellation; each dialect has its own words for it."""

    UNKNOWN_INSTRUMENT = "unknown_instrument"
    BAD_QUANTITY = "bad_quantity"  # none, no whole lot, or above the freeze quantity
    BAD_PRICE = "bad_price"  # off the tick, outside the day's band, or missing
    UNPROTECTED = "unprotected"  # a bare MARKET or SL_M order
    NOT_OFFERED = "not_offered"  # product, order type or validity (IOC on MCX)
    UNREGISTERED_ADDRESS = "unregistered_address"
    NO_SUCH_ORDER = "no_such_order"
    TOO_LATE = "too_late"  # it has ended, or has been changed too often
    MARKET_CLOSED = "market_closed"


class Refused(Exception):
    """The desk says no, at once. (What its risk system says later stands in the order's row.)"""

    def __init__(self, why: Refusal, words: str) -> None:
        super().__init__(words)
        self.why = why
        self.words = words


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `key` is as in `NSE:INFY`; quantities are units, or lots on MCX, as in a book."""

    key: str
    side: Side
    order_type: OrderType
    product: Product
    validity: Validity
    quantity: int
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    disclosed_quantity: int = 0
    is_protected: bool = False
    tag: str | None = None


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of one side."""

    trade_id: str
    quantity: int
    price: Decimal
    at: datetime


class DeskOrder(msgspec.Struct, kw_only=True):
    """An order at one desk. `number` counts its changes: what streams and postbacks tell is told once for each.

    In what `Desk.changes` returns, `number` is the place among all that the desk tells.
    """

    order_id: str
    exchange_order_id: str | None
    asked: NewOrder
    status: OrderStatus
    message: str
    filled: int
    average_price: Decimal | None
    deals: list[Deal]
    placed_at: datetime
    updated_at: datetime
    number: int

    @property
    def remaining(self) -> int:
        return self.asked.quantity - self.filled
