"""A stream process and live host within a test's own event loop, and an ear at the channel layer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from accounts.models import User
from brokers.push import channels, group_of
from market import streaming
from market.patience import Pace
from portfolio import live_host, watching
from portfolio.live_process import LiveProcess
from portfolio.loading import in_a_thread
from tests.samples import live_client

PATIENCE = 30.0
# For what must come by itself: before the brokers are asked for the whole book again, after 15 seconds.
SOON = 12.0
QUICK_STREAMS = streaming.Tempo(
    round=0.2, look=0.3, lease=2.0, poll=1.0, between_polls=0.3, pace=Pace(first=0.2, longest=1.0)
)
QUICK_HOST = live_host.Tempo(round=0.2, lease=2.0, between_asking=0.2, reconcile=1.0, settling=2.0)


@asynccontextmanager
async def running(owner: str = "one", **tempo: Any) -> AsyncIterator[LiveProcess]:
    process = LiveProcess(owner=owner, stream_tempo=QUICK_STREAMS, host_tempo=tempo.get("host", QUICK_HOST))
    task = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        process.stop()
        await task


class Ear:
    """Hears what is sent to a user's sockets, and keeps their copy as a client does: a gap is an error."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.heard: list[tuple[str, Any]] = []
        self.gaps = 0
        self.book: str | None = None
        self.number = 0
        self.portfolio: dict[str, Any] | None = None
        self._name = ""

    async def listen(self) -> None:
        layer = channels()
        self._name = await layer.new_channel()
        await layer.group_add(group_of(self.user.pk), self._name)
        await in_a_thread(watching.watch, self.user.pk)

    async def next(self, kinds: Collection[str] = ()) -> tuple[str, Any]:
        while True:
            message = await asyncio.wait_for(channels().receive(self._name), PATIENCE)
            kind, data = message["kind"], json.loads(message["data"])
            self._take(kind, data)
            self.heard.append((kind, data))
            if not kinds or kind in kinds:
                return kind, data

    async def until(self, is_so: Callable[[Ear], bool], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds):
            while not is_so(self):
                await self.next()

    def _take(self, kind: str, data: Any) -> None:
        if kind == "PORTFOLIO_SNAPSHOT":
            self.book, self.number, self.portfolio = data["book"], data["number"], data["portfolio"]
        elif kind == "PORTFOLIO_DELTA" and self.portfolio is not None:
            if (data["book"], data["number"]) != (self.book, self.number + 1):
                self.gaps += 1
            self.number = data["number"]
            delta = data["delta"]
            rows = {row["key"]: row for row in self.portfolio["positions"] if row["key"] not in delta["removed"]}
            rows |= {row["key"]: row for row in delta["positions"]}
            rows |= {row["key"]: live_client.moved(rows[row["key"]], row) for row in delta["moved"]}
            self.portfolio |= {
                name: value for name, value in delta.items() if name in self.portfolio and value is not None
            } | {"positions": list(rows.values())}

    def row(self, isin: str) -> dict[str, Any]:
        assert self.portfolio is not None
        row: dict[str, Any] = next(row for row in self.portfolio["positions"] if row["key"] == isin)
        return row

    def total(self) -> Decimal:
        assert self.portfolio is not None
        return Decimal(self.portfolio["total_value"])

    def prices(self) -> dict[str, Any]:
        """The latest word on the feeds."""
        told = [data for kind, data in self.heard if kind == "PRICE_STATE"]
        return told[-1] if told else {"brokers": [], "stale": None, "asked": None, "as_of": None}
