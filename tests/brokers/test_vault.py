"""Encrypted columns: a wrong key is loud, a secret is never shown, and no row gets another row's secret."""

from __future__ import annotations

import pickle
import re
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connection as database
from django.db.models import F, Value
from encrypted_model_fields.fields import EncryptedTextField
from pytest_django import Settings

from accounts.models import User
from brokers import vault
from brokers.models import BrokerApp, BrokerConnection, KeyProof
from brokers.secret import Secret
from brokers.vault import DecryptionFailed, StrictEncryptedTextField

ROOT = Path(__file__).parents[2]
KEY, SECRET = "key-of-alice", "secret-of-alice"


@pytest.fixture
def app(alice: User) -> BrokerApp:
    return BrokerApp.objects.create(
        user=alice, broker_type="zerodha", api_key_encrypted=Secret(KEY), api_secret_encrypted=Secret(SECRET)
    )


def stored(app: BrokerApp) -> str:
    """What the database itself holds of the secret."""
    with database.cursor() as cursor:
        cursor.execute("SELECT api_secret_encrypted FROM broker_apps WHERE id = %s", [app.pk])
        return str(cursor.fetchone()[0])


def reread(app: BrokerApp) -> str:
    return BrokerApp.objects.get(pk=app.pk).api_secret_encrypted.reveal()


def test_the_database_holds_ciphertext_and_python_a_secret(app: BrokerApp) -> None:
    assert SECRET not in stored(app)
    assert stored(app).startswith("gAAAA")
    assert reread(app) == SECRET
    assert SECRET not in repr(BrokerApp.objects.get().__dict__)


def test_null_stays_null(alice: User) -> None:
    connection = BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="A1")
    connection.refresh_from_db()
    assert connection.access_token_encrypted is None
    assert BrokerConnection.objects.filter(access_token_encrypted__isnull=True).exists()


class TestKeys:
    def test_a_wrong_key_raises_and_shows_nothing(self, app: BrokerApp, settings: Settings) -> None:
        ciphertext = stored(app)
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
        with pytest.raises(DecryptionFailed) as caught:
            BrokerApp.objects.get(pk=app.pk)
        assert ciphertext not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_an_older_key_of_the_ring_still_reads(self, app: BrokerApp, settings: Settings) -> None:
        old = settings.FIELD_ENCRYPTION_KEY
        new = Fernet.generate_key().decode()
        settings.FIELD_ENCRYPTION_KEY = [new, *old]
        assert reread(app) == SECRET
        again = BrokerApp.objects.get(pk=app.pk)
        again.save()  # the first key writes
        settings.FIELD_ENCRYPTION_KEY = [new]
        assert reread(app) == SECRET

    def test_saving_under_a_wrong_key_cannot_encrypt_twice(self, app: BrokerApp, settings: Settings) -> None:
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
        with pytest.raises(DecryptionFailed):
            BrokerApp.objects.get(pk=app.pk).save()

    def test_the_proof_is_left_once_and_tells_a_wrong_key(self, db: None, settings: Settings) -> None:
        vault.prove_keys()
        proof = KeyProof.objects.get().ciphertext
        vault.prove_keys()
        assert KeyProof.objects.get().ciphertext == proof
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
        with pytest.raises(DecryptionFailed):
            vault.prove_keys()

    @pytest.mark.parametrize("key_id", ["", None, "0123456789abcdef"])
    def test_a_proof_of_something_else_is_none(self, key_id: str | None, db: None) -> None:
        spoilt = vault.newest_key() if key_id is None else key_id
        KeyProof.objects.create(key_id=spoilt, ciphertext=vault.encrypt(Secret("another house")))
        with pytest.raises(DecryptionFailed):
            vault.prove_keys()


