"""Encrypted columns: a wrong key is loud, a secret is never shown, and no row gets another row's secret."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connection as database
from django.db import models, transaction
from django.db.models import F, Max, Value
from django.test.utils import isolate_apps
from django.utils import timezone
from encrypted_model_fields.fields import EncryptedTextField
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from brokers import vault
from brokers.models import BrokerApp, BrokerConnection, ConnectionChange, KeyProof
from brokers.secret import Secret
from brokers.vault import DecryptionFailed, Misplaced, NotBound, StrictEncryptedTextField, Unplaced

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
    assert stored(app).startswith("bound:gAAAA")
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
            reread(app)
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
    def test_a_proof_of_something_else_is_none(self, key_id: str | None, db: None, settings: Settings) -> None:
        spoilt = vault.newest_key() if key_id is None else key_id
        [key] = settings.FIELD_ENCRYPTION_KEY
        KeyProof.objects.create(key_id=spoilt, ciphertext=Fernet(key).encrypt(b"another house").decode())
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
        tokens = [row.access_token_encrypted for row in BrokerConnection.objects.order_by("account_id")]
        assert [token and token.reveal() for token in tokens] == [None, "new 1", "new 2", "new 3", "new 4"]

    def test_bulk_update_leaves_ciphertext_in_the_database(self, app: BrokerApp) -> None:
        app.api_secret_encrypted = Secret("another")
        BrokerApp.objects.bulk_update([app], ["api_secret_encrypted"])
        assert stored(app).startswith("bound:gAAAA")
        assert reread(app) == "another"

    def test_update_is_told_the_row(self, app: BrokerApp) -> None:
        secret = vault.placed(app, "api_secret_encrypted", Secret("updated"))
        BrokerApp.objects.update(api_secret_encrypted=secret)
        assert stored(app).startswith("bound:gAAAA")
        assert reread(app) == "updated"

    @pytest.mark.parametrize(
        "value",
        [Secret("plain"), "plain", Value("plain", output_field=StrictEncryptedTextField())],
        ids=["secret", "text", "expression"],
    )
    def test_without_its_row_nothing_is_written(self, value: object, app: BrokerApp) -> None:
        before = stored(app)
        with pytest.raises(Unplaced), transaction.atomic():
            BrokerApp.objects.update(api_secret_encrypted=value)
        assert stored(app) == before

    def test_nor_is_what_belongs_to_another_column(self, app: BrokerApp) -> None:
        with pytest.raises(Unplaced):
            BrokerApp.objects.update(api_secret_encrypted=BrokerApp.objects.get(pk=app.pk).api_key_encrypted)

    def test_a_row_that_is_known_by_nothing_yet_has_no_place(self) -> None:
        with pytest.raises(Unplaced):
            vault.placed(BrokerApp(broker_type="zerodha"), "api_key_encrypted", Secret(KEY))

    def test_a_secret_taken_over_from_another_row_becomes_this_rows_own(self, app: BrokerApp, bob: User) -> None:
        other = BrokerApp.objects.create(
            user=bob,
            broker_type="zerodha",
            api_key_encrypted=app.api_key_encrypted,
            api_secret_encrypted=app.api_key_encrypted,
        )
        assert reread(other) == KEY

    def test_a_typed_ciphertext_is_not_decrypted(self, app: BrokerApp) -> None:
        stolen = stored(app)
        app.api_secret_encrypted = StrictEncryptedTextField().to_python(stolen)  # type: ignore[assignment]
        app.full_clean(exclude=["user", "extra_encrypted"])
        app.save()
        assert reread(app) == stolen


class TestBinding:
    """A ciphertext that was copied elsewhere, by who can write to the database, is worth nothing there."""

    @pytest.fixture
    def rows(self, alice: User, bob: User) -> list[BrokerConnection]:
        return BrokerConnection.objects.bulk_create(
            BrokerConnection(
                user=user,
                broker_type="zerodha",
                account_id="A1",
                access_token_encrypted=Secret(f"access of {user}"),
                refresh_token_encrypted=Secret(f"refresh of {user}"),
            )
            for user in (alice, bob)
        )

    def sql(self, statement: str, *parameters: object) -> None:
        with database.cursor() as cursor:
            cursor.execute(statement, parameters)
            assert cursor.rowcount == 1

    def read(self, row: BrokerConnection) -> str:
        return str(BrokerConnection.objects.get(pk=row.pk).access_token_encrypted.reveal())  # type: ignore[union-attr]

    def test_in_another_row(self, rows: list[BrokerConnection]) -> None:
        alices, bobs = rows
        self.sql(
            "UPDATE broker_connections SET access_token_encrypted = "
            "(SELECT access_token_encrypted FROM broker_connections WHERE id = %s) WHERE id = %s",
            alices.pk,
            bobs.pk,
        )
        with pytest.raises(Misplaced, match="another row or column") as caught:
            self.read(bobs)
        assert "access of" not in str(caught.value)
        assert self.read(alices) == "access of alice"

    def test_in_another_column(self, rows: list[BrokerConnection]) -> None:
        self.sql(
            "UPDATE broker_connections SET access_token_encrypted = refresh_token_encrypted WHERE id = %s", rows[0].pk
        )
        with pytest.raises(Misplaced):
            self.read(rows[0])
        assert self.read(rows[1]) == "access of bob"

    @pytest.mark.parametrize("change", ["user_id", "broker_type"])
    def test_in_a_row_that_was_given_to_somebody_else(
        self, change: str, rows: list[BrokerConnection], mallory: User
    ) -> None:
        value = mallory.pk if change == "user_id" else "upstox"
        self.sql(f"UPDATE broker_connections SET {change} = %s WHERE id = %s", value, rows[0].pk)  # noqa: S608
        with pytest.raises(Misplaced):
            self.read(rows[0])

    def test_in_an_app_that_was_given_to_somebody_else(self, app: BrokerApp, mallory: User) -> None:
        self.sql("UPDATE broker_apps SET user_id = %s WHERE id = %s", mallory.pk, app.pk)
        with pytest.raises(Misplaced):
            reread(app)

    def test_by_way_of_a_query(self, app: BrokerApp) -> None:
        BrokerApp.objects.update(api_secret_encrypted=F("api_key_encrypted"))
        with pytest.raises(Misplaced):
            reread(app)

    def test_an_old_ciphertext_that_was_bound_to_nothing_is_not_believed(
        self, app: BrokerApp, settings: Settings
    ) -> None:
        """From a backup of an older version: reading it at any time would undo the binding."""
        [key] = settings.FIELD_ENCRYPTION_KEY
        old = Fernet(key).encrypt(SECRET.encode()).decode()
        for text, failure in ((old, NotBound), (f"bound:{old}", Misplaced)):
            self.sql("UPDATE broker_apps SET api_secret_encrypted = %s WHERE id = %s", text, app.pk)
            with pytest.raises(failure):
                reread(app)

    @pytest.mark.parametrize(
        "read",
        [
            lambda rows: rows.values_list("api_secret_encrypted", flat=True)[0],
            lambda rows: rows.values("api_secret_encrypted")[0]["api_secret_encrypted"],
            lambda rows: rows.aggregate(one=Max("api_secret_encrypted"))["one"],
            lambda rows: rows.annotate(one=F("api_secret_encrypted"))[0].one,
        ],
        ids=["values_list", "values", "aggregate", "annotate"],
    )
    def test_read_without_its_row_it_stays_closed(self, read: Callable[[Any], Any], app: BrokerApp) -> None:
        found = read(BrokerApp.objects.all())
        with pytest.raises(Unplaced, match="without its row"):
            found.reveal()
        assert repr(found) == str(found) == "Sealed(…)"
        for take in (pickle.dumps, copy.copy, copy.deepcopy, vars):
            with pytest.raises(TypeError):
                take(found)

    def test_what_is_deferred_is_opened_by_its_own_row(
        self, rows: list[BrokerConnection], django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        row = BrokerConnection.objects.without_secrets().get(pk=rows[0].pk)
        with django_assert_num_queries(1):
            assert row.access_token_encrypted == row.access_token_encrypted == Secret("access of alice")

    def test_so_is_what_is_read_alone_or_through_another_row(self, rows: list[BrokerConnection], bob: User) -> None:
        alone = BrokerConnection.objects.only("access_token_encrypted").get(pk=rows[1].pk)
        assert alone.access_token_encrypted == Secret("access of bob")
        alone.refresh_from_db(fields=["refresh_token_encrypted"])
        assert alone.refresh_token_encrypted == Secret("refresh of bob")
        change = ConnectionChange.objects.create(
            broker_connection=rows[1], to_status="ERROR", actor="CALL", at=timezone.now()
        )
        joined = ConnectionChange.objects.select_related("broker_connection").get(pk=change.pk)
        assert joined.broker_connection.access_token_encrypted == Secret("access of bob")
        [raw] = BrokerConnection.objects.raw("SELECT * FROM broker_connections WHERE user_id = %s", [bob.pk])
        assert raw.access_token_encrypted == Secret("access of bob")

    def test_whether_there_is_one_is_known_without_opening_it(
        self, rows: list[BrokerConnection], settings: Settings
    ) -> None:
        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
        assert BrokerConnection.objects.get(pk=rows[0].pk).has_session
        assert BrokerConnection.objects.without_secrets().get(pk=rows[0].pk).has_session
        BrokerConnection.objects.update(access_token_encrypted=None)
        assert not BrokerConnection.objects.without_secrets().get(pk=rows[0].pk).has_session

    def test_outside_the_tables_a_context_does_the_same(self) -> None:
        ciphertext = vault.encrypt(Secret("state"), "login of alice")
        assert vault.decrypt(ciphertext, "login of alice") == Secret("state")
        for other in ("login of bob", ""):
            with pytest.raises(Misplaced):
                vault.decrypt(ciphertext, other)
        assert vault.decrypt(vault.encrypt(Secret("a\0b"))) == Secret("a\0b")
        with pytest.raises(ValueError, match="no NUL"):
            vault.encrypt(Secret("state"), "login\0of alice")

    def test_a_column_that_could_not_be_bound_is_an_error(self) -> None:
        with isolate_apps("brokers"):

            class Numbered(models.Model):  # noqa: DJ008
                pin_encrypted = StrictEncryptedTextField()

                class Meta:
                    app_label = "brokers"

            class Known(models.Model):  # noqa: DJ008
                name = models.TextField(unique=True)
                pin_encrypted = StrictEncryptedTextField(belongs_to=["name"])

                class Meta:
                    app_label = "brokers"

            assert [error.id for error in Numbered.check()] == ["brokers.E003"]
            assert Known.check() == []


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
