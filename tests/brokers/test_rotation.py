"""Key rotation: killed at any time nothing is lost, whoever writes meanwhile wins, and a wrong key starts nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import models, transaction
from django.test.utils import isolate_apps
from django.utils import timezone
from pytest_django import Settings

from accounts.alert_models import AlertRoute, Way
from accounts.models import User
from brokers import rotation, services, vault
from brokers.alert_models import AlertWebhook
from brokers.models import BrokerApp, BrokerConnection, KeyProof, LoginReminder
from brokers.secret import Secret
from brokers.vault import StrictEncryptedTextField
from tests.brokers.keys import (
    NEW,
    ROOT,
    connections,
    environment,
    manage,
    rotate_here,
    run,
    tokens,
    under,
    under_the_newest,
    write_raw,
)
from tests.conftest import let_tables_be_emptied

ROWS = 2000


@pytest.fixture
def old(db: None, settings: Settings) -> str:
    """The one key of an installation that has started under it."""
    vault.prove_keys()
    [key] = settings.FIELD_ENCRYPTION_KEY
    return str(key)


@pytest.fixture
def both(old: str, settings: Settings) -> list[str]:
    """The installation has been restarted with a new key before the old one."""
    settings.FIELD_ENCRYPTION_KEY = [NEW, old]
    vault.prove_keys()
    return [NEW, old]


class TestProcesses:
    pytestmark = pytest.mark.django_db(transaction=True)

    def test_killed_half_way_and_resumed_every_token_is_readable(
        self, alice: User, old: str, settings: Settings
    ) -> None:
        connections(alice, ROWS)
        written = tokens()
        rotate = manage("rotate_keys", "--batch", "20")
        with subprocess.Popen(
            rotate, cwd=ROOT, env=environment(NEW, old), stdout=subprocess.PIPE, text=True
        ) as rotating:
            assert rotating.stdout is not None
            next(line for line in rotating.stdout if "20 re-encrypted" in line)
            rotating.kill()
        settings.FIELD_ENCRYPTION_KEY = [NEW, old]
        done = under_the_newest()
        assert 0 < done < ROWS
        assert tokens() == written
        for key in (NEW, old):  # half-way either alone would leave rows unreadable
            refused = run(rotate, key)
            assert refused.returncode == 1
            assert "lacks the key" in refused.stderr

        resumed = run(rotate, NEW, old)
        assert resumed.returncode == 0, resumed.stderr
        assert f"{ROWS:,} rows, of which {ROWS - done:,} were re-encrypted." in resumed.stdout
        settings.FIELD_ENCRYPTION_KEY = [NEW]
        assert tokens() == written
        alone = run(manage("rotate_keys", "--check"), NEW)
        assert (alone.returncode, alone.stderr) == (0, "")
        assert f"{ROWS + ROWS // 2:,} secrets" in alone.stdout
        assert run(rotate, old).returncode == 1

    def test_logins_while_it_rotates_are_not_lost(self, alice: User, both: list[str]) -> None:
        rows = connections(alice, 300)
        expected = {row.account_id: f"access {row.account_id}" for row in rows}
        over, logged_in = Event(), count()

        def log_in() -> None:
            try:
                while not over.is_set():
                    number = next(logged_in)
                    row = rows[number * 7 % len(rows)]
                    row.access_token_encrypted = Secret(f"login {number}")
                    row.save(update_fields=["access_token_encrypted"])
                    expected[row.account_id] = f"login {number}"
            finally:
                database.close()

        trader = Thread(target=log_in)
        trader.start()
        try:
            rotated = run(manage("rotate_keys", "--batch", "10"), *both)
        finally:
            over.set()
            trader.join()
        assert rotated.returncode == 0, rotated.stderr
        assert {account: access for account, (access, _) in tokens().items()} == expected
        assert under_the_newest() == len(rows)
        assert next(logged_in) > len(rows)

    def test_a_token_being_written_is_waited_for_and_kept(self, alice: User, both: list[str], old: str) -> None:
        held, other = connections(alice, 2)
        for row in (held, other):
            write_raw(row, under(old, row, "yesterday's"))
        writing = Event()

        def log_in() -> None:
            try:
                with transaction.atomic():
                    held.access_token_encrypted = Secret("today's")
                    held.save(update_fields=["access_token_encrypted"])
                    writing.set()
                    wait_until_somebody_waits()
            finally:
                database.close()

        trader = Thread(target=log_in)
        trader.start()
        assert writing.wait(10)
        rotate_here()
        trader.join()
        assert {row.access_token_encrypted for row in BrokerConnection.objects.all()} == {
            Secret("today's"),
            Secret("yesterday's"),
        }
        assert under_the_newest() == 2

    def test_processes_that_start_at_once_leave_one_proof_per_key(self, old: str) -> None:
        KeyProof.objects.update(key_id="")
        check = manage("check", "--database", "default")
        starting = [subprocess.Popen(check, cwd=ROOT, env=environment(NEW, old), text=True) for _ in range(4)]
        assert [process.wait(60) for process in starting] == [0, 0, 0, 0]
        assert KeyProof.objects.count() == 2
        assert run(check, old).returncode == 1

    CELERY = [sys.executable, "-m", "celery", "-A", "trademaster"]

    @pytest.mark.parametrize(
        "command",
        [
            [sys.executable, "-m", "trademaster.local.web", "--port", "0"],
            [*CELERY, "worker", "-P", "threads", "-c", "1"],
            [*CELERY, "beat", "--schedule", "{directory}/beat", "--pidfile="],
            manage("check", "--database", "default"),
            manage("migrate"),
            manage("rotate_keys"),
        ],
        ids=["web", "worker", "beat", "check", "migrate", "rotate_keys"],
    )
    def test_a_wrong_key_is_one_clear_line(self, command: list[str], old: str, tmp_path: Path) -> None:
        fingerprint = vault.newest_key()
        ended = run([part.format(directory=tmp_path) for part in command], NEW)
        assert ended.returncode == 1, ended.stdout + ended.stderr
        [line] = [line for line in ended.stderr.splitlines() if "FIELD_ENCRYPTION_KEYS" in line]
        assert f"lacks the key {fingerprint}" in line
        assert "Put back the key" in line
        if "manage.py" not in command or "rotate_keys" in command:  # Django frames what its checks find
            assert ended.stderr.splitlines() == [line]
        assert "Traceback" not in ended.stdout + ended.stderr
        assert NEW not in ended.stdout + ended.stderr
        assert old not in ended.stdout + ended.stderr


def wait_until_somebody_waits() -> None:
    with database.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return


class TestProofs:
    def test_no_process_starts_without_the_newest_key_any_more(
        self, both: list[str], old: str, settings: Settings
    ) -> None:
        settings.FIELD_ENCRYPTION_KEY = [old]
        with pytest.raises(vault.DecryptionFailed, match="lacks the key"):
            vault.prove_keys()
        settings.FIELD_ENCRYPTION_KEY = [old, NEW]  # in any order: both can read
        vault.prove_keys()
        assert KeyProof.objects.count() == 2

    def test_a_new_key_may_be_handed_out_before_it_is_used(self, old: str, settings: Settings) -> None:
        settings.FIELD_ENCRYPTION_KEY = [old, NEW]
        vault.prove_keys()
        settings.FIELD_ENCRYPTION_KEY = [old]
        vault.prove_keys()

    def test_the_proof_of_an_older_installation_gets_its_name(self, old: str, settings: Settings) -> None:
        fingerprint = vault.newest_key()
        KeyProof.objects.all().delete()
        proof = Fernet(old).encrypt(vault.PROOF.encode()).decode()
        KeyProof.objects.create(pk=1, key_id="", ciphertext=proof)
        settings.FIELD_ENCRYPTION_KEY = [NEW]
        with pytest.raises(vault.DecryptionFailed, match="Put back the key"):
            vault.prove_keys()
        settings.FIELD_ENCRYPTION_KEY = [NEW, old]
        vault.prove_keys()
        assert set(KeyProof.objects.values_list("key_id", flat=True)) == {fingerprint, vault.newest_key()}

    def test_all_keys_of_an_older_installation_count_as_used(self, old: str, settings: Settings) -> None:
        """Its one proof is of its oldest key, and its rows may stand under any."""
        KeyProof.objects.update(key_id="")
        settings.FIELD_ENCRYPTION_KEY = [NEW, Fernet.generate_key().decode(), old]
        vault.prove_keys()
        settings.FIELD_ENCRYPTION_KEY = [NEW, old]
        with pytest.raises(vault.DecryptionFailed):
            vault.prove_keys()

    def test_a_key_is_known_however_it_is_spelt(self, old: str, settings: Settings) -> None:
        key = Fernet.generate_key().decode().replace("A", "-")
        settings.FIELD_ENCRYPTION_KEY = [key, key.replace("-", "+").replace("_", "/")]
        assert len(vault.key_ids()) == 1


@pytest.fixture
def everywhere(alice: User, old: str) -> dict[type[models.Model], models.Model]:
    """A row of each table with secrets, every encrypted column of it filled, under the old key."""
    rows: list[models.Model] = [
        BrokerApp(user=alice, broker_type="zerodha"),
        BrokerConnection(user=alice, broker_type="zerodha", account_id="A1"),
        LoginReminder(user=alice),
        AlertWebhook(
            route=AlertRoute.objects.create(user=alice, way=Way.WEBHOOK, name="Hers", created_at=timezone.now()),
            host="hooks.example",
        ),
    ]
    filled = {type(row): row for row in rows}
    for column in rotation.encrypted_columns():
        setattr(filled[column.model], column.name, Secret(f"{column.model.__name__} {column.name}"))
    for row in rows:
        row.save()
    return filled


class TestColumns:
    def test_every_table_and_column_is_moved(
        self, everywhere: dict[type[models.Model], models.Model], old: str, settings: Settings
    ) -> None:
        settings.FIELD_ENCRYPTION_KEY = [NEW, old]
        rotate_here()
        settings.FIELD_ENCRYPTION_KEY = [NEW]
        for column in rotation.encrypted_columns():
            row = column.model._default_manager.get(pk=everywhere[column.model].pk)
            assert getattr(row, column.name) == Secret(f"{column.model.__name__} {column.name}")

    def test_the_database_has_no_encrypted_column_that_is_forgotten(self, db: None) -> None:
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE column_name LIKE %s",
                ["%\\_encrypted"],
            )
            there = set(cursor.fetchall())
        found = {(column.model._meta.db_table, column.name) for column in rotation.encrypted_columns()}
        assert found == there
        assert len(there) >= 7

    def test_a_new_column_is_found_wherever_it_is_declared(self) -> None:
        with isolate_apps("brokers") as registry:

            class Shared(models.Model):
                pin_encrypted = StrictEncryptedTextField()

                class Meta:
                    app_label = "brokers"
                    abstract = True

            class Parent(Shared):  # noqa: DJ008
                class Meta:
                    app_label = "brokers"

            class Child(Parent):  # noqa: DJ008
                seed_encrypted = StrictEncryptedTextField(null=True)

                class Meta:
                    app_label = "brokers"

            class Another(Child):  # noqa: DJ008
                class Meta:
                    app_label = "brokers"
                    proxy = True

            assert rotation.encrypted_columns(registry) == [(Parent, "pin_encrypted"), (Child, "seed_encrypted")]
        assert Parent not in apps.get_models()


def test_after_a_lost_key_the_documents_words_clear_the_way(
    everywhere: dict[type[models.Model], models.Model], alice: User, settings: Settings
) -> None:
    settings.FIELD_ENCRYPTION_KEY = [NEW]
    [statements] = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    with database.cursor() as cursor:
        cursor.execute(statements)
    assert "nothing to rotate to" in rotate_here()
    services.store_app(user=alice, broker_type="zerodha", fields={"api_key": "new", "api_secret": "new"})
    [connection] = BrokerConnection.objects.all()
    assert (connection.pk, connection.status) == (everywhere[BrokerConnection].pk, "TOKEN_EXPIRED")
    assert connection.access_token_encrypted is None


class TestCommand:
    def test_a_row_that_no_key_reads_is_named_and_holds_nothing_else_up(self, alice: User, both: list[str]) -> None:
        _, spoilt, *_ = rows = connections(alice, 5)
        foreign = Fernet(Fernet.generate_key()).encrypt(b"lost").decode()
        write_raw(spoilt, foreign)
        output = StringIO()
        with pytest.raises(CommandError, match="1 secrets cannot be read"):
            call_command("rotate_keys", stdout=output, stderr=output)
        line = f"No key reads: broker_connections, row {spoilt.pk}, access_token_encrypted"
        assert output.getvalue().count(line) == 1
        assert foreign not in output.getvalue()
        assert KeyProof.objects.count() == 2
        write_raw(spoilt, under(both[0], spoilt, "mended"))
        assert under_the_newest() == len(rows)  # its other column was moved as well

    def test_what_was_moved_or_is_bound_to_nothing_is_named_and_not_made_good(
        self, alice: User, both: list[str], old: str
    ) -> None:
        """A rotation must not bind what somebody planted."""
        giver, taker, unbound = connections(alice, 3)
        planted = {taker: under(old, giver, "moved"), unbound: Fernet(old).encrypt(b"from a backup").decode()}
        for row, text in planted.items():
            write_raw(row, text)
        output = StringIO()
        with pytest.raises(CommandError, match="2 secrets cannot be read"):
            call_command("rotate_keys", stdout=output, stderr=output)
        assert f"Written for another row or column: broker_connections, row {taker.pk}" in output.getvalue()
        assert f"Bound to no row: broker_connections, row {unbound.pk}" in output.getvalue()
        with database.cursor() as cursor:
            cursor.execute("SELECT access_token_encrypted FROM broker_connections")
            assert set(planted.values()) <= {text for (text,) in cursor.fetchall()}

    def test_with_one_key_there_is_nothing_to_rotate_to(self, alice: User, old: str) -> None:
        connections(alice, 3)
        assert "nothing to rotate to" in rotate_here()
        write_raw(BrokerConnection.objects.defer("access_token_encrypted")[0], "junk")
        with pytest.raises(CommandError, match="cannot be read"):
            rotate_here()

    def test_check_counts_and_changes_nothing(self, alice: User, old: str, settings: Settings) -> None:
        connections(alice, 3)
        fingerprint = vault.newest_key()
        settings.FIELD_ENCRYPTION_KEY = [NEW, old]
        told = rotate_here(check=True)
        assert f"key {fingerprint}: 4 secrets" in told
        assert f"key {vault.newest_key()}: 0 secrets" in told
        assert under_the_newest() == 0

    def test_a_finished_rotation_names_the_key_that_may_go(self, alice: User, old: str, settings: Settings) -> None:
        fingerprint = vault.newest_key()
        connections(alice, 3)
        settings.FIELD_ENCRYPTION_KEY = [NEW, old]
        told = rotate_here(batch=2)
        assert "broker_connections: 2 rows seen, 2 re-encrypted, 0 skipped" in told
        assert told.splitlines()[-1] == f"Done. May be taken out of FIELD_ENCRYPTION_KEYS: {fingerprint}."
        settings.FIELD_ENCRYPTION_KEY = [NEW]
        vault.prove_keys()

    def test_a_process_that_still_writes_under_the_old_key_is_told_of(
        self, alice: User, both: list[str], old: str
    ) -> None:
        [row] = connections(alice, 1)

        def interrupted() -> Iterator[rotation.Step]:
            for step in rotation.rotate(batch=500):
                if step.table == "broker_connections":
                    write_raw(row, under(old, row, "stale"))
                yield step

        write_raw(row, under(old, row, "stale"))
        *_, last = interrupted()
        assert (last.walk, last.tally.old) == (rotation.PASSES, 1)
        assert KeyProof.objects.count() == 2

    @pytest.mark.parametrize("batch", ["0", "-1"])
    def test_a_batch_has_rows(self, batch: str) -> None:
        with pytest.raises(CommandError, match="at least 1"):
            call_command("rotate_keys", "--batch", batch)


@pytest.mark.parametrize("prove", [vault.prove_keys, rotate_here])
def test_no_key_is_ever_shown(prove: Callable[[], object], both: list[str], settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
    with pytest.raises((vault.DecryptionFailed, CommandError)) as caught:
        prove()
    assert not any(key in str(caught.value) for key in [*both, *settings.FIELD_ENCRYPTION_KEY])


class TestBindingAnOlderInstallation:
    """The migration: what stands in the form of an older version is bound to its row."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture
    def older(self, alice: User, old: str) -> list[BrokerConnection]:
        """Rows as the version before wrote them."""
        rows = connections(alice, 25)
        BrokerApp.objects.create(
            user=alice, broker_type="zerodha", api_key_encrypted=Secret("key"), api_secret_encrypted=Secret("secret")
        )
        *_, last = rotation.unbind(apps, batch=500)
        assert last.tally.old == 0
        with database.cursor() as cursor:
            cursor.execute("SELECT access_token_encrypted FROM broker_connections")
            assert all(Fernet(old).decrypt(text).startswith(b"access ") for (text,) in cursor.fetchall())
        return rows

    def test_it_is_read_by_nobody_before_and_by_its_row_afterwards(self, older: list[BrokerConnection]) -> None:
        with pytest.raises(vault.NotBound, match="Run `manage"):
            tokens()
        *_, last = rotation.bind(apps, batch=10)
        assert (last.walk, last.tally.old, last.tally.unreadable) == (2, 0, [])
        assert tokens()["3"] == ("access 3", "refresh 3")
        assert BrokerApp.objects.get().credentials.api_secret == Secret("secret")

    def test_killed_half_way_it_is_begun_again(self, older: list[BrokerConnection]) -> None:
        steps = rotation.bind(apps, batch=10)
        while next(steps).tally.rewritten < 11:
            continue
        steps.close()
        with pytest.raises(vault.NotBound):
            tokens()
        first, *_ = [step for step in rotation.bind(apps, batch=500) if step.table == "broker_connections"]
        assert first.tally.rewritten < len(older)
        assert len(tokens()) == len(older)

    def test_migrate_does_it_and_undoes_it(self, older: list[BrokerConnection]) -> None:
        call_command("migrate", "brokers", "0004", verbosity=0)
        try:
            lost, *_ = older
            write_raw(lost, "junk")
        finally:
            call_command("migrate", verbosity=0)
            let_tables_be_emptied()  # tables that were made anew among them
        assert BrokerConnection.objects.get(pk=older[1].pk).access_token_encrypted == Secret("access 1")
        with pytest.raises(vault.DecryptionFailed):
            tokens()

    def test_an_older_version_makes_nothing_of_what_is_bound(self, alice: User, old: str) -> None:
        """It would send the place with the token to the broker."""
        assert connections(alice, 1)
        with database.cursor() as cursor:
            cursor.execute("SELECT access_token_encrypted FROM broker_connections")
            [(text,)] = cursor.fetchall()
        with pytest.raises(InvalidToken):
            Fernet(old).decrypt(text)


@pytest.mark.parametrize("command", [["manage.py", "check"], ["-m", "trademaster.local.web", "--port", "1"]])
@pytest.mark.parametrize("keys", [None, "not a key"])
def test_a_missing_or_malformed_key_is_one_line_too(command: list[str], keys: str | None) -> None:
    changed = {name: value for name, value in os.environ.items() if name != "FIELD_ENCRYPTION_KEYS"}
    if keys is not None:
        changed["FIELD_ENCRYPTION_KEYS"] = keys
    ended = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=changed, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    [line] = ended.stderr.strip().splitlines()
    assert line.startswith("FIELD_ENCRYPTION_KEYS")
