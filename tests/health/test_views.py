"""Liveness asks nothing; readiness names what is away."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client
from redis.exceptions import ConnectionError as RedisAway

from health import views


def test_live_needs_no_database(client: Client) -> None:
    """pytest refuses the database to a test that does not ask for it: none was asked."""
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})
    assert "no-store" in answer["Cache-Control"]


def test_ready(client: Client, db: None) -> None:
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "database": "ok", "redis": "ok"})


def test_redis_is_away(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def ping(self) -> bool:
            raise RedisAway("redis://:password@host")

    monkeypatch.setattr(views, "redis", Away)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "database": "ok", "redis": "away"})


def test_the_database_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def cursor(self) -> None:
            raise OperationalError("postgres://user:password@host")

    monkeypatch.setattr(views, "connection", Away())
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["database"]) == (503, "away")
    assert b"password" not in answer.content


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_only_reading(path: str, client: Client) -> None:
    assert client.post(path).status_code == 405
    assert client.head("/health/live").status_code == 200
