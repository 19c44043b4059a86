"""Sending: every order is committed as SENDING before its call, and called for once.

Slices go to one connection one after the other, and connections are served at the same time. What becomes of each is
one conditional UPDATE. Nobody sends it again: see `lifecycle.after_call`, `reconciling` and `failover`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from brokers import registry, services
from brokers.base import BrokerClient
from brokers.dealing import OrderRequest, Traded
from brokers.domain import ZERO, Exchange, OrderType
from brokers.errors import BrokerError, BrokerUnavailable, HeldBack, NotSupported, RateLimited, SessionEnded
from brokers.models import BrokerConnection
from orders import calling, door, keys, listings, overtaken, push, story
from orders.calling import CALL_SECONDS, LAPSE, TRADING_OFF, Answer, Clients, Stopwatch
from orders.changing import cancel as cancel
from orders.changing import cancel_all as cancel_all
from orders.changing import is_cancelled
from orders.changing import modify as modify
from orders.checks import clearing
from orders.checks.clearing import Cleared
from orders.lifecycle import ENDED, State, after_call, next_reconcile
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent, Origin, RoutingDecision, Teller
from orders.tags import new_tag
from portfolio import halting
from portfolio.latch import May

logger = logging.getLogger(__name__)

# Between two slices at one broker.
PAUSE_SECONDS = 0.12
# A call that has not begun after so long is not made: it would end after its order was given up.
START_SECONDS = LAPSE.total_seconds() - 2 * CALL_SECONDS
# How soon the book is first looked at for an order that was taken.
FIRST_LOOK = timedelta(seconds=1)
TOO_MUCH = "too_much_decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChild:
    """One order of a decision, in units and INR; what is None is as the intent says.

    `protection_pct` and `algo_id`: see `OrderRequest`.
    """

    connection_id: UUID
    exchange: Exchange
    quantity: Decimal
    order_type: OrderType | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    protection_pct: Decimal | None = None
    algo_id: str | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> PlannedChild:
        """From one of `answer["children"]`; numbers are strings there, and further keys are left alone."""
        order_type = plain.get("order_type")
        return cls(
            connection_id=UUID(str(plain["connection_id"])),
            exchange=Exchange(plain["exchange"]),
            quantity=Decimal(plain["quantity"]),
            order_type=None if order_type is None else OrderType(order_type),
            price=_number(plain, "price"),
            trigger_price=_number(plain, "trigger_price"),
            protection_pct=_number(plain, "protection_pct"),
            algo_id=plain.get("algo_id"),
        )


def _number(plain: Mapping[str, Any], name: str) -> Decimal | None:
    value = plain.get(name)
    return None if value is None else Decimal(value)


def planned(decision: RoutingDecision) -> list[PlannedChild]:
    """The orders of a decision, in the order in which they are sent."""
    return [PlannedChild.of(plain) for plain in decision.answer["children"]]


def send(
    *,
    intent: OrderIntent,
    decision: RoutingDecision,
    now: datetime,
    replaces: Sequence[ChildOrder] = (),
    pause: Callable[[float], None] = time.sleep,
    clients: Clients = calling.clients_for,
) -> bool:
    """Send a decision's orders, each at most once, and wait for the answers. Not within a transaction.

    Returns whether this call did: a decision is sent once, and only while its intent is WORKING. `replaces` are orders
    that ended elsewhere and whose quantity this is. What became of it stands in the rows.
    """
    run = _Run(intent, decision, Stopwatch.started(now), replaces, pause)
    lanes = run.prepare(planned(decision), clients)
    if not run.begin(lanes):
        return False
    try:
        run.work(lanes)
    finally:
        run.end()
    return True


@dataclass(slots=True)
class _Lane:
    """What goes to one connection, one after the other."""

    connection: BrokerConnection
    client: BrokerClient | BrokerError
    queue: deque[tuple[PlannedChild, Traded | NotSupported]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A call under way. `until` is when it is given up, by the monotonic clock."""

    lane: _Lane
    child: ChildOrder
    until: float


