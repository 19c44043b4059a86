"""The way in: an order is previewed, taken in once, decided, stored, and handed over to be sent.

    key and intent (one short transaction) → facts → decision → stored (another one) → `sending.send`

Preview takes the two steps in the middle and no other. No transaction is open while a broker is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.events import Event
from accounts.models import User
from brokers.domain import Exchange, OrderType, Product, Side, Validity
from orders import deciding, keys, push, sending, story
from orders.decisions import Decision
from orders.facts import Facts, Wanted, Why
from orders.inputs import InstrumentUnknown, gather_all
from orders.keys import Claimed
from orders.lifecycle import POSSIBLY_LIVE
from orders.models import (
    IntentStatus,
    OrderGroup,
    OrderIntent,
    Origin,
    RoutingDecision,
    Teller,
)
from orders.problems import USUAL_TICK
from orders.rates import current_rates
from orders.refusals import UnknownConnection, UnknownInstrument
from orders.rules import protected_price
from portfolio import halting
from portfolio.latch import May

logger = logging.getLogger(__name__)

Gather = Callable[..., list[Facts]]
Send = Callable[..., bool]
MOST_AT_ONCE = 20
# Whoever took an order in and has not decided by then is no more.
UNDECIDED_AFTER = timedelta(seconds=60)
# Nor whoever has not begun to send one by then, be it the last of the largest basket.
UNSENT_AFTER = timedelta(minutes=15)
NOT_SENT = Why(
    code="not_sent",
    words="It was decided where the order goes, and something failed before it went; nothing was sent.",
    remedy="Place it again, with a new key.",
)
NOT_DECIDED = Why(
    code="not_decided",
    words="Something failed before it was decided where the order goes; nothing was sent.",
    remedy="Place it again, with a new key.",
)
NOT_WHOLE = Why(
    code="not_wholly_routable",
    words="A part of it can go nowhere now, and of a basket all goes or nothing.",
    remedy="Make it smaller, or place it by itself.",
)
WITH_BASKET = Why(
    code="approval_basket",
    words="Another order of the basket waits for approval, and so all of them do.",
    remedy="Approve it with a fresh second factor, before its time is over.",
)
WHOLE_BASKET = Why(
    code="basket_refused",
    words="Another order of the basket cannot go, and so none was sent.",
    remedy="See the others; leave out or correct the one that was refused.",
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a key stands for. `is_new`: this call made it."""

    intents: tuple[OrderIntent, ...]
    group: OrderGroup | None
    is_new: bool


# --- preview ----------------------------------------------------------------------------------------------------------
def preview(*, user: User, wanted: Sequence[Wanted], now: datetime, gather: Gather = gather_all) -> list[Decision]:
    """What would come of these, placed together now: the same as comes of them. Nothing is kept.

    Raises UnknownInstrument, UnknownConnection, NoBrokerConnections.
    """
    _check_connections(user, wanted)
    return decided(user, wanted, now, gather)


def decided(
    user: User,
    wanted: Sequence[Wanted],
    now: datetime,
    gather: Gather = gather_all,
    intent: OrderIntent | None = None,
    repeats_confirmed: bool = False,
) -> list[Decision]:
    """One after another: each finds the money and shares that those before it leave. `intent`: see `inputs.gather`.

    `repeats_confirmed`: whoever asks has said that the same order shall go a second time.
    """
    try:
        every = gather(user, wanted, now=now, intent=intent)
    except InstrumentUnknown:
        raise UnknownInstrument from None
    rates, decisions = current_rates(), list[Decision]()
    for facts, each in zip(every, wanted, strict=True):
        for before in decisions:
            facts = deciding.after(before, facts)
        if facts.risk is not None:
            facts = replace(facts, risk=replace(facts.risk, repeats_confirmed=repeats_confirmed))
        decisions.append(deciding.decide(facts, each, rates))
    return decisions


