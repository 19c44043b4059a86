"""What became of an order that waits at a broker (GTT): read in the broker's list, until it is known.

Whatever is in doubt is due some time (`settle_due_at`); one reading answers for all such orders of a connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q

from brokers import services
from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttKind, GttLeg, GttStatus, Traded
from brokers.domain import Exchange, Product, Rows, Side
from brokers.errors import BrokerError, NotSupported, SessionEnded, UnexpectedResponse
from brokers.models import BrokerConnection
from orders import calling, listings
from orders.calling import CALL_SECONDS, LAPSE
from orders.models import GttOrder

logger = logging.getLogger(__name__)

OPEN = (GttStatus.SENDING, GttStatus.ACTIVE, GttStatus.UNKNOWN)
# A list that lacks it proves something only so long after the call, only the second time, and only as long as no list
# is known to drop what was made or has ended: Groww's reaches back a month.
PROVES_AFTER = timedelta(seconds=30)
PROVES_WITHIN = timedelta(days=7)
ABSENT_ONCE, AMBIGUOUS = "absent_once", "ambiguous"
# Brokers' times are whole seconds, by clocks of their own; what is a day apart is another order by any clock.
CLOCKS_APART = timedelta(seconds=5)
ANOTHER = timedelta(days=1)
# How often a list is read for what is in doubt: at first, and for what nobody could settle so far.
SOON, EARLY, OLD_WAIT = timedelta(seconds=15), timedelta(minutes=10), timedelta(hours=1)
# A reading that takes longer has died: another one is made.
LEASE = timedelta(seconds=60)


def became(row: GttOrder, status: GttStatus, now: datetime, *, only: Q | None = None, **facts: Any) -> bool:
    """Write a state down, with what is known of it; `only` while the row is as was thought. Returns whether it was."""
    said = {name: value for name, value in facts.items() if value is not None}
    said.setdefault("reason_code", "")
    said.setdefault("reason", "")
    said["reason_code"] = str(said["reason_code"])[:60]
    in_doubt = status is GttStatus.UNKNOWN and said.get("broker_gtt_id", row.broker_gtt_id) is None
    due = now + _wait(row, now) if in_doubt else None
    rows = GttOrder.objects.filter(only or Q(), pk=row.pk)
    was = rows.update(status=status, status_since=now, settle_due_at=due, **said)
    row.refresh_from_db()
    return bool(was)


def legs_of(stored: Iterable[Mapping[str, str]]) -> tuple[GttLeg, ...]:
    return tuple(GttLeg(**{name: Decimal(value) for name, value in leg.items()}) for leg in stored)


def as_at_broker(row: GttOrder) -> BrokerGtt:
    """What we left there, as it is asked to end. Raises NotSupported where it is not listed any more."""
    exchange = Exchange(row.instrument.exchange)
    traded = listings.traded(row.instrument, [(row.broker_type, exchange)])[row.broker_type, exchange]
    if not isinstance(traded, Traded):
        raise traded
    return BrokerGtt(
        broker_gtt_id=row.broker_gtt_id or "",
        exchange=exchange,
        tradingsymbol=traded.listing.tradingsymbol,
        broker_token=traded.listing.broker_token,
        kind=GttKind(row.kind),
        side=Side(row.side),
        product=Product(row.product),
        legs=legs_of(row.legs),
        status=GttStatus(row.status),
        created_at=row.created_at,
    )


def reader(client: BrokerClient | BrokerError) -> Callable[[], Rows[BrokerGtt] | BrokerError]:
    def read() -> Rows[BrokerGtt] | BrokerError:
        if isinstance(client, BrokerError):
            return client
        try:
            return client.within(CALL_SECONDS).gtts()
        except BrokerError as error:
            return error
        except Exception:  # a mistake of ours in one dialect must not hide the other brokers
            logger.exception("Reading the GTTs of %s failed", client.spec.slug)
            return UnexpectedResponse("gtts", "cannot be mapped")

    return read


# --- what is due ------------------------------------------------------------------------------------------------------
def lapse(now: datetime) -> int:
    """Those whose sender has died: nobody knows what became of them. How many."""
    return GttOrder.objects.filter(status=GttStatus.SENDING, created_at__lte=now - LAPSE).update(
        status=GttStatus.UNKNOWN,
        status_since=now,
        settle_due_at=now,
        reason_code="sender_lost",
        reason="The answer of the broker was lost.",
    )


def due(now: datetime) -> list[UUID]:
    """Connections whose list is to be read."""
    rows = GttOrder.objects.filter(settle_due_at__lte=now, status=GttStatus.UNKNOWN).exclude(broker_connection=None)
    return list(rows.order_by().values_list("broker_connection", flat=True).distinct())


def settle_connection(connection_id: UUID, *, now: datetime) -> bool:
    """Read a connection's list, if that is due, and let our rows be what it says. Returns whether it was read."""
    rows = GttOrder.objects.filter(broker_connection=connection_id, status=GttStatus.UNKNOWN)
    if not rows.filter(settle_due_at__lte=now).update(settle_due_at=now + LEASE):
        return False
    connection = BrokerConnection.objects.filter(pk=connection_id).select_related("user").first()
    if connection is None:
        return False
    told = reader(calling.clients_for([connection], now)[connection.pk])()
    if isinstance(told, BrokerError):
        logger.info("Connection %s: its list of GTTs was not read: %s", connection_id, told.code)
        if isinstance(told, SessionEnded):
            services.learn(connection, told, now)
    else:
        settle(connection, told, now)
    for row in rows.filter(settle_due_at=now + LEASE):
        GttOrder.objects.filter(pk=row.pk, settle_due_at=now + LEASE).update(settle_due_at=now + _wait(row, now))
    return not isinstance(told, BrokerError)


