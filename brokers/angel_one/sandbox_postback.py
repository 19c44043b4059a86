"""SmartAPI's postback, simulated: the shape of fixtures/angel_one/postback_order.json. Nothing is signed."""

from __future__ import annotations

from decimal import Decimal

from brokers.angel_one.sandbox_wire import order_row
from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.simulation.dealing import DeskOrder, NewOrder
from brokers.simulation.instruments import Instruments
from brokers.simulation.postbacks import Told
from brokers.simulation.wire import Json


def postback(told: Told, instruments: Instruments) -> Json:
    """The row of an order, without its unique and its exchange's id, and whose it is."""
    order = told.order or made_up(told)
    return {**order_row(order, instruments[order.asked.key]), "clientcode": told.account_id}


def made_up(told: Told) -> DeskOrder:
    """One share of SBIN, bought at the market and filled."""
    asked = NewOrder(
        key="NSE:SBIN",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        product=Product.CNC,
        validity=Validity.DAY,
        quantity=1,
    )
    return DeskOrder(
        order_id=told.order_id,
        exchange_order_id="1100000000000001",
        asked=asked,
        status=OrderStatus.FILLED,
        message="",
        filled=1,
        average_price=Decimal(470),
        deals=[],
        placed_at=told.at,
        updated_at=told.at,
        number=1,
    )
