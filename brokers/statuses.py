"""What a connection can be, from which status each may be entered, and by whom. ARCHITECTURE.md draws it."""

from __future__ import annotations

from django.db import models

from brokers.domain import ConnectionStatus
from brokers.errors import BrokerUnavailable, CircuitOpen

STATUS_CHOICES = [(status.value, status.value.replace("_", " ").capitalize()) for status in ConnectionStatus]
# What we ask of a broker on our own account: everything but what the trader ended, or must mend first.
READABLE_STATUSES = frozenset(ConnectionStatus) - {ConnectionStatus.DISCONNECTED, ConnectionStatus.TOKEN_EXPIRED}
# What belongs to the trader's book, answering or not.
ACTIVE_STATUSES = frozenset(ConnectionStatus) - {ConnectionStatus.DISCONNECTED}
# In trouble that passes, or that somebody else must mend: the session itself stands.
TROUBLED_STATUSES = READABLE_STATUSES - {ConnectionStatus.CONNECTED}

# From which statuses each may be entered, by `BrokerConnection` alone.
ENTERED_FROM: dict[ConnectionStatus, frozenset[ConnectionStatus]] = {
    # by a success, a renewal, or a login
    ConnectionStatus.CONNECTED: frozenset(ConnectionStatus),
    # by how a call ended
    **{status: READABLE_STATUSES - {status} for status in TROUBLED_STATUSES},
    # by the clock or the broker's word; by a renewal that failed also where the session had ended before
    ConnectionStatus.TOKEN_EXPIRED: ACTIVE_STATUSES,
    # by the trader, or support
    ConnectionStatus.DISCONNECTED: ACTIVE_STATUSES,
}

# The broker does not answer. What an account's owner must mend, such as a missing key, is no trouble of the broker's.
BROKER_IS_AWAY = models.Q(status=ConnectionStatus.MAINTENANCE) | models.Q(
    status=ConnectionStatus.ERROR, error_code__in=(BrokerUnavailable.default_code, CircuitOpen.default_code)
)


class Actor(models.TextChoices):
    """By whom a status was changed."""

    TRADER = "TRADER", "The trader"
    SUPPORT = "SUPPORT", "Support"
    CLOCK = "CLOCK", "The clock"
    CALL = "CALL", "A call to the broker"
    RENEWAL = "RENEWAL", "A renewal"
