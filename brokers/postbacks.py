"""The verbs of postbacks: their secret address, what is made of one that arrives, and the reading that follows.

Nothing that a postback says is believed. At the most it makes us ask the broker for the account's orders, and only what
the broker answers counts. Many in a row make one reading: the last of them is always followed by one.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Q, Value
from django.db.models.functions import Least
from redis.exceptions import RedisError

from brokers import order_news, reach, registry, services
from brokers.changes import connections_changed
from brokers.domain import BrokerOrder, ConnectionStatus, Postback, Rows
from brokers.errors import BrokerError, NotSupported, RequestRefused, SecretUnreadable, SessionEnded, UnexpectedResponse
from brokers.models import BrokerConnection
from brokers.postback_models import BrokerPostback, Outcome, PostbackInbox, Verified
from brokers.reach import ConnectRefused
from brokers.secret import Secret
from brokers.shared import redis
from brokers.spec import PostbackSpec
from brokers.transport import Deadline

logger = logging.getLogger(__name__)

ADDRESS_BYTES = 32  # 256 random bits
LARGEST = 64 * 1024  # bytes; the largest known one has two thousand
PAUSE = timedelta(seconds=1)  # between two readings of one connection
# Rows written per connection and minute; what comes beyond them is not written down, and read for less often.
MOST_PER_MINUTE = 120
CROWDED_PAUSE = timedelta(seconds=10)
UNHURRIED = timedelta(seconds=5)
READ_SECONDS = 5.0
LEASE = timedelta(seconds=30)  # a worker that takes longer has died: another one reads
RETRY = timedelta(seconds=15)  # times the number of attempts
MOST_ATTEMPTS = 5
OVERDUE = timedelta(seconds=3)  # the task of this reading was lost
KEPT = timedelta(days=14)


# --- the address ------------------------------------------------------------------------------------------------------
def spec_of(connection: BrokerConnection) -> PostbackSpec:
    """How this broker's postbacks are. Raises NotSupported."""
    spec = registry.load(connection.broker_type).spec
    if spec.postback is None:
        raise NotSupported(f"{spec.name} sends no postbacks.", user_action="Nothing to do: its orders are asked for.")
    return spec.postback


def make_address(connection: BrokerConnection, *, now: datetime) -> Secret:
    """Give the connection a new address, in place of any older one. Only this answer ever shows it.

    Raises NotSupported; ConnectRefused where the connection is disconnected.
    """
    spec_of(connection)
    if connection.status == ConnectionStatus.DISCONNECTED:
        raise ConnectRefused("connection_disconnected", "This connection is disconnected.", "Connect the broker again.")
    secret = secrets.token_urlsafe(ADDRESS_BYTES)
    PostbackInbox.objects.update_or_create(
        broker_connection=connection, defaults={"address_hash": _hash(secret), "made_at": now}
    )
    return Secret(f"{settings.PUBLIC_URL}/brokers/postback/{secret}")


def void_address(connection: BrokerConnection) -> None:
    """From now on the connection has no address. Raises NotSupported."""
    spec_of(connection)
    PostbackInbox.objects.filter(broker_connection=connection).update(address_hash=None, made_at=None)


def described(connection: BrokerConnection) -> dict[str, Any]:
    """Whether it has an address, since when, and how to use one. Raises NotSupported."""
    spec = spec_of(connection)
    inbox = PostbackInbox.objects.filter(broker_connection=connection).first()
    return {
        "exists": inbox is not None and inbox.address_hash is not None,
        "made_at": inbox and inbox.made_at,
        "last_received_at": inbox and inbox.last_received_at,
        "is_signed": spec.is_signed,
        "instruction": spec.instruction,
    }


def inbox_at(secret: str) -> PostbackInbox | None:
    """Whose address ends so; None for one that is unknown, replaced, or of a connection that was disconnected.

    All of these take the same one query, for the hash: how long it takes tells nothing of how near a guess was.
    """
    return (
        PostbackInbox.objects.filter(address_hash=_hash(secret), broker_connection__user__is_active=True)
        .exclude(broker_connection__status=ConnectionStatus.DISCONNECTED)
        .select_related("broker_connection__user")
        .defer(*(f"broker_connection__{name}_token_encrypted" for name in ("access", "refresh", "feed")))
        .first()
    )


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


# --- one arrives ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Whose postback it is, as far as it can be told, and what becomes of it."""

    connection: BrokerConnection
    outcome: Outcome
    verified: Verified = Verified.NONE
    broker_order_id: str = ""


