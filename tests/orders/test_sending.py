"""Sending: written down before the call, called for once, and what each answer makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection as database

from brokers import registry
from brokers.base import BrokerClient
from brokers.dealing import OrderRequest
from brokers.domain import ConnectionStatus, OrderStatus, OrderType
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    HeldBack,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    SessionEnded,
)
from brokers.models import BrokerConnection
from orders import calling, failover, listings, reconciling, sending
from orders.changing import cancel_all
from orders.lifecycle import POSSIBLY_LIVE, State
from orders.models import ChildOrder, IntentStatus, OrderIntent
from orders.tags import new_tag
from portfolio import halting
from tests.orders.conftest import NOW, Wish, child_of, codes, later
from tests.orders.fakes import LOST_REPLY, LOST_REQUEST, Desk, Desks

pytestmark = pytest.mark.django_db


class Pauses:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_tags_are_what_every_broker_takes_and_never_the_same() -> None:
    tags = {new_tag() for _ in range(1000)}
    assert len(tags) == 1000
    assert all(re.fullmatch(r"t[a-z2-7]{18}", tag) for tag in tags)


@pytest.mark.django_db(transaction=True)
def test_an_order_is_written_down_before_its_call(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from another database connection, in the thread that calls: it is committed."""
    intent, decision = wish(("zerodha", 10))
    seen: list[tuple[str, str, str]] = []
    entered = desk.enter

    def enter(request: OrderRequest) -> str:
        try:
            row = ChildOrder.objects.get(tag=request.tag)
            seen.append((row.state, row.request_hash, calling.request_hash(request)))
        finally:
            database.close()
        return entered(request)

    monkeypatch.setattr(desk, "enter", enter)
    assert sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    [(state, written, sent)] = seen
    assert (state, written) == (State.SENDING, sent)
    child = child_of(intent)
    assert (child.state, child.broker_order_id) == (State.PENDING, "z-1")
    assert listings.of_row(child.traded).listing.broker_token == "zerodha|1594"
    assert desk.placed == [calling.request_of(child)]
    assert codes(intent) == ["sending_began", "sending", "call_pending", "sending_ended"]


ANSWERS = [
    (OrderRejected("no", code="insufficient_funds", reason="Too little money"), State.REJECTED, IntentStatus.REJECTED),
    (OutcomeUnknown("no answer"), State.UNKNOWN, IntentStatus.WORKING),
    (ValueError("a mistake of ours"), State.UNKNOWN, IntentStatus.WORKING),
    (BrokerUnavailable("it cannot be reached"), State.NOT_PLACED, IntentStatus.NOT_PLACED),
    (SessionEnded("log in"), State.NOT_PLACED, IntentStatus.NOT_PLACED),
]


@pytest.mark.parametrize(("error", "state", "status"), ANSWERS)
def test_what_the_broker_answers(
    wish: Wish, desk: Desk, desks: Desks, error: Exception, state: State, status: IntentStatus
) -> None:
    intent, decision = wish(("zerodha", 10))
    desk.faults.append(error)
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    child = child_of(intent)
    intent.refresh_from_db()
    assert (child.state, intent.status) == (state, status)
    assert (child.reconcile_due_at is not None) == (state is State.UNKNOWN)
    if isinstance(error, OrderRejected):
        assert (child.reason_code, intent.reason) == ("insufficient_funds", "Too little money")


@pytest.mark.parametrize("refusal", [SessionEnded("over"), RateLimited("a pause"), OrderRejected("no keys")])
def test_what_stops_an_order_before_any_call_proves_that_it_never_left(
    wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection], refusal: BrokerError
) -> None:
    intent, decision = wish(("zerodha", 10))
    desks.away[accounts["zerodha"].pk] = refusal
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert child_of(intent).state == State.NOT_PLACED


def test_a_throttled_order_is_unknown_where_the_broker_may_have_taken_it(
    wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    """Which broker is which, its spec says."""
    intent, decision = wish(("zerodha", 10), ("upstox", 10))
    for account in accounts.values():
        desks[account].faults.append(RateLimited("too many"))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    states = dict(intent.children.values_list("broker_type", "state"))
    rules = {slug: registry.load(slug).spec.order_rules for slug in accounts}
    assert states == {
        slug: State.NOT_PLACED if rule.throttled_before_entry else State.UNKNOWN for slug, rule in rules.items()
    }


def test_slices_follow_one_another_and_brokers_do_not_wait(
    wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10), ("upstox", 5), ("zerodha", 3))
    pauses = Pauses()
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=pauses)
    assert [request.quantity for request in desks[accounts["zerodha"]].placed] == [10, 10, 3]
    assert [request.quantity for request in desks[accounts["upstox"]].placed] == [5]
    assert pauses.seconds == [sending.PAUSE_SECONDS] * 2
    assert sorted(intent.children.values_list("number", flat=True)) == [1, 2, 3, 4]
    intent.refresh_from_db()
    assert (intent.unsent_quantity, intent.status) == (0, IntentStatus.WORKING)


