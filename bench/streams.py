"""Streams: how fast each dialect is decoded, and how long a broker's tick takes until it is published.

The frames are the simulated brokers' own, recorded from their sockets while the market moves, and decoded again and
again. The time of a tick is from the moment before the market is told of a price, over the broker's control API, until
a listener in this process has it; what the publisher rests between two batches is a part of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from redis.asyncio import Redis

from bench.table import Aim, Figure, of_rounds
from brokers import registry
from brokers.domain import Exchange, Session, Streamed, Tick
from brokers.models import BrokerConnection
from brokers.reach import app_credentials, transport_to
from brokers.simulation.instruments import load_instruments
from brokers.streaming import Frame, PriceStream
from market.mailbox import News
from market.pricing import PriceBook
from market.publishing import MOST_REST_SECONDS, PricePublisher, PriceReader
from market.sockets import opened
from market.streaming import StreamProcess, StreamUrls, Wanted
from trademaster.environment import redis_database
from trademaster.local.house import House

ROUNDS = 15
RECORDED_SECONDS = 4.0
DECODED_AT_LEAST = 4000
TIMED = 150
PUBLISHED = 2000
MOVED = "NSE:INFY"
DATABASE = 5


@dataclass(frozen=True, slots=True)
class Recording:
    """A stream object, and the frames of prices that it was sent."""

    slug: str
    stream: PriceStream
    frames: list[Frame]

    def decoded(self) -> list[Tick]:
        return [event for frame in self.frames for event in self.stream.received(frame) if isinstance(event, Tick)]


def measure(house: House) -> list[Figure]:
    wanted = wanted_of(house)
    house.control.freeze(False)
    recordings = asyncio.run(recorded(wanted))
    house.control.freeze()
    return [
        *(decoding(recording) for recording in recordings),
        choosing(recordings),
        *asyncio.run(publishing()),
        *asyncio.run(travelling(house, wanted)),
    ]


def wanted_of(house: House) -> dict[UUID, Wanted]:
    """The trader's connections that stream, each of every share and contract, or of as many as its broker allows."""
    listed = sorted(load_instruments(), key=lambda each: each.key != MOVED)  # that one first
    instruments = [Streamed(Exchange(each.exchange), each.exchange_token, isin=each.isin) for each in listed]
    found = {}
    for connection in BrokerConnection.objects.select_related("user"):
        url = house.simulation["brokers"][connection.broker_type]["stream_url"]
        kind = registry.load(connection.broker_type).price_stream
        if kind is not None and connection.session is not None:
            found[connection.pk] = Wanted(
                broker=connection.broker_type,
                app=app_credentials(connection.user, connection.broker_type),
                session=connection.session,
                base_urls=StreamUrls(url, url),
                instruments=frozenset(instruments[: kind.limits.instruments]),
            )
    return found


async def recorded(wanted: Mapping[UUID, Wanted]) -> list[Recording]:
    return await asyncio.gather(*(record(connection, each) for connection, each in wanted.items()))


async def record(connection: UUID, wanted: Wanted) -> Recording:
    broker = registry.load(wanted.broker)
    assert broker.price_stream is not None
    stream = broker.price_stream(wanted.app, wanted.session)
    http = transport_to(broker, account=str(connection))
    opening = await asyncio.to_thread(stream.opening, http, str(wanted.base_urls.prices))
    socket = await opened(opening, stream)
    frames = []
    for wish in (*stream.hello(), *stream.subscribe(sorted(wanted.instruments, key=str))):
        if isinstance(wish, (str, bytes)):
            await socket.send(wish)
        else:
            await asyncio.to_thread(wish, http)
    with suppress(TimeoutError):
        async with asyncio.timeout(RECORDED_SECONDS):
            while True:
                frame = await socket.recv()
                if any(isinstance(event, Tick) for event in stream.received(frame)):
                    frames.append(frame)
                for said in stream.answers():
                    await socket.send(said)
    await socket.close()
    return Recording(wanted.broker, stream, frames)


