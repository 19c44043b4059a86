"""Failover: only what provably was not executed moves, once, and after a fresh decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from brokers.domain import OrderStatus
from brokers.errors import BrokerUnavailable, OrderRejected, RequestRefused
from brokers.models import BrokerConnection
from orders import changing, failover, reconciling, sending
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderIntent, Origin, RoutingDecision
from tests.orders.conftest import NOW, Wish, child_of, codes, decide, later
from tests.orders.fakes import LOST_REPLY, LOST_REQUEST, Desk, Desks

pytestmark = pytest.mark.django_db


@dataclass
class Decider:
    """Sends everything to one account, or nowhere; remembers what it was asked."""

    account: BrokerConnection | None
    asked: list[tuple[Decimal, frozenset[UUID]]] = field(default_factory=list)

    def __call__(
        self, intent: OrderIntent, quantity: Decimal, avoid: frozenset[UUID], now: datetime
    ) -> RoutingDecision | None:
        self.asked.append((quantity, avoid))
        if self.account is None:
            return None
        return decide(intent, (self.account, int(quantity)))


@pytest.fixture
def decider(accounts: dict[str, BrokerConnection]) -> Decider:
    decides = Decider(accounts["upstox"])
    failover.decide_by(decides)
    return decides


Send = Callable[..., OrderIntent]


@pytest.fixture
def send(wish: Wish, desk: Desk, desks: Desks) -> Send:
    def sent(*faults: Any, parts: tuple[tuple[str, int], ...] = (("zerodha", 10),), **facts: Any) -> OrderIntent:
        desk.faults.extend(faults)
        intent, decision = wish(*parts, **facts)
        sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=lambda seconds: None)
        return intent

    return sent


def move(desks: Desks, seconds: float) -> None:
    for intent_id in failover.due(later(seconds)):
        failover.move(intent_id, now=later(seconds), clients=desks)


def test_what_never_left_goes_to_another_broker(
    send: Send, decider: Decider, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    intent = send(BrokerUnavailable("it cannot be reached"))
    intent.refresh_from_db()
    assert intent.status == IntentStatus.WORKING
    move(desks, 1)
    second = child_of(intent, 2)
    assert (second.broker_type, second.quantity, second.replaces) == ("upstox", 10, child_of(intent))
    assert decider.asked == [(10, frozenset({accounts["zerodha"].pk}))]
    desks[accounts["upstox"]].tell("u-1", OrderStatus.FILLED, 10)
    reconciling.run(later(4), desks)
    intent.refresh_from_db()
    assert (intent.status, intent.unsent_quantity) == (IntentStatus.FILLED, 0)
    move(desks, 5)
    assert len(decider.asked) == 1


def test_nothing_moves_while_it_may_be_live(send: Send, decider: Decider, desks: Desks) -> None:
    intent = send(LOST_REQUEST)
    for second in range(1, 60):
        reconciling.run(later(second), desks)
        if child_of(intent).state == State.UNKNOWN:
            move(desks, second)
            assert not decider.asked
    assert child_of(intent).state == State.NOT_PLACED
    move(desks, 61)
    assert [quantity for quantity, _ in decider.asked] == [10]


def test_of_an_order_whose_reply_was_lost_nothing_ever_moves(
    send: Send, decider: Decider, desk: Desk, desks: Desks
) -> None:
    send(LOST_REPLY)
    for second in range(1, 90):
        reconciling.run(later(second), desks)
        move(desks, second)
    assert not decider.asked
    assert len(desk.orders) == 1


@pytest.mark.parametrize(
    ("error", "moves"),
    [
        (RequestRefused("blocked", code="access_suspended"), True),
        (RequestRefused("from elsewhere", code="ip_not_registered"), True),
        (RequestRefused("of another name", code="algo_not_registered"), True),
        (RequestRefused("may not place orders", code="app_permission_missing"), True),
        (OrderRejected("too little money", code="insufficient_funds"), False),
        (OrderRejected("price out of band"), False),
    ],
)
def test_a_rejection_moves_only_for_a_reason_of_the_broker(
    send: Send, decider: Decider, desks: Desks, error: Exception, *, moves: bool
) -> None:
    intent = send(error)
    move(desks, 1)
    assert bool(decider.asked) is moves
    assert intent.children.count() == 1 + moves


def test_a_part_that_was_cancelled_for_it_moves_without_what_was_filled(
    send: Send, decider: Decider, desk: Desk, desks: Desks
) -> None:
    intent = send()
    desk.tell("z-1", OrderStatus.PARTIALLY_FILLED, 4)
    reconciling.run(later(2), desks)
    changing.cancel(child_of(intent), now=later(3), clients=desks, to_move=True)
    move(desks, 3)
    assert not decider.asked
    reconciling.run(later(4), desks)
    move(desks, 5)
    assert [quantity for quantity, _ in decider.asked] == [6]
    assert child_of(intent, 2).quantity == 6


def test_what_a_trader_cancelled_or_a_broker_ended_stays(
    send: Send, decider: Decider, desk: Desk, desks: Desks
) -> None:
    cancelled, ended = send(), send()
    changing.cancel(child_of(cancelled), now=later(2), clients=desks)
    desk.tell("z-2", OrderStatus.CANCELLED)
    reconciling.run(later(3), desks)
    move(desks, 4)
    assert not decider.asked
    assert {child_of(cancelled).state, child_of(ended).state} == {State.CANCELLED}


@pytest.mark.parametrize(
    "facts", [{"valid_until": later(0.5)}, {"origin": Origin.SQUARE_OFF}, {"created_at": later(-86400)}]
)
def test_nothing_moves_past_its_time_nor_a_position_that_is_closed(
    send: Send, decider: Decider, desks: Desks, facts: dict[str, Any]
) -> None:
    intent = send(BrokerUnavailable("it cannot be reached"), **facts)
    move(desks, 1)
    assert not decider.asked
    failover.expire(later(130))
    intent.refresh_from_db()
    assert intent.status == IntentStatus.NOT_PLACED


def test_three_same_rejections_stop_an_intent(send: Send, decider: Decider, desks: Desks) -> None:
    blocked = [RequestRefused("blocked", code="access_suspended") for _ in range(3)]
    intent = send()
    first = child_of(intent)
    for number, error in enumerate(blocked, 2):
        ChildOrder.objects.create(
            intent=intent,
            decision=first.decision,
            broker_connection=first.broker_connection,
            broker_type=first.broker_type,
            number=number,
            exchange="NSE",
            traded=first.traded,
            side="BUY",
            order_type="LIMIT",
            product="CNC",
            validity="DAY",
            quantity=1,
            tag=f"tag{number}",
            request_hash="",
            state=State.REJECTED,
            state_since=NOW,
            sent_at=NOW,
            reason_code=error.code,
        )
    move(desks, 1)
    assert not decider.asked


def test_where_nobody_takes_it_the_intent_ends(send: Send, decider: Decider, desks: Desks) -> None:
    decider.account = None
    intent = send(BrokerUnavailable("it cannot be reached"))
    move(desks, 1)
    move(desks, 2)
    intent.refresh_from_db()
    assert (len(decider.asked), intent.status) == (1, IntentStatus.NOT_PLACED)
    assert "not_moved" in codes(intent)


@pytest.mark.parametrize("adopted", [False, True])
def test_what_may_be_live_is_not_sent_again_whatever_a_decision_says(
    send: Send, decider: Decider, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection], *, adopted: bool
) -> None:
    """100 wanted: 60 are or may be at a broker, which its owner may have left; 40 never left, at the other."""
    desks[accounts["upstox"]].faults.append(BrokerUnavailable("it cannot be reached"))
    intent = send(LOST_REPLY, parts=(("zerodha", 60), ("upstox", 40)))
    if adopted:
        reconciling.run(later(1.5), desks)
    else:
        ChildOrder.objects.filter(state=State.UNKNOWN).update(broker_connection=None)
    third = BrokerConnection.objects.create(
        user=intent.user, broker_type="upstox", account_id="third", trading_enabled_at=NOW
    )
    failover.decide_by(lambda intent, quantity, avoid, now: decide(intent, (third, 100)))
    move(desks, 2)
    assert desks[third].placed == []
    assert {"too_much_decided", "not_moved"} <= set(codes(intent))
    intent.refresh_from_db()
    assert (intent.unsent_quantity, intent.children.count()) == (0, 2)


def test_without_an_end_of_its_own_it_moves_for_two_minutes(send: Send, decider: Decider, desks: Desks) -> None:
    late, approved = (send(BrokerUnavailable("it cannot be reached")) for _ in range(2))
    OrderIntent.objects.filter(pk=approved.pk).update(decided_at=later(60))
    ChildOrder.objects.update(sent_at=later(120))
    move(desks, 120)
    assert (late.children.count(), approved.children.count()) == (1, 2)


def test_what_its_owner_was_told_of_does_not_move(send: Send, decider: Decider, desks: Desks) -> None:
    """They may have ordered the same elsewhere since."""
    intent = send(BrokerUnavailable("it cannot be reached"))
    intent.children.update(explained_at=later(0.5))
    move(desks, 1)
    assert not decider.asked


def test_two_movers_move_it_once(send: Send, decider: Decider, desks: Desks) -> None:
    intent = send(BrokerUnavailable("it cannot be reached"))
    [due] = failover.due(later(1))
    assert failover._taken(due, later(1))
    assert not failover.move(due, now=later(1), clients=desks)
    assert intent.children.count() == 1


def test_a_mover_that_died_leaves_an_intent_that_ends(send: Send, decider: Decider) -> None:
    intent = send(BrokerUnavailable("it cannot be reached"))
    assert failover._taken(intent.pk, later(1))
    failover.expire(later(60))
    intent.refresh_from_db()
    assert intent.status == IntentStatus.WORKING
    failover.expire(later(200))
    intent.refresh_from_db()
    assert intent.status == IntentStatus.NOT_PLACED


def test_an_intent_whose_sender_has_only_to_begin_is_not_ended(wish: Wish, desk: Desk, desks: Desks) -> None:
    intent, decision = wish(("zerodha", 10))
    assert failover.expire(later(60)) == 0
    assert sending.send(intent=intent, decision=decision, now=later(60), clients=desks)
    forgotten, late = wish(("zerodha", 10))
    assert failover.expire(later(130)) == 1
    forgotten.refresh_from_db()
    assert forgotten.status == IntentStatus.NOT_PLACED
    assert not sending.send(intent=forgotten, decision=late, now=later(131), clients=desks)
    assert len(desk.placed) == 1
