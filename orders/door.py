"""The one door to the brokers: nowhere else is an order placed or changed, or left to wait.

Whoever comes brings what the checks have cleared (`orders.checks.clearing`), and nothing goes out that it does not
name. Cancellations need none, and have their own ways. Threads may call these: no rows here.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.base import BrokerClient
from brokers.dealing import GttRequest, OrderChange, OrderRequest, StandingOrder, Traded
from brokers.domain import OrderType, Product, Side, Validity
from brokers.errors import NotSupported
from orders.checks.clearing import Cleared, Part
from orders.models import ChildOrder


def request_for(
    child: ChildOrder, name: Traded, *, protection_pct: Decimal | None = None, algo_id: str | None = None
) -> OrderRequest:
    """The order at its broker, as it is to be sent."""
    order_type = OrderType(child.order_type)
    return OrderRequest(
        traded=name,
        side=Side(child.side),
        order_type=order_type,
        product=Product(child.product),
        validity=Validity(child.validity),
        quantity=child.quantity,
        tag=child.tag,
        price=child.price if order_type in (OrderType.LIMIT, OrderType.SL) else None,
        trigger_price=child.trigger_price if order_type in (OrderType.SL, OrderType.SL_M) else None,
        protection_pct=protection_pct,
        algo_id=algo_id,
    )


def place(client: BrokerClient, request: OrderRequest, cleared: Cleared, connection_id: str) -> str:
    """Send an order, once. Raises NotSupported, before any I/O, where it is not cleared so; and as the client does."""
    _require(cleared, _part(connection_id, request, request.quantity, request.price))
    return client.place(request)


def modify(
    client: BrokerClient, standing: StandingOrder, change: OrderChange, cleared: Cleared, connection_id: str
) -> str | None:
    """Change an order that stands, once. Raises as `place` does."""
    request = standing.request
    _require(cleared, _part(connection_id, request, change.quantity, change.price))
    return client.modify(standing, change)


def place_gtt(client: BrokerClient, request: GttRequest, cleared: Cleared, connection_id: str) -> str:
    """Leave an order at its broker, every leg of it cleared. Raises as `place` does."""
    for leg in request.legs:
        _require(cleared, _part(connection_id, request, leg.quantity, leg.price))
    return client.place_gtt(request)


def _part(connection_id: str, asked: OrderRequest | GttRequest, quantity: Decimal, price: Decimal | None) -> Part:
    return Part(
        connection_id=connection_id,
        exchange=asked.traded.listing.exchange.value,
        quantity=quantity,
        side=asked.side.value,
        product=asked.product.value,
        price=price,
    )


def _require(cleared: Cleared, part: Part) -> None:
    if not cleared.allows(part):
        raise NotSupported(
            "This is not the order that the checks before an order let out; it was not sent.",
            code="not_cleared",
            user_action="Place it again; tell support if it happens again.",
        )
