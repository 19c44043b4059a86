"""The audit log: one unbroken chain, whoever writes at the same time, and no way to mend it unnoticed."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts import audit, audit_check, audit_export, hearing
from accounts.audit import GENESIS, Happened
from accounts.events import Event
from accounts.management.commands.demo_users import support_group
from accounts.models import ActorKind, AuditCheckpoint, AuditEntry, Role, User
from brokers.secret import Secret
from tests.conftest import signed_in
from tests.people import trader

NOW = datetime(2026, 11, 26, 4, 0, 0, 123456, tzinfo=UTC)
THREADS, EVENTS_EACH = 8, 40


def write(count: int, *, at: datetime = NOW, subject: User | int | None = None) -> None:
    for number in range(count):
        audit.record(Event.LIMIT_CHANGED, subject=subject, now=at + timedelta(minutes=number), number=number)


def tampered(statement: str, *values: object) -> None:
    """What somebody does who may do everything in the database, its triggers switched off."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = origin")


def verified_by_an_outsider(lines: str) -> str:
    """What the few lines of ADR 13, which know nothing of this house, say the last hash is. Raises AssertionError."""
    page = (Path(__file__).parents[2] / "docs" / "adr" / "0013-hash-chained-audit.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    known: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", StringIO(lines))
        exec(program, known)  # noqa: S102 - our own page
    return str(known["previous"])


def change_and_fail() -> None:
    trader("eve")
    write(2)
    trader("eve")


def broken() -> tuple[int, str] | None:
    found = audit_check.verify().broken
    return (found.sequence, found.code) if found else None


def events(**chosen: Any) -> list[str]:
    return list(AuditEntry.objects.filter(**chosen).order_by("sequence").values_list("event", flat=True))


class TestTheChain:
    def test_it_begins_with_zeros_and_each_event_holds_the_hash_before_it(self, db: None) -> None:
        write(3)
        first, second, third = AuditEntry.objects.order_by("sequence")
        assert [first.sequence, second.sequence, third.sequence] == [1, 2, 3]
        assert first.previous == GENESIS
        assert (second.previous, third.previous) == (first.hash, second.hash)
        assert broken() is None

    def test_the_hash_is_as_documented_byte_for_byte(self, db: None) -> None:
        audit.record(
            Event.LIMIT_CHANGED, subject=7, thing=("limit", "day"), now=NOW, words='a "ü" \n\x01₹', most=5, on=True
        )
        written = (
            '{"actor":"system","actor_id":null,"address":"","at":"2026-11-26T04:00:00.123456Z",'
            '"details":{"most":5,"on":true,"words":"a \\"ü\\" \\n\\u0001₹"},"event":"setting.limit",'
            '"object_id":"day","object_kind":"limit","previous":"' + "0" * 64 + '","sequence":1,"subject_id":7}'
        )
        assert AuditEntry.objects.get().hash == sha256(written.encode()).hexdigest()

    def test_an_outsider_can_verify_the_exported_lines(self, db: None) -> None:
        write(5)
        assert verified_by_an_outsider(exported("jsonl")) == audit.head()[1]

    def test_also_after_some_were_removed(self, db: None, settings: Settings) -> None:
        write(3, at=NOW - timedelta(days=settings.AUDIT_DAYS + 1))
        audit_check.prune(NOW, now=NOW)
        write(2)
        assert verified_by_an_outsider(exported("jsonl")) == audit.head()[1]

    @pytest.mark.parametrize("change", [("setting.limit", "setting.other"), ('"number":2', '"number":3')])
    def test_an_outsider_sees_a_change(self, change: tuple[str, str], db: None) -> None:
        write(4)
        lines = exported("jsonl").splitlines(keepends=True)
        lines[2] = lines[2].replace(*change)
        with pytest.raises(AssertionError):
            verified_by_an_outsider("".join(lines))

    def test_an_event_and_its_change_stand_or_fall_together(self, db: None) -> None:
        write(1)
        with pytest.raises(IntegrityError), transaction.atomic():
            change_and_fail()
        write(1)
        assert not User.objects.filter(username="eve").exists()
        assert list(AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)) == [1, 2]
        assert broken() is None

    @pytest.mark.parametrize(
        "odd", [1.5, Secret("s3cr3t"), b"x", 2**60, {1: "x"}, {"ü": "x"}, {"hash": "x"}, [object()]]
    )
    def test_what_must_not_be_told_or_can_be_read_in_two_ways_is_refused(self, odd: Any, db: None) -> None:
        with pytest.raises(TypeError) as refused:
            audit.record(Event.LIMIT_CHANGED, value=odd)
        assert "s3cr3t" not in str(refused.value)
        assert not AuditEntry.objects.exists()

    def test_half_characters_and_zero_bytes_come_back_as_they_were_hashed(self, db: None) -> None:
        audit.record(Event.LIMIT_CHANGED, words="a\x00b\ud800c")
        assert broken() is None

    @pytest.mark.django_db(transaction=True)
    def test_eight_writers_at_once_make_one_chain(self) -> None:
        def work(number: int) -> None:
            try:
                for step in range(EVENTS_EACH):
                    audit.record_all([Happened(event=Event.LIMIT_CHANGED, subject=number)] * (1 + step % 3))
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(THREADS)))
        written = sum(1 + step % 3 for step in range(EVENTS_EACH)) * THREADS
        verdict = audit_check.verify()
        assert verdict.broken is None
        assert (verdict.events, verdict.sequence) == (written, written)