class _Run:
    """One sending of one decision."""

    def __init__(
        self,
        intent: OrderIntent,
        decision: RoutingDecision,
        watch: Stopwatch,
        replaces: Sequence[ChildOrder],
        pause: Callable[[float], None],
    ) -> None:
        self.intent = intent
        self.decision = decision
        self.watch = watch
        self.replaced = deque(replaces)
        # Of what is sent, so much was asked for before; only the rest was unsent until now.
        self.asked_before = sum((child.quantity - child.filled_quantity for child in replaces), ZERO)
        self.is_move = bool(replaces)
        self.pause = pause
        self.may = May.CLOSE if intent.origin == Origin.SQUARE_OFF else May.OPEN
        self.cleared: Cleared | None = None
        self.running: dict[Future[Answer], _Sent] = {}

    # --- before -------------------------------------------------------------------------------------------------------
    def prepare(self, orders: Sequence[PlannedChild], clients: Clients) -> list[_Lane]:
        ids = {order.connection_id for order in orders}
        rows = BrokerConnection.objects.filter(pk__in=ids, user=self.intent.user_id).select_related("user")
        connections = {row.pk: row for row in rows.prefetch_related("user__broker_apps")}
        open_ones = [row for row in connections.values() if calling.takes_orders(row)]
        asked = clients(open_ones, self.watch.began)
        wanted = {(connections[o.connection_id].broker_type, o.exchange) for o in orders if o.connection_id in asked}
        names = listings.traded(self.intent.instrument, wanted) if wanted else {}
        lanes: dict[UUID, _Lane] = {}
        for order in orders:
            connection = connections.get(order.connection_id)
            if connection is None:
                continue
            client = asked.get(connection.pk, TRADING_OFF)
            lane = lanes.setdefault(connection.pk, _Lane(connection, client))
            name = names.get((connection.broker_type, order.exchange), TRADING_OFF)
            lane.queue.append((order, name))
        return list(lanes.values())

    def begin(self, lanes: Sequence[_Lane]) -> bool:
        """Write the first order of each lane, if nobody sent this decision before."""
        now = self.watch.now()
        with transaction.atomic():
            keys.take_turn(self.intent.user)  # whatever of this person's is written down later sees this one
            # What they hold is not to change while it is reckoned with; children are locked before their intent.
            list(self.intent.children.select_for_update(no_key=True).order_by("pk").values_list("pk"))
            if not self._may_go_on():
                return False
            if (held := self._not_cleared() or self._held_back()) is not None:
                self._end_held(held, now)
                return False
            runs = OrderEvent.objects.filter(intent=self.intent, code=story.BEGAN)
            if runs.filter(details__decision=self.decision.pk).exists():
                return False
            if self._is_too_much(sum((order.quantity for lane in lanes for order, _ in lane.queue), ZERO), now):
                return False
            story.note(self.intent.pk, story.BEGAN, teller=Teller.ROUTER, now=now, decision=self.decision.pk)
            if not self.replaced:
                OrderIntent.objects.filter(pk=self.intent.pk).update(unsent_quantity=F("quantity"))
            open_now = calling.open_now(lane.connection.pk for lane in lanes)
            for lane in lanes:
                if lane.connection.pk not in open_now:  # closed since its client was made
                    lane.client = TRADING_OFF
            children = self._written(lanes, now)
        for lane, child, request in children:
            self._call(lane, child, request, wait_first=False)
        push.order_update(self.intent.pk)
        return True

    def _may_go_on(self) -> bool:
        status = (
            OrderIntent.objects.select_for_update(no_key=True)
            .filter(pk=self.intent.pk)
            .values_list("status", flat=True)
            .first()
        )
        return status == IntentStatus.WORKING and not is_cancelled(self.intent.pk)

    def _not_cleared(self) -> HeldBack | None:
        """Why the decision, as it is stored, lets nothing out: without a run of all checks that passes none does."""
        try:
            self.cleared = clearing.of_stored(self.decision.answer, confirmed=self.intent.decided_at is not None)
        except clearing.NotCleared as error:
            logger.error("Decision %s lets nothing out: %s", self.decision.pk, error.code)
            return HeldBack(error.words, code=error.code, user_action="Place it again, and see its checks.")
        return None

    def _held_back(self) -> HeldBack | None:
        """Why nothing of it may be written down now. Whoever halts waits for this commit, or is seen here."""
        if (held := halting.held_by_latch(self.intent.user_id)) is not None:
            return held  # while it is being written down, and that may take long, nobody waits for it
        halting.share_gate(self.intent.user_id)
        standing, judged = halting.standing(self.intent.user_id), overtaken.judged(self.intent, self.decision)
        if self.may is not May.CLOSE:
            self.may = May.REDUCE if standing.halts and judged.reduces else May.OPEN
        return standing.refusal(self.may) or judged.held

    def _end_held(self, held: HeldBack, now: datetime) -> None:
        """Nothing of it was sent: it ends. A part that was to move stays where it ended."""
        if self.intent.children.exists():
            return
        facts = {"status": IntentStatus.NOT_PLACED, "status_since": now, "version": F("version") + 1}
        said = {"reason_code": held.code, "reason": calling.why_not(held)}
        if OrderIntent.objects.filter(pk=self.intent.pk, status=IntentStatus.WORKING).update(**facts, **said):
            story.note(
                self.intent.pk,
                held.code,
                teller=Teller.ROUTER,
                now=now,
                from_state=IntentStatus.WORKING,
                to_state=IntentStatus.NOT_PLACED,
            )
            push.order_update(self.intent.pk)

    def _is_too_much(self, quantity: Decimal, now: datetime) -> bool:
        """Whether so much cannot be sent without sending something twice: then a line tells of it, and nothing goes.

        Free is what of the intent is not filled and not, or possibly not, at a broker; of a move, what it replaces.
        """
        wanted = OrderIntent.objects.values_list("quantity", flat=True).get(pk=self.intent.pk)
        rows = ChildOrder.objects.filter(intent=self.intent).values_list("state", "quantity", "filled_quantity")
        free = wanted - sum((filled if state in ENDED else whole for state, whole, filled in rows), ZERO)
        if self.is_move:
            free = min(free, self.asked_before)
        if quantity <= free:
            return False
        told: dict[str, Any] = {
            "asked": f"{quantity.normalize():f}",
            "free": f"{free.normalize():f}",
            "decision": self.decision.pk,
        }
        story.note(self.intent.pk, TOO_MUCH, teller=Teller.ROUTER, now=now, **told)
        logger.error("Decision %s asks for more of its order than may be sent", self.decision.pk)
        return True

    def _written(
        self, lanes: Iterable[_Lane], now: datetime
    ) -> list[tuple[_Lane, ChildOrder, OrderRequest | BrokerError]]:
        """The next order of each of these lanes as a row that says SENDING."""
        number = ChildOrder.objects.filter(intent=self.intent).count()
        made: list[tuple[_Lane, ChildOrder, OrderRequest | BrokerError]] = []
        for lane in lanes:
            if lane.queue:
                number += 1
                order, name = lane.queue.popleft()
                made.append((lane, *self._child(lane, order, name, number, now)))
        ChildOrder.objects.bulk_create([child for _, child, _ in made])
        OrderEvent.objects.bulk_create(
            OrderEvent(
                intent=self.intent,
                child=child,
                at=now,
                teller=Teller.ROUTER,
                code="sending",
                to_state=State.SENDING,
                details={"replaces": str(child.replaces_id)} if child.replaces_id else {},
            )
            for _, child, _ in made
        )
        newly = self._newly_asked(sum((child.quantity for _, child, _ in made), ZERO))
        if newly:
            rows = OrderIntent.objects.filter(pk=self.intent.pk)
            rows.update(unsent_quantity=F("unsent_quantity") - newly)
        return made

    def _newly_asked(self, quantity: Decimal) -> Decimal:
        again = min(quantity, self.asked_before)
        self.asked_before -= again
        return quantity - again

    def _child(
        self, lane: _Lane, order: PlannedChild, name: Traded | NotSupported, number: int, now: datetime
    ) -> tuple[ChildOrder, OrderRequest | BrokerError]:
        intent = self.intent
        order_type = order.order_type or OrderType(intent.order_type)
        child = ChildOrder(
            intent=intent,
            decision=self.decision,
            broker_connection=lane.connection,
            broker_type=lane.connection.broker_type,
            number=number,
            replaces=self.replaced.popleft() if self.replaced else None,
            exchange=order.exchange,
            traded={} if isinstance(name, BrokerError) else listings.plain(name),
            side=intent.side,
            order_type=order_type,
            product=intent.product,
            validity=intent.validity,
            quantity=order.quantity,
            price=intent.price if order.price is None else order.price,
            trigger_price=intent.trigger_price if order.trigger_price is None else order.trigger_price,
            tag=new_tag(),
            request_hash="",
            state=State.SENDING,
            state_since=now,
            sent_at=now,
            reconcile_due_at=now + LAPSE,
        )
        if isinstance(name, BrokerError):
            return child, name
        request = door.request_for(child, name, protection_pct=order.protection_pct, algo_id=order.algo_id)
        child.request_hash = calling.request_hash(request)
        return child, request

    # --- the calls ----------------------------------------------------------------------------------------------------
    def _call(self, lane: _Lane, child: ChildOrder, request: OrderRequest | BrokerError, *, wait_first: bool) -> None:
        client, slug = lane.client, lane.connection.broker_type
        user_id, tag, may = self.intent.user_id, child.tag, self.may
        cleared, own = self.cleared, str(lane.connection.pk)
        pause = self.pause if wait_first else None
        began = time.monotonic()

        def place() -> Answer:
            for refusal in (client, request):
                if isinstance(refusal, BrokerError):
                    return Answer(error=refusal, is_sent=False)
            if pause is not None:
                pause(PAUSE_SECONDS)
            if time.monotonic() > began + START_SECONDS:  # whoever reconciles may have concluded that it never left
                return Answer(error=BrokerUnavailable("Its turn came too late; it was not sent."), is_sent=False)
            assert isinstance(client, BrokerClient)  # noqa: S101 - told above
            assert isinstance(request, OrderRequest)  # noqa: S101
            assert cleared is not None  # noqa: S101 - else it had not begun
            return calling.guarded(
                lambda guarded: door.place(guarded, request, cleared, own),
                client.within(CALL_SECONDS),
                user_id=user_id,
                tag=tag,
                may=may,
            )

        until = began + LAPSE.total_seconds()
        self.running[calling.submit(slug, place)] = _Sent(lane, child, until)

    def work(self, lanes: Sequence[_Lane]) -> None:
        while self.running:
            ends = min(sent.until for sent in self.running.values())
            done, _ = wait(self.running, timeout=max(0.0, ends - time.monotonic()), return_when=FIRST_COMPLETED)
            late = {future for future, sent in self.running.items() if sent.until <= time.monotonic()}
            for future in done | late:
                sent = self.running.pop(future)
                state = self._note(sent.child, _answer(future), sent.lane)
                if state is State.PENDING and sent.lane.queue:
                    self._next(sent.lane, sent.child)
        # Whatever stopped one lane, the others went on to their ends: what is left in them was never written.

    def _next(self, lane: _Lane, before: ChildOrder) -> None:
        written: list[tuple[_Lane, ChildOrder, OrderRequest | BrokerError]] = []
        with transaction.atomic():
            now = self.watch.now()
            keys.take_turn(self.intent.user)
            if self._may_go_on():
                if (why := self._held_back() or _closed(lane)) is not None:
                    self._stop(why, before, now)
                elif not self._is_too_much(lane.queue[0][0].quantity, now):
                    written = self._written([lane], now)
        for _, child, request in written:
            self._call(lane, child, request, wait_first=True)

    def _stop(self, why: HeldBack | NotSupported, before: ChildOrder, now: datetime) -> None:
        """What is left behind this order is not written down, and so never sent; the intent says why."""
        reason = calling.why_not(why)
        rows = OrderIntent.objects.filter(pk=self.intent.pk)
        rows.update(reason_code=why.code, reason=reason, version=F("version") + 1)
        said = {"error_code": why.code, "reason": reason}
        story.note(self.intent.pk, story.STOPPED, teller=Teller.ROUTER, now=now, child_id=before.pk, **said)

    # --- after --------------------------------------------------------------------------------------------------------
    def _note(self, child: ChildOrder, answer: Answer, lane: _Lane) -> State:
        now = self.watch.now()
        spec = registry.load(child.broker_type).spec
        state = note_answer(child, answer, throttled=spec.order_rules.throttled_before_entry, now=now)
        if isinstance(answer.error, SessionEnded | RateLimited) and isinstance(lane.client, BrokerClient):
            services.learn(lane.connection, answer.error, now)
        return state

    def end(self) -> None:
        now = self.watch.now()
        with transaction.atomic():
            story.note(self.intent.pk, story.OVER, teller=Teller.ROUTER, now=now, decision=self.decision.pk)
            story.settle(self.intent.pk, now=now)


