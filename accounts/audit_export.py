"""The audit log for readers outside: JSON lines that can be verified, and CSV that a spreadsheet can open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from accounts import audit
from accounts.models import AuditEntry

COLUMNS = (
    *("sequence", "at", "event", "actor", "actor_id", "subject_id", "object_kind", "object_id", "address", "details"),
    *("previous", "hash"),
)
# A spreadsheet takes a cell that begins so for a formula.
BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
PAGE = 2000


def events(rows: QuerySet[AuditEntry]) -> Iterator[dict[str, Any]]:
    """The rows, oldest first and a page at a time, as they are hashed, each with its hash."""
    after = 0
    while page := list(rows.filter(sequence__gt=after).order_by("sequence")[:PAGE]):
        yield from ({**audit.plain(row), "hash": row.hash} for row in page)
        after = page[-1].sequence


def json_lines(documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One event a line, in canonical form: without `"hash":"…",` a line's bytes are what that hash is of."""
    return (audit.canonical(document).decode() + "\n" for document in documents)


def csv_lines(documents: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """CSV with a heading; cells that a spreadsheet would execute begin with an apostrophe."""
    yield _line(columns)
    for document in documents:
        yield _line([defused(cell_of(document[name])) for name in columns])


def cell_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return audit.canonical(value).decode()  # type: ignore[arg-type]
    return str(value)


def defused(cell: str) -> str:
    """The cell, so that it is text to every spreadsheet; a mere number stays one, its minus sign included."""
    if not cell.startswith(BEGINS_A_FORMULA) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(cell: str) -> bool:
    whole, _, part = cell.removeprefix("-").partition(".")
    return whole.isascii() and whole.isdigit() and (not part or (part.isascii() and part.isdigit()))


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