class TestTheGuard:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit_events SET event = 'nothing'",
            "DELETE FROM audit_events",
            "UPDATE audit_checkpoints SET sequence = 3",
            "DELETE FROM audit_checkpoints",
            "INSERT INTO audit_checkpoints VALUES (2, 'made up', now())",
        ],
    )
    def test_the_database_refuses_every_change(self, statement: str, db: None, settings: Settings) -> None:
        write(2, at=NOW - timedelta(days=settings.AUDIT_DAYS + 1))
        audit_check.prune(NOW, now=NOW)
        write(2)
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
        assert broken() is None

    @pytest.mark.parametrize("table", ["audit_events", "audit_checkpoints", "connection_consents"])
    def test_it_cannot_be_emptied(self, table: str, db: None) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_no_truncate")
            with pytest.raises(IntegrityError), transaction.atomic():
                cursor.execute(f"TRUNCATE {table}")

    def test_the_models_own_ways_are_refused_too(self, db: None) -> None:
        write(1)
        row = AuditEntry.objects.get()
        with pytest.raises(IntegrityError), transaction.atomic():
            AuditEntry.objects.filter(pk=row.pk).update(event="nothing")
        with pytest.raises(IntegrityError), transaction.atomic():
            row.delete()


class TestVerifying:
    @pytest.fixture(autouse=True)
    def five(self, db: None) -> None:
        write(5)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("event", "session.login"),
            ("at", NOW - timedelta(days=1)),
            ("actor", "user"),
            ("actor_id", 7),
            ("subject_id", 7),
            ("object_kind", "x"),
            ("object_id", "x"),
            ("address", "192.0.2.1"),
            ("details", '{"number": 9}'),
        ],
    )
    def test_a_changed_event_is_found_whichever_column_it_is(self, column: str, value: object) -> None:
        tampered(f"UPDATE audit_events SET {column} = %s WHERE sequence = 3", value)  # noqa: S608
        assert broken() == (3, "event_changed")

    def test_a_changed_event_with_a_hash_that_fits_breaks_the_link_after_it(self) -> None:
        row = AuditEntry.objects.get(pk=3)
        row.event = "session.login"
        tampered("UPDATE audit_events SET event = %s, hash = %s WHERE sequence = 3", row.event, audit.hash_of(row))
        assert broken() == (4, "link_broken")

    def test_a_removed_event_is_found(self) -> None:
        tampered("DELETE FROM audit_events WHERE sequence = 3")
        assert broken() == (3, "event_missing")

    def test_a_removed_beginning_is_found(self) -> None:
        tampered("DELETE FROM audit_events WHERE sequence <= 2")
        assert broken() == (1, "event_missing")

    def test_a_removal_that_is_numbered_anew_is_found(self) -> None:
        tampered("DELETE FROM audit_events WHERE sequence = 3")
        tampered("UPDATE audit_events SET sequence = sequence - 1 WHERE sequence > 3")
        assert broken() == (3, "link_broken")

    def test_an_inserted_event_is_found(self) -> None:
        copied = "at, event, actor, actor_id, subject_id, object_kind, object_id, address, details, previous, hash"
        tampered(f"INSERT INTO audit_events SELECT 0, {copied} FROM audit_events WHERE sequence = 3")  # noqa: S608
        assert broken() == (0, "event_inserted")
        tampered("DELETE FROM audit_events WHERE sequence = 0")
        tampered("UPDATE audit_events SET sequence = sequence + 10 WHERE sequence > 3")
        tampered("UPDATE audit_events SET sequence = sequence - 9 WHERE sequence > 3")
        tampered(f"INSERT INTO audit_events SELECT 4, {copied} FROM audit_events WHERE sequence = 3")  # noqa: S608
        assert broken() == (4, "link_broken")

    def test_two_events_that_changed_places_are_found(self) -> None:
        tampered("UPDATE audit_events SET sequence = 100 WHERE sequence = 2")
        tampered("UPDATE audit_events SET sequence = 2 WHERE sequence = 3")
        tampered("UPDATE audit_events SET sequence = 3 WHERE sequence = 100")
        assert broken() == (2, "link_broken")

    def test_a_missing_end_is_found_by_an_anchor_alone(self, tmp_path: Path) -> None:
        anchor = tmp_path / "anchor"
        call_command("verify_audit", anchor=anchor, stdout=StringIO())
        head = audit.head()
        tampered("DELETE FROM audit_events WHERE sequence > 3")
        assert broken() is None
        with pytest.raises(CommandError, match="tail_missing"):
            call_command("verify_audit", anchor=anchor)
        with pytest.raises(CommandError, match=r"Event 4: .*tail_missing"):
            call_command("verify_audit", "--head", f"{head[0]}:{head[1]}")

    def test_a_chain_that_was_written_anew_is_found_by_an_anchor(self, tmp_path: Path) -> None:
        anchor = tmp_path / "anchor"
        call_command("verify_audit", anchor=anchor, stdout=StringIO())
        tampered("DELETE FROM audit_events")
        write(6, at=NOW + timedelta(seconds=1))
        assert broken() is None
        with pytest.raises(CommandError, match=r"Event 5: .*anchor_differs"):
            call_command("verify_audit", anchor=anchor)

    def test_the_file_of_anchors_grows_with_the_log(self, tmp_path: Path) -> None:
        anchor, told = tmp_path / "anchor", StringIO()
        for count in (2, 0, 2):
            write(count)
            call_command("verify_audit", anchor=anchor, stdout=told)
        assert [json.loads(line)["sequence"] for line in anchor.read_text().splitlines()] == [7, 9]
        assert f"9 events: whole. Head 9:{audit.head()[1]}" in told.getvalue()

    def test_it_reads_page_by_page(self, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any) -> None:
        monkeypatch.setattr(audit_check, "PAGE", 2)
        with django_assert_num_queries(7):  # a savepoint and its end, the checkpoint, and four pages
            assert audit_check.verify().events == 5

    def test_an_unreadable_file_is_no_anchor(self, tmp_path: Path) -> None:
        anchor = tmp_path / "anchor"
        anchor.write_text("gibberish\n")
        with pytest.raises(CommandError, match="no file of anchors"):
            call_command("verify_audit", anchor=anchor)


