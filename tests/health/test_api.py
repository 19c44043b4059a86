"""What a trader is told of brokers and of their own connections, and nobody of anybody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection, ConnectionChange
from brokers.statuses import Actor
from health import circuits as circuit_module
from health import reports, rollups, services, timeline
from health.circuits import Circuits
from health.models import BrokerHealthLog, CheckType, Incident
from tests.health.test_claims import FakeCircuit

NOW = datetime(2026, 1, 14, 6, 30, tzinfo=UTC)
BROKERS = "/api/v1/health/brokers"


def report(slug: str, **query: Any) -> tuple[str, Any]:
    return f"{BROKERS}/{slug}/report", query


def timeline_of(connection: BrokerConnection) -> str:
    return f"/api/v1/health/connections/{connection.pk}/timeline"


def log(connection: BrokerConnection, at: datetime, code: str = "", **facts: Any) -> BrokerHealthLog:
    return BrokerHealthLog.objects.create(
        broker_connection=connection,
        checked_at=at,
        **{"status": "ERROR" if code else "CONNECTED", "error_code": code, "response_time_ms": 100, **facts},
    )


@pytest.fixture
def history(alice: User, bob: User) -> dict[str, BrokerConnection]:
    """An hour of checks of Alice's and Bob's, an outage of Zerodha, and a blocked account of Bob's."""
    now = timezone.now()
    rows = {
        name: BrokerConnection.objects.create(
            user=user,
            broker_type=slug,
            account_id=f"{name}-account",
            display_name=f"{name}'s own words",
            next_health_check_at=now,
        )
        for name, user, slug in (("alice", alice, "zerodha"), ("bob", bob, "zerodha"))
    }
    for minutes in range(60):
        for row in rows.values():
            log(row, now - timedelta(minutes=minutes), "broker_unavailable" if 20 <= minutes < 26 else "")
    services.enrol(now)
    facts: dict[str, Any] = {"broker_type": "zerodha"}
    Incident.objects.create(
        **facts, kind="WIDESPREAD", opened_at=now - timedelta(minutes=25), closed_at=now - timedelta(minutes=20)
    )
    Incident.objects.create(
        **facts,
        kind="ERROR",
        broker_connection=rows["alice"],
        opened_at=now - timedelta(minutes=3),
        message="No answer.",
    )
    Incident.objects.create(
        **facts,
        kind="SUSPENDED",
        broker_connection=rows["bob"],
        opened_at=now - timedelta(minutes=5),
        error_code="access_suspended",
        message="Bob's account is blocked.",
    )
    for row in rows.values():
        row.check_schedules.update(last_checked_at=now, last_status="CONNECTED")
    return rows


def test_every_broker_and_the_traders_own_connections(as_alice: Client, history: dict[str, BrokerConnection]) -> None:
    answer = as_alice.get(BROKERS).json()
    assert [one["broker_type"] for one in answer["brokers"]] == list(registry.slugs())
    zerodha = answer["brokers"][0]
    assert (zerodha["state"], zerodha["checks"], zerodha["failures"]) == ("UP", 120, 12)
    assert zerodha["error_classes"] == {"broker_unavailable": 12}
    assert 93 <= zerodha["p50_ms"] <= 108
    assert {one["check_type"]: one["checks"] for one in zerodha["checks_by_type"]} == {
        "SESSION": 120, "HOLDINGS": 0, "QUOTES": 0, "ORDERS": 0
    }  # fmt: skip
    [own] = zerodha["connections"]
    assert (own["id"], own["checks"], own["failures"]) == (str(history["alice"].pk), 60, 6)
    assert own["open_incident"]["kind"] == "ERROR"
    assert {row["check_type"] for row in own["schedule"]} == set(CheckType)
    fyers = next(one for one in answer["brokers"] if one["broker_type"] == "fyers")
    assert (fyers["state"], fyers["uptime_pct"]["30d"], fyers["p50_ms"]) == ("UNKNOWN", None, None)
    assert fyers["connections"] == []