def decoding(recording: Recording) -> Figure:
    ticks = len(recording.decoded())
    times = max(1, DECODED_AT_LEAST // ticks)
    rates = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(times):
            recording.decoded()
        rates.append(ticks * times / (time.thread_time() - started))
    name = registry.load(recording.slug).spec.name
    return of_rounds(f"ticks decoded, {name}", rates, "/s", note=f"{ticks} ticks in {len(recording.frames)} frames")


def choosing(recordings: Sequence[Recording]) -> Figure:
    """Every feed's ticks in turn, so that each instrument is told by several."""
    now = datetime.now(UTC)
    told = [(recording.slug, tick) for recording in recordings for tick in recording.decoded()]
    rates = []
    for _ in range(ROUNDS):
        book = PriceBook()
        for rank, recording in enumerate(recordings):
            book.feed_live(recording.slug, recording.slug, rank, now)
        started = time.thread_time()
        for slug, tick in told:
            book.tick(slug, tick, now)
        rates.append(len(told) / (time.thread_time() - started))
    return of_rounds("ticks through the price book", rates, "/s", note=f"{len(recordings)} feeds, {len(book)} prices")


async def publishing() -> list[Figure]:
    """Prices kept and published, and a user's book of prices read back."""
    book = PriceBook()
    now = datetime.now(UTC)
    book.feed_live("feed", "feed", 0, now)
    rates, reads = [], []
    async with Redis.from_url(redis_database(settings.REDIS_URL, DATABASE)) as redis:
        publisher, reader = PricePublisher(redis, "bench"), PriceReader(redis)
        for number in range(ROUNDS):
            for token in range(PUBLISHED):
                price = book.tick("feed", Tick(Exchange.NSE, str(token), Decimal(100 + number)), now)
                assert price is not None
                publisher.put(price)
            started = time.perf_counter()
            await publisher.flush()
            rates.append(PUBLISHED / (time.perf_counter() - started))
            started = time.perf_counter()
            found = await reader.latest([(Exchange.NSE, str(token)) for token in range(500)])
            reads.append((time.perf_counter() - started) * 1000)
            assert len(found.prices) == 500
        await redis.flushdb()
    return [
        of_rounds("prices kept and published", rates, "/s"),
        of_rounds("500 last prices read", reads, "ms", note="one round trip"),
    ]


async def travelling(house: House, wanted: Mapping[UUID, Wanted]) -> list[Figure]:
    """A price that moves, until a listener has it."""

    async def provide() -> Mapping[UUID, Wanted]:
        return wanted

    async def hear(connection: UUID, session: Session, news: News) -> None:
        """Nobody asks."""

    milliseconds: list[float] = []
    async with Redis.from_url(redis_database(settings.REDIS_URL, DATABASE)) as redis:
        process = StreamProcess(redis, owner="bench", wanted=provide, on_news=hear, is_open=lambda exchange, now: True)
        running = asyncio.create_task(process.run())
        key = Exchange.NSE, load_instruments()[MOVED].exchange_token
        heard = PriceReader(redis).prices()
        while process.book.price(key) is None:
            await anext(heard)
        exchange, _, symbol = MOVED.partition(":")
        last = process.book.price(key)
        assert last is not None
        price = last.last_price
        for number in range(TIMED):
            await asyncio.sleep(0.0137 * (number % 8))  # anywhere in the coalescing interval
            price += Decimal("0.05")
            started = time.perf_counter()
            await asyncio.to_thread(house.control.set_price, exchange, str(price), symbol=symbol)
            while not any(each.key == key and each.last_price == price for each in (await anext(heard)).prices):
                pass
            milliseconds.append((time.perf_counter() - started) * 1000)
        process.stop()
        await running
        await redis.flushdb()
    milliseconds.sort()
    interval = MOST_REST_SECONDS * 1000
    return [
        Figure(name="broker's tick → published, p50", value=milliseconds[len(milliseconds) // 2], unit="ms"),
        Figure(
            name="broker's tick → published, p99",
            value=milliseconds[int(len(milliseconds) * 0.99)],
            unit="ms",
            aim=Aim(interval + 50),
            note=f"{len(wanted)} streams, coalesced for {interval:.0f} ms at most",
        ),
    ]