class TestRetention:
    @pytest.fixture
    def aged(self, db: None, settings: Settings) -> None:
        """Four events that are older than they must be kept, and three that are not."""
        settings.AUDIT_DAYS = 100
        write(4, at=timezone.now() - timedelta(days=101))
        write(3, at=timezone.now() - timedelta(days=99))

    def test_only_the_old_beginning_goes_and_the_rest_verifies(self, aged: None) -> None:
        told = StringIO()
        call_command("prune_audit", stdout=told)
        assert told.getvalue() == "4 events removed.\n"
        verdict = audit_check.verify()
        assert (verdict.broken, verdict.begins_after, verdict.events) == (None, 4, 4)
        assert events()[-1] == Event.AUDIT_PRUNED
        assert audit_check.prune(timezone.now(), now=timezone.now()) == 0

    def test_nothing_younger_goes_whoever_asks(self, aged: None) -> None:
        assert audit_check.prune(timezone.now(), now=timezone.now()) == 4
        with pytest.raises(CommandError, match="AUDIT_DAYS"):
            call_command("prune_audit", before=timezone.now() - timedelta(days=5))

    def test_less_may_be_removed(self, aged: None) -> None:
        call_command("prune_audit", before=timezone.now() - timedelta(days=200), stdout=StringIO())
        assert audit_check.verify().events == 7

    def test_an_old_event_after_a_young_one_waits(self, db: None, settings: Settings) -> None:
        settings.AUDIT_DAYS = 100
        for age in (101, 99, 101):
            write(1, at=timezone.now() - timedelta(days=age))
        assert audit_check.prune(timezone.now(), now=timezone.now()) == 1

    def test_a_log_of_old_events_alone_goes_on(self, db: None, settings: Settings) -> None:
        settings.AUDIT_DAYS = 100
        write(3, at=timezone.now() - timedelta(days=101))
        assert audit_check.prune(timezone.now(), now=timezone.now()) == 3
        write(1)
        assert list(AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)) == [4, 5]
        assert broken() is None

    def test_twice_pruned_it_still_verifies_and_old_anchors_still_hold(self, aged: None, tmp_path: Path) -> None:
        anchor = tmp_path / "anchor"
        call_command("verify_audit", anchor=anchor, stdout=StringIO())
        for days in (0, 50):
            audit_check.prune(timezone.now(), now=timezone.now() + timedelta(days=days))
        assert AuditCheckpoint.objects.count() == 2
        call_command("verify_audit", anchor=anchor, stdout=StringIO())

    def test_a_beginning_that_was_cut_off_in_silence_is_found(self, aged: None) -> None:
        row = AuditEntry.objects.get(pk=2)
        tampered("INSERT INTO audit_checkpoints VALUES (2, %s, now())", row.hash)
        tampered("DELETE FROM audit_events WHERE sequence <= 2")
        assert broken() == (2, "checkpoint_unconfirmed")

    def test_beat_looks_after_it_and_logs_the_head(self, aged: None, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO", logger="accounts"):
            audit_check.look_after(timezone.now())
        sequence, found = audit.head()
        assert f"head {sequence}:{found}" in caplog.text
        assert sequence == 8


def exported(format: str, **options: Any) -> str:
    told = StringIO()
    rows = audit_export.events(AuditEntry.objects.all())
    told.writelines(audit_export.json_lines(rows) if format == "jsonl" else audit_export.csv_lines(rows))
    return told.getvalue()


class TestExport:
    def test_the_command_writes_lines_and_says_that_it_did(self, alice: User, bob: User) -> None:
        told = StringIO()
        call_command("export_audit", user="alice", stdout=told)
        lines = [json.loads(line) for line in told.getvalue().splitlines()]
        assert {line["subject_id"] for line in lines} == {alice.pk}
        assert [line["event"] for line in lines] == [Event.ACCOUNT_CREATED, Event.AUDIT_EXPORTED]
        with pytest.raises(CommandError, match="no such user"):
            call_command("export_audit", user="nobody")

    @pytest.mark.parametrize("formula", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "+5"])
    def test_no_cell_is_a_formula(self, formula: str, db: None) -> None:
        audit.record(Event.LIMIT_CHANGED, thing=("limit", formula))
        assert audit_export.defused(formula) == f"'{formula}"
        assert f"'{formula}" in exported("csv")
        assert f",{formula}" not in exported("csv")

    @pytest.mark.parametrize("cell", ["", "5", "-5", "-5.25", "a=1", "'=1"])
    def test_other_cells_stay_as_they_are(self, cell: str) -> None:
        assert audit_export.defused(cell) == cell


