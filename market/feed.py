"""One connection to one broker's stream: opened, kept alive, watched, and opened again.

A dialect (`brokers/<slug>/stream.py`) says what is sent and what frames mean; all else is here, the same for every
broker. How patient it is says `patience`. What comes in is handed to a sink; where that is slow the latest of each
instrument waits for it in a `mailbox`, so that nothing grows.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from brokers.domain import Streamed, Tick
from brokers.errors import BrokerError, CircuitOpen, FeedEnded, NotSupported, RateLimited, SessionEnded
from brokers.secret import bare
from brokers.streaming import (
    Alive,
    BookChanged,
    BrokerStream,
    Event,
    Frame,
    OrderUpdate,
    PriceStream,
    Refused,
    SessionOver,
    Unreadable,
    Wish,
)
from brokers.transport import Transport, is_loopback
from market.mailbox import Mailbox, News
from market.mqtt import MqttClosed, MqttRefused
from market.patience import Pace, Watch
from market.pricing import InstrumentKey
from market.sockets import OpenSocket, Socket, opened

logger = logging.getLogger(__name__)

Sink = Callable[[Sequence[Tick | News]], Awaitable[None]]


class FeedState(StrEnum):
    CONNECTING = "CONNECTING"
    LIVE = "LIVE"
    STALLED = "STALLED"  # connected, and mute; it is opened again
    DOWN = "DOWN"  # not connected; it is opened again
    OVER = "OVER"  # the broker does not serve this session any more: it is not opened again


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReport:
    """How a feed is, since when, and why; the counts are since it was made.

    `unasked` are ticks of instruments that are not wished for; `overwritten` those that the sink was too slow for.
    """

    state: FeedState
    since: datetime
    reason: str = ""
    last_frame: datetime | None = None
    last_tick: datetime | None = None
    opened: int = 0
    unreadable: int = 0
    refused: int = 0
    unasked: int = 0
    overwritten: int = 0


@dataclass(frozen=True, slots=True)
class _End:
    """How a connection ended."""

    state: FeedState
    reason: str
    pause: float = 0.0


class Feed:
    """Runs one stream, of prices or of orders, until it is over or cancelled; one with a session apart until cancelled.
    Made and used in one event loop.

    `make` gives a fresh stream for every connection. `is_expecting`: whether the market is open, so that ticks of what
    is wished for should come. `on_state` hears of every change of state, at once. With `loopback_only` no other host is
    connected to, whatever address the broker gave.
    """

    def __init__(
        self,
        make: Callable[[], BrokerStream],
        http: Transport,
        base_url: str,
        sink: Sink,
        *,
        loopback_only: bool,
        on_state: Callable[[FeedReport], None] = lambda report: None,
        is_expecting: Callable[[datetime], bool] = lambda now: False,
        pace: Pace | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        open_socket: OpenSocket | None = None,
    ) -> None:
        self._make = make
        self._kind = type(make())
        self._http = http
        self._base_url = base_url
        self._sink = sink
        self._loopback_only = loopback_only
        self._on_state = on_state
        self._is_expecting = is_expecting
        self._pace = pace or Pace()
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._open_socket = open_socket or opened
        self._mailbox = Mailbox()
        self._wished: dict[InstrumentKey, Streamed] = {}
        self._wishes_changed = asyncio.Event()
        self._watch = Watch(self._pace, clock())
        self._report = FeedReport(state=FeedState.CONNECTING, since=clock())

    @property
    def report(self) -> FeedReport:
        return replace(
            self._report,
            last_frame=self._watch.last_frame,
            last_tick=self._watch.last_tick,
            overwritten=self._mailbox.overwritten,
        )

    def wish(self, wanted: Iterable[Streamed]) -> list[Streamed]:
        """What prices are to be streamed of from now on; asked for again on every new connection.

        Returns those that are left out: the broker has no name for them, or they are beyond its limit.
        """
        listed, kind = list(wanted), self._kind
        known = [each for each in listed if issubclass(kind, PriceStream) and kind.can_stream(each)]
        wished = {(each.exchange, each.exchange_token): each for each in known[: kind.limits.instruments]}
        if wished != self._wished:
            self._wished = wished
            self._wishes_changed.set()
        return [each for each in listed if (each.exchange, each.exchange_token) not in wished]

    async def run(self) -> None:
        """Connect, and connect again, until the session is over."""
        delivery = asyncio.create_task(self._deliver())
        attempts = 0
        try:
            while True:
                self._become(FeedState.CONNECTING, self._report.reason)
                self._watch = Watch(self._pace, self._clock(), self._watch)
                try:
                    end = await self._connection()
                except Exception:
                    logger.exception("A stream of %s broke", self._http.slug)
                    end = _End(FeedState.DOWN, "Something went wrong on our side.")
                attempts = 1 if self._watch.age(self._clock()) >= self._pace.stable else attempts + 1
                self._become(end.state, end.reason)
                if end.state is FeedState.OVER and not self._kind.has_own_session:
                    return
                # Of a session apart another may be had, which makes this feed another one; till then it is tried again.
                asked = self._pace.longest if end.state is FeedState.OVER else end.pause
                await self._sleep(self._pace.pause(attempts, self._chance(), asked))
        finally:
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)

    # --- one connection -----------------------------------------------------------------------------------------------
    async def _connection(self) -> _End:
        stream = self._make()
        try:
            opening = await asyncio.to_thread(stream.opening, self._http, self._base_url)
            if self._loopback_only and not is_loopback(urlsplit(opening.url.reveal()).hostname or ""):
                raise NotSupported("This installation is a simulation: it refuses to talk to a live broker.")
            socket = await self._open_socket(opening, stream)
        except BrokerError as error:
            return self._failed(error)
        except InvalidStatus as error:
            return _turned_away(stream, error.response.status_code, error.response.headers)
        except MqttRefused as error:
            return _turned_away(stream, error.code, {}, protocol="MQTT")
        except (OSError, TimeoutError, WebSocketException, ValueError) as error:
            return _End(FeedState.DOWN, f"It could not be connected to ({type(error).__name__}).")
        try:
            end = await self._talk(stream, socket)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else "no reason"
            end = _End(FeedState.DOWN, f"The connection was closed ({code}).")
        except MqttClosed as closed:
            end = _End(FeedState.DOWN, f"The connection was closed ({closed}).")
        else:
            self._become(end.state, end.reason)  # before the farewell, which a mute broker may let us wait for
        finally:
            await socket.close()
        return end

    def _failed(self, error: BrokerError) -> _End:
        """What a call that failed comes to."""
        if isinstance(error, SessionEnded | FeedEnded):
            return _End(FeedState.OVER, error.message)
        if isinstance(error, NotSupported):
            return _End(FeedState.DOWN, error.message, self._pace.longest)
        if isinstance(error, CircuitOpen):
            return _End(FeedState.DOWN, error.message, (error.retry_at - self._clock()).total_seconds())
        if isinstance(error, RateLimited):
            return _End(FeedState.DOWN, error.message, error.retry_after or 0.0)
        return _End(FeedState.DOWN, error.message)

    async def _talk(self, stream: BrokerStream, socket: Socket) -> _End:
        """Until one of the parts comes to an end. Raises ConnectionClosed or MqttClosed."""
        await _say(socket, stream.hello())
        self._watch.opened(self._clock())
        self._report = replace(self._report, opened=self._report.opened + 1)
        self._become(FeedState.LIVE, "")
        parts: list[Coroutine[Any, Any, _End]] = [self._read(stream, socket), self._guard(stream)]
        if isinstance(stream, PriceStream):
            parts.append(self._subscribe(stream, socket))
        if stream.beat_seconds is not None:
            parts.append(self._beat(stream, socket, stream.beat_seconds))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        # Of several that ended together, a verdict says more than a socket that closed beneath the others.
        verdicts = [result for result in results if isinstance(result, _End)]
        return verdicts[0] if verdicts else next(task.result() for task in tasks if task in ended)

    async def _read(self, stream: BrokerStream, socket: Socket) -> _End:
        while True:
            frame = await socket.recv()
            over = self._hear(stream.received(frame))
            if over is not None:
                return _End(FeedState.OVER, over.reason)
            await _say(socket, stream.answers())

    def _hear(self, events: Iterable[Event]) -> SessionOver | None:
        has_ticked = False
        for event in events:
            if isinstance(event, Tick):
                if (event.exchange, event.exchange_token) in self._wished:
                    has_ticked = True
                    self._mailbox.put(event)
                else:
                    self._report = replace(self._report, unasked=self._report.unasked + 1)
            elif isinstance(event, (OrderUpdate, BookChanged)):
                self._mailbox.put(event)
            elif isinstance(event, SessionOver):
                return event
            elif isinstance(event, Unreadable):
                self._report = replace(self._report, unreadable=self._report.unreadable + 1)
            elif isinstance(event, Refused):
                self._report = replace(self._report, refused=self._report.refused + 1)
                logger.warning("%s's stream refused a wish: %s %s", self._http.slug, event.reason, event.code or "")
            else:
                assert isinstance(event, Alive)  # noqa: S101 - the last of the kinds
        self._watch.heard(self._clock(), has_ticked=has_ticked)
        return None

    async def _subscribe(self, stream: PriceStream, socket: Socket) -> _End:
        """Ask for what is wished and not asked for yet, take back what is not wished any more; until the session is
        over. Where that takes a call and the call fails, it is made again later, and what streams goes on meanwhile.
        """
        asked: dict[InstrumentKey, Streamed] = {}
        failures = 0
        while True:
            self._wishes_changed.clear()
            wished = self._wished
            wishes = [
                *stream.unsubscribe([each for key, each in asked.items() if wished.get(key) != each]),
                *stream.subscribe([each for key, each in wished.items() if asked.get(key) != each]),
            ]
            try:
                over = await self._ask(socket, wishes)
            except BrokerError as error:
                failures += 1
                end = self._failed(error)
                if end.state is FeedState.OVER:
                    return end
                logger.warning("%s could not be asked for prices: %s", self._http.slug, error.code)
                await self._sleep(self._pace.pause(failures, self._chance(), end.pause))
                continue
            if over is not None:
                return _End(FeedState.OVER, over.reason)
            failures = 0
            if wished.keys() - asked.keys():
                self._watch.asked(self._clock())
            asked = wished
            await self._wishes_changed.wait()

    async def _ask(self, socket: Socket, wishes: Iterable[Wish]) -> SessionOver | None:
        for wish in wishes:
            if isinstance(wish, (str, bytes)):
                await socket.send(wish)
            elif over := self._hear(await asyncio.to_thread(wish, self._http)):
                return over
        return None

    async def _beat(self, stream: BrokerStream, socket: Socket, seconds: float) -> _End:
        while True:
            await self._sleep(seconds)
            seconds = stream.beat_seconds or seconds
            beat = stream.beat()
            if beat is None:
                await socket.ping()
            else:
                await socket.send(beat)

    async def _guard(self, stream: BrokerStream) -> _End:
        """Until the stream is mute that should not be."""
        while True:
            await self._sleep(self._pace.watch)
            now = self._clock()
            fault = self._watch.fault(
                now, stream.silence_seconds, is_expecting=bool(self._wished) and self._is_expecting(now)
            )
            if fault is not None:
                return _End(FeedState.STALLED, fault)

    # --- around it ----------------------------------------------------------------------------------------------------
    async def _deliver(self) -> None:
        while True:
            events = await self._mailbox.take()
            try:
                await self._sink(events)
            except Exception:
                logger.exception("What a stream of %s told was not taken", self._http.slug)

    def _become(self, state: FeedState, reason: str) -> None:
        if state is not self._report.state:
            self._report = replace(self._report, state=state, reason=reason, since=self._clock())
            self._on_state(self.report)


def _turned_away(stream: BrokerStream, status: int, headers: Any, *, protocol: str = "HTTP") -> _End:
    """What a refused handshake comes to."""
    over = stream.refused(status, headers)
    if over is not None:
        return _End(FeedState.OVER, over.reason)
    wait = headers.get("Retry-After", "")
    pause = float(wait) if wait.isdecimal() else 0.0
    return _End(FeedState.DOWN, f"The broker answered with {protocol} {status}.", pause)


async def _say(socket: Socket, frames: Iterable[Frame]) -> None:
    try:
        for frame in frames:
            await socket.send(frame)
    except Exception as error:  # any: what was to be sent may hold a token, which must not lie about in the traceback
        frame, frames = b"", ()
        raise bare(error) from None
