"""Prices in Redis: what is kept, what is told, and what a reader notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from brokers.domain import Exchange
from market.pricing import Price
from market.publishing import (
    ALIVE,
    HEARTBEAT_SECONDS,
    LEAST_REST_SECONDS,
    MOST_REST_SECONDS,
    Batch,
    PricePublisher,
    PriceReader,
    latest,
    rest_after,
)
from tests.market.redis import emptied, url

START = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
INFY = (Exchange.NSE, "1594")


def price(last: str, *, seconds: float = 0, token: str = "1594", source: str = "one", stale: bool = False) -> Price:
    at = START + timedelta(seconds=seconds)
    return Price(Exchange.NSE, token, Decimal(last), Decimal("1490.20"), at, source, stale)


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with emptied() as client:
        yield client


async def published(redis: Redis, writer: str, *prices: Price) -> None:
    publisher = PricePublisher(redis, writer)
    for each in prices:
        publisher.put(each)
    await publisher.flush()


async def known(redis: Redis) -> Price:
    return (await PriceReader(redis).latest([INFY])).prices[INFY]


class TestLatest:
    async def test_prices_come_back_exactly(self, redis: Redis) -> None:
        given = price("1500.0500")
        await published(redis, "me", given)
        snapshot = await PriceReader(redis).latest([INFY, (Exchange.BSE, "1594")])
        assert snapshot.prices == {INFY: given}
        assert str(snapshot.prices[INFY].last_price) == "1500.0500"
        assert (snapshot.sequence, snapshot.is_fed) == (1, True)

    async def test_a_synchronous_reader_sees_the_same(self, redis: Redis) -> None:
        await published(redis, "me", price("1500"))
        with BlockingRedis.from_url(url()) as blocking:
            assert latest(blocking, [INFY]) == await PriceReader(redis).latest([INFY])

    async def test_nothing_is_fed_where_nobody_publishes(self, redis: Redis) -> None:
        await published(redis, "me", price("1500"))
        await redis.delete(ALIVE)  # as its time goes by
        assert not (await PriceReader(redis).latest([INFY])).is_fed

    async def test_nothing_is_kept_for_ever(self, redis: Redis) -> None:
        await published(redis, "me", price("1500"))
        keys = await redis.keys("price*")
        assert len(keys) == 4
        assert [key for key in keys if await redis.ttl(key) < 0] == [b"prices:sequence"]

    async def test_the_latest_of_each_wins(self, redis: Redis) -> None:
        await published(redis, "me", price("1500"), price("600", token="3045"), price("1501"))
        assert (await known(redis)).last_price == 1501
        assert (await PriceReader(redis).latest([INFY])).sequence == 1

    async def test_more_than_one_script_full(self, redis: Redis) -> None:
        given = [price("100", token=str(number)) for number in range(2500)]
        await published(redis, "me", *given)
        snapshot = await PriceReader(redis).latest([each.key for each in given])
        assert (len(snapshot.prices), snapshot.sequence) == (2500, 3)


class TestTwoWriters:
    async def test_the_first_goes_on_telling(self, redis: Redis) -> None:
        await published(redis, "one", price("1500"))
        await published(redis, "two", price("1500.10", seconds=1, source="two"))
        assert (await known(redis)).source == "one"

    async def test_until_it_falls_behind(self, redis: Redis) -> None:
        await published(redis, "one", price("1500"))
        await published(redis, "two", price("1500.10", seconds=3, source="two"))
        assert (await known(redis)).source == "two"

    async def test_or_is_stale(self, redis: Redis) -> None:
        await published(redis, "one", price("1500", stale=True))
        await published(redis, "two", price("1500", source="two"))
        assert (await known(redis)).source == "two"

    async def test_or_dies(self, redis: Redis) -> None:
        await published(redis, "one", price("1500"))
        await redis.delete(f"{ALIVE}:one")  # as its time goes by
        await published(redis, "two", price("1500.10", seconds=0.5, source="two"))
        assert (await known(redis)).source == "two"

    async def test_what_the_dead_knew_later_is_kept(self, redis: Redis) -> None:
        await published(redis, "one", price("1500", seconds=60))
        await redis.delete(f"{ALIVE}:one")
        await published(redis, "two", price("1400", source="two"))
        assert (await known(redis)).last_price == 1500

    async def test_what_is_stale_replaces_nothing_that_is_not(self, redis: Redis) -> None:
        await published(redis, "one", price("1500"))
        await published(redis, "two", price("1500", seconds=60, source="two", stale=True))
        assert not (await known(redis)).stale

    async def test_what_streams_takes_the_place_of_what_was_asked_for(self, redis: Redis) -> None:
        await published(redis, "one", replace(price("1500", seconds=1), asked=True))
        await published(redis, "two", price("1500", source="two"))
        assert (await known(redis)).source == "two"

    @pytest.mark.parametrize(("seconds", "source"), [(14, "one"), (15, "two")])
    async def test_what_was_asked_for_only_where_the_stream_is_long_behind(
        self, redis: Redis, seconds: float, source: str
    ) -> None:
        await published(redis, "one", price("1500"))
        await published(redis, "two", replace(price("1510", seconds=seconds, source="two"), asked=True))
        assert (await known(redis)).source == source

    async def test_or_is_stale_after_all(self, redis: Redis) -> None:
        await published(redis, "one", price("1500", stale=True))
        await published(redis, "two", replace(price("1500", source="two"), asked=True))
        assert (await known(redis)).asked

    async def test_the_second_offers_again_and_is_taken(self, redis: Redis) -> None:
        await published(redis, "one", price("1500"))
        second = PricePublisher(redis, "two", sleep=lambda seconds: asyncio.sleep(seconds / 50))
        second.put(price("1500", source="two"))
        await second.flush()
        assert (await known(redis)).source == "one"
        await published(redis, "one", price("1500", stale=True))
        running = asyncio.create_task(second.run())
        async with asyncio.timeout(20):
            while (await known(redis)).source != "two":
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@dataclass
class Listener:
    """What a reader hears."""

    batches: AsyncIterator[Batch]

    async def next(self) -> Batch:
        return await asyncio.wait_for(anext(self.batches), timeout=20)


@pytest.fixture
async def listener(redis: Redis) -> AsyncIterator[Listener]:
    async with aclosing(PriceReader(redis).prices()) as batches:  # type: ignore[type-var]
        yield Listener(batches)


class TestPublished:
    async def test_the_first_word_is_a_gap(self, redis: Redis, listener: Listener) -> None:
        await published(redis, "me", price("1500"))
        assert await listener.next() == Batch(1, (), is_gap=True)

    async def test_batches_follow_each_other(self, redis: Redis, listener: Listener) -> None:
        await listener.next()
        await published(redis, "me", price("1500"), price("600", token="3045"))
        await published(redis, "me")
        assert await listener.next() == Batch(1, (price("1500"), price("600", token="3045")))
        assert await listener.next() == Batch(2)

    async def test_what_is_missed_is_noticed(self, redis: Redis, listener: Listener) -> None:
        await listener.next()
        await redis.incr("prices:sequence")
        await published(redis, "me", price("1500"))
        assert await listener.next() == Batch(2, (price("1500"),), is_gap=True)
        await published(redis, "me")
        assert await listener.next() == Batch(3)

    async def test_a_redis_that_was_emptied_is_noticed(self, redis: Redis, listener: Listener) -> None:
        await redis.set("prices:sequence", 50)
        await listener.next()
        await redis.delete("prices:sequence")
        await published(redis, "me", price("1500"))
        assert (await listener.next()).is_gap

    async def test_a_lost_connection_is_a_gap(self, redis: Redis, listener: Listener) -> None:
        await listener.next()
        await redis.client_kill_filter(_type="pubsub")
        await published(redis, "me", price("1500"))
        assert await listener.next() == Batch(1, (), is_gap=True)
        await published(redis, "me", price("1501"))
        assert await listener.next() == Batch(2, (price("1501"),))

    async def test_only_what_counts_is_told(self, redis: Redis, listener: Listener) -> None:
        await listener.next()
        await published(redis, "one", price("1500"))
        await published(redis, "two", price("1500.10", source="two"))
        assert len((await listener.next()).prices) == 1
        assert (await listener.next()).prices == ()


class Rests:
    """Stands in for the publisher's sleep: each rest lasts until it is ended; signs of life never come."""

    def __init__(self) -> None:
        self.begun = 0
        self._ended = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        if seconds >= HEARTBEAT_SECONDS:
            await asyncio.Event().wait()
        self.begun += 1
        await self._ended.wait()
        self._ended.clear()

    def end(self) -> None:
        self._ended.set()


