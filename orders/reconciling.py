"""Reconciling: what became of orders is read in the broker's book, until it is known.

Whatever has not ended is due some time (`reconcile_due_at`). One reading answers for every order of a connection, so a
connection is taken up as a whole, by one UPDATE that skips what others hold; a reading that is lost comes round again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from redis.exceptions import RedisError

from brokers import registry, services
from brokers.base import BrokerClient
from brokers.domain import BrokerOrder, BrokerTrade, Listing, RowProblem, Rows
from brokers.errors import BrokerError, SessionEnded
from brokers.models import BrokerConnection
from brokers.shared import if_redis_is_there, redis
from brokers.wire import IST
from market.feed_states import orders_told_now
from orders import alerts, books, calling, changing, story, units
from orders.calling import CALL_SECONDS, LAPSE, Clients
from orders.lifecycle import (
    DAY_OVER,
    LIVE,
    STANDING,
    Reading,
    State,
    absence_counts,
    absence_proves,
    next_reconcile,
)
from orders.models import ChildOrder, Teller
from portfolio import watching

logger = logging.getLogger(__name__)

# A reading that takes longer has died: another one is made.
LEASE = timedelta(seconds=30)
# How often the book is read while an order stands: soon after it was sent, then as long as it takes.
WORKING_WAIT = timedelta(seconds=5)
# Without a session nothing is read until somebody logs in.
CLOSED_WAIT = timedelta(seconds=60)
# An order of an earlier day, of which no book tells any more.
OLD_WAIT = timedelta(hours=1)
# An order that is not known for so long is a person's to look at.
PATIENCE = timedelta(seconds=60)
# An order that stands must be in a book that is read so long after it was taken.
MISSING = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Book:
    """What one account's book and trades said, asked for at `began_at`. `trades` is None where they were not read.

    `searched`: the tags that were looked for beside the book; None where the broker has no such search.
    """

    began_at: datetime
    orders: Rows[BrokerOrder]
    trades: Rows[BrokerTrade] | None
    searched: frozenset[str] | None = None

    @property
    def is_whole(self) -> bool:
        return not self.orders.problems and self.trades is not None and not self.trades.problems

    def is_whole_for(self, tag: str) -> bool:
        """Whether it would show an order of this tag."""
        return self.is_whole and (self.searched is None or tag in self.searched)


# --- what is due ------------------------------------------------------------------------------------------------------
def due(now: datetime) -> list[UUID]:
    """Connections whose book is to be read."""
    rows = ChildOrder.objects.filter(reconcile_due_at__lte=now).exclude(broker_connection=None)
    return list(rows.order_by().values_list("broker_connection", flat=True).distinct())


def lapse(now: datetime) -> int:
    """Orders whose sender has died, or was told nothing for too long: nobody knows what became of them. How many."""
    count = 0
    for child in ChildOrder.objects.filter(state=State.SENDING, sent_at__lte=now - LAPSE):
        count += story.moved(
            child,
            State.UNKNOWN,
            only={State.SENDING},
            teller=Teller.CLOCK,
            code="sender_lost",
            now=now,
            unknown_since=now,
            reconcile_attempts=0,
            reconcile_due_at=now,
        )
    return count


def _claimed(connection_id: UUID, now: datetime) -> list[ChildOrder]:
    """Take up everything that is not settled at a connection, if any of it is due."""
    with transaction.atomic():
        open_ones = Q(state__in=LIVE) | Q(reconcile_due_at__isnull=False)
        rows = ChildOrder.objects.filter(open_ones, broker_connection=connection_id)
        children = list(rows.select_for_update(no_key=True, skip_locked=True).order_by("pk"))
        if not any(child.reconcile_due_at is not None and child.reconcile_due_at <= now for child in children):
            return []
        rows = ChildOrder.objects.filter(pk__in=[child.pk for child in children])
        # What is read along with the others has not used up a turn of its own schedule.
        rows.filter(reconcile_due_at__lte=now).update(reconcile_attempts=F("reconcile_attempts") + 1)
        rows.update(reconcile_due_at=now + LEASE)
    return children


# --- one connection ---------------------------------------------------------------------------------------------------
def reconcile(connection_id: UUID, *, now: datetime, clients: Clients = calling.clients_for) -> bool:
    """Read a connection's book, if that is due, and let its orders be what it says. Not within a transaction.

    Returns whether it was read.
    """
    claimed = _claimed(connection_id, now)
    if not claimed:
        return False
    connection = BrokerConnection.objects.filter(pk=connection_id).select_related("user").first()
    if connection is None:
        return False
    if any(child.state == State.UNKNOWN for child in claimed):
        _want_news(connection)
    client = clients([connection], now)[connection.pk]
    is_read = False
    try:
        if isinstance(client, BrokerError):
            raise client
        _learn(connection, claimed, _read(client, connection_id, now), now)
        is_read = True
    except BrokerError as error:
        _not_read(connection, claimed, error, now)
    finally:
        # Whatever failed: an owner who is to be told is told, and the next reading has its time.
        children = _settled(claimed, now)
    if is_read:
        _cancel(children, now, clients)
    return is_read


def _learn(connection: BrokerConnection, claimed: Sequence[ChildOrder], book: Book, now: datetime) -> None:
    """Let the orders be what the book says."""
    trades = book.trades.items if book.trades is not None else ()
    taken = books.take(connection.pk, book.orders.items, teller=Teller.BOOK, now=now, trades=trades)
    if taken.left_out:  # whose rows these are is not known: of nothing it says now that it is not there
        lost = (RowProblem(part="orders", row=row, field="") for row in range(taken.left_out))
        book = replace(book, orders=Rows(book.orders.items, (*book.orders.problems, *lost)))
    _absent([child.pk for child in claimed if child.pk not in taken.spoken_of], book, _is_heard(connection), now)


def _read(client: BrokerClient, connection_id: UUID, now: datetime) -> Book:
    """The book; and the trades, where it has fills that we do not, or lacks an order that may be there."""
    followed = books.followed(connection_id, now)
    orders = client.within(CALL_SECONDS).orders()
    found, searched = _found(client, followed, orders)
    orders = _named(orders, found)
    trades = None
    lacking = _lacking(followed, orders.items)
    tags = {order.tag for order in orders.items}
    if lacking or any(child.state == State.UNKNOWN and child.tag not in tags for child in followed):
        try:
            trades = client.within(CALL_SECONDS).trades_of(lacking[:MOST_ASKED])
        except BrokerError as error:  # what the book says counts all the same
            logger.info("Connection %s: its trades were not read: %s", connection_id, error.code)
    return Book(now, orders, trades, searched)


# Some brokers tell the trades of one order at a time: of no more than so many in one reading.
MOST_ASKED = 10
# By a search of its own, some brokers find an order that their book does not tag. No more than so many in one reading.
MOST_SEARCHED = 5


def _found(
    client: BrokerClient, followed: Iterable[ChildOrder], orders: Rows[BrokerOrder]
) -> tuple[Rows[BrokerOrder], frozenset[str] | None]:
    """Orders that the book does not show by our tag, and a broker's search by it does; and what was searched for."""
    if type(client).find is BrokerClient.find:
        return Rows(()), None
    tags = {order.tag for order in orders.items}
    lost = [child for child in followed if child.state == State.UNKNOWN and child.tag not in tags]
    found: list[BrokerOrder] = []
    searched: set[str] = set()
    for child in _in_turn(lost):
        try:
            found += client.within(CALL_SECONDS).find(child.tag)
        except BrokerError as error:  # what the book says counts all the same, but for what is not in it
            logger.info("Connection %s: a search was not answered: %s", child.broker_connection_id, error.code)
            break
        searched.add(child.tag)
    return Rows(tuple(found)), frozenset(searched)


