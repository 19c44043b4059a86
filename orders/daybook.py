"""Today's orders and trades over all brokers, ours and those placed elsewhere, as each broker says now.

A broker that cannot be asked is shown by what its book last said, marked stale, and by name among `sources`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Any, TypeVar
from uuid import UUID

from django.core.cache import cache
from django.db.models import Max

from accounts.models import User
from brokers.base import BrokerClient
from brokers.domain import BrokerOrder, BrokerTrade, Rows
from brokers.errors import BrokerError, BrokerUnavailable, UnexpectedResponse
from brokers.models import BrokerConnection
from brokers.transport import Deadline
from brokers.wire import IST
from orders import calling, listings
from orders.explaining import plainly
from orders.models import ChildOrder, Fill, SeenOrder
from orders.units import Units
from portfolio.presentation import instant

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 4.0
# Brokers let their books be read about once a second: who reloads is served from the last reading.
KEPT_SECONDS = 2

_flights: dict[str, Future[dict[str, Any]]] = {}
_flights_lock = Lock()

Row = TypeVar("Row", BrokerOrder, BrokerTrade)


@dataclass(frozen=True, slots=True)
class Read:
    """What one broker's book said, or why it could not be read."""

    rows: Rows[Any] | None
    error: BrokerError | None


def orders(user: User, now: datetime) -> dict[str, Any]:
    """`orders` newest first, and `sources`: one line for each connection. All times are UTC and written alike."""
    return _kept(user, "orders", lambda: _orders(user, now))


def trades(user: User, now: datetime) -> dict[str, Any]:
    return _kept(user, "trades", lambda: _trades(user, now))