def receive(
    inbox: PostbackInbox, body: bytes | None, headers: Mapping[str, str], *, now: datetime
) -> tuple[UUID, datetime] | None:
    """Take in what was posted to an address; None stands for a body that is too large. No broker is asked.

    Returns whose orders are to be read, and when, where that is new; the caller hands it to a worker. One that gets
    lost is found by `overdue`.
    """
    judged = _judge(inbox.broker_connection, body, headers)
    connection, is_to_read = judged.connection, judged.outcome is Outcome.WAITING
    if connection != inbox.broker_connection:
        PostbackInbox.objects.get_or_create(broker_connection=connection)
    if not _is_within_rate(inbox.broker_connection, now):
        if is_to_read:
            _want_reading(connection, now)
        return None
    if judged.outcome in (Outcome.BAD_SIGNATURE, Outcome.OTHER_ACCOUNT):
        logger.warning("Connection %s: a postback is not believed: %s", connection.pk, judged.outcome)
    with transaction.atomic():
        own = PostbackInbox.objects.select_for_update(no_key=True).filter(pk=connection.pk).first()
        if own is None:  # deleted meanwhile
            return None
        BrokerPostback.objects.create(
            broker_connection=connection,
            received_at=now,
            verified=judged.verified,
            broker_order_id=judged.broker_order_id,
            outcome=judged.outcome,
        )
        own.last_received_at = now
        due = _next_reading(own, now, PAUSE)
        is_new = is_to_read and (own.read_due_at is None or due < own.read_due_at)
        if is_new:
            own.read_due_at = due
        own.save(update_fields=["last_received_at", "read_due_at"])
    return (connection.pk, due) if is_new else None


def _judge(connection: BrokerConnection, body: bytes | None, headers: Mapping[str, str]) -> _Judged:
    broker = registry.load(connection.broker_type)
    if body is None:
        return _Judged(connection=connection, outcome=Outcome.TOO_LARGE)
    if broker.read_postback is None:  # it was taken out of the package since the address was made
        return _Judged(connection=connection, outcome=Outcome.UNREADABLE)
    try:
        app = reach.app_credentials(connection.user, connection.broker_type)
        told = broker.read_postback(body, headers, app)
    except UnexpectedResponse:
        return _Judged(connection=connection, outcome=Outcome.UNREADABLE)
    except (ConnectRefused, SecretUnreadable):  # there is no secret to check a signature with
        return _Judged(connection=connection, outcome=Outcome.BAD_SIGNATURE, verified=Verified.NO)
    owner = _account_of(told, connection)
    return _Judged(
        connection=owner or connection,
        outcome=_outcome(told, is_ours=owner is not None),
        verified={True: Verified.YES, False: Verified.NO, None: Verified.NONE}[told.is_genuine],
        broker_order_id=told.broker_order_id or "",
    )


def _account_of(told: Postback, connection: BrokerConnection) -> BrokerConnection | None:
    """The trader's connection that it speaks of: an app has one address, even where several accounts use it."""
    if told.account_id in (None, connection.account_id):
        return connection
    others = BrokerConnection.objects.without_secrets().active().filter(user=connection.user)
    return others.filter(broker_type=connection.broker_type, account_id=told.account_id).first()


def _outcome(told: Postback, *, is_ours: bool) -> Outcome:
    if told.is_genuine is False:
        return Outcome.BAD_SIGNATURE
    if not is_ours:
        return Outcome.OTHER_ACCOUNT
    return Outcome.NOT_AN_ORDER if told.broker_order_id is None else Outcome.WAITING


def _is_within_rate(connection: BrokerConnection, now: datetime) -> bool:
    """Counted for all processes together; with Redis away nothing is."""
    key = f"postbacks:{connection.pk}:{int(now.timestamp()) // 60}"
    try:
        pipe = redis().pipeline(transaction=False)
        pipe.incr(key)
        pipe.expire(key, 120)
        count, _ = pipe.execute()
    except RedisError as error:
        logger.warning("Redis is away (%s): postbacks are not written down", type(error).__name__)
        return False
    if count == MOST_PER_MINUTE + 1:
        logger.warning("Connection %s gets more postbacks than are written down in a minute", connection.pk)
    return int(count) <= MOST_PER_MINUTE


def _next_reading(inbox: PostbackInbox, now: datetime, pause: timedelta) -> datetime:
    return now if inbox.read_at is None else max(now, inbox.read_at + pause)


def _want_reading(connection: BrokerConnection, now: datetime) -> None:
    """Without a row: one UPDATE at most for each reading, however many ask for it."""
    inbox = PostbackInbox.objects.filter(pk=connection.pk).first()
    if inbox is None:  # deleted meanwhile
        return
    due = _next_reading(inbox, now, CROWDED_PAUSE)
    later = Q(read_due_at__isnull=True) | Q(read_due_at__gt=due)
    unnoted = PostbackInbox.objects.filter(later | Q(is_crowded=False), pk=inbox.pk)
    unnoted.update(read_due_at=Least("read_due_at", Value(due, DateTimeField())), is_crowded=True)


