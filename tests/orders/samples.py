"""An order and a GTT that have ended, for tests that are about other things."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from accounts.models import User
from brokers.dealing import GttKind, GttStatus
from brokers.models import BrokerConnection
from market.models import Instrument
from orders.models import GttOrder, IntentStatus, OrderEvent, OrderIntent, Teller


def share() -> Instrument:
    """One that no test looks for."""
    today = timezone.localdate()
    instrument, _ = Instrument.objects.get_or_create(
        identity="NSE|9999",
        defaults={
            **{"exchange": "NSE", "segment": "EQUITY", "kind": "EQUITY", "tradingsymbol": "SAMPLE", "rank": 1},
            **{"words": "sample", "first_seen_on": today, "last_seen_on": today},
        },
    )
    return instrument


def orders_of(user: User, connection: BrokerConnection, *, reason: str = "") -> dict[str, UUID]:
    """Their ids: `order` and `gtt`. Nothing of them stands at any broker."""
    now = timezone.now()
    intent = OrderIntent.objects.create(
        user=user,
        instrument=share(),
        side="BUY",
        order_type="LIMIT",
        product="CNC",
        validity="DAY",
        quantity=Decimal(1),
        price=Decimal(10),
        created_at=now,
        status=IntentStatus.CANCELLED,
        status_since=now,
        reason=reason,
    )
    OrderEvent.objects.create(intent=intent, at=now, teller=Teller.TRADER, code="asked", details={"reason": reason})
    gtt = GttOrder.objects.create(
        user=user,
        broker_connection=connection,
        broker_type=connection.broker_type,
        instrument=share(),
        kind=GttKind.SINGLE,
        side="BUY",
        product="CNC",
        legs=[{"trigger_price": "9", "price": "9", "quantity": "1"}],
        status=GttStatus.CANCELLED,
        status_since=now,
        reason=reason,
        created_at=now,
    )
    return {"order": intent.pk, "gtt": gtt.pk}
