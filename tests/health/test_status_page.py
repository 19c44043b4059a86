"""The status page: for everybody, of brokers alone, and in words."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection
from health.models import BrokerHealthLog, CheckSchedule, Incident
from health.templatetags.health import day_tone, percent, seconds

NOBODY = "account-of-nobody-else"


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def busy(alice: User, bob: User) -> None:
    """Checks and troubles of two people's accounts, and one outage of a broker."""
    now = timezone.now()
    for user in (alice, bob):
        row = BrokerConnection.objects.create(
            user=user, broker_type="zerodha", account_id=f"{NOBODY}-{user.username}", display_name="My own words"
        )
        CheckSchedule.objects.create(
            broker_connection=row, broker_type="zerodha", check_type="SESSION", last_checked_at=now
        )
        BrokerHealthLog.objects.bulk_create(
            BrokerHealthLog(
                broker_connection=row,
                status="ERROR",
                error_code="private_trouble",
                error_message=f"{user.username} is blocked",
                checked_at=now - timedelta(minutes=number),
            )
            for number in range(37)
        )
        Incident.objects.create(
            broker_type="zerodha",
            broker_connection=row,
            kind="SUSPENDED",
            error_code="private_trouble",
            message=f"{user.username} is blocked",
            opened_at=now,
        )
    Incident.objects.create(
        broker_type="fyers", kind="PORTFOLIO_AWAY", message="told by a circuit", opened_at=now - timedelta(minutes=90)
    )


def test_everybody_sees_how_the_brokers_are(client: Client, busy: None) -> None:
    page = client.get("/status").content.decode()
    for broker in registry.brokers():
        assert f'data-broker="{broker.spec.slug}"' in page
    assert page.count('data-state="UP"') == 1
    assert page.count('data-state="DOWN"') == 1
    assert page.count('class="days"') == len(registry.slugs())
    assert "accounts cannot be read" in page
    assert "1 h 30 min" in page


@pytest.mark.parametrize("reader", ["client", "as_sam"])
def test_it_tells_nothing_of_anybody(reader: str, busy: None, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(reader).get("/status").content.decode()
    for secret in ("alice", "bob", NOBODY, "My own words", "private_trouble", "blocked", "told by a circuit"):
        assert secret not in page
    assert "report-cards" not in page
    assert not re.search(r"\b74\b", page)  # how many checks there were; a token may have the digits by chance
    for row in BrokerConnection.objects.all():
        assert str(row.pk) not in page


def test_the_states_do_not_tell_how_many_have_an_account(client: Client, busy: None) -> None:
    before = client.get("/status").content
    cache.clear()
    BrokerConnection.objects.filter(user__username="bob").delete()
    assert without_time(client.get("/status").content) == without_time(before)


def without_time(page: bytes) -> bytes:
    start, _, rest = page.partition(b"as of ")
    return start + rest[len("00:00:00") :]


def test_traders_see_the_report_cards(as_mallory: Client, busy: None) -> None:
    page = as_mallory.get("/status").content.decode()
    assert "report-cards" in page
    assert "private_trouble 74" in page
    for secret in ("alice", "bob", NOBODY, "My own words", "blocked"):
        assert secret not in page


def test_a_moments_readers_share_one_answer(
    client: Client, busy: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/status")
    with django_assert_num_queries(0):
        assert client.get("/status").status_code == 200


def test_a_quiet_house_has_a_page_too(client: Client, db: None) -> None:
    page = client.get("/status").content.decode()
    assert page.count('data-state="UNKNOWN"') == len(registry.slugs())
    assert "None in the last 30 days." in page


def test_announced_maintenance_is_no_news_once_it_is_over(client: Client, db: None) -> None:
    now = timezone.now()
    Incident.objects.create(
        broker_type="upstox", kind="MAINTENANCE", planned=True, opened_at=now - timedelta(hours=6), closed_at=now
    )
    assert "None in the last 30 days." in client.get("/status").content.decode()


def test_only_reading(client: Client, db: None) -> None:
    assert client.post("/status").status_code == 405


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (5400, "1 h 30 min"),
        (90061, "1 d 1 h"),
        (10801, "3 h"),
    ],
)
def test_lengths_in_words(length: int | None, words: str) -> None:
    assert seconds(length) == words


def test_figures_in_words() -> None:
    assert [percent(Decimal(text)) for text in ("100.000", "99.950", "0.000")] == ["100 %", "99.95 %", "0 %"]
    assert percent(None) == "–"
    assert [day_tone(value) for value in (None, Decimal(100), Decimal("99.5"), Decimal(98))] == [
        "off", "good", "warn", "bad"
    ]  # fmt: skip
