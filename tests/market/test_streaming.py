"""Stream processes over simulated brokers, real sockets and a real Redis: prices go on whatever goes down."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from redis.asyncio import Redis

from accounts.models import User
from brokers import governor, reach, registry
from brokers.domain import Exchange, Listing, Session, Streamed, Tick
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import BookChanged, SessionOver
from market.feed import FeedState
from market.patience import Pace
from market.polling import Polled, Polling
from market.pricing import Price, Rules
from market.publishing import PriceReader
from market.streaming import News, StreamProcess, StreamUrls, Tempo, Wanted
from tests.contract.test_streams import OTHER_SHARE, SHARE, moved, streamed
from tests.market.feed_rig import eventually
from tests.market.redis import emptied
from tests.people import connect

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

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.fixture
async def house(alice: User, brokers: SimulatedBrokers) -> AsyncIterator[House]:
    """Alice's two connections, which want the same two shares."""
    async with emptied() as redis:
        house = House(redis, brokers)
        for slug in (FIRST, SECOND):
            connection = await sync_to_async(connect)(alice, slug, brokers)
            assert connection.session is not None
            url = str(brokers.brokers[slug]["stream_url"])
            house.wanted[connection.pk] = Wanted(
                broker=slug,
                app=await sync_to_async(reach.app_credentials)(alice, slug),
                session=connection.session,
                base_urls=StreamUrls(url, url),
                instruments=frozenset({streamed(SHARE), streamed(OTHER_SHARE)}),
            )
        await sync_to_async(connections.close_all)()
        yield house


class TestPrices:
    async def test_another_broker_goes_on_and_the_first_comes_back(self, house: House) -> None:
        async with house.running():
            await house.shows(lambda price: price.source == FIRST)
            await house.moves_to(FIRST)
            await house.fault(FIRST, "stream_down")
            await house.moves_to(SECOND)
            await house.well(FIRST)
            await house.shows(lambda price: True)
            async with asyncio.timeout(20):
                while True:
                    await house.move()
                    await asyncio.sleep(0.05)
                    if (price := await house.price()) is not None and price.source == FIRST:
                        break

    async def test_a_stream_that_falls_silent_is_left(self, house: House) -> None:
        async with house.running():
            await house.moves_to(FIRST)
            await house.fault(FIRST, "stream_silent")
            await house.moves_to(SECOND)

    async def test_without_any_stream_prices_are_stale_and_come_back(self, house: House) -> None:
        async with house.running():
            await house.moves_to(FIRST)
            for slug in (FIRST, SECOND):
                await house.fault(slug, "stream_down")
            for key in (SHARE, OTHER_SHARE):
                await house.shows(lambda price: price.stale, key)
            for slug in (FIRST, SECOND):
                await house.well(slug)
            await house.shows(lambda price: not price.stale)

    async def test_all_mute_is_stale_too(self, house: House) -> None:
        async with house.running() as process:
            await eventually(lambda: len(live(process)) == 2)
            await house.move()
            for slug in (FIRST, SECOND):
                await house.fault(slug, "stream_silent")
            await house.shows(lambda price: price.stale)

    async def test_in_a_closed_market_a_price_without_a_stream_is_as_good(self, house: House) -> None:
        async with house.running() as process:
            await house.moves_to(FIRST)
            house.is_open = False
            for slug in (FIRST, SECOND):
                await house.fault(slug, "stream_down")
            await eventually(lambda: not live(process))
            await asyncio.sleep(2 * QUICK.rules.grace.total_seconds())
            assert (await house.shows(lambda price: True)).stale is False

    async def test_wishes_are_followed(self, house: House) -> None:
        connection = house.of(FIRST)
        house.wanted = {connection: replace(house.wanted[connection], instruments=frozenset())}
        async with house.running() as process:
            await eventually(lambda: live(process) == {connection})
            house.wanted[connection] = replace(house.wanted[connection], instruments=frozenset({streamed(SHARE)}))
            await house.moves_to(FIRST)
            assert process.reports()[connection]["prices"].opened == 1
            house.wanted.clear()
            await eventually(lambda: not process.reports() and len(process.book) == 0)


def polled(key: str, slug: str) -> Polled:
    """What the broker's own master would say."""
    each, listing = load_instruments()[key], streamed(key)
    name = {"zerodha": f"{each.exchange}:{each.symbol}", "upstox": f"NSE_EQ|{each.isin}"}[slug]
    return Polled(
        listing,
        Listing(exchange=Exchange(each.exchange), tradingsymbol=each.symbol, broker_token=name, isin=each.isin),
    )