class TestWhatIsHeard:
    PASSWORD = "a-long-enough-pass-phrase"

    @pytest.fixture
    def carol(self, db: None) -> User:
        return User.objects.create_user("carol", password=self.PASSWORD)

    def test_signing_in_and_out(self, carol: User, client: Client) -> None:
        for password in ("wrong-and-secret", self.PASSWORD):
            client.post("/login", {"login": "carol", "password": password}, REMOTE_ADDR="2001:DB8::1")
        client.post("/logout", REMOTE_ADDR="::ffff:192.0.2.7")
        failed, came, left = AuditEntry.objects.filter(subject_id=carol.pk).order_by("sequence")[1:]
        assert [failed.event, came.event, left.event] == [Event.LOGIN_FAILED, Event.LOGIN, Event.LOGOUT]
        assert (failed.actor, failed.actor_id, failed.address) == (ActorKind.STRANGER, None, "2001:db8::1")
        assert (came.actor, came.actor_id) == (ActorKind.USER, carol.pk)
        assert (left.actor, left.actor_id, left.address) == (ActorKind.USER, carol.pk, "192.0.2.7")
        assert "wrong-and-secret" not in exported("jsonl")

    @pytest.mark.django_db(transaction=True)
    async def test_from_where_is_known_under_asgi_too(self) -> None:
        await AsyncClient().post("/login", {"login": "nobody", "password": "x"})
        told = await AuditEntry.objects.aget(event=Event.LOGIN_FAILED)
        assert (told.actor, told.address) == (ActorKind.STRANGER, "127.0.0.1")
        await sync_to_async(connections.close_all)()  # that of the thread in which views run

    def test_what_a_stranger_types_is_not_kept(self, client: Client, db: None) -> None:
        client.post("/login", {"login": "my-password-by-mistake", "password": "x"})
        assert events() == [Event.LOGIN_FAILED]
        assert "my-password-by-mistake" not in exported("jsonl")

    def test_a_new_password_is_told_and_a_mere_rehash_is_not(self, carol: User) -> None:
        carol.set_password("another-long-pass-phrase")
        carol.save()
        assert events(subject_id=carol.pk) == [Event.ACCOUNT_CREATED, Event.PASSWORD_CHANGED]
        carol.first_name = "Carol"
        carol.save(update_fields=["first_name"])
        User.objects.filter(pk=carol.pk).update(password="pbkdf2_sha256$1$salt$x")
        assert not carol.check_password("wrong")
        assert len(events(subject_id=carol.pk)) == 2

    def test_role_rights_and_groups_are_told_by_whom_they_were_changed(self, carol: User, root: User) -> None:
        form = {
            "username": "carol",
            "role": Role.SUPPORT,
            "is_active": "on",
            "is_staff": "on",
            "date_joined_0": "2026-11-26",
        }
        form |= {"date_joined_1": "10:00", "groups": str(support_group().pk)}
        before = AuditEntry.objects.count()
        assert signed_in(root).post(reverse("admin:accounts_user_change", args=[carol.pk]), form).status_code == 302
        _, role, groups = AuditEntry.objects.filter(sequence__gt=before).order_by("sequence")
        assert (role.event, role.actor, role.actor_id) == (Event.ROLE_CHANGED, ActorKind.SUPPORT, root.pk)
        assert role.details == {"role": ["TRADER", "SUPPORT"], "is_staff": [False, True]}
        assert (groups.event, groups.subject_id) == (Event.PERMISSIONS_CHANGED, carol.pk)
        assert groups.details == {"action": "add", "kind": "group", "ids": [support_group().pk]}

    def test_what_a_group_may_do_is_told_too(self, carol: User) -> None:
        group = Group.objects.create(name="desk")
        permission = Permission.objects.first()
        assert permission is not None
        group.permissions.add(permission)
        group.permissions.add(permission)
        carol.user_permissions.set([permission])
        carol.user_permissions.clear()
        group.user_set.add(carol)
        told = AuditEntry.objects.filter(event=Event.PERMISSIONS_CHANGED).order_by("sequence")
        assert [(row.subject_id, row.details["action"]) for row in told] == [
            (None, "add"),
            (carol.pk, "add"),
            (carol.pk, "clear"),
            (carol.pk, "add"),
        ]
        assert broken() is None


