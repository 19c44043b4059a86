"""What an owner chose for routing and approval."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.events import Event
from accounts.models import User
from orders.models import OrderSettings
from orders.refusals import UnknownConnection


def settings_of(user: User) -> OrderSettings:
    """The row; one that is not stored yet says what the house does by itself."""
    return OrderSettings.objects.filter(user=user).first() or OrderSettings(user=user, split_penalty=Decimal(5))


@transaction.atomic
def choose(user: User, **chosen: Any) -> OrderSettings:
    """Keep all of it. Raises UnknownConnection."""
    wanted = [str(each) for each in dict.fromkeys(chosen.pop("broker_order"))]
    own = {str(pk) for pk in user.broker_connections.values_list("pk", flat=True)}
    if not set(wanted) <= own:
        raise UnknownConnection
    chosen["approval_products"] = list(dict.fromkeys(chosen["approval_products"]))
    row, _ = OrderSettings.objects.update_or_create(user=user, defaults={**chosen, "broker_order": wanted})
    audit.record(
        Event.ORDER_SETTINGS,
        subject=user,
        thing=("user", user.pk),
        approval_above=None if row.approval_above is None else f"{row.approval_above:f}",
        approval_products=list(row.approval_products),
    )
    return row
