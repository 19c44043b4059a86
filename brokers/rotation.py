"""Moving every stored secret under the newest key, while everything else goes on.

Ciphertext is read and written as it stands in the database, past the models. Nothing needs to be remembered between
two runs: what is under the newest key already is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from django.apps import apps
from django.apps.registry import Apps
from django.contrib.postgres.fields import ArrayField
from django.db import transaction
from django.db.models import Expression, F, Func, JSONField, Model, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from accounts import audit
from accounts.events import Event
from brokers import vault
from brokers.models import KeyProof
from brokers.vault import Place, StrictEncryptedTextField

# How often the tables are gone through at most. The second time finds everything done, unless somebody else still
# writes under an older key.
PASSES = 5


class Column(NamedTuple):
    """A column that is one ciphertext."""

    model: type[Model]
    name: str

    @property
    def field(self) -> StrictEncryptedTextField:
        found = self.model._meta.get_field(self.name)
        assert isinstance(found, StrictEncryptedTextField)  # noqa: S101 - so it was found
        return found

    @property
    def alias(self) -> str:
        return f"raw_{self.name}"

    @property
    def owner_names(self) -> list[str]:
        return self.field.owner_names

    def place(self, row: Mapping[str, Any]) -> Place | None:
        return self.field.place(row[name] for name in self.owner_names)

    def text(self) -> Expression:
        """The ciphertext, as the database holds it."""
        return Cast(self.name, TextField())

    def written(self, ciphertext: str) -> Expression:
        """What the column becomes."""
        return Value(ciphertext, TextField())


class InsideJson(NamedTuple):
    """A ciphertext under one key of a JSON column, of a table that is not ours; where the key is missing, none.

    Its place names the column alone: whoever encrypts there is not told the row.
    """

    model: type[Model]
    name: str
    key: str

    @property
    def alias(self) -> str:
        return f"raw_{self.name}_{self.key}"

    @property
    def owner_names(self) -> list[str]:
        return []

    def place(self, row: Mapping[str, Any]) -> Place:
        return Place(self.model._meta.db_table, self.name, ())

    def text(self) -> Expression:
        return KeyTextTransform(self.key, self.name)

    def written(self, ciphertext: str) -> Expression:
        path = Cast(Value(f"{{{self.key}}}"), ArrayField(TextField()))
        return Func(F(self.name), path, Value(ciphertext, JSONField()), function="jsonb_set", output_field=JSONField())


# What can make a user's one-time codes: trademaster.factors encrypts it.
INSIDE_JSON = (("mfa.Authenticator", "data", "secret"), ("mfa.Authenticator", "data", "seed"))


class Unreadable(NamedTuple):
    """Where a secret stands that cannot be read, and why; never what stands there."""

    table: str
    pk: Any
    column: str
    why: str

    def __str__(self) -> str:
        return f"{self.why}: {self.table}, row {self.pk}, {self.column}"


@dataclass
class Tally:
    """What one walk over the tables found: `under` counts secrets by key, everything else counts rows."""

    seen: int = 0
    old: int = 0
    rewritten: int = 0
    under: Counter[str] = field(default_factory=Counter)
    unreadable: list[Unreadable] = field(default_factory=list)


AnyColumn = Column | InsideJson
# Of one row, by column: its ciphertext, and another for it.
Stale = dict[AnyColumn, tuple[str, str]]


class Step(NamedTuple):
    """One batch further: the table it was in, and everything found on this walk so far."""

    table: str
    walk: int
    tally: Tally


# What is to become of a ciphertext in its place: the fingerprint of the key it stands under, and the new ciphertext, or
# None where it may stay. Raises DecryptionFailed.
Treatment = Callable[[str, Place], tuple[str, str | None]]
# Batch by batch; then how the last walk ended, and how many rows all of them wrote.
Walks = Generator[Step, None, tuple[Tally, int]]


def encrypted_columns(registry: Apps = apps) -> list[Column]:
    """Every encrypted column there is, each once, those of one table together."""
    return [
        Column(model, column.name)
        for model in registry.get_models(include_auto_created=True)
        if not model._meta.proxy  # its rows are another model's
        for column in model._meta.local_concrete_fields
        if isinstance(column, StrictEncryptedTextField)
    ]


def everywhere() -> list[AnyColumn]:
    """All that is kept under the keys, table by table."""
    return [*encrypted_columns(), *(InsideJson(apps.get_model(label), name, key) for label, name, key in INSIDE_JSON)]


def survey(*, batch: int) -> Iterator[Step]:
    """Look at every secret and change none."""
    yield from _walk(everywhere(), batch, 1, _under_the_newest, rewrite=False)


def rotate(*, batch: int) -> Iterator[Step]:
    """Bring every secret under the newest key; a Step per batch, of which the last tells how it ended.

    One transaction per batch: killed at any time, it loses nothing and is simply begun again. Old keys must be in the
    ring until it ends. It walks until a whole walk finds nothing under an older key; only then the older keys' proofs
    go, and only if every secret could be read. A last Step with rows still `old` means that somebody writes under an
    older key.
    """
    tally, rewritten = yield from _walks(everywhere(), batch, _under_the_newest)
    is_done = not tally.old and not tally.unreadable
    with transaction.atomic():
        if is_done:
            KeyProof.objects.exclude(key_id=vault.newest_key()).delete()
        audit.record(Event.KEYS_ROTATED, key=vault.newest_key(), secrets=rewritten, done=is_done)


def bind(registry: Apps, *, batch: int) -> Walks:
    """Bind every secret of an older version to its row: for the migration. As safe to kill and to begin again.

    Only that reads the older form: were it read at any time, an old ciphertext could be planted in any row.
    """
    return _walks(encrypted_columns(registry), batch, _bound)


def unbind(registry: Apps, *, batch: int) -> Walks:
    """The way back to an older version."""
    return _walks(encrypted_columns(registry), batch, _unbound)


def _under_the_newest(ciphertext: str, place: Place) -> tuple[str, str | None]:
    key_id, secret = vault.opened(ciphertext, place.context)
    return key_id, None if key_id == vault.newest_key() else vault.encrypt(secret, place.context)


def _bound(ciphertext: str, place: Place) -> tuple[str, str | None]:
    is_done = ciphertext.startswith(vault.BOUND)
    return vault.newest_key(), None if is_done else vault.bound(ciphertext, place.context)


def _unbound(ciphertext: str, place: Place) -> tuple[str, str | None]:
    is_bound = ciphertext.startswith(vault.BOUND)
    return vault.newest_key(), vault.unbound(ciphertext, place.context) if is_bound else None


def _walks(columns: Sequence[AnyColumn], batch: int, treatment: Treatment) -> Walks:
    """Walk until a whole walk finds nothing to do."""
    tally, rewritten = Tally(), 0
    for walk in range(1, PASSES + 1):
        tally = Tally()
        for step in _walk(columns, batch, walk, treatment, rewrite=True):
            tally = step.tally
            yield step
        rewritten += tally.rewritten
        if not tally.old:
            break
    return tally, rewritten


def _walk(
    columns: Sequence[AnyColumn], batch: int, walk: int, treatment: Treatment, *, rewrite: bool
) -> Iterator[Step]:
    tally = Tally()
    for model, group in groupby(columns, key=lambda column: column.model):
        of_model = list(group)
        after: Any = None
        while rows := _page(model, of_model, after, batch):
            after = rows[-1]["pk"]
            old = {row["pk"]: stale for row in rows if (stale := _stale(of_model, row, treatment, tally))}
            tally.seen += len(rows)
            tally.old += len(old)
            if rewrite and old:
                tally.rewritten += _rewrite(model, old)
            yield Step(model._meta.db_table, walk, tally)


def _page(model: type[Model], columns: Sequence[AnyColumn], after: Any, batch: int) -> list[dict[str, Any]]:
    """The next rows by primary key: the key, what they are known by, and the ciphertext of each column by its alias."""
    rows = _rows(model).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    owners = {name for column in columns for name in column.owner_names}
    return list(rows.values("pk", *owners, **{column.alias: column.text() for column in columns})[:batch])


def _stale(columns: Sequence[AnyColumn], row: dict[str, Any], treatment: Treatment, tally: Tally) -> Stale:
    """Of one row the columns to be rewritten: their ciphertext, and a new one. Counts what it sees."""
    stale: Stale = {}
    for column in columns:
        ciphertext, place = row[column.alias], column.place(row)
        if ciphertext is None or place is None:
            continue
        try:
            key_id, renewed = treatment(ciphertext, place)
        except vault.DecryptionFailed as failure:
            tally.unreadable.append(Unreadable(place.table, row["pk"], column.name, WHY.get(type(failure), NO_KEY)))
            continue
        tally.under[key_id] += 1
        if renewed is not None:
            stale[column] = (ciphertext, renewed)
    return stale


NO_KEY = "No key reads"
WHY = {vault.Misplaced: "Written for another row or column", vault.NotBound: "Bound to no row"}


def _rewrite(model: type[Model], rows: dict[Any, Stale]) -> int:
    """Replace ciphertexts; return the number of rows. A row that says something newer by now is left as it is.

    A batch never waits for rows that others hold, lest the two wait for each other; those are waited for singly.
    """
    with transaction.atomic():
        free = _rows(model).select_for_update(skip_locked=True, no_key=True).filter(pk__in=rows)
        unheld = set(free.values_list("pk", flat=True))
        changed = sum(_replace(model, pk, rows[pk]) for pk in unheld)
    return changed + sum(_replace(model, pk, stale) for pk, stale in rows.items() if pk not in unheld)


def _replace(model: type[Model], pk: Any, stale: Stale) -> int:
    unchanged = _rows(model).alias(**{column.alias: column.text() for column in stale})
    unchanged = unchanged.filter(pk=pk, **{column.alias: old for column, (old, _) in stale.items()})
    changed: int = unchanged.update(**{column.name: column.written(new) for column, (_, new) in stale.items()})
    return changed


def _rows(model: type[Model]) -> QuerySet[Any]:
    """All rows: a manager may hide some."""
    return QuerySet(model)