def test_what_other_libraries_send_is_read_without_what_was_typed() -> None:
    person = SimpleNamespace(pk=7)
    factor = SimpleNamespace(pk=3, type="totp")
    address = SimpleNamespace(user_id=7, email="alice@example.com")
    sent = {"user": person, "authenticator": factor, "email_address": address}
    assert hearing.by_user(Event.EMAIL_CHANGED, sent) == Happened(event=Event.EMAIL_CHANGED, subject=7)
    assert hearing.by_user(Event.LOGOUT, {"user": None}) is None
    assert hearing.by_address(Event.EMAIL_CONFIRMED, sent) == Happened(event=Event.EMAIL_CONFIRMED, subject=7)
    used = Happened(event=Event.FACTOR_USED, subject=7, thing=("factor", 3), details={"kind": "totp"})
    assert hearing.by_factor(Event.FACTOR_USED, sent) == used
    refused = hearing.by_factor(Event.FACTOR_REFUSED, {**sent, "authenticator": None})
    assert refused == Happened(event=Event.FACTOR_REFUSED, subject=7)


def test_the_table_of_events_has_one_code_each() -> None:
    assert len({event.value for event in Event}) == len(Event)
    assert all(event.value.count(".") == 1 for event in Event)


def test_no_model_of_the_log_can_be_changed_by_permission(db: None) -> None:
    codes = Permission.objects.filter(content_type__model__in=("auditentry", "auditcheckpoint"))
    assert {code.codename.partition("_")[0] for code in codes} == {"view"}
