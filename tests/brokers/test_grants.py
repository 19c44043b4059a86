"""Read access for another person: who can have it, who cannot, and what no answer tells."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from accounts import audit
from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import grants, services
from brokers.models import BrokerConnection, ConnectionGrant
from tests.conftest import signed_in
from tests.people import trader

API = "/api/v1/brokers/grants"
Alices = dict[str, BrokerConnection]


def give(client: Client, to: str, *connections: BrokerConnection, **more: Any) -> Any:
    body = {"to": to, "connections": [str(connection.pk) for connection in connections], **more}
    return client.post(API, body, content_type="application/json")


def shared_with(user: User) -> list[Any]:
    found: list[Any] = signed_in(user).get("/api/v1/portfolio/shared").json()
    return found


class TestGiving:
    @pytest.mark.parametrize("name", ["bob", "bob@example.com", "BOB@EXAMPLE.COM"])
    def test_by_username_or_address(self, name: str, as_alice: Client, alices: Alices, bob: User) -> None:
        given = give(as_alice, name, alices["upstox"])
        assert given.status_code == 201
        assert given.json()["to"] == name
        [shared] = shared_with(bob)
        assert (shared["id"], shared["owner"]) == (given.json()["id"], "alice")
        assert [connection["broker_type"] for connection in shared["connections"]] == ["upstox"]

    @pytest.mark.parametrize("name", ["bob", "nobody", "sam", "gone", "nobody@example.com", "twin@example.com"])
    def test_no_answer_tells_whether_somebody_was_meant(
        self, name: str, as_alice: Client, alices: Alices, bob: User, sam: User
    ) -> None:
        gone = trader("gone")
        User.objects.filter(pk=gone.pk).update(is_active=False)
        for twin in ("twin1", "twin2"):
            User.objects.filter(pk=trader(twin).pk).update(email="twin@example.com")
        given = give(as_alice, name, alices["upstox"])
        assert given.status_code == 201
        assert given.json().keys() == {"id", "to", "connections", "expires_at", "created_at"}
        assert as_alice.get(API).json() == [given.json()]
        assert ConnectionGrant.objects.filter(viewer__isnull=False).exists() == (name == "bob")

    def test_the_work_done_for_nobody_is_the_same(
        self, alice: User, alices: Alices, bob: User, django_assert_max_num_queries: Any
    ) -> None:
        """Counted, and not timed. Events too: their numbers are seen by the owner."""
        counts = []
        for name in ("bob", "nobody"):
            before, now = audit.head()[0], timezone.now()
            with django_assert_max_num_queries(30) as asked:
                ids = [alices["upstox"].pk]
                given = grants.give(owner=alice, named=name, connection_ids=ids, expires_at=None, now=now)
                grants.revoke(given, now=now)
            counts.append((len(asked), audit.head()[0] - before))
        assert counts[0] == counts[1]

    def test_who_takes_the_name_later_gets_nothing(self, as_alice: Client, alices: Alices) -> None:
        give(as_alice, "dave", alices["upstox"])
        assert shared_with(trader("dave")) == []

    def test_a_username_that_looks_like_an_address_is_not_taken_for_one(
        self, as_alice: Client, alices: Alices, bob: User
    ) -> None:
        thief = User.objects.create_user("bob@example.com", email="thief@example.com")
        give(as_alice, "bob@example.com", alices["upstox"])
        assert shared_with(thief) == []
        assert len(shared_with(bob)) == 1

    def test_only_own_connections(self, as_mallory: Client, alices: Alices, bob: User) -> None:
        for connections in ([str(alices["upstox"].pk)], [str(uuid4())]):
            body = {"to": "bob", "connections": connections}
            refused = as_mallory.post(API, body, content_type="application/json")
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_connection")
        assert shared_with(bob) == []

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"to": "alice"}, "grant_to_oneself"),
            ({"to": "ALICE@example.com"}, "grant_to_oneself"),
            ({"to": "bob", "expires_at": "2020-01-01T00:00:00Z"}, "grant_expired"),
            ({"to": ""}, "invalid_input"),
            ({"to": "bob", "connections": []}, "invalid_input"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, body: dict[str, Any], code: str, as_alice: Client, alices: Alices
    ) -> None:
        document = {"connections": [str(alices["upstox"].pk)], **body}
        answer = as_alice.post(API, document, content_type="application/json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)

    def test_there_is_an_end_to_them(
        self, as_alice: Client, alices: Alices, monkeypatch: pytest.MonkeyPatch, bob: User
    ) -> None:
        monkeypatch.setattr(grants, "MOST_GRANTS", 1)
        give(as_alice, "bob", alices["upstox"])
        assert give(as_alice, "bob", alices["upstox"]).json()["error"]["code"] == "too_many_grants"


class TestTheEnd:
    def test_it_is_taken_back_by_its_owner_alone(
        self, as_alice: Client, as_bob: Client, as_mallory: Client, alices: Alices, bob: User
    ) -> None:
        grant = give(as_alice, "bob", alices["upstox"]).json()["id"]
        assert [client.delete(f"{API}/{grant}").status_code for client in (as_bob, as_mallory)] == [404, 404]
        assert len(shared_with(bob)) == 1
        assert as_alice.delete(f"{API}/{grant}").status_code == 204
        assert as_alice.delete(f"{API}/{grant}").status_code == 404
        assert (shared_with(bob), as_alice.get(API).json()) == ([], [])

    def test_it_expires(self, as_alice: Client, alices: Alices, alice: User, bob: User) -> None:
        soon = timezone.now() + timedelta(hours=1)
        give(as_alice, "bob", alices["upstox"], expires_at=soon.isoformat())
        assert grants.received_by(bob, soon - timedelta(seconds=1)).exists()
        assert not grants.received_by(bob, soon).exists()
        assert not grants.standing_of(alice, soon).exists()

    def test_a_connection_that_is_disconnected_leaves_it_for_good(
        self, as_alice: Client, alices: Alices, bob: User
    ) -> None:
        give(as_alice, "bob", *alices.values())
        services.disconnect(alices["upstox"], now=timezone.now())
        [shared] = shared_with(bob)
        assert [connection["broker_type"] for connection in shared["connections"]] == ["zerodha"]

    def test_an_owner_who_is_locked_out_shares_nothing(
        self, as_alice: Client, alice: User, alices: Alices, bob: User
    ) -> None:
        give(as_alice, "bob", alices["upstox"])
        User.objects.filter(pk=alice.pk).update(is_active=False)
        assert shared_with(bob) == []

    def test_both_are_told_by_the_log(self, as_alice: Client, alice: User, alices: Alices, bob: User) -> None:
        grant = give(as_alice, "bob", alices["upstox"]).json()["id"]
        as_alice.delete(f"{API}/{grant}")
        rows = AuditEntry.objects.filter(object_kind="grant", object_id=grant).order_by("sequence")
        assert [(row.event, row.subject_id, row.actor_id) for row in rows] == [
            (Event.GRANT_GIVEN, alice.pk, alice.pk),
            (Event.GRANT_GIVEN, bob.pk, alice.pk),
            (Event.GRANT_REVOKED, alice.pk, alice.pk),
            (Event.GRANT_REVOKED, bob.pk, alice.pk),
        ]


def test_strangers_and_support_have_none(client: Client, as_sam: Client, db: None) -> None:
    assert [who.get(API).status_code for who in (client, as_sam)] == [401, 403]