# --- taking in --------------------------------------------------------------------------------------------------------
def create(
    *,
    user: User,
    wanted: Sequence[Wanted],
    key: str | None,
    now: datetime,
    origin: Origin = Origin.ORDER,
    confirm_duplicate: bool = False,
    guard: Callable[[], None] | None = None,
    request_hash: str | None = None,
    gather: Gather = gather_all,
    send: Send = sending.send,
) -> Taken:
    """Take orders in once, and send them: one by itself, or several as a group, all or none.

    The same key and the same wish answer the same rows for ever. What breaks a rule or finds no broker is kept as
    REFUSED, with the reason; what needs approval waits. `guard` stands for the look for a duplicate, and like that
    is asked while nobody else takes in an order of this person. Raises the refusals of `orders.refusals`,
    NoBrokerConnections; TradingHalted, TradingUnreadable, before a key is used up.
    """
    _check_connections(user, wanted)
    if (before := keys.known(user, keys.checked_key(key), request_hash or keys.hash_of(origin, wanted))) is not None:
        return Taken(before.intents, before.group, is_new=False)
    check_halts(user, wanted)
    claimed = keys.claim(
        user=user,
        key=keys.checked_key(key),
        request_hash=request_hash or keys.hash_of(origin, wanted),
        make=lambda: _rows(user, wanted, origin, now),
        guard=guard or (lambda: None if confirm_duplicate else keys.refuse_duplicate(user, wanted, now)),
        now=now,
    )
    if not claimed.is_new:
        return Taken(claimed.intents, claimed.group, is_new=False)
    try:
        first = claimed.intents[0] if claimed.group is None else None
        decisions = decided(user, wanted, now, gather, first, repeats_confirmed=True)
    except BaseException:
        refuse(claimed.intents, NOT_DECIDED, IntentStatus.NOT_PLACED, now)
        raise
    stored = store(claimed, decisions, now)
    for intent, decision in stored:
        if intent.status == IntentStatus.WORKING:
            send(intent=intent, decision=decision, now=now)
            intent.refresh_from_db()
    return Taken(claimed.intents, claimed.group, is_new=True)


def taken_before(user: User, key: str | None, request_hash: str) -> Taken | None:
    """What this key was used for before; None: it is new. Raises KeyMissing, KeyReused."""
    claimed = keys.known(user, keys.checked_key(key), request_hash)
    return None if claimed is None else Taken(claimed.intents, claimed.group, is_new=False)


def _check_connections(user: User, wanted: Sequence[Wanted]) -> None:
    named = {each for one in wanted for each in one.connection_ids}
    own = {str(pk) for pk in user.broker_connections.filter(pk__in=named).values_list("pk", flat=True)}
    if named - own:
        raise UnknownConnection


def check_halts(user: User, wanted: Sequence[Wanted]) -> None:
    """Whether an order reduces is known only when it is decided: where that may pass, sending looks again."""
    standing = halting.standing(user.pk)
    may = May.CLOSE if all(each.reduces for each in wanted) else May.OPEN
    if not standing.passes(may) and not standing.passes(May.REDUCE):
        halting.check(user.pk, may)


def _rows(
    user: User, wanted: Sequence[Wanted], origin: Origin, now: datetime
) -> tuple[list[OrderIntent], OrderGroup | None]:
    is_group = origin in (Origin.BASKET, Origin.COPY)
    group = OrderGroup.objects.create(user=user, origin=origin, created_at=now) if is_group else None
    intents = []
    for number, each in enumerate(wanted):
        moment = now + timedelta(microseconds=number)  # they stay in the order they were asked for
        intent = OrderIntent.objects.create(
            user=user,
            group=group,
            origin=origin,
            instrument_id=each.instrument_id,
            side=each.side,
            order_type=each.order_type,
            product=each.product,
            validity=each.validity,
            quantity=each.quantity,
            price=each.price,
            trigger_price=each.trigger_price,
            exchanges=list(each.exchanges),
            connection_ids=list(each.connection_ids),
            created_at=moment,
            valid_until=each.valid_until,
            status=IntentStatus.WORKING,
            status_since=now,
            unsent_quantity=each.quantity,
        )
        story.note(intent.pk, "asked", teller=Teller.TRADER, now=now, to_state=intent.status)
        intents.append(intent)
    return intents, group


