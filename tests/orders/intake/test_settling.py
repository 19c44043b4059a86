"""An order of an earlier day that no book tells of: its owner settles it, by the contract note."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import AuditEntry, User
from orders import sending, settling
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus
from orders.refusals import MoreThanOrdered, NotForSettling
from tests.orders.conftest import NOW, Wish, child_of, codes
from tests.orders.fakes import LOST_REQUEST, Desk, Desks
from tests.orders.intake.conftest import no_pause

TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def unknown(wish: Wish, desk: Desk, desks: Desks) -> ChildOrder:
    intent, decision = wish(("zerodha", 10))
    desk.faults.append(LOST_REQUEST)
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=no_pause)
    child = child_of(intent)
    assert child.state == State.UNKNOWN
    return child


@pytest.mark.parametrize(
    ("filled", "price", "state", "status"),
    [
        (10, "1500.05", State.FILLED, IntentStatus.FILLED),
        (4, None, State.EXPIRED, IntentStatus.PARTIALLY_FILLED),
        (0, None, State.EXPIRED, IntentStatus.EXPIRED),
    ],
)
def test_it_becomes_what_the_note_says(
    unknown: ChildOrder, alice: User, filled: int, price: str | None, state: State, status: IntentStatus
) -> None:
    average = None if price is None else Decimal(price)
    settling.settle(unknown, user=alice, filled_quantity=Decimal(filled), average_price=average, now=TOMORROW)
    unknown.refresh_from_db()
    assert (unknown.state, unknown.filled_quantity, unknown.average_price) == (state, filled, average)
    assert (unknown.intent.status, unknown.reason_code) == (status, "contract_note")
    assert "settled_by_owner" in codes(unknown.intent)
    entry = AuditEntry.objects.get(event="order.settled")
    assert (entry.subject_id, entry.details["filled_quantity"]) == (alice.pk, str(filled))


def test_not_on_its_own_day(unknown: ChildOrder, alice: User) -> None:
    with pytest.raises(NotForSettling):
        settling.settle(unknown, user=alice, filled_quantity=Decimal(0), average_price=None, now=NOW)


def test_nor_what_is_known(unknown: ChildOrder, alice: User) -> None:
    ChildOrder.objects.update(state=State.OPEN)
    with pytest.raises(NotForSettling):
        settling.settle(unknown, user=alice, filled_quantity=Decimal(0), average_price=None, now=TOMORROW)
    assert not AuditEntry.objects.filter(event="order.settled").exists()


@pytest.mark.parametrize(("filled", "price"), [(11, None), (0, "1500")])
def test_nor_beyond_what_was_ordered(unknown: ChildOrder, alice: User, filled: int, price: str | None) -> None:
    average = None if price is None else Decimal(price)
    with pytest.raises(MoreThanOrdered):
        settling.settle(unknown, user=alice, filled_quantity=Decimal(filled), average_price=average, now=TOMORROW)
