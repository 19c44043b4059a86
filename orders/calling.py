"""Calls to brokers about orders, made in threads: HTTP and plain values there, rows in the caller.

A broker that hangs fills its own threads and nobody else's; reading a portfolio has others (`portfolio.fetching`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import msgspec

from brokers import reach
from brokers.base import BrokerClient
from brokers.dealing import OrderRequest
from brokers.domain import ConnectionStatus, OrderType, Product, Side, Validity
from brokers.errors import BrokerError, HeldBack, NotSupported, RequestRefused
from brokers.models import BrokerConnection
from brokers.reach import ConnectRefused
from orders import listings
from orders.models import ChildOrder
from portfolio import latch
from portfolio.latch import May

logger = logging.getLogger(__name__)

THREADS_PER_BROKER = 16
CALL_SECONDS = 8.0
# A reply may drip on for as long again (`transport`), and a thread may have to be waited for.
LAPSE = timedelta(seconds=2 * CALL_SECONDS + 9)

TRADING_OFF = NotSupported(
    "Trading is turned off for this account.",
    code="trading_off",
    user_action="Turn it on for this connection, with a fresh second factor.",
)

Clients = Callable[[Sequence[BrokerConnection], datetime], Mapping[UUID, BrokerClient | BrokerError]]
T = TypeVar("T")


def takes_orders(connection: BrokerConnection) -> bool:
    """Whether its owner lets orders go there, as this row says. (What else stops them the decision has seen.)"""
    return connection.trading_enabled_at is not None and connection.status != ConnectionStatus.DISCONNECTED


def open_now(connection_ids: Iterable[UUID | None]) -> set[UUID]:
    """Which of these let orders go there at this moment: a row that was read before may not know that it was closed."""
    rows = BrokerConnection.objects.without_secrets().filter(pk__in={each for each in connection_ids if each})
    return {row.pk for row in rows if takes_orders(row)}


def clients_for(connections: Sequence[BrokerConnection], now: datetime) -> Mapping[UUID, BrokerClient | BrokerError]:
    """A client per connection, or the error that says why it cannot be asked. Each call sets its own deadline."""
    return _clients(connections, now, to_end=False)


def clients_to_end(connections: Sequence[BrokerConnection], now: datetime) -> Mapping[UUID, BrokerClient | BrokerError]:
    """The same for taking orders back: that a broker wants other calls to wait holds up no cancellation."""
    return _clients(connections, now, to_end=True)


def _clients(
    connections: Sequence[BrokerConnection], now: datetime, *, to_end: bool
) -> Mapping[UUID, BrokerClient | BrokerError]:
    found: dict[UUID, BrokerClient | BrokerError] = {}
    for connection in connections:
        try:
            found[connection.pk] = reach.client_for(connection, now=now, to_end=to_end)
        except BrokerError as error:
            found[connection.pk] = error
        except ConnectRefused as refusal:
            found[connection.pk] = RequestRefused(refusal.message, code=refusal.code, user_action=refusal.remedy)
    return found


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """The time that goes on from a `now` that was passed in."""

    began: datetime
    at: float

    @classmethod
    def started(cls, now: datetime) -> Stopwatch:
        return cls(now, time.monotonic())

    def now(self) -> datetime:
        return self.began + timedelta(seconds=time.monotonic() - self.at)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: what it brought, or what went wrong. An error of ours is one too, and says nothing of theirs.

    Not `is_sent`: no call was made at all.
    """

    value: str | None = None
    error: Exception | None = None
    is_sent: bool = True

    @property
    def code(self) -> str:
        if self.error is None:
            return ""
        return self.error.code if isinstance(self.error, BrokerError) else "internal_error"

    @property
    def reason(self) -> str:
        """For the trader: the broker's own words where it gave some; of what we did not send, why and what to do."""
        if not isinstance(self.error, BrokerError):
            return ""
        if isinstance(self.error, HeldBack | NotSupported):
            return why_not(self.error)
        return self.error.reason or self.error.message


def why_not(error: HeldBack | NotSupported) -> str:
    """Why something was not sent, and what its trader can do."""
    return f"{error.message} {error.user_action}"


def answered(call: Callable[[], str | None], slug: str) -> Answer:
    """Make a call, once. Nothing is raised."""
    try:
        return Answer(value=call())
    except BrokerError as error:
        return Answer(error=error)
    except Exception as error:  # whatever it is, the order may have left
        logger.exception("A call about an order of %s failed", slug)
        return Answer(error=error)


def guarded(
    call: Callable[[BrokerClient], str | None], client: BrokerClient, *, user_id: int, tag: str, may: May
) -> Answer:
    """The same for a call that brings an order to a broker, or makes one larger: not while that is stopped.

    Entered at the last, so that whoever stops trading sees it on its way, and looked at once more when the broker's
    budget has been waited for: after that only the wire is left.
    """
    if (held := latch.enter(user_id, tag, may)) is not None:
        return Answer(error=held, is_sent=False)
    try:
        looking = client.looking(lambda: latch.look(user_id, may))
        return answered(lambda: call(looking), client.spec.slug)
    finally:
        latch.leave(user_id, tag)


def request_of(child: ChildOrder) -> OrderRequest:
    """What stands at the broker, as it is asked for again in changes and cancellations."""
    return OrderRequest(
        traded=listings.of_row(child.traded),
        side=Side(child.side),
        order_type=OrderType(child.order_type),
        product=Product(child.product),
        validity=Validity(child.validity),
        quantity=child.quantity,
        tag=child.tag,
        price=child.price,
        trigger_price=child.trigger_price,
    )


def request_hash(request: OrderRequest) -> str:
    """Of all that a request says, in hex."""
    return sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()


def submit(slug: str, call: Callable[[], T]) -> Future[T]:
    """For what places orders, and for nothing else: no page that is read may stand in its way."""
    return _pool(slug).submit(call)


def submit_reading(slug: str, call: Callable[[], T]) -> Future[T]:
    """For the books and lists that people look at: they have threads of their own."""
    return _reading_pool(slug).submit(call)


@cache
def _pool(slug: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS_PER_BROKER, thread_name_prefix=f"orders-{slug}")


@cache
def _reading_pool(slug: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS_PER_BROKER, thread_name_prefix=f"books-{slug}")