@transaction.atomic
def store(claimed: Claimed, decisions: Sequence[Decision], now: datetime) -> list[tuple[OrderIntent, RoutingDecision]]:
    """Keep what was decided, and what that makes of each order. Of a group none goes unless all go.

    Where deciding took so long that one of them was ended meanwhile (`settle_undecided`), nothing is stored or sent.
    """
    rows = OrderIntent.objects.select_for_update(no_key=True).filter(pk__in=[intent.pk for intent in claimed.intents])
    held = {row.pk: row for row in rows.order_by("pk")}
    if any(row.status != IntentStatus.WORKING for row in held.values()):
        logger.warning("What was decided came too late: order %s had been ended", claimed.intents[0].pk)
        for intent in claimed.intents:
            intent.refresh_from_db()
        return []
    for intent in claimed.intents:
        intent.version = held[intent.pk].version
    whole = claimed.group is None or all(decision.answer.is_whole for decision in decisions)
    needed = [each.answer.needs_approval for each in decisions if each.answer.needs_approval is not None]
    stored = []
    for intent, decision in zip(claimed.intents, decisions, strict=True):
        row = keep(intent, decision, now)
        waits = decision.answer.needs_approval or (WITH_BASKET if needed else None)
        _become(intent, decision, whole, waits, now)
        stored.append((intent, row))
    for intent in claimed.intents:
        audit.record(
            Event.ORDER_PLACED,
            subject=intent.user,
            thing=("order", intent.pk),
            now=now,
            status=intent.status,
            origin=intent.origin,
        )
    return stored


def keep(intent: OrderIntent, decision: Decision, now: datetime) -> RoutingDecision:
    """One more decision of an order, whole."""
    return RoutingDecision.objects.create(
        intent=intent,
        made_at=now,
        problem=decision.stored_problem(),
        answer=decision.stored_answer(),
        solver=decision.answer.solver[:40],
        microseconds=decision.microseconds,
    )


def _become(intent: OrderIntent, decision: Decision, whole: bool, waits: Why | None, now: datetime) -> None:
    answer = decision.answer
    prices = [price.last_price for price in decision.facts.prices.values()]
    intent.market_price = prices[0] if prices else None
    intent.unsent_quantity = intent.quantity
    due = now + timedelta(minutes=decision.facts.choices.approval_minutes)
    if not answer.is_sent:
        _end(intent, answer.refusals[0], IntentStatus.REFUSED, now)
    elif not whole:
        _end(intent, WHOLE_BASKET if answer.is_whole else NOT_WHOLE, IntentStatus.REFUSED, now)
    elif waits is not None:
        intent.status, intent.status_since, intent.approval_due_at = IntentStatus.AWAITING_APPROVAL, now, due
        intent.reason_code, intent.reason = waits.code, waits.words
        story.note(intent.pk, "awaits_approval", teller=Teller.ROUTER, now=now, to_state=intent.status)
    else:
        story.note(intent.pk, "decided", teller=Teller.ROUTER, now=now, to_state=intent.status)
    intent.version += 1
    intent.save()
    push.order_update(intent.pk)


def _end(intent: OrderIntent, why: Why, status: IntentStatus, now: datetime) -> None:
    story.note(intent.pk, why.code[:40], teller=Teller.ROUTER, now=now, from_state=intent.status, to_state=status)
    intent.status, intent.status_since = status, now
    intent.reason_code, intent.reason = why.code[:60], f"{why.words} {why.remedy}"


@transaction.atomic
def refuse(intents: Sequence[OrderIntent], why: Why, status: IntentStatus, now: datetime) -> None:
    """End orders of which nothing was sent, unless somebody ended them before."""
    for intent in intents:
        held = OrderIntent.objects.select_for_update(no_key=True).filter(pk=intent.pk, status=intent.status).first()
        if held is None:
            intent.refresh_from_db()
            continue
        intent.version = held.version
        _end(intent, why, status, now)
        intent.version += 1
        intent.save()
        push.order_update(intent.pk)


