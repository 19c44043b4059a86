"""The process that holds streams: its share of the connections, one price of each instrument, published.

It knows no rows. `wanted` tells which connections there are and what they want; order news go to `on_news`; `poll` asks
for quotes of what nobody streams, of whichever connection held here may be asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from brokers import registry
from brokers.domain import AppCredentials, Exchange, Session, Streamed, Tick
from brokers.reach import transport_to
from brokers.streaming import BookChanged, BrokerStream, SessionOver
from market.feed import Feed, FeedReport, FeedState
from market.leases import Leases
from market.mailbox import Mailbox, News
from market.patience import Pace
from market.polling import Poll, Polled, batch
from market.pricing import InstrumentKey, PriceBook, Rules
from market.publishing import PricePublisher, PriceReader
from market.sockets import CLOSE_SECONDS

logger = logging.getLogger(__name__)

LEASES = "streams"
ROUNDS_POLLED = 2  # a quote that was asked for stands until so many rounds have gone by
EARLIEST = datetime.min.replace(tzinfo=UTC)
FED = timedelta(seconds=15)  # a streamed price of another process' that is no older needs not be asked for


@dataclass(frozen=True, slots=True)
class StreamUrls:
    """The hosts of a broker's streams, `wss://…`; None: the broker's own, of its spec."""

    prices: str | None = None
    orders: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A connection that shall be streamed, and of what. `broker` is a slug, `least_pause`: see `Pace.least`.

    `polled` is what it may be asked for, as no stream of its user's tells it now.
    """

    broker: str
    app: AppCredentials
    session: Session
    base_urls: StreamUrls = field(default_factory=StreamUrls)
    instruments: frozenset[Streamed] = frozenset()
    least_pause: float = 0.0
    polled: frozenset[Polled] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """Seconds."""

    round: float = 1.0  # leases are renewed, feeds started and stopped
    look: float = 1.0  # what is wanted is asked
    lease: float = 6.0
    poll: float = 5.0  # what nobody streams is asked for so often at most
    between_polls: float = 1.0
    pace: Pace = field(default_factory=Pace)
    rules: Rules = field(default_factory=Rules)


