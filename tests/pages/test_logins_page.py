"""The morning's queue as the server sends it: whole, before any script has run."""

from __future__ import annotations

import re

from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers.models import BrokerConnection
from tests.conftest import signed_in
from trademaster.demo import market_days


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def queue(user: User) -> tuple[str, list[str]]:
    """The headline, and the lines of the queue."""
    page = signed_in(user).get("/logins").content.decode()
    headline = re.search(r'data-testid="needing">(.*?)</h2>', page, re.DOTALL)
    listed = re.search(r'id="queue">(.*?)</ol>', page, re.DOTALL)
    assert headline is not None
    assert listed is not None
    return words(headline.group(1)).strip(), [words(row) for row in listed.group(1).split("</li>")[:-1]]


def connected(user: User, slug: str, status: str, name: str = "") -> BrokerConnection:
    return BrokerConnection.objects.create(
        user=user, broker_type=slug, account_id=f"{slug}-1", status=status, display_name=name, session_number=1
    )


def test_who_needs_a_login_stands_first(bob: User) -> None:
    connected(bob, "fyers", "CONNECTED", name="For the children")
    connected(bob, "upstox", "TOKEN_EXPIRED", name="Upstox upstox-1")
    headline, rows = queue(bob)
    assert headline == "1 of 2 needs you"
    assert " Upstox upstox-1 " in rows[0]
    assert "Log in" in rows[0]
    assert " For the children Fyers fyers-1 " in rows[1]
    connected(bob, "zerodha", "TOKEN_EXPIRED")
    assert queue(bob)[0] == "2 of 3 need you"


def test_nothing_of_anothers(bob: User, mallory: User) -> None:
    connected(bob, "upstox", "TOKEN_EXPIRED")
    connected(mallory, "fyers", "CONNECTED")
    headline, rows = queue(mallory)
    assert headline == "Nothing needs you"
    assert len(rows) == 1
    assert "upstox-1" not in rows[0]


def test_without_an_account_it_says_what_to_do(bob: User) -> None:
    page = signed_in(bob).get("/logins").content.decode()
    assert 'data-view="empty"' in page
    assert "No broker is connected yet" in page


def test_of_a_simulated_session_no_exchanges_hours_are_told(bob: User, settings: Settings) -> None:
    connected(bob, "fyers", "CONNECTED")
    said = "Simulated session: the market is open all day."
    client = signed_in(bob)
    assert said not in client.get("/logins").content.decode()
    settings.SIMULATED_BROKERS = True
    market_days.open_all_day(timezone.now())
    assert said in client.get("/logins").content.decode()
    market_days.follow_exchanges()
    assert said not in client.get("/logins").content.decode()