def settle_undecided(now: datetime) -> int:
    """End what somebody took in and never sent, because their process is no more; returns how many.

    `sending` looks at the status under a lock before it writes the first child: of the two, one comes too late.
    """
    rows = OrderIntent.objects.filter(
        status=IntentStatus.WORKING, children=None, status_since__lt=now - UNDECIDED_AFTER
    )
    count = 0
    for row in rows.filter(decisions=None):
        count += refuse_unsent(row, NOT_DECIDED, IntentStatus.NOT_PLACED, now)
    # Orders of a basket go one after another: what is decided may have to wait for its turn.
    for row in rows.filter(status_since__lt=now - UNSENT_AFTER).exclude(decisions=None):
        count += refuse_unsent(row, NOT_SENT, IntentStatus.NOT_PLACED, now)
    return count


@transaction.atomic
def refuse_unsent(intent: OrderIntent, why: Why, status: IntentStatus, now: datetime) -> bool:
    """End an order of which nothing was sent, unless somebody is quicker."""
    row = OrderIntent.objects.select_for_update(no_key=True).filter(pk=intent.pk, status=intent.status).first()
    if row is None or row.children.exists():
        return False
    _end(row, why, status, now)
    row.version += 1
    row.save()
    push.order_update(row.pk)
    return True


# --- for others -------------------------------------------------------------------------------------------------------
def wanted_of(intent: OrderIntent, quantity: Decimal | None = None, avoid: Collection[UUID] = ()) -> Wanted:
    """What an order wants, or still wants."""
    return Wanted(
        instrument_id=intent.instrument_id,
        side=Side(intent.side),
        order_type=OrderType(intent.order_type),
        product=Product(intent.product),
        validity=Validity(intent.validity),
        quantity=intent.quantity if quantity is None else quantity,
        price=intent.price,
        trigger_price=intent.trigger_price,
        exchanges=tuple(Exchange(each) for each in intent.exchanges),
        connection_ids=tuple(intent.connection_ids),
        valid_until=intent.valid_until,
        reduces=intent.origin == Origin.SQUARE_OFF,
        avoids=tuple(sorted(map(str, avoid))),
    )


def decide_anew(
    intent: OrderIntent,
    quantity: Decimal,
    avoid: frozenset[UUID],
    now: datetime,
    gather: Gather = gather_all,
) -> RoutingDecision | None:
    """A fresh decision about a part of an order that was proved unexecuted, kept; None: it goes nowhere.

    `quantity` is that part alone. What may stand somewhere is no part of it, and its broker is left out: reckoned
    with and taken off again, it would be routed as soon as its account is not among those that are asked.
    """
    live = intent.children.filter(state__in=POSSIBLY_LIVE).exclude(broker_connection=None)
    avoid = avoid | frozenset(live.values_list("broker_connection_id", flat=True))
    (decision,) = decided(intent.user, [wanted_of(intent, quantity, avoid)], now, gather)
    row = keep(intent, decision, now)
    if not decision.answer.is_sent:
        return None
    why = _held_back(intent, decision)
    if why is None:
        return row
    story.note(intent.pk, why, teller=Teller.ROUTER, now=now, decision=row.pk)
    return None


def _held_back(intent: OrderIntent, decision: Decision) -> str | None:
    """Why what could go elsewhere does not, by itself: a person would have to look at it first."""
    if decision.answer.needs_approval is not None and intent.decided_at is None:
        return "move_needs_approval"
    if intent.order_type == OrderType.MARKET and not all(
        _is_near(intent, decision.facts, child.exchange) for child in decision.answer.children
    ):
        return "move_beyond_collar"
    return None


def _is_near(intent: OrderIntent, facts: Facts, exchange: Exchange) -> bool:
    """Whether an order at any price still finds one that its protected price, when it was asked for, allowed."""
    priced, place = facts.prices.get(exchange), facts.tradables[exchange]
    if priced is None or intent.market_price is None:
        return False
    side = Side(intent.side)
    worst = protected_price(side, intent.market_price, place.kind, place.tick_size or USUAL_TICK)
    return priced.last_price <= worst if side is Side.BUY else priced.last_price >= worst
