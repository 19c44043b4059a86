"""The host of live books: its share of the users with an open page, moved by every tick, told to their sockets.

Books are made from what the brokers answer (asked now and then, and at once when an order or a session changes) and
moved by published prices in between. The contract with the sockets is docs/websocket.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from brokers import push, registry
from brokers.changes import generation_key
from brokers.domain import Exchange
from market import feed_states
from market.feed_states import Told
from market.hours import Hours
from market.leases import Leases
from market.pricing import Price
from market.publishing import PriceReader
from market.streaming import cancelled
from portfolio import limit_watch, live_messages, loading, watching
from portfolio.domain import InstrumentKey, PriceState, SourceState
from portfolio.engine import Engine, Loaded, Message
from portfolio.kept_series import KeptSeries
from portfolio.limit_turns import LimitTurns
from portfolio.live_messages import Place
from portfolio.live_tempo import Tempo as Tempo
from portfolio.loading import P, T, in_a_thread
from portfolio.turns import Turns
from portfolio.wanted import Listings

logger = logging.getLogger(__name__)

LEASES = "live"
WANTED = "live:wanted"  # a user id: send that user's group a snapshot
CHANGED = "live:changed"  # a user id: the brokers have news for that user
READ_AT_ONCE = 1000
CATCH_UPS = 20
STOP_SECONDS = 0.5
UNSEEN = "unseen"

# KEYS: signs of life. ARGV: owner. Removes our own.
FAREWELL = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""


@dataclass(eq=False, slots=True)
class _Watched:
    """A user whose lease is ours. `place` is None until the book is told for the first time. Times: the loop's."""

    user_id: int
    since: float
    ask_at: float
    reconcile_at: float
    series: KeptSeries
    place: Place | None = None
    settle_at: float = float("inf")
    asked_at: float = -1e9
    is_asking: bool = False
    is_held: bool = False
    is_answered: bool = False  # by a broker at least, when they were last asked
    is_snapshot_due: bool = False
    generation: bytes | str | None = UNSEEN
    accounts: list[tuple[UUID, str]] = field(default_factory=list)
    price_state: tuple[list[dict[str, str]], bool, bool] | None = None  # feeds, stale, asked
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LiveHost:
    """Runs until `stop()`, in one event loop. `owner` must be unique for each process that ever runs."""

    def __init__(
        self,
        redis: Redis,
        *,
        owner: str,
        hours: Hours,
        listings: Listings | None = None,
        tempo: Tempo | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.tempo = tempo or Tempo()
        self.owner = owner
        self._redis = redis
        self._hours = hours
        self._listings = listings or Listings()
        self._clock = clock
        self._leases = Leases(redis, LEASES, owner, self.tempo.lease)
        self._reader = PriceReader(redis)
        self._farewell = redis.register_script(FAREWELL)
        self._engine = Engine()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live-books")
        self._watched: dict[int, _Watched] = {}
        self._turns = Turns(_given(self.tempo.interval, settings.LIVE_INTERVAL_MS / 1000))
        self._has_changed = asyncio.Event()
        self._asking = asyncio.Semaphore(self.tempo.asked_at_once)
        self._heard_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits = LimitTurns(self._look_at_limits, pause=self.tempo.between_limits)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def told(self) -> dict[int, Place]:
        """The users whose books are told from here, and where each is."""
        return {user_id: each.place for user_id, each in self._watched.items() if each.place is not None}

    async def run(self) -> None:
        self._heard_at = self._now()
        loops = [
            asyncio.create_task(self._for_ever(work))
            for work in (self._share_out, self._look_after, self._hear_prices, self._hear_requests, self._tell_changes)
        ]
        try:
            await self._stopping.wait()
        finally:
            self._stopping.set()
            await cancelled([*loops, *self._tasks, *self._limits.tasks], patience=STOP_SECONDS)
            users = list(self._watched)
            try:
                await self._leave(users)
                await self._leases.leave([str(user_id) for user_id in users])
            except RedisError as error:
                logger.warning("Redis is away (%s): leases lapse by themselves", type(error).__name__)
            self._thread.shutdown()

    async def news(self, user_id: int) -> None:
        """Tell whichever host holds this user that the brokers have news. Raises RedisError."""
        await self._redis.publish(CHANGED, str(user_id))

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """The outermost loop: whatever goes wrong, it goes on."""
        while not self._stopping.is_set():
            try:
                await work()
            except RedisError as error:
                logger.warning("Redis is away (%s): live books wait", type(error).__name__)
            except Exception:
                logger.exception("A part of the live host failed")
            await asyncio.sleep(self.tempo.round)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _in_engine(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- whose books are ours -----------------------------------------------------------------------------------------
    async def _share_out(self) -> None:
        """In a loop of its own: however much there is to look after, leases are renewed."""
        watchers = {str(user_id) for user_id in await in_a_thread(watching.watchers)}
        mine = await self._leases.mine(watchers)
        gone = [user_id for user_id in self._watched if str(user_id) not in mine]
        await self._leave(gone)
        await self._leases.release([str(user_id) for user_id in gone])
        held = {int(key) for key in await self._leases.hold(mine)}
        await self._leave([user_id for user_id in self._watched if user_id not in held])
        for user_id in held - self._watched.keys():
            self._take(user_id)
        await self._say_hosted()

    def _take(self, user_id: int) -> None:
        now = self._now()
        first_reconcile = now + self.tempo.reconcile * random.uniform(0.5, 1)  # noqa: S311 - so that they do not meet
        watched = _Watched(user_id, now, now, first_reconcile, KeptSeries(self._redis, user_id))
        self._watched[user_id] = watched
        self._spawn(self._begin(watched))

    async def _leave(self, users: Collection[int]) -> None:
        left = [self._watched.pop(user_id) for user_id in users]
        for watched in left:
            watched.place = None
            self._turns.forget(watched.user_id)
            async with watched.lock:
                if watched.is_held:
                    watched.is_held = False
                    await self._in_engine(self._engine.drop, watched.user_id)
        if left:
            await self._farewell(keys=[watching.host_key(each.user_id) for each in left], args=[self.owner])

    async def _say_hosted(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for user_id in self.told:
            pipe.set(watching.host_key(user_id), self.owner, px=int(self.tempo.hosted * 1000))
        await pipe.execute()

    def _is_ours(self, watched: _Watched) -> bool:
        return self._watched.get(watched.user_id) is watched

    # --- what the brokers tell ----------------------------------------------------------------------------------------
    async def _begin(self, watched: _Watched) -> None:
        """Tell of the last good answers at once, where they are recent and whole, and ask the brokers."""
        recent = timedelta(seconds=2 * self._refresh)
        watched.is_asking = True
        try:
            loaded = await in_a_thread(loading.known, watched.user_id, self._listings, self._clock(), recent)
            if loaded is not None and all(source.state is SourceState.LIVE for source in loaded.sources):
                await self._hold(watched, loaded)
                if await self._is_whole(watched):
                    await self._announce(watched)
        finally:
            watched.is_asking = False
        await self._ask(watched)

    async def _ask(self, watched: _Watched) -> None:
        """Give the book what the brokers tell now."""
        if watched.is_asking or not self._is_ours(watched):
            return
        watched.is_asking = True
        watched.ask_at = float("inf")  # news that come from now on set it anew
        try:
            async with self._asking:
                watched.asked_at = self._now()
                loaded = await in_a_thread(loading.fetched, watched.user_id, self._listings, self._clock())
            if loaded is None:
                await self._give_up(watched)
            elif await self._hold(watched, loaded):
                if watched.place is None:
                    await self._announce(watched)
                else:
                    self._note_changes([watched.user_id])
        finally:
            watched.is_asking = False
            watched.ask_at = min(watched.ask_at, self._now() + await self._pause(watched))

    async def _is_whole(self, watched: _Watched) -> bool:
        async with watched.lock:
            return watched.is_held and await self._in_engine(self._engine.is_whole, watched.user_id, self._clock())

    async def _pause(self, watched: _Watched) -> float:
        """Until the brokers are asked again: sooner where no stream tells the prices."""
        if not watched.is_held or await self._priced_by(watched) is PriceState.STREAMED:
            return self._refresh
        return min(self._refresh, _given(self.tempo.refresh_unstreamed, settings.PORTFOLIO_REFRESH_SECONDS))

    @property
    def _refresh(self) -> float:
        return _given(self.tempo.refresh, settings.LIVE_REFRESH_SECONDS)

    async def _hold(self, watched: _Watched, loaded: Loaded) -> bool:
        """Take the answers into the book. False where the user has meanwhile gone elsewhere."""
        async with watched.lock:
            if not self._is_ours(watched):
                return False
            new = await self._in_engine(self._engine.hold, watched.user_id, loaded)
            watched.is_held = True
            watched.is_answered = any(source.state is SourceState.LIVE for source in loaded.sources)
            accounts = [(UUID(source.connection_id), source.broker_type) for source in loaded.sources]
            watched.accounts = [each for each in accounts if registry.load(each[1]).price_stream is not None]
        await self._catch_up(new)
        if new:
            watched.settle_at = self._now() + self.tempo.settling
        return True

    async def _give_up(self, watched: _Watched) -> None:
        """There is nothing to hold: no account is connected. What the user's pages need to know others tell them."""
        async with watched.lock:
            watched.place = None
            if watched.is_held:
                watched.is_held = False
                await self._in_engine(self._engine.drop, watched.user_id)
        await self._farewell(keys=[watching.host_key(watched.user_id)], args=[self.owner])

    # --- prices -------------------------------------------------------------------------------------------------------
    async def _hear_prices(self) -> None:
        async for batch in self._reader.prices():
            self._heard_at = self._now()
            if batch.is_gap:
                await self._in_engine(self._engine.apply, (), batch.sequence)  # which may have begun anew
                await self._catch_up(await self._in_engine(self._engine.keys))
            self._note_changes(await self._in_engine(self._engine.apply, batch.prices, batch.sequence))

    async def _catch_up(self, keys: Collection[InstrumentKey], *, only_recent: bool = True) -> None:
        """Take in the last prices of these instruments from Redis.

        One that nobody has renewed for a while may be one that nobody streams any more. Whoever streams marks those
        soon after they are wanted again: from then on every price counts that is not marked.
        """
        listed = list(keys)
        for start in range(0, len(listed), READ_AT_ONCE):
            for _ in range(CATCH_UPS):
                found = await self._reader.latest(listed[start : start + READ_AT_ONCE])
                prices = [price for price in found.prices.values() if not only_recent or self._counts(price)]
                changed = await self._in_engine(self._engine.catch_up, prices, found.sequence)
                if changed is not None:
                    self._note_changes(changed)
                    break

    def _counts(self, price: Price) -> bool:
        now = self._clock()
        return now - price.as_of <= timedelta(seconds=self.tempo.recent) or not self._hours.is_open(price.exchange, now)

    # --- telling ------------------------------------------------------------------------------------------------------
    def _note_changes(self, users: Iterable[int]) -> None:
        self._turns.note(users, self._now())
        if self._turns.next_at() is not None:
            self._has_changed.set()

    async def _tell_changes(self) -> None:
        """At once after a rest, and then at most one delta in each interval."""
        while True:
            self._has_changed.clear()
            while (user_id := self._turns.take(self._now())) is not None:
                watched = self._watched.get(user_id)
                if watched is None or not await self._tell(watched):
                    self._turns.forgo(user_id)
            next_at = self._turns.next_at()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):  # the loop's time is the turns'; None: until something changes
                    await self._has_changed.wait()

    async def _tell(self, watched: _Watched) -> bool:
        """Whether there was anything to tell."""
        async with watched.lock:
            if watched.place is None or not watched.is_held:
                return False
            message = await self._in_engine(self._engine.delta, watched.user_id, watched.place, self._clock())
            if message is not None:
                await self._send(watched, live_messages.DELTA, message)
            return message is not None

    async def _announce(self, watched: _Watched) -> None:
        """Begin a book: its first message is a snapshot."""
        async with watched.lock:
            watched.place = Place(secrets.token_hex(8), 1)
        await watched.series.load(self._hours.trading_day(self._clock()))
        await self._say_hosted()
        watched.price_state = None
        await self._tell_all(watched)

    async def _tell_all(self, watched: _Watched) -> None:
        async with watched.lock:
            watched.is_snapshot_due = False  # who asks from now on may have missed this one
            if watched.place is None or not watched.is_held:
                return
            message = await self._in_engine(
                self._engine.snapshot, watched.user_id, watched.place, watched.series.series, self._clock()
            )
            await self._send(watched, live_messages.SNAPSHOT, message)
        watched.price_state = None

    async def _send(self, watched: _Watched, kind: str, message: Message) -> None:
        """A delta that Redis did not take is missed by everybody: its number says so to the sockets."""
        watched.place = message.place
        watched.series.total = message.total
        await push.send_json(watched.user_id, kind, message.text)
        self._limits.note(watched.user_id)

    async def _look_at_limits(self, user_id: int) -> None:
        now = self._clock()
        book = await self._in_engine(self._engine.portfolio, user_id, now)
        if book is not None:
            await in_a_thread(limit_watch.watch, user_id, book, now=now)

    async def _hear_requests(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(WANTED, CHANGED)
            async for message in channel.listen():
                if message["type"] != "message" or not message["data"].isdigit():
                    continue
                watched = self._watched.get(int(message["data"]))
                if watched is None:
                    continue
                if message["channel"] == CHANGED.encode():
                    self._hurry(watched)
                elif watched.place is not None and not watched.is_snapshot_due:
                    watched.is_snapshot_due = True
                    self._spawn(self._tell_all(watched))

    def _hurry(self, watched: _Watched) -> None:
        watched.ask_at = min(watched.ask_at, watched.asked_at + self.tempo.between_asking)
        if watched.ask_at <= self._now():
            self._spawn(self._ask(watched))

    # --- looking after them -------------------------------------------------------------------------------------------
    async def _look_after(self) -> None:
        if not self._watched:
            return
        users = list(self._watched.values())
        generations = await self._redis.mget([generation_key(watched.user_id) for watched in users])
        states = await feed_states.told(self._redis, [key for watched in users for key, _ in watched.accounts])
        if self._now() - self._heard_at > self.tempo.unheard and self._hours.is_open(Exchange.NSE, self._clock()):
            self._note_changes(await self._in_engine(self._engine.withdraw))
        for watched, generation in zip(users, generations, strict=True):
            if watched.generation not in (UNSEEN, generation):
                self._hurry(watched)
            watched.generation = generation
            if watched.ask_at <= self._now():
                self._spawn(self._ask(watched))
            if watched.place is not None:
                await self._tell_prices(watched, states)
                await self._note_value(watched)
                if watched.settle_at <= self._now():
                    watched.settle_at = float("inf")
                    await self._catch_up(
                        await self._in_engine(self._engine.keys_of, watched.user_id), only_recent=False
                    )
                if watched.reconcile_at <= self._now():
                    watched.reconcile_at = self._now() + self.tempo.reconcile
                    await self._reconcile(watched)

    async def _note_value(self, watched: _Watched) -> None:
        """Into the day's series: a value for which neither a broker nor a stream stands any more is a gap."""
        now = self._clock()
        is_stale = watched.price_state is not None and watched.price_state[1]
        value = watched.series.total if watched.is_answered or not is_stale else None
        await watched.series.note(now, self._hours.trading_day(now), value)

    async def _priced_by(self, watched: _Watched) -> PriceState | None:
        async with watched.lock:
            return await self._in_engine(self._engine.priced_by, watched.user_id) if watched.is_held else None

    async def _tell_prices(self, watched: _Watched, states: dict[UUID, Told]) -> None:
        """Say how the feeds behind this book are, where that is something new."""
        told = live_messages.feeds((slug, states[key]) for key, slug in watched.accounts if key in states)
        priced_by = await self._priced_by(watched)
        is_asked = priced_by is PriceState.ASKED
        is_stale = (
            priced_by is None
            and bool(watched.accounts)
            and self._now() - watched.since > self.tempo.settling
            and self._hours.is_open(Exchange.NSE, self._clock())
        )
        before, now = watched.price_state, (told, is_stale, is_asked)
        if now == before:
            return
        if (is_stale or is_asked) and before is not None and not (before[1] or before[2]):
            self._hurry(watched)
        watched.price_state = now
        as_of = await self._in_engine(self._engine.priced_at, watched.user_id)
        text = live_messages.price_state(told, stale=is_stale, asked=is_asked, as_of=as_of)
        await push.send_json(watched.user_id, live_messages.PRICE_STATE, text)

    async def _reconcile(self, watched: _Watched) -> None:
        """Hold the running sums against a full recompute; a book that errs is made anew."""
        async with watched.lock:
            if not watched.is_held:
                return
            found = await self._in_engine(self._engine.reconcile, watched.user_id, self._clock())
            if found:
                logger.error(
                    "The live book of user %s erred in %d fields, such as %s: it is made anew",
                    watched.user_id,
                    len(found),
                    found[0].field,
                )
                await self._in_engine(self._engine.rebuild, watched.user_id)
        if found:
            await self._announce(watched)


async def _logged(work: Awaitable[None]) -> None:
    """Work that nobody waits for: what goes wrong in it is logged, and tried again by its own clock."""
    try:
        await work
    except RedisError as error:
        logger.warning("Redis is away (%s): a live book waits", type(error).__name__)
    except Exception:
        logger.exception("Work on a live book failed")


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
