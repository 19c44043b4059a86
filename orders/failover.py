"""Failover: what provably was not executed at one broker may go to another, after everything was looked at afresh.

Nothing of an order that may be live ever moves. Nor does the closing of a position: it can be closed only where it is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from django.db import transaction

from brokers.domain import ZERO
from brokers.errors import IP_NOT_REGISTERED
from brokers.wire import IST
from orders import calling, sending, story
from orders.calling import Clients
from orders.changing import CANCEL_ASKED, is_cancelled
from orders.lifecycle import LIVE, STANDING, State
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent, Origin, RoutingDecision, Teller
from portfolio import halting

logger = logging.getLogger(__name__)

MOVING = "moving"
# Where a trader names no end: later, what it was for may be over. From when it was asked for, or approved.
MOVES_FOR = timedelta(minutes=2)
SAME_REJECTS = 3
# Refusals that are about the account or the app at that broker, and not about the order.
BROKERS_OWN = frozenset(
    {
        *("access_suspended", "app_misconfigured", "app_permission_missing", "broker_app_missing"),
        *(IP_NOT_REGISTERED, "algo_not_registered"),
    }
)

# What our own switch held back stays where it ended: it is no broker's doing, and a person asks for it anew.
HELD_BACK = frozenset({"halted", "halt_unreadable"})


class Decide(Protocol):
    """A fresh decision for a part of an intent; None: it goes nowhere. Keeps the decision's row."""

    def __call__(
        self, intent: OrderIntent, quantity: Decimal, avoid: frozenset[UUID], now: datetime
    ) -> RoutingDecision | None: ...


_deciders: list[Decide] = []


def decide_by(decide: Decide) -> None:
    """Name who decides. Without anybody nothing moves."""
    _deciders[:] = [decide]


def forget_decider() -> None:
    _deciders.clear()


# --- what may move ----------------------------------------------------------------------------------------------------
def is_wanted(intent: OrderIntent, children: Sequence[ChildOrder], now: datetime) -> bool:
    """Whether a part of it is to go elsewhere still."""
    if not _deciders or not any(map(_may_move, children)):
        return False
    return is_open(intent, children, now) and bool(movable(children))


def is_open(intent: OrderIntent, children: Sequence[ChildOrder], now: datetime) -> bool:
    """Whether an intent may move at all: it is still valid, nobody has cancelled it, and brokers do not all say no.

    Nor once its owner was told that a part of it is not known: they may have ordered the same elsewhere since.
    """
    if intent.origin == Origin.SQUARE_OFF or is_cancelled(intent.pk):
        return False
    if now >= (intent.valid_until or (intent.decided_at or intent.created_at) + MOVES_FOR):
        return False
    if any(child.explained_at is not None for child in children):
        return False
    if intent.created_at.astimezone(IST).date() != now.astimezone(IST).date():
        return False
    refusals = Counter((child.reason_code, child.reason) for child in children if child.state == State.REJECTED)
    return max(refusals.values(), default=0) < SAME_REJECTS


def movable(children: Iterable[ChildOrder]) -> list[ChildOrder]:
    """Orders of which something was proved not to be executed, and which nobody has moved yet."""
    ended = [child for child in children if _may_move(child)]
    if not ended:
        return []
    codes = OrderEvent.objects.filter(child__in=ended, code__in=(MOVING, CANCEL_ASKED))
    lines = list(codes.values_list("child_id", "code", "details"))
    taken = {child_id for child_id, code, _ in lines if code == MOVING}
    to_move = {child_id for child_id, code, details in lines if code == CANCEL_ASKED and details.get("to_move")}
    wished = {child_id for child_id, code, _ in lines if code == CANCEL_ASKED}
    return [
        child
        for child in ended
        if child.pk not in taken
        and (child.pk in to_move if child.state == State.CANCELLED else child.pk not in wished - to_move)
    ]


