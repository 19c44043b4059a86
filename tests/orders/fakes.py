"""Brokers in memory, which lose replies: one book each, and a client that says what it is told to say."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Self
from uuid import UUID

from brokers import registry
from brokers.base import BrokerClient
from brokers.dealing import OrderChange, OrderRequest, StandingOrder
from brokers.domain import (
    AppCredentials,
    BrokerOrder,
    BrokerTrade,
    Funds,
    Holding,
    Listing,
    OrderStatus,
    Position,
    Profile,
    Quote,
    RowProblem,
    Rows,
    Session,
)
from brokers.errors import BrokerError, OrderRejected, OutcomeUnknown
from brokers.models import BrokerConnection
from brokers.secret import Secret
from brokers.transport import Transport

LOST_REPLY, LOST_REQUEST = "lost_reply", "lost_request"
NOWHERE = Transport(
    slug="zerodha", endpoints=registry.load("zerodha").spec.endpoints, errors={}, failure=lambda body: None
)


@dataclass
class Desk:
    """One account at a broker, whose book counts as the broker does.

    `faults` are used up one a call to place: a name from above, or an error to raise.
    """

    name: str = ""
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    deals: list[BrokerTrade] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    placed: list[OrderRequest] = field(default_factory=list)
    faults: deque[str | Exception] = field(default_factory=deque)
    refuses: deque[BrokerError] = field(default_factory=deque)
    unreadable: bool = False
    # Where the trades of one order at a time are told: whose were asked for.
    asked_trades: list[str] | None = None
    cancels: int = 0
    reads: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, request: OrderRequest) -> str:
        order_id = f"{self.name}{len(self.orders) + 1}"
        self.orders[order_id] = BrokerOrder(
            broker_order_id=order_id,
            exchange_order_id=None,
            exchange=request.traded.exchange,
            tradingsymbol=request.traded.listing.tradingsymbol,
            broker_token=request.traded.listing.broker_token,
            side=request.side,
            order_type=request.order_type,
            product=request.product,
            validity=request.validity,
            quantity=Decimal(request.count),
            filled_quantity=Decimal(0),
            price=request.price,
            trigger_price=request.trigger_price,
            average_price=None,
            status=OrderStatus.OPEN,
            status_message=None,
            tag=request.tag,
            placed_at=None,
        )
        return order_id

    def tell(self, order_id: str, status: OrderStatus, filled: int | None = None, message: str | None = None) -> None:
        """What becomes of an order; what is newly filled is one trade."""
        order = self.orders[order_id]
        before = order.filled_quantity
        after = before if filled is None else Decimal(filled)
        self.orders[order_id] = replace(
            order,
            status=status,
            filled_quantity=after,
            average_price=Decimal("1500.05") if after else None,
            status_message=message,
        )
        if after > before:
            self.deal(order_id, after - before)

    def deal(self, order_id: str, quantity: Decimal) -> None:
        order = self.orders.get(order_id) or next(iter(self.orders.values()))
        self.deals.append(
            BrokerTrade(
                trade_id=f"T{len(self.deals) + 1}",
                broker_order_id=order_id,
                exchange=order.exchange,
                tradingsymbol=order.tradingsymbol,
                broker_token=order.broker_token,
                side=order.side,
                product=order.product,
                quantity=quantity,
                price=Decimal("1500.05"),
                traded_at=None,
            )
        )

    @property
    def shown(self) -> tuple[BrokerOrder, ...]:
        return tuple(order for order_id, order in self.orders.items() if order_id not in self.hidden)


class FakeClient(BrokerClient):
    """A client of one desk."""

    spec = registry.load("zerodha").spec

    def __init__(self, desk: Desk) -> None:
        nothing = AppCredentials(api_key=Secret(""), api_secret=Secret(""))
        super().__init__(NOWHERE, nothing, Session(access_token=Secret("")))
        self.desk = desk

    def within(self, seconds: float) -> Self:
        return self

    def looking(self, look: Callable[[], None]) -> Self:
        """Nothing is waited for between its call and its desk."""
        return self

    def place(self, request: OrderRequest) -> str:
        with self.desk.lock:
            self.desk.placed.append(request)
            fault = self.desk.faults.popleft() if self.desk.faults else None
            if isinstance(fault, Exception):
                raise fault
            if fault == LOST_REQUEST:
                raise OutcomeUnknown("The broker cut the connection.")
            order_id = self.desk.enter(request)
            if fault == LOST_REPLY:
                raise OutcomeUnknown("The broker did not answer in time.")
            return order_id

    def cancel(self, standing: StandingOrder) -> None:
        self.desk.cancels += 1
        if self.desk.refuses:
            raise self.desk.refuses.popleft()
        order = self.desk.orders[standing.broker_order_id]
        if order.status in (OrderStatus.FILLED, OrderStatus.CANCELLED):
            raise OrderRejected("Too late.")
        self.desk.tell(standing.broker_order_id, OrderStatus.CANCELLED)

    def modify(self, standing: StandingOrder, change: OrderChange) -> str:
        order = self.desk.orders[standing.broker_order_id]
        lost = self.desk.refuses.popleft() if self.desk.refuses else None
        if lost is not None and not isinstance(lost, OutcomeUnknown):
            raise lost
        count = Decimal(standing.request.traded.counted(change.quantity))
        self.desk.orders[standing.broker_order_id] = replace(order, quantity=count, price=change.price)
        if lost is not None:
            raise lost
        return standing.broker_order_id

    def orders(self) -> Rows[BrokerOrder]:
        self.desk.reads += 1
        if self.desk.unreadable:
            return Rows(self.desk.shown, (RowProblem(part="orders", row=0, field="status"),))
        return Rows(self.desk.shown)

    def trades(self) -> Rows[BrokerTrade]:
        return Rows(tuple(self.desk.deals))

    def trades_of(self, orders: Collection[BrokerOrder]) -> Rows[BrokerTrade]:
        if self.desk.asked_trades is None:
            return self.trades()
        ids = {order.broker_order_id for order in orders}
        self.desk.asked_trades += sorted(ids)
        return Rows(tuple(deal for deal in self.desk.deals if deal.broker_order_id in ids))

    def authorization(self) -> Secret:
        return Secret("")

    def profile(self) -> Profile:
        raise NotImplementedError

    def holdings(self) -> Rows[Holding]:
        raise NotImplementedError

    def positions(self) -> Rows[Position]:
        raise NotImplementedError

    def funds(self) -> Funds:
        raise NotImplementedError

    def quotes(self, listings: Iterable[Listing]) -> tuple[Quote, ...]:
        raise NotImplementedError


@dataclass
class Desks:
    """Every account of a test; it is what `clients` of the services are."""

    by_connection: dict[UUID, Desk] = field(default_factory=dict)
    away: dict[UUID, BrokerError] = field(default_factory=dict)

    def __getitem__(self, connection: BrokerConnection) -> Desk:
        return self.by_connection.setdefault(connection.pk, Desk(f"{connection.broker_type[0]}-"))

    def __call__(
        self, connections: Sequence[BrokerConnection], now: datetime
    ) -> Mapping[UUID, BrokerClient | BrokerError]:
        return {each.pk: self.away.get(each.pk) or FakeClient(self[each]) for each in connections}
