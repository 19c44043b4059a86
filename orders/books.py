"""What a broker says of an account's orders, written into our rows: its book, its trades, and news on the way.

Every order is kept as it was last seen, whoever placed it; one of ours moves its `ChildOrder` too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import F, Q

from brokers.domain import BrokerOrder, BrokerTrade
from brokers.wire import IST
from orders import alerts, listings, story, units
from orders.changing import CANCEL_PATIENCE, CANCEL_SENT, follow_quantity
from orders.lifecycle import ENDED, LIVE, POSSIBLY_LIVE, STANDING, Change, Known, State, merged
from orders.models import ChildOrder, Fill, OrderEvent, SeenOrder, Teller
from orders.story import WORD_OF

logger = logging.getLogger(__name__)

# What a row does that is longer or larger than its column, or breaks a constraint.
CANNOT_BE_KEPT = (DataError, IntegrityError, InvalidOperation)
# A broker's id is its own for a day; an order that was sent longer ago is found by its tag.
IDS_ARE_KEPT = timedelta(hours=36)
FINEST = Decimal("0.00000001")
TOLD = [each.name for each in fields(Known)]
SEEN = [
    *("exchange", "tradingsymbol", "broker_token", "side", "order_type", "product", "validity", "quantity"),
    *("filled_quantity", "price", "trigger_price", "average_price", "status", "status_message", "tag", "placed_at"),
]


@dataclass(frozen=True, slots=True)
class Taken:
    """What news did: orders of ours that they speak of, and those of them that changed.

    `left_out`: rows of the news that could not be kept; whose they are is not known.
    """

    spoken_of: frozenset[UUID]
    changed: tuple[ChildOrder, ...]
    left_out: int = 0


def take(
    connection_id: UUID,
    orders: Sequence[BrokerOrder],
    *,
    teller: Teller,
    now: datetime,
    trades: Iterable[BrokerTrade] = (),
) -> Taken:
    """Write down what was told of orders and trades, whichever of it is new.

    An order is ours by its tag, or by the id that the broker gave us for it. What is told is as the broker counts it.
    One row that no column can hold leaves out nothing but itself: the news are taken row by row then.
    """
    trades = tuple(trades)
    try:
        return _taken(connection_id, orders, teller, now, trades)
    except CANNOT_BE_KEPT as error:
        logger.warning("Connection %s: its news of orders cannot be kept (%s)", connection_id, type(error).__name__)
    each = [_one(connection_id, order, teller, now, trades) for order in orders]
    return Taken(
        frozenset(pk for one in each for pk in one.spoken_of),
        tuple(child for one in each for child in one.changed),
        sum(one.left_out for one in each),
    )


def _one(
    connection_id: UUID, order: BrokerOrder, teller: Teller, now: datetime, trades: Sequence[BrokerTrade]
) -> Taken:
    """One order with its trades, or without them where these are what cannot be kept."""
    for some in (trades, ()):
        try:
            return _taken(connection_id, [order], teller, now, some)
        except CANNOT_BE_KEPT as error:
            logger.error(  # its text may quote the row
                "Connection %s: a row %s trades cannot be kept (%s)",
                connection_id,
                "with" if some else "without",
                type(error).__name__,
            )
    return Taken(frozenset(), (), left_out=1)


def _taken(
    connection_id: UUID, orders: Sequence[BrokerOrder], teller: Teller, now: datetime, trades: Iterable[BrokerTrade]
) -> Taken:
    orders = [_as_kept(order) for order in orders]
    with transaction.atomic():
        children = _locked(connection_id, orders, now)
        by_tag = {child.tag: child for child in children}
        by_id = {child.broker_order_id: child for child in children if child.broker_order_id is not None}
        ours = {
            order.broker_order_id: by_tag.get(order.tag or "") or _same(by_id.get(order.broker_order_id), order, now)
            for order in orders
        }
        _see(connection_id, orders, ours, teller, now)
        changed = [
            child
            for order in orders
            if (child := ours[order.broker_order_id]) is not None
            and _told(child, units.of_child(child, order), teller, now)
        ]
        told_of = {child.broker_order_id or "": child for child in ours.values() if child is not None}
        told_of |= {order_id: child for order_id, child in ours.items() if child is not None}
        filled = _fill(told_of, trades, now)
        for intent_id in sorted({child.intent_id for child in changed} | filled):
            story.settle(intent_id, now=now)
    return Taken(frozenset(child.pk for child in ours.values() if child is not None), tuple(changed))


def _same(child: ChildOrder | None, order: BrokerOrder, now: datetime) -> ChildOrder | None:
    """The order of this id, if it is that one: another day, or another app, may count from one again."""
    if child is None or not child.traded or child.side != order.side:
        return None
    listing = listings.of_row(child.traded).listing
    is_in_it = listing.broker_token == order.broker_token or listing.tradingsymbol == order.tradingsymbol
    day = (order.placed_at or now).astimezone(IST).date()
    return child if is_in_it and child.sent_at.astimezone(IST).date() == day else None


def _as_kept(order: BrokerOrder) -> BrokerOrder:
    """An average of many fills has more digits than a column; what is compared with a row must not."""
    if order.average_price is None:
        return order
    return replace(order, average_price=order.average_price.quantize(FINEST))


def _locked(connection_id: UUID, orders: Iterable[BrokerOrder], now: datetime) -> list[ChildOrder]:
    known = Q(broker_order_id__in=[order.broker_order_id for order in orders], sent_at__gt=now - IDS_ARE_KEPT)
    tagged = Q(tag__in=[order.tag for order in orders if order.tag])
    rows = ChildOrder.objects.filter(known | tagged, broker_connection=connection_id)
    return list(rows.select_for_update(no_key=True).order_by("pk"))


def known_of(child: ChildOrder) -> Known:
    return Known(**{name: getattr(child, name) for name in TOLD} | {"state": State(child.state)})


def _told(child: ChildOrder, order: BrokerOrder, teller: Teller, now: datetime) -> bool:
    """Let news move an order of ours. Returns whether it is another one now."""
    before = known_of(child)
    change = merged(before, order, WORD_OF[teller])
    if change.contradiction is not None:
        _contradicted(child, order, change.contradiction, teller, now)
    if change.known == before:
        return False
    _write(child, before, change, teller, now)
    return True


def _write(child: ChildOrder, before: Known, change: Change, teller: Teller, now: datetime) -> None:
    after = change.known
    facts: dict[str, Any] = {
        name: getattr(after, name) for name in TOLD if getattr(after, name) != getattr(before, name)
    }
    if after.state != before.state:
        facts["state_since"] = now
    has_reopened = before.state in ENDED and after.state not in ENDED
    if has_reopened or (teller is not Teller.BOOK and _asks_for_book(before, after)):
        facts["reconcile_due_at"] = now
    for name, value in facts.items():
        setattr(child, name, value)
    ChildOrder.objects.filter(pk=child.pk).update(**facts, version=F("version") + 1)
    child.version += 1
    if after.quantity != before.quantity:
        follow_quantity(child.intent_id, after.quantity - before.quantity)
    details = {name: _plain(value) for name, value in facts.items() if name not in NOT_TOLD}
    story.note(
        child.intent_id,
        "seen" if after.state == before.state else f"seen_{after.state.lower()}",
        teller=teller,
        now=now,
        child_id=child.pk,
        from_state=before.state,
        to_state=after.state,
        **details,
    )
    _alarm(child, before, after, teller, now)


def _asks_for_book(before: Known, after: Known) -> bool:
    """News of a fill lack its trades, and news of an order that was not known lack all else."""
    return after.filled_quantity > before.filled_quantity or (before.state in POSSIBLY_LIVE and after.state in STANDING)


NOT_TOLD = frozenset({"state", "state_since", "reconcile_due_at"})


def _alarm(child: ChildOrder, before: Known, after: Known, teller: Teller, now: datetime) -> None:
    """A rejection of what had been accepted, and an order that was taken for absent: a person must see them."""
    if after.state is State.REJECTED and before.state in STANDING:
        story.alarm(child, alerts.REJECTED_LATER, teller=teller, now=now)
    elif before.state is State.NOT_PLACED and after.state is not State.NOT_PLACED:
        story.alarm(child, alerts.FOUND_AFTER_ALL, teller=teller, now=now)


def _contradicted(child: ChildOrder, order: BrokerOrder, why: str, teller: Teller, now: datetime) -> None:
    """Keep what does not fit, once. The book is read because of news; where it is the book itself, a person looks."""
    told = {
        "why": why,
        "status": order.status.value,
        "quantity": _plain(order.quantity),
        "filled_quantity": _plain(order.filled_quantity),
    }
    if not story.note_once(child, "contradiction", teller=teller, now=now, **told):
        return
    if teller is Teller.STREAM:
        ChildOrder.objects.filter(pk=child.pk).update(reconcile_due_at=now)
    else:
        story.alarm(child, alerts.CONTRADICTED, teller=teller, now=now, **told)


# --- every order, whoever placed it -----------------------------------------------------------------------------------
def _see(
    connection_id: UUID,
    orders: Sequence[BrokerOrder],
    ours: Mapping[str, ChildOrder | None],
    teller: Teller,
    now: datetime,
) -> None:
    """Keep each order as it is told; what is as it was costs one query for all. News may be old: the book is not."""
    day = now.astimezone(IST).date()
    ids = [order.broker_order_id for order in orders]
    before = {
        row.broker_order_id: row
        for row in SeenOrder.objects.filter(broker_connection=connection_id, day=day, broker_order_id__in=ids)
    }
    rows = {order.broker_order_id: _seen(connection_id, day, order, ours[order.broker_order_id], now)
            for order in orders}  # fmt: skip
    new = [
        row
        for order_id, row in rows.items()
        if _differs(row, before.get(order_id))
        and not (teller is Teller.STREAM and _is_older(row, before.get(order_id)))
    ]
    SeenOrder.objects.bulk_create(
        new,
        update_conflicts=True,
        unique_fields=["broker_connection", "day", "broker_order_id"],
        update_fields=[*SEEN, "child", "seen_at"],
    )


def _seen(connection_id: UUID, day: Any, order: BrokerOrder, child: ChildOrder | None, now: datetime) -> SeenOrder:
    told = {name: getattr(order, name) for name in SEEN}
    return SeenOrder(
        broker_connection_id=connection_id,
        day=day,
        broker_order_id=order.broker_order_id,
        child=child,
        seen_at=now,
        **told | {"status_message": order.status_message or "", "tag": (order.tag or "")[:64]},
    )


def _is_older(row: SeenOrder, before: SeenOrder | None) -> bool:
    return before is not None and (before.status in ENDED or before.filled_quantity > row.filled_quantity)


def _differs(row: SeenOrder, before: SeenOrder | None) -> bool:
    return before is None or any(getattr(row, name) != getattr(before, name) for name in (*SEEN, "child_id"))


# --- fills ------------------------------------------------------------------------------------------------------------
def _fill(children: Mapping[str, ChildOrder], trades: Iterable[BrokerTrade], now: datetime) -> set[UUID]:
    """Keep the fills of our orders, each once. Returns whose intents have new ones."""
    fills = [
        Fill(
            child=children[trade.broker_order_id],
            trade_id=trade.trade_id,
            quantity=units.of_child(children[trade.broker_order_id], trade).quantity,
            price=trade.price,
            traded_at=trade.traded_at,
            noted_at=now,
        )
        for trade in trades
        if trade.broker_order_id in children
    ]
    known = set(Fill.objects.filter(child__in={fill.child_id for fill in fills}).values_list("child_id", "trade_id"))
    new = [fill for fill in fills if (fill.child_id, fill.trade_id) not in known]
    Fill.objects.bulk_create(new, ignore_conflicts=True)
    return {fill.child.intent_id for fill in new}


def unfilled(children: Collection[ChildOrder]) -> dict[str, Decimal]:
    """By the broker's id what we hold of each order's fills: where the book shows more, its trades are read."""
    held = {child.pk: Decimal(0) for child in children}
    for child_id, quantity in Fill.objects.filter(child__in=held).values_list("child_id", "quantity"):
        held[child_id] += quantity
    return {child.broker_order_id: held[child.pk] for child in children if child.broker_order_id is not None}


def followed(connection_id: UUID, now: datetime) -> list[ChildOrder]:
    """Orders of ours that this account's book of today may show, or whose end is not known yet."""
    recent = Q(state__in=LIVE) | Q(sent_at__gt=now - IDS_ARE_KEPT)
    return list(ChildOrder.objects.filter(recent, broker_connection=connection_id))


def give_up_cancels(children: Iterable[ChildOrder], now: datetime) -> None:
    """A cancellation that the book did not show in time did not happen: it may be asked for again."""
    asked = [child for child in children if child.cancel_asked_at is not None and child.state in STANDING]
    sent = OrderEvent.objects.filter(child__in=asked, code=CANCEL_SENT).order_by("at").values_list("child_id", "at")
    last = dict(sent) if asked else {}
    for child in asked:
        if child.pk not in last or now - last[child.pk] < CANCEL_PATIENCE:
            continue
        rows = ChildOrder.objects.filter(pk=child.pk, cancel_asked_at=child.cancel_asked_at, state__in=STANDING)
        with transaction.atomic():
            if rows.update(cancel_asked_at=None, version=F("version") + 1):
                story.note(child.intent_id, "cancel_did_not_happen", teller=Teller.BOOK, now=now, child_id=child.pk)
                story.settle(child.intent_id, now=now)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value if value is None or isinstance(value, str) else str(value)
