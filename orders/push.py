"""What a user's open pages hear of their orders. A push is a hint: whoever missed one asks for the order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from brokers import push
from orders.models import ChildOrder, OrderIntent

KIND = "ORDER_UPDATE"


def order_update(intent_id: UUID, *, alert: str | None = None) -> None:
    """Push an intent as it stands, with its orders, once what was written is committed.

    `alert`: the code of what a person must see, such as `order_unknown`.
    """

    def push_it() -> None:
        intent = OrderIntent.objects.prefetch_related("children").select_related("instrument").get(pk=intent_id)
        key = str(intent.pk) if alert is None else f"{intent.pk}:{alert}"
        text = msgspec.json.encode(described(intent) | {"alert": alert}).decode()
        push.publish_json(intent.user_id, KIND, text, key=key)

    transaction.on_commit(push_it)


def described(intent: OrderIntent) -> dict[str, Any]:
    """Quantities are units, prices INR, as strings. `version` grows: of two messages the greater one counts."""
    children = list(intent.children.all())
    filled = sum((child.filled_quantity for child in children), Decimal(0))
    return {
        "order_id": intent.pk,
        "version": intent.version,
        "status": intent.status,
        "status_since": intent.status_since,
        "side": intent.side,
        "exchange": intent.instrument.exchange,
        "tradingsymbol": intent.instrument.tradingsymbol,
        "quantity": _plain(intent.quantity),
        "filled_quantity": _plain(filled),
        "unsent_quantity": _plain(intent.unsent_quantity),
        "reason_code": intent.reason_code or None,
        "reason": intent.reason or None,
        "children": [_child(child) for child in children],
    }


def _child(child: ChildOrder) -> dict[str, Any]:
    return {
        "child_id": child.pk,
        "connection_id": child.broker_connection_id,
        "broker_type": child.broker_type,
        "exchange": child.exchange,
        "state": child.state,
        "state_since": child.state_since,
        "quantity": _plain(child.quantity),
        "filled_quantity": _plain(child.filled_quantity),
        "average_price": None if child.average_price is None else _plain(child.average_price),
        "price": None if child.price is None else _plain(child.price),
        "broker_order_id": child.broker_order_id,
        "reason_code": child.reason_code or None,
        "reason": child.reason or None,
        "is_explained": child.explained_at is not None,
    }


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
