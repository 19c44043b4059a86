"""Orders that wait for a person: approved with a fresh second factor, or not sent at all.

The queue fails closed. What is not approved in time ends; approval decides anew, on the facts of that moment.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.events import Event
from accounts.models import User
from orders import intake, push, sending, story
from orders.facts import Why
from orders.inputs import gather_all
from orders.models import IntentStatus, OrderIntent, Teller
from orders.refusals import ApprovalTooLate, NotAwaitingApproval

TOO_LATE = Why(
    code="approval_expired",
    words="Nobody approved this order in time; nothing of it was sent.",
    remedy="Place it again.",
)
DECLINED = Why(code="declined", words="This order was not approved; nothing of it was sent.", remedy="")


def approve(
    intent: OrderIntent,
    *,
    user: User,
    now: datetime,
    gather: intake.Gather = gather_all,
    send: intake.Send = sending.send,
) -> OrderIntent:
    """Send an order that waited, as it is best sent now. Whoever calls has seen a fresh second factor.

    Raises NotAwaitingApproval, ApprovalTooLate, TradingHalted; what is found to break a rule now ends as REFUSED.
    """
    if _is_late(intent, now):
        expire(intent, now)
        raise ApprovalTooLate
    intake.check_halts(intent.user, [intake.wanted_of(intent)])
    _claim(intent, user, now)
    wanted = intake.wanted_of(intent)
    try:
        (decision,) = intake.decided(intent.user, [wanted], now, gather, intent, repeats_confirmed=True)
    except BaseException:
        intake.refuse([intent], intake.NOT_DECIDED, IntentStatus.NOT_PLACED, now)
        raise
    with transaction.atomic():
        row = intake.keep(intent, decision, now)
        if not decision.answer.is_sent:
            intake.refuse([intent], decision.answer.refusals[0], IntentStatus.REFUSED, now)
    if decision.answer.is_sent:
        send(intent=intent, decision=row, now=now)
    intent.refresh_from_db()
    return intent


@transaction.atomic
def _claim(intent: OrderIntent, user: User, now: datetime) -> None:
    """One of two who approve at once is too late. Raises NotAwaitingApproval."""
    waiting = OrderIntent.objects.filter(pk=intent.pk, status=IntentStatus.AWAITING_APPROVAL, approval_due_at__gt=now)
    moved = waiting.update(
        status=IntentStatus.WORKING,
        status_since=now,
        decided_at=now,
        decided_by=user,
        reason_code="",
        reason="",
        version=intent.version + 1,
    )
    if not moved:
        raise NotAwaitingApproval
    story.note(
        intent.pk,
        "approved",
        teller=Teller.TRADER,
        now=now,
        from_state=IntentStatus.AWAITING_APPROVAL,
        to_state=IntentStatus.WORKING,
    )
    intent.refresh_from_db()
    push.order_update(intent.pk)
    audit.record(Event.ORDER_APPROVED, subject=intent.user_id, actor=user, thing=("order", intent.pk), now=now)


@transaction.atomic
def decline(intent: OrderIntent, *, user: User, now: datetime) -> OrderIntent:
    """End an order that waited. Raises NotAwaitingApproval."""
    row = (
        OrderIntent.objects.select_for_update(no_key=True)
        .filter(pk=intent.pk, status=IntentStatus.AWAITING_APPROVAL)
        .first()
    )
    if row is None:
        raise NotAwaitingApproval
    row.decided_at, row.decided_by = now, user
    intake.refuse([row], DECLINED, IntentStatus.DECLINED, now)
    audit.record(Event.ORDER_DECLINED, subject=row.user_id, actor=user, thing=("order", row.pk), now=now)
    return row


def expire(intent: OrderIntent, now: datetime) -> bool:
    return intake.refuse_unsent(intent, TOO_LATE, IntentStatus.EXPIRED, now)


def expire_all(now: datetime) -> int:
    """End whatever waited too long, or waits without an end; returns how many."""
    waiting = OrderIntent.objects.filter(status=IntentStatus.AWAITING_APPROVAL)
    return sum(expire(row, now) for row in waiting if _is_late(row, now))


def _is_late(intent: OrderIntent, now: datetime) -> bool:
    return intent.status == IntentStatus.AWAITING_APPROVAL and (
        intent.approval_due_at is None or intent.approval_due_at <= now
    )
