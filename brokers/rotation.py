"""Moving every stored secret under the newest key, while everything else goes on.

Ciphertext is read and written as it stands in the database, past the models. Nothing needs to be remembered between
two runs: what is under the newest key already is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from django.apps import apps
from django.apps.registry import Apps
from django.db import transaction
from django.db.models import Model, QuerySet, TextField, Value
from django.db.models.functions import Cast

from brokers import vault
from brokers.models import KeyProof
from brokers.vault import StrictEncryptedTextField

# How often the tables are gone through at most. The second time finds everything done, unless somebody else still
# writes under an older key.
PASSES = 5


class Column(NamedTuple):
    model: type[Model]
    name: str


class Place(NamedTuple):
    """Where an unreadable secret stands; never what stands there."""

    table: str
    pk: Any
    column: str

    def __str__(self) -> str:
        return f"{self.table}, row {self.pk}, {self.column}"


@dataclass
class Tally:
    """What one walk over the tables found: `under` counts secrets by key, everything else counts rows."""

    seen: int = 0
    old: int = 0
    rewritten: int = 0
    under: Counter[str] = field(default_factory=Counter)
    unreadable: list[Place] = field(default_factory=list)


class Step(NamedTuple):
    """One batch further: the table it was in, and everything found on this walk so far."""

    table: str
    walk: int
    tally: Tally


def encrypted_columns(registry: Apps = apps) -> list[Column]:
    """Every encrypted column there is, each once, those of one table together."""
    return [
        Column(model, column.name)
        for model in registry.get_models(include_auto_created=True)
        if not model._meta.proxy  # its rows are another model's
        for column in model._meta.local_concrete_fields
        if isinstance(column, StrictEncryptedTextField)
    ]


def survey(*, batch: int) -> Iterator[Step]:
    """Look at every secret and change none."""
    yield from _walk(batch, 1, rewrite=False)


def rotate(*, batch: int) -> Iterator[Step]:
    """Bring every secret under the newest key; a Step per batch, of which the last tells how it ended.

    One transaction per batch: killed at any time, it loses nothing and is simply begun again. Old keys must be in the
    ring until it ends. It walks until a whole walk finds nothing under an older key; only then the older keys' proofs
    go, and only if every secret could be read. A last Step with rows still `old` means that somebody writes under an
    older key.
    """
    for walk in range(1, PASSES + 1):
        tally = Tally()
        for step in _walk(batch, walk, rewrite=True):
            tally = step.tally
            yield step
        if not tally.old:
            break
    if not tally.old and not tally.unreadable:
        KeyProof.objects.exclude(key_id=vault.newest_key()).delete()


def _walk(batch: int, walk: int, *, rewrite: bool) -> Iterator[Step]:
    tally = Tally()
    for model, columns in groupby(encrypted_columns(), key=lambda column: column.model):
        names = [column.name for column in columns]
        after: Any = None
        while rows := _page(model, names, after, batch):
            after = rows[-1][0]
            old = {pk: stale for pk, *texts in rows if (stale := _stale(model, pk, names, texts, tally))}
            tally.seen += len(rows)
            tally.old += len(old)
            if rewrite and old:
                tally.rewritten += _rewrite(model, old)
            yield Step(model._meta.db_table, walk, tally)


def _page(model: type[Model], names: list[str], after: Any, batch: int) -> list[tuple[Any, ...]]:
    """The next rows by primary key: the key, and the ciphertext of each column."""
    rows = _rows(model).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    return list(rows.values_list("pk", *(_raw(name) for name in names))[:batch])


def _stale(
    model: type[Model], pk: Any, names: list[str], texts: list[str | None], tally: Tally
) -> dict[str, tuple[str, str]]:
    """Of one row the columns under an older key: their ciphertext, and a new one. Counts what it sees."""
    stale = {}
    for name, ciphertext in zip(names, texts, strict=True):
        if ciphertext is None:
            continue
        try:
            key_id, secret = vault.opened(ciphertext)
        except vault.DecryptionFailed:
            tally.unreadable.append(Place(model._meta.db_table, pk, name))
            continue
        tally.under[key_id] += 1
        if key_id != vault.newest_key():
            stale[name] = (ciphertext, vault.encrypt(secret))
    return stale


def _rewrite(model: type[Model], rows: dict[Any, dict[str, tuple[str, str]]]) -> int:
    """Replace ciphertexts; return the number of rows. A row that says something newer by now is left as it is.

    A batch never waits for rows that others hold, lest the two wait for each other; those are waited for singly.
    """
    with transaction.atomic():
        free = _rows(model).select_for_update(skip_locked=True, no_key=True).filter(pk__in=rows)
        unheld = set(free.values_list("pk", flat=True))
        changed = sum(_replace(model, pk, rows[pk]) for pk in unheld)
    return changed + sum(_replace(model, pk, stale) for pk, stale in rows.items() if pk not in unheld)


def _replace(model: type[Model], pk: Any, stale: dict[str, tuple[str, str]]) -> int:
    unchanged = _rows(model).alias(**{f"raw_{name}": _raw(name) for name in stale})
    unchanged = unchanged.filter(pk=pk, **{f"raw_{name}": old for name, (old, _) in stale.items()})
    changed: int = unchanged.update(**{name: Value(new, TextField()) for name, (_, new) in stale.items()})
    return changed


def _rows(model: type[Model]) -> QuerySet[Any]:
    """All rows: a manager may hide some."""
    return QuerySet(model)


def _raw(name: str) -> Cast:
    """The column's text as the database holds it."""
    return Cast(name, TextField())