async def never(connection: UUID, session: Session, over: SessionOver) -> None:
    raise AssertionError("no session is over")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class TestWithoutStreams:
    """Both of Alice's connections may be asked for both shares. The real quotes of the simulated brokers answer."""

    @pytest.fixture(autouse=True)
    def askable(self, house: House) -> None:
        for connection, wanted in house.wanted.items():
            both = frozenset({polled(SHARE, wanted.broker), polled(OTHER_SHARE, wanted.broker)})
            house.wanted[connection] = replace(wanted, polled=both)

    async def test_with_all_streams_down_prices_are_asked_for_and_streams_take_over_again(
        self, house: House, threads: ThreadPoolExecutor
    ) -> None:
        async with house.running(poll=Polling(lambda slug: threads, never)):
            await house.moves_to(FIRST)
            for slug in (FIRST, SECOND):
                await house.fault(slug, "stream_down")
            for _ in range(2):
                last = await house.move()
                price = await house.shows(lambda price, last=last: price.last_price == last)
                assert (price.asked, price.stale) == (True, False)
                assert price.source in (FIRST, SECOND)
            for slug in (FIRST, SECOND):
                await house.well(slug)
            last = await house.move()
            await house.shows(lambda price: not price.asked and not price.stale and price.last_price == last)

    async def test_what_streams_is_not_asked_for(self, house: House, threads: ThreadPoolExecutor) -> None:
        async with house.running(poll=Polling(lambda slug: threads, never)) as process:
            await house.moves_to(FIRST)
            await eventually(lambda: len(live(process)) == 2)
            before = await asyncio.to_thread(quotes_asked, house)
            for _ in range(10):  # a stream that is mute for long is none
                for key in (SHARE, OTHER_SHARE):
                    await house.move(key)
                await asyncio.sleep(QUICK.poll / 2)
            assert await asyncio.to_thread(quotes_asked, house) == before

    async def test_one_call_brings_all_and_nobody_else_is_asked(
        self, house: House, threads: ThreadPoolExecutor
    ) -> None:
        for slug in (FIRST, SECOND):
            await house.fault(slug, "stream_down")
        asked: list[tuple[str, int]] = []

        class Counting(Polling):
            async def ask(self, connection: UUID, wanted: Wanted, polled: Sequence[Polled]) -> list[Tick] | None:
                asked.append((wanted.broker, len(polled)))
                return await super().ask(connection, wanted, polled)

        async with house.running(poll=Counting(lambda slug: threads, never)):
            for key in (SHARE, OTHER_SHARE):
                assert (await house.shows(lambda price: price.asked, key)).source == FIRST  # 1,000 quotes in one call
        assert set(asked) == {(FIRST, 2)}

    async def test_who_refuses_is_left_alone_and_another_is_asked(
        self, house: House, threads: ThreadPoolExecutor
    ) -> None:
        for slug in (FIRST, SECOND):
            await house.fault(slug, "stream_down")
        await asyncio.to_thread(house.brokers.control.set_fault, FIRST, "server_error", path="/quote")
        async with house.running(poll=Polling(lambda slug: threads, never)):
            assert (await house.shows(lambda price: price.asked)).source == SECOND

    async def test_where_nobody_answers_prices_go_stale(self, house: House, threads: ThreadPoolExecutor) -> None:
        async with house.running(poll=Polling(lambda slug: threads, never)):
            await house.moves_to(FIRST)
            for slug in (FIRST, SECOND):
                await house.fault(slug, "down")
                await house.fault(slug, "stream_down")
            for key in (SHARE, OTHER_SHARE):
                await house.shows(lambda price: price.stale, key)

    async def test_a_closed_market_is_not_asked(self, house: House, threads: ThreadPoolExecutor) -> None:
        house.is_open = False
        for slug in (FIRST, SECOND):
            await house.fault(slug, "stream_down")
        before = await asyncio.to_thread(quotes_asked, house)
        async with house.running(poll=Polling(lambda slug: threads, never)) as process:
            await eventually(lambda: len(process.reports()) == 2)
            await asyncio.sleep(5 * QUICK.poll)
        assert await asyncio.to_thread(quotes_asked, house) == before

    async def test_the_budget_is_left_to_the_trader(
        self, house: House, threads: ThreadPoolExecutor, governed: object
    ) -> None:
        """Asked for as fast as a loop can, a fifth of each window is taken: of Kite's one a second one in five."""
        began = time.monotonic()
        await asyncio.to_thread(house.brokers.control.reset_counters)
        for slug in (FIRST, SECOND):
            await house.fault(slug, "stream_down")
        hasty = replace(QUICK, poll=0.01, between_polls=0.01)
        process = house.process("one", poll=Polling(lambda slug: threads, never), tempo=hasty)
        task = asyncio.create_task(process.run())
        try:
            for _ in range(10):
                last = await house.move()
                await house.shows(lambda price: price.asked)
                await asyncio.sleep(0.1)
            spec = registry.load(FIRST).spec
            budget = await asyncio.to_thread(governor.budget, FIRST, str(house.of(FIRST)), "quotes")
            calls = await asyncio.to_thread(house.brokers.control.counters, FIRST)
            assert 1 <= calls["GET /quote/ohlc"] <= 1 + (time.monotonic() - began) / 5
            assert [each.left for each in budget.windows] == [1]
            own = governor.plan(spec, str(house.of(FIRST)), "quotes", "/quote")
            assert await asyncio.to_thread(governor.take, own) == 0
            calls = await asyncio.to_thread(house.brokers.control.counters, SECOND)
            assert 0 < calls["GET /v3/market-quote/ltp"] <= 10 * (1 + time.monotonic() - began)  # of 50 a second
            assert (await house.shows(lambda price: price.last_price == last)).source == SECOND
        finally:
            process.stop()
            await asyncio.wait_for(task, timeout=20)

    async def test_two_processes_do_not_take_it_from_each_other(
        self, house: House, threads: ThreadPoolExecutor
    ) -> None:
        """One holds the stream, the other a connection that may be asked: what streams stays streamed."""
        streaming, askable = house.of(SECOND), house.of(FIRST)
        house.wanted[streaming] = replace(house.wanted[streaming], polled=frozenset())
        house.wanted[askable] = replace(house.wanted[askable], instruments=frozenset())
        poll = Polling(lambda slug: threads, never)
        async with house.running("one", poll=poll), house.running("two", poll=poll):
            for _ in range(5):
                last = await house.move()
                price = await house.shows(lambda price, last=last: price.last_price == last and not price.asked)
                assert price.source == SECOND


