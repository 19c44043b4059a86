"""Prices of single instruments for sockets that asked for them: one listener per process, whatever the sockets."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from redis.exceptions import RedisError

from brokers.domain import Exchange
from portfolio.client_messages import BAD_INSTRUMENT
from portfolio.domain import InstrumentKey
from portfolio.presentation import instant, price

logger = logging.getLogger(__name__)

Listener = Callable[[str, str], None]


class ToldPrice(Protocol):
    """INR; `source` is the broker whose feed told it."""

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


class Batch(Protocol):
    """What was published at once. `is_gap`: something before it was missed."""

    @property
    def prices(self) -> Sequence[ToldPrice]: ...
    @property
    def is_gap(self) -> bool: ...


class Latest(Protocol):
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
        try:
            found = await self._feed.latest(instruments)
        except RedisError as error:
            logger.warning("Redis is away (%s): a socket gets its prices as they move", type(error).__name__)
            return
        for key, each in found.prices.items():
            if listener in self._listeners.get(key, ()):
                listener(name_of(key), _written(each))

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
        async for batch in self._feed.prices():
            prices: Collection[ToldPrice] = batch.prices
            if batch.is_gap:
                with suppress(RedisError):
                    prices = [*(await self._feed.latest(list(self._listeners))).prices.values(), *prices]
            for each in prices:
                key = (each.exchange, each.exchange_token)
                if listeners := self._listeners.get(key):
                    text = _written(each)
                    for listener in listeners:
                        listener(name_of(key), text)


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


def instrument_named(text: str) -> InstrumentKey:
    """From "NSE:2885". Raises Complaint."""
    exchange, _, token = text.partition(":")
    if exchange not in Exchange.__members__.values() or not token.isalnum() or len(token) > 32:
        raise BAD_INSTRUMENT
    return Exchange(exchange), token


def name_of(key: InstrumentKey) -> str:
    return f"{key[0]}:{key[1]}"


def _written(each: ToldPrice) -> str:
    told = {
        "instrument": name_of((each.exchange, each.exchange_token)),
        "last_price": price(each.last_price),
        "close_price": None if each.close_price is None else price(each.close_price),
        "as_of": instant(each.as_of),
        "source": each.source,
        "stale": each.stale,
    }
    return msgspec.json.encode(told).decode()
