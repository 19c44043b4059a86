"""How an order's rows are changed: one conditional UPDATE and the line that tells of it, or neither.

Whoever locks rows of an intent locks children before the intent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from orders import alerts, push
from orders.lifecycle import ENDED, LIVE, Ending, State, Word, intent_status
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent, Teller

WORD_OF: Mapping[Teller, Word] = {
    Teller.CALL: Word.CALL,
    Teller.STREAM: Word.NEWS,
    Teller.POSTBACK: Word.BOOK,
    Teller.BOOK: Word.BOOK,
    Teller.CLOCK: Word.CLOCK,
}
# Statuses of an intent that was sent: what its children say decides among them.
SENT = frozenset(IntentStatus(ending) for ending in Ending)
BEGAN, OVER = "sending_began", "sending_ended"
# Of the orders that were decided on some were not written down any more; its details say why.
STOPPED = "sending_stopped"
# Whoever sends an intent's orders and has not said for so long that it is done has died.
RUN = timedelta(minutes=2)


def note(
    intent_id: UUID,
    code: str,
    *,
    teller: Teller,
    now: datetime,
    child_id: UUID | None = None,
    from_state: str = "",
    to_state: str = "",
    **details: Any,
) -> OrderEvent:
    """Add a line. `details` are plain values, and never secret."""
    return OrderEvent.objects.create(
        intent_id=intent_id,
        child_id=child_id,
        at=now,
        teller=teller,
        code=code,
        from_state=from_state,
        to_state=to_state,
        details=details,
    )


def note_once(child: ChildOrder, code: str, *, teller: Teller, now: datetime, **details: Any) -> bool:
    """The same, unless this order's story has that very line already: what is read again and again is told once."""
    if OrderEvent.objects.filter(child=child, code=code, details=details).exists():
        return False
    note(child.intent_id, code, teller=teller, now=now, child_id=child.pk, **details)
    return True


def moved(
    child: ChildOrder,
    state: State,
    *,
    only: Collection[State],
    teller: Teller,
    code: str,
    now: datetime,
    details: Mapping[str, Any] | None = None,
    **facts: Any,
) -> bool:
    """Enter a state from one of those in `only`, if the order is there. Returns whether it was."""
    with transaction.atomic():
        row = ChildOrder.objects.filter(pk=child.pk, state__in=list(only))
        before = row.select_for_update(no_key=True).values_list("state", flat=True).first()
        if before is None:
            return False
        row.update(**facts, state=state, state_since=now, version=F("version") + 1)
        note(
            child.intent_id,
            code,
            teller=teller,
            now=now,
            child_id=child.pk,
            from_state=before,
            to_state=state,
            **(details or {}),
        )
        settle(child.intent_id, now=now)
    return True


def is_under_way(intent_id: UUID, now: datetime) -> bool:
    """Whether somebody is sending orders of this intent, or choosing where else they go, at this moment."""
    runs = OrderEvent.objects.filter(intent_id=intent_id, code__in=(BEGAN, OVER), child=None)
    last = runs.order_by("-at", "-id").values_list("code", "at").first()
    return last is not None and last[0] == BEGAN and last[1] > now - RUN


def settle(intent_id: UUID, *, now: datetime) -> None:
    """Let an intent be what its orders are, and tell its open pages after the commit. Within a transaction.

    One that waits for approval, or never was sent, stays as it is.
    """
    intent = OrderIntent.objects.select_for_update(no_key=True).get(pk=intent_id)
    if intent.status in SENT:
        status, last = _status(intent, now)
        facts: dict[str, Any] = {"version": F("version") + 1}
        if status != intent.status:
            facts |= {"status": status, "status_since": now}
            facts |= _why(intent, status, last)
            note(intent_id, "status", teller=Teller.CLOCK, now=now, from_state=intent.status, to_state=status)
        OrderIntent.objects.filter(pk=intent_id).update(**facts)
    push.order_update(intent_id)


def _status(intent: OrderIntent, now: datetime) -> tuple[str, ChildOrder | None]:
    from orders import failover  # it sends, and so is above this

    children = list(intent.children.order_by("number"))
    ending = intent_status(((State(child.state), child.filled_quantity) for child in children), intent.quantity)
    begun = intent.events.filter(code=BEGAN)
    if not children and intent.status_since > now - RUN and not begun.exists():
        return IntentStatus.WORKING, None  # its sender is only about to begin
    short = (child for child in reversed(children) if child.state in ENDED and child.filled_quantity < child.quantity)
    last = next(short, None)
    if ending is not Ending.WORKING and (is_under_way(intent.pk, now) or failover.is_wanted(intent, children, now)):
        return IntentStatus.WORKING, last
    return IntentStatus(ending), last


def _why(intent: OrderIntent, status: str, last: ChildOrder | None) -> dict[str, str]:
    """Why it ended so. Of one that was filled in part: what stopped it midway, else the last order that fell short."""
    bad = (IntentStatus.REJECTED, IntentStatus.NOT_PLACED, IntentStatus.CANCELLED, IntentStatus.PARTIALLY_FILLED)
    code, reason = (last.reason_code, last.reason) if last and status in bad else ("", "")
    if status == IntentStatus.PARTIALLY_FILLED:
        stopped = intent.events.filter(code=STOPPED).order_by("-at", "-id").first()
        if stopped is not None:
            code, reason = stopped.details["error_code"], stopped.details["reason"]
    return {"reason_code": code, "reason": reason}


def alarm(child: ChildOrder, code: str, *, teller: Teller, now: datetime, **details: Any) -> None:
    """Add a line that a person must see: it is pushed, and a letter goes out, after the commit."""
    event = note(child.intent_id, code, teller=teller, now=now, child_id=child.pk, **details)
    push.order_update(child.intent_id, alert=code)
    alerts.send_later(event)


def wake(connection_id: UUID, *, now: datetime) -> bool:
    """Have a connection's book read at once, if orders of ours stand, or may stand, there. Returns whether they do."""
    rows = ChildOrder.objects.filter(broker_connection=connection_id, state__in=LIVE)
    return rows.filter(reconcile_due_at__gt=now).update(reconcile_due_at=now) > 0 or rows.exists()
