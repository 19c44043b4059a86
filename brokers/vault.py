"""Secrets at rest: encrypted columns that fail loudly, bound to their row, and the proof that the keys fit.

`django-encrypted-model-fields` swallows a wrong key and hands out the ciphertext as if it were the secret, decrypts
what users type, and corrupts rows in `bulk_update`. The subclass here does none of these. The keys come from
`FIELD_ENCRYPTION_KEY` in settings: the first encrypts, all can read. A key is named by its fingerprint, never shown.

What is encrypted carries, under the same signature, the place that it was written for: a ciphertext that was copied to
another row or column cannot be read there. docs/adr/0012-ciphertext-bound-to-its-row.md.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldError
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import AutoField, Model, TextField
from encrypted_model_fields.fields import EncryptedTextField

from brokers.secret import Secret

PROOF = "trademaster"
# Stands before what is bound: neither this version nor an older one takes the other's for its own.
BOUND = "bound:"
# Between the place and the secret. No context has one, nor had a secret of the older form.
SEPARATOR = "\0"
# For what is encrypted outside the tables by who cannot say where it will stand.
ANYWHERE = ""


class DecryptionFailed(Exception):
    """Something stored is under a key that is not in FIELD_ENCRYPTION_KEYS; `missing` are fingerprints, where known."""

    def __init__(self, missing: Iterable[str] = ()) -> None:
        names = ", ".join(sorted(missing))
        if names:
            reason = f"FIELD_ENCRYPTION_KEYS lacks the key {names}, and secrets in this database stand under it. "
            super().__init__(f"{reason}Put back the key; it may follow a newer one, after a comma.")
        else:
            reason = "A stored secret cannot be read with the keys in FIELD_ENCRYPTION_KEYS. "
            super().__init__(f"{reason}Put back the key that wrote it.")


class Misplaced(DecryptionFailed):
    """The ciphertext is genuine and was written for another place: somebody moved it."""

    def __init__(self) -> None:
        Exception.__init__(
            self,
            "A stored secret was written for another row or column than the one it stands in. Find out who changed the "
            "database; then have it entered anew.",
        )


class NotBound(DecryptionFailed):
    """A ciphertext of the older form, which any row could hold."""

    def __init__(self) -> None:
        Exception.__init__(
            self, "A stored secret is in the form of an older version, bound to no row. Run `manage.py migrate`."
        )


class Unplaced(FieldError):
    """A secret on its way into the database, or out of it, without the row that it belongs to."""


class Place(NamedTuple):
    """Where a secret stands; never what stands there. `row` are the values that its row is known by."""

    table: str
    column: str
    row: tuple[str, ...]

    @property
    def context(self) -> str:
        return msgspec.json.encode([self.table, self.column, *self.row]).decode()

    def __str__(self) -> str:
        return f"{self.table}, row {', '.join(self.row)}, {self.column}"


class PlacedSecret(Secret):
    """A secret that knows where it stands, or is to stand."""

    __slots__ = ("place",)

    def __init__(self, secret: Secret, place: Place) -> None:
        super().__init__(secret.reveal())
        self.place = place


class Sealed:
    """A ciphertext as read from the database. Only its row can open it: `values_list` hands out this, and no more."""

    __slots__ = ("_ciphertext",)

    def __init__(self, ciphertext: str) -> None:
        self._ciphertext = ciphertext

    def open(self, place: Place) -> PlacedSecret:
        """Raises DecryptionFailed."""
        return PlacedSecret(decrypt(self._ciphertext, place.context), place)

    def reveal(self) -> NoReturn:
        raise Unplaced("A secret that was read without its row cannot be opened: read it as an attribute of its row.")

    def __repr__(self) -> str:
        return "Sealed(…)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a sealed secret is not pickled: pass the id of the row that holds it")


class OpenedByItsRow:
    """The attribute of an encrypted column: what the database held is opened when asked for, by the row it stands in.

    So one secret that cannot be read spoils no query, and nobody but who asks for it learns of it.
    """

    def __init__(self, column: StrictEncryptedTextField) -> None:
        self.field = column

    def __get__(self, row: Model | None, model: type[Model] | None = None) -> Any:
        if row is None:
            return self
        name = self.field.attname
        if name not in row.__dict__:  # deferred: read past the model, because another copy of the row would open it
            stored = type(row)._base_manager.using(row._state.db).filter(pk=row.pk)
            row.__dict__[name] = stored.values_list(name, flat=True).get()
        value = row.__dict__[name]
        if not isinstance(value, Secret | Sealed):
            return value
        place = self.field.place_in(row)
        if isinstance(value, Sealed):
            if place is None:
                value.reveal()
            value = value.open(place)
        elif place is not None and getattr(value, "place", None) != place:
            value = PlacedSecret(value, place)
        row.__dict__[name] = value
        return value

    def __set__(self, row: Model, value: Any) -> None:
        row.__dict__[self.field.attname] = Secret(value) if isinstance(value, str) else value


if TYPE_CHECKING:
    # The library carries no types; what this column reads and writes is said by those who own one.
    EncryptedBase = TextField[Secret | str | None, Any]
else:
    EncryptedBase = EncryptedTextField


class StrictEncryptedTextField(EncryptedBase):
    """An encrypted text column; NULL stays NULL. Python sees a `Secret`, the database sees ciphertext.

    `belongs_to` names the columns that a row is known by for ever, from before it is first written: by default its
    primary key. A value can be read in that row alone: as an attribute of it. Reading it raises DecryptionFailed, where
    no key fits, or Misplaced. `save`, `bulk_create` and `bulk_update` know the row; `update()` is told it by `placed`.
    Every lookup but `isnull` is refused: ciphertext differs each time, and comparing it would silently find nothing.
    """

    descriptor_class = OpenedByItsRow
    non_db_attrs = (*TextField.non_db_attrs, "belongs_to")

    def __init__(self, *args: Any, belongs_to: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.belongs_to = tuple(belongs_to)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if self.belongs_to:
            kwargs["belongs_to"] = self.belongs_to
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        found: list[checks.CheckMessage] = super().check(**kwargs)
        if any(isinstance(owner, AutoField) for owner in self._owners()):
            found.append(
                checks.Error(
                    "An encrypted column must be bound to what its row is known by before it is first written.",
                    hint="Name the columns of a unique constraint in `belongs_to`, or take a UUID for the primary key.",
                    obj=self,
                    id="brokers.E003",
                )
            )
        return found

    def _owners(self) -> list[Any]:
        meta = self.model._meta
        return [meta.get_field(name) for name in self.belongs_to] or [meta.pk]

    @property
    def owner_names(self) -> list[str]:
        """The attributes that a row is known by."""
        return [owner.attname for owner in self._owners()]

    def place(self, values: Iterable[Any]) -> Place | None:
        """The place in the row that is known by `values`; None where it is not known yet."""
        known = [owner.to_python(value) for owner, value in zip(self._owners(), values, strict=True)]
        if any(value is None for value in known):
            return None
        return Place(self.model._meta.db_table, str(self.column), tuple(map(str, known)))

    def place_in(self, row: Model) -> Place | None:
        return self.place(getattr(row, name) for name in self.owner_names)

    def from_db_value(self, value: str | None, expression: Any, connection: Any, *args: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def to_python(self, value: Any) -> Any:
        """Wrap plain text. Never decrypts: what a user types may be a stolen ciphertext."""
        return value if value is None or isinstance(value, Secret) else Secret(str(value))

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None or hasattr(value, "as_sql"):  # an expression encrypts its own values: bulk_update's CASE
            return value
        place = getattr(value, "place", None)
        if place is None or place[:2] != (self.model._meta.db_table, self.column):
            raise Unplaced(f"{self} does not know whose secret this is: save its row, or name it by `vault.placed`.")
        return encrypt(value, place.context)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError("Encrypted columns cannot be searched.")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: Any) -> str:
        """Serializers (dumpdata) get nothing: a fixture must not hold a secret."""
        return ""

    def formfield(self, **kwargs: Any) -> None:
        """No form shows it, the admin's included."""
        return None


