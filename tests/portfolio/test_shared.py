"""The part of a portfolio that a grant opens: just that part, for just that viewer, and to look at."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers import grants
from brokers.models import BrokerConnection, ConnectionGrant
from brokers.simulation.control import Control
from portfolio.models import ConsolidatedPosition
from tests.conftest import signed_in
from tests.people import trader

WHOLE = "/api/v1/brokers/portfolio/consolidated"
Alices = dict[str, BrokerConnection]


def grant(owner: User, to: str, *connections: BrokerConnection) -> ConnectionGrant:
    ids = [connection.pk for connection in connections]
    return grants.give(owner=owner, named=to, connection_ids=ids, expires_at=None, now=timezone.now())


def look(client: Client, given: ConnectionGrant, query: str = "") -> Any:
    return client.get(f"/api/v1/portfolio/shared/{given.pk}{query}")


def brokers_in(document: dict[str, Any]) -> set[str]:
    parts = {part["broker_id"] for position in document["positions"] for part in position["broker_positions"]}
    return parts | {source["broker_id"] for source in document["sources"]}


def test_it_is_the_book_of_these_connections_alone(
    alice: User, as_alice: Client, as_bob: Client, bob: User, alices: Alices
) -> None:
    part = look(as_bob, grant(alice, "bob", alices["upstox"])).json()
    whole = as_alice.get(WHOLE).json()
    assert brokers_in(part) == {"upstox"}
    assert brokers_in(whole) == {"upstox", "zerodha"}
    of_upstox = next(row for row in whole["broker_breakdown"] if row["broker_id"] == "upstox")
    assert [row["broker_id"] for row in part["broker_breakdown"]] == ["upstox"]
    [funds] = [row for row in whole["funds"]["brokers"] if row["broker_id"] == "upstox"]
    assert part["funds"]["brokers"] == [{**funds, "as_of": part["funds"]["brokers"][0]["as_of"]}]
    assert part["total_value"] == of_upstox["total_value"] is not None


def test_caches_are_not_confused(alice: User, alices: Alices, control: Control) -> None:
    """Whoever asks in whatever order, each gets their own: owner, two viewers of two parts, and one of the whole."""
    viewers = {name: trader(name) for name in ("bob", "carol", "dave")}
    given = {
        "bob": grant(alice, "bob", alices["upstox"]),
        "carol": grant(alice, "carol", alices["zerodha"]),
        "dave": grant(alice, "dave", *alices.values()),
    }
    expected = {"bob": {"upstox"}, "carol": {"zerodha"}, "dave": {"upstox", "zerodha"}}
    for order in (["alice", "bob", "carol", "dave"], ["dave", "carol", "bob", "alice"]):
        cache.clear()
        for name in order * 2:
            if name == "alice":
                assert brokers_in(signed_in(alice).get(WHOLE).json()) == {"upstox", "zerodha"}
            else:
                assert brokers_in(look(signed_in(viewers[name]), given[name]).json()) == expected[name]
    for name, viewer in viewers.items():  # nobody's own portfolio has become hers
        assert signed_in(viewer).get(WHOLE).status_code == 404, name


def test_only_its_viewer_is_let_in(
    alice: User,
    as_alice: Client,
    as_bob: Client,
    bob: User,
    as_mallory: Client,
    client: Client,
    as_sam: Client,
    alices: Alices,
) -> None:
    given = grant(alice, "bob", alices["upstox"])
    assert look(as_bob, given).status_code == 200  # and the cache is warm
    assert [look(who, given).status_code for who in (as_mallory, as_alice, client, as_sam)] == [404, 404, 401, 403]


def test_once_taken_back_not_even_the_cache_is_served(alice: User, as_bob: Client, bob: User, alices: Alices) -> None:
    given = grant(alice, "bob", alices["upstox"])
    assert look(as_bob, given).status_code == 200
    grants.revoke(given, now=timezone.now())
    assert look(as_bob, given).status_code == 404


def test_a_connection_that_left_is_not_served_from_the_cache(
    alice: User, as_alice: Client, as_bob: Client, bob: User, alices: Alices, django_capture_on_commit_callbacks: Any
) -> None:
    given = grant(alice, "bob", *alices.values())
    assert brokers_in(look(as_bob, given).json()) == {"upstox", "zerodha"}
    with django_capture_on_commit_callbacks(execute=True):
        as_alice.delete(f"/api/v1/brokers/connections/{alices['upstox'].pk}")
    assert brokers_in(look(as_bob, given).json()) == {"zerodha"}
    with django_capture_on_commit_callbacks(execute=True):
        as_alice.delete(f"/api/v1/brokers/connections/{alices['zerodha'].pk}")
    assert look(as_bob, given).json()["error"]["code"] == "no_broker_connections"


def test_what_only_the_owner_can_do_is_not_said(
    alice: User, as_bob: Client, bob: User, alices: Alices, control: Control
) -> None:
    given = grant(alice, "bob", alices["upstox"])
    look(as_bob, given)
    cache.clear()
    control.set_fault("upstox", "down")
    [source] = look(as_bob, given).json()["sources"]
    assert source["state"] == "STALE"
    assert source["error_code"]
    assert source["user_action"] is None
    cache.clear()
    assert look(as_bob, given, "?stale=exclude").json()["positions"] == []
    assert look(as_bob, given, "?stale=odd").status_code == 400


def test_looking_writes_nothing_of_the_viewers_or_the_owners(
    alice: User, as_bob: Client, bob: User, alices: Alices
) -> None:
    look(as_bob, grant(alice, "bob", alices["upstox"]))
    assert not ConsolidatedPosition.objects.exists()


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_a_viewer_can_do_nothing_with_the_connection(
    verb: str, alice: User, as_bob: Client, bob: User, alices: Alices
) -> None:
    grant(alice, "bob", alices["upstox"])
    path = f"/api/v1/brokers/connections/{alices['upstox'].pk}"
    body = {"display_name": "mine"}
    assert getattr(as_bob, verb)(path, body, content_type="application/json").status_code == 404
    assert as_bob.post(f"{path}/refresh").status_code == 404
    assert as_bob.get(f"/api/v1/health/connections/{alices['upstox'].pk}/timeline").status_code == 404
    assert as_bob.get("/api/v1/brokers/connections").json() == []
