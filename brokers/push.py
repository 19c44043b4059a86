"""What is sent to a user's open pages. A push is a hint: the snapshot is the truth, and a lost push loses nothing."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.sockets import group_of as group_of
from brokers.lights import plain_clearance
from brokers.models import BrokerConnection

logger = logging.getLogger(__name__)


def channels() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None  # noqa: S101 - settings name one
    return layer


def publish_json(user_id: int, kind: str, data: str, *, key: str = "") -> None:
    """Send JSON text to every open socket of the user. Of two with the same kind and key, the later one wins.

    Redis being away costs the push and nothing else.
    """
    async_to_sync(send_json)(user_id, kind, data, key=key)


async def send_json(user_id: int, kind: str, data: str, *, key: str = "") -> bool:
    """The same within an event loop. Returns whether Redis took it."""
    message = {"type": "push", "kind": kind, "key": key, "data": data}
    try:
        await channels().group_send(group_of(user_id), message)
    except (RedisError, OSError) as error:
        logger.warning("A %s push for user %s was lost: %s", kind, user_id, type(error).__name__)
        return False
    return True


def broker_status(connection: BrokerConnection) -> None:
    """Tell the user what one of their connections is now, and why."""
    status: dict[str, Any] = {
        "connection_id": connection.pk,
        "broker_type": connection.broker_type,
        "broker_name": connection.broker_name,
        "account_id": connection.account_id,
        "status": connection.status,
        "status_since": connection.status_since,
        "error_code": connection.error_code or None,
        "error_message": connection.error_message or None,
        "last_successful_call": connection.last_successful_call,
        "session_began_at": connection.session_began_at,
        "registered_ip": connection.registered_ip,
        "trading_enabled_at": connection.trading_enabled_at,
        "clearance": plain_clearance(connection, now=timezone.now()),
    }
    text = msgspec.json.encode(status).decode()
    publish_json(connection.user_id, "BROKER_STATUS_UPDATE", text, key=str(connection.pk))


def announce(connection: BrokerConnection) -> None:
    """Push the connection as it stands, once what was written is committed."""

    def push_it() -> None:
        broker_status(BrokerConnection.objects.without_secrets().get(pk=connection.pk))

    transaction.on_commit(push_it)
