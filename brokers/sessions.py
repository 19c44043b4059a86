"""The life of a session between two logins: renewed where the broker allows it, ended at its known hour."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.events import Event
from brokers import feed_sessions, registry
from brokers.changes import connections_changed
from brokers.domain import ConnectionStatus, Session
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    NotSupported,
    OutcomeUnknown,
    SecretUnreadable,
    SessionEnded,
)
from brokers.models import BrokerConnection
from brokers.reach import ConnectRefused, app_credentials, transport_to
from brokers.secret import curtained
from brokers.services import announce, change_status, confirm_session, learn, revoke
from brokers.spec import Renewal, SessionPolicy
from brokers.statuses import READABLE_STATUSES, Actor
from brokers.transport import Deadline

logger = logging.getLogger(__name__)

# After so many attempts without an answer a person must log in.
MOST_ATTEMPTS = 12
LONGEST_PAUSE = timedelta(minutes=30)
ENDED_AT_A_TIME = 500
FEED_SECONDS = 5.0


class TokenRefreshFailed(ConnectRefused):
    """The session could not be renewed: only a new login helps."""

    def __init__(self, message: str) -> None:
        super().__init__("token_refresh_failed", message, "Log in to the broker again.")


class RenewalUnderWay(ConnectRefused):
    """Somebody else is renewing this very session: two at once could lose its token."""

    def __init__(self) -> None:
        super().__init__("renewal_under_way", "This session is being renewed already.", "Look again in a minute.")


def refresh_session(connection: BrokerConnection, *, now: datetime) -> BrokerConnection:
    """Renew the session without a login, where the broker still offers that.

    Raises TokenRefreshFailed; where the broker itself refused, the connection is TOKEN_EXPIRED from then on. Raises
    RenewalUnderWay; BrokerUnavailable, where it will be tried again; OutcomeUnknown, where it is found out first
    whether the old session still lives; SecretUnreadable, where a key may yet be put back.
    """
    try:
        session = connection.session
    except SecretUnreadable as error:
        _unreadable(connection, error, now)
        raise
    policy = registry.load(connection.broker_type).spec.session
    if session is None:
        raise TokenRefreshFailed("This connection has no session to renew.")
    if policy.renewal is Renewal.NONE:
        raise TokenRefreshFailed(f"{connection.broker_name} has no refresh: a new login is needed.")
    if not connection.claim_renewal(now):
        raise RenewalUnderWay
    try:
        if connection.is_renewal_in_doubt and policy.renewal is Renewal.REFRESH_TOKEN:
            _survived(connection, session)
        renewed = _renewed(connection, session, now)
    except SecretUnreadable as error:
        _unreadable(connection, error, now)
        raise
    except BrokerUnavailable as error:
        _try_again(connection, error, now, in_doubt=connection.is_renewal_in_doubt)
        raise
    except OutcomeUnknown as error:
        _try_again(connection, error, now, in_doubt=True)
        raise
    except NotSupported as error:  # this one login brought nothing to renew it with: the session itself is as good
        connection.postpone_renewal(None, now=now)
        raise TokenRefreshFailed(error.message) from None
    except (BrokerError, ConnectRefused) as error:
        raise _given_up(connection, error.message, now) from None
    due = policy.renewal_due(renewed.expires_at, now=now, spread=_spread(connection.pk))
    if not _kept(connection, renewed, due, now):
        if BrokerConnection.objects.filter(pk=connection.pk, status=ConnectionStatus.DISCONNECTED).exists():
            revoke(connection, renewed)  # what its trader ended must not live on at the broker
        # After a login it is left to its hour: to end it might end the login, which a logout may not tell from it.
        raise TokenRefreshFailed("Meanwhile this connection was logged in again, or disconnected.")
    connections_changed(connection.user_id)
    announce(connection)
    return connection


@transaction.atomic
def _kept(connection: BrokerConnection, renewed: Session, due: datetime | None, now: datetime) -> bool:
    kept = connection.keep_renewed(renewed, renewal_due_at=due, now=now)
    if kept:
        thing = ("connection", connection.pk)
        audit.record(Event.BROKER_RENEWED, subject=connection.user_id, thing=thing, now=now)
    return kept


def _renewed(connection: BrokerConnection, session: Session, now: datetime) -> Session:
    broker = registry.load(connection.broker_type)
    http = transport_to(broker, account=str(connection.pk))
    auth = broker.auth(http, app_credentials(connection.user, connection.broker_type))
    return curtained(auth.refresh)(session, now=now)


def _survived(connection: BrokerConnection, session: Session) -> None:
    """After a renewal of which nobody knows how it ended: does the old session still answer?

    Raises SessionEnded where it does not, since its refresh token is then spent as well.
    """
    broker = registry.load(connection.broker_type)
    http = transport_to(broker, account=str(connection.pk))
    client = broker.client(http, app_credentials(connection.user, connection.broker_type), session)
    try:
        client.profile()
    except SessionEnded:
        raise SessionEnded("A renewal broke off, and the broker has ended the old session.") from None


def _try_again(connection: BrokerConnection, error: BrokerError, now: datetime, *, in_doubt: bool) -> None:
    """Let the next attempt wait, each time twice as long; after the last one a person must log in."""
    attempts = connection.renewal_attempts
    was_due = connection.renewal_due_at is not None and connection.renewal_due_at <= now
    if was_due and attempts + 1 >= MOST_ATTEMPTS:
        raise _given_up(connection, error.message, now) from None
    pause = min(timedelta(minutes=2**attempts), LONGEST_PAUSE)
    connection.postpone_renewal(now + pause, now=now, in_doubt=in_doubt)


def _unreadable(connection: BrokerConnection, error: SecretUnreadable, now: datetime) -> None:
    """Nothing can be sent. A session that stands may be renewed once the key is back; after its end a person helps."""
    if connection.status == ConnectionStatus.TOKEN_EXPIRED:
        _given_up(connection, error.message, now)
        return
    learn(connection, error, now)
    if connection.renewal_due_at is not None:
        connection.postpone_renewal(now + LONGEST_PAUSE, now=now, in_doubt=connection.is_renewal_in_doubt)


def _given_up(connection: BrokerConnection, message: str, now: datetime) -> TokenRefreshFailed:
    failed = TokenRefreshFailed(message)
    change_status(
        connection,
        ConnectionStatus.TOKEN_EXPIRED,
        code=failed.code,
        message=message,
        actor=Actor.RENEWAL,
        now=now,
    )
    return failed


def renew(connection_id: UUID, *, now: datetime) -> None:
    """Renew one session that is due, unless it no longer is. What comes of it stands in the connection's row."""
    connection = BrokerConnection.objects.due_for_renewal(now).select_related("user").filter(pk=connection_id).first()
    if connection is None:
        return
    try:
        refresh_session(connection, now=now)
    except (ConnectRefused, BrokerError) as error:
        logger.warning("Connection %s was not renewed: %s", connection.pk, error.code)