def test_the_checks_of_all_accounts_are_counted_once_for_everybody(
    as_alice: Client, as_mallory: Client, history: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are millions in an hour; what concerns the trader alone is as it is now."""
    monkeypatch.setattr(reports, "PAGE_CACHE_SECONDS", 600)
    first = as_alice.get(BROKERS).json()["brokers"]
    monkeypatch.setattr(reports, "records", None)
    for client in (as_alice, as_mallory):
        again = client.get(BROKERS).json()["brokers"]
        assert [{**one, "connections": []} for one in again] == [{**one, "connections": []} for one in first]


def test_uptime_is_of_whole_brokers_or_of_ones_own(as_alice: Client, history: dict[str, BrokerConnection]) -> None:
    """Bob's blocked account is no fault of the broker's, and Alice's own trouble lasts for three minutes."""
    zerodha = as_alice.get(BROKERS).json()["brokers"][0]
    down = float(zerodha["uptime_pct"]["24h"])
    assert 90 < down < 100
    own = float(zerodha["connections"][0]["uptime_pct"]["24h"])
    assert own > down
    Incident.objects.filter(broker_connection=None).update(planned=True)
    cache.clear()
    assert as_alice.get(BROKERS).json()["brokers"][0]["uptime_pct"]["24h"] == "100.000"


def test_nothing_of_anybody_else_is_told(as_mallory: Client, history: dict[str, BrokerConnection]) -> None:
    for path, query in ((BROKERS, {}), report("zerodha"), report("zerodha", days=90)):
        answer = as_mallory.get(path, query)
        assert answer.status_code == 200
        text = answer.content.decode()
        for row in history.values():
            for secret in (str(row.pk), row.account_id, row.display_name, "blocked", "access_suspended", "No answer"):
                assert secret not in text
    assert all(one["connections"] == [] for one in as_mallory.get(BROKERS).json()["brokers"])
    for row in history.values():
        answer = as_mallory.get(timeline_of(row))
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", [BROKERS, report("zerodha")[0]])
def test_only_traders_are_let_in(path: str, client: Client, as_sam: Client) -> None:
    assert client.get(path).status_code == 401
    assert as_sam.get(path).status_code == 403
    assert as_sam.post(path).status_code in (403, 405)


def test_a_circuit_shows(as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    away = FakeCircuit("groww", opened_at=NOW, retry_at=NOW + timedelta(minutes=1))
    monkeypatch.setattr(circuit_module, "current", lambda now: Circuits([away]))
    groww = next(one for one in as_alice.get(BROKERS).json()["brokers"] if one["broker_type"] == "groww")
    assert groww["circuits"] == [
        {"kind": "portfolio", "state": "open", "opened_at": "2026-01-14T06:30:00Z", "retry_at": "2026-01-14T06:31:00Z"}
    ]


@pytest.mark.parametrize(
    ("kind", "planned", "state"),
    [
        ("WIDESPREAD", False, "DOWN"),
        ("PORTFOLIO_AWAY", False, "DOWN"),
        ("SESSION_AWAY", False, "DOWN"),
        ("DATA_AWAY", False, "DEGRADED"),
        ("ORDERS_AWAY", False, "DEGRADED"),
        ("MAINTENANCE", True, "MAINTENANCE"),
    ],
)
def test_an_open_incident_is_the_state(
    kind: str, planned: bool, state: str, as_alice: Client, history: dict[str, BrokerConnection]
) -> None:
    opened_at = timezone.now() - timedelta(minutes=9)
    Incident.objects.create(broker_type="zerodha", kind=kind, planned=planned, opened_at=opened_at)
    zerodha = as_alice.get(BROKERS).json()["brokers"][0]
    assert (zerodha["state"], datetime.fromisoformat(zerodha["since"])) == (state, opened_at)
    assert [one["kind"] for one in zerodha["open_incidents"]] == [kind]


@pytest.mark.parametrize(
    ("opened", "state", "since"),
    [
        ({"MAINTENANCE": 30, "WIDESPREAD": 20, "DATA_AWAY": 40}, "DOWN", 20),
        ({"MAINTENANCE": 30, "DATA_AWAY": 20}, "DEGRADED", 20),
        ({"SESSION_AWAY": 20, "PORTFOLIO_AWAY": 10}, "DOWN", 20),
    ],
)
def test_of_several_open_incidents_those_that_make_the_state_say_since_when(
    opened: dict[str, int], state: str, since: int, as_alice: Client, history: dict[str, BrokerConnection]
) -> None:
    now = timezone.now()
    for kind, minutes in opened.items():
        planned = kind == "MAINTENANCE"
        opened_at = now - timedelta(minutes=minutes)
        Incident.objects.create(broker_type="zerodha", kind=kind, planned=planned, opened_at=opened_at)
    zerodha = as_alice.get(BROKERS).json()["brokers"][0]
    assert zerodha["state"] == state
    assert datetime.fromisoformat(zerodha["since"]) == now - timedelta(minutes=since)


# --- the report card --------------------------------------------------------------------------------------------------
def test_a_report_card(as_alice: Client, history: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    path, query = report("zerodha", days=7)
    card = as_alice.get(path, query).json()
    assert (card["days"], card["checks"], card["failures"]) == (7, 120, 12)
    assert card["longest_outage_seconds"] == 300
    assert [one["kind"] for one in card["incidents"]] == ["WIDESPREAD"]
    assert len(card["daily"]) == 7
    assert card["daily"][0]["uptime_pct"] is None
    assert card["daily"][-1]["date"] == timezone.localdate().isoformat()


def test_a_report_card_is_the_same_from_hours_as_from_raw_checks(
    as_alice: Client, history: dict[str, BrokerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    before = as_alice.get(*report("zerodha")).json()
    rollups.roll_up(timezone.now() + timedelta(hours=2))
    BrokerHealthLog.objects.all().delete()
    assert as_alice.get(*report("zerodha")).json() == before


@pytest.mark.parametrize(
    ("slug", "query", "code"),
    [
        ("zerodha", {"days": 0}, "invalid_input"),
        ("zerodha", {"days": 91}, "invalid_input"),
        ("zerodha", {"days": "many"}, "invalid_input"),
        ("nobody", {}, "unsupported_broker"),
    ],
)
def test_a_report_that_cannot_be(slug: str, query: dict[str, Any], code: str, as_alice: Client) -> None:
    answer = as_alice.get(*report(slug, **query))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_it_costs_the_same_however_many_connections(
    as_alice: Client,
    alice: User,
    history: dict[str, BrokerConnection],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    BrokerConnection.objects.bulk_create(
        BrokerConnection(user=alice, broker_type="groww", account_id=str(number)) for number in range(20)
    )
    with django_assert_max_num_queries(20):
        assert as_alice.get(BROKERS).status_code == 200


# --- the timeline -----------------------------------------------------------------------------------------------------
@pytest.fixture
def told(alice: User) -> BrokerConnection:
    """Two days of a connection: a login, checks that fail for a while, an incident, a session that ends."""
    row = BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="A1")
    change = {"broker_connection": row, "reason": "…"}
    login = NOW - timedelta(days=1)
    ConnectionChange.objects.create(**change, to_status="CONNECTED", actor=Actor.TRADER, at=login)
    for minutes in range(1, 11):
        log(row, login + timedelta(minutes=minutes), "broker_unavailable" if minutes in (4, 5, 6) else "")
        log(row, login + timedelta(minutes=minutes), check_type=CheckType.HOLDINGS)
    failed, healed = login + timedelta(minutes=4), login + timedelta(minutes=7)
    for status, before, at in (("ERROR", "CONNECTED", failed), ("CONNECTED", "ERROR", healed)):
        ConnectionChange.objects.create(**change, from_status=before, to_status=status, actor=Actor.CALL, at=at)
    Incident.objects.create(
        broker_type="zerodha", broker_connection=row, kind="ERROR", opened_at=failed, closed_at=healed
    )
    for minutes in range(3):
        log(row, NOW - timedelta(minutes=9 - minutes))
    return row


EXPECTED = [
    ("CHECKS", "SESSION", "CONNECTED", 3),
    ("CHECKS", "SESSION", "CONNECTED", 4),
    ("STATUS", None, "CONNECTED", None),
    ("CHECKS", "SESSION", "ERROR", 3),
    ("INCIDENT", None, "ERROR", None),
    ("STATUS", None, "ERROR", None),
    ("CHECKS", "HOLDINGS", "CONNECTED", 10),
    ("CHECKS", "SESSION", "CONNECTED", 3),
    ("LOGIN", None, "CONNECTED", None),
]


def briefly(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    found = [(one["kind"], one["check_type"], one["status"], one["count"]) for one in entries]
    moments = [one["at"] for one in entries]
    assert moments == sorted(moments, reverse=True)
    return found


def test_the_story_of_a_connection_newest_first(as_alice: Client, told: BrokerConnection) -> None:
    answer = as_alice.get(timeline_of(told)).json()
    assert sorted(briefly(answer["entries"]), key=str) == sorted(EXPECTED, key=str)
    assert answer["next"] is None
    first = answer["entries"][0]
    assert (first["at"], first["until"], first["p50_ms"]) == ("2026-01-14T06:21:00Z", "2026-01-14T06:23:00Z", 100)
    assert answer["entries"][-1]["by"] == "TRADER"


@pytest.mark.parametrize("limit", range(1, 10))
def test_pages_tell_everything_once(limit: int, as_alice: Client, told: BrokerConnection) -> None:
    found: list[tuple[Any, ...]] = []
    query: dict[str, Any] = {"limit": limit}
    for _ in range(20):
        page = as_alice.get(timeline_of(told), query).json()
        assert len(page["entries"]) <= limit + 2  # what happened in one moment stays together
        found += briefly(page["entries"])
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert sorted(found, key=str) == sorted(EXPECTED, key=str)


def test_a_page_is_short_however_many_checks(
    as_alice: Client, told: BrokerConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    BrokerHealthLog.objects.bulk_create(
        BrokerHealthLog(broker_connection=told, status="CONNECTED", checked_at=NOW - timedelta(seconds=number))
        for number in range(5000)
    )
    with django_assert_max_num_queries(12):
        entries = as_alice.get(timeline_of(told)).json()["entries"]
    assert len(entries) == len(EXPECTED)
    assert entries[0]["count"] == 5003


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 201}, {"before": "yesterday"}])
def test_a_page_that_cannot_be(query: dict[str, Any], as_alice: Client, told: BrokerConnection) -> None:
    answer = as_alice.get(timeline_of(told), query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")


def test_a_connection_without_a_story(alice: User) -> None:
    row = BrokerConnection.objects.create(user=alice, broker_type="zerodha", account_id="A1")
    assert timeline.page_of(row, before=NOW, limit=5) == {"entries": [], "next": None}


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()
