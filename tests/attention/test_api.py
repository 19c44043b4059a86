"""`GET /api/v1/attention`: the same list, as JSON, for its owner alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import time_machine
from django.test import Client
from redis.exceptions import RedisError

from accounts.models import User
from brokers.domain import ConnectionStatus
from portfolio.risk.limits import Metric
from tests.attention.rows import account, breach
from trademaster.attention import gathering

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
ATTENTION = "/api/v1/attention"


def test_it_is_told_with_its_remedy(alice: User, as_alice: Client) -> None:
    with time_machine.travel(NOW, tick=False):
        row = breach(alice, NOW, Metric.DAY_LOSS, "BLOCK")
        answer = as_alice.get(ATTENTION).json()
    (item,) = answer["items"]
    assert (answer["counted"], answer["as_of"]) == (1, "2026-11-26T05:00:00Z")
    assert item == {
        "code": "limit_reached",
        "key": f"breach:{row.pk}:BLOCK",
        "tone": "bad",
        "subject": "The day's loss",
        "words": "The day's loss has reached its block level.",
        "meaning": "What the limit says is done: orders may be held back until it is kept again.",
        "remedy": {
            "label": "Take note",
            "method": "post",
            "href": f"/api/v1/risk/breaches/{row.pk}/acknowledge",
            "body": {},
        },
        "href": "/risk/#limits",
        "since": "2026-11-26T05:00:00Z",
        "amount": "2.50",
        "quantity": None,
        "happened": False,
    }
    with time_machine.travel(NOW, tick=False):
        assert as_alice.post(item["remedy"]["href"], "{}", content_type="application/json").status_code == 200
        assert gathering.items(alice, NOW) == []


def test_one_persons_answer_is_nobody_elses(alice: User, as_alice: Client, as_mallory: Client) -> None:
    """Nor by the two seconds for which it is kept."""
    account(alice, NOW, status=ConnectionStatus.TOKEN_EXPIRED)
    assert as_alice.get(ATTENTION).json()["counted"] == 1
    assert as_mallory.get(ATTENTION).json()["items"] == []


def test_many_pages_are_one_list(alice: User, as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = as_alice.get(ATTENTION).content
    account(alice, NOW, status=ConnectionStatus.TOKEN_EXPIRED)
    assert as_alice.get(ATTENTION).content == first
    monkeypatch.setattr(gathering, "redis", _Away)  # and with Redis away it is told all the same
    assert as_alice.get(ATTENTION).json()["counted"] == 1


class _Away:
    def get(self, key: str) -> None:
        raise RedisError

    def set(self, key: str, value: bytes, px: int) -> None:
        raise RedisError