def _in_turn(lost: Sequence[ChildOrder]) -> list[ChildOrder]:
    """As many as one reading searches for, others in each: the first of them may stay unknown for long."""
    if not lost:
        return []
    oldest_first = sorted(lost, key=lambda child: (child.sent_at, child.pk))
    start = max(child.reconcile_attempts for child in lost) * MOST_SEARCHED % len(lost)
    return [*oldest_first[start:], *oldest_first[:start]][:MOST_SEARCHED]


def _named(orders: Rows[BrokerOrder], found: Rows[BrokerOrder]) -> Rows[BrokerOrder]:
    """The book with what was found by our tags: it stands in the place of the same order without its tag."""
    ids = {order.broker_order_id for order in found.items}
    return Rows(tuple(order for order in orders.items if order.broker_order_id not in ids), orders.problems) + found


def _lacking(followed: Sequence[ChildOrder], orders: Iterable[BrokerOrder]) -> list[BrokerOrder]:
    """Orders of ours of which more was filled than we have trades of."""
    held = books.unfilled(followed)
    ours = {name: child for child in followed for name in (child.broker_order_id, child.tag) if name}
    return [
        order
        for order in orders
        if (child := ours.get(order.tag or "") or ours.get(order.broker_order_id)) is not None
        and units.of_child(child, order).filled_quantity > held.get(order.broker_order_id, Decimal(0))
    ]


