"""What no stream tells is asked for: of whom, how often, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest

from brokers import governor, registry
from brokers.domain import Exchange, Listing, Session, Tick
from brokers.simulation.instruments import load_instruments
from brokers.streaming import SessionOver
from market.polling import Polled, Polling
from market.streaming import Wanted
from tests.contract.test_streams import OTHER_SHARE, SHARE, streamed
from tests.market.feed_rig import eventually
from tests.market.house import FIRST, QUICK, SECOND, House, live

pytestmark = pytest.mark.django_db(transaction=True)


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
