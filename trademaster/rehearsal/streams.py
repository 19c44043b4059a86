"""A stream process killed under load, in real time: two of them, traders with open pages, a market that moves."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from typing import Any
from uuid import uuid4

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from brokers import vault
from brokers.domain import ConnectionStatus, Exchange
from brokers.models import BrokerConnection
from brokers.push import channels, group_of
from brokers.shared import redis
from market.masters import load_master
from market.models import Instrument
from portfolio import services, watching
from portfolio.consolidate import consolidate
from portfolio.domain import LivePrice
from portfolio.live_host import WANTED
from portfolio.live_messages import DELTA, SNAPSHOT
from portfolio.loading import in_a_thread
from portfolio.marks import live_prices
from portfolio.presentation import present
from trademaster.local.house import House
from trademaster.rehearsal.table import Outcome

TRADERS = 20
ALLOWED_SECONDS = 10.0
LOAD_SECONDS = 12.0
SETTLE_SECONDS = 3.0
WATCH_SECONDS = 5.0
PATIENCE_SECONDS = 40.0
MASTER = "upstox"
NAMES = ("stream-1", "stream-2")


class Page:
    """One trader's open page, as far as it hears: when it was told something, and what does not follow on."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.told_at: float | None = None
        self.longest = 0.0
        self.messages = 0
        self.books: list[str] = []
        self.total: str | None = None
        self.gaps = 0
        self._place: tuple[str, int] | None = None
        self._name = ""

    async def open(self) -> None:
        self._name = await channels().new_channel()
        await channels().group_add(group_of(self.user_id), self._name)

    async def listen(self) -> None:
        while True:
            message = await channels().receive(self._name)
            if message["kind"] in (SNAPSHOT, DELTA):
                self._take(message["kind"], json.loads(message["data"]))

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        now = time.monotonic()
        if self.told_at is not None:
            self.longest = max(self.longest, now - self.told_at)
        self.told_at = now
        self.messages += 1
        place = data["book"], data["number"]
        if kind == DELTA and self._place is not None and place != (self._place[0], self._place[1] + 1):
            self.gaps += 1
        if data["book"] not in self.books:
            self.books.append(data["book"])
        self._place = place
        self.total = data["portfolio" if kind == SNAPSHOT else "delta"]["total_value"]


def rehearse(house: House) -> list[Outcome]:
    """Takes about a minute. The pages are closed, and the processes ended, when it is over."""
    if not Instrument.objects.filter(isin__isnull=False).exists():
        load_master(broker_type=MASTER, now=timezone.now())
    users = traders(User.objects.get(username=house.login["username"]))
    for name in NAMES:
        house.start_stream(name)
    try:
        return [async_to_sync(_killed)(house, users)]
    finally:
        house.control.freeze()
        for name in house.processes.keys() & set(NAMES):
            house.kill(name)
        redis().delete(watching.WATCHERS)
        # Checks of them may be under way, whose log would find no row any more.
        BrokerConnection.objects.filter(user__in=users[1:]).update(status=ConnectionStatus.DISCONNECTED)


def traders(first: User) -> list[int]:
    """Ids of the trader and others like them, with the same sessions under connections of their own."""
    own = list(BrokerConnection.objects.active().filter(user=first).values_list("pk", flat=True))
    ids = [first.pk]
    for number in range(1, TRADERS):
        user = User.objects.create_user(f"streamed-{number}")
        for key in own:
            connection = BrokerConnection.objects.get(pk=key)
            vault.open_all(connection)
            connection.pk, connection.user = uuid4(), user
            connection.save(force_insert=True)
        for app in first.broker_apps.all():
            vault.open_all(app)
            app.pk, app.user = None, user
            app.save(force_insert=True)
        ids.append(user.pk)
    return ids


async def _killed(house: House, users: list[int]) -> Outcome:
    outcome = Outcome(fault=f"a stream process killed, {len(users)} open pages", clock="real", within=ALLOWED_SECONDS)
    pages = [Page(user_id) for user_id in users]
    for page in pages:
        await page.open()
    tasks = [asyncio.create_task(page.listen()) for page in pages] + [asyncio.create_task(_watch(users))]
    try:
        await in_a_thread(house.control.freeze, False)
        await _until(lambda: all(page.messages > 3 for page in pages))
        await asyncio.sleep(LOAD_SECONDS)
        before = [len(page.books) for page in pages]
        for page in pages:
            page.longest = 0.0
        began = time.monotonic()
        victim = await in_a_thread(_busiest, house, users)
        await in_a_thread(house.kill, victim)
        await asyncio.sleep(LOAD_SECONDS)
        moved = [page for page, count in zip(pages, before, strict=True) if len(page.books) > count]
        outcome.seen_after = outcome.healed_after = max(page.longest for page in pages)
        if not moved:
            outcome.lost.append(f"nobody was moved from {victim} in {time.monotonic() - began:.0f} s")
        await in_a_thread(house.control.freeze)
        # What no stream tells, such as a listing that nobody can match, is as the brokers last told it.
        await asyncio.sleep(settings.LIVE_REFRESH_SECONDS + SETTLE_SECONDS)
        outcome.lost += await _wrong(pages, (await in_a_thread(house.control.market))["prices"])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return outcome


async def _watch(users: list[int]) -> None:
    while True:
        for user_id in users:
            await in_a_thread(watching.watch, user_id)
        await asyncio.sleep(WATCH_SECONDS)


async def _until(is_so: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.1)


def _busiest(house: House, users: list[int]) -> str:
    """The process that hosts the most pages."""
    hosts: list[bytes | None] = redis().mget([watching.host_key(user_id) for user_id in users])  # type: ignore[assignment]
    pids = [host.decode().split(":")[-2] for host in hosts if host is not None]
    return max(NAMES, key=lambda name: pids.count(str(house.processes[name].pid)))


async def _wrong(pages: list[Page], market: dict[str, dict[str, str]]) -> list[str]:
    """Where a page's last total is not what a full recompute gives."""
    lost = []
    for page in pages:
        page.total = None
        await in_a_thread(redis().publish, WANTED, str(page.user_id))
    await _until(lambda: all(page.total is not None for page in pages))
    for page in pages:
        right = await in_a_thread(_right_total, page.user_id, market)
        if Decimal(page.total or 0) != Decimal(right):
            lost.append(f"user {page.user_id}: total {page.total} instead of {right}")
        if page.gaps:
            lost.append(f"user {page.user_id}: {page.gaps} gaps")
    return lost


def _right_total(user_id: int, market: dict[str, dict[str, str]]) -> str:
    """A full recompute of what the brokers answer now, at the prices that the simulated market itself tells."""
    sources, borrowed = services.fetched_sources(User.objects.get(pk=user_id), now=timezone.now())
    shares, latest = {}, {}
    for row in Instrument.objects.exclude(isin=None).exclude(exchange_token=None).filter(ended_on=None):
        price = market.get(f"{row.exchange}:{row.tradingsymbol}")
        if price is not None:
            key = Exchange(row.exchange), str(row.exchange_token)
            shares[key] = str(row.isin)
            latest[key] = LivePrice(
                exchange=key[0], price=Decimal(price["last"]), close=None, source="", as_of=timezone.now()
            )
    book = consolidate(user_id, sources, now=timezone.now(), borrowed=borrowed, streamed=live_prices(latest, shares))
    total: str = present(book)["total_value"]
    return total
