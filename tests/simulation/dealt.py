"""What the tests of two simulated brokers' orders share: orders of listings that trade, and where they are found."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

from brokers.base import BrokerClient
from brokers.dealing import OrderChange, OrderRequest, StandingOrder, Traded
from brokers.domain import BrokerOrder, Exchange, InstrumentKind, Listing, OrderType, Product, Side, Validity
from brokers.simulation.control import Control
from brokers.simulation.instruments import load_instruments

_tags = count(1)


def traded(key: str) -> Traded:
    listing = load_instruments()[key]
    return Traded(
        listing=Listing(
            exchange=Exchange(listing.exchange), tradingsymbol=listing.symbol, broker_token=listing.exchange_token
        ),
        kind=InstrumentKind.EQUITY if listing.is_cash else InstrumentKind.FUTURE,
        lot_size=Decimal(listing.lot_size * listing.contract_multiplier),
        multiplier=Decimal(listing.contract_multiplier),
    )


def last_price(control: Control, key: str) -> Decimal:
    return Decimal(str(control.market()["prices"][key]["last"]))


def order(key: str, price: Decimal | str | None, quantity: int, **changed: Any) -> OrderRequest:
    """A limit order to buy, with a tag of its own and with what is `changed`."""
    asked: dict[str, Any] = {
        "traded": traded(key),
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "product": Product.MIS,
        "validity": Validity.DAY,
        "quantity": Decimal(quantity),
        "price": None if price is None else Decimal(price),
        "tag": f"t{next(_tags):018}",
    }
    return OrderRequest(**(asked | changed))


def changed_to(request: OrderRequest, **changed: Any) -> OrderChange:
    names = ("order_type", "validity", "quantity", "price", "trigger_price", "disclosed_quantity")
    return OrderChange(**({name: getattr(request, name) for name in names} | changed))


def standing(order_id: str, request: OrderRequest) -> StandingOrder:
    return StandingOrder(broker_order_id=order_id, request=request)


def found(client: BrokerClient, request: OrderRequest) -> BrokerOrder:
    [row] = client.find(request.tag)
    return row
