"""The books of the day over all brokers: newest first, read once for all who ask, and in nobody's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection as database

from accounts.models import User
from brokers.domain import BrokerOrder, OrderStatus, OrderType, Product, Rows, Side, Validity
from brokers.errors import BrokerUnavailable
from brokers.models import BrokerConnection
from brokers.wire import IST
from orders import calling, daybook, sending
from orders.models import SeenOrder
from tests.orders.conftest import NOW, Wish, later
from tests.orders.fakes import Desk, Desks, FakeClient

pytestmark = pytest.mark.django_db

Accounts = dict[str, BrokerConnection]


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch, desks: Desks) -> None:
    cache.clear()
    monkeypatch.setattr(calling, "clients_for", desks)


def placed_at(desk: Desk, order_id: str, at: datetime) -> None:
    desk.orders[order_id] = replace(desk.orders[order_id], placed_at=at)


def state_of(book: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {each["broker_type"]: (each["state"], each["error_code"]) for each in book["sources"]}


def test_the_newest_is_first_whatever_clock_it_was_told_by(
    wish: Wish, alice: User, accounts: Accounts, desks: Desks
) -> None:
    """A broker tells its times in IST; what is stored of another that cannot be asked is UTC."""
    intent, decision = wish(("zerodha", 10))
    sending.send(intent=intent, decision=decision, now=NOW, clients=desks)
    placed_at(desks[accounts["zerodha"]], "z-1", NOW.astimezone(IST))
    desks.away[accounts["upstox"].pk] = BrokerUnavailable("It cannot be reached.")
    for number, minutes in enumerate((-5, 5)):
        SeenOrder.objects.create(
            broker_connection=accounts["upstox"],
            broker_order_id=f"u-{number}",
            day=NOW.astimezone(IST).date(),
            exchange="NSE",
            tradingsymbol="INFY",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.CNC,
            validity=Validity.DAY,
            quantity=1,
            filled_quantity=0,
            status=OrderStatus.OPEN,
            placed_at=NOW + timedelta(minutes=minutes),
            seen_at=NOW,
        )
    rows = daybook.orders(alice, later(400))["orders"]
    assert [(row["broker_order_id"], row["placed_at"]) for row in rows] == [
        ("u-1", "2026-11-26T05:05:00.000Z"),
        ("z-1", "2026-11-26T05:00:00.000Z"),
        ("u-0", "2026-11-26T04:55:00.000Z"),
    ]


def test_a_mistake_of_ours_at_one_broker_hides_no_other(
    alice: User, accounts: Accounts, desks: Desks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reads = FakeClient.orders

    def mistaken(client: FakeClient) -> Rows[BrokerOrder]:
        if client.desk is desks[accounts["zerodha"]]:
            raise KeyError("status")
        return reads(client)

    monkeypatch.setattr(FakeClient, "orders", mistaken)
    book = daybook.orders(alice, NOW)
    assert state_of(book) == {"zerodha": ("MISSING", "unexpected_response"), "upstox": ("LIVE", None)}
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What waits for it goes on when the test ends, at the latest."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_book_waits_for_no_order_and_no_order_for_a_book(alice: User, accounts: Accounts, gate: Any) -> None:
    for submit in (calling.submit, calling.submit_reading):
        blockers = [submit("zerodha", gate.wait) for _ in range(calling.THREADS_PER_BROKER)]
        if submit is calling.submit:
            assert state_of(daybook.orders(alice, NOW))["zerodha"] == ("LIVE", None)
        else:
            assert calling.submit("zerodha", lambda: "sent").result(timeout=30) == "sent"
        gate.set()
        assert all(blocker.result(timeout=30) for blocker in blockers)
        gate.clear()


def test_a_reading_that_has_not_begun_in_time_is_not_made(
    alice: User, accounts: Accounts, desk: Desk, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daybook, "DEADLINE_SECONDS", 0.05)
    blockers = [calling.submit_reading("zerodha", gate.wait) for _ in range(calling.THREADS_PER_BROKER)]
    assert state_of(daybook.orders(alice, NOW))["zerodha"] == ("MISSING", "broker_unavailable")
    gate.set()
    assert all(blocker.result(timeout=30) for blocker in blockers)
    assert calling.submit_reading("zerodha", lambda: "next").result(timeout=30) == "next"
    assert desk.reads == 0


@pytest.mark.django_db(transaction=True)
def test_whoever_asks_while_a_book_is_read_gets_that_reading(
    alice: User, accounts: Accounts, desk: Desk, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anything kept, too: as when Redis is away."""
    monkeypatch.setattr(daybook, "KEPT_SECONDS", 0)
    begun, joined = threading.Event(), threading.Semaphore(0)

    class Watched(Future[Any]):
        """Tells that somebody waits for it."""

        def result(self, timeout: float | None = None) -> Any:
            joined.release()
            return super().result(timeout)

    monkeypatch.setattr(daybook, "Future", Watched)
    reads = FakeClient.orders

    def slow(client: FakeClient) -> Rows[BrokerOrder]:
        begun.set()
        gate.wait(timeout=30)
        return reads(client)

    monkeypatch.setattr(FakeClient, "orders", slow)
    monkeypatch.setattr(daybook, "DEADLINE_SECONDS", 30)

    def ask() -> dict[str, Any]:
        try:
            return daybook.orders(alice, NOW)
        finally:
            database.close()

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(ask)
        assert begun.wait(timeout=30)
        others = [pool.submit(ask) for _ in range(5)]
        for _ in others:
            assert joined.acquire(timeout=30)
        gate.set()
        answers = [each.result(timeout=30) for each in (first, *others)]
    assert all(answer == answers[0] for answer in answers)
    assert desk.reads == 1
