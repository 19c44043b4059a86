"""Stream processes over simulated brokers, real sockets and a real Redis: prices go on whatever goes down."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from brokers.domain import Exchange, Streamed
from brokers.secret import Secret
from brokers.simulation.instruments import load_instruments
from brokers.simulation.server import SimulatedBrokers
from brokers.streaming import BookChanged, SessionOver
from market.feed import FeedState
from market.streaming import StreamProcess
from tests.contract.test_streams import OTHER_SHARE, SHARE, streamed
from tests.market.feed_rig import eventually
from tests.market.house import FIRST, QUICK, SECOND, House, live

pytestmark = pytest.mark.django_db(transaction=True)


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