def _want_news(connection: BrokerConnection) -> None:
    """Have its owner's streams held as for an open page: without news of orders, absence proves nothing."""
    with if_redis_is_there("a watch over the streams"):
        watching.watch(connection.user_id)


def _is_heard(connection: BrokerConnection) -> bool:
    """Whether news of this account's orders come in by a stream, or could by none, because the broker has none."""
    try:
        told = orders_told_now(redis(), [connection.pk]).get(connection.pk)
    except RedisError as error:
        logger.warning("Redis is away (%s): it is not known whether news of orders come in", type(error).__name__)
        return False
    if told is None:
        return registry.load(connection.broker_type).order_stream is None
    return told.is_well


# --- what is not in the book ------------------------------------------------------------------------------------------
def _absent(ids: Collection[UUID], book: Book, is_heard: bool, now: datetime) -> None:
    """Orders that were asked about and that the book does not show."""
    for child in ChildOrder.objects.filter(pk__in=ids):
        if child.state == State.UNKNOWN:
            _not_there(child, book, is_heard, now)
        elif child.state in STANDING:
            _gone(child, book, now)


def _not_there(child: ChildOrder, book: Book, is_heard: bool, now: datetime) -> None:
    """Rule 4: two readings that say something, late enough, prove that the broker never had it."""
    reading = Reading(
        began_at=book.began_at,
        is_whole=book.is_whole_for(child.tag),
        # Read across midnight, it may be the book of the next day already.
        is_same_day=_day(book.began_at + LEASE) == _day(child.sent_at),
        has_trade=_could_be(child, book),
        is_heard=is_heard,
    )
    if child.unknown_since is None or not absence_counts(child.unknown_since, child.first_absent_at, reading):
        return
    absences = child.absences + 1
    rows = ChildOrder.objects.filter(pk=child.pk, state=State.UNKNOWN, absences=child.absences)
    counted = rows.update(absences=absences, first_absent_at=child.first_absent_at or book.began_at)
    if counted and absence_proves(absences):
        story.moved(
            child,
            State.NOT_PLACED,
            only={State.UNKNOWN},
            teller=Teller.BOOK,
            code="proved_absent",
            now=now,
            details={"readings": absences},
            reconcile_due_at=None,
            reason_code="never_placed",
            reason="The broker's order book does not have it: it never arrived there.",
        )


def _could_be(child: ChildOrder, book: Book) -> bool:
    """Whether there is a trade of no order in the book that could be this one's."""
    known = {order.broker_order_id for order in book.orders.items}
    listing = calling.request_of(child).traded.listing
    return any(
        trade.broker_order_id not in known
        and (trade.exchange, trade.side) == (listing.exchange, child.side)
        and _is_in(listing, trade)
        for trade in (book.trades.items if book.trades is not None else ())
    )


def _is_in(listing: Listing, trade: BrokerTrade) -> bool:
    """Some brokers' trades name no token."""
    if listing.broker_token and trade.broker_token:
        return listing.broker_token == trade.broker_token
    return listing.tradingsymbol == trade.tradingsymbol