def want_reading(connection_id: UUID, now: datetime) -> None:
    """Have a connection's orders read because of other news than a postback, such as a stream's; nobody waits for it.

    A postback that comes meanwhile has them read earlier.
    """
    if not BrokerConnection.objects.active().filter(pk=connection_id).exists():
        return
    inbox, _ = PostbackInbox.objects.get_or_create(broker_connection_id=connection_id)
    due = _next_reading(inbox, now + UNHURRIED, CROWDED_PAUSE)
    later = Q(read_due_at__isnull=True) | Q(read_due_at__gt=due)
    PostbackInbox.objects.filter(later, pk=inbox.pk).update(read_due_at=due)


# --- the reading ------------------------------------------------------------------------------------------------------
def overdue(now: datetime) -> list[UUID]:
    """Connections whose reading is due, and whose task seems to be lost; or that could not be read the last time."""
    return list(PostbackInbox.objects.filter(read_due_at__lte=now - OVERDUE).values_list("pk", flat=True))


def read_orders(connection_id: UUID, *, now: datetime) -> datetime | None:
    """Ask the broker for the account's orders, if that is due, and settle the postbacks that wait for it.

    Where the broker knows one of their orders, what was made from its account is outdated from now on. Returns when to
    come again, where it was too early; else None.
    """
    with transaction.atomic():
        inbox = PostbackInbox.objects.select_for_update(no_key=True).filter(pk=connection_id).first()
        if inbox is None or inbox.read_due_at is None:
            return None
        if inbox.read_due_at > now:
            return inbox.read_due_at
        is_crowded = inbox.is_crowded
        inbox.read_at, inbox.read_due_at, inbox.is_crowded = now, now + LEASE, False
        inbox.save(update_fields=["read_at", "read_due_at", "is_crowded"])
        waiting = list(BrokerPostback.objects.filter(broker_connection=connection_id, outcome=Outcome.WAITING))
    connection = BrokerConnection.objects.filter(pk=connection_id).select_related("user").first()
    if connection is None:
        return None
    try:
        book = _orders_of(connection, now)
    except BrokerError as error:
        _not_read(inbox, waiting, error, now)
    else:
        _settle(connection, waiting, book, is_crowded=is_crowded)
        _finish(inbox)
        order_news.tell(connection.pk, book, now)
    return None


def _orders_of(connection: BrokerConnection, now: datetime) -> Rows[BrokerOrder]:
    """Raises BrokerError. That orders can be read heals nothing else; that the session is over is learnt."""
    try:
        client = reach.client_for(connection, deadline=Deadline(READ_SECONDS), now=now)
    except ConnectRefused as refusal:
        raise RequestRefused("The keys of this connection are missing.") from refusal
    try:
        return client.orders()
    except SessionEnded as error:
        services.learn(connection, error, now)
        raise


def _settle(
    connection: BrokerConnection, waiting: Sequence[BrokerPostback], book: Rows[BrokerOrder], *, is_crowded: bool
) -> None:
    """What the broker's book says of each. A book with rows that cannot be read denies nothing, nor does one that was
    read for postbacks that are not written down: any of them may have been of an order in it.
    """
    known = {order.broker_order_id for order in book.items}
    absent = Outcome.NOT_READ if book.problems else Outcome.NOT_IN_BOOK
    for postback in waiting:
        postback.outcome = Outcome.CONFIRMED if postback.broker_order_id in known else absent
    BrokerPostback.objects.bulk_update(waiting, ["outcome"])
    if (is_crowded and known) or any(postback.outcome != Outcome.NOT_IN_BOOK for postback in waiting):
        connections_changed(connection.user_id)


def _not_read(inbox: PostbackInbox, waiting: Sequence[BrokerPostback], error: BrokerError, now: datetime) -> None:
    """What passes is tried again, some times; what does not, such as an ended session, is not waited for."""
    attempts = inbox.read_attempts + 1
    logger.info("Connection %s: the orders a postback told of were not read: %s", inbox.pk, error.code)
    if error.retryable and attempts < MOST_ATTEMPTS:
        pause = max(RETRY * attempts, timedelta(seconds=getattr(error, "retry_after", None) or 0))
        _finish(inbox, again_at=now + pause, attempts=attempts)
        return
    BrokerPostback.objects.filter(pk__in=[postback.pk for postback in waiting]).update(outcome=Outcome.NOT_READ)
    _finish(inbox)


def _finish(inbox: PostbackInbox, *, again_at: datetime | None = None, attempts: int = 0) -> None:
    """End the lease; a postback that came meanwhile has put a reading of its own in its place."""
    mine = PostbackInbox.objects.filter(pk=inbox.pk)
    mine.filter(read_due_at=inbox.read_due_at).update(read_due_at=again_at)
    mine.update(read_attempts=attempts)


def prune(now: datetime) -> None:
    BrokerPostback.objects.filter(received_at__lt=now - KEPT).delete()
