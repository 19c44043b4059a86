"""The audit log: append-only, and each event holds the hash of the one before it.

An event and the change that it tells of are one transaction. Writers take turns by a lock that they hold until their
commit, so call `record` last in a transaction, and never with a broker call after it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts import origin
from accounts.events import Event
from accounts.models import ActorKind, AuditCheckpoint, AuditEntry, User

# What the first event of all links to.
GENESIS = "0" * 64
# The advisory lock of whoever appends; the number means nothing.
TURN = 4_815_162_342
# Integers that every reader of JSON reads exactly.
LARGEST = 2**53

Plain = str | int | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something to be recorded: `subject` is the id of whom it concerns, `thing` the kind and id of what."""

    event: Event
    subject: int | None = None
    thing: tuple[str, object] | None = None
    details: Mapping[str, Plain] = field(default_factory=dict)


def record(
    event: Event,
    *,
    subject: User | int | None = None,
    actor: User | None = None,
    thing: tuple[str, object] | None = None,
    now: datetime | None = None,
    **details: Plain,
) -> None:
    """Append one event, in the transaction of the change it tells of.

    `actor`: whoever is signed in with the present request where none is given, else the house itself. `details` are
    strings, integers, truth values and lists or mappings of them. Raises TypeError for anything else, a Secret above
    all.
    """
    whom = subject.pk if isinstance(subject, User) else subject
    record_all([Happened(event=event, subject=whom, thing=thing, details=details)], actor=actor, now=now)


def record_all(happened: Collection[Happened], *, actor: User | None = None, now: datetime | None = None) -> None:
    """`record` for several at once."""
    if not happened:
        return
    at, address = now or timezone.now(), origin.address() or ""
    for one in happened:
        _refuse_odd(one.details)
    with transaction.atomic():
        take_turn()
        last, previous = head()
        rows = []
        for sequence, one in enumerate(happened, last + 1):
            kind, actor_id = _actor(actor, one.subject)
            object_kind, object_id = one.thing or ("", "")
            row = AuditEntry(
                sequence=sequence,
                at=at,
                event=one.event.value,
                actor=kind,
                actor_id=actor_id,
                subject_id=one.subject,
                object_kind=object_kind,
                object_id=str(object_id),
                address=address,
                details=_plain(one.details),
                previous=previous,
            )
            row.hash = previous = hash_of(row)
            rows.append(row)
        AuditEntry.objects.bulk_create(rows)


def take_turn() -> None:
    """Wait until nobody else appends; held until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TURN])


def head() -> tuple[int, str]:
    """Number and hash of the last event, also where it has been pruned; (0, GENESIS) where there is none yet."""
    columns = ("sequence", "hash")
    return (
        AuditEntry.objects.order_by("-sequence").values_list(*columns).first()
        or AuditCheckpoint.objects.order_by("-sequence").values_list(*columns).first()
        or (0, GENESIS)
    )


def hash_of(row: AuditEntry) -> str:
    """The hash that belongs to a row: SHA-256 of its canonical bytes, in lower-case hex."""
    return sha256(canonical(plain(row))).hexdigest()


def plain(row: AuditEntry) -> dict[str, Any]:
    """A row as what is hashed and exported: every column but the hash, in these words and no others."""
    return {
        "sequence": row.sequence,
        "at": row.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "event": row.event,
        "actor": row.actor,
        "actor_id": row.actor_id,
        "subject_id": row.subject_id,
        "object_kind": row.object_kind,
        "object_id": row.object_id,
        "address": row.address,
        "details": row.details,
        "previous": row.previous,
    }


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one way to write a JSON document: RFC 8785, of which our values need only the easy half.

    UTF-8; members sorted by name (all ASCII); no white space; integers in decimal; in strings only `"`, `\\` and
    control characters escaped, as \\b \\t \\n \\f \\r or \\u00xx.
    """
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _actor(actor: User | None, subject: int | None) -> tuple[ActorKind, int | None]:
    who = actor or origin.asking_user()
    if who is not None:
        is_support = who.is_staff and subject is not None and subject != who.pk
        return (ActorKind.SUPPORT if is_support else ActorKind.USER), who.pk
    return (ActorKind.STRANGER if origin.is_asked() else ActorKind.SYSTEM), None


def _refuse_odd(value: object) -> None:
    """Raises TypeError for what two readers of JSON could read differently, and for what should not be told."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not (isinstance(name, str) and name.isascii()) or name == "hash":
                raise TypeError("Names in the audit log are ASCII, and none is `hash`: the row's own must be found.")
            _refuse_odd(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_odd(inner)
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > LARGEST:
            raise TypeError("Integers in the audit log have at most 53 bits.")
    elif value is not None and not isinstance(value, str | bool):
        raise TypeError(f"The audit log holds no {type(value).__name__}.")


def _plain(value: Any) -> Any:
    """A copy as the database gives it back: no NUL, no half characters, no tuples."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return str(value).replace("\x00", "").encode("utf-8", "replace").decode()
    return value
