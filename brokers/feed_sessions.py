"""A session for prices alone, where a broker has one apart: opened anew once, for all who read.

Each login for prices ends the one before. So whoever finds theirs ended comes here: one logs in, what that brings is
kept in the connection's row, and everybody else takes it from there.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from redis.exceptions import LockError, RedisError

from accounts import audit
from accounts.events import Event
from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    FeedEnded,
    OutcomeUnknown,
    RequestRefused,
)
from brokers.models import BrokerConnection
from brokers.secret import curtained
from brokers.shared import redis

logger = logging.getLogger(__name__)

# Two programs with the same keys end each other's: ours waits so long before its next turn, and after a failure.
BETWEEN_LOGINS = timedelta(minutes=1)
AFTER_A_REFUSAL = timedelta(minutes=15)  # of the keys, which only a person mends
WAITS_SECONDS = 3.0  # for another's login
LOCKED_SECONDS = 20.0


def reopened(connection_id: UUID, ended: Session, auth: BrokerAuth) -> Session:
    """The connection's session with a `feed_token` other than that of `ended`, got by a login where nobody has it yet.

    For any thread: its database connection is given back. Raises FeedEnded where it cannot be had now; else what
    `auth.reopen_feed` raises.
    """
    try:
        with redis().lock(f"feed:{connection_id}", timeout=LOCKED_SECONDS, blocking_timeout=WAITS_SECONDS):
            return _reopened(connection_id, ended, auth)
    except LockError:
        raise FeedEnded("The session for prices is being opened elsewhere.") from None
    except RedisError:
        raise FeedEnded("Nobody logs in for prices while Redis is away.") from None
    finally:
        _release_database()


def _reopened(connection_id: UUID, ended: Session, auth: BrokerAuth) -> Session:
    row = BrokerConnection.objects.filter(pk=connection_id).first()
    stored = row.session if row is not None else None
    if row is None or stored is None:
        raise FeedEnded("This connection has no session any more.")
    if stored.feed_token is not None and stored.feed_token != ended.feed_token:
        return stored
    turn = f"feed:{connection_id}:wait"
    if redis().exists(turn):
        raise FeedEnded("The session for prices has ended again, and is not opened every moment.")
    _release_database()
    try:
        opened = curtained(auth.reopen_feed)(stored)
    except (BudgetSpent, CircuitOpen):  # nothing was sent
        raise
    except (BrokerUnavailable, OutcomeUnknown) as error:
        redis().set(turn, 1, ex=BETWEEN_LOGINS)
        raise FeedEnded("The session for prices could not be opened.", vendor_code=error.vendor_code) from None
    except RequestRefused:
        redis().set(turn, 1, ex=AFTER_A_REFUSAL)
        raise
    if not _kept(row, opened):
        # After a login that came first its own may have ended by this, and is opened anew by whoever finds that out.
        _end_if_disconnected(connection_id, opened, auth)
        raise FeedEnded("Meanwhile this connection was logged in again, or disconnected.")
    redis().set(turn, 1, ex=BETWEEN_LOGINS)
    logger.info("Connection %s has another session for prices", connection_id)
    return opened


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
    try:
        curtained(auth.revoke)(opened)
    except BrokerError as error:
        logger.info("Connection %s was not revoked at the broker: %s", connection_id, error.code)


def _release_database() -> None:
    if not database.in_atomic_block:
        database.close()