def _kept(user: User, which: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    key = f"orders:{which}:{user.pk}"
    found: Any = cache.get(key)
    return dict(found or _shared(key, make))


def _shared(key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """One reading for all who ask at the same time (in this process): whoever comes meanwhile waits for its answer."""
    with _flights_lock:
        flight = _flights.get(key)
        is_first = flight is None
        if flight is None:
            flight = _flights[key] = Future()
    if is_first:
        try:
            found = make()
            cache.set(key, found, KEPT_SECONDS)  # and not get_or_set, which adds: that does not forgive a missing Redis
            flight.set_result(found)
        except BaseException as error:
            flight.set_exception(error)
        finally:
            with _flights_lock:
                del _flights[key]
    return flight.result()


def _orders(user: User, now: datetime) -> dict[str, Any]:
    connections = _connections(user)
    read = _read(connections, "orders", lambda client: client.orders(), now)
    ours = _ours(user, now)
    rows, sources = [], []
    for connection in connections:
        answer = read[connection.pk]
        if answer.rows is not None:
            each_in = _units(connection, answer.rows.items)
            rows += [_order(connection, each, ours, each_in, now, stale=False) for each in answer.rows.items]
            sources.append(_source(connection, answer, now, now))
        else:
            seen = list(SeenOrder.objects.filter(broker_connection=connection, day=now.astimezone(IST).date()))
            each_in = _units(connection, seen)
            rows += [_order(connection, each, ours, each_in, each.seen_at, stale=True) for each in seen]
            sources.append(_source(connection, answer, max((each.seen_at for each in seen), default=None), now))
    rows.sort(key=lambda row: row["placed_at"] or "", reverse=True)
    return {"as_of": instant(now), "orders": rows, "sources": sources}


def _trades(user: User, now: datetime) -> dict[str, Any]:
    connections = _connections(user)
    read = _read(connections, "trades", lambda client: client.trades(), now)
    ours = _ours(user, now)
    rows, sources = [], []
    for connection in connections:
        answer = read[connection.pk]
        if answer.rows is not None:
            each_in = _units(connection, answer.rows.items)
            rows += [_trade(connection, each, ours, each_in, now) for each in answer.rows.items]
            sources.append(_source(connection, answer, now, now))
        else:
            fills = _fills(connection, now)
            rows += [_fill(connection, each) for each in fills]
            last = fills.aggregate(last=Max("noted_at"))["last"]
            sources.append(_source(connection, answer, last, now))
    rows.sort(key=lambda row: row["traded_at"] or "", reverse=True)
    return {"as_of": instant(now), "trades": rows, "sources": sources}


# --- asking -----------------------------------------------------------------------------------------------------------
def _connections(user: User) -> list[BrokerConnection]:
    rows = BrokerConnection.objects.active().filter(user=user).select_related("user")
    return list(rows.prefetch_related("user__broker_apps"))


def _read(
    connections: Sequence[BrokerConnection], part: str, call: Callable[[BrokerClient], Rows[Any]], now: datetime
) -> dict[UUID, Read]:
    """All at the same time, under one deadline. Threads do HTTP alone."""
    deadline = Deadline(DEADLINE_SECONDS)
    clients = calling.clients_for(connections, now)
    asked: dict[UUID, Future[Read]] = {
        row.pk: calling.submit_reading(row.broker_type, _reading(clients[row.pk], part, call)) for row in connections
    }
    wait(asked.values(), timeout=max(0.0, deadline.remaining()))
    late = Read(None, BrokerUnavailable("The broker did not answer in time."))
    # What has not begun by now is not made: nobody waits for it any more.
    return {key: late if future.cancel() or not future.done() else future.result() for key, future in asked.items()}


def _reading(
    client: BrokerClient | BrokerError, part: str, call: Callable[[BrokerClient], Rows[Any]]
) -> Callable[[], Read]:
    def read() -> Read:
        if isinstance(client, BrokerError):
            return Read(None, client)
        try:
            return Read(call(client.within(DEADLINE_SECONDS)), None)
        except BrokerError as error:
            return Read(None, error)
        except Exception:  # a mistake of ours in one dialect must not hide the other brokers
            logger.exception("Reading %s of %s failed", part, client.spec.slug)
            return Read(None, UnexpectedResponse(part, "cannot be mapped"))

    return read


# --- whose they are ---------------------------------------------------------------------------------------------------
Ours = Mapping[tuple[UUID | None, str], ChildOrder]


def _ours(user: User, now: datetime) -> Ours:
    """Our own of today, by the broker's id and by tag."""
    today = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    found: dict[tuple[UUID | None, str], ChildOrder] = {}
    for child in ChildOrder.objects.filter(intent__user=user, sent_at__gte=today):
        found[child.broker_connection_id, child.tag] = child
        if child.broker_order_id:
            found[child.broker_connection_id, child.broker_order_id] = child
    return dict(found)


def _child_of(connection: BrokerConnection, names: Iterable[str | None], ours: Ours) -> ChildOrder | None:
    return next((ours[connection.pk, name] for name in names if name and (connection.pk, name) in ours), None)


# --- rows -------------------------------------------------------------------------------------------------------------
def _units(connection: BrokerConnection, rows: Iterable[BrokerOrder | SeenOrder | BrokerTrade]) -> Units:
    return Units.at((connection.broker_type, str(each.exchange), each.broker_token) for each in rows)


def _in_units(
    connection: BrokerConnection, each: Any, child: ChildOrder | None, known: Units, count: Decimal
) -> str | None:
    """As a book counts it, in units; null where it counts lots of nobody knows how many."""
    if child is not None and child.traded:
        return plainly(listings.of_row(child.traded).units(count))
    return _number(known.of((connection.broker_type, str(each.exchange), each.broker_token), count))


def _common(connection: BrokerConnection, each: Any, child: ChildOrder | None, known: Units) -> dict[str, Any]:
    return {
        "connection_id": str(connection.pk),
        "broker_type": connection.broker_type,
        "broker_name": connection.broker_name,
        "order": str(child.intent_id) if child else None,
        "is_ours": child is not None,
        "broker_order_id": each.broker_order_id,
        "exchange": str(each.exchange),
        "tradingsymbol": each.tradingsymbol,
        "side": str(each.side),
        "product": str(each.product),
        "quantity": _in_units(connection, each, child, known, each.quantity),
    }


def _order(
    connection: BrokerConnection,
    each: BrokerOrder | SeenOrder,
    ours: Ours,
    known: Units,
    as_of: datetime,
    *,
    stale: bool,
) -> dict[str, Any]:
    child = _child_of(connection, (each.broker_order_id, each.tag), ours)
    return _common(connection, each, child, known) | {
        "order_type": str(each.order_type),
        "validity": str(each.validity) if isinstance(each, BrokerOrder) else None,
        "filled_quantity": _in_units(connection, each, child, known, each.filled_quantity),
        "price": _number(each.price),
        "trigger_price": _number(each.trigger_price),
        "average_price": _number(each.average_price),
        "status": str(each.status),
        "status_message": each.status_message or None,
        "placed_at": instant(each.placed_at) if each.placed_at else None,
        "as_of": instant(as_of),
        "stale": stale,
    }


def _trade(
    connection: BrokerConnection, each: BrokerTrade, ours: Ours, known: Units, as_of: datetime
) -> dict[str, Any]:
    child = _child_of(connection, (each.broker_order_id,), ours)
    return _common(connection, each, child, known) | {
        "trade_id": each.trade_id,
        "price": plainly(each.price),
        "traded_at": instant(each.traded_at) if each.traded_at else None,
        "as_of": instant(as_of),
        "stale": False,
    }


def _fills(connection: BrokerConnection, now: datetime) -> Any:
    today = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    return Fill.objects.filter(child__broker_connection=connection, noted_at__gte=today).select_related("child")


def _fill(connection: BrokerConnection, fill: Fill) -> dict[str, Any]:
    child = fill.child
    return {
        "connection_id": str(connection.pk),
        "broker_type": connection.broker_type,
        "broker_name": connection.broker_name,
        "order": str(child.intent_id),
        "is_ours": True,
        "broker_order_id": child.broker_order_id or "",
        "exchange": child.exchange,
        "tradingsymbol": child.traded.get("listing", {}).get("tradingsymbol", ""),
        "side": child.side,
        "product": child.product,
        "quantity": plainly(fill.quantity),
        "trade_id": fill.trade_id,
        "price": plainly(fill.price),
        "traded_at": instant(fill.traded_at) if fill.traded_at else None,
        "as_of": instant(fill.noted_at),
        "stale": True,
    }


def _source(connection: BrokerConnection, answer: Read, as_of: datetime | None, now: datetime) -> dict[str, Any]:
    error = answer.error
    return {
        "connection_id": str(connection.pk),
        "broker_type": connection.broker_type,
        "broker_name": connection.broker_name,
        "state": "LIVE" if answer.rows is not None else "STALE" if as_of else "MISSING",
        "as_of": instant(as_of) if as_of else None,
        "age_seconds": max(0, int((now - as_of).total_seconds())) if as_of else None,
        "unreadable_rows": len(answer.rows.problems) if answer.rows is not None else 0,
        "error_code": error.code if error else None,
        "error_message": error.message if error else None,
        "user_action": error.user_action if error else None,
    }


def _number(number: Any) -> str | None:
    return None if number is None else plainly(number)
