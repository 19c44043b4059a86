"""Reconciling: adopted, proved absent, or left unknown and told. What stands is in test_following.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.core import mail

from brokers import order_news
from brokers.base import BrokerClient
from brokers.domain import BrokerOrder, OrderStatus
from brokers.errors import BrokerError, BrokerUnavailable
from brokers.models import BrokerConnection
from brokers.shared import redis
from brokers.streaming import OrderUpdate
from market.feed import FeedState
from market.feed_states import TOLD_MILLISECONDS, Told
from orders import alerts, calling, reconciling
from orders.lifecycle import State
from orders.models import ChildOrder, Fill, IntentStatus, OrderIntent, SeenOrder
from tests.orders.conftest import NOW, Wish, child_of, codes, later, pass_seconds, sent
from tests.orders.fakes import LOST_REPLY, LOST_REQUEST, Desk, Desks, FakeClient

pytestmark = pytest.mark.django_db


# --- lost replies and lost requests -----------------------------------------------------------------------------------
def test_an_order_whose_reply_was_lost_is_adopted_and_never_sent_again(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.faults.append(LOST_REPLY)
    intent = sent(wish, desks)
    assert child_of(intent).state == State.UNKNOWN
    reconciling.run(later(10), desks)
    child = child_of(intent)
    assert (child.state, child.broker_order_id, child.absences) == (State.OPEN, "z-1", 0)
    assert len(desk.placed) == len(desk.orders) == 1


def test_an_order_that_enters_the_book_late_is_adopted_all_the_same(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.faults.append(LOST_REPLY)
    desk.hidden.add("z-1")
    intent = sent(wish, desks)
    pass_seconds(desks, 29)
    assert child_of(intent).absences == 0
    desk.hidden.clear()
    pass_seconds(desks, 60, since=30)
    assert child_of(intent).state == State.OPEN


def test_a_request_that_never_arrived_is_proved_absent(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.faults.append(LOST_REQUEST)
    intent = sent(wish, desks)
    pass_seconds(desks, 29)
    assert (child_of(intent).state, child_of(intent).absences) == (State.UNKNOWN, 0)
    pass_seconds(desks, 61, since=30)
    child = child_of(intent)
    assert (child.state, child.reason_code, child.absences) == (State.NOT_PLACED, "never_placed", 2)
    intent.refresh_from_db()
    assert intent.status == IntentStatus.NOT_PLACED
    # 1, 2, 4, 8 and 15 s apart, then every 15 s.
    assert 5 <= desk.reads <= 8


def test_an_absent_order_with_a_trade_of_its_own_stays_unknown(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.faults.append(LOST_REPLY)
    intent = sent(wish, desks)
    desk.hidden.add("z-1")
    desk.deal("z-1", Decimal(3))
    pass_seconds(desks, 120)
    assert (child_of(intent).state, child_of(intent).absences) == (State.UNKNOWN, 0)


def test_a_book_that_cannot_be_read_as_a_whole_proves_nothing(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.faults.append(LOST_REQUEST)
    desk.unreadable = True
    intent = sent(wish, desks)
    pass_seconds(desks, 120)
    assert (child_of(intent).state, child_of(intent).absences) == (State.UNKNOWN, 0)


@pytest.mark.parametrize(("symbol", "ends"), [("INFY", State.UNKNOWN), ("RELIANCE", State.NOT_PLACED)])
def test_trades_without_a_token_are_known_by_their_symbol(
    wish: Wish, desk: Desk, desks: Desks, symbol: str, ends: State
) -> None:
    """Angel One's book of trades names none."""
    desk.faults.append(LOST_REPLY)
    intent = sent(wish, desks)
    desk.hidden.add("z-1")
    desk.deal("z-1", Decimal(3))
    desk.deals[:] = [replace(deal, broker_token="", tradingsymbol=symbol) for deal in desk.deals]
    pass_seconds(desks, 120, step=3)
    assert child_of(intent).state == ends


# --- brokers that search by our tag -----------------------------------------------------------------------------------
@dataclass
class Searching(Desks):
    """`asked`: which tags were searched for. `fails`: those whose search is not answered."""

    asked: list[str] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)

    def __call__(
        self, connections: Sequence[BrokerConnection], now: datetime
    ) -> Mapping[UUID, BrokerClient | BrokerError]:
        return {each.pk: SearchingClient(self[each], self) for each in connections}