def _closed(lane: _Lane) -> NotSupported | None:
    """Why nothing more goes to a connection that orders went to a moment ago, if its owner closed it since."""
    if calling.open_now([lane.connection.pk]):
        return None
    left = sum((order.quantity for order, _ in lane.queue), ZERO)
    name = lane.connection.display_name or lane.connection.broker_name
    return NotSupported(
        f"Trading was turned off at {name} before the rest of it was sent there: {left.normalize():f} of it stayed"
        " unsent.",
        code=TRADING_OFF.code,
        user_action="Turn it on for this connection, with a fresh second factor, and place the rest.",
    )


def _answer(future: Future[Answer]) -> Answer:
    """Of a call that is over, or is given up: one that no thread had begun never left."""
    if future.cancel():
        return Answer(
            error=BrokerUnavailable("The broker's other calls took too long; it was not sent."), is_sent=False
        )
    if not future.done():
        return Answer(error=TimeoutError())
    return future.result()


def note_answer(child: ChildOrder, answer: Answer, *, throttled: bool, now: datetime) -> State:
    """Write down what a call brought. Where the broker's book was faster it stays what the book says.

    Returns the state that the answer alone would make.
    """
    state = after_call(answer.error, throttled_before_entry=throttled) if answer.is_sent else State.NOT_PLACED
    if state is State.PENDING and not answer.value:
        state = State.UNKNOWN  # a yes without an id is no answer that we know
    facts: dict[str, Any] = {"reason_code": answer.code, "reason": answer.reason, "reconcile_due_at": None}
    only = {State.SENDING, State.UNKNOWN}
    if state is State.PENDING:
        only |= {State.NOT_PLACED}
        facts |= {"broker_order_id": answer.value, "answered_at": now, "reconcile_due_at": now + FIRST_LOOK}
    elif state is State.UNKNOWN:
        only = {State.SENDING}
        facts |= {"unknown_since": now, "reconcile_attempts": 0, "reconcile_due_at": now + next_reconcile(0)}
    elif state is State.REJECTED:
        facts["answered_at"] = now
    code = f"call_{state.lower()}"
    details = {"error_code": answer.code, "reason": answer.reason} if answer.error is not None else {}
    if not story.moved(child, state, only=only, teller=Teller.CALL, code=code, now=now, details=details, **facts):
        _note_late(child, answer, state, details, now)
    return state


def _note_late(child: ChildOrder, answer: Answer, state: State, details: dict[str, str], now: datetime) -> None:
    """The book told of it first, or its time ran out: the answer adds its id, and is otherwise only kept."""
    with transaction.atomic():
        if answer.value:
            rows = ChildOrder.objects.filter(pk=child.pk)
            rows.filter(broker_order_id=None).update(broker_order_id=answer.value)
            rows.update(answered_at=now)
        teller, told = Teller.CALL, {**details, "answer": state.value}
        story.note(child.intent_id, "answered_late", teller=teller, now=now, child_id=child.pk, **told)
