"""How often a session is used: counted as calls end, one event per connection and hour."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from accounts import audit
from accounts.events import Event
from accounts.models import AuditEntry, User
from brokers import token_use
from brokers.breaker import Kind
from brokers.models import BrokerConnection
from brokers.shared import ledger
from portfolio import services as portfolio

HOUR = timedelta(hours=1)


@pytest.fixture
def hour() -> datetime:
    return timezone.now().replace(minute=0, second=0, microsecond=0)


def used(redis: Redis, account: str, kind: Kind, *, at: datetime, times: int = 1) -> None:
    """As the gate counts."""
    hours, hour = token_use.place(at)
    redis.eval(token_use.LUA + "count_use(KEYS[1], KEYS[2], ARGV[1])", 2, hours, hour, token_use.field(account, kind))
    if times > 1:
        used(redis, account, kind, at=at, times=times - 1)


def events() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event=Event.BROKER_CALLS).order_by("sequence"))


def test_real_calls_are_counted_by_class(
    governed: Redis, alice: User, alices: dict[str, BrokerConnection], hour: datetime
) -> None:
    portfolio.consolidated(alice, now=timezone.now())
    assert token_use.sum_up(hour) == 0  # the hour is not over
    token_use.sum_up(hour + 3 * HOUR)
    told = {event.object_id: event for event in events()}
    for connection in alices.values():
        event = told[str(connection.pk)]
        assert (event.object_kind, event.subject_id, event.actor) == ("connection", alice.pk, "system")
        assert event.details["calls"]["portfolio"] >= 2
    logins = told[f"login-{alice.pk}"]
    assert (logins.object_kind, logins.subject_id) == ("login", alice.pk)
    assert "session" in logins.details["calls"]


def test_each_hour_and_connection_is_one_event(
    governed: Redis, alice: User, alices: dict[str, BrokerConnection], hour: datetime
) -> None:
    governed.flushdb()
    account = str(alices["upstox"].pk)
    for kind, times in ((Kind.PORTFOLIO, 3), (Kind.SESSION, 2)):
        used(governed, account, kind, at=hour - HOUR, times=times)
    used(governed, account, Kind.DATA, at=hour)
    assert token_use.sum_up(hour + timedelta(minutes=4)) == 0  # a call of that hour may still be under way
    assert token_use.sum_up(hour + timedelta(minutes=5)) == 1
    assert token_use.sum_up(hour + timedelta(minutes=6)) == 0
    assert events()[0].details == {
        "hour": (hour - HOUR).strftime("%Y-%m-%dT%H:00:00Z"),
        "calls": {"portfolio": 3, "session": 2},
    }
    assert token_use.sum_up(hour + 2 * HOUR) == 1
    assert not governed.keys(f"{token_use.HOURS}*")


def test_what_was_written_and_not_forgotten_is_not_written_twice(
    governed: Redis, db: None, hour: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    governed.flushdb()
    used(governed, "login-7", Kind.SESSION, at=hour - HOUR)

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(token_use, "_forget", die)
        with pytest.raises(KeyboardInterrupt):
            token_use.sum_up(hour + HOUR)
    assert token_use.sum_up(hour + HOUR) == 0
    assert len(events()) == 1


def test_accounts_that_are_gone_are_told_without_a_person(governed: Redis, db: None, hour: datetime) -> None:
    governed.flushdb()
    used(governed, "8d0a6a4e-6a0a-4a3e-9a51-1d2f3a4b5c6d", Kind.DATA, at=hour - HOUR)
    used(governed, "odd", Kind.DATA, at=hour - HOUR)
    assert token_use.sum_up(hour + HOUR) == 2
    assert [event.subject_id for event in events()] == [None, None]
    assert audit.head()[0] == 2


def test_while_redis_is_away_nothing_is_written_and_nothing_fails(
    governed: Redis, db: None, hour: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(governed, "login-7", Kind.DATA, at=hour - HOUR)
    monkeypatch.setattr(ledger(), "_is_away", True)
    monkeypatch.setattr(ledger(), "_ask_again_at", float("inf"))
    assert token_use.sum_up(hour + HOUR) == 0
    assert events() == []
