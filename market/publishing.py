"""The last price of every instrument, kept in Redis and published to whoever listens.

One key per instrument: a user's 50 to 500 are read in one round trip, and one that nobody streams any more goes by
itself. Every batch has a number, kept beside the prices; who misses one reads the prices again. Of two processes that
tell of one instrument the first goes on telling it as long as it lives and keeps up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from market.pricing import InstrumentKey, Price

logger = logging.getLogger(__name__)

CHANNEL = "prices"
SEQUENCE = "prices:sequence"
ALIVE = "prices:alive"
KEPT_SECONDS = 5 * 86_400  # over the longest run of closed days
ALIVE_SECONDS = 6
TAKEN_OVER_MILLISECONDS = 3000
# Of one process's time batches take no more than a fifth; at rest the next one goes out at once.
LEAST_REST_SECONDS = 0.02
MOST_REST_SECONDS = 0.1
REST_FOR_WORK = 4.0
HEARTBEAT_SECONDS = 1.0
AT_ONCE = 1000
STREAMED, STALE, ASKED = range(3)
RECONNECT_SECONDS = 0.5

# KEYS: sequence, alive, our own sign of life, then one per price. ARGV: writer, seconds of the sign that anybody lives,
# seconds that prices are kept, milliseconds after which a price may be taken over, and for which a writer is taken to
# live, channel, prefix of writers' signs of life; then per price: its rank (0 streamed, 1 stale, 2 asked for), its time
# in milliseconds, the price, the whole as JSON. Keeps and publishes what counts in one step, and answers which prices
# did not: another writer tells of them. What is streamed takes the place of what was asked for at once; the other way
# round only where the stream is long behind.
PUBLISH = """
local writer, told, refused = ARGV[1], {}, {}
redis.call('SET', KEYS[2], writer, 'EX', ARGV[2])
redis.call('SET', KEYS[3], 1, 'PX', ARGV[4])
for i = 4, #KEYS do
  local at = 7 + (i - 4) * 4
  local rank, as_of, price, whole = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local known, counts = redis.call('GET', KEYS[i]), true
  if known then
    local other, was_rank, was, before = string.match(known, '^(%S+) (%d) (%d+) (%S+)\\n')
    if other and other ~= writer then
      local newer, enough = tonumber(as_of) - tonumber(was), tonumber(ARGV[4])
      if redis.call('EXISTS', ARGV[6] .. other) == 1 then
        if rank == '2' and was_rank == '0' then enough = enough * 5 end
        local is_better = was_rank == '1' or (rank == '0' and was_rank == '2')
        counts = rank ~= '1' and (is_better or (price ~= before and newer >= enough))
      else
        counts = rank == '1' or newer > -enough
      end
    end
  end
  if counts then
    local header = writer .. ' ' .. rank .. ' ' .. as_of .. ' ' .. price .. '\\n'
    redis.call('SET', KEYS[i], header .. whole, 'EX', ARGV[3])
    told[#told + 1] = whole
  else
    refused[#refused + 1] = i - 4
  end
end
local sequence = redis.call('INCR', KEYS[1])
redis.call('PUBLISH', ARGV[5], '{"sequence":' .. sequence .. ',"prices":[' .. table.concat(told, ',') .. ']}')
return refused
"""


class Batch(msgspec.Struct, frozen=True):
    """What was published at once; without prices it is a sign of life. `is_gap`: something before it was missed."""

    sequence: int
    prices: tuple[Price, ...] = ()
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Last prices as of batch `sequence`. Unless `is_fed` nobody publishes at all, and every price is stale."""

    sequence: int
    is_fed: bool
    prices: Mapping[InstrumentKey, Price] = field(default_factory=dict)


_encode = msgspec.json.Encoder(decimal_format="string").encode
_price = msgspec.json.Decoder(Price)
_batch = msgspec.json.Decoder(Batch)


class PricePublisher:
    """One process's prices: told at once after a rest, and then coalesced: the latest of each instrument wins.

    After a batch it rests four times as long as that took, within bounds: a lone tick waits for nothing, a flood costs
    few batches. While Redis is away nothing is lost but the steps between. `writer` must be unique and have no blanks.
    """

    def __init__(
        self,
        redis: Redis,
        writer: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.writer = writer
        self._script = redis.register_script(PUBLISH)
        self._sleep = sleep
        self._clock = clock
        self._waiting: dict[InstrumentKey, Price] = {}
        # What another writer tells of: offered again now and then, in case that one stops.
        self._refused: dict[InstrumentKey, Price] = {}
        self._woken = asyncio.Event()
        self._is_beat = False
        self._is_away = False

    def put(self, price: Price) -> None:
        self._waiting[price.key] = price
        self._woken.set()

    def keep(self, wanted: Collection[InstrumentKey]) -> None:
        """Offer no more of what is not wanted."""
        for key in self._refused.keys() - wanted:
            del self._refused[key]

    async def run(self) -> None:
        """Publish until cancelled."""
        beat = asyncio.create_task(self._beat())
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                if self._is_away and not self._is_beat:
                    continue  # it is tried again with the next sign of life
                self._is_beat = False
                began = self._clock()
                await self._try()
                await self._sleep(rest_after(self._clock() - began))
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await self._sleep(HEARTBEAT_SECONDS)
            self._waiting = self._refused | self._waiting
            self._is_beat = True
            self._woken.set()

    async def _try(self) -> None:
        try:
            await self.flush()
        except RedisError as error:
            if not self._is_away:
                logger.warning("Redis is away (%s): prices wait to be published", type(error).__name__)
            self._is_away = True
        else:
            self._is_away = False

    async def flush(self) -> None:
        """Publish what waits, or else a sign of life. Raises RedisError; what was not published then waits on."""
        while True:
            prices = [self._waiting.pop(key) for key in list(self._waiting)[:AT_ONCE]]
            try:
                refused = await self._publish(prices)
            except RedisError:
                self._waiting = {price.key: price for price in prices} | self._waiting
                raise
            for price in prices:
                self._refused.pop(price.key, None)
            self._refused |= {prices[number].key: prices[number] for number in refused if not prices[number].stale}
            if not self._waiting:
                return

    async def _publish(self, prices: list[Price]) -> list[int]:
        keys = [SEQUENCE, ALIVE, f"{ALIVE}:{self.writer}", *(_key(price.key) for price in prices)]
        arguments: list[str | bytes | int] = [
            self.writer,
            ALIVE_SECONDS,
            KEPT_SECONDS,
            TAKEN_OVER_MILLISECONDS,
            CHANNEL,
            f"{ALIVE}:",
        ]
        for price in prices:
            milliseconds = int(price.as_of.timestamp() * 1000)
            plain = format(price.last_price.normalize(), "f")
            rank = STALE if price.stale else ASKED if price.asked else STREAMED
            arguments += [rank, milliseconds, plain, _encode(price)]
        answer: list[int] = await self._script(keys=keys, args=arguments)
        return answer


def rest_after(work: float) -> float:
    """Seconds until the next batch may follow one that took so long."""
    return min(max(LEAST_REST_SECONDS, REST_FOR_WORK * work), MOST_REST_SECONDS)


class PriceReader:
    """For asynchronous readers. `latest` raises RedisError; `prices` waits until Redis is back."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def latest(self, instruments: Collection[InstrumentKey]) -> Snapshot:
        """The last prices of these; those that have none are left out."""
        return _snapshot(await self._redis.mget(_asked(instruments)))

    async def prices(self) -> AsyncIterator[Batch]:
        """Batches as they are published, for ever.

        The first, and the first after anything was missed, has `is_gap`: `latest` tells what is true then. Batches that
        are older than that snapshot may be passed over by their number.
        """
        while True:
            try:
                async for batch in self._subscribed():
                    yield batch
            except RedisError as error:
                logger.warning("Redis is away (%s): no prices are heard", type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _subscribed(self) -> AsyncIterator[Batch]:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            last: int | None = None
            async for message in channel.listen():
                if message["type"] == "subscribe":  # again after a connection was lost and found
                    last = int(await self._redis.get(SEQUENCE) or 0)
                    yield Batch(last, is_gap=True)
                elif message["type"] == "message" and last is not None:
                    batch = _batch.decode(message["data"])
                    if batch.sequence == last + 1:
                        yield batch
                    elif batch.sequence != last:
                        yield msgspec.structs.replace(batch, is_gap=True)
                    last = batch.sequence


def latest(redis: BlockingRedis, instruments: Collection[InstrumentKey]) -> Snapshot:
    """The same as the reader's, for a synchronous view. Raises RedisError."""
    return _snapshot(redis.mget(_asked(instruments)))


def _asked(instruments: Iterable[InstrumentKey]) -> list[str]:
    return [SEQUENCE, ALIVE, *map(_key, instruments)]


def _snapshot(found: Any) -> Snapshot:
    """From what `_asked` found: bytes, or None for what is not there."""
    sequence, alive, *values = found
    prices = [_price.decode(value.partition(b"\n")[2]) for value in values if value is not None]
    return Snapshot(int(sequence or 0), alive is not None, {price.key: price for price in prices})


def _key(instrument: InstrumentKey) -> str:
    exchange, exchange_token = instrument
    return f"price:{exchange}:{exchange_token}"
