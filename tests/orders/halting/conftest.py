"""Alice's two accounts, at brokers in memory, and orders that stand there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from accounts.models import User
from brokers.models import BrokerConnection
from brokers.shared import ledger
from orders import halting, sending
from orders.halt_models import HaltProgress
from orders.models import ChildOrder
from portfolio.risk_models import HaltLevel
from tests.orders.conftest import NOW, Wish, later
from tests.orders.fakes import Desks
from tests.orders.intake.conftest import (  # noqa: F401 - accounts that say what they hold, while the market is open
    _open_market,
    _rates,
    _registered,
    accounts,
    last_price,
    place,
    send,
    told,
)


def let_go(redis: Redis) -> None:
    for key in redis.scan_iter("halt*"):
        redis.delete(key)


@pytest.fixture(autouse=True)
def _nothing_latched() -> Iterator[None]:
    ledger().ask(let_go)
    yield
    ledger().ask(let_go)


def lose_redis() -> None:
    """As after a restart that kept nothing."""
    ledger().ask(let_go)


Stand = Callable[..., ChildOrder]


@pytest.fixture
def stand(wish: Wish, desks: Desks) -> Stand:
    """An order of ours that stands at a broker."""

    def stands(broker: str, quantity: int = 10, **facts: Any) -> ChildOrder:
        intent, decision = wish((broker, quantity), **facts)
        assert sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
        child: ChildOrder = intent.children.get()
        return child

    return stands


Pull = Callable[..., halting.Stopped]


@pytest.fixture
def pull(alice: User, desks: Desks) -> Pull:
    def pulled(level: HaltLevel = HaltLevel.CANCEL, second: float = 10, **more: Any) -> halting.Stopped:
        facts = {"reason": "A bad day.", "by": alice, "clients": desks} | more
        return halting.pull(alice, level=level, now=later(second), **facts)

    return pulled


def at(stopped: halting.Stopped, account: BrokerConnection) -> HaltProgress:
    return next(row for row in stopped.progress if row.broker_connection_id == account.pk)


def units(number: int) -> Decimal:
    return Decimal(number)