def run(now: datetime) -> Mapping[UUID, bool]:
    """Everything that is due, here and now: what beat and the workers do, for tests and rehearsals."""
    lapse(now)
    return {connection_id: settle_connection(connection_id, now=now) for connection_id in due(now)}


def _wait(row: GttOrder, now: datetime) -> timedelta:
    return SOON if now - row.created_at < EARLY else OLD_WAIT


# --- what a list says -------------------------------------------------------------------------------------------------
def settle(connection: BrokerConnection, told: Rows[BrokerGtt], now: datetime) -> None:
    """What a broker's list says of our rows, asked for at `now`.

    One that is UNKNOWN is adopted if a single line of the list can be it, and it alone of our rows; it never was there
    if the whole list lacks it twice.
    """
    by_id = {each.broker_gtt_id: each for each in told.items}
    ours = GttOrder.objects.filter(broker_connection=connection)
    rows = list(ours.filter(status__in=OPEN).select_related("instrument"))
    taken = set(ours.exclude(broker_gtt_id=None).values_list("broker_gtt_id", flat=True))
    free = [each for key, each in by_id.items() if key not in taken]
    lost = [row for row in rows if row.broker_gtt_id is None]
    for row in rows:
        known = by_id.get(row.broker_gtt_id or "")
        if known is not None and known.status != row.status:
            became(row, known.status, now, only=_as_read(row))
        elif row in lost and row.status == GttStatus.UNKNOWN:
            _settle_lost(row, free, [other for other in lost if other != row], now, is_whole=not told.problems)


def _settle_lost(
    row: GttOrder, free: Iterable[BrokerGtt], others: Iterable[GttOrder], now: datetime, *, is_whole: bool
) -> None:
    exchange = Exchange(row.instrument.exchange)
    traded = listings.traded(row.instrument, [(row.broker_type, exchange)])[row.broker_type, exchange]
    if isinstance(traded, NotSupported):  # it is not listed any more: by which name to look is not known
        return
    alike = [each for each in free if _is_same(row, traded, each) and not _is_certainly_another(row, each)]
    if len(alike) == 1 and _is_of_its_time(row, alike[0]) and not any(_is_twin(row, other) for other in others):
        [known] = alike
        became(row, known.status, now, only=_as_read(row), broker_gtt_id=known.broker_gtt_id)
    elif alike:
        if row.reason_code != AMBIGUOUS:
            words = "The broker's list has such an order, and it cannot be told whether it is this one: look there."
            became(row, GttStatus.UNKNOWN, now, only=_as_read(row), reason_code=AMBIGUOUS, reason=words)
    elif is_whole and now >= row.status_since + PROVES_AFTER and now <= row.created_at + PROVES_WITHIN:
        if row.reason_code == ABSENT_ONCE:
            words = "The broker's list does not have it."
            became(row, GttStatus.NOT_PLACED, now, only=_as_read(row), reason_code="never_placed", reason=words)
        else:
            became(row, GttStatus.UNKNOWN, now, only=_as_read(row), reason_code=ABSENT_ONCE, reason=row.reason)


def _as_read(row: GttOrder) -> Q:
    """As long as nobody else has moved it."""
    return Q(status=row.status, status_since=row.status_since, broker_gtt_id=row.broker_gtt_id)


def _is_same(row: GttOrder, traded: Traded, other: BrokerGtt) -> bool:
    """Whether a line of the broker's list asks for the very same. (Quantities there are as the broker counts them.)"""
    listing = traded.listing
    if listing.broker_token and other.broker_token:
        is_it = listing.broker_token == other.broker_token
    else:
        is_it = listing.tradingsymbol == other.tradingsymbol
    return (
        is_it
        and (other.exchange, other.kind, other.side, other.product)
        == (listing.exchange, row.kind, row.side, row.product)
        and _plain(other.legs) == [(*prices, traded.counted(count)) for *prices, count in _plain(legs_of(row.legs))]
    )


def _plain(legs: Collection[GttLeg]) -> Sequence[tuple[Decimal, Decimal, Decimal]]:
    return [(leg.trigger_price, leg.price, leg.quantity) for leg in legs]


def _is_twin(row: GttOrder, other: GttOrder) -> bool:
    """Whether another of our rows, whose id is not known either, asks for the same: a line may be either's."""
    asked = [(each.instrument_id, each.kind, each.side, each.product, legs_of(each.legs)) for each in (row, other)]
    return asked[0] == asked[1]


def _is_certainly_another(row: GttOrder, other: BrokerGtt) -> bool:
    return other.created_at is not None and abs(other.created_at - row.created_at) > ANOTHER


def _is_of_its_time(row: GttOrder, other: BrokerGtt) -> bool:
    """Whether it was made while ours was sent; where the time is not told, whether it still waits."""
    if other.created_at is None:
        return other.status is GttStatus.ACTIVE
    return row.created_at - CLOCKS_APART <= other.created_at <= row.created_at + LAPSE + CLOCKS_APART
