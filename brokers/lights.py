"""The clearance of a stored connection, by what this installation's settings say of itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings

from brokers import clearance, registry
from brokers.clearance import Clearance, ConnectionFacts
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection


def facts_of(connection: BrokerConnection) -> ConnectionFacts:
    return ConnectionFacts(
        status=ConnectionStatus(connection.status),
        has_session=connection.session_number > 0,
        session_ends_at=connection.token_expires_at,
        renewal_due_at=connection.renewal_due_at,
        retry_after=connection.retry_after,
        next_check_at=connection.next_health_check_at,
        error_message=connection.error_message,
        capabilities=connection.capabilities,
        registered_ip=connection.registered_ip,
        is_trading=connection.trading_enabled_at is not None,
    )


def clearance_of(connection: BrokerConnection, *, now: datetime) -> Clearance:
    spec = registry.load(connection.broker_type).spec
    return clearance.of(facts_of(connection), spec, egress_ip=settings.EGRESS_IP, now=now)


def plain_clearance(connection: BrokerConnection, *, now: datetime) -> dict[str, Any]:
    """The same as the API writes it."""
    plain: dict[str, Any] = msgspec.to_builtins(clearance_of(connection, now=now))
    return plain
