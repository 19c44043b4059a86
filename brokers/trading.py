"""Whether orders may be placed at a connection: its owner's switch. Off, until they turn it on, to a text of its own.

Turning it on wants a fresh proof that it is the owner; turning it off wants none, so that it is quick. What stands at
the broker already stays there, and can be cancelled.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from brokers import consents
from brokers.changes import connections_changed
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.push import announce
from brokers.reach import ConnectRefused


@transaction.atomic
def enable_trading(connection: BrokerConnection, *, consent: str, now: datetime) -> bool:
    """Turn it on, to the text of that version. Returns whether it was off.

    Raises ConnectRefused: `consent_outdated`, `connection_disconnected`.
    """
    version = consents.checked(consent, consents.TRADE)
    is_new = connection.start_trading(now)
    if connection.status == ConnectionStatus.DISCONNECTED:
        raise ConnectRefused("connection_disconnected", "This account is disconnected.", "Log in to it first.")
    happened = consents.give(connection, version=version, stated=True, now=now, scope=consents.TRADE)
    if is_new:
        _tell(connection)
        happened = [_told(Event.TRADING_ENABLED, connection), *happened]
    audit.record_all(happened, now=now)
    return is_new


@transaction.atomic
def disable_trading(connection: BrokerConnection, *, now: datetime) -> bool:
    """Turn it off, and withdraw the consent to it. Returns whether it was on."""
    happened = turned_off(connection)
    if happened:
        _tell(connection)
    audit.record_all([*happened, *consents.withdraw(connection, now=now, scope=consents.TRADE)], now=now)
    return bool(happened)


def turned_off(connection: BrokerConnection) -> list[Happened]:
    """Turn it off as part of something larger. Returns what is to be recorded in the audit log."""
    return [_told(Event.TRADING_DISABLED, connection)] if connection.stop_trading() else []


def _tell(connection: BrokerConnection) -> None:
    """Kept answers are outdated, and open pages hear of it, once it is committed."""
    connections_changed(connection.user_id)
    announce(connection)


def _told(event: Event, connection: BrokerConnection) -> Happened:
    return Happened(
        event=event,
        subject=connection.user_id,
        thing=("connection", connection.pk),
        details={"broker": connection.broker_type},
    )