class SearchingClient(FakeClient):
    def __init__(self, desk: Desk, search: Searching) -> None:
        super().__init__(desk)
        self.search = search

    def find(self, tag: str) -> tuple[BrokerOrder, ...]:
        self.search.asked.append(tag)
        if tag in self.search.fails:
            raise BrokerUnavailable("gone")
        return tuple(order for order in self.desk.orders.values() if order.tag == tag)


@pytest.fixture
def searching(desks: Desks, desk: Desk) -> Searching:
    return Searching(by_connection=desks.by_connection)


def test_an_order_that_the_book_does_not_show_is_found_by_a_search(
    wish: Wish, desk: Desk, searching: Searching
) -> None:
    desk.faults.append(LOST_REPLY)
    desk.hidden.add("z-1")
    intent = sent(wish, searching)
    reconciling.run(later(1.5), searching)
    assert (child_of(intent).state, child_of(intent).broker_order_id) == (State.OPEN, "z-1")


def test_a_search_that_fails_leaves_the_book_and_proves_nothing(wish: Wish, desk: Desk, searching: Searching) -> None:
    """The book that was just read counts for every other order of the account."""
    standing = sent(wish, searching)
    desk.faults.append(LOST_REQUEST)
    absent = sent(wish, searching)
    searching.fails.add(child_of(absent).tag)
    desk.tell("z-1", OrderStatus.FILLED, 10)
    pass_seconds(searching, 120, step=3)
    assert child_of(standing).state == State.FILLED
    assert (child_of(absent).state, child_of(absent).absences) == (State.UNKNOWN, 0)
    searching.fails.clear()
    pass_seconds(searching, 180, since=121, step=3)
    assert child_of(absent).state == State.NOT_PLACED


def test_absence_counts_for_those_alone_that_were_searched_for(wish: Wish, desk: Desk, searching: Searching) -> None:
    for _ in range(2 * reconciling.MOST_SEARCHED + 1):
        desk.faults.append(LOST_REQUEST)
        sent(wish, searching)
    ChildOrder.objects.update(reconcile_due_at=later(40))
    before = set(searching.asked)
    reconciling.run(later(40), searching)
    counted = set(ChildOrder.objects.filter(absences=1).values_list("tag", flat=True))
    assert counted == set(searching.asked) - before
    assert len(counted) == reconciling.MOST_SEARCHED
    pass_seconds(searching, 240, since=41, step=5)
    assert set(ChildOrder.objects.values_list("state", flat=True)) == {State.NOT_PLACED}


# --- the day's end ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("first_absence", [False, True])
def test_no_book_of_another_day_proves_that_an_order_is_absent(
    wish: Wish, desk: Desk, desks: Desks, *, first_absence: bool
) -> None:
    """It stays unknown, and its owner is told."""
    desk.faults.append(LOST_REQUEST)
    intent = sent(wish, desks)
    if first_absence:
        ChildOrder.objects.update(reconcile_due_at=later(40))
        reconciling.run(later(40), desks)
    day = timedelta(days=1).total_seconds()
    pass_seconds(desks, day + 7200, since=day, step=600)
    child = child_of(intent)
    assert (child.state, child.absences) == (State.UNKNOWN, int(first_absence))
    assert child.explained_at is not None
    assert codes(intent).count(alerts.UNKNOWN) == 1