class TestWriting:
    def test_bulk_update_keeps_every_rows_own_secret(self, alice: User) -> None:
        rows = BrokerConnection.objects.bulk_create(
            BrokerConnection(
                user=alice,
                broker_type="zerodha",
                account_id=str(number),
                access_token_encrypted=Secret(f"old {number}"),
            )
            for number in range(5)
        )
        for number, row in enumerate(rows):
            row.access_token_encrypted = Secret(f"new {number}") if number else None
        BrokerConnection.objects.bulk_update(rows, ["access_token_encrypted"])
        tokens = BrokerConnection.objects.order_by("account_id").values_list("access_token_encrypted", flat=True)
        assert [token and token.reveal() for token in tokens] == [None, "new 1", "new 2", "new 3", "new 4"]

    def test_bulk_update_leaves_ciphertext_in_the_database(self, app: BrokerApp) -> None:
        app.api_secret_encrypted = Secret("another")
        BrokerApp.objects.bulk_update([app], ["api_secret_encrypted"])
        assert stored(app).startswith("gAAAA")
        assert reread(app) == "another"

    def test_update_and_bulk_create_encrypt(self, app: BrokerApp) -> None:
        BrokerApp.objects.update(api_secret_encrypted=Secret("updated"))
        assert stored(app).startswith("gAAAA")
        assert reread(app) == "updated"

    def test_copying_a_column_copies_its_ciphertext(self, app: BrokerApp) -> None:
        BrokerApp.objects.update(api_secret_encrypted=F("api_key_encrypted"))
        assert reread(app) == KEY

    def test_a_typed_ciphertext_is_not_decrypted(self, app: BrokerApp) -> None:
        stolen = stored(app)
        app.api_secret_encrypted = StrictEncryptedTextField().to_python(stolen)  # type: ignore[assignment]
        app.full_clean(exclude=["user", "extra_encrypted"])
        app.save()
        assert reread(app) == stolen

    def test_a_plain_value_in_an_expression_is_encrypted_too(self, app: BrokerApp) -> None:
        BrokerApp.objects.update(api_secret_encrypted=Value("plain", output_field=StrictEncryptedTextField()))
        assert stored(app).startswith("gAAAA")
        assert reread(app) == "plain"


class TestShowing:
    @pytest.mark.parametrize("lookup", ["", "__exact", "__icontains", "__startswith", "__in", "__regex", "__gt"])
    def test_it_cannot_be_searched(self, lookup: str, db: None) -> None:
        with pytest.raises(FieldError):
            BrokerApp.objects.filter(
                **{f"api_secret_encrypted{lookup}": [SECRET] if lookup == "__in" else SECRET}
            ).exists()

    @pytest.mark.parametrize("form", ["json", "xml", "jsonl"])
    def test_dumpdata_holds_neither_secret_nor_ciphertext(self, form: str, app: BrokerApp) -> None:
        output = StringIO()
        call_command("dumpdata", "brokers", format=form, stdout=output)
        assert "zerodha" in output.getvalue()
        assert SECRET not in output.getvalue()
        assert KEY not in output.getvalue()
        assert stored(app) not in output.getvalue()

    def test_no_form_has_a_field_for_it(self) -> None:
        assert StrictEncryptedTextField().formfield() is None

    def test_a_secret_shows_nothing_of_itself(self) -> None:
        secret = Secret(SECRET)
        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret, repr([secret])]  # noqa: UP031
        assert not any(SECRET in text for text in shown)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)

    def test_secrets_compare_by_value_and_only_with_secrets(self) -> None:
        assert Secret("a") == Secret("a")
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert not Secret("")


def test_every_encrypted_column_of_the_house_is_a_strict_one() -> None:
    from django.apps import apps

    columns = [field for model in apps.get_models() for field in model._meta.get_fields()]
    assert {type(field) for field in columns if isinstance(field, EncryptedTextField)} == {StrictEncryptedTextField}


def test_the_locked_library_is_the_one_that_was_subclassed() -> None:
    """Another version may have changed what StrictEncryptedTextField overrides: read it before moving on."""
    locked = re.search(r"^django-encrypted-model-fields==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert locked[1] == version("django-encrypted-model-fields") == "0.6.5"