class TestPace:
    async def test_the_first_at_once_and_then_the_latest_of_each(self, redis: Redis, listener: Listener) -> None:
        rests = Rests()
        publisher = PricePublisher(redis, "me", sleep=rests)
        await listener.next()
        running = asyncio.create_task(publisher.run())
        publisher.put(price("1500"))
        assert [each.last_price for each in (await listener.next()).prices] == [1500]
        for last in ("1501", "1502", "1503"):
            publisher.put(price(last))
        publisher.put(price("600", token="3045"))
        await asyncio.sleep(0)
        assert (await PriceReader(redis).latest([INFY])).sequence == 1
        rests.end()
        batch = await listener.next()
        assert (batch.sequence, {each.last_price for each in batch.prices}) == (2, {1503, 600})
        async with asyncio.timeout(20):
            while rests.begun < 2:
                await asyncio.sleep(0)
        rests.end()
        publisher.put(price("1504"))
        assert [each.last_price for each in (await listener.next()).prices] == [1504]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    @pytest.mark.parametrize(
        ("work", "rest"), [(0, LEAST_REST_SECONDS), (0.01, 0.04), (0.02, 0.08), (5, MOST_REST_SECONDS)]
    )
    def test_much_work_rests_longer_within_bounds(self, work: float, rest: float) -> None:
        assert rest_after(work) == pytest.approx(rest)
