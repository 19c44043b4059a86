"""The books of the day over all brokers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache

from accounts.models import User
from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import BrokerUnavailable
from brokers.models import BrokerConnection
from brokers.wire import IST
from orders import calling, daybook, sending
from orders.models import SeenOrder
from tests.orders.conftest import NOW, Wish, later
from tests.orders.fakes import Desk, Desks

pytestmark = pytest.mark.django_db

Accounts = dict[str, BrokerConnection]


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch, desks: Desks) -> None:
    cache.clear()
    monkeypatch.setattr(calling, "clients_for", desks)


def placed_at(desk: Desk, order_id: str, at: datetime) -> None:
    desk.orders[order_id] = replace(desk.orders[order_id], placed_at=at)


def test_the_newest_is_first_whatever_clock_it_was_told_by(
    wish: Wish, alice: User, accounts: Accounts, desks: Desks
) -> None:
    """A broker tells its times in IST; what is stored of another that cannot be asked is UTC."""
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    placed_at(desks[accounts["zerodha"]], "z-1", NOW.astimezone(IST))
    desks.away[accounts["upstox"].pk] = BrokerUnavailable("It cannot be reached.")
    for number, minutes in enumerate((-5, 5)):
        SeenOrder.objects.create(
            broker_connection=accounts["upstox"],
            broker_order_id=f"u-{number}",
            day=NOW.astimezone(IST).date(),
            exchange="NSE",
            tradingsymbol="INFY",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.CNC,
            validity=Validity.DAY,
            quantity=1,
            filled_quantity=0,
            status=OrderStatus.OPEN,
            placed_at=NOW + timedelta(minutes=minutes),
            seen_at=NOW,
        )
    rows = daybook.orders(alice, later(400))["orders"]
    assert [(row["broker_order_id"], row["placed_at"]) for row in rows] == [
        ("u-1", "2026-11-26T05:05:00.000Z"),
        ("z-1", "2026-11-26T05:00:00.000Z"),
        ("u-0", "2026-11-26T04:55:00.000Z"),
    ]
