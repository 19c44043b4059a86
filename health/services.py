"""Is each connection alive? Cheap authenticated reads tell; the error's class names the status.

A tick puts new connections on the schedule, claims what is due and hands it out in chunks; a chunk is one broker's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import F, Q

from brokers import hours, reach, registry
from brokers import services as broker_services
from brokers.base import BrokerClient
from brokers.domain import ConnectionStatus, Segment
from brokers.errors import BrokerError, CircuitOpen, NotSupported
from brokers.models import BrokerConnection
from brokers.statuses import READABLE_STATUSES
from brokers.transport import Deadline
from health import asking, pace, verdict
from health.asking import Measured
from health.circuits import Circuits
from health.models import BrokerHealthLog, CheckSchedule, CheckType

# A whole chunk: less than the lease, after which others would take its checks up.
CHUNK_SECONDS = 15.0
CHUNK = 50
ENROL_AT_MOST = 1000
CLAIM_AT_MOST = 2500
CLAIMS_PER_TICK = 40
# A claimed check that was not made within this time, or within one interval if that is longer, comes round again.
SHORTEST_LEASE = timedelta(seconds=20)
# What was not asked for reasons of our own is tried again so soon.
SOON = timedelta(seconds=2)

Found = list[tuple[CheckSchedule, Measured]]


# --- the dispatcher ---------------------------------------------------------------------------------------------------
def enrol(now: datetime) -> int:
    """Put the connections that ask for it on the schedule, everything due now. Returns how many."""
    enrolled = 0
    while (some := _enrol_some(now)) == ENROL_AT_MOST:
        enrolled += some
    return enrolled + some


def _enrol_some(now: datetime) -> int:
    with transaction.atomic():
        asking_for_it = list(
            BrokerConnection.objects.due_for_check(now)
            .order_by("next_health_check_at")
            .select_for_update(skip_locked=True, no_key=True)
            .values_list("pk", "broker_type")[:ENROL_AT_MOST]
        )
        CheckSchedule.objects.bulk_create(
            (
                CheckSchedule(broker_connection_id=key, broker_type=broker_type, check_type=check_type, due_at=now)
                for key, broker_type in asking_for_it
                for check_type in CheckType
            ),
            update_conflicts=True,
            unique_fields=["broker_connection", "check_type"],
            # A new session has no past.
            update_fields=["due_at", "lease_until", "held", "consecutive_failures", "last_status", "last_error_code"],
        )
        keys = [key for key, _ in asking_for_it]
        BrokerConnection.objects.filter(pk__in=keys).update(next_health_check_at=None)
    return len(keys)


def claim_chunks(now: datetime, circuits: Circuits) -> list[list[int]]:
    """Take what is due, in chunks for one worker each; a chunk is one broker's, and keeps a connection together.

    What cannot be asked now, because its broker's circuit is open or the broker is in a known maintenance, is put off.
    """
    CheckSchedule.objects.let_go(now, still_open=_away(circuits), spread=SOON)
    chunks: list[list[int]] = []
    for _ in range(CLAIMS_PER_TICK):
        rows = CheckSchedule.objects.claim(now, lease=now + lease(), at_most=CLAIM_AT_MOST)
        rows.sort(key=lambda row: (row.broker_type, row.broker_connection_id))
        for slug, group in groupby(rows, key=lambda row: row.broker_type):
            of_broker = list(group)
            if not _put_off(slug, [row.pk for row in of_broker], circuits, now):
                chunks += _chunks(of_broker)
        if len(rows) < CLAIM_AT_MOST:
            break
    return chunks


def lease() -> timedelta:
    return max(SHORTEST_LEASE, timedelta(seconds=settings.HEALTH_INTERVAL_SECONDS))


def _chunks(rows: Sequence[CheckSchedule]) -> list[list[int]]:
    """Ids in chunks of at most `CHUNK`; the checks of one connection stay together."""
    chunks: list[list[int]] = [[]]
    for _, group in groupby(rows, key=lambda row: row.broker_connection_id):
        ids = [row.pk for row in group]
        if len(chunks[-1]) + len(ids) > CHUNK:
            chunks.append([])
        chunks[-1] += ids
    return chunks


def _put_off(slug: str, ids: Sequence[int], circuits: Circuits, now: datetime) -> bool:
    until = circuits.open_until(slug)
    if until is not None:
        CheckSchedule.objects.put_off(ids, max(until, now + SOON), spread=SOON, held=True)
        return True
    until = maintenance_ends(slug, now)
    if until is not None:
        CheckSchedule.objects.put_off(ids, until, spread=pace.AFTER_SILENCE)
    return until is not None


def _away(circuits: Circuits) -> list[str]:
    return [slug for slug in registry.slugs() if circuits.open_until(slug) is not None]


def maintenance_ends(slug: str, now: datetime) -> datetime | None:
    """When the broker's known maintenance ends, if it is on; never where brokers are simulated."""
    if settings.HEALTH_AROUND_THE_CLOCK:
        return None
    return pace.maintenance_ends(registry.load(slug).spec.maintenance, now)


