"""Following an order that stands: by its broker's book and trades, and by what is heard of it in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from brokers import order_news, postbacks
from brokers.domain import OrderStatus, Rows
from brokers.errors import BrokerUnavailable, SessionEnded
from brokers.models import BrokerConnection
from brokers.postback_models import PostbackInbox
from brokers.streaming import BookChanged, OrderUpdate
from orders import alerts, reconciling
from orders.lifecycle import State
from orders.models import ChildOrder, Fill, IntentStatus, OrderIntent, SeenOrder
from tests.orders.conftest import NOW, Wish, child_of, codes, later, pass_seconds, sent
from tests.orders.fakes import LOST_REPLY, Desk, Desks

pytestmark = pytest.mark.django_db


# --- orders that stand ------------------------------------------------------------------------------------------------
def test_fills_are_read_from_the_trades_each_once(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.tell("z-1", OrderStatus.OPEN, 3)
    reconciling.run(later(1.5), desks)
    assert (child_of(placed).state, Fill.objects.count()) == (State.PARTIALLY_FILLED, 1)
    desk.tell("z-1", OrderStatus.FILLED, 10)
    for moment in (7, 13, 20):
        reconciling.run(later(moment), desks)
    child = child_of(placed)
    assert (child.state, child.filled_quantity, child.average_price) == (State.FILLED, 10, Decimal("1500.05"))
    assert sum(fill.quantity for fill in Fill.objects.all()) == 10
    assert child.reconcile_due_at is None
    placed.refresh_from_db()
    assert placed.status == IntentStatus.FILLED


def test_nothing_is_read_where_nothing_stands(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    reads = desk.reads
    pass_seconds(desks, 600, since=3, step=20)
    assert desk.reads == reads


def test_one_reading_answers_for_every_order_of_a_connection(wish: Wish, desk: Desk, desks: Desks) -> None:
    for _ in range(5):
        desk.faults.append(LOST_REPLY)
        sent(wish, desks)
    reconciling.run(later(1.5), desks)
    assert desk.reads == 1
    assert set(ChildOrder.objects.values_list("state", flat=True)) == {State.OPEN}


def test_a_reading_that_is_lost_comes_round_again(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    assert reconciling._claimed(child_of(placed).broker_connection_id, later(2))  # type: ignore[arg-type]
    assert not reconciling.run(later(3), desks)
    again = 2 + reconciling.LEASE.total_seconds()
    assert reconciling.run(later(again), desks)
    assert desk.reads == 1


def test_a_broker_that_does_not_answer_changes_nothing(
    placed: OrderIntent, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    connection = accounts["zerodha"]
    for error in (BrokerUnavailable("gone"), SessionEnded("over")):
        desks.away[connection.pk] = error
        reconciling.run(later(300), desks)
        assert child_of(placed).state == State.PENDING
        assert child_of(placed).reconcile_due_at > later(300)
        ChildOrder.objects.update(reconcile_due_at=later(2))
    connection.refresh_from_db()
    assert connection.status == "TOKEN_EXPIRED"


def test_an_order_of_yesterday_that_no_book_shows_has_expired(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.orders.clear()
    reconciling.run(later(60), desks)
    assert child_of(placed).state == State.PENDING
    assert "missing_from_book" in codes(placed)
    tomorrow = timedelta(days=1).total_seconds()
    reconciling.run(later(tomorrow), desks)
    child = child_of(placed)
    assert (child.state, child.reason_code) == (State.EXPIRED, "day_over")
    placed.refresh_from_db()
    assert placed.status == IntentStatus.EXPIRED


def test_what_contradicts_is_kept_once(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.tell("z-1", OrderStatus.OPEN, 5)
    reconciling.run(later(2), desks)
    desk.orders["z-1"] = replace(desk.orders["z-1"], filled_quantity=Decimal(2))
    pass_seconds(desks, 60, since=8, step=6)
    assert child_of(placed).filled_quantity == 5
    assert codes(placed).count("contradiction") == codes(placed).count(alerts.CONTRADICTED) == 1


# --- news -------------------------------------------------------------------------------------------------------------
def test_a_postbacks_book_is_taken_in(
    placed: OrderIntent, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    desk.tell("z-1", OrderStatus.PARTIALLY_FILLED, 4)
    order_news.tell(accounts["zerodha"].pk, Rows(desk.shown), later(0.2))
    assert (child_of(placed).state, Fill.objects.count()) == (State.PARTIALLY_FILLED, 0)
    reconciling.run(later(0.3), desks)
    assert Fill.objects.count() == 1


@pytest.mark.parametrize("news", [BookChanged(), OrderUpdate("z-1", OrderStatus.FILLED)])
def test_news_that_do_not_tell_all_have_the_book_read_at_once(
    placed: OrderIntent,
    desk: Desk,
    desks: Desks,
    accounts: dict[str, BrokerConnection],
    news: BookChanged | OrderUpdate,
) -> None:
    desk.tell("z-1", OrderStatus.FILLED, 10)
    assert not reconciling.due(later(0.2))
    order_news.tell(accounts["zerodha"].pk, news, later(0.2))
    reconciling.run(later(0.2), desks)
    assert child_of(placed).state == State.FILLED


def test_old_news_of_a_stream_lead_nowhere(
    placed: OrderIntent, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    old = desk.orders["z-1"]
    desk.tell("z-1", OrderStatus.CANCELLED, 4)
    reconciling.run(later(2), desks)
    for _ in range(2):
        order_news.tell(accounts["zerodha"].pk, OrderUpdate("z-1", OrderStatus.OPEN, old), later(3))
    child = child_of(placed)
    assert (child.state, child.filled_quantity) == (State.CANCELLED, 4)
    seen = SeenOrder.objects.get()
    assert (seen.status, seen.filled_quantity, seen.child_id) == ("CANCELLED", 4, child.pk)


def test_orders_placed_outside_are_seen_and_move_nothing(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.orders["x-9"] = replace(desk.orders["z-1"], broker_order_id="x-9", tag=None, quantity=Decimal(7))
    desk.tell("x-9", OrderStatus.FILLED, 7)
    for moment in (2, 8):
        reconciling.run(later(moment), desks)
    outside = SeenOrder.objects.get(child=None)
    assert (outside.broker_order_id, outside.status, outside.filled_quantity) == ("x-9", "FILLED", 7)
    assert ChildOrder.objects.count() == 1
    assert outside.seen_at == later(2)
    assert Fill.objects.count() == 0


def test_news_of_an_account_without_orders_of_ours_have_it_read_all_the_same(
    accounts: dict[str, BrokerConnection],
) -> None:
    """Whoever placed them, they shall be seen."""
    connection = accounts["zerodha"]
    order_news.tell(connection.pk, BookChanged(), NOW)
    inbox = PostbackInbox.objects.get(pk=connection.pk)
    assert inbox.read_due_at == NOW + postbacks.UNHURRIED
    order_news.tell(connection.pk, BookChanged(), later(2))
    inbox.refresh_from_db()
    assert inbox.read_due_at == NOW + postbacks.UNHURRIED


def test_a_listener_that_fails_stops_nobody(accounts: dict[str, BrokerConnection]) -> None:
    heard: list[object] = []

    def fails(*told: object) -> None:
        raise ValueError("a mistake of ours")

    def hears(*told: object) -> None:
        heard.append(told)

    listeners = [fails, hears]
    before = order_news._listeners[:]
    order_news._listeners[:] = listeners
    try:
        order_news.tell(accounts["zerodha"].pk, BookChanged(), NOW)
    finally:
        order_news._listeners[:] = before
    assert len(heard) == 1


def test_a_broker_that_tells_the_trades_of_one_order_is_asked_for_a_few_at_a_time(
    wish: Wish, desk: Desk, desks: Desks
) -> None:
    """A hundred filled orders would be a hundred calls; each is asked for once, and all are read in the end."""
    desk.asked_trades = []
    number = 2 * reconciling.MOST_ASKED + 3
    for _ in range(number):
        sent(wish, desks)
    for order_id in list(desk.orders):
        desk.tell(order_id, OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    assert Fill.objects.count() == len(desk.asked_trades) == reconciling.MOST_ASKED
    pass_seconds(desks, 20, since=3)
    assert Fill.objects.count() == len(desk.asked_trades) == number
    assert not reconciling.due(later(600))