def _may_move(child: ChildOrder) -> bool:
    """By its end alone. A cancelled one moves only where it was cancelled for that."""
    if child.filled_quantity >= child.quantity or child.reason_code in HELD_BACK:
        return False
    if child.state == State.REJECTED:
        return child.reason_code in BROKERS_OWN
    return child.state in (State.NOT_PLACED, State.CANCELLED)


# --- moving -----------------------------------------------------------------------------------------------------------
def due(now: datetime) -> list[UUID]:
    """Intents of which a part is to go elsewhere."""
    rows = OrderIntent.objects.filter(status=IntentStatus.WORKING).exclude(origin=Origin.SQUARE_OFF)
    ended = rows.filter(children__state__in=(State.NOT_PLACED, State.REJECTED, State.CANCELLED)).distinct()
    found = []
    for intent in ended.prefetch_related("children"):
        if is_wanted(intent, list(intent.children.all()), now) and not story.is_under_way(intent.pk, now):
            found.append(intent.pk)
    return found


def move(intent_id: UUID, *, now: datetime, clients: Clients = calling.clients_for) -> bool:
    """Send elsewhere what provably was not executed. Not within a transaction. Returns whether anything was sent."""
    parts = _taken(intent_id, now)
    if not parts:
        return False
    intent = OrderIntent.objects.select_related("instrument", "user").get(pk=intent_id)
    quantity = sum((child.quantity - child.filled_quantity for child in parts), ZERO)
    decision = None
    try:
        decision = _deciders[0](intent, quantity, _avoided(intent), now)
    finally:
        if decision is None:
            _stay(intent, now)
    if decision is None:
        return False
    sent = sending.send(intent=intent, decision=decision, now=now, replaces=parts, clients=clients)
    if not sent:
        _stay(intent, now)
    return sent


def _taken(intent_id: UUID, now: datetime) -> list[ChildOrder]:
    """Claim all that may move: the line at each order is the claim, and is never taken back."""
    with transaction.atomic():
        intent = OrderIntent.objects.select_for_update(no_key=True).get(pk=intent_id)
        if halting.standing(intent.user_id).refusal() is not None:
            return []
        children = list(intent.children.all())
        if intent.status != IntentStatus.WORKING or not is_wanted(intent, children, now):
            return []
        if story.is_under_way(intent_id, now):
            return []
        parts = movable(children)
        for child in parts:
            left = child.quantity - child.filled_quantity
            story.note(
                intent_id, MOVING, teller=Teller.ROUTER, now=now, child_id=child.pk, quantity=f"{left.normalize():f}"
            )
        story.note(intent_id, story.BEGAN, teller=Teller.ROUTER, now=now)
    return parts


def _avoided(intent: OrderIntent) -> frozenset[UUID]:
    """Connections where an order of this intent ended so, or may be live: they get no more of it."""
    tried = intent.children.exclude(state__in=STANDING | {State.FILLED})
    return frozenset(tried.exclude(broker_connection=None).values_list("broker_connection_id", flat=True))


def _stay(intent: OrderIntent, now: datetime) -> None:
    with transaction.atomic():
        story.note(intent.pk, story.OVER, teller=Teller.ROUTER, now=now)
        story.note(intent.pk, "not_moved", teller=Teller.ROUTER, now=now)
        story.settle(intent.pk, now=now)


# --- what is over -----------------------------------------------------------------------------------------------------
def expire(now: datetime) -> int:
    """Let intents end whose time is over, or whose sender died: nothing more of them is sent. Returns how many did."""
    count = 0
    working = OrderIntent.objects.filter(status=IntentStatus.WORKING, status_since__lte=now - story.RUN)
    for intent in working.exclude(children__state__in=LIVE):
        with transaction.atomic():
            before = intent.status
            story.settle(intent.pk, now=now)
            intent.refresh_from_db(fields=["status"])
            count += intent.status != before
    return count
