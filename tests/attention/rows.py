"""Rows that need their owner, and those that do not: real ones, made as the rooms make them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from accounts.models import User
from brokers.domain import (
    BrokerPortfolio,
    ConnectionStatus,
    Contract,
    Exchange,
    Funds,
    InstrumentKind,
    Position,
    Product,
    RowProblem,
)
from brokers.models import BrokerConnection
from market.models import Instrument
from orders.decisions import Answer
from orders.facts import plain
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent, RoutingDecision, Teller
from portfolio.models import BrokerSnapshot
from portfolio.risk.limits import Metric, Scope
from portfolio.risk_models import RiskBreach, RiskLimit
from tests.orders.samples import share

NONE = Decimal(0)


def account(user: User, now: datetime, slug: str = "zerodha", **changed: Any) -> BrokerConnection:
    """One whose session ends tomorrow morning."""
    facts: dict[str, Any] = {
        "status": ConnectionStatus.CONNECTED,
        "status_since": now - timedelta(hours=1),
        "token_expires_at": now + timedelta(hours=18),
        "session_number": 1,
        "display_name": f"{user.username}’s {slug}",
    }
    return BrokerConnection.objects.create(
        user=user, broker_type=slug, account_id=f"{user.username}-{slug}", **{**facts, **changed}
    )


def order(
    user: User,
    connection: BrokerConnection,
    now: datetime,
    *,
    state: State | None = State.OPEN,
    status: IntentStatus = IntentStatus.WORKING,
    **changed: Any,
) -> OrderIntent:
    """Buy 50, of which one order stands at a broker in `state`; None: nothing was sent."""
    dealt = {"side": "BUY", "order_type": "LIMIT", "product": "CNC", "validity": "DAY", "quantity": Decimal(50)}
    intent = OrderIntent.objects.create(
        user=user,
        instrument=share(),
        price=Decimal(10),
        created_at=now,
        status=status,
        status_since=now,
        approval_due_at=changed.pop("approval_due_at", None),
        **dealt,
    )
    if state is not None:
        decision = RoutingDecision.objects.create(
            intent=intent, made_at=now, problem={}, answer=plain(Answer(unrouted=NONE)), solver="none", microseconds=1
        )
        facts = {"state_since": now, "sent_at": now, "exchange": "NSE", "traded": {}, "number": 1}
        ChildOrder.objects.create(
            intent=intent,
            decision=decision,
            broker_connection=connection,
            broker_type=connection.broker_type,
            state=state,
            tag=f"t{intent.pk.hex[:16]}",
            **{**facts, **dealt, **changed},
        )
    return intent


def event(intent: OrderIntent, code: str, now: datetime) -> OrderEvent:
    return OrderEvent.objects.create(
        intent=intent, child=intent.children.get(), at=now, teller=Teller.BOOK, code=code, details={}
    )


def breach(user: User, now: datetime, metric: Metric, level: str, **changed: Any) -> RiskBreach:
    limit = RiskLimit.objects.create(
        user=user, metric=metric, scope=changed.get("scope", Scope.GLOBAL), scope_key=changed.get("scope_key", ""),
        warn=Decimal(2), changed_at=now,
    )  # fmt: skip
    figures = {"threshold": Decimal(2), "value": Decimal("2.5"), "worst_value": Decimal("2.5"), "scope": Scope.GLOBAL}
    return RiskBreach.objects.create(
        user=user, limit=limit, metric=metric, level=level, opened_at=now, **{**figures, **changed}
    )


def answered(
    connection: BrokerConnection,
    now: datetime,
    *contracts: Contract,
    available: Decimal = Decimal(5000),
    problems: tuple[RowProblem, ...] = (),
    exchange: Exchange = Exchange.NFO,
    units: int = 65,
) -> BrokerSnapshot:
    """The last good answer of an account that holds these contracts."""
    book = BrokerPortfolio(
        as_of=now,
        positions=tuple(position(contract, exchange, units) for contract in contracts),
        funds=Funds(available=available, used=NONE, collateral=NONE, cash=available),
        problems=problems,
    )
    return BrokerSnapshot.objects.create(connection=connection, payload=msgspec.json.encode(book).decode(), as_of=now)


def ends(underlying: str, expiry: date) -> Contract:
    """A future."""
    return Contract(underlying=underlying, expiry=expiry)


def position(contract: Contract, exchange: Exchange, units: int) -> Position:
    return Position(
        exchange=exchange,
        tradingsymbol=f"{contract.underlying}FUT",
        isin=None,
        broker_token="1",
        product=Product.NRML,
        quantity=Decimal(units),
        overnight_quantity=Decimal(units),
        average_price=None,
        last_price=None,
        close_price=None,
        **dict.fromkeys(("buy_value", "sell_value", "day_buy_quantity"), NONE),
        **dict.fromkeys(("day_buy_value", "day_sell_quantity", "day_sell_value"), NONE),
        contract=contract,
    )


def listed_share(symbol: str, now: datetime) -> Instrument:
    return Instrument.objects.create(
        identity=f"NSE|{symbol}", exchange=Exchange.NSE, segment="EQUITY", kind=InstrumentKind.EQUITY,
        tradingsymbol=symbol, rank=1, words=symbol, first_seen_on=now.date(), last_seen_on=now.date(),
    )  # fmt: skip