def due_renewals(now: datetime) -> list[UUID]:
    """Connections whose session is to be renewed now. Several may look at once: each session is claimed by one."""
    return list(BrokerConnection.objects.due_for_renewal(now).order_by("renewal_due_at").values_list("pk", flat=True))


def reopen_feed(connection: BrokerConnection, ended: Session, *, now: datetime) -> bool:
    """A stream of prices, or a quote, says that its session, which is one apart, has ended: have another one.

    A login anew ends both, and is about to store what it brought: so the account's own is asked first. Returns whether
    the connection has another now, or none. Raises no BrokerError: why there is none is logged.
    """
    if connection.is_paused(now):
        return False
    if connection.status not in READABLE_STATUSES or confirm_session(connection, ended, now=now):
        return True
    broker = registry.load(connection.broker_type)
    try:
        http = transport_to(broker, Deadline(FEED_SECONDS), account=str(connection.pk))
        auth = broker.auth(http, app_credentials(connection.user, connection.broker_type))
        feed_sessions.reopened(connection.pk, ended, auth)
    except (BrokerError, ConnectRefused) as error:
        logger.warning("Connection %s has no session for prices: %s", connection.pk, error.code)
        return False
    return True


def end_expired_sessions(now: datetime) -> int:
    """Mark every session whose known end has come, before a call of its fails. Returns how many.

    One that can be opened again by stored keys is renewed next, without a person.
    """
    ended = 0
    for connection in BrokerConnection.objects.without_secrets().past_their_end(now)[:ENDED_AT_A_TIME]:
        policy = registry.load(connection.broker_type).spec.session
        ended += change_status(
            connection,
            ConnectionStatus.TOKEN_EXPIRED,
            code=SessionEnded.default_code,
            message="The broker ends every session at this hour.",
            actor=Actor.CLOCK,
            now=now,
            renewal_due_at=now if policy.renewal is Renewal.STORED_KEYS else None,
        )
    return ended


def first_renewal(connection_id: UUID, policy: SessionPolicy, session: Session, *, now: datetime) -> datetime | None:
    """When a session that has just begun is to be renewed."""
    return policy.renewal_due(session.expires_at, now=now, spread=_spread(connection_id))


def _spread(connection_id: UUID) -> float:
    """A place between 0 and 1 that is the connection's own, so that not all are renewed in one moment."""
    return connection_id.int % 1000 / 1000
