"""Level (b), of what waits at a broker for its price: none of it may fire once its end was asked for and is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from accounts.models import User
from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttStatus
from brokers.domain import Exchange, Product, RowProblem, Rows, Side
from brokers.errors import BrokerError, BrokerUnavailable, OrderRejected, OutcomeUnknown
from brokers.models import BrokerConnection
from market.models import Instrument
from orders import gtt_settling, halt_rounds
from orders.halt_models import HaltProgress, Outcome, Reach
from orders.models import GttOrder
from tests.orders.conftest import NOW, later
from tests.orders.fakes import Desk, Desks, FakeClient
from tests.orders.halting.conftest import Pull, at

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class List:
    """A broker's list. `deaf`: it takes an end, and does not carry it out; `faults` are used up one a cancellation."""

    rows: dict[str, BrokerGtt] = field(default_factory=dict)
    faults: deque[BrokerError] = field(default_factory=deque)
    problems: tuple[RowProblem, ...] = ()
    deaf: bool = False
    asked: list[str] = field(default_factory=list)
    on_read: Callable[[], None] = lambda: None

    def wait(self, key: str, status: GttStatus = GttStatus.ACTIVE) -> None:
        self.rows[key] = BrokerGtt(
            broker_gtt_id=key,
            exchange=Exchange.NSE,
            tradingsymbol="INFY",
            broker_token=None,
            kind=GttKind.SINGLE,
            side=Side.SELL,
            product=Product.CNC,
            legs=(GttLeg(trigger_price=Decimal(1400), price=Decimal(1399), quantity=Decimal(5)),),
            status=status,
            created_at=NOW,
        )


class ListClient(FakeClient):
    def __init__(self, desk: Desk, known: List) -> None:
        super().__init__(desk)
        self.known = known

    def gtts(self) -> Rows[BrokerGtt]:
        rows = Rows(tuple(self.known.rows.values()), self.known.problems)
        self.known.on_read()
        return rows

    def cancel_gtt(self, gtt: BrokerGtt) -> None:
        self.known.asked.append(gtt.broker_gtt_id)
        if self.known.faults:
            raise self.known.faults.popleft()
        if gtt.broker_gtt_id not in self.known.rows:
            raise OrderRejected("There is none.", reason="No such trigger")
        if not self.known.deaf:
            del self.known.rows[gtt.broker_gtt_id]


@dataclass
class Brokers:
    """Zerodha's list beside the desks of all."""

    desks: Desks
    known: List

    def __call__(
        self, connections: Sequence[BrokerConnection], now: datetime
    ) -> Mapping[UUID, BrokerClient | BrokerError]:
        clients = dict(self.desks(connections, now))
        for each in connections:
            if each.broker_type == "zerodha":
                clients[each.pk] = ListClient(self.desks[each], self.known)
        return clients


@pytest.fixture
def known() -> List:
    return List()


@pytest.fixture
def brokers(desks: Desks, known: List) -> Brokers:
    return Brokers(desks, known)


Ours = Callable[..., GttOrder]


@pytest.fixture
def ours(alice: User, accounts: dict[str, BrokerConnection], infy: Instrument) -> Ours:
    def made(status: GttStatus, broker_gtt_id: str | None = None, **more: Any) -> GttOrder:
        facts = {
            "kind": GttKind.SINGLE,
            "side": Side.SELL,
            "product": Product.CNC,
            "legs": [{"trigger_price": "1400", "price": "1399", "quantity": "5"}],
            "status_since": NOW,
            "created_at": NOW,
            "tag": "tag-1",
        }
        return GttOrder.objects.create(
            user=alice,
            broker_connection=accounts["zerodha"],
            broker_type="zerodha",
            instrument=infy,
            status=status,
            broker_gtt_id=broker_gtt_id,
            **facts | more,
        )

    return made


