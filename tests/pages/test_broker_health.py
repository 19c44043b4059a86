"""The pages of brokers' health: of brokers as a whole, and of the trader's own accounts there; nobody else's."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from brokers import breaker, registry
from brokers.breaker import Kind, State
from brokers.models import BrokerConnection, ConnectionChange
from brokers.statuses import Actor
from health.models import BrokerHealthLog, CheckSchedule, Incident
from tests.conftest import signed_in

LIST, CARD = "/brokers/health/", "/brokers/health/upstox/"


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture(autouse=True)
def noon(time_machine: Any) -> None:
    """At half an hour before midnight, what was just measured already stands with a day that is not shown yet."""
    time_machine.move_to(timezone.now().replace(hour=6, minute=30))


@pytest.fixture
def row(alice: User) -> BrokerConnection:
    """Alice's, at a broker that was away for a while."""
    now = timezone.now()
    row = BrokerConnection.objects.create(
        user=alice, broker_type="upstox", account_id="ALICES1", display_name="Hers", status="CONNECTED"
    )
    CheckSchedule.objects.create(broker_connection=row, broker_type="upstox", check_type="SESSION", last_checked_at=now)
    BrokerHealthLog.objects.bulk_create(
        BrokerHealthLog(
            broker_connection=row,
            status="CONNECTED" if number else "ERROR",
            error_code="" if number else "broker_unavailable",
            response_time_ms=80 if number else None,
            checked_at=now - timedelta(minutes=number + 1),
        )
        for number in range(9)
    )
    ConnectionChange.objects.create(
        broker_connection=row,
        to_status="ERROR",
        from_status="CONNECTED",
        actor=Actor.CALL,
        at=now - timedelta(minutes=3),
        error_code="broker_unavailable",
        reason="Nobody picked up.",
    )
    Incident.objects.create(
        broker_type="upstox",
        kind="PORTFOLIO_AWAY",
        opened_at=now - timedelta(minutes=90),
        closed_at=now - timedelta(minutes=30),
    )
    return row


def line(page: str, slug: str) -> str:
    """What stands of one broker in the list."""
    found = re.search(rf'data-testid="broker-health" data-broker="{slug}">.*?</tr>', page, re.DOTALL)
    assert found is not None
    return found.group()


def test_every_broker_has_a_line_and_unknown_is_a_dash(alice: User, row: BrokerConnection) -> None:
    page = signed_in(alice).get(LIST).content.decode()
    mine, other = line(page, "upstox"), line(page, "fyers")
    assert "ALICES1" in mine
    assert re.search(r"\d+ / \d+ ms", mine)
    assert "no answer 1" in mine
    assert "Not measured" in other
    assert "not connected" in other
    assert "ms" not in re.sub(r"<[^>]+>", "", other)
    assert all(f'href="/brokers/health/{slug}/"' in page for slug in registry.slugs())


def test_the_card_tells_of_days_incidents_and_the_own_account(alice: User, row: BrokerConnection) -> None:
    page = signed_in(alice).get(CARD).content.decode()
    assert page.count('<li data-tone="') == 30
    assert 'data-testid="latency-chart"' in page
    assert "Accounts cannot be read" in page
    assert "(1 h)" in page
    assert "Connected → Failing by a call to the broker. Nobody picked up (broker_unavailable)." in page
    assert "You sent it none in the last 30 days." in page


def test_the_table_says_which_half_hour_stands_with_the_next_day(alice: User, row: BrokerConnection) -> None:
    page = signed_in(alice).get(CARD).content.decode()
    assert "those from 23:30 to midnight stand with the next day. Uptime is of the exact day." in page


def test_another_sees_the_broker_and_nothing_of_the_account(mallory: User, row: BrokerConnection) -> None:
    client = signed_in(mallory)
    for page in (
        client.get(path).content.decode() for path in (LIST, CARD, f"{CARD}?account={row.pk}&before=2030-01-01")
    ):
        assert "no answer 1" in page
        for hers in ("ALICES1", "Hers", "Nobody picked up", str(row.pk)):
            assert hers not in page


def test_a_timeline_goes_on_where_it_stopped(alice: User, row: BrokerConnection) -> None:
    client, now = signed_in(alice), timezone.now()
    for number in range(45):
        ConnectionChange.objects.create(
            broker_connection=row,
            to_status="CONNECTED",
            actor=Actor.TRADER,
            at=now - timedelta(days=2, minutes=number),
            reason="",
        )
    page = client.get(CARD).content.decode()
    older = re.search(r'href="(\?account=[^"]+)#', page)
    assert older is not None
    next_page = client.get(CARD + older.group(1).replace("&amp;", "&")).content.decode()
    assert "You logged in." in next_page
    assert "Nobody picked up" not in next_page


@pytest.mark.parametrize("before", ["", "yesterday", "2026-99-99T00:00:00Z", "2026-11-01T00:00:00"])
def test_a_moment_that_is_none_shows_the_newest(alice: User, row: BrokerConnection, before: str) -> None:
    page = signed_in(alice).get(CARD, {"account": str(row.pk), "before": before})
    assert page.status_code == 200
    assert b"Nobody picked up" in page.content


def test_a_broker_that_is_none_is_not_found(alice: User) -> None:
    assert signed_in(alice).get("/brokers/health/none/").status_code == 404
    assert signed_in(alice).get("/connect/none").status_code == 404


def test_an_open_circuit_says_until_when_and_what_it_means(
    alice: User, row: BrokerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    open_one = breaker.Circuit(
        broker_type="upstox",
        kind=Kind.PORTFOLIO,
        state=State.OPEN,
        opened_at=now,
        retry_at=now,
        reason="broker_unavailable",
    )
    monkeypatch.setattr(breaker, "states", lambda *, now=None: (open_one,))
    client = signed_in(alice)
    assert "reading accounts: not asked now" in line(client.get(LIST).content.decode(), "upstox")
    card = client.get(CARD).content.decode()
    assert "after “no answer”" in card
    assert "It is tried again at" in card
    assert "stays in your totals" in card


def test_the_budget_is_told_where_there_is_one(
    alice: User, row: BrokerConnection, settings: Settings, governed: object
) -> None:
    client = signed_in(alice)
    assert re.search(r"\d+ of \d+", re.sub(r"<[^>]+>", "", line(client.get(LIST).content.decode(), "upstox")))
    settings.GOVERNOR_ENABLED = False
    assert "Budgets are switched off" in client.get(CARD).content.decode()


def test_it_takes_as_many_queries_for_seven_accounts_as_for_one(
    alice: User, row: BrokerConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in(alice)
    for slug in registry.slugs():
        BrokerConnection.objects.create(user=alice, broker_type=slug, account_id="A2", status="CONNECTED")
    client.get(LIST)
    with django_assert_max_num_queries(10):
        client.get(LIST)


def test_support_is_led_to_its_desk(sam: User) -> None:
    client: Client = signed_in(sam)
    assert [client.get(path).status_code for path in (LIST, CARD)] == [302, 302]
