"""The tests that the specification names, over HTTP to brokers that speak the real wire."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from accounts.models import User
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from portfolio import services
from tests.people import SLUGS, connect, own_app

CONCURRENT_REQUESTS = 100
# Holdings, positions, funds; Upstox keeps funded positions apart.
PARTS_OF_A_PORTFOLIO = {"zerodha": 3, "upstox": 4}


def consolidated(user: User) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(services.consolidated(user, now=timezone.now()).include)
    return answer


@pytest.mark.parametrize("slug", SLUGS)
def test_should_connect_to_broker_via_oauth(slug: str, alice: User, brokers: SimulatedBrokers) -> None:
    own_app(alice, slug, brokers)
    connection = connect(alice, slug, brokers)
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.CONNECTED
    assert connection.broker_type == slug
    assert connection.account_id == brokers.control.book(slug)["account"]["user_id"]
    assert connection.session is not None
    assert connection.token_expires_at > timezone.now()
    assert brokers.control.overview()["brokers"][slug]["live_sessions"] == 1


def test_should_aggregate_portfolio_from_multiple_brokers(alice: User, alices: dict[str, BrokerConnection]) -> None:
    portfolio = consolidated(alice)
    assert portfolio["complete"] is True
    assert {part["broker_id"] for part in portfolio["broker_breakdown"]} == set(SLUGS)
    infosys = next(row for row in portfolio["positions"] if row["isin"] == "INE009A01021")
    # 120 at Zerodha (10 of them T1) for 1420.55 each and 80 at Upstox for 1502.10, listed at the BSE there.
    assert infosys["total_quantity"] == "200"
    assert infosys["total_cost"] == "290634.00"
    assert infosys["avg_price"] == "1453.17"
    assert {part["broker_id"] for part in infosys["broker_positions"]} == set(SLUGS)


def test_should_handle_broker_connection_failure(
    alice: User, alices: dict[str, BrokerConnection], control: Control
) -> None:
    control.set_fault("upstox", "down")
    portfolio = consolidated(alice)
    assert [part["broker_id"] for part in portfolio["broker_breakdown"]] == ["zerodha"]
    assert portfolio["complete"] is False
    missing = next(source for source in portfolio["sources"] if source["broker_id"] == "upstox")
    assert (missing["state"], missing["error_code"]) == ("MISSING", "broker_unavailable")
    assert float(portfolio["total_value"]) > 0


@pytest.mark.django_db(transaction=True)
def test_should_handle_multiple_concurrent_portfolio_requests(
    alice: User, alices: dict[str, BrokerConnection], control: Control
) -> None:
    everybody = Barrier(CONCURRENT_REQUESTS)

    def ask(_: int) -> bytes:
        everybody.wait(timeout=10)
        try:
            return services.consolidated(alice, now=timezone.now()).include
        finally:
            database.close()

    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as threads:
        answers = list(threads.map(ask, range(CONCURRENT_REQUESTS)))

    assert len(answers) == CONCURRENT_REQUESTS
    assert len(set(answers)) == 1
    assert json.loads(answers[0])["complete"] is True
    for slug in SLUGS:
        calls = control.counters(slug)
        assert len(calls) == PARTS_OF_A_PORTFOLIO[slug]
        assert set(calls.values()) == {1}, calls
