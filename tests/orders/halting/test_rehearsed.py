"""What the storm holds against the kill switch: that nothing entered proves nothing where nobody tried."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from orders import sending
from orders.halt_models import Reach
from orders.models import IntentStatus, OrderIntent
from portfolio.risk_models import HaltLevel
from tests.orders.conftest import Wish, later
from tests.orders.fakes import Desks
from tests.orders.halting.conftest import Pull
from trademaster.rehearsal.switch import Switch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def switch(alice: User) -> Switch:
    nobody: Any = None
    pulled = Switch(nobody, alice)
    pulled.returned_at, pulled.dead, pulled.dead_state = later(10), "fyers", Reach.UNREACHABLE
    return pulled


def test_somebody_must_have_tried(switch: Switch, pull: Pull, wish: Wish, desks: Desks) -> None:
    wish(("zerodha", 5))
    pull(HaltLevel.STOP, second=20)  # ends what was not sent: that is no attempt
    assert OrderIntent.objects.get().status == IntentStatus.NOT_PLACED
    assert switch.wrong({}) == ["no order was tried after the switch was pulled"]
    intent, decision = wish(("zerodha", 5))
    assert not sending.send(intent=intent, decision=decision, now=later(30), clients=desks)
    assert switch.wrong({}) == []


def test_the_dead_broker_must_have_been_seen_to_be_dead(
    switch: Switch, pull: Pull, wish: Wish, desks: Desks
) -> None:  # fmt: skip
    pull(HaltLevel.STOP)
    intent, decision = wish(("zerodha", 5))
    sending.send(intent=intent, decision=decision, now=later(30), clients=desks)
    switch.dead_state = Reach.SETTLED
    assert switch.wrong({}) == ["fyers was dead, and the switch said SETTLED of it"]
