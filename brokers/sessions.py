"""The life of a session between two logins: renewed where the broker allows it, ended at its known hour."""

from __future__ import annotations

from datetime import datetime

from brokers import registry
from brokers.changes import connections_changed
from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError, NotSupported, SessionEnded
from brokers.models import BrokerConnection
from brokers.reach import ConnectRefused, app_credentials, transport_to
from brokers.services import announce, change_status


class TokenRefreshFailed(ConnectRefused):
    """The session could not be renewed: only a new login helps."""

    def __init__(self, message: str) -> None:
        super().__init__("token_refresh_failed", message, "Log in to the broker again.")


def refresh_session(connection: BrokerConnection, *, now: datetime) -> BrokerConnection:
    """Renew the session without a login, where the broker still offers that.

    Raises TokenRefreshFailed; where the broker itself refused, the connection is TOKEN_EXPIRED from then on.
    """
    session = connection.session
    if session is None:
        raise TokenRefreshFailed("This connection has no session to renew.")
    broker = registry.load(connection.broker_type)
    http = transport_to(broker, account=str(connection.pk))
    auth = broker.auth(http, app_credentials(connection.user, connection.broker_type))
    try:
        renewed = auth.refresh(session, now=now)
    except NotSupported as error:
        raise TokenRefreshFailed(error.message) from None
    except BrokerError as error:
        change_status(connection, ConnectionStatus.TOKEN_EXPIRED, code="token_refresh_failed", message=error.message)
        raise TokenRefreshFailed(error.message) from None
    connection.keep_session(renewed, now)
    connections_changed(connection.user_id)
    announce(connection)
    return connection


def end_expired_sessions(now: datetime) -> int:
    """Mark every session whose known end has come, before a call of its fails. Returns how many."""
    ended = 0
    for connection in BrokerConnection.objects.past_their_end(now):
        ended += change_status(
            connection,
            ConnectionStatus.TOKEN_EXPIRED,
            code=SessionEnded.default_code,
            message="The broker ends every session at this hour.",
        )
    return ended
