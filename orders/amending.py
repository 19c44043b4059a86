"""Changing and ending what was asked for, wherever it stands. Each call goes out once; the book has the last word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers import registry
from brokers.dealing import OrderChange
from brokers.domain import ZERO, Exchange, OrderType, Product, Side, Validity
from brokers.errors import BrokerError, NotSupported
from orders import approval, calling, deciding, ruling, sending, story
from orders.changing import is_smaller
from orders.checks import clearing, table
from orders.checks.clearing import Cleared
from orders.checks.exposure import is_closing
from orders.decisions import Planned
from orders.facts import Facts, Priced, Wanted, plain
from orders.lifecycle import POSSIBLY_LIVE, STANDING
from orders.models import ChildOrder, IntentStatus, OrderIntent, Teller
from orders.readings import choices_of
from orders.refusals import ApprovalNeeded, BreaksRule, NothingStands, OutcomeOpen, SeveralStand, TradingOff
from orders.standing import change_facts, prices_of
from portfolio import halting
from portfolio.latch import May


def amend(
    intent: OrderIntent,
    *,
    user: User,
    now: datetime,
    price: Decimal | None = None,
    trigger_price: Decimal | None = None,
    quantity: Decimal | None = None,
) -> dict[UUID, str | BrokerError]:
    """Change what stands: its price and trigger wherever it is, its quantity where it is one order.

    What came of each, by child; a broker that refuses does not hold up the others. Raises NothingStands, OutcomeOpen,
    SeveralStand, TradingOff, BreaksRule, ApprovalNeeded; TradingHalted, unless it only takes from the order, or gives
    another price to one that reduces a position while such may pass.
    """
    children = list(intent.children.filter(state__in=STANDING | POSSIBLY_LIVE).select_related("broker_connection"))
    if not children:
        raise NothingStands
    if any(child.state in POSSIBLY_LIVE for child in children):
        raise OutcomeOpen
    if quantity is not None and len(children) > 1:
        raise SeveralStand
    if not all(child.broker_connection is None or calling.takes_orders(child.broker_connection) for child in children):
        raise TradingOff
    changes = {child.pk: _change(child, price, trigger_price, quantity) for child in children}
    may = _may(intent, children, changes)
    there = [child for child in children if child.broker_connection_id is not None]
    judged = change_facts(intent, changes, now)
    for child in there:
        most = registry.load(child.broker_type).spec.order_rules.most_changes
        broken = ruling.broken_by_change(judged[child.pk][1], child, changes[child.pk], most)
        if may is May.REDUCE and not _closes(child, changes[child.pk], *judged[child.pk]):
            halting.check(intent.user_id)
        if broken:
            raise BreaksRule(broken[0].words, remedy=broken[0].remedy, where={"rule": broken[0].code})
    is_approved = _check_approval(intent, children, changes, now)
    cleared = {child.pk: _cleared(child, changes[child.pk], *judged[child.pk], is_approved, now) for child in there}
    _keep_wish(intent, user, price, trigger_price, now)
    answers: dict[UUID, str | BrokerError] = {}
    for child in children:
        if child.pk not in cleared:
            answers[child.pk] = NotSupported("This account is not connected any more.", code="connection_gone")
            continue
        try:
            answers[child.pk] = sending.modify(child, changes[child.pk], cleared[child.pk], now=now, may=may).value
        except BrokerError as error:
            answers[child.pk] = error
    return answers


def _may(intent: OrderIntent, children: Sequence[ChildOrder], changes: Mapping[UUID, OrderChange]) -> May:
    """What the change has to be, to go out now: while trading is stopped no order becomes larger.

    Raises TradingHalted, TradingUnreadable.
    """
    if all(is_smaller(child, changes[child.pk]) for child in children):
        return May.OPEN
    standing = halting.standing(intent.user_id)
    if standing.passes(May.OPEN):
        return May.OPEN
    if any(changes[child.pk].quantity > child.quantity for child in children) or not standing.passes(May.REDUCE):
        halting.check(intent.user_id)
    return May.REDUCE


def _change(
    child: ChildOrder, price: Decimal | None, trigger_price: Decimal | None, quantity: Decimal | None
) -> OrderChange:
    """The order as it shall stand. Of one that went in slices the quantity is that of its only slice left."""
    return OrderChange(
        order_type=OrderType(child.order_type),
        validity=Validity(child.validity),
        quantity=child.quantity if quantity is None else quantity,
        price=child.price if price is None else price,
        trigger_price=child.trigger_price if trigger_price is None else trigger_price,
    )


def _cleared(
    child: ChildOrder, change: OrderChange, wanted: Wanted, facts: Facts, is_approved: bool, now: datetime
) -> Cleared:
    """The order as it shall stand, held against all checks, which are kept with its story.

    Raises BreaksRule, ApprovalNeeded.
    """
    planned = _planned(child, change)
    checked = table.run(facts, wanted, [planned])
    story.note(
        child.intent_id, "change_checked", teller=Teller.ROUTER, now=now, child_id=child.pk, checks=plain(checked)
    )
    if stops := table.stopping(checked):
        raise BreaksRule(stops[0].words, remedy=stops[0].remedy, where={"rule": stops[0].code})
    confirms = table.confirming(checked)
    if confirms and not is_approved:
        raise ApprovalNeeded(f"{confirms[0].words} A change is not had without it.", where={"rule": confirms[0].code})
    return clearing.of_run(checked, [planned], confirmed=is_approved)


def _closes(child: ChildOrder, change: OrderChange, wanted: Wanted, facts: Facts) -> bool:
    return is_closing(facts, wanted, [_planned(child, change)])


def _planned(child: ChildOrder, change: OrderChange) -> Planned:
    return Planned(
        connection_id=str(child.broker_connection_id),
        broker_type=child.broker_type,
        exchange=Exchange(child.exchange),
        side=Side(child.side),
        order_type=change.order_type,
        product=Product(child.product),
        validity=change.validity,
        quantity=change.quantity,
        price=change.price,
        trigger_price=change.trigger_price,
    )


def _check_approval(
    intent: OrderIntent, children: Sequence[ChildOrder], changes: Mapping[UUID, OrderChange], now: datetime
) -> bool:
    """What a person must say yes to is not had by way of a change. Raises ApprovalNeeded.

    An order that was approved may be changed to what comes to no more than it did; returns whether this is such a one.
    """
    choices = choices_of(intent.user)
    prices = prices_of(intent, now) if choices.approval_above is not None and intent.side == Side.SELL else {}
    before = _worth(intent, intent.quantity, children, prices)
    more = sum((changes[child.pk].quantity - child.quantity for child in children), ZERO)
    after = _worth(intent, intent.quantity + more, list(changes.values()), prices)
    is_approved = intent.decided_by_id is not None and before is not None and after is not None and after <= before
    needed = deciding.needs_approval(choices, Product(intent.product), after)
    if needed is None or is_approved:
        return is_approved
    raise ApprovalNeeded(f"{needed.words} A change is not had without it.", where={"rule": needed.code})


def _worth(
    intent: OrderIntent, quantity: Decimal, parts: Sequence[ChildOrder | OrderChange], prices: Mapping[str, Priced]
) -> Decimal | None:
    """The most that the whole of it may come to: all of it at the dearest price of a part. None: not known."""
    named = [part.trigger_price if part.price is None else part.price for part in parts]
    known = [price for price in named if price is not None]
    return deciding.worth(Side(intent.side), quantity, max(known), prices) if len(known) == len(named) else None


@transaction.atomic
def _keep_wish(
    intent: OrderIntent, user: User, price: Decimal | None, trigger_price: Decimal | None, now: datetime
) -> None:
    """What moves to another broker later moves at the new price."""
    said: dict[str, Any] = {"price": price, "trigger_price": trigger_price}
    new = {name: value for name, value in said.items() if value is not None}
    if new:
        OrderIntent.objects.filter(pk=intent.pk).update(**new)
    audit.record(Event.ORDER_CHANGED, subject=intent.user_id, actor=user, thing=("order", intent.pk), now=now)


def cancel(intent: OrderIntent, *, user: User, now: datetime) -> Mapping[UUID, str | BrokerError]:
    """End it wherever it stands, or may stand; what waits for approval ends at once. Cancelling breaks no rule.

    Raises NothingStands.
    """
    if intent.status == IntentStatus.AWAITING_APPROVAL:
        approval.decline(intent, user=user, now=now)
        return {}
    if intent.status != IntentStatus.WORKING:
        raise NothingStands
    with transaction.atomic():
        audit.record(Event.ORDER_CANCELLED, subject=intent.user_id, actor=user, thing=("order", intent.pk), now=now)
    answers = sending.cancel_all(intent, now=now)
    return {key: each if isinstance(each, BrokerError) else each.value for key, each in answers.items()}
