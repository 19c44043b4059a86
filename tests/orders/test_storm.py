"""`make storm` in small, by a clock that is passed in: brokers in memory, every fault, and the same comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from brokers import order_news
from brokers.domain import OrderStatus, Rows
from brokers.errors import BrokerUnavailable, OrderRejected, RateLimited, SessionEnded, UnexpectedResponse
from brokers.models import BrokerConnection
from brokers.streaming import BookChanged, OrderUpdate
from orders import calling, changing, failover, reconciling, sending
from orders.lifecycle import POSSIBLY_LIVE, STANDING, State
from orders.models import ChildOrder, OrderIntent
from tests.orders.conftest import Wish, decide, later
from tests.orders.fakes import LOST_REPLY, LOST_REQUEST, Desk, Desks
from trademaster.rehearsal.storm import differences

pytestmark = pytest.mark.django_db

ORDERS = 15
# Rule 4 needs half a minute and more; a wish to cancel may wait for it.
CALM_SECONDS, STEP = 132, 4
FAULTS: list[Any] = [
    *(LOST_REPLY, LOST_REPLY, LOST_REQUEST, LOST_REQUEST, ValueError("a mistake of ours")),
    *(
        OrderRejected("no"),
        BrokerUnavailable("gone"),
        SessionEnded("over"),
        RateLimited("slow"),
        UnexpectedResponse("x"),
    ),
]
ENDS = [OrderStatus.FILLED, OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, None]


@dataclass
class Storm:
    """The market of two desks, second by second."""

    random: Random
    desks: Desks
    accounts: dict[str, BrokerConnection]
    late: list[tuple[float, BrokerConnection, Any]] = field(default_factory=list)
    told: list[tuple[BrokerConnection, Any]] = field(default_factory=list)

    def go(self, second: float) -> None:
        for account in self.accounts.values():
            self._market(account, self.desks[account], second)
        due = [each for each in self.late if each[0] <= second]
        self.late = [each for each in self.late if each[0] > second]
        again = self.random.sample(self.told, min(2, len(self.told)))
        for account, news in [*((account, news) for _, account, news in due), *again]:
            order_news.tell(account.pk, news, later(second))
        reconciling.run(later(second), self.desks)
        for intent_id in failover.due(later(second)):
            failover.move(intent_id, now=later(second), clients=self.desks)

    def _market(self, account: BrokerConnection, desk: Desk, second: float) -> None:
        """Something becomes of some orders; it is told at once, late, twice, as a whole or not, or never."""
        for order_id, order in list(desk.orders.items()):
            if order.status is not OrderStatus.OPEN or self.random.random() > 0.15:
                continue
            if order.filled_quantity == 0 and self.random.random() < 0.4:
                desk.tell(order_id, OrderStatus.OPEN, self.random.randint(1, int(order.quantity) - 1))
            else:
                self._end(desk, order_id)
            for _ in range(self.random.choice([0, 1, 1, 2])):
                whole = self.random.choice([desk.orders[order_id], None])
                kind = self.random.choice([OrderUpdate(order_id, desk.orders[order_id].status, whole), BookChanged()])
                news = self.random.choice([kind, Rows(desk.shown)])
                self.late.append((second + self.random.choice([0, 0, 3, 20]), account, news))
                # A postback's book is read when it comes, and never told again.
                if not isinstance(news, Rows):
                    self.told.append((account, news))
        for order_id in list(desk.hidden):
            if self.random.random() < 0.2:
                desk.hidden.remove(order_id)

    def _end(self, desk: Desk, order_id: str) -> None:
        order, end = desk.orders[order_id], self.random.choice(ENDS)
        if end is OrderStatus.FILLED:
            desk.tell(order_id, end, int(order.quantity))
        elif end is not None and not (end is OrderStatus.REJECTED and order.filled_quantity):
            desk.tell(order_id, end)


def send(storm: Storm, wish: Wish, second: float) -> OrderIntent:
    """One intent, at one broker or both; its sender may die before it writes the answer down."""
    names = storm.random.sample(sorted(storm.accounts), storm.random.choice([1, 1, 2]))
    for name in names:
        desk = storm.desks[storm.accounts[name]]
        if storm.random.random() < 0.5:
            desk.faults.append(storm.random.choice(FAULTS))
        if storm.random.random() < 0.2:
            desk.hidden.add(f"{desk.name}{len(desk.orders) + 1}")
    intent, decision = wish(*((name, storm.random.randint(2, 9)) for name in names), created_at=later(second))
    sending.send(intent=intent, decision=decision, now=later(second), clients=storm.desks, pause=lambda _: None)
    BrokerConnection.objects.update(status="CONNECTED", retry_after=None)
    if storm.random.random() < 0.2:
        died = intent.children.filter(state=State.PENDING)
        died.update(state=State.SENDING, broker_order_id=None, reconcile_due_at=later(second) + calling.LAPSE)
    if storm.random.random() < 0.2:
        changing.cancel_all(intent, now=later(second), clients=storm.desks)
    return intent


@pytest.mark.parametrize("seed", range(2))
def test_after_a_storm_our_book_is_the_brokers(
    seed: int, wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection]
) -> None:
    storm = Storm(Random(seed), desks, accounts)  # noqa: S311 - it guards nothing
    failover.decide_by(lambda intent, quantity, avoid, now: _elsewhere(intent, quantity, avoid, accounts))
    second = 0.0
    for _ in range(ORDERS):
        second += 1
        send(storm, wish, second)
        storm.go(second)
    for _ in range(CALM_SECONDS // STEP):
        second += STEP
        storm.go(second)

    children = list(ChildOrder.objects.select_related("intent"))
    wrong = [
        line
        for name, account in accounts.items()
        for line in differences(name, [c for c in children if c.broker_type == name], as_told(desks[account]))
    ]
    assert wrong == []
    assert not [c for c in children if c.state in POSSIBLY_LIVE and c.explained_at is None]
    sent = [request.tag for desk in desks.by_connection.values() for request in desk.placed]
    assert len(sent) == len(set(sent))
    for intent in OrderIntent.objects.prefetch_related("children"):
        taken = sum(
            child.quantity if child.state in STANDING | POSSIBLY_LIVE else child.filled_quantity
            for child in intent.children.all()
        )
        assert taken <= intent.quantity


def _elsewhere(
    intent: OrderIntent, quantity: Decimal, avoid: frozenset[Any], accounts: dict[str, BrokerConnection]
) -> Any:
    free = [account for account in accounts.values() if account.pk not in avoid]
    return decide(intent, (free[0], int(quantity))) if free else None


def as_told(desk: Desk) -> list[dict[str, Any]]:
    """A desk as the control API of the simulated exchange tells it."""
    return [
        {"asked": {"tag": order.tag}, "status": order.status.value, "filled": int(order.filled_quantity)}
        for order in desk.orders.values()
    ]


def test_the_comparison_finds_what_it_is_for(wish: Wish, desks: Desks, accounts: dict[str, BrokerConnection]) -> None:
    desk = desks[accounts["zerodha"]]
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=later(0), clients=desks)
    reconciling.run(later(2), desks)
    [child] = ChildOrder.objects.all()
    truth = as_told(desk)
    assert differences("zerodha", [child], truth) == []
    for told, word in (
        ([*truth, *truth], "placed 2 times"),
        ([], "not at the exchange"),
        ([{**truth[0], "status": "CANCELLED"}], "at the exchange CANCELLED"),
        ([{**truth[0], "filled": 3}], "at the exchange 3"),
        ([*truth, {**truth[0], "asked": {"tag": "tother"}}], "not ours"),
    ):
        assert any(word in line for line in differences("zerodha", [child], told))
