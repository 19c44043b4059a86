"""Whether the audit log is whole, and the removal of what is older than it must be kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from accounts import audit
from accounts.events import Event
from accounts.models import AuditCheckpoint, AuditEntry

logger = logging.getLogger(__name__)

PAGE = 2000


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the log is not what was written; `sequence` is the event that is wrong, or is missing."""

    sequence: int
    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk over the log found. `begins_after` is the last event that was pruned; 0: none was."""

    events: int
    begins_after: int
    sequence: int
    hash: str
    broken: Break | None


def verify(anchors: Mapping[int, str] | None = None) -> Verdict:
    """Walk the whole log, oldest event first, a page at a time.

    `anchors` (sequence → hash) are heads that were noted outside the database: they alone show that the newest events
    were cut off, or that somebody wrote the whole chain anew.
    """
    with transaction.atomic():
        _hold_still()
        return _walked(dict(anchors or {}))


def _hold_still() -> None:
    """See one state of the log, whatever is appended or pruned meanwhile; within another's transaction it is theirs."""
    with connection.cursor() as cursor:
        if not connection.savepoint_ids:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _walked(anchors: dict[int, str]) -> Verdict:
    checkpoint = AuditCheckpoint.objects.first()
    begins_after, previous = (checkpoint.sequence, checkpoint.hash) if checkpoint else (0, audit.GENESIS)
    sequence, events, is_confirmed = begins_after, 0, checkpoint is None
    broken = _contradicted(anchors, begins_after, previous)
    for row in _rows() if broken is None else ():
        broken = _judged(row, sequence + 1, previous) or _contradicted(anchors, row.sequence, row.hash)
        if broken:
            break
        sequence, previous, events = row.sequence, row.hash, events + 1
        is_confirmed = is_confirmed or _confirms(row, checkpoint)
    if broken is None and not is_confirmed:
        broken = Break(begins_after, "checkpoint_unconfirmed", "No event tells of the removal before this one.")
    later = sorted(known for known in anchors if known > sequence)
    if broken is None and later:
        broken = Break(sequence + 1, "tail_missing", f"The log ends here, but event {later[-1]} was there once.")
    return Verdict(events, begins_after, sequence, previous, broken)


def _rows() -> Iterator[AuditEntry]:
    after = -(2**63)
    while page := list(AuditEntry.objects.filter(sequence__gt=after).order_by("sequence")[:PAGE]):
        yield from page
        after = page[-1].sequence


def _judged(row: AuditEntry, expected: int, previous: str) -> Break | None:
    if row.sequence < expected:
        return Break(row.sequence, "event_inserted", "This event stands before the beginning of the log.")
    if row.sequence > expected:
        return Break(expected, "event_missing", f"This event is missing; the next one is {row.sequence}.")
    if row.previous != previous:
        return Break(row.sequence, "link_broken", "This event does not follow the one before it.")
    if audit.hash_of(row) != row.hash:
        return Break(row.sequence, "event_changed", "This event is not what was written.")
    return None


def _contradicted(anchors: Mapping[int, str], sequence: int, found: str) -> Break | None:
    if anchors.get(sequence, found) == found:
        return None
    return Break(sequence, "anchor_differs", "This event is another one than was noted outside the database.")


def _confirms(row: AuditEntry, checkpoint: AuditCheckpoint | None) -> bool:
    told = {"through": checkpoint.sequence, "last_hash": checkpoint.hash} if checkpoint else {}
    return row.event == Event.AUDIT_PRUNED and told.items() <= row.details.items()


# --- retention --------------------------------------------------------------------------------------------------------
def oldest_kept(now: datetime) -> datetime:
    """What is older than this may be removed."""
    return now - timedelta(days=settings.AUDIT_DAYS)


def prune(before: datetime, *, now: datetime) -> int:
    """Remove the oldest events up to the first one that is not older than `before`. Returns how many.

    Never what is younger than AUDIT_DAYS, whatever `before` says. A checkpoint and an event of their own stay behind,
    so that the rest still verifies.
    """
    before = min(before, oldest_kept(now))
    with transaction.atomic():
        audit.take_turn()
        youngest = AuditEntry.objects.filter(at__gte=before).order_by("sequence").values_list("sequence", flat=True)
        end = youngest.first()
        old = AuditEntry.objects.all() if end is None else AuditEntry.objects.filter(sequence__lt=end)
        last = old.order_by("-sequence").first()
        if last is None:
            return 0
        count = old.filter(sequence__lte=last.sequence).count()
        AuditCheckpoint.objects.create(sequence=last.sequence, hash=last.hash, made_at=now)
        audit.record(Event.AUDIT_PRUNED, now=now, through=last.sequence, last_hash=last.hash, events=count)
        AuditEntry.objects.filter(sequence__lte=last.sequence).delete()
    return count


def look_after(now: datetime) -> None:
    """Remove what is old enough, and write the head of the log to the process's own log: kept elsewhere, it is an
    anchor.
    """
    removed = prune(oldest_kept(now), now=now)
    if removed:
        logger.info("Audit log: %s events were older than %s days, and removed", removed, settings.AUDIT_DAYS)
    sequence, found = audit.head()
    logger.info("Audit log: head %s:%s", sequence, found)
