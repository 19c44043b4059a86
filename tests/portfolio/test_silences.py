"""When accounts did not answer today."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from accounts.models import User
from brokers.domain import ConnectionStatus as Status
from brokers.models import ConnectionChange
from brokers.statuses import Actor
from portfolio.silences import Change, spans
from tests.attention.rows import account

MIDNIGHT = datetime(2026, 11, 25, 18, 30, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=11)


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def change(hours: float, before: str, after: str) -> Change:
    return Change(at(hours), before, after)


@pytest.mark.parametrize(
    ("changes", "status", "found"),
    [
        ([], Status.CONNECTED, []),
        ([], Status.ERROR, [(Status.ERROR, MIDNIGHT, None)]),
        ([change(9, Status.TOKEN_EXPIRED, Status.CONNECTED)], Status.CONNECTED,
         [(Status.TOKEN_EXPIRED, MIDNIGHT, at(9))]),
        ([change(9, Status.CONNECTED, Status.ERROR), change(10, Status.ERROR, Status.CONNECTED)], Status.CONNECTED,
         [(Status.ERROR, at(9), at(10))]),
        ([change(9, Status.CONNECTED, Status.RATE_LIMITED), change(9.5, Status.RATE_LIMITED, Status.ERROR)],
         Status.ERROR, [(Status.ERROR, at(9), None)]),
        ([change(9, "", Status.CONNECTED)], Status.CONNECTED, []),
        ([change(9, Status.CONNECTED, Status.CONNECTED)], Status.CONNECTED, []),
    ],
    ids=["well all day", "away all day", "until the login", "for an hour", "one after the other", "new", "renewed"],
)  # fmt: skip
def test_a_silence_goes_from_the_first_trouble_to_the_next_answer(
    changes: list[Change], status: str, found: list[tuple[str, datetime, datetime | None]]
) -> None:
    assert spans(changes, status, MIDNIGHT) == found


def test_each_sees_those_of_their_own_accounts(alice: User, as_alice: Client, mallory: User) -> None:
    for user in (alice, mallory):
        row = account(user, NOW, status=Status.ERROR)
        ConnectionChange.objects.create(
            broker_connection=row, from_status=Status.CONNECTED, to_status=Status.ERROR, actor=Actor.CALL,
            reason="It does not answer.", at=at(10),
        )  # fmt: skip
    left = account(alice, NOW, "upstox", status=Status.DISCONNECTED)
    with time_machine.travel(NOW, tick=False):
        (told,) = as_alice.get("/api/v1/portfolio/silences").json()["silences"]
    assert told["display_name"] == "alice’s zerodha"
    assert (told["begun_at"], told["until"], told["status"]) == ("2026-11-26T04:30:00Z", None, "ERROR")
    assert told["connection_id"] != str(left.pk)