Provide = Callable[[], Awaitable[Mapping[UUID, Wanted]]]
Hear = Callable[[UUID, Session, News], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Held:
    """A connection of ours, its feeds, and the tasks that run them. `news` waits for whoever hears of orders."""

    wanted: Wanted
    prices: Feed | None
    orders: Feed | None
    news: Mailbox
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def feeds(self) -> dict[str, Feed]:
        return {name: feed for name, feed in (("prices", self.prices), ("orders", self.orders)) if feed is not None}

    def differs(self, wanted: Wanted | None) -> bool:
        """Whether it must be opened anew, or not at all, for what is wanted now."""
        return wanted is None or replace(wanted, instruments=self.wanted.instruments) != self.wanted


class _OrdersFeed:
    """What the state of a feed that tells of orders says of the account.

    What happened before it opened was missed: the book is to be read. So it is when it breaks, which may be the first
    sign that its broker is ill.
    """

    def __init__(self, news: Mailbox) -> None:
        self._news = news
        self._is_live = False

    def __call__(self, report: FeedReport) -> None:
        was_live, self._is_live = self._is_live, report.state is FeedState.LIVE
        if report.state is FeedState.OVER:
            self._news.put(SessionOver(report.reason))
        elif was_live or self._is_live:
            self._news.put(BookChanged())


class StreamProcess:
    """Runs until `stop()`. `owner` must be unique for each process that ever runs, and have no blanks.

    `is_open`: whether an exchange's market is open at a time. `on_news` is told with which session the stream ran: it
    may not be the connection's any more. It is called for one connection at a time, in order; while it is slow the
    latest of each order waits. `redis` should give up on an answer well within a lease.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        owner: str,
        wanted: Provide,
        on_news: Hear,
        is_open: Callable[[Exchange, datetime], bool],
        poll: Poll | None = None,
        tempo: Tempo | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.tempo = tempo or Tempo()
        self.book = PriceBook(self.tempo.rules)
        self._leases = Leases(redis, LEASES, owner, self.tempo.lease)
        self._publisher = PricePublisher(redis, owner)
        self._reader = PriceReader(redis)
        self._provide = wanted
        self._on_news = on_news
        self._is_open = is_open
        self._poll = poll
        self._clock = clock
        self._wanted: Mapping[UUID, Wanted] | None = None
        self._held: dict[UUID, _Held] = {}
        self._instruments: set[InstrumentKey] = set()
        self._asked_at: dict[InstrumentKey, datetime] = {}
        self._polls: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    def reports(self) -> dict[UUID, dict[str, FeedReport]]:
        """Of each connection held here: its feed of `prices`, and its feed of `orders` where that is one of its own."""
        return {
            connection: {name: feed.report for name, feed in held.feeds.items()}
            for connection, held in self._held.items()
        }

    async def run(self) -> None:
        """Hold streams until `stop()`; then close them and give the leases back."""
        loops = [
            asyncio.create_task(self._every(self.tempo.look, self._look)),
            asyncio.create_task(self._every(self.tempo.round, self._round)),
            asyncio.create_task(self._publisher.run()),
        ]
        if self._poll is not None:
            loops.append(asyncio.create_task(self._every(self.tempo.between_polls, partial(self._ask, self._poll))))
        try:
            await self._stopping.wait()
        finally:
            self._stopping.set()
            await cancelled([*loops, *self._polls], patience=0.5)
            connections = list(self._held)
            await self._stop(connections)
            try:
                await self._leases.leave([str(connection) for connection in connections])
                await self._publisher.flush()
            except RedisError as error:
                logger.warning("Redis is away (%s): leases lapse by themselves", type(error).__name__)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """The outermost loop: whatever goes wrong in one round, the next one comes."""
        while not self._stopping.is_set():
            try:
                await work()
            except RedisError as error:
                # Streams are kept: on Redis' return each lease says whether it is still ours.
                logger.warning("Redis is away (%s): streams stay where they are", type(error).__name__)
            except Exception:
                logger.exception("A round of the stream process failed")
            if not self._stopping.is_set():
                await asyncio.sleep(seconds)

    # --- which connections are ours -----------------------------------------------------------------------------------
    async def _look(self) -> None:
        """In a loop of its own: however long the answer takes, leases are renewed."""
        self._wanted = await self._provide()

    async def _round(self) -> None:
        now = self._clock()
        for price in self.book.sweep(now, lambda exchange: self._is_open(exchange, now)):
            self._publisher.put(price)
        if self._wanted is None:
            return
        wanted = self._wanted
        mine = await self._leases.mine([str(connection) for connection in wanted])
        gone = [connection for connection in self._held if str(connection) not in mine]
        await self._stop(gone)
        await self._leases.release([str(connection) for connection in gone])
        held = await self._leases.hold(mine)
        ours = {connection: each for connection, each in wanted.items() if str(connection) in held}
        await self._stop(
            [connection for connection, known in self._held.items() if known.differs(ours.get(connection))]
        )
        new = self._take_note(ours.values())
        for connection, each in ours.items():
            known = self._held.get(connection)
            if known is None:
                self._start(connection, each)
            elif (known.wanted.instruments, known.wanted.polled) != (each.instruments, each.polled):
                self._wish(connection, known, each)
        await self._remember(new)

    def _take_note(self, ours: Iterable[Wanted]) -> list[InstrumentKey]:
        """Which instruments matter here; all others are forgotten. Returns those that are new."""
        before, self._instruments = self._instruments, set()
        for wanted in ours:
            self._instruments.update(map(_key, wanted.instruments), (each.key for each in wanted.polled))
        self.book.keep(self._instruments, self._clock())
        self._publisher.keep(self._instruments)
        self._asked_at = {key: at for key, at in self._asked_at.items() if key in self._instruments}
        return [key for key in self._instruments if key not in before]

    async def _remember(self, new: Collection[InstrumentKey]) -> None:
        """Know the last prices of what is new here, so that they are marked as stale if nobody tells them again."""
        if new:
            found = await self._reader.latest(new)
            for price in found.prices.values():
                self.book.remember(price, self._clock())

    # --- feeds --------------------------------------------------------------------------------------------------------
    def _start(self, connection: UUID, wanted: Wanted) -> None:
        broker, urls = registry.load(wanted.broker), wanted.base_urls
        news = Mailbox()
        hear = _OrdersFeed(news)

        def feed(kind: type[BrokerStream], base_url: str, on_state: Callable[[FeedReport], None]) -> Feed:
            return Feed(
                partial(kind, wanted.app, wanted.session),
                transport_to(broker, account=str(connection)),
                base_url,
                partial(self._take, connection, news),
                loopback_only=settings.SIMULATED_BROKERS,
                on_state=on_state,
                is_expecting=lambda now: self._expects(wanted, now),
                pace=replace(self.tempo.pace, least=max(self.tempo.pace.least, wanted.least_pause)),
                clock=self._clock,
            )

        prices = orders = None
        prices_url = urls.prices or broker.spec.stream_url
        if broker.price_stream is not None and prices_url:
            of_orders = hear if broker.order_stream is None else None
            prices = feed(
                broker.price_stream,
                prices_url,
                partial(self._prices_are, connection, wanted.broker, news, of_orders),
            )
        orders_url = urls.orders or broker.spec.order_stream_url or prices_url
        if broker.order_stream is not None and orders_url:
            orders = feed(broker.order_stream, orders_url, hear)
        held = _Held(wanted, prices, orders, news)
        held.tasks.append(asyncio.create_task(self._tell(connection, wanted.session, news)))
        held.tasks.extend(asyncio.create_task(each.run()) for each in held.feeds.values())
        self._wish(connection, held, wanted)

    def _wish(self, connection: UUID, held: _Held, wanted: Wanted) -> None:
        self._held[connection] = replace(held, wanted=wanted)
        if held.prices is not None:
            left_out = held.prices.wish(sorted(wanted.instruments, key=_key))
            if left_out:
                logger.info("The stream of connection %s is without %d instruments", connection, len(left_out))

    async def _stop(self, connections: Iterable[UUID]) -> None:
        stopped = [(connection, self._held.pop(connection)) for connection in list(connections)]
        await cancelled([task for _, held in stopped for task in held.tasks], patience=CLOSE_SECONDS + 1)
        for connection, _ in stopped:
            self._lose(connection)

    def _lose(self, connection: UUID) -> None:
        for price in self.book.feed_gone(connection, self._clock()):
            self._publisher.put(price)

    def _expects(self, wanted: Wanted, now: datetime) -> bool:
        return any(self._is_open(exchange, now) for exchange in {each.exchange for each in wanted.instruments})

    # --- what feeds tell ----------------------------------------------------------------------------------------------
    async def _take(self, connection: UUID, news: Mailbox, events: Sequence[Tick | News]) -> None:
        now = self._clock()
        for event in events:
            if isinstance(event, Tick):
                price = self.book.tick(connection, event, now)
                if price is not None:
                    self._publisher.put(price)
            else:
                news.put(event)

    def _prices_are(
        self, connection: UUID, slug: str, news: Mailbox, of_orders: _OrdersFeed | None, report: FeedReport
    ) -> None:
        """`of_orders` is there where this feed tells of orders, too."""
        if report.state is FeedState.LIVE:
            self.book.feed_live(connection, slug, registry.order_of(slug), self._clock())
        elif report.state is not FeedState.CONNECTING:
            self._lose(connection)
        if report.state is FeedState.OVER:
            news.put(SessionOver(report.reason, of_prices=_has_own_session(slug)))
        elif of_orders is not None:
            of_orders(report)

    async def _tell(self, connection: UUID, session: Session, news: Mailbox) -> None:
        while True:
            for event in await news.take():
                if isinstance(event, Tick):
                    continue
                try:
                    await self._on_news(connection, session, event)
                except Exception:
                    logger.exception("News of connection %s were not taken", connection)

    # --- without a stream ---------------------------------------------------------------------------------------------
    async def _ask(self, poll: Poll) -> None:
        """Have what is due asked for, in as few calls as may be: those who tell the most at once come first."""
        due = await self._due()
        by_room = sorted(self._held.items(), key=lambda each: -_room(each[1].wanted))
        for connection, held in by_room if due else ():
            now, session = self._clock(), held.wanted.session
            asked = [each for each in held.wanted.polled if each.key in due]
            mine = [each for each in asked if poll.may_ask(connection, session, each, now)]
            if mine:
                mine.sort(key=lambda each: (due[each.key], each.key))
                chosen = batch(mine, _room(held.wanted))
                for each in chosen:
                    del due[each.key]
                    self._asked_at[each.key] = now
                task = asyncio.create_task(self._ask_one(poll, connection, held.wanted, chosen))
                self._polls.add(task)
                task.add_done_callback(self._polls.discard)

    async def _due(self) -> dict[InstrumentKey, datetime]:
        """What no stream tells, here or elsewhere, and was not asked for just now; and when it last was.

        Raises RedisError.
        """
        now = self._clock()
        every = {each.key for held in self._held.values() for each in held.wanted.polled}
        due = {
            key: self._asked_at.get(key, EARLIEST)
            for key in every
            if now - self._asked_at.get(key, EARLIEST) >= timedelta(seconds=self.tempo.poll)
            and self._is_open(key[0], now)
            and not self.book.has_feed(key, besides_polling=True)
        }
        if due:
            told = await self._reader.latest(due)
            for key, price in told.prices.items():
                recent = timedelta(seconds=self.tempo.poll / 2) if price.asked else FED
                if not price.stale and price != self.book.price(key) and now - price.as_of < recent:
                    del due[key]  # another process has it
        return due

    async def _ask_one(self, poll: Poll, connection: UUID, wanted: Wanted, polled: Sequence[Polled]) -> None:
        ticks = await poll.ask(connection, wanted, polled)
        if ticks is None:
            for each in polled:
                self._asked_at.pop(each.key, None)
            return
        now = self._clock()
        until = now + timedelta(seconds=ROUNDS_POLLED * self.tempo.poll)
        for tick in ticks:
            if _key(tick) in self._instruments:
                price = self.book.polled(wanted.broker, tick, now, until)
                if price is not None:
                    self._publisher.put(price)


def _room(wanted: Wanted) -> int:
    """How many quotes one call to this broker brings."""
    return registry.load(wanted.broker).client_class.quotes_at_once


def _has_own_session(slug: str) -> bool:
    kind = registry.load(slug).price_stream
    return kind is not None and kind.has_own_session


def _key(each: Streamed | Tick) -> InstrumentKey:
    return each.exchange, each.exchange_token


async def cancelled(tasks: Collection[asyncio.Task[None]], patience: float) -> None:
    """Cancel, and again after so many seconds: a library in between may have swallowed it."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=patience)
    await asyncio.gather(*tasks, return_exceptions=True)
