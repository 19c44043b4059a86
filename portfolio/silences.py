"""When accounts did not answer today: what the value of the day leaves out, or knew only from before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from uuid import UUID

from accounts.models import User
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, ConnectionChange
from brokers.wire import IST

# One that was left is silent by its owner's will.
ANSWERS = frozenset({ConnectionStatus.CONNECTED, ConnectionStatus.DISCONNECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """`until` None: it lasts. `status` is what it was at its end, or is."""

    connection_id: UUID
    broker_type: str
    display_name: str
    status: str
    begun_at: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    at: datetime
    before: str
    after: str


def silences_of(user: User, now: datetime) -> list[Silence]:
    """Of every account that its owner has not left, since midnight (IST), by when they began."""
    midnight = datetime.combine(now.astimezone(IST).date(), time(), IST)
    rows = BrokerConnection.objects.without_secrets().active().filter(user=user)
    connections = {row.pk: row for row in rows}
    changes: dict[UUID, list[Change]] = {key: [] for key in connections}
    told = ConnectionChange.objects.filter(broker_connection__in=connections, at__gte=midnight, at__lte=now)
    for row in told.order_by("at", "id"):
        changes[row.broker_connection_id].append(Change(row.at, row.from_status, row.to_status))
    found = [
        Silence(
            connection_id=key,
            broker_type=connection.broker_type,
            display_name=connection.display_name or f"{connection.broker_name} {connection.account_id}",
            status=status,
            begun_at=begun_at,
            until=until,
        )
        for key, connection in connections.items()
        for status, begun_at, until in spans(changes[key], connection.status, midnight)
    ]
    return sorted(found, key=lambda each: (each.begun_at, each.display_name))


def spans(changes: Iterable[Change], status: str, since: datetime) -> list[tuple[str, datetime, datetime | None]]:
    """(status, from, until) of each silence, out of the day's changes in their order and the status of now. Pure.

    Several troubles in a row are one silence. Before its first login of all an account is not silent: it is not there.
    """
    found: list[tuple[str, datetime, datetime | None]] = []
    begun_at: datetime | None = None
    known = list(changes)
    before = known[0].before if known else status
    if before and before not in ANSWERS:
        begun_at = since
    for change in known:
        if change.after in ANSWERS and begun_at is not None:
            found.append((change.before, begun_at, change.at))
            begun_at = None
        elif change.after not in ANSWERS and begun_at is None:
            begun_at = change.at
    if begun_at is not None:
        found.append((status, begun_at, None))
    return found