def quotes_asked(house: House) -> int:
    return sum(
        count
        for slug in (FIRST, SECOND)
        for call, count in house.brokers.control.counters(slug).items()
        if "quote" in call
    )


class TestSessions:
    async def test_a_dead_session_is_told_once_and_not_tried_again(self, house: House) -> None:
        connection = house.of(FIRST)
        await asyncio.to_thread(house.brokers.control.revoke, FIRST)
        async with house.running() as process:
            await eventually(lambda: house.news.count((connection, OVER)))
            await asyncio.sleep(0.3)  # the sockets are real: there is no clock to move
            report = process.reports()[connection]["prices"]
            assert (report.state, report.opened) == (FeedState.OVER, 0)
            assert [news for news in house.news if news[0] == connection] == [(connection, OVER)]
            await house.moves_to(SECOND)

    async def test_a_new_session_opens_anew(self, house: House) -> None:
        connection = house.of(FIRST)
        alive = house.wanted[connection]
        dead = replace(alive.session, access_token=Secret("dead"))
        house.wanted[connection] = replace(alive, session=dead)
        async with house.running() as process:
            await eventually(lambda: SessionOver in [type(news) for _, news in house.news])
            house.wanted[connection] = alive
            await eventually(lambda: connection in live(process))

    async def test_what_was_missed_before_a_stream_opened_is_said(self, house: House) -> None:
        async with house.running():
            await eventually(lambda: len(house.news) == 2)
        assert {news for _, news in house.news} == {BookChanged()}
        assert {connection for connection, _ in house.news} == set(house.wanted)

    async def test_a_stream_that_breaks_makes_its_account_be_read(self, house: House) -> None:
        async with house.running() as process:
            await eventually(lambda: len(live(process)) == len(house.news) == 2)
            await house.fault(FIRST, "stream_down")
            await eventually(lambda: len(house.news) > 2)
            assert house.news[2:] == [(house.of(FIRST), BookChanged())]


