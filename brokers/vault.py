"""Secrets at rest: encrypted columns that fail loudly, and the proof that the keys fit.

`django-encrypted-model-fields` swallows a wrong key and hands out the ciphertext as if it were the secret, decrypts
what users type, and corrupts rows in `bulk_update`. The subclass here does none of these. The keys come from
`FIELD_ENCRYPTION_KEY` in settings: the first encrypts, all can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import DatabaseError
from django.db.models import TextField
from encrypted_model_fields.fields import EncryptedTextField

from brokers.secret import Secret

PROOF = "trademaster"


class DecryptionFailed(Exception):
    """A stored secret was written with a key that is not in FIELD_ENCRYPTION_KEYS."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret cannot be read with the keys in FIELD_ENCRYPTION_KEYS. Put back the key that wrote it."
        )


if TYPE_CHECKING:
    # The library carries no types; what this column reads and writes is said by those who own one.
    EncryptedBase = TextField[Secret | str | None, Any]
else:
    EncryptedBase = EncryptedTextField


class StrictEncryptedTextField(EncryptedBase):
    """An encrypted text column; NULL stays NULL. Python sees a `Secret`, the database sees ciphertext.

    Raises DecryptionFailed when read under a wrong key, and refuses every lookup but `isnull`: ciphertext differs each
    time, so that comparing it would silently find nothing.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any, *args: Any) -> Secret | None:
        return None if value is None else decrypt(value)

    def to_python(self, value: Any) -> Secret | None:
        """Wrap plain text. Never decrypts: what a user types may be a stolen ciphertext."""
        return value if value is None or isinstance(value, Secret) else Secret(str(value))

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None or hasattr(value, "as_sql"):  # an expression encrypts its own values: bulk_update's CASE
            return value
        return encrypt(value if isinstance(value, Secret) else Secret(str(value)))

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


def encrypt(secret: Secret) -> str:
    return _keys().encrypt(secret.reveal().encode()).decode()


def decrypt(ciphertext: str) -> Secret:
    """Raises DecryptionFailed."""
    try:
        return Secret(_keys().decrypt(ciphertext.encode()).decode())
    except InvalidToken:
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


def prove_keys() -> None:
    """Show that the keys can read what this database holds; on a new database, leave the proof for next time.

    Raises DecryptionFailed for a wrong key. Called wherever a process starts that will use secrets.
    """
    from brokers.models import KeyProof

    proof, _ = KeyProof.objects.get_or_create(pk=1, defaults={"ciphertext": encrypt(Secret(PROOF))})
    if decrypt(proof.ciphertext) != Secret(PROOF):
        raise DecryptionFailed


def keys_fit() -> bool | None:
    """Whether the keys can read this database; None where it cannot be asked yet (no tables, no database)."""
    try:
        prove_keys()
    except DecryptionFailed:
        return False
    except DatabaseError:
        return None
    return True


def _keys() -> MultiFernet:
    return _key_ring(tuple(settings.FIELD_ENCRYPTION_KEY))


@lru_cache(maxsize=4)
def _key_ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