def placed(row: Model, column: str, secret: Secret | None) -> PlacedSecret | None:
    """The secret for this row's column: what `update()` needs to be told. Raises Unplaced for a row not known yet."""
    field = row._meta.get_field(column)
    assert isinstance(field, StrictEncryptedTextField)  # noqa: S101 - no other column holds a secret
    if secret is None:
        return None
    place = field.place_in(row)
    if place is None:
        raise Unplaced(f"This row of {field} is not known by anything yet.")
    return PlacedSecret(secret, place)


def open_all(row: Model) -> None:
    """Open every secret of a row that is to be saved as another: a ciphertext is read in its own place alone."""
    for field in row._meta.concrete_fields:
        if isinstance(field, StrictEncryptedTextField):
            getattr(row, field.attname)


def is_empty(row: Model, column: str) -> bool:
    """Whether a column holds nothing, without opening what it holds; of a deferred one the database is asked."""
    if column in row.__dict__:
        return row.__dict__[column] is None
    return bool(type(row)._base_manager.filter(**{"pk": row.pk, f"{column}__isnull": True}).exists())


def encrypt(secret: Secret, context: str = ANYWHERE) -> str:
    """`context` says where it will stand: it can be read by who says the same, and by nobody else."""
    if SEPARATOR in context:
        raise ValueError("a context has no NUL")
    return BOUND + _locked(f"{context}{SEPARATOR}{secret.reveal()}")


def decrypt(ciphertext: str, context: str = ANYWHERE) -> Secret:
    """Raises DecryptionFailed; Misplaced where it was encrypted with another context."""
    return opened(ciphertext, context)[1]