class TestProcesses:
    def three_times(self, house: House) -> None:
        """Six connections: each of Alice's as if three people had it."""
        house.wanted = {uuid4(): wanted for wanted in house.wanted.values() for _ in range(3)}

    async def test_two_share_and_one_that_is_killed_is_inherited_from(self, house: House) -> None:
        self.three_times(house)
        killed = house.process("killed")
        task = asyncio.create_task(killed.run())
        async with house.running("heir") as heir:
            await eventually(lambda: (len(live(killed)), len(live(heir))) == (3, 3))
            assert not live(killed) & live(heir)
            kill(task, killed)
            await eventually(lambda: live(heir) == set(house.wanted))
            await house.moves_to(FIRST)
        await asyncio.gather(task, return_exceptions=True)

    async def test_one_that_stops_leaves_at_once(self, house: House) -> None:
        self.three_times(house)
        async with house.running("heir") as heir:
            async with house.running("leaver") as leaver:
                await eventually(lambda: (len(live(leaver)), len(live(heir))) == (3, 3))
            assert leaver.reports() == {}
            assert b"leaver" not in await house.redis.mget(await house.redis.keys("leases:streams:of:*"))
            await eventually(lambda: live(heir) == set(house.wanted))

    async def test_stopping_says_goodbye_to_the_brokers(self, house: House) -> None:
        async with house.running() as process:
            await eventually(lambda: len(live(process)) == 2)
            assert await asyncio.to_thread(open_streams, house.brokers) == 3
        assert await asyncio.to_thread(open_streams, house.brokers) == 0

    async def test_a_provider_that_fails_stops_nothing(self, house: House, caplog: pytest.LogCaptureFixture) -> None:
        async with house.running() as process:
            await eventually(lambda: len(live(process)) == 2)
            house.wanted = None  # type: ignore[assignment]
            await eventually(lambda: "failed" in caplog.text)
            await asyncio.sleep(1.5 * QUICK.lease)
            await eventually(lambda: len(live(process)) == 2)

    async def test_last_prices_of_the_dead_become_stale(self, house: House) -> None:
        """The brokers are down as well, so that nobody tells them again."""
        async with house.running("dead"):
            await house.moves_to(FIRST)
        for slug in (FIRST, SECOND):
            await house.fault(slug, "stream_down")
        await house.redis.delete("prices:alive:dead")  # as its time goes by
        async with house.running("heir"):
            await house.shows(lambda price: price.stale)


OVER = SessionOver("The broker does not accept this session.")


def kill(task: asyncio.Task[None], process: StreamProcess) -> None:
    """As far as others can see, what a kill -9 does: no more renewals, nothing released, sockets gone."""

    async def nothing(*args: object) -> frozenset[str]:
        return frozenset()

    for verb in ("mine", "hold", "release", "leave"):
        setattr(process._leases, verb, nothing)
    task.cancel()


def open_streams(brokers: SimulatedBrokers) -> int:
    return sum(len(site.open_streams) for site in brokers._simulation.sites.values())


async def test_ten_thousand_ticks_leave_nothing_behind(house: House) -> None:
    """Through socket, decoder, book and Redis, of every share that the first broker has."""
    shares = [listing for listing in load_instruments() if listing.exchange == "NSE" and listing.isin][:50]
    connection = house.of(FIRST)
    wanted = frozenset(Streamed(Exchange.NSE, each.exchange_token, isin=each.isin) for each in shares)
    house.wanted = {connection: replace(house.wanted[connection], instruments=wanted)}
    simulation, loop = house.brokers._simulation, house.brokers._loop
    market = simulation.market
    assert loop is not None
    priced = [each for each in shares if market.price(each.key) is not None]
    before = {each.key: market.price(each.key) for each in priced}

    def walk(number: int) -> None:
        for each in priced:
            known = before[each.key]
            assert known is not None
            market.set_price(each.key, last=known.last + Decimal(number % 20) / 20)
        simulation.tell_prices()

    def last_tick() -> datetime | None:
        return process.reports()[connection]["prices"].last_tick

    async def ticks(count: int) -> None:
        for number in range(count // len(priced)):
            seen = last_tick()
            loop.call_soon_threadsafe(walk, number + 1)
            await eventually(lambda seen=seen: last_tick() != seen)

    async with house.running() as process:
        await eventually(lambda: live(process) == {connection})
        await eventually(lambda: len(process.book) >= len(priced))
        await ticks(2000)
        gc.collect()
        tracemalloc.start()
        first = tracemalloc.get_traced_memory()[0]
        await ticks(10_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - first
        tracemalloc.stop()
        assert grown < 1_000_000
        assert len(process.book) <= len(shares)
