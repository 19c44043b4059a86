"""GTTs that wait at a broker for their price, or may: each may become an order at any moment, and asks nobody."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import User
from brokers.dealing import GttStatus
from orders.models import GttOrder

WAITS = frozenset({GttStatus.SENDING, GttStatus.ACTIVE, GttStatus.UNKNOWN})


def waiting(user: User | int, besides: UUID | None = None) -> QuerySet[GttOrder]:
    """Of this person's. `besides`: the one that is about to be placed."""
    rows = GttOrder.objects.filter(user=user, status__in=WAITS).exclude(broker_connection=None)
    return (rows if besides is None else rows.exclude(pk=besides)).select_related("instrument")


def units_of(row: GttOrder) -> Decimal:
    """The most that it may deal: of two legs one cancels the other."""
    return max(Decimal(leg["quantity"]) for leg in row.legs)


def price_of(row: GttOrder) -> Decimal:
    """The dearest that a leg may deal at, or begin to."""
    return max(Decimal(leg[name]) for leg in row.legs for name in ("price", "trigger_price"))
