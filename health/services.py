"""Is each connection alive? One cheap authenticated read tells; the error's class names the status."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from brokers import reach
from brokers import services as broker_services
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError
from brokers.models import BrokerConnection
from brokers.transport import Deadline
from health.models import BrokerHealthLog, CheckType

CHECK_SECONDS = 5.0
CLAIM_AT_MOST = 500


def claim_due(now: datetime) -> list[UUID]:
    """Take the connections whose check is due. Any number of claimers share them; each is taken once.

    The claim is the new due time itself: should the check get lost, the connection comes round again.
    """
    with transaction.atomic():
        due = (
            BrokerConnection.objects.due_for_check(now)
            .order_by("next_health_check_at")
            .select_for_update(skip_locked=True)[:CLAIM_AT_MOST]
        )
        claimed = [row.pk for row in due]
        BrokerConnection.objects.filter(pk__in=claimed).update(
            next_health_check_at=now + timedelta(seconds=settings.HEALTH_INTERVAL_SECONDS)
        )
    return claimed


def check(connection_id: UUID, *, now: datetime) -> BrokerHealthLog | None:
    """Check one connection and log it; None where there is nothing left to check."""
    connection = BrokerConnection.objects.select_related("user").filter(pk=connection_id).first()
    if connection is None or connection.session is None or connection.is_paused(now):
        return None
    started = time.monotonic()
    error = _error_of(connection, now)
    elapsed = round((time.monotonic() - started) * 1000)
    broker_services.learn(connection, error, now)
    failing = error is not None and error.connection_status is not None
    interval = settings.HEALTH_FAILING_INTERVAL_SECONDS if failing else settings.HEALTH_INTERVAL_SECONDS
    BrokerConnection.objects.filter(pk=connection.pk).update(
        last_health_check=now, next_health_check_at=now + timedelta(seconds=interval)
    )
    return BrokerHealthLog.objects.create(
        broker_connection=connection,
        check_type=CheckType.SESSION,
        status=(error.connection_status if error else None) or ConnectionStatus.CONNECTED,
        response_time_ms=elapsed,
        error_code=error.code if error else "",
        error_message=error.message if error else "",
        checked_at=now,
    )


def _error_of(connection: BrokerConnection, now: datetime) -> BrokerError | None:
    """Read the profile: the one call that every app may make, whatever its plan."""
    [client] = reach.clients_for([connection], deadline=Deadline(CHECK_SECONDS), now=now).values()
    if isinstance(client, BrokerError):
        return client
    try:
        client.profile()
    except BrokerError as error:
        return error
    return None
