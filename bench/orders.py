"""Orders: from accepted to handed to the broker, beyond the broker's own latency; and how many a second, reconciled.

One process sends, as the web process does, to simulated brokers over HTTP; budgets are off, because they would bind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from statistics import median, quantiles
from typing import Any

from django.db import connections as databases
from django.utils import timezone

from accounts.models import User
from bench.table import Aim, Figure
from brokers.models import BrokerConnection
from brokers.transport import Deadline, Transport
from market.masters import load_master
from market.models import Instrument, InstrumentListing
from orders import reconciling, sending
from orders.models import ChildOrder, IntentStatus, OrderIntent, RoutingDecision
from trademaster.local.house import House
from trademaster.rehearsal.passed import rehearsed_run

SINGLE, WARM = 150, 10
MANY, THREADS = 400, 16
MOST_MS = 25.0
SHARE = "INFY"


def measure(house: House) -> list[Figure]:
    trader = User.objects.get(username=house.login["username"])
    now = timezone.now()
    for slug in house.slugs:
        if not InstrumentListing.objects.filter(broker_type=slug).exists():
            load_master(broker_type=slug, now=now)
        book = house.control.book(slug)
        book["funds"]["opening_balance"] = "900000000"
        house.control.set_book(slug, book)
    BrokerConnection.objects.filter(user=trader).update(trading_enabled_at=now)
    own = list(BrokerConnection.objects.filter(user=trader))
    share = Instrument.objects.get(exchange="NSE", tradingsymbol=SHARE)
    price = Decimal(house.control.market()["prices"][f"NSE:{SHARE}"]["last"]).quantize(Decimal(1))
    with handed_at() as handed:
        waits = [_handed(handed, *_wish(trader, share, price, own[number % len(own)])) for number in range(SINGLE)]
    percentiles = quantiles(waits[WARM:], n=100, method="inclusive")
    rate = _rate([_wish(trader, share, price, own[number % len(own)]) for number in range(MANY)])
    taken = ChildOrder.objects.exclude(broker_order_id=None).count()
    note = f"{SINGLE - WARM} orders, one after the other, at {len(own)} brokers"
    return [
        Figure(name="order accepted → handed to the broker, p50", value=median(waits[WARM:]), unit="ms", note=note),
        Figure(name="the same, p99", value=percentiles[98], unit="ms", aim=Aim(MOST_MS), note=note),
        Figure(
            name="orders a second, reconciled meanwhile",
            value=rate,
            unit="/s",
            note=f"{MANY} from {THREADS} threads; {taken} of {SINGLE + MANY} taken",
        ),
    ]


def _wish(
    trader: User, share: Instrument, price: Decimal, connection: BrokerConnection
) -> tuple[OrderIntent, RoutingDecision]:
    now = timezone.now()
    intent = OrderIntent.objects.create(
        user=trader,
        instrument=share,
        side="BUY",
        order_type="LIMIT",
        product="CNC",
        validity="DAY",
        quantity=1,
        price=price,
        exchanges=["NSE"],
        created_at=now,
        status=IntentStatus.WORKING,
        status_since=now,
    )
    children = [{"connection_id": str(connection.pk), "exchange": "NSE", "quantity": "1"}]
    answer = {"children": children, "checks": rehearsed_run()}
    decision = RoutingDecision.objects.create(
        intent=intent,
        made_at=now,
        problem={},
        answer=answer,
        solver="bench",
        microseconds=0,
    )
    return intent, decision


@contextmanager
def handed_at() -> Iterator[list[float]]:
    """When each request left our code for the socket, by the monotonic clock."""
    before = Transport._send
    times: list[float] = []

    def send(self: Transport, method: str, url: str, request: Mapping[str, Any], deadline: Deadline) -> Any:
        times.append(time.monotonic())
        return before(self, method, url, request, deadline)

    Transport._send = send  # type: ignore[method-assign]
    try:
        yield times
    finally:
        Transport._send = before  # type: ignore[method-assign]


def _handed(times: list[float], intent: OrderIntent, decision: RoutingDecision) -> float:
    times.clear()
    began = time.monotonic()
    sending.send(intent=intent, decision=decision, now=timezone.now())
    return (times[0] - began) * 1000


def _rate(wishes: list[tuple[OrderIntent, RoutingDecision]]) -> float:
    """Of many at once, with everything that is due read every second."""
    ending = threading.Event()

    def reconcile() -> None:
        try:
            while not ending.wait(1.0):
                reconciling.run(timezone.now())
        finally:
            databases.close_all()

    def send(wish: tuple[OrderIntent, RoutingDecision]) -> None:
        try:
            sending.send(intent=wish[0], decision=wish[1], now=timezone.now())
        finally:
            databases.close_all()

    reconciler = threading.Thread(target=reconcile)
    reconciler.start()
    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(send, wish) for wish in wishes]:
            done.result()
    seconds = time.monotonic() - began
    ending.set()
    reconciler.join()
    return len(wishes) / seconds
