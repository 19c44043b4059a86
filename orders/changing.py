"""Cancelling and changing what stands at a broker: each is asked for once, and what came of it the broker's book tells.

None of it happens within a transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from brokers import registry, services
from brokers.base import BrokerClient
from brokers.dealing import OrderChange, StandingOrder
from brokers.domain import ZERO
from brokers.errors import BrokerError, NotSupported, OrderRejected, RateLimited, RequestRefused, SessionEnded
from orders import calling, door, story
from orders.calling import CALL_SECONDS, Answer, Clients
from orders.checks.clearing import Cleared
from orders.lifecycle import ENDED, POSSIBLY_LIVE, STANDING, State, after_call
from orders.models import ChildOrder, OrderEvent, OrderIntent, Teller
from portfolio.latch import May

logger = logging.getLogger(__name__)

CANCEL_ASKED, CANCEL_SENT = "cancel_asked", "cancel_sent"
# A cancellation that the book does not show after so long did not happen, and may be asked for again.
CANCEL_PATIENCE = timedelta(seconds=30)


class Asked(StrEnum):
    """What came of asking for a cancellation or a change. Only the broker's book tells whether it was in time."""

    DONE = "DONE"  # the broker took it
    KEPT = "KEPT"  # nobody knows yet whether the order is there: it is cancelled as soon as it is found
    UNKNOWN = "UNKNOWN"  # it left, and no answer came
    TOO_LATE = "TOO_LATE"  # the order has ended
    ALREADY = "ALREADY"  # it was asked for before, and is not settled yet


def is_cancelled(intent_id: UUID) -> bool:
    """Whether its trader wants nothing more of it."""
    return OrderEvent.objects.filter(intent_id=intent_id, code=CANCEL_ASKED, child=None).exists()


def cancel_all(
    intent: OrderIntent, *, now: datetime, clients: Clients = calling.clients_to_end
) -> dict[UUID, Asked | BrokerError]:
    """Cancel whatever of an intent is, or may be, at a broker; from now on nothing more of it is sent.

    One broker that refuses does not hold up the others: its error stands in its place.
    """
    with transaction.atomic():
        # Whoever writes an order of it holds this lock: it is seen below, or its writer sees the line.
        OrderIntent.objects.select_for_update(no_key=True).get(pk=intent.pk)
        story.note(intent.pk, CANCEL_ASKED, teller=Teller.TRADER, now=now)
    answers: dict[UUID, Asked | BrokerError] = {}
    for child in intent.children.exclude(state__in=ENDED):
        try:
            answers[child.pk] = cancel(child, now=now, clients=clients)
        except BrokerError as error:
            answers[child.pk] = error
    with transaction.atomic():
        story.settle(intent.pk, now=now)
    return answers


def cancel(
    child: ChildOrder, *, now: datetime, teller: Teller = Teller.TRADER, clients: Clients = calling.clients_to_end,
    to_move: bool = False,
) -> Asked:  # fmt: skip
    """Ask the broker for an order's end. `to_move`: what is not filled of it shall go to another broker.

    Raises the BrokerError that says that the broker refused, or was not asked: it may be tried again then.
    """
    with transaction.atomic():
        row = ChildOrder.objects.filter(pk=child.pk, cancel_asked_at=None, state__in=STANDING | POSSIBLY_LIVE)
        if not row.update(cancel_asked_at=now, version=F("version") + 1):
            child.refresh_from_db()
            return Asked.TOO_LATE if child.state in ENDED else Asked.ALREADY
        child.refresh_from_db()
        story.note(child.intent_id, CANCEL_ASKED, teller=teller, now=now, child_id=child.pk, to_move=to_move)
        story.settle(child.intent_id, now=now)
    if child.broker_order_id is None or child.state in POSSIBLY_LIVE:
        return Asked.KEPT
    return send_cancel(child, now=now, clients=clients)