@pytest.mark.parametrize("fault", [OrderRejected("no"), LOST_REPLY, LOST_REQUEST, SessionEnded("over")])
def test_whatever_is_no_yes_stops_the_slices_behind_it(
    wish: Wish, desk: Desk, desks: Desks, fault: str | Exception
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10), ("zerodha", 10))
    desk.faults.extend(["", fault])
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=Pauses())
    assert len(desk.placed) == 2
    intent.refresh_from_db()
    assert intent.unsent_quantity == 10


def test_a_decision_is_sent_once(wish: Wish, desk: Desk, desks: Desks) -> None:
    intent, decision = wish(("zerodha", 10))
    assert sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert not sending.send(intent=intent, decision=decision, now=later(1), clients=desks)
    assert len(desk.placed) == 1


def test_a_decision_for_more_than_is_wanted_is_not_sent(wish: Wish, desk: Desk, desks: Desks) -> None:
    intent, decision = wish(("zerodha", 10), quantity=9)
    assert not sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert (desk.placed, codes(intent)) == ([], ["too_much_decided"])


def test_a_slice_that_is_too_much_by_now_is_not_sent(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10))
    noted = sending.note_answer

    def lowered(*args: Any, **facts: Any) -> State:
        OrderIntent.objects.update(quantity=15)
        return noted(*args, **facts)

    monkeypatch.setattr(sending, "note_answer", lowered)
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=Pauses())
    assert [request.quantity for request in desk.placed] == [10]
    assert "too_much_decided" in codes(intent)


def test_nothing_goes_to_a_connection_that_is_not_to_trade(
    wish: Wish, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    BrokerConnection.objects.update(trading_enabled_at=None)
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert not desk.placed
    child = child_of(intent)
    assert (child.state, child.reason_code) == (State.NOT_PLACED, "trading_off")


def closed(accounts: dict[str, BrokerConnection], how: str) -> None:
    """Its owner turns trading off at Zerodha, or disconnects it."""
    off = {"trading_enabled_at": None} | ({"status": ConnectionStatus.DISCONNECTED} if how == "disconnected" else {})
    BrokerConnection.objects.filter(pk=accounts["zerodha"].pk).update(**off)


@pytest.mark.parametrize("how", ["trading off", "disconnected"])
def test_nothing_goes_to_a_connection_that_was_closed_while_its_client_was_made(
    wish: Wish, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection], how: str
) -> None:
    intent, decision = wish(("zerodha", 10))

    def clients(connections: Sequence[BrokerConnection], now: datetime) -> Mapping[UUID, BrokerClient | BrokerError]:
        closed(accounts, how)
        return desks(connections, now)

    sending.send(intent=intent, decision=decision, now=NOW, clients=clients)
    assert not desk.placed
    child = child_of(intent)
    intent.refresh_from_db()
    assert (child.state, child.reason_code) == (State.NOT_PLACED, "trading_off")
    assert (intent.status, intent.reason_code) == (IntentStatus.NOT_PLACED, "trading_off")
    assert "Turn it on for this connection" in intent.reason


def after_the_first(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """Once the first slice was answered, and before the next is written down."""
    noted, done = sending.note_answer, list[object]()

    def note(*args: Any, **facts: Any) -> State:
        state = noted(*args, **facts)
        if not done:
            done.append(does())
        return state

    monkeypatch.setattr(sending, "note_answer", note)


@pytest.mark.parametrize("how", ["trading off", "disconnected"])
def test_slices_end_where_their_connection_is_closed_and_the_order_says_why(
    wish: Wish,
    desks: Desks,
    accounts: dict[str, BrokerConnection],
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10), ("zerodha", 10))
    zerodha = desks[accounts["zerodha"]]
    failover.decide_by(lambda *_: pytest.fail("nothing of it moves"))
    after_the_first(monkeypatch, lambda: closed(accounts, how))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=Pauses())
    assert [request.quantity for request in zerodha.placed] == [10]
    intent.refresh_from_db()
    assert (intent.status, intent.unsent_quantity, intent.reason_code) == (IntentStatus.WORKING, 20, "trading_off")
    said = "Trading was turned off at Zerodha before the rest of it was sent there: 20 of it stayed unsent."
    assert intent.reason == f"{said} Turn it on for this connection, with a fresh second factor, and place the rest."
    assert codes(intent) == ["sending_began", "sending", "call_pending", "sending_stopped", "sending_ended"]
    assert not ChildOrder.objects.filter(state__in=POSSIBLY_LIVE).exists()

    zerodha.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    intent.refresh_from_db()
    assert (intent.status, intent.reason_code) == (IntentStatus.PARTIALLY_FILLED, "trading_off")
    assert intent.reason.startswith(said)
    assert len(zerodha.placed) == 1


