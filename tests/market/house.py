"""Connections to simulated brokers whose prices are wanted, and stream processes that are quick about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from redis.asyncio import Redis

from brokers.domain import Session
from brokers.simulation.server import SimulatedBrokers
from market.feed import FeedState
from market.mailbox import News
from market.patience import Pace
from market.pricing import Price, Rules
from market.publishing import PriceReader
from market.streaming import StreamProcess, Tempo, Wanted
from tests.contract.test_streams import SHARE, moved, streamed

FIRST, SECOND = "zerodha", "upstox"  # in the registry's order, so the first is preferred
QUICK = Tempo(
    round=0.05,
    look=0.05,
    lease=0.6,
    poll=0.2,
    between_polls=0.05,
    pace=Pace(first=0.05, longest=0.2, watch=0.05, tick_silence=0.4, longest_silence=0.4),
    rules=Rules(behind=timedelta(seconds=0.2), settled=timedelta(seconds=0.3), grace=timedelta(seconds=0.2)),
)


@dataclass
class House:
    """Connections that are wanted, and what became of them."""

    redis: Redis
    brokers: SimulatedBrokers
    wanted: dict[UUID, Wanted] = field(default_factory=dict)
    news: list[tuple[UUID, News]] = field(default_factory=list)
    is_open: bool = True

    async def provide(self) -> Mapping[UUID, Wanted]:
        return dict(self.wanted)

    async def hear(self, connection: UUID, session: Session, news: News) -> None:
        self.news.append((connection, news))

    def process(self, owner: str, *, tempo: Tempo = QUICK, **also: object) -> StreamProcess:
        return StreamProcess(
            self.redis,
            owner=owner,
            wanted=self.provide,
            on_news=self.hear,
            is_open=lambda exchange, now: self.is_open,
            tempo=tempo,
            **also,  # type: ignore[arg-type]
        )

    @asynccontextmanager
    async def running(self, owner: str = "one", **also: object) -> AsyncIterator[StreamProcess]:
        process = self.process(owner, **also)
        task = asyncio.create_task(process.run())
        try:
            yield process
        finally:
            process.stop()
            await asyncio.wait_for(task, timeout=20)

    def of(self, slug: str) -> UUID:
        return next(connection for connection, wanted in self.wanted.items() if wanted.broker == slug)

    async def fault(self, slug: str, kind: str) -> None:
        await asyncio.to_thread(self.brokers.control.set_fault, slug, kind)

    async def well(self, slug: str) -> None:
        await asyncio.to_thread(self.brokers.control.clear_faults, slug)

    async def move(self, key: str = SHARE) -> Decimal:
        return await asyncio.to_thread(moved, self.brokers.control, key)

    async def price(self, key: str = SHARE) -> Price | None:
        wanted = streamed(key)
        name = wanted.exchange, wanted.exchange_token
        return (await PriceReader(self.redis).latest([name])).prices.get(name)

    async def shows(self, condition: Callable[[Price], bool], key: str = SHARE) -> Price:
        async with asyncio.timeout(20):
            while (price := await self.price(key)) is None or not condition(price):
                await asyncio.sleep(0.01)
        return price

    async def moves_to(self, source: str) -> None:
        """Prices move, and what moves them is this broker's stream."""
        last = await self.move()
        price = await self.shows(lambda price: price.last_price == last and price.source == source)
        assert not price.stale


def live(process: StreamProcess) -> set[UUID]:
    return {
        connection
        for connection, feeds in process.reports().items()
        if feeds and all(report.state is FeedState.LIVE for report in feeds.values())
    }
