"""Secrets at rest: encrypted columns that fail loudly, and the proof that the keys fit.

`django-encrypted-model-fields` swallows a wrong key and hands out the ciphertext as if it were the secret, decrypts
what users type, and corrupts rows in `bulk_update`. The subclass here does none of these. The keys come from
`FIELD_ENCRYPTION_KEY` in settings: the first encrypts, all can read. A key is named by its fingerprint, never shown.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import TextField
from encrypted_model_fields.fields import EncryptedTextField

from brokers.secret import Secret

PROOF = "trademaster"


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
    return _keys()[newest_key()].encrypt(secret.reveal().encode()).decode()


def decrypt(ciphertext: str) -> Secret:
    """Raises DecryptionFailed."""
    return opened(ciphertext)[1]


def opened(ciphertext: str) -> tuple[str, Secret]:
    """Read a secret and the fingerprint of the key that it stands under. Raises DecryptionFailed."""
    for key_id, key in _keys().items():
        try:
            return key_id, Secret(key.decrypt(ciphertext.encode()).decode())
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


def newest_key() -> str:
    """The fingerprint of the key that encrypts."""
    return key_ids()[0]


def prove_keys() -> None:
    """Show that the keys can read what this database holds, and leave a proof of the newest for those who come after.

    Every key that secrets may stand under has its proof: from the first start with a new key on, no process starts
    without it. `rotation.rotate` takes the older proofs away. Raises DecryptionFailed, naming what keys are missing.
    """
    from brokers.models import KeyProof

    proofs = list(KeyProof.objects.all())
    missing = {proof.key_id for proof in proofs if proof.key_id} - set(_keys())
    if missing:
        raise DecryptionFailed(missing)
    found = {proof: opened(proof.ciphertext) for proof in proofs}
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
    """Keys by fingerprint: 16 hexadecimal digits of the SHA-256 of the key's bytes, which can be spelt in two ways."""
    return {sha256(urlsafe_b64decode(key)).hexdigest()[:16]: Fernet(key) for key in keys}
