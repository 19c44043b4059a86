"""A session for prices alone, where a broker has one apart: opened anew once, for all who read.

Each login for prices ends the one before. So whoever finds theirs ended comes here: one logs in, what that brings is
kept in the connection's row, and everybody else takes it from there.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db import connection as database
from redis.exceptions import LockError, RedisError

from accounts import audit
from accounts.events import Event
from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.errors import BrokerError, BudgetSpent, CircuitOpen, FeedEnded, NotSupported, RequestRefused
from brokers.models import BrokerConnection
from brokers.secret import curtained
from brokers.shared import redis

logger = logging.getLogger(__name__)

# Two programs with the same keys end each other's: ours waits so long before its next turn, and after a failure; and
# longer where that is not the first of late.
BETWEEN_LOGINS = timedelta(minutes=1)
BETWEEN_MANY = timedelta(minutes=10)
OF_LATE = timedelta(minutes=20)
WAITS_SECONDS = 3.0  # for another's login
LOCKED_SECONDS = 20.0


def reopened(connection_id: UUID, ended: Session, auth: BrokerAuth) -> Session:
    """The connection's session with a `feed_token` other than that of `ended`, got by a login where nobody has it yet.

    For any thread: its database connection is given back. Within the time that `auth` has. Raises FeedEnded where it
    cannot be had now, with the code of what hinders it; BudgetSpent or CircuitOpen where nothing was sent.
    """
    wait = min(WAITS_SECONDS, max(0.0, auth.http.remaining() / 2))
    try:
        with redis().lock(f"feed:{connection_id}", timeout=LOCKED_SECONDS, blocking_timeout=wait):
            return _reopened(connection_id, ended, auth)
    except LockError:
        raise FeedEnded("The session for prices is being opened elsewhere.") from None
    except RedisError:
        raise FeedEnded("Nobody logs in for prices while Redis is away.") from None
    except DatabaseError:
        raise FeedEnded("Nobody logs in for prices while the database is away.") from None
    finally:
        _release_database()


def _reopened(connection_id: UUID, ended: Session, auth: BrokerAuth) -> Session:
    row = BrokerConnection.objects.filter(pk=connection_id).first()
    stored = row.session if row is not None else None
    if row is None or stored is None:
        raise FeedEnded("This connection has no session any more.")
    if stored.feed_token is not None and stored.feed_token != ended.feed_token:
        return stored
    turn = Turn(row)
    if turn.is_taken:
        raise FeedEnded("The session for prices has ended again, and is not opened every moment.")
    _release_database()
    try:
        opened = curtained(auth.reopen_feed)(stored)
    except (BudgetSpent, CircuitOpen):  # nothing was sent
        raise
    except BrokerError as error:
        turn.take()
        raise FeedEnded(
            error.message, code=_code(error), vendor_code=error.vendor_code, user_action=error.user_action
        ) from None
    if not _kept(row, opened):
        # After a login that came first its own may have ended by this, and is opened anew by whoever finds that out.
        _end_if_disconnected(connection_id, opened, auth)
        raise FeedEnded("Meanwhile this connection was logged in again, or disconnected.")
    turn.take()
    logger.info("Connection %s has another session for prices", connection_id)
    return opened


def _code(error: BrokerError) -> str | None:
    """A refusal's own, for whoever mends it; all else is no more than a session that could not be opened."""
    return error.code if isinstance(error, RequestRefused | NotSupported) else None


class Turn:
    """Whose turn it is to log in for prices: ours, once in a while, for each session that the account has had."""

    def __init__(self, row: BrokerConnection) -> None:
        name = f"feed:{row.pk}:{row.session_number}"
        self._taken, self._of_late = f"{name}:taken", f"{name}:late"

    @property
    def is_taken(self) -> bool:
        return bool(redis().exists(self._taken))

    def take(self) -> None:
        is_first = redis().set(self._of_late, 1, ex=OF_LATE, nx=True)
        redis().set(self._taken, 1, ex=BETWEEN_LOGINS if is_first else BETWEEN_MANY)


@transaction.atomic
def _kept(row: BrokerConnection, opened: Session) -> bool:
    kept = row.keep_feed(opened)
    if kept:
        audit.record(Event.BROKER_RENEWED, subject=row.user_id, thing=("connection", row.pk), part="prices")
    return kept


def _end_if_disconnected(connection_id: UUID, opened: Session, auth: BrokerAuth) -> None:
    """What its trader ended must not live on at the broker."""
    row = BrokerConnection.objects.filter(pk=connection_id).first()
    if row is not None and row.has_session:
        return
    _release_database()
    try:
        curtained(auth.revoke)(opened)
    except BrokerError as error:
        logger.info("Connection %s was not revoked at the broker: %s", connection_id, error.code)


def _release_database() -> None:
    if not database.in_atomic_block:
        database.close()