def send_cancel(child: ChildOrder, *, now: datetime, clients: Clients = calling.clients_to_end) -> Asked:
    """The call for a cancellation that `cancel` has written down, once."""
    with transaction.atomic():
        # The line is the claim: of two that come here for one asking, the second finds it.
        ChildOrder.objects.select_for_update(no_key=True).get(pk=child.pk)
        sent = OrderEvent.objects.filter(child=child, code=CANCEL_SENT, at__gte=child.cancel_asked_at)
        if sent.exists():
            return Asked.ALREADY
        story.note(child.intent_id, CANCEL_SENT, teller=Teller.TRADER, now=now, child_id=child.pk)
    answer = _call(child, now, clients, lambda client: client.cancel(_standing(child)))
    outcome = _outcome(answer, child)
    with transaction.atomic():
        rows = ChildOrder.objects.filter(pk=child.pk)
        if outcome in (State.REJECTED, State.NOT_PLACED):
            rows.update(cancel_asked_at=None, version=F("version") + 1)
        rows.filter(state__in=STANDING).update(reconcile_due_at=now)
        _tell(child, f"cancel_{_WORDS[outcome]}", answer, now)
    if outcome in (State.REJECTED, State.NOT_PLACED):
        raise _error(answer)
    return Asked.DONE if outcome is State.PENDING else Asked.UNKNOWN


def modify(
    child: ChildOrder, change: OrderChange, cleared: Cleared, *, now: datetime, clients: Clients = calling.clients_for,
    may: May = May.OPEN,
) -> Asked:  # fmt: skip
    """Change an order that stands, once; one that is `UNKNOWN` then is read from the broker's book.

    `may`: what of it was proved, where trading is stopped. Raises the BrokerError that says that the broker refused, or
    was not asked; NotSupported where it allows no further change, or its owner lets no orders go there now,
    and OrderRejected where the new quantity is not more than what is filled.
    """
    rules = registry.load(child.broker_type).spec.order_rules
    if change.quantity <= child.filled_quantity:
        raise OrderRejected("So much of it is filled already.", code="filled_already")
    with transaction.atomic():
        row = ChildOrder.objects.select_for_update(no_key=True).get(pk=child.pk)
        if row.state not in STANDING or row.broker_order_id is None:
            return Asked.TOO_LATE if row.state in ENDED else Asked.KEPT
        if row.broker_connection_id is not None and not calling.open_now([row.broker_connection_id]):
            off = calling.TRADING_OFF
            raise NotSupported(off.message, code=off.code, user_action=off.user_action)
        if row.cancel_asked_at is not None or row.version != child.version:
            return Asked.ALREADY
        if rules.most_changes is not None and row.changes >= rules.most_changes:
            raise NotSupported(
                f"This broker lets an order be changed {rules.most_changes} times.",
                code="changed_too_often",
                user_action="Cancel it and place a new one.",
            )
        ChildOrder.objects.filter(pk=child.pk).update(changes=F("changes") + 1, version=F("version") + 1)
        story.note(child.intent_id, "change_asked", teller=Teller.TRADER, now=now, child_id=child.pk, **_plain(change))
    standing = _standing(row)
    own = str(row.broker_connection_id)
    guard = None if is_smaller(row, change) else f"change:{row.tag}:{row.changes}"
    answer = _call(
        row, now, clients, lambda client: door.modify(client, standing, change, cleared, own), guard=guard, may=may
    )
    outcome = _outcome(answer, row)
    with transaction.atomic():
        _keep_change(row, change, answer, outcome, now)
        _tell(row, f"change_{_WORDS[outcome]}", answer, now)
    if outcome in (State.REJECTED, State.NOT_PLACED):
        raise _error(answer)
    return Asked.DONE if outcome is State.PENDING else Asked.UNKNOWN


def is_smaller(child: ChildOrder, change: OrderChange) -> bool:
    """Whether a change takes from an order and does nothing else: that may be done while trading is stopped."""
    as_it_is = (child.price, child.trigger_price, child.order_type)
    return change.quantity <= child.quantity and as_it_is == (change.price, change.trigger_price, change.order_type)


def _keep_change(child: ChildOrder, change: OrderChange, answer: Answer, outcome: State, now: datetime) -> None:
    """Where the broker took it, it is what we hold; the book, which is read at once, has the last word."""
    rows = ChildOrder.objects.select_for_update(no_key=True).filter(pk=child.pk)
    if outcome is State.NOT_PLACED:
        rows.update(changes=F("changes") - 1)
    elif outcome is State.PENDING:
        # The book may have been read during the call, and have told of the change already.
        before = rows.values_list("quantity", flat=True).get()
        changed = rows.filter(state__in=STANDING, filled_quantity__lte=change.quantity).update(
            order_type=change.order_type,
            validity=change.validity,
            quantity=change.quantity,
            price=change.price,
            trigger_price=change.trigger_price,
            broker_order_id=answer.value or child.broker_order_id,
            version=F("version") + 1,
        )
        if changed:
            follow_quantity(child.intent_id, change.quantity - before)
    rows.filter(Q(state__in=STANDING)).update(reconcile_due_at=now)


