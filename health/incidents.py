"""Incidents open and close by themselves: from the changes that connections went through, and from whole brokers.

A change is consumed once: how far this room has read is written in the transaction that wrote the incidents.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import Count, Max, Q

from brokers import registry
from brokers.domain import ConnectionStatus
from brokers.errors import UnexpectedResponse
from brokers.models import BrokerConnection, ConnectionChange
from brokers.statuses import BROKER_IS_AWAY, READABLE_STATUSES, TROUBLED_STATUSES, Actor
from health.circuits import HALF_OPEN, TRIED_BY_CHECKS, Circuit, Circuits
from health.models import HealthCursor, Incident, IncidentKind
from health.services import maintenance_ends

logger = logging.getLogger(__name__)

CHANGES_AT_A_TIME = 1000
LOCK_MILLISECONDS = 500
# What says something of the broker, if several of its accounts say it: that its answers cannot be read, too.
OF_THE_BROKER = BROKER_IS_AWAY | Q(status=ConnectionStatus.ERROR, error_code=UnexpectedResponse.default_code)
AWAY: Mapping[str, IncidentKind] = {
    "orders": IncidentKind.ORDERS_AWAY,
    "data": IncidentKind.DATA_AWAY,
    "portfolio": IncidentKind.PORTFOLIO_AWAY,
    "session": IncidentKind.SESSION_AWAY,
}


def watch(now: datetime, circuits: Circuits) -> None:
    """Bring the incidents up to date."""
    while consume_changes() == CHANGES_AT_A_TIME:
        continue
    watch_brokers(now, circuits)


# --- of connections ---------------------------------------------------------------------------------------------------
def consume_changes() -> int:
    """Read the changes of status that were not read yet. Returns how many; of two callers at once one finds none."""
    limit = _settled_limit()
    if limit is None:
        return 0
    with transaction.atomic():
        cursor = HealthCursor.objects.select_for_update(skip_locked=True).filter(pk=HealthCursor.CHANGES).first()
        if cursor is None:
            return 0
        changes = list(
            ConnectionChange.objects.filter(pk__gt=cursor.position, pk__lte=limit)
            .select_related("broker_connection")
            .order_by("pk")[:CHANGES_AT_A_TIME]
        )
        if changes:
            _apply(changes)
            cursor.position = changes[-1].pk
            cursor.save()
    return len(changes)


def _settled_limit() -> int | None:
    """The id up to which every change is there to be read; None where there is nothing new, or it cannot be told now.

    Ids are given out before their rows are committed: for the moment of looking, nobody may be about to write one.
    """
    HealthCursor.objects.bulk_create([HealthCursor(name=HealthCursor.CHANGES)], ignore_conflicts=True)
    read = HealthCursor.objects.values_list("position", flat=True).get(pk=HealthCursor.CHANGES)
    if not ConnectionChange.objects.filter(pk__gt=read).exists():
        return None
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
            cursor.execute("LOCK TABLE broker_connection_changes IN SHARE MODE")
            limit: int = ConnectionChange.objects.aggregate(last=Max("pk"))["last"]
            return limit
    except OperationalError:  # somebody writes for longer than we wait: the next tick looks again
        logger.info("Changes of connections are being written; incidents wait for the next tick")
        return None


def _apply(changes: Iterable[ConnectionChange]) -> None:
    keys = {change.broker_connection_id for change in changes}
    known = Incident.objects.open().filter(broker_connection__in=keys)
    is_open: dict[UUID, Incident] = {
        incident.broker_connection_id: incident for incident in known if incident.broker_connection_id is not None
    }
    old, new = list(is_open.values()), []
    for change in changes:
        incident = is_open.get(change.broker_connection_id)
        if not _is_trouble(change):
            if incident is not None:
                incident.closed_at = max(change.at, incident.opened_at)
                del is_open[change.broker_connection_id]
            continue
        if incident is None:
            incident = is_open[change.broker_connection_id] = _opened(change)
            new.append(incident)
        incident.kind = IncidentKind(change.to_status)
        incident.error_code, incident.message = change.error_code, change.reason
    # Closed before others are opened: of a connection only one may be open.
    Incident.objects.bulk_update(old, ["kind", "error_code", "message", "closed_at"])
    Incident.objects.bulk_create(new)


def _is_trouble(change: ConnectionChange) -> bool:
    """Whether the connection is in trouble from then on: neither well, nor ended by its owner or by the clock."""
    status = ConnectionStatus(change.to_status)
    if status is not ConnectionStatus.TOKEN_EXPIRED:
        return status in TROUBLED_STATUSES
    return change.actor != Actor.CLOCK and (change.known_end_at is None or change.at < change.known_end_at)


def _opened(change: ConnectionChange) -> Incident:
    last_success = change.broker_connection.last_successful_call
    unseen = None if last_success is None else (change.at - last_success).total_seconds()
    return Incident(
        broker_type=change.broker_connection.broker_type,
        broker_connection_id=change.broker_connection_id,
        opened_at=change.at,
        # Where it has succeeded again meanwhile, nobody knows when it last did before.
        seen_after_seconds=None if unseen is None or unseen < 0 else round(unseen),
    )


# --- of brokers -------------------------------------------------------------------------------------------------------
def watch_brokers(now: datetime, circuits: Circuits) -> None:
    """Open and close the incidents that concern a broker as a whole. Two watchers at once open each only once."""
    wanted = {(incident.broker_type, incident.kind): incident for incident in _current(now, circuits)}
    standing = {(incident.broker_type, incident.kind): incident for incident in Incident.objects.open().of_brokers()}
    Incident.objects.bulk_create(
        [incident for key, incident in wanted.items() if key not in standing], ignore_conflicts=True
    )
    over = [incident.pk for key, incident in standing.items() if key not in wanted]
    Incident.objects.open().filter(pk__in=over).update(closed_at=now)


def _current(now: datetime, circuits: Circuits) -> list[Incident]:
    """What is wrong with whole brokers at this moment, or planned to be."""
    return [
        *(
            Incident(
                broker_type=slug,
                kind=IncidentKind.MAINTENANCE,
                planned=True,
                message="The broker is closed at this hour, as it announces.",
                opened_at=now,
            )
            for slug in registry.slugs()
            if maintenance_ends(slug, now) is not None
        ),
        *(
            Incident(
                broker_type=circuit.broker_type,
                kind=AWAY[circuit.kind],
                error_code="circuit_open",
                message=circuit.reason,
                opened_at=circuit.opened_at or now,
            )
            for circuit in _known_to_be_away(circuits)
        ),
        *(
            Incident(
                broker_type=slug,
                kind=IncidentKind.WIDESPREAD,
                message="Most accounts at this broker cannot be read.",
                opened_at=now,
            )
            for slug in _failing_widely()
            if maintenance_ends(slug, now) is None
        ),
    ]


def _known_to_be_away(circuits: Circuits) -> list[Circuit]:
    """The circuits that are open, or are being tried. Of one that nobody tries, nobody knows how it is: logins and
    orders are not ours to try, and reads are not where no session lives.
    """
    away = circuits.away()
    tried = BrokerConnection.objects.filter(status__in=READABLE_STATUSES) if away else BrokerConnection.objects.none()
    slugs = set(tried.order_by().values_list("broker_type", flat=True).distinct())
    return [
        circuit
        for circuit in away
        if circuit.state != HALF_OPEN or (circuit.kind in TRIED_BY_CHECKS and circuit.broker_type in slugs)
    ]


def _failing_widely() -> list[str]:
    """Brokers of which at least two connections, and at least half of them, fail; or the only one there is."""
    counted = (
        BrokerConnection.objects.filter(status__in=READABLE_STATUSES)
        .order_by()
        .values("broker_type")
        .annotate(all=Count("pk"), failing=Count("pk", filter=OF_THE_BROKER))
    )
    return [
        row["broker_type"]
        for row in counted
        if row["failing"] * 2 >= row["all"] and (row["failing"] >= 2 or row["all"] == row["failing"] == 1)
    ]
