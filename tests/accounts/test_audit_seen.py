"""Who looks at the audit log, and whom it sees looking: support at a trader's rows, and traders at their own events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.events import Event
from accounts.management.commands.demo_users import support_group
from accounts.models import ActorKind, AuditEntry, User
from brokers.models import BrokerConnection
from tests.accounts.test_audit import NOW, write
from tests.conftest import signed_in


class TestSupportIsSeen:
    @pytest.fixture
    def desk(self, sam: User) -> Client:
        sam.groups.add(support_group())
        return signed_in(sam)

    def views(self) -> list[tuple[int | None, str, str]]:
        rows = AuditEntry.objects.filter(event=Event.SUPPORT_VIEWED).order_by("sequence")
        return list(rows.values_list("subject_id", "object_kind", "object_id"))

    def test_every_page_once_an_hour(
        self, desk: Client, alice: User, alices: dict[str, BrokerConnection], sam: User, time_machine: Any
    ) -> None:
        time_machine.move_to(NOW, tick=False)
        connection_id = alices["upstox"].pk
        one = reverse("admin:brokers_brokerconnection_change", args=[connection_id])
        desk = signed_in(sam)
        for _ in range(2):
            desk.get(reverse("admin:brokers_brokerconnection_changelist"))
            desk.get(one)
        expected = [
            (alice.pk, "brokers.brokerconnection", "list"),
            (alice.pk, "brokers.brokerconnection", str(connection_id)),
        ]
        assert self.views() == expected
        told = AuditEntry.objects.filter(event=Event.SUPPORT_VIEWED).first()
        assert told is not None
        assert (told.actor, told.actor_id, told.address) == (ActorKind.SUPPORT, sam.pk, "127.0.0.1")
        time_machine.move_to(NOW + timedelta(hours=1), tick=False)
        desk.get(one)
        assert self.views() == [*expected, expected[1]]

    def test_a_page_that_shows_nobody_tells_of_nobody(self, desk: Client, alice: User, sam: User) -> None:
        desk.get(reverse("admin:brokers_brokerconnection_changelist"))
        desk.get(reverse("admin:accounts_user_change", args=[sam.pk]))
        assert self.views() == []

    def test_every_page_with_rows_of_people_is_watched(self) -> None:
        """A page of a model that leads to a person must say how."""
        leading = [
            model._meta.label
            for app in ("accounts", "brokers", "health", "market", "orders", "portfolio")
            for model in apps.get_app_config(app).get_models()
            if any(
                field.is_relation and field.related_model in (User, BrokerConnection)
                for field in model._meta.concrete_fields
            )
            and not getattr(admin.site._registry[model], "whose", None)
        ]
        assert leading == ["market.MarketDay"]  # whose editor is staff

    def test_support_finds_a_persons_events_by_name(self, desk: Client, alice: User, bob: User) -> None:
        page = desk.get(reverse("admin:accounts_auditentry_changelist"), {"q": "alice"})
        assert {row.subject_id for row in page.context_data["cl"].result_list} == {alice.pk}


class TestMyOwnEvents:
    def test_a_trader_sees_their_own_and_no_others(self, as_alice: Client, alice: User, bob: User) -> None:
        write(2, subject=bob)
        write(3, subject=alice)
        answer = as_alice.get("/api/v1/audit").json()
        assert {event["event"] for event in answer["events"]} == {"setting.limit", "account.created", "session.login"}
        assert [event["details"] for event in answer["events"]][:3] == [{"number": 2}, {"number": 1}, {"number": 0}]
        assert answer["next"] is None

    def test_it_is_paged(self, as_alice: Client, alice: User) -> None:
        write(5, subject=alice)
        seen: list[int] = []
        before: int | None = None
        while True:
            query: dict[str, object] = {"limit": 3} | ({"before": before} if before else {})
            page = as_alice.get("/api/v1/audit", query).json()
            seen += [event["sequence"] for event in page["events"]]
            before = page["next"]
            if before is None:
                break
        assert seen == sorted(AuditEntry.objects.filter(subject_id=alice.pk).values_list("pk", flat=True), reverse=True)

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=x", "before=0"])
    def test_odd_questions_are_refused(self, query: str, as_alice: Client) -> None:
        assert as_alice.get(f"/api/v1/audit?{query}").status_code == 400

    def test_it_is_told_that_support_looked_and_not_from_where(self, as_alice: Client, alice: User, sam: User) -> None:
        sam.groups.add(support_group())
        signed_in(sam).get(reverse("admin:accounts_user_change", args=[alice.pk]), REMOTE_ADDR="192.0.2.9")
        looked = as_alice.get("/api/v1/audit").json()["events"][0]
        assert (looked["event"], looked["actor"], looked["by_me"]) == ("support.viewed", "support", False)
        assert looked["address"] is None

    def test_strangers_and_support_have_none_here(self, client: Client, as_sam: Client, db: None) -> None:
        assert client.get("/api/v1/audit").status_code == 401
        assert as_sam.get("/api/v1/audit").status_code == 403
