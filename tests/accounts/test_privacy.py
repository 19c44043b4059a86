"""Taking an account along, and ending it: all of it, nobody else's, and what is kept is said."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import audit_check, audit_export
from accounts.events import Event
from accounts.models import AccountDeletion, AuditEntry, User
from brokers import grants, logins, morning
from brokers.models import BrokerConnection, ConnectionConsent, ConnectionGrant
from brokers.reach import ConnectRefused
from brokers.shared import redis
from brokers.simulation.server import SimulatedBrokers
from health.services import check
from portfolio import services as portfolio
from tests.conftest import signed_in
from tests.people import begin, log_in, own_app
from tests.test_secrets import Recorder, Texts, everything_logged, walk
from trademaster import deletion, privacy
from trademaster.privacy import HOLDINGS, Fate

PASSWORD = "a-long-enough-pass-phrase"
ROOT = Path(__file__).parents[2]


def people_of(model: type[Model], seen: frozenset[type[Model]] = frozenset()) -> bool:
    """Whether rows of this model lead to a person, over any number of others."""
    related = {field.related_model for field in model._meta.concrete_fields if field.is_relation}
    return any(
        issubclass(other, AbstractBaseUser) or (other not in seen and people_of(other, seen | {model}))
        for other in related
        if isinstance(other, type)
    )


@pytest.fixture
def full(alice: User, bob: User, alices: dict[str, BrokerConnection]) -> User:
    """Alice, with a row in every table, and a grant to Bob."""
    alice.set_password(PASSWORD)
    alice.first_name = "=HYPERLINK(1)"
    alice.save()
    now = timezone.now()
    for connection in alices.values():
        check(connection.pk, now=now)
    portfolio.consolidated(alice, now=now)
    begin(alice, "zerodha")
    morning.set_reminder(user=alice, by_email=True, webhook_url="")
    ids = [connection.pk for connection in alices.values()]
    grants.give(owner=alice, named="bob", connection_ids=ids, expires_at=None, now=now)
    return alice


@pytest.fixture
def browser(full: User) -> Client:
    return signed_in(full)


def ask(client: Client, what: str) -> Any:
    return client.post(f"/api/v1/account/{what}")


def archive_of(client: Client) -> zipfile.ZipFile:
    answer = ask(client, "export")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/zip"
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))


def lines_of(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"{name}.jsonl").splitlines()]


def rows_left(user_id: int, fate: Fate) -> dict[str, int]:
    return {row.name: row.rows(user_id).count() for row in HOLDINGS if row.fate is fate}


class TestTheTable:
    def test_every_model_that_leads_to_a_person_is_in_it(self) -> None:
        """What belongs to the framework, or to staff, is named here instead."""
        exempt = {"market.MarketDay", "admin.LogEntry"}
        known = {row.model._meta.label for row in HOLDINGS}
        leading = {model._meta.label for model in apps.get_models() if people_of(model)} - exempt
        by_number = {
            model._meta.label
            for model in apps.get_models()
            if {"user_id", "subject_id"} & {field.attname for field in model._meta.concrete_fields}
        }
        assert (leading | by_number) - known == set()

    def test_what_is_kept_says_why_and_what_is_not_exported_too(self) -> None:
        assert all(bool(row.why) == (row.fate is Fate.KEPT) for row in HOLDINGS)
        orders = {"order_events", "fills", "orders_at_brokers", "routing_decisions", "order_keys", "orders"}
        orders |= {"order_groups", "gtt_orders", "contract_notes"}
        assert {row["what"] for row in privacy.kept()} == {"audit", "consents", "deletion"} | orders
        assert {row.name for row in HOLDINGS if row.not_exported} == {
            "health_checks",
            "check_schedules",
            "health_hours",
        }

    def test_the_page_for_operators_says_the_same(self) -> None:
        page = (ROOT / "docs" / "operations.md").read_text()
        for row in HOLDINGS:
            assert f"| `{row.name}` | {row.words} | {row.fate} |" in page, row.name
        for name, words in privacy.BESIDE.items():
            assert f"| `{name}` | {words} | wiped |" in page


class TestExport:
    def test_it_holds_every_part_twice_and_only_hers(
        self, browser: Client, full: User, bob: User, brokers: SimulatedBrokers
    ) -> None:
        own_app(bob, "zerodha", brokers)
        archive = archive_of(browser)
        exported = {row.name for row in HOLDINGS if not row.not_exported}
        files = {f"{name}.{kind}" for name in exported for kind in ("jsonl", "csv")}
        assert set(archive.namelist()) == files | {"README.txt"}
        for row in HOLDINGS:
            if not row.not_exported:
                assert len(lines_of(archive, row.name)) == row.rows(full.pk).count(), row.name
                table = list(csv.reader(io.StringIO(archive.read(f"{row.name}.csv").decode())))
                assert table[0] == row.columns
                assert len(table) == 1 + row.rows(full.pk).count()
        assert [row["username"] for row in lines_of(archive, "profile")] == ["alice"]
        assert {row["broker_type"] for row in lines_of(archive, "connections")} == {"zerodha", "upstox"}
        assert len(lines_of(archive, "api_apps")) == 2
        assert {row["subject_id"] for row in lines_of(archive, "audit")} == {full.pk}
        assert lines_of(archive, "audit")[-1]["event"] == Event.ACCOUNT_EXPORTED

    def test_amounts_stay_exact_and_cells_are_no_formulas(self, browser: Client, full: User) -> None:
        archive = archive_of(browser)
        position = full.consolidated_positions.order_by("pk").first()
        assert position is not None
        assert lines_of(archive, "positions")[0]["total_quantity"] == str(position.total_quantity)
        assert "'=HYPERLINK(1)" in archive.read("profile.csv").decode()
        assert lines_of(archive, "profile")[0]["first_name"] == "=HYPERLINK(1)"

    def test_it_does_not_tell_whom_a_grant_reached(self, browser: Client, bob: User) -> None:
        [given] = lines_of(archive_of(browser), "grants_given")
        assert "viewer_id" not in given
        assert given["named"] == "bob"

    def test_it_is_read_page_by_page(self, browser: Client, full: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trademaster.export.PAGE", 2)
        assert len(lines_of(archive_of(browser), "positions")) == full.consolidated_positions.count() > 2

    @pytest.mark.parametrize("what", ["export", "delete"])
    def test_a_fresh_proof_is_asked_for(self, what: str, client: Client, full: User) -> None:
        client.force_login(full)  # as a session is long after the sign-in
        answer = ask(client, what)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
        assert BrokerConnection.objects.filter(user=full, status="CONNECTED").count() == 2

    def test_strangers_and_support_are_not_let_in(self, client: Client, as_sam: Client, db: None) -> None:
        assert [ask(client, what).status_code for what in ("export", "delete")] == [401, 401]
        assert [ask(as_sam, what).status_code for what in ("export", "delete")] == [403, 403]

    def test_the_operator_can_write_one(self, full: User, tmp_path: Path) -> None:
        file = tmp_path / "alice.zip"
        call_command("export_account", "alice", str(file), stdout=io.StringIO())
        assert file.stat().st_mode & 0o777 == 0o600
        assert lines_of(zipfile.ZipFile(file), "profile")[0]["username"] == "alice"
        with pytest.raises(CommandError, match="cannot be made"):
            call_command("export_account", "alice", str(file))

    async def test_a_large_one_is_sent_in_pieces(self) -> None:
        from trademaster.account_views import CHUNK, _read_async

        pieces = [len(piece) async for piece in _read_async(io.BytesIO(b"x" * (2 * CHUNK + 5)))]
        assert pieces == [CHUNK, CHUNK, 5]


class TestDeletion:
    def test_everything_goes_but_what_is_kept_and_the_answer_says_so(
        self, browser: Client, full: User, bob: User, brokers: SimulatedBrokers
    ) -> None:
        consents = ConnectionConsent.objects.count()
        answer = ask(browser, "delete")
        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert told["kept"] == privacy.kept()
        assert told["wiped"] == privacy.wiped()
        assert {row["broker_type"] for row in told["brokers"]} == {"zerodha", "upstox"}
        assert all(row["ended_at_broker"] for row in told["brokers"])
        live = brokers.control.overview()["brokers"]
        assert [live[slug]["live_sessions"] for slug in ("zerodha", "upstox")] == [0, 0]
        assert set(rows_left(full.pk, Fate.WIPED).values()) == {0}
        gone = User.objects.get(pk=full.pk)
        assert (gone.username, gone.email, gone.first_name) == (f"deleted-{full.pk}", "", "")
        assert not gone.is_active
        assert not gone.has_usable_password()
        assert ConnectionConsent.objects.count() == 2 * consents  # each withdrawn
        assert rows_left(full.pk, Fate.KEPT)["audit"] > 5
        assert audit_check.verify().broken is None
        assert User.objects.get(pk=bob.pk).is_active

    def test_nothing_names_her_any_more(self, browser: Client, full: User, bob: User, root: User) -> None:
        signed_in(root).post(
            reverse("admin:accounts_user_change", args=[full.pk]),
            {"username": "alice", "role": "TRADER", "is_active": "on", "email": full.email}
            | {"date_joined_0": "2026-11-26", "date_joined_1": "10:00"},
        )
        accounts = set(BrokerConnection.objects.filter(user=full).values_list("account_id", flat=True))
        ask(browser, "delete")
        texts = Texts()
        with database.cursor() as cursor:
            for table in database.introspection.table_names(cursor):
                cursor.execute(f"SELECT t::text FROM {database.ops.quote_name(table)} t")  # noqa: S608
                texts.add(table, str(cursor.fetchall()))
        assert [texts.places_of(word) for word in ("alice", "alice@example.com", *accounts)] == [
            [],
            [],
            *[[]] * len(accounts),
        ]

    def test_she_is_signed_out_everywhere_and_cannot_come_back(
        self, browser: Client, full: User, client: Client
    ) -> None:
        other = signed_in(full)
        ask(browser, "delete")
        assert other.get("/api/v1/audit").status_code == 401
        assert browser.get("/api/v1/audit").status_code == 401
        assert not any(row.get_decoded().get("_auth_user_id") == str(full.pk) for row in Session.objects.all())
        client.post("/login", {"username": "alice", "password": PASSWORD})
        assert client.get("/api/v1/audit").status_code == 401

    def test_a_broker_that_is_away_keeps_nothing_from_being_wiped(
        self, browser: Client, full: User, brokers: SimulatedBrokers
    ) -> None:
        brokers.control.set_fault("upstox", "down")
        told = {row["broker_type"]: row["ended_at_broker"] for row in ask(browser, "delete").json()["brokers"]}
        assert told == {"zerodha": True, "upstox": False}
        assert not BrokerConnection.objects.filter(user=full).exists()

    def test_broken_off_it_is_taken_up_again(self, full: User, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: object) -> None:
            raise ConnectionError

        with monkeypatch.context() as patch:
            patch.setattr(deletion, "_wipe", fail)
            with pytest.raises(ConnectionError):
                deletion.delete_account(full, now=timezone.now())
        assert not User.objects.get(pk=full.pk).is_active
        assert BrokerConnection.objects.filter(user=full, status="DISCONNECTED").count() == 2
        assert AccountDeletion.objects.get().finished_at is None
        assert deletion.finish_deletions(timezone.now()) == 0  # whoever asked may still be answered
        assert deletion.finish_deletions(timezone.now() + timedelta(minutes=6)) == 1
        assert set(rows_left(full.pk, Fate.WIPED).values()) == {0}
        assert len(AccountDeletion.objects.get().brokers) == 2

    def test_done_twice_it_changes_nothing(self, full: User) -> None:
        first = deletion.delete_account(full, now=timezone.now())
        again = deletion.delete_account(User.objects.get(pk=full.pk), now=timezone.now())
        assert again.finished_at == first.finished_at
        assert deletion.finish_deletions(timezone.now()) == 0
        for event in (Event.DELETION_ASKED, Event.ACCOUNT_DELETED):
            assert AuditEntry.objects.filter(event=event, subject_id=full.pk).count() == 1

    def test_what_was_under_way_is_swept_up(self, full: User) -> None:
        deletion.delete_account(full, now=timezone.now())
        redis().set(f"portfolio:{full.pk}:answer", "late")
        BrokerConnection.objects.create(user_id=full.pk, broker_type="zerodha", account_id="LATE01")
        deletion.finish_deletions(timezone.now())
        assert not BrokerConnection.objects.filter(user_id=full.pk).exists()
        assert redis().get(f"portfolio:{full.pk}:answer") is None

    def test_a_login_that_was_under_way_does_not_come_through(self, full: User, brokers: SimulatedBrokers) -> None:
        back = log_in(full, "zerodha", brokers)
        User.objects.filter(pk=full.pk).update(is_active=False)
        with pytest.raises(ConnectRefused) as refused:
            logins.complete(user=full, state=back.state, callback=back.parameters, now=timezone.now())
        assert refused.value.code == "account_closed"

    def test_grants_end_with_either_side(self, full: User, bob: User) -> None:
        deletion.delete_account(bob, now=timezone.now())
        assert not ConnectionGrant.objects.exists()
        assert AuditEntry.objects.filter(event=Event.GRANT_REVOKED, subject_id=full.pk).count() == 1

    def test_the_last_administrator_stays(self, root: User, alice: User) -> None:
        root.set_password(PASSWORD)
        root.save()
        answer = ask(signed_in(root), "delete")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_administrator")
        assert User.objects.get(pk=root.pk).is_active

    def test_the_operator_is_shown_first_and_does_it_second(self, full: User) -> None:
        told = io.StringIO()
        call_command("delete_account", "alice", stdout=told)
        assert "Nothing was done" in told.getvalue()
        assert User.objects.get(pk=full.pk).is_active
        call_command("delete_account", "alice", yes=True, stdout=told)
        assert f"Account {full.pk} is deleted." in told.getvalue()
        assert "kept, 1827 days: security events." in told.getvalue()
        asked = AuditEntry.objects.get(event=Event.DELETION_ASKED)
        assert (asked.actor, asked.actor_id) == ("system", None)


def test_no_secret_of_a_full_flow_is_in_the_log_or_the_export(
    alice: User, root: User, brokers: SimulatedBrokers
) -> None:
    alice.set_password(PASSWORD)
    alice.save()
    texts = Texts()
    with everything_logged(texts):
        secrets = walk("upstox", Recorder(texts, alice), alice, root, brokers)
    told = Texts()
    told.add("audit", "".join(audit_export.json_lines(audit_export.events(AuditEntry.objects.all()))))
    archive = archive_of(signed_in(alice))
    for name in archive.namelist():
        told.add(name, archive.read(name).decode())
    assert "audit" in told.places_of(Event.BROKER_DISCONNECTED)
    assert {name: places for name, secret in secrets.items() if (places := told.places_of(secret))} == {}
    assert told.places_of(PASSWORD) == []