def claim_probes(now: datetime, circuits: Circuits) -> list[UUID]:
    """Where a probe is due, the broker's connection that can be asked and was longest ago; for one caller alone."""
    found: list[UUID] = []
    for slug in circuits.probes_due():
        if cache.add(f"health-probe:{slug}", True, timeout=asking.CHECK_SECONDS):
            readable = BrokerConnection.objects.filter(broker_type=slug, status__in=READABLE_STATUSES).exclude(
                Q(retry_after__gt=now) | Q(token_expires_at__lte=now)
            )
            longest_ago = readable.order_by(F("last_health_check").asc(nulls_first=True), "pk")
            found += longest_ago.values_list("pk", flat=True)[:1]
    return found


# --- the checks -------------------------------------------------------------------------------------------------------
def check_chunk(ids: Sequence[int], *, now: datetime) -> int:
    """Make the claimed checks among these, all of one broker, and write what was found. Returns how many were made.

    However many they are, healthy ones cost the same handful of queries.
    """
    taken = CheckSchedule.objects.take(ids)
    connections = _connections({row.broker_connection_id for row in taken})
    rows = [row for row in taken if row.broker_connection_id in connections]  # one may just have been deleted
    for row in rows:
        row.broker_connection = connections[row.broker_connection_id]
    found = _found(rows, now)
    _write(rows, found, now)
    return len(found)


def check(connection_id: UUID, *, now: datetime) -> BrokerHealthLog | None:
    """Check one connection's session at once, whatever its schedule; None where there is nothing to be measured."""
    connection = _connections({connection_id}).get(connection_id)
    if connection is None:
        return None
    row = CheckSchedule.objects.filter(broker_connection=connection, check_type=CheckType.SESSION).first()
    row = row or CheckSchedule(broker_connection=connection, check_type=CheckType.SESSION)
    row.broker_connection = connection
    logs = _write([row], _found([row], now), now)
    return logs[0] if logs else None


def _connections(keys: Iterable[UUID]) -> dict[UUID, BrokerConnection]:
    rows = BrokerConnection.objects.select_related("user").prefetch_related("user__broker_apps")
    return rows.in_bulk(list(keys))


def _found(rows: Sequence[CheckSchedule], now: datetime) -> Found:
    """What the checks found that can be made now. The due times of the others are set: parked, or a little later."""
    to_ask = [row for row in rows if _may_be_asked(row, now)]
    deadline = Deadline(CHUNK_SECONDS)
    connections = {row.broker_connection_id: row.broker_connection for row in to_ask}
    clients = reach.clients_for(list(connections.values()), deadline=deadline, now=now)
    reads: list[tuple[CheckSchedule, BrokerClient]] = []
    found: Found = []
    for row in to_ask:
        client = clients[row.broker_connection_id]
        if isinstance(client, BrokerError):
            found.append((row, Measured(error=client)))
        else:
            reads.append((row, client))
    measured = asking.try_all([(client, CheckType(row.check_type)) for row, client in reads], deadline)
    for (row, _), outcome in zip(reads, measured, strict=True):
        if outcome is None:
            row.due_at = now + SOON
        elif isinstance(outcome.error, NotSupported):
            row.due_at, row.last_error_code, row.last_status = None, outcome.error.code, ""
        elif verdict.is_our_own(outcome.error):
            row.due_at = _when_we_may(outcome.error, now) + SOON * pace.spread_of(row.pk or 0)
        else:
            found.append((row, outcome))
    return found


def _when_we_may(refusal: BrokerError | None, now: datetime) -> datetime:
    """When a refusal of our own ends: the budget comes back, or the circuit is tried again. Not within a moment."""
    if isinstance(refusal, CircuitOpen):
        return max(refusal.retry_at, now + SOON)
    wait = getattr(refusal, "retry_after", None)
    return now + max(SOON, timedelta(seconds=wait or settings.HEALTH_FAILING_INTERVAL_SECONDS))


def _may_be_asked(row: CheckSchedule, now: datetime) -> bool:
    """Whether its connection can be read. If it has ended, or is about to, the row is parked until the next login."""
    connection = row.broker_connection
    if not connection.has_session or connection.status not in READABLE_STATUSES or connection.is_over(now):
        row.due_at = None
        return False
    if connection.retry_after is not None and connection.retry_after > now:
        row.due_at = connection.retry_after + SOON * pace.spread_of(row.pk or 0)
        return False
    return True


