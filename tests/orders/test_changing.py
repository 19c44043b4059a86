"""Cancelling and changing: asked for once, and settled by the book."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import OperationalError, transaction
from django.db import connection as database

from brokers.dealing import OrderChange, StandingOrder
from brokers.domain import OrderStatus, OrderType, Validity
from brokers.errors import BrokerUnavailable, NotSupported, OrderRejected, OutcomeUnknown
from brokers.models import BrokerConnection
from orders import changing, reconciling, sending
from orders.changing import Asked
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderIntent
from tests.orders.cleared import change_it
from tests.orders.conftest import NOW, Wish, child_of, codes, later
from tests.orders.fakes import LOST_REPLY, LOST_REQUEST, Desk, Desks, FakeClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def standing(wish: Wish, desks: Desks) -> OrderIntent:
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    reconciling.run(later(1.5), desks)
    return intent


def lowered(quantity: int = 8) -> OrderChange:
    return OrderChange(
        order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal(quantity), price=Decimal("1490.00")
    )


# --- cancelling -------------------------------------------------------------------------------------------------------
def test_a_cancellation_is_the_books_to_confirm(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    assert changing.cancel(child_of(standing), now=later(2), clients=desks) is Asked.DONE
    assert child_of(standing).state == State.OPEN
    reconciling.run(later(2), desks)
    standing.refresh_from_db()
    assert (child_of(standing).state, standing.status) == (State.CANCELLED, IntentStatus.CANCELLED)
    assert changing.cancel(child_of(standing), now=later(3), clients=desks) is Asked.TOO_LATE
    assert desk.cancels == 1


def test_it_is_asked_for_once(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.refuses.append(OutcomeUnknown("no answer"))
    assert changing.cancel(child_of(standing), now=later(2), clients=desks) is Asked.UNKNOWN
    assert changing.cancel(child_of(standing), now=later(3), clients=desks) is Asked.ALREADY
    assert desk.cancels == 1


def test_one_that_did_not_happen_may_be_asked_for_again(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.refuses.append(OutcomeUnknown("no answer"))
    changing.cancel(child_of(standing), now=later(2), clients=desks)
    reconciling.run(later(3), desks)
    assert child_of(standing).cancel_asked_at is not None
    reconciling.run(later(40), desks)
    assert child_of(standing).cancel_asked_at is None
    assert changing.cancel(child_of(standing), now=later(41), clients=desks) is Asked.DONE
    assert desk.cancels == 2


@pytest.mark.parametrize("error", [OrderRejected("too late"), BrokerUnavailable("it cannot be reached")])
def test_a_refusal_is_told_and_leaves_the_order_as_it_was(
    standing: OrderIntent, desk: Desk, desks: Desks, error: Exception
) -> None:
    desk.refuses.append(error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        changing.cancel(child_of(standing), now=later(2), clients=desks)
    child = child_of(standing)
    assert (child.state, child.cancel_asked_at) == (State.OPEN, None)


@pytest.mark.parametrize(
    ("fault", "ends", "cancels"), [(LOST_REPLY, State.CANCELLED, 1), (LOST_REQUEST, State.NOT_PLACED, 0)]
)
def test_a_wish_to_cancel_what_is_not_known_waits_until_it_is(
    wish: Wish, desk: Desk, desks: Desks, fault: str, ends: State, cancels: int
) -> None:
    desk.faults.append(fault)
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    assert set(changing.cancel_all(intent, now=later(0.5), clients=desks).values()) == {Asked.KEPT}
    assert desk.cancels == 0
    for second in range(1, 90):
        reconciling.run(later(second), desks)
    assert (child_of(intent).state, desk.cancels) == (ends, cancels)
    assert len(desk.placed) == 1


def test_cancelling_all_goes_on_where_one_broker_refuses(
    wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    intent, decision = wish(("zerodha", 10), ("upstox", 5))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    desks[accounts["zerodha"]].refuses.append(OrderRejected("no"))
    answers = changing.cancel_all(intent, now=later(2), clients=desks)
    kinds = {
        ChildOrder.objects.get(pk=pk).broker_type: type(answer).__name__ if isinstance(answer, Exception) else answer
        for pk, answer in answers.items()
    }
    assert kinds == {"zerodha": "OrderRejected", "upstox": Asked.DONE}


@pytest.mark.django_db(transaction=True)
def test_a_cancellation_waits_for_whoever_writes_a_slice(standing: OrderIntent, desks: Desks) -> None:
    """Told beside it, it would miss the slice, whose writer has not seen that nothing more is wanted."""

    def cancels() -> None:
        try:
            with database.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            changing.cancel_all(standing, now=later(2), clients=desks)
        finally:
            database.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        OrderIntent.objects.select_for_update(no_key=True).get(pk=standing.pk)
        with pytest.raises(OperationalError):
            pool.submit(cancels).result()
    assert "cancel_asked" not in codes(standing)


# --- changing ---------------------------------------------------------------------------------------------------------
def test_a_change_is_held_and_confirmed(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    assert change_it(child_of(standing), lowered(), now=later(2), clients=desks) is Asked.DONE
    child = child_of(standing)
    assert (child.quantity, child.price, child.changes) == (8, Decimal("1490.00"), 1)
    standing.refresh_from_db()
    assert standing.quantity == 8
    reconciling.run(later(2), desks)
    assert (child_of(standing).quantity, child_of(standing).state) == (8, State.OPEN)
    assert "contradiction" not in codes(standing)


def test_a_change_without_an_answer_is_read_from_the_book(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.refuses.append(OutcomeUnknown("no answer"))
    assert change_it(child_of(standing), lowered(), now=later(2), clients=desks) is Asked.UNKNOWN
    assert child_of(standing).quantity == 10
    reconciling.run(later(2), desks)
    child = child_of(standing)
    assert (child.quantity, child.price, child.state) == (8, Decimal("1490.00"), State.OPEN)
    standing.refresh_from_db()
    assert standing.quantity == 8


def test_a_change_that_the_book_told_first_is_counted_once(
    wish: Wish, desks: Desks, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 become 40; the book is read while the call is under way, and 40 is what is wanted, not less than nothing."""
    intent, decision = wish(("zerodha", 100))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    reconciling.run(later(1.5), desks)
    modify = FakeClient.modify

    def modified(self: FakeClient, standing: StandingOrder, change: OrderChange) -> str:
        order_id = modify(self, standing, change)
        reconciling.run(later(300), desks)
        return order_id

    monkeypatch.setattr(FakeClient, "modify", modified)
    assert change_it(child_of(intent), lowered(40), now=later(300), clients=desks) is Asked.DONE
    intent.refresh_from_db()
    assert (child_of(intent).quantity, intent.quantity) == (40, 40)


