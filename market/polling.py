"""Quotes of what nobody streams: asked of brokers in the background, many in one call.

The trader's own calls come first: a poll takes what the budgets can spare (`governor.in_background`) or does without,
uses few of a broker's threads, and leaves a broker that fails alone for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from brokers import registry
from brokers.domain import SEGMENT_OF, Listing, Quote, Session, Streamed, Tick
from brokers.errors import (
    BrokerError,
    CircuitOpen,
    FeedEnded,
    NotSupported,
    RateLimited,
    RequestRefused,
    SessionEnded,
)
from brokers.reach import transport_to
from brokers.streaming import SessionOver
from brokers.transport import Deadline
from market.pricing import InstrumentKey

if TYPE_CHECKING:
    from market.streaming import Wanted

logger = logging.getLogger(__name__)

CALL_SECONDS = 3.0
CALLS_AT_ONCE = 4  # of one broker's threads, which fetch the books too
FIRST_REST = timedelta(seconds=5)
LONGEST_REST = timedelta(seconds=60)
# A broker that refuses quotes, or answers without this instrument, will do so again.
REFUSED_REST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Polled:
    """What may be asked for, and what the broker calls it."""

    wanted: Streamed
    listing: Listing

    @property
    def key(self) -> InstrumentKey:
        return self.wanted.exchange, self.wanted.exchange_token


class Poll(Protocol):
    """How quotes are asked for. Nothing here raises a BrokerError."""

    def may_ask(self, connection: UUID, session: Session, each: Polled, now: datetime) -> bool: ...
    async def ask(self, connection: UUID, wanted: Wanted, polled: Sequence[Polled]) -> list[Tick] | None: ...


@dataclass(slots=True)
class _Learnt:
    """What asking with one session has taught, which a login anew forgets."""

    session: Session
    failures: int = 0
    rests_until: datetime | None = None
    unknown_until: dict[InstrumentKey, datetime] = field(default_factory=dict)

    def may_ask(self, key: InstrumentKey, now: datetime) -> bool:
        return all(until is None or until <= now for until in (self.rests_until, self.unknown_until.get(key)))


class Polling:
    """For one event loop. `pool` gives a broker's own threads; `on_over` hears of sessions that a broker says ended."""

    def __init__(
        self,
        pool: Callable[[str], Executor],
        on_over: Callable[[UUID, Session, SessionOver], Awaitable[None]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._on_over = on_over
        self._clock = clock
        self._free: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CALLS_AT_ONCE))
        self._busy: set[UUID] = set()
        self._learnt: dict[UUID, _Learnt] = {}

    def may_ask(self, connection: UUID, session: Session, each: Polled, now: datetime) -> bool:
        """Whether this connection could be asked for it now, with this session."""
        return connection not in self._busy and self._of(connection, session).may_ask(each.key, now)

    def _of(self, connection: UUID, session: Session) -> _Learnt:
        known = self._learnt.get(connection)
        if known is None or known.session != session:
            known = self._learnt[connection] = _Learnt(session)
        return known

    async def ask(self, connection: UUID, wanted: Wanted, polled: Sequence[Polled]) -> list[Tick] | None:
        """What one call tells of these; None where it failed, or was not made: somebody else may be asked."""
        self._busy.add(connection)
        learnt = self._of(connection, wanted.session)
        try:
            async with self._free[wanted.broker]:
                quotes = await asyncio.wrap_future(
                    self._pool(wanted.broker).submit(_quotes, connection, wanted, [each.listing for each in polled])
                )
        except BrokerError as error:
            await self._failed(connection, learnt, error)
            return None
        except Exception:  # a mistake of ours in one dialect must not cost the others' prices
            logger.exception("Reading quotes of %s failed", wanted.broker)
            learnt.rests_until = self._clock() + REFUSED_REST
            return None
        finally:
            self._busy.discard(connection)
        learnt.failures = 0
        return self._ticks(learnt, polled, quotes)

    def _ticks(self, learnt: _Learnt, polled: Sequence[Polled], quotes: Sequence[Quote]) -> list[Tick]:
        now = self._clock()
        found = {(quote.exchange, quote.broker_token): quote for quote in quotes if quote.last_price is not None}
        learnt.unknown_until = {key: until for key, until in learnt.unknown_until.items() if until > now}
        ticks = []
        for each in polled:
            quote = found.get((each.listing.exchange, each.listing.broker_token))
            if quote is not None and quote.last_price is not None:
                ticks.append(Tick(*each.key, quote.last_price, quote.close_price))
            else:
                learnt.unknown_until[each.key] = now + REFUSED_REST
        return ticks

    async def _failed(self, connection: UUID, learnt: _Learnt, error: BrokerError) -> None:
        now = self._clock()
        learnt.failures += 1
        learnt.rests_until = _rest_until(error, learnt.failures, now)
        if not isinstance(error, RateLimited):
            logger.info("Quotes of connection %s are not told: %s", connection, error.code)
        if isinstance(error, SessionEnded | FeedEnded):
            over = SessionOver(error.message, of_prices=isinstance(error, FeedEnded))
            await self._on_over(connection, learnt.session, over)


def batch(due: Sequence[Polled], at_once: int) -> list[Polled]:
    """What goes into one call: so many of the first one's segment, which some brokers ask of one at a time."""
    return [each for each in due if SEGMENT_OF[each.wanted.exchange] is SEGMENT_OF[due[0].wanted.exchange]][:at_once]


def _quotes(connection: UUID, wanted: Wanted, listings: Sequence[Listing]) -> tuple[Quote, ...]:
    """In a thread of the broker's. Raises BrokerError."""
    broker = registry.load(wanted.broker)
    http = transport_to(broker, Deadline(CALL_SECONDS), account=str(connection), in_background=True)
    return broker.client(http, wanted.app, wanted.session).quotes(listings)


def _rest_until(error: BrokerError, failures: int, now: datetime) -> datetime:
    if isinstance(error, CircuitOpen):
        return error.retry_at
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return now + timedelta(seconds=error.retry_after)
    if isinstance(error, RequestRefused | NotSupported):
        return now + REFUSED_REST
    return now + min(LONGEST_REST, FIRST_REST * (1 << min(failures - 1, 10)))