def test_nor_does_one_that_is_read_across_midnight(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.faults.append(LOST_REQUEST)
    intent = sent(wish, desks)
    midnight = (datetime(2026, 11, 26, 18, 30, tzinfo=UTC) - NOW).total_seconds()
    ChildOrder.objects.update(reconcile_due_at=later(midnight - 20))
    pass_seconds(desks, midnight - 1, since=midnight - 20)
    assert desk.reads >= 1
    assert (child_of(intent).state, child_of(intent).absences) == (State.UNKNOWN, 0)


def test_an_order_of_a_broker_with_a_stream_is_not_proved_absent_while_nobody_holds_it(
    wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    desks[accounts["upstox"]].faults.append(LOST_REQUEST)
    intent = sent(wish, desks, ("upstox", 10))
    pass_seconds(desks, 90, step=3)
    assert (child_of(intent).state, child_of(intent).absences) == (State.UNKNOWN, 0)
    assert child_of(intent).explained_at is not None
    told = msgspec.json.encode(Told(FeedState.LIVE, NOW))
    redis().set(f"feed:{accounts['upstox'].pk}:orders", told, px=20 * TOLD_MILLISECONDS)
    pass_seconds(desks, 180, since=93, step=3)
    assert child_of(intent).state == State.NOT_PLACED


def test_an_order_that_only_the_search_names_is_found_though_the_book_shows_its_id(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.faults.append(LOST_REPLY)
    intent = sent(wish, desks)
    tagged = desk.orders["z-1"]
    desk.orders["z-1"] = replace(tagged, tag=None)
    monkeypatch.setattr(FakeClient, "find", lambda self, tag: [tagged] if tag == tagged.tag else [])
    reconciling.run(later(1.5), desks)
    assert (child_of(intent).state, child_of(intent).broker_order_id) == (State.OPEN, "z-1")


def test_a_row_that_cannot_be_kept_holds_up_no_other(
    wish: Wish, desk: Desk, desks: Desks, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it prove that anything is not there: whose row it is is not known."""
    placed, lost = sent(wish, desks), sent(wish, desks)
    desk.tell("z-1", OrderStatus.FILLED, 10)
    desk.orders["z-2"] = replace(desk.orders["z-2"], tradingsymbol="long" * 50, broker_order_id="z-2")
    ChildOrder.objects.filter(intent=lost).update(state=State.UNKNOWN, unknown_since=NOW, broker_order_id=None)
    pass_seconds(desks, 120, since=2, step=3)
    placed.refresh_from_db()
    assert placed.status == IntentStatus.FILLED
    assert (child_of(lost).state, child_of(lost).absences) == (State.UNKNOWN, 0)
    assert child_of(lost).explained_at is not None
    assert "cannot be kept (DataError)" in caplog.text
    assert "longlong" not in caplog.text


def test_a_trade_that_cannot_be_kept_leaves_its_order_to_be_followed(
    placed: OrderIntent, desk: Desk, desks: Desks
) -> None:
    desk.tell("z-1", OrderStatus.FILLED, 10)
    desk.deals[0] = replace(desk.deals[0], trade_id="t" * 65)
    reconciling.run(later(2), desks)
    assert (child_of(placed).state, Fill.objects.count()) == (State.FILLED, 0)


def test_a_reading_that_breaks_tells_the_owner_and_leaves_the_next_its_time(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.faults.append(LOST_REPLY)
    intent = sent(wish, desks)

    def breaks(self: FakeClient) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(FakeClient, "orders", breaks)
    with pytest.raises(ValueError, match="ours"):
        reconciling.run(later(61), desks)
    child = child_of(intent)
    assert child.explained_at == later(61)
    assert child.reconcile_due_at not in (None, later(61) + reconciling.LEASE)


@pytest.mark.parametrize(
    "other",
    [
        {"side": "SELL"},
        {"broker_token": "zerodha|9", "tradingsymbol": "TCS"},
        {"placed_at": later(-86_400)},
    ],
)
def test_an_id_that_comes_again_is_another_order(
    placed: OrderIntent, desk: Desk, desks: Desks, other: dict[str, Any]
) -> None:
    desk.orders["z-1"] = replace(desk.orders["z-1"], tag=None, **other)
    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    assert (child_of(placed).state, child_of(placed).filled_quantity, Fill.objects.count()) == (State.PENDING, 0, 0)
    assert SeenOrder.objects.get().child is None


def test_an_order_without_its_tag_is_known_by_its_id(placed: OrderIntent, desk: Desk, desks: Desks) -> None:
    desk.orders["z-1"] = replace(desk.orders["z-1"], tag=None)
    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    assert (child_of(placed).state, Fill.objects.count()) == (State.FILLED, 1)


@pytest.mark.parametrize(
    ("state", "ends"), [(FeedState.DOWN, State.UNKNOWN), (FeedState.LIVE, State.NOT_PLACED), (None, State.NOT_PLACED)]
)
def test_silence_counts_only_while_news_would_be_heard(
    wish: Wish,
    desk: Desk,
    desks: Desks,
    accounts: dict[str, BrokerConnection],
    state: FeedState | None,
    ends: State,
) -> None:
    """A stream that is held and down; one that is well; and none, at a broker that has none for orders alone."""
    desk.faults.append(LOST_REQUEST)
    intent = sent(wish, desks)
    if state is not None:
        told = msgspec.json.encode(Told(state, NOW, "gone"))
        redis().set(f"feed:{accounts['zerodha'].pk}:orders", told, px=20 * TOLD_MILLISECONDS)
    pass_seconds(desks, 90, step=3)
    assert child_of(intent).state == ends


def test_an_owner_is_told_once_that_an_order_is_not_known(
    wish: Wish, desk: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: deque[str] = deque()
    monkeypatch.setattr(alerts, "send_later", lambda event: told.append(event.code))
    desk.faults.append(LOST_REPLY)
    desk.unreadable = True
    desk.hidden.add("z-1")
    intent = sent(wish, desks)
    pass_seconds(desks, 59)
    assert not told
    pass_seconds(desks, 200, since=60, step=5)
    assert list(told) == [alerts.UNKNOWN]
    assert child_of(intent).explained_at is not None


def test_the_letter_names_the_order_and_nothing_that_the_broker_said(
    wish: Wish, desk: Desk, desks: Desks, placed: OrderIntent
) -> None:
    reconciling.run(later(1.5), desks)
    desk.tell("z-1", OrderStatus.REJECTED, message="Margin of account XY123 is short")
    reconciling.run(later(10), desks)
    event = placed.events.get(code=alerts.REJECTED_LATER)
    alerts.send(event.pk)
    [letter] = mail.outbox
    assert letter.to == ["alice@example.com"]
    assert "BUY 10 NSE:INFY at Zerodha" in letter.body
    assert "XY123" not in letter.body + letter.subject
    child = child_of(placed)
    assert (child.state, child.reason) == (State.REJECTED, "Margin of account XY123 is short")


def test_a_sender_that_died_leaves_an_order_that_is_looked_for(wish: Wish, desk: Desk, desks: Desks) -> None:
    """The row says SENDING, and nobody is there who would write down the answer."""
    intent = sent(wish, desks)
    ChildOrder.objects.update(state=State.SENDING, broker_order_id=None, reconcile_due_at=NOW + calling.LAPSE)
    lapse = calling.LAPSE.total_seconds()
    reconciling.run(later(lapse - 1), desks)
    assert child_of(intent).state == State.SENDING
    reconciling.run(later(lapse + 1), desks)
    assert (child_of(intent).state, child_of(intent).broker_order_id) == (State.OPEN, "z-1")
    assert codes(intent).count("sender_lost") == 1


def test_an_order_that_was_proved_absent_and_turns_up_is_followed_again(
    wish: Wish, desk: Desk, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    desk.faults.append(LOST_REPLY)
    desk.hidden.add("z-1")
    intent = sent(wish, desks)
    pass_seconds(desks, 90, step=3)
    assert child_of(intent).state == State.NOT_PLACED
    desk.hidden.clear()
    desk.tell("z-1", OrderStatus.PARTIALLY_FILLED, 4)
    order_news.tell(accounts["zerodha"].pk, OrderUpdate("z-1", OrderStatus.OPEN, desk.orders["z-1"]), later(100))
    assert child_of(intent).state == State.NOT_PLACED
    reconciling.run(later(101), desks)
    child = child_of(intent)
    assert (child.state, child.filled_quantity) == (State.PARTIALLY_FILLED, 4)
    assert alerts.FOUND_AFTER_ALL in codes(intent)
    intent.refresh_from_db()
    assert intent.status == IntentStatus.WORKING


def test_where_trades_belong_to_orders_an_absent_order_has_none(wish: Wish, desk: Desk, desks: Desks) -> None:
    desk.asked_trades = []
    desk.faults.append(LOST_REQUEST)
    intent = sent(wish, desks)
    pass_seconds(desks, 61, step=2)
    assert (child_of(intent).state, desk.asked_trades) == (State.NOT_PLACED, [])