def line(row: HaltProgress, key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = row.lines[f"gtt:{key}"]
    return found


def test_our_row_and_the_halt_say_so_when_the_list_does(
    pull: Pull, known: List, brokers: Brokers, ours: Ours, accounts: dict[str, BrokerConnection]
) -> None:
    known.wait("G1")
    known.wait("APP-2")
    order = ours(GttStatus.ACTIVE, "G1")
    row = at(pull(clients=brokers), accounts["zerodha"])
    order.refresh_from_db()
    assert (row.state, order.status, known.rows) == (Reach.SETTLED, GttStatus.CANCELLED, {})
    assert [line(row, key)["outcome"] for key in ("G1", "APP-2")] == [Outcome.CANCELLED] * 2
    assert [line(row, key)["is_ours"] for key in ("G1", "APP-2")] == [True, False]


def test_an_end_that_was_taken_and_not_carried_out_is_not_told_as_one(
    pull: Pull, known: List, brokers: Brokers, ours: Ours, accounts: dict[str, BrokerConnection]
) -> None:
    known.wait("G1")
    known.deaf = True
    order = ours(GttStatus.ACTIVE, "G1")
    row = at(pull(clients=brokers), accounts["zerodha"])
    order.refresh_from_db()
    assert (row.state, line(row, "G1")["outcome"], order.status) == (Reach.OPEN, Outcome.ASKED, GttStatus.ACTIVE)
    assert row.next_at is not None
    known.deaf = False
    halt_rounds.go_on(row.halt_id, now=later(60), clients=brokers)
    row.refresh_from_db()
    order.refresh_from_db()
    assert (row.state, order.status) == (Reach.SETTLED, GttStatus.CANCELLED)


@pytest.mark.parametrize("status", [GttStatus.SENDING, GttStatus.UNKNOWN])
def test_one_that_lands_after_the_list_was_read_is_gone_on_with(
    status: GttStatus,
    pull: Pull,
    known: List,
    brokers: Brokers,
    ours: Ours,
    accounts: dict[str, BrokerConnection],
) -> None:
    order = ours(status)
    row = at(pull(clients=brokers), accounts["zerodha"])
    assert (row.state, row.in_doubt) == (Reach.OPEN, 1)
    assert row.next_at is not None
    known.wait("G1")
    gtt_settling.lapse(later(40))
    gtt_settling.settle(accounts["zerodha"], Rows(tuple(known.rows.values())), later(41))
    order.refresh_from_db()
    assert order.status == GttStatus.ACTIVE
    halt_rounds.go_on(row.halt_id, now=later(60), clients=brokers)
    order.refresh_from_db()
    row.refresh_from_db()
    assert (row.state, order.status, known.rows) == (Reach.SETTLED, GttStatus.CANCELLED, {})


def test_an_answer_that_comes_after_it_was_taken_back_does_not_revive_it(
    pull: Pull, known: List, brokers: Brokers, ours: Ours, accounts: dict[str, BrokerConnection]
) -> None:
    order = ours(GttStatus.SENDING)
    known.wait("G1")
    row = at(pull(clients=brokers), accounts["zerodha"])
    assert (row.state, line(row, "G1")["outcome"]) == (Reach.OPEN, Outcome.CANCELLED)
    gtt_settling.became(order, GttStatus.ACTIVE, later(12), broker_gtt_id="G1")
    halt_rounds.go_on(row.halt_id, now=later(60), clients=brokers)
    order.refresh_from_db()
    row.refresh_from_db()
    assert (row.state, order.status, known.asked) == (Reach.SETTLED, GttStatus.CANCELLED, ["G1"])


def test_what_the_list_lacks_and_we_know_is_asked_for(
    pull: Pull, known: List, brokers: Brokers, ours: Ours, accounts: dict[str, BrokerConnection]
) -> None:
    """A list may not reach back so far; that the broker has none is told with its reason."""
    ours(GttStatus.ACTIVE, "OLD-1")
    row = at(pull(clients=brokers), accounts["zerodha"])
    assert known.asked == ["OLD-1"]
    assert (row.state, line(row, "OLD-1")["outcome"]) == (Reach.SETTLED, Outcome.ENDED)
    assert line(row, "OLD-1")["reason"] == "No such trigger"


def test_without_an_answer_nor_with_a_line_that_cannot_be_read_nothing_is_settled(
    pull: Pull, known: List, brokers: Brokers, ours: Ours, accounts: dict[str, BrokerConnection]
) -> None:
    known.wait("G1")
    ours(GttStatus.ACTIVE, "G1")
    known.faults.append(OutcomeUnknown("No answer."))
    known.problems = (RowProblem(part="gtts", row=1, field="status"),)
    row = at(pull(clients=brokers), accounts["zerodha"])
    assert (row.state, line(row, "G1")["outcome"]) == (Reach.OPEN, Outcome.UNKNOWN)
    halt_rounds.go_on(row.halt_id, now=later(60), clients=brokers)
    row.refresh_from_db()
    assert (row.state, line(row, "G1")["outcome"], known.rows) == (Reach.OPEN, Outcome.ASKED, {})
    known.problems = ()
    halt_rounds.go_on(row.halt_id, now=later(120), clients=brokers)
    row.refresh_from_db()
    assert (row.state, line(row, "G1")["outcome"]) == (Reach.SETTLED, Outcome.CANCELLED)


def test_a_list_that_cannot_be_read_again_settles_nothing(
    pull: Pull, known: List, brokers: Brokers, accounts: dict[str, BrokerConnection]
) -> None:
    known.wait("G1")
    reads: list[int] = []

    def read() -> None:
        reads.append(1)
        if len(reads) == 2:
            raise BrokerUnavailable("Away.")

    known.on_read = read
    row = at(pull(clients=brokers), accounts["zerodha"])
    assert (row.state, line(row, "G1")["outcome"]) == (Reach.UNREACHABLE, Outcome.ASKED)
    halt_rounds.go_on(row.halt_id, now=later(60), clients=brokers)
    row.refresh_from_db()
    assert (row.state, line(row, "G1")["outcome"]) == (Reach.SETTLED, Outcome.CANCELLED)


def test_one_that_fired_meanwhile_has_ended(
    pull: Pull, known: List, brokers: Brokers, ours: Ours, accounts: dict[str, BrokerConnection]
) -> None:
    known.wait("G1")
    order = ours(GttStatus.ACTIVE, "G1")
    known.faults.append(OrderRejected("Too late."))
    fired = replace(known.rows["G1"], status=GttStatus.TRIGGERED)
    known.on_read = lambda: known.rows.update({"G1": fired})
    row = at(pull(clients=brokers), accounts["zerodha"])
    order.refresh_from_db()
    assert (row.state, line(row, "G1")["outcome"], order.status) == (Reach.SETTLED, Outcome.ENDED, GttStatus.TRIGGERED)
