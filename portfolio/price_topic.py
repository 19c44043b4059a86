"""Prices of single instruments for sockets that asked for them: one listener per process, whatever the sockets."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from brokers.domain import Exchange
from market.publishing import PriceReader
from portfolio.client_messages import BAD_INSTRUMENT
from portfolio.domain import InstrumentKey
from portfolio.presentation import instant, price

logger = logging.getLogger(__name__)

Listener = Callable[[str, str], None]
SILENT_SECONDS = 8.0  # a little longer than a dead publisher takes to be forgotten


class ToldPrice(Protocol):
    """INR; `source` is the broker whose feed told it, or which was `asked` for it."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def exchange_token(self) -> str: ...
    @property
    def last_price(self) -> Decimal: ...
    @property
    def close_price(self) -> Decimal | None: ...
    @property
    def as_of(self) -> datetime: ...
    @property
    def source(self) -> str: ...
    @property
    def stale(self) -> bool: ...
    @property
    def asked(self) -> bool: ...


class Batch(Protocol):
    """What was published at once. `is_gap`: something before it was missed."""

    @property
    def prices(self) -> Sequence[ToldPrice]: ...
    @property
    def is_gap(self) -> bool: ...


class Latest(Protocol):
    """Unless `is_fed` nobody publishes at all, and every price is stale."""

    @property
    def is_fed(self) -> bool: ...
    @property
    def prices(self) -> Mapping[InstrumentKey, ToldPrice]: ...


class Feed(Protocol):
    """`latest` raises RedisError; `prices` never ends."""

    async def latest(self, instruments: Collection[InstrumentKey]) -> Latest: ...
    def prices(self) -> AsyncIterator[Batch]: ...


class PriceTopic:
    """Who listens to which instrument. It follows the feed while anybody does."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._listeners: dict[InstrumentKey, set[Listener]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def join(self, listener: Listener, instruments: Collection[InstrumentKey]) -> None:
        """The listener is told the last prices at once, and every later one: (instrument, JSON)."""
        for key in instruments:
            self._listeners[key].add(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
            self._task.add_done_callback(self._ended)
        for key, text in (await self._latest(instruments)).items():
            if listener in self._listeners.get(key, ()):
                listener(name_of(key), text)

    def leave(self, listener: Listener, instruments: Collection[InstrumentKey]) -> None:
        for key in instruments:
            listeners = self._listeners.get(key)
            if listeners is not None:
                listeners.discard(listener)
                if not listeners:
                    del self._listeners[key]
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _follow(self) -> None:
        batches = aiter(self._feed.prices())
        is_silent = False
        coming = asyncio.ensure_future(anext(batches))
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=SILENT_SECONDS)
                if done:
                    batch, coming = coming.result(), asyncio.ensure_future(anext(batches))
                    if batch.is_gap:
                        self._tell(await self._latest(list(self._listeners)))
                    self._tell({(each.exchange, each.exchange_token): _written(each) for each in self._heard(batch)})
                elif not is_silent:  # the feed's own signs of life come every second
                    self._tell(await self._latest(list(self._listeners)))
                is_silent = not done
        finally:
            coming.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The next who joins begins it anew."""
        if self._task is task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Prices are followed no more", exc_info=error)

    def _heard(self, batch: Batch) -> list[ToldPrice]:
        """What somebody listens to."""
        return [each for each in batch.prices if (each.exchange, each.exchange_token) in self._listeners]

    def _tell(self, found: Mapping[InstrumentKey, str]) -> None:
        for key, text in found.items():
            for listener in self._listeners.get(key, ()):
                listener(name_of(key), text)

    async def _latest(self, instruments: Collection[InstrumentKey]) -> dict[InstrumentKey, str]:
        try:
            found = await self._feed.latest(instruments)
        except RedisError as error:
            logger.warning("Redis is away (%s): sockets get their prices as they move", type(error).__name__)
            return {}
        return {key: _written(each, is_fed=found.is_fed) for key, each in found.prices.items()}


class Stand:
    """Where the process's price topic is found. `open_feed` is None where no price feed runs."""

    open_feed: Callable[[], Feed] | None = None
    _topic: tuple[Any, PriceTopic] | None = None

    def topic(self) -> PriceTopic | None:
        """One per event loop, as its tasks are."""
        if self.open_feed is None:
            return None
        loop = asyncio.get_running_loop()
        if self._topic is None or self._topic[0] is not loop:
            self._topic = (loop, PriceTopic(self.open_feed()))
        return self._topic[1]


stand = Stand()


def open_streamed() -> Feed:
    """The prices that stream processes publish. Called in the event loop that will read them."""
    return PriceReader(Redis.from_url(str(settings.CACHES["default"]["LOCATION"])))


def instrument_named(text: str) -> InstrumentKey:
    """From "NSE:2885". Raises Complaint."""
    exchange, _, token = text.partition(":")
    if exchange not in Exchange.__members__.values() or not token.isalnum() or len(token) > 32:
        raise BAD_INSTRUMENT
    return Exchange(exchange), token


def name_of(key: InstrumentKey) -> str:
    return f"{key[0]}:{key[1]}"


def _written(each: ToldPrice, *, is_fed: bool = True) -> str:
    told = {
        "instrument": name_of((each.exchange, each.exchange_token)),
        "last_price": price(each.last_price),
        "close_price": None if each.close_price is None else price(each.close_price),
        "as_of": instant(each.as_of),
        "source": each.source,
        "stale": each.stale or not is_fed,
        "asked": each.asked,
    }
    return msgspec.json.encode(told).decode()