def _write(rows: Sequence[CheckSchedule], found: Found, now: datetime) -> list[BrokerHealthLog]:
    """The connections, the log and the schedule, each in one go."""
    _learn(found, now)
    for row, measured in found:
        if measured.profile is not None:
            broker_services.note_profile(row.broker_connection, measured.profile)  # asks nothing where nothing changed
    logs = [_log_of(row, measured, now) for row, measured in found]
    checked = {row.broker_connection_id for row, _ in found}
    markets_open = _markets_open(now)
    with transaction.atomic():
        # Connections before schedules, as in `enrol`: else the two could wait for each other.
        BrokerConnection.objects.filter(pk__in=checked).update(last_health_check=now)
        BrokerHealthLog.objects.bulk_create(logs)
        _look_again(found, now)
        for row, measured in found:
            _reschedule(row, measured, now, markets_open)
        CheckSchedule.objects.keep([row for row in rows if row.pk is not None])
    return logs


def _learn(found: Found, now: datetime) -> None:
    """Tell the connections' rows what the checks, taken together, say of them."""
    by_connection: dict[BrokerConnection, dict[CheckType, BrokerError | None]] = defaultdict(dict)
    for row, measured in found:
        by_connection[row.broker_connection][CheckType(row.check_type)] = measured.error
    others = _last_statuses(by_connection)
    outcomes: list[tuple[BrokerConnection, BrokerError | None]] = []
    for connection, errors in by_connection.items():
        rest = {kind: status for kind, status in others[connection.pk].items() if kind not in errors}
        learns, error = verdict.of_connection(errors, rest)
        if learns:
            outcomes.append((connection, error))
    broker_services.learn_all(outcomes, now)


def _look_again(found: Found, now: datetime) -> None:
    """Where quotes or orders have just been blocked, let the judges of the connection say at once whether all is."""
    doubtful = {
        row.broker_connection_id
        for row, measured in found
        if verdict.needs_second_look(CheckType(row.check_type), measured.error, row.last_status)
    }
    if doubtful:
        judges = CheckSchedule.objects.filter(broker_connection__in=doubtful, check_type__in=verdict.JUDGES)
        judges.filter(due_at__gt=now, lease_until=None).update(due_at=now)


def _last_statuses(connections: Iterable[BrokerConnection]) -> Mapping[UUID, dict[CheckType, str]]:
    """By connection, the status each kind of check last ended with."""
    last: dict[UUID, dict[CheckType, str]] = defaultdict(dict)
    rows = CheckSchedule.objects.filter(broker_connection__in=connections, check_type__in=verdict.JUDGES)
    for key, check_type, status in rows.values_list("broker_connection_id", "check_type", "last_status"):
        last[key][CheckType(check_type)] = status
    return last


def _log_of(row: CheckSchedule, measured: Measured, now: datetime) -> BrokerHealthLog:
    error = measured.error
    return BrokerHealthLog(
        broker_connection=row.broker_connection,
        check_type=row.check_type,
        status=(error.connection_status if error else None) or ConnectionStatus.CONNECTED,
        response_time_ms=measured.milliseconds,
        error_code=error.code if error else "",
        error_message=error.message if error else "",
        checked_at=now,
    )


def _reschedule(row: CheckSchedule, measured: Measured, now: datetime, markets_open: bool | None) -> None:
    error = measured.error
    row.consecutive_failures = row.consecutive_failures + 1 if error else 0
    row.last_status = (error.connection_status if error else None) or ConnectionStatus.CONNECTED
    row.last_error_code = error.code if error else ""
    row.last_checked_at = now
    if row.last_status == ConnectionStatus.TOKEN_EXPIRED:
        row.due_at = None
        return
    row.due_at = pace.next_due(
        CheckType(row.check_type),
        row_id=row.pk or 0,
        now=now,
        failures=row.consecutive_failures,
        markets_open=markets_open,
        maintenance=registry.load(row.broker_connection.broker_type).spec.maintenance,
        intervals=pace.Intervals(
            usual=settings.HEALTH_INTERVAL_SECONDS,
            failing=settings.HEALTH_FAILING_INTERVAL_SECONDS,
            around_the_clock=settings.HEALTH_AROUND_THE_CLOCK,
        ),
    )


def _markets_open(now: datetime) -> bool | None:
    """Whether the exchanges of shares are open. None: it depends on a holiday that nobody knows."""
    trading = hours.markets_open(now)
    return None if trading is None else Segment.EQUITY in trading