def opened(ciphertext: str, context: str = ANYWHERE) -> tuple[str, Secret]:
    """Read a secret and the fingerprint of the key that it stands under. Raises DecryptionFailed."""
    if not ciphertext.startswith(BOUND):
        _unlocked(ciphertext)  # what no key reads is told as such
        raise NotBound
    key_id, content = _unlocked(ciphertext.removeprefix(BOUND))
    written_for, secret = _parted(content)
    if written_for != context:
        raise Misplaced
    return key_id, secret


def bound(ciphertext: str, context: str) -> str:
    """An older version's ciphertext, bound to its place. For the migration alone. Raises DecryptionFailed."""
    return encrypt(_unlocked(ciphertext)[1], context)


def unbound(ciphertext: str, context: str) -> str:
    """The way back. Raises DecryptionFailed."""
    return _locked(decrypt(ciphertext, context).reveal())


def _parted(content: Secret) -> tuple[str | None, Secret]:
    """The context, None where there is none, and the secret. In plain only here, where nothing is raised."""
    context, separator, secret = content.reveal().partition(SEPARATOR)
    return context if separator else None, Secret(secret)


def _locked(text: str) -> str:
    return _keys()[newest_key()].encrypt(text.encode()).decode()


def _unlocked(token: str) -> tuple[str, Secret]:
    for key_id, key in _keys().items():
        try:
            return key_id, Secret(key.decrypt(token.encode()).decode())
        except InvalidToken:
            continue
    raise DecryptionFailed from None


def packed(secrets: Mapping[str, Secret]) -> Secret | None:
    """Several named secrets as one column's value."""
    if not secrets:
        return None
    return Secret(msgspec.json.encode({name: secret.reveal() for name, secret in secrets.items()}).decode())


def unpacked(secret: Secret | None) -> dict[str, Secret]:
    """The named secrets that `packed` put together."""
    if secret is None:
        return {}
    return {name: Secret(value) for name, value in msgspec.json.decode(secret.reveal(), type=dict[str, str]).items()}


def key_ids() -> list[str]:
    """The fingerprints of the keys in FIELD_ENCRYPTION_KEYS, the newest first."""
    return list(_keys())


def varieties() -> dict[str, int]:
    """How many different bytes each key has, by its fingerprint."""
    return {_fingerprint(key): len(set(urlsafe_b64decode(key))) for key in settings.FIELD_ENCRYPTION_KEY}


def newest_key() -> str:
    """The fingerprint of the key that encrypts."""
    return key_ids()[0]


def prove_keys() -> None:
    """Show that the keys can read what this database holds, and leave a proof of the newest for those who come after.

    Every key that secrets may stand under has its proof: from the first start with a new key on, no process starts
    without it. `rotation.rotate` takes the older proofs away. A proof is no secret, and bound to nothing. Raises
    DecryptionFailed, naming what keys are missing.
    """
    from brokers.models import KeyProof

    proofs = list(KeyProof.objects.all())
    missing = {proof.key_id for proof in proofs if proof.key_id} - set(_keys())
    if missing:
        raise DecryptionFailed(missing)
    found = {proof: _unlocked(proof.ciphertext) for proof in proofs}
    if any(word != Secret(PROOF) or proof.key_id not in ("", key_id) for proof, (key_id, word) in found.items()):
        raise DecryptionFailed
    proven = {proof.key_id for proof in proofs}
    # An older installation has one proof, without a name, and does not say which of its keys are in use: all may be.
    unproven = key_ids() if "" in proven else [key_id for key_id in key_ids()[:1] if key_id not in proven]
    if unproven:
        with transaction.atomic():
            KeyProof.objects.filter(key_id="").delete()
            for key_id in unproven:  # several processes may be here at once
                ciphertext = _keys()[key_id].encrypt(PROOF.encode()).decode()
                KeyProof.objects.get_or_create(key_id=key_id, defaults={"ciphertext": ciphertext})


def prove_keys_or_exit() -> None:
    """Where a process starts that will use secrets: go on with proven keys, or end with one line on standard error."""
    try:
        prove_keys()
    except DecryptionFailed as error:
        raise SystemExit(str(error)) from None
    except DatabaseError as error:
        raise SystemExit(
            f"The encryption keys cannot be proven: is the database up, and migrated? ({type(error).__name__})"
        ) from None
    finally:
        close_old_connections()  # this thread may never ask the database again


def _keys() -> dict[str, Fernet]:
    return _key_ring(tuple(settings.FIELD_ENCRYPTION_KEY))


@lru_cache(maxsize=4)
def _key_ring(keys: tuple[str, ...]) -> dict[str, Fernet]:
    """Keys by fingerprint."""
    return {_fingerprint(key): Fernet(key) for key in keys}


def _fingerprint(key: str) -> str:
    """16 hexadecimal digits of the SHA-256 of the key's bytes, which can be spelt in two ways."""
    return sha256(urlsafe_b64decode(key)).hexdigest()[:16]
