"""What `manage.py stream` runs: streams and live books side by side, each with its own share of the work."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from brokers import order_news, sessions
from brokers import services as broker_services
from brokers.domain import Session
from brokers.models import BrokerConnection
from brokers.streaming import SessionOver
from market import streaming
from market.feed_states import FeedStates
from market.hours import Hours
from market.mailbox import News
from market.polling import Polling
from market.streaming import StreamProcess, Wanted
from portfolio import fetching, live_host, watching
from portfolio.live_host import LiveHost
from portfolio.loading import in_a_thread
from portfolio.wanted import Rest, Wishes

logger = logging.getLogger(__name__)

# Faster than a stream process alone: nobody shall be without updates for ten seconds when one of them dies.
STREAM_TEMPO = streaming.Tempo(round=0.5, lease=4.0)
STATES_EVERY = 0.5
HOURS_EVERY = 600.0
# A stream that was wrong about its session, or may have been, is opened again after so long.
DISBELIEVED = timedelta(seconds=60)


def new_owner() -> str:
    """A name that no other process ever bears."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class LiveProcess:
    """Runs until `stop()`; then leases are given back, so that others take over at once."""

    def __init__(
        self,
        *,
        owner: str | None = None,
        stream_tempo: streaming.Tempo | None = None,
        host_tempo: live_host.Tempo | None = None,
    ) -> None:
        self.owner = owner or new_owner()
        self._redis: Redis = Redis.from_url(str(settings.CACHES["default"]["LOCATION"]))
        self._hours = Hours()
        self._wishes = Wishes()
        self._states = FeedStates(self._redis)
        self._stopping = asyncio.Event()
        self.streams = StreamProcess(
            self._redis,
            owner=self.owner,
            wanted=self._wanted,
            on_news=self.news,
            is_open=self._hours.is_open,
            poll=Polling(fetching.pool, self.news),
            tempo=stream_tempo or replace(STREAM_TEMPO, poll=settings.LIVE_POLL_SECONDS),
        )
        self.host = LiveHost(
            self._redis, owner=self.owner, hours=self._hours, listings=self._wishes.listings, tempo=host_tempo
        )

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        await self._read_hours()
        parts = [asyncio.create_task(part) for part in (self.streams.run(), self.host.run())]
        beside = [asyncio.create_task(part) for part in (self._tell_states(), self._keep_hours())]
        stop = asyncio.create_task(self._stopping.wait())
        try:
            # A part that ends by itself has failed: the process ends, and whoever keeps it running starts it anew.
            await asyncio.wait([*parts, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.streams.stop()
            self.host.stop()
            stop.cancel()
            await streaming.cancelled(beside, patience=1.0)
            try:
                await asyncio.gather(*parts)
            finally:
                await self._redis.aclose()

    # --- what the streams ask and tell --------------------------------------------------------------------------------
    async def _wanted(self) -> Mapping[UUID, Wanted]:
        return await in_a_thread(self._look, datetime.now(UTC))

    def _look(self, now: datetime) -> Mapping[UUID, Wanted]:
        return self._wishes.wanted(watching.watchers(), now)

    async def news(self, connection: UUID, session: Session, news: News) -> None:
        """An order or the account changed, or the stream says that this session is over: the broker itself is asked."""
        if isinstance(news, SessionOver):
            now = datetime.now(UTC)
            if not news.of_prices:  # else the account may be well, and its other stream goes on
                # Before anybody is asked: where nobody can be, it is still opened again.
                self._wishes.resting[connection] = Rest(session, now + DISBELIEVED)
            settle = _reopen_feed if news.of_prices else _confirm
            is_over = await in_a_thread(settle, connection, session, now)
            logger.warning("Connection %s is told that its session is over: %s", connection, _word(is_over))
        else:
            await in_a_thread(order_news.tell, connection, news, datetime.now(UTC))
        owner = self._wishes.owners.get(connection)
        if owner is not None:
            await self.host.news(owner)

    # --- beside it ----------------------------------------------------------------------------------------------------
    async def _tell_states(self) -> None:
        while True:
            try:
                await self._states.tell(self.streams.reports())
            except RedisError as error:
                logger.warning("Redis is away (%s): the states of feeds are not told", type(error).__name__)
            await asyncio.sleep(STATES_EVERY)

    async def _keep_hours(self) -> None:
        while True:
            await asyncio.sleep(HOURS_EVERY)
            await self._read_hours()

    async def _read_hours(self) -> None:
        try:
            await in_a_thread(self._hours.read, datetime.now(UTC))
        except DatabaseError as error:
            logger.warning("The calendar cannot be read (%s): it stays as it was", type(error).__name__)


def _confirm(connection_id: UUID, session: Session, now: datetime) -> bool:
    """Whether the session is over by the broker's own word, or replaced, or there is none any more."""
    connection = _connection(connection_id)
    return connection is None or broker_services.confirm_session(connection, session, now=now)


def _reopen_feed(connection_id: UUID, session: Session, now: datetime) -> bool:
    """Whether that for prices is another one by now, or there is none any more."""
    connection = _connection(connection_id)
    return connection is None or sessions.reopen_feed(connection, session, now=now)


def _connection(connection_id: UUID) -> BrokerConnection | None:
    return BrokerConnection.objects.active().filter(pk=connection_id).select_related("user").first()


def _word(is_over: bool) -> str:
    return "it is" if is_over else "its broker does not say so"
