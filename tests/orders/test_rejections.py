"""How many of a trader's own orders a broker refused."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import User
from brokers.models import BrokerConnection
from orders import rejections
from orders.lifecycle import State
from orders.models import ChildOrder, OrderIntent, RoutingDecision
from tests.orders.samples import orders_of

NOW = timezone.now()
MONTH = timedelta(days=30)


@pytest.fixture
def row(alice: User) -> BrokerConnection:
    return BrokerConnection.objects.create(user=alice, broker_type="upstox", account_id="A1")


def sent(row: BrokerConnection, *states: State, code: str = "", slug: str = "upstox", days: int = 1) -> None:
    intent = OrderIntent.objects.get(pk=orders_of(row.user, row)["order"])
    decision = RoutingDecision.objects.create(
        intent=intent, made_at=NOW, problem={}, answer={}, solver="none", microseconds=0
    )
    for number, state in enumerate(states):
        ChildOrder.objects.create(
            **{"intent": intent, "decision": decision, "broker_connection": row, "broker_type": slug},
            **{"number": number + 1, "exchange": "NSE", "traded": {}, "side": "BUY", "order_type": "LIMIT"},
            **{"product": "CNC", "validity": "DAY", "quantity": Decimal(1), "price": Decimal(10), "state": state},
            **{"tag": f"{intent.pk.hex[:12]}{number}", "request_hash": "", "state_since": NOW, "reason_code": code},
            sent_at=NOW - timedelta(days=days),
        )


def test_of_those_that_it_took_or_refused(alice: User, row: BrokerConnection) -> None:
    sent(row, State.FILLED, State.CANCELLED, State.NOT_PLACED, State.UNKNOWN)
    sent(row, State.REJECTED, code="insufficient_funds")
    found = rejections.refused_by(alice, "upstox", since=NOW - MONTH)
    assert (found.judged, found.rejected, found.rate_pct) == (3, 1, Decimal("33.3"))
    assert found.reasons == (("insufficient_funds", 1),)


def test_older_ones_other_brokers_and_other_people_do_not_count(
    alice: User, mallory: User, row: BrokerConnection
) -> None:
    sent(row, State.REJECTED, days=31)
    sent(row, State.REJECTED, slug="fyers")
    assert rejections.refused_by(alice, "upstox", since=NOW - MONTH).judged == 0
    assert rejections.refused_by(mallory, "fyers", since=NOW - MONTH).judged == 0


def test_no_order_is_no_record(alice: User) -> None:
    assert rejections.refused_by(alice, "upstox", since=NOW - MONTH).rate_pct is None