def follow_quantity(intent_id: UUID, difference: Decimal) -> None:
    """The intent wants as much more, or less, as its order was changed by. Within a transaction.

    Never less than was filled of it, nor nothing: what a broker tells may not fit what we hold.
    """
    if not difference:
        return
    intent = OrderIntent.objects.select_for_update(no_key=True).get(pk=intent_id)
    filled = sum(intent.children.values_list("filled_quantity", flat=True), ZERO)
    quantity = max(intent.quantity + difference, filled)
    if quantity > 0:
        OrderIntent.objects.filter(pk=intent_id).update(quantity=quantity)
    else:
        logger.warning("Order %s would want nothing any more, by what its broker tells of its quantity", intent_id)


def due_cancels(children: Iterable[ChildOrder]) -> list[ChildOrder]:
    """Orders whose cancellation was wished for before anybody knew where they are, and which have been found."""
    asked = [
        child
        for child in children
        if child.cancel_asked_at is not None and child.state in STANDING and child.broker_order_id is not None
    ]
    sent = OrderEvent.objects.filter(child__in=asked, code=CANCEL_SENT).values_list("child_id", "at")
    last = dict(sent.order_by("at"))
    return [child for child in asked if child.pk not in last or last[child.pk] < child.cancel_asked_at]  # type: ignore[operator]


def _standing(child: ChildOrder) -> StandingOrder:
    return StandingOrder(
        broker_order_id=child.broker_order_id or "",
        request=calling.request_of(child),
        filled_quantity=child.filled_quantity,
    )


def _call(
    child: ChildOrder, now: datetime, clients: Clients, call: Any, *, guard: str | None = None, may: May = May.OPEN
) -> Answer:
    """Make the call in this thread. What the connection is, is learnt from its answer.

    `guard`: by this name it is on the way, and not made while trading is stopped for what it `may`.
    """
    connection = child.broker_connection
    if connection is None:
        return Answer(
            error=NotSupported("This account is not connected any more.", code="connection_gone"), is_sent=False
        )
    client = clients([connection], now)[connection.pk]
    if not isinstance(client, BrokerClient):
        return Answer(error=client, is_sent=False)
    hurried = client.within(CALL_SECONDS)
    if guard is None:
        answer = calling.answered(lambda: call(hurried), child.broker_type)
    else:
        answer = calling.guarded(call, hurried, user_id=child.intent.user_id, tag=guard, may=may)
    if isinstance(answer.error, SessionEnded | RateLimited):
        services.learn(connection, answer.error, now)
    return answer


def _outcome(answer: Answer, child: ChildOrder) -> State:
    """As of an order that is sent: taken, refused, never left, or unknown."""
    if not answer.is_sent:
        return State.NOT_PLACED
    rules = registry.load(child.broker_type).spec.order_rules
    return after_call(answer.error, throttled_before_entry=rules.throttled_before_entry)


_WORDS = {
    State.PENDING: "taken",
    State.REJECTED: "refused",
    State.NOT_PLACED: "not_sent",
    State.UNKNOWN: "unknown",
}


def _tell(child: ChildOrder, code: str, answer: Answer, now: datetime) -> None:
    details = {"error_code": answer.code, "reason": answer.reason} if answer.error is not None else {}
    story.note(child.intent_id, code, teller=Teller.CALL, now=now, child_id=child.pk, **details)
    story.settle(child.intent_id, now=now)


def _error(answer: Answer) -> BrokerError:
    if isinstance(answer.error, BrokerError):
        return answer.error
    return RequestRefused("The broker did not take it.")


def _plain(change: OrderChange) -> dict[str, str]:
    told = {"quantity": change.quantity, "price": change.price, "trigger_price": change.trigger_price}
    return {name: f"{value.normalize():f}" for name, value in told.items() if value is not None}