def test_another_brokers_slices_go_on(
    wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    intent, decision = wish(("zerodha", 10), ("upstox", 5), ("zerodha", 10), ("upstox", 5))
    after_the_first(monkeypatch, lambda: closed(accounts, "trading off"))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=Pauses())
    placed = {slug: len(desks[account].placed) for slug, account in accounts.items()}
    assert placed == {"zerodha": 1, "upstox": 2}
    intent.refresh_from_db()
    assert (intent.unsent_quantity, intent.reason_code) == (10, "trading_off")


def test_an_order_that_is_stopped_midway_by_a_switch_says_which(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10))
    held = HeldBack("The kill switch is on: no new order goes out.")
    after_the_first(monkeypatch, lambda: monkeypatch.setattr(halting, "held_by_latch", lambda user_id: held))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=Pauses())
    intent.refresh_from_db()
    assert (len(desk.placed), intent.unsent_quantity, intent.reason_code) == (1, 10, "halted")
    assert intent.reason == f"{held.message} {held.user_action}"
    (line,) = intent.events.filter(code="sending_stopped")
    assert line.details == {"error_code": "halted", "reason": intent.reason}


def test_an_order_of_which_a_slice_was_refused_says_so_in_the_end(
    wish: Wish, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10))
    desk.faults.extend(["", OrderRejected("no", code="insufficient_funds", reason="Too little money")])
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=Pauses())
    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    intent.refresh_from_db()
    assert (intent.status, intent.reason_code) == (IntentStatus.PARTIALLY_FILLED, "insufficient_funds")
    assert intent.reason == "Too little money"


def test_nothing_goes_to_another_traders_connection(wish: Wish, desk: Desk, desks: Desks, bob: object) -> None:
    BrokerConnection.objects.update(user=bob)
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    intent.refresh_from_db()
    assert (len(desk.placed), intent.unsent_quantity, intent.status) == (0, 10, IntentStatus.NOT_PLACED)


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_intent_sends_nothing_more(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent, decision = wish(("zerodha", 10), ("zerodha", 10))

    def pause(seconds: float) -> None:
        raise AssertionError("there is nothing to wait for")

    entered = desk.enter

    def enter(request: OrderRequest) -> str:
        try:
            cancel_all(intent, now=NOW, clients=desks)
        finally:
            database.close()
        return entered(request)

    monkeypatch.setattr(desk, "enter", enter)
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=pause)
    assert len(desk.placed) == 1
    intent.refresh_from_db()
    assert intent.unsent_quantity == 10


def test_an_instrument_that_the_broker_does_not_list_is_not_sent(wish: Wish, desk: Desk, desks: Desks) -> None:
    intent, decision = wish(("zerodha", 10))
    intent.instrument.listings.all().delete()
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    child = child_of(intent)
    assert (child.state, child.reason_code, desk.placed) == (State.NOT_PLACED, "not_listed", [])


def test_a_decision_may_price_an_order_by_itself(wish: Wish, desk: Desk, desks: Desks) -> None:
    intent, decision = wish(("zerodha", 10), order_type=OrderType.MARKET, price=None)
    decision.answer["children"][0] |= {"order_type": "LIMIT", "price": "1515.05", "note": "protected"}
    decision.save()
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert (desk.placed[0].order_type, desk.placed[0].price) == (OrderType.LIMIT, Decimal("1515.05"))


def test_the_answer_of_a_sender_that_was_given_up_still_counts(wish: Wish, desks: Desks) -> None:
    """Its time was over, so that the order was called unknown; then the broker's yes arrives."""
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    child = child_of(intent)
    for state, after in ((State.UNKNOWN, State.PENDING), (State.NOT_PLACED, State.PENDING), (State.OPEN, State.OPEN)):
        ChildOrder.objects.update(state=state, broker_order_id=None)
        sending.note_answer(child, calling.Answer(value="z-1"), throttled=False, now=later(30))
        child.refresh_from_db()
        assert (child.state, child.broker_order_id) == (after, "z-1")


def test_a_call_whose_turn_comes_too_late_is_not_made(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the process stood still: its order may have been proved absent, and moved, meanwhile."""
    monkeypatch.setattr(sending, "START_SECONDS", -1.0)
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert (child_of(intent).state, desk.placed) == (State.NOT_PLACED, [])


def test_what_may_be_live_is_exactly_what_nobody_knows() -> None:
    assert {State.SENDING, State.UNKNOWN} == POSSIBLY_LIVE
    assert timedelta(seconds=2 * calling.CALL_SECONDS) < calling.LAPSE