def test_a_change_of_what_was_filled_meanwhile_changes_no_wish(
    standing: OrderIntent, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    modify = FakeClient.modify

    def filled_first(self: FakeClient, standing: StandingOrder, change: OrderChange) -> str:
        ChildOrder.objects.update(filled_quantity=9, state=State.PARTIALLY_FILLED)
        return modify(self, standing, change)

    monkeypatch.setattr(FakeClient, "modify", filled_first)
    change_it(child_of(standing), lowered(8), now=later(2), clients=desks)
    standing.refresh_from_db()
    assert (child_of(standing).quantity, standing.quantity) == (10, 10)


def test_a_wish_never_becomes_less_than_what_was_filled(standing: OrderIntent) -> None:
    standing.children.update(filled_quantity=3)
    changing.follow_quantity(standing.pk, Decimal(-15))
    standing.refresh_from_db()
    assert standing.quantity == 3
    standing.children.update(filled_quantity=0)
    changing.follow_quantity(standing.pk, Decimal(-15))
    standing.refresh_from_db()
    assert standing.quantity == 3


def test_a_change_by_a_stale_page_is_not_made(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    stale = child_of(standing)
    change_it(child_of(standing), lowered(9), now=later(2), clients=desks)
    assert change_it(stale, lowered(5), now=later(3), clients=desks) is Asked.ALREADY
    assert desk.orders["z-1"].quantity == 9


def test_a_broker_that_allows_no_more_changes_is_not_asked(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    most = sending.registry.load("zerodha").spec.order_rules.most_changes
    if most is None:
        pytest.skip("this broker has no limit")
    ChildOrder.objects.update(changes=most)
    with pytest.raises(NotSupported):
        change_it(child_of(standing), lowered(), now=later(2), clients=desks)
    assert desk.orders["z-1"].quantity == 10


def test_less_than_what_is_filled_cannot_be_asked_for(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.tell("z-1", OrderStatus.PARTIALLY_FILLED, 8)
    reconciling.run(later(10), desks)
    with pytest.raises(OrderRejected):
        change_it(child_of(standing), lowered(8), now=later(11), clients=desks)


def test_a_refused_change_leaves_everything(standing: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.refuses.append(OrderRejected("no", reason="Price out of band"))
    with pytest.raises(OrderRejected):
        change_it(child_of(standing), lowered(), now=later(2), clients=desks)
    assert (child_of(standing).quantity, child_of(standing).changes) == (10, 1)
    desk.refuses.append(BrokerUnavailable("it cannot be reached"))  # type: ignore[arg-type]
    with pytest.raises(BrokerUnavailable):
        change_it(child_of(standing), lowered(), now=later(3), clients=desks)
    assert child_of(standing).changes == 1
