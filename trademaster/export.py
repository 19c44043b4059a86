"""A person's own data as a ZIP: each table as JSON lines and as CSV, read a page at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import msgspec
from django.db import connection, transaction

from accounts import audit
from accounts.audit_export import csv_lines
from accounts.events import Event
from accounts.models import ActorKind, User
from trademaster.privacy import HOLDINGS, Holding

PAGE = 1000
# What a small account's archive fits in; a larger one goes to a file that nobody else can open.
IN_MEMORY = 4 * 2**20
READ_ME = """Your account at TradeMaster, exported {at}.

Each part stands here twice: as JSON lines (.jsonl), exact, and as CSV for a spreadsheet, in which a cell that a
spreadsheet would take for a formula begins with an apostrophe. Times are UTC. Amounts are INR.

{parts}

Left out: passwords, tokens, API keys and secrets, which nobody may have, and
{left_out}
Lists of instruments are not yours, and not here.
"""


def export_account(user: User, *, actor: User | None = None, now: datetime) -> IO[bytes]:
    """The archive, open at its beginning, to be closed by whoever asked; deleted when it is. An event of its own."""
    audit.record(Event.ACCOUNT_EXPORTED, subject=user, actor=actor, now=now)
    file: IO[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - its reader closes it
    try:
        _write(file, user, now)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write(file: IO[bytes], user: User, now: datetime) -> None:
    with transaction.atomic(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        _one_state()
        archive.writestr("README.txt", _read_me(now))
        for holding in HOLDINGS:
            if not holding.not_exported:
                _add(archive, f"{holding.name}.jsonl", _json_lines(holding, user.pk))
                _add(archive, f"{holding.name}.csv", csv_lines(_texts(holding, user.pk), holding.columns))


def _one_state() -> None:
    """Every part as of the same moment; within somebody else's transaction it is theirs."""
    if not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _add(archive: zipfile.ZipFile, name: str, lines: Iterable[str]) -> None:
    with archive.open(name, "w") as part:
        for line in lines:
            part.write(line.encode())


def _rows(holding: Holding, user_id: int) -> Iterator[dict[str, Any]]:
    rows, after = holding.rows(user_id), None
    while page := list((rows if after is None else rows.filter(pk__gt=after)).values("pk", *holding.columns)[:PAGE]):
        after = page[-1]["pk"]
        yield from ({name: row[name] for name in holding.columns} for row in map(_without_staff, page))


def _without_staff(row: dict[str, Any]) -> dict[str, Any]:
    """Where staff sat when they looked at the account is theirs."""
    return {**row, "address": ""} if row.get("actor") == ActorKind.SUPPORT else row


def _json_lines(holding: Holding, user_id: int) -> Iterator[str]:
    return (msgspec.json.encode(row, enc_hook=str).decode() + "\n" for row in _rows(holding, user_id))


def _texts(holding: Holding, user_id: int) -> Iterator[dict[str, Any]]:
    return (msgspec.to_builtins(row, enc_hook=str) for row in _rows(holding, user_id))


def _read_me(now: datetime) -> str:
    parts = "\n".join(f"{row.name}: {row.words}" for row in HOLDINGS if not row.not_exported)
    left_out = "\n".join(f"{row.name}: {row.not_exported}." for row in HOLDINGS if row.not_exported)
    return READ_ME.format(at=f"{now:%Y-%m-%d %H:%M} UTC", parts=parts, left_out=left_out)
