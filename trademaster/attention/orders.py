"""What needs the owner of orders: those in doubt, those that wait for a yes, and what went wrong after it had begun."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch
from django.urls import reverse

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.wire import IST
from orders import alerts, words
from orders.explaining import plainly
from orders.lanes import name_of
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent
from trademaster.attention.words import Item, Remedy, Tone

# By the code of the event: gravity, what is, and what it means for the money.
LATE = {
    alerts.REJECTED_LATER: (
        Tone.WARN,
        "{broker} rejected it after it had accepted it.",
        "Nothing of it stands there any more; what was filled before is yours.",
    ),
    alerts.FOUND_AFTER_ALL: (
        Tone.WARN,
        "It was taken for not placed, and stands at {broker} after all.",
        "It is followed again: its money or shares are bound. Mind it if you ordered the same elsewhere.",
    ),
    alerts.CONTRADICTED: (
        Tone.WARN,
        "{broker} contradicts itself about it.",
        "What it said first counts here until you have looked into your account there.",
    ),
}


def in_doubt(user: User, now: datetime) -> Iterator[Item]:
    """Orders that left, and of which nobody knows whether they arrived."""
    connections = Prefetch("broker_connection", queryset=BrokerConnection.objects.without_secrets())
    rows = ChildOrder.objects.filter(intent__user=user, state=State.UNKNOWN).select_related("intent__instrument")
    for child in rows.prefetch_related(connections):
        yield Item(
            code="order_unknown",
            key=f"unknown:{child.pk}",
            tone=Tone.BAD,
            subject=_named(child.intent),
            quantity=plainly(child.intent.quantity),
            words=f"{name_of(child)} did not say what became of it; its order book is read until it does.",
            meaning=words.CHILD[State.UNKNOWN].meaning,
            remedy=_open(child.intent_id),
            href=_page(child.intent_id),
            since=child.unknown_since or child.state_since,
        )


def waiting(user: User, now: datetime) -> Iterator[Item]:
    """Orders that nobody sends before their owner says yes."""
    rows = OrderIntent.objects.filter(user=user, status=IntentStatus.AWAITING_APPROVAL).select_related("instrument")
    for intent in rows:
        due = intent.approval_due_at
        until = f" until {due.astimezone(IST):%H:%M} IST" if due is not None else ""
        yield Item(
            code="order_awaits_approval",
            key=f"approval:{intent.pk}",
            tone=Tone.WARN,
            subject=_named(intent),
            quantity=plainly(intent.quantity),
            words=f"It waits for your approval{until}.",
            meaning=words.INTENT[IntentStatus.AWAITING_APPROVAL].meaning,
            remedy=Remedy(label="Approve or decline", href=_page(intent.pk)),
            href=_page(intent.pk),
            since=intent.created_at,
        )


def late_news(user: User, now: datetime) -> Iterator[Item]:
    """What a broker said today that does not fit what it had said before."""
    rows = OrderEvent.objects.filter(code__in=LATE, at__gte=_midnight(now), intent__user=user, child__isnull=False)
    connections = Prefetch("child__broker_connection", queryset=BrokerConnection.objects.without_secrets())
    for event in rows.select_related("child", "intent__instrument").prefetch_related(connections):
        assert event.child is not None  # noqa: S101 - filtered so
        tone, said, meaning = LATE[event.code]
        yield Item(
            code=f"order_{event.code}",
            key=f"event:{event.pk}",
            tone=tone,
            subject=_named(event.intent),
            quantity=plainly(event.intent.quantity),
            words=said.format(broker=name_of(event.child)),
            meaning=meaning,
            remedy=_open(event.intent_id),
            href=_page(event.intent_id),
            since=event.at,
            happened=True,
        )


def cut_short(user: User, now: datetime) -> Iterator[Item]:
    """Orders that ended today, filled in part, and not because their owner cancelled the rest."""
    stopped = ChildOrder.objects.filter(intent=OuterRef("pk"), state__in=(State.EXPIRED, State.REJECTED))
    cancelled = ChildOrder.objects.filter(intent=OuterRef("pk"), cancel_asked_at__isnull=False)
    rows = OrderIntent.objects.filter(
        Exists(stopped), user=user, status=IntentStatus.PARTIALLY_FILLED, status_since__gte=_midnight(now)
    ).exclude(Exists(cancelled))
    for intent in rows.select_related("instrument").prefetch_related("children"):
        filled = sum(child.filled_quantity for child in intent.children.all())
        yield Item(
            code="order_cut_short",
            key=f"partial:{intent.pk}",
            tone=Tone.WARN,
            subject=_named(intent),
            quantity=f"{plainly(filled)} of {plainly(intent.quantity)} filled",
            words="It ended, and only a part of it is filled.",
            meaning="What was filled is yours; the rest is over, and nothing more of it goes out.",
            remedy=_open(intent.pk),
            href=_page(intent.pk),
            since=intent.status_since,
            happened=True,
        )


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(IST).date(), time(), IST)


def _named(intent: OrderIntent) -> str:
    return f"{intent.side.capitalize()} {intent.instrument.tradingsymbol}"


def _page(intent_id: UUID) -> str:
    return reverse("order-page", args=[intent_id])


def _open(intent_id: UUID) -> Remedy:
    return Remedy(label="Open the order", href=_page(intent_id))