def _gone(child: ChildOrder, book: Book, now: datetime) -> None:
    """An order that stood. On another day it has ended with its own; on the same it should be there."""
    if book.orders.problems:
        return
    if _day(book.began_at) > _day(child.sent_at):
        story.moved(
            child,
            State.EXPIRED,
            only=STANDING,
            teller=Teller.CLOCK,
            code=DAY_OVER,
            now=now,
            reconcile_due_at=None,
            reason_code=DAY_OVER,
            reason="Its day is over, and the broker's book does not show it any more.",
        )
    elif book.began_at >= child.sent_at + MISSING:
        with transaction.atomic():
            story.note_once(child, "missing_from_book", teller=Teller.BOOK, now=now)


def _day(moment: datetime) -> date:
    return moment.astimezone(IST).date()


# --- afterwards -------------------------------------------------------------------------------------------------------
def _settled(claimed: Iterable[ChildOrder], now: datetime) -> list[ChildOrder]:
    """What was taken up, as it is now, with the time of its next reading."""
    children = list(
        ChildOrder.objects.filter(pk__in=[child.pk for child in claimed]).select_related("broker_connection")
    )
    for child in children:
        _explain(child, now)
        _schedule(child, now)
    return children


def _cancel(children: Sequence[ChildOrder], now: datetime, clients: Clients) -> None:
    """What was wished for before they were found; and the wishes of which nothing came."""
    for child in changing.due_cancels(children):
        try:
            changing.send_cancel(child, now=now, clients=clients)
        except BrokerError as error:
            logger.info("Order %s was not cancelled when it was found: %s", child.tag, error.code)
    books.give_up_cancels(children, now)


def _explain(child: ChildOrder, now: datetime) -> None:
    """Tell the owner, once, that an order is not known and that it may be there."""
    if child.state != State.UNKNOWN or child.unknown_since is None or now - child.unknown_since < PATIENCE:
        return
    with transaction.atomic():
        rows = ChildOrder.objects.filter(pk=child.pk, state=State.UNKNOWN, explained_at=None)
        if rows.update(explained_at=now, version=F("version") + 1):
            story.alarm(child, alerts.UNKNOWN, teller=Teller.CLOCK, now=now)


def _schedule(child: ChildOrder, now: datetime, wait: timedelta = WORKING_WAIT) -> None:
    """End the lease; news that came meanwhile have put a reading of their own in its place."""
    after = None
    if child.state == State.UNKNOWN:
        old = _day(now) != _day(child.sent_at)
        after = now + (OLD_WAIT if old else next_reconcile(child.reconcile_attempts))
    elif child.state == State.SENDING:
        after = max(child.sent_at + LAPSE, now + WORKING_WAIT)
    elif child.state in STANDING:
        after = now + wait
    elif _day(now) == _day(child.sent_at) and _lacks_fills(child):
        after = now + next_reconcile(child.reconcile_attempts)
    mine = ChildOrder.objects.filter(pk=child.pk, reconcile_due_at=now + LEASE)
    mine.update(reconcile_due_at=after)


def _lacks_fills(child: ChildOrder) -> bool:
    """Whether more of it was filled than we have trades of."""
    held: Decimal = sum((fill.quantity for fill in child.fills.all()), Decimal(0))
    return bool(child.filled_quantity > held)


def _not_read(connection: BrokerConnection, claimed: Sequence[ChildOrder], error: BrokerError, now: datetime) -> None:
    """Nothing is learnt of the orders; that the session is over is."""
    logger.info("Connection %s: its order book was not read: %s", connection.pk, error.code)
    if isinstance(error, SessionEnded):
        services.learn(connection, error, now)
    least = CLOSED_WAIT if isinstance(error, SessionEnded) else WORKING_WAIT
    wait = max(least, timedelta(seconds=getattr(error, "retry_after", None) or 0))
    for child in ChildOrder.objects.filter(pk__in=[child.pk for child in claimed]):
        _explain(child, now)
        _schedule(child, now, wait)


def run(now: datetime, clients: Clients = calling.clients_for) -> Mapping[UUID, bool]:
    """Everything that is due, here and now: what beat and the workers do, for tests and rehearsals."""
    lapse(now)
    return {connection_id: reconcile(connection_id, now=now, clients=clients) for connection_id in due(now)}
