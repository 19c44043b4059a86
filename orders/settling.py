"""The owner's word on an order of an earlier day that no book tells of any more: by the broker's contract note."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers.wire import IST
from orders import story
from orders.lifecycle import State
from orders.models import ChildOrder, Teller
from orders.refusals import MoreThanOrdered, NotForSettling

# What every such order says as its reason.
CONTRACT_NOTE = "contract_note"


@transaction.atomic
def settle(
    child: ChildOrder, *, user: User, filled_quantity: Decimal, average_price: Decimal | None, now: datetime
) -> None:
    """End an order that is UNKNOWN and whose day is over, as its contract note says: filled, in part, or not at all.

    Whoever calls has seen a fresh second factor. Nothing moves to another broker: its day is over there, too.
    Raises MoreThanOrdered, NotForSettling.
    """
    if filled_quantity > child.quantity or (average_price is not None and not filled_quantity):
        raise MoreThanOrdered
    if child.sent_at.astimezone(IST).date() >= now.astimezone(IST).date():
        raise NotForSettling
    state = State.FILLED if filled_quantity == child.quantity else State.EXPIRED
    told = {"filled_quantity": f"{filled_quantity.normalize():f}"}
    if average_price is not None:
        told["average_price"] = f"{average_price.normalize():f}"
    is_settled = story.moved(
        child,
        state,
        only={State.UNKNOWN},
        teller=Teller.TRADER,
        code="settled_by_owner",
        now=now,
        details=told,
        filled_quantity=filled_quantity,
        average_price=average_price,
        reconcile_due_at=None,
        reason_code=CONTRACT_NOTE,
        reason="Settled by its owner, by the broker's contract note.",
    )
    if not is_settled:
        raise NotForSettling
    audit.record(
        Event.ORDER_SETTLED,
        subject=child.intent.user_id,
        actor=user,
        thing=("order", child.intent_id),
        now=now,
        child=str(child.pk),
        **told,
    )
