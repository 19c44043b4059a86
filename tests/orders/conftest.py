"""Alice, who may trade at two brokers in memory, and a share that both list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from brokers.domain import Exchange, InstrumentKind, OrderType, Product, Segment, Side, Validity
from brokers.models import BrokerConnection
from market.models import Instrument, InstrumentListing
from orders import failover, reconciling, sending
from orders.models import ChildOrder, IntentStatus, OrderIntent, RoutingDecision
from tests.orders.cleared import stored_run
from tests.orders.fakes import Desk, Desks

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)  # 10:30 IST on a Thursday


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def infy(db: None) -> Instrument:
    instrument = Instrument.objects.create(
        exchange=Exchange.NSE,
        segment=Segment.EQUITY,
        kind=InstrumentKind.EQUITY,
        identity="NSE|1594",
        tradingsymbol="INFY",
        exchange_token="1594",
        isin="INE009A01021",
        tick_size=Decimal("0.05"),
        first_seen_on=date(2026, 1, 1),
        last_seen_on=date(2026, 11, 26),
        rank=0,
        words="INFY",
    )
    for broker in ("zerodha", "upstox"):
        InstrumentListing.objects.create(
            instrument=instrument, broker_type=broker, broker_token=f"{broker}|1594", tradingsymbol="INFY", multiplier=1
        )
    return instrument


@pytest.fixture
def accounts(alice: User) -> dict[str, BrokerConnection]:
    return {
        broker: BrokerConnection.objects.create(
            user=alice, broker_type=broker, account_id=f"A-{broker}", trading_enabled_at=NOW
        )
        for broker in ("zerodha", "upstox")
    }


@pytest.fixture
def desks() -> Desks:
    return Desks()


@pytest.fixture
def desk(desks: Desks, accounts: dict[str, BrokerConnection]) -> Desk:
    """Of the first broker."""
    return desks[accounts["zerodha"]]


@pytest.fixture(autouse=True)
def _nobody_decides() -> Any:
    yield
    failover.forget_decider()


Wish = Callable[..., tuple[OrderIntent, RoutingDecision]]


@pytest.fixture
def wish(alice: User, infy: Instrument, accounts: dict[str, BrokerConnection]) -> Wish:
    """An intent, and a decision that sends `(broker, quantity)` each, in this order."""

    def made(*parts: tuple[str, int], quantity: int | None = None, **facts: Any) -> tuple[OrderIntent, RoutingDecision]:
        intent = OrderIntent.objects.create(
            **{
                "user": alice,
                "instrument": infy,
                "side": Side.BUY,
                "order_type": OrderType.LIMIT,
                "product": Product.CNC,
                "validity": Validity.DAY,
                "quantity": Decimal(quantity or sum(number for _, number in parts)),
                "price": Decimal("1500.05"),
                "exchanges": ["NSE"],
                "created_at": NOW,
                "status": IntentStatus.WORKING,
                "status_since": NOW,
            }
            | facts
        )
        return intent, decide(intent, *((accounts[broker], number) for broker, number in parts))

    return made


def decide(intent: OrderIntent, *parts: tuple[BrokerConnection, int]) -> RoutingDecision:
    children = [
        {"connection_id": str(connection.pk), "exchange": "NSE", "quantity": str(quantity)}
        for connection, quantity in parts
    ]
    return RoutingDecision.objects.create(
        intent=intent,
        made_at=NOW,
        problem={},
        answer={"children": children, "checks": stored_run()},
        solver="test",
        microseconds=0,
    )


@pytest.fixture
def placed(wish: Wish, desk: Desk, desks: Desks) -> OrderIntent:
    return sent(wish, desks)


def sent(wish: Wish, desks: Desks, *parts: tuple[str, int]) -> OrderIntent:
    intent, decision = wish(*(parts or (("zerodha", 10),)))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks, pause=lambda seconds: None)
    return intent


def pass_seconds(desks: Desks, until: float, since: float = 0.0, step: float = 1.0) -> None:
    """What beat does, second by second."""
    moment = since
    while moment <= until:
        reconciling.run(later(moment), desks)
        moment += step


def child_of(intent: OrderIntent, number: int = 1) -> ChildOrder:
    return ChildOrder.objects.get(intent=intent, number=number)


def codes(intent: OrderIntent) -> list[str]:
    return list(intent.events.order_by("id").values_list("code", flat=True))
