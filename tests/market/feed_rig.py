"""A feed on made-up sockets and a clock of its own, and dialects that speak words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Response

from brokers import reach, registry
from brokers.domain import AppCredentials, Exchange, OrderStatus, Session, Streamed, Tick
from brokers.secret import Secret
from brokers.streaming import (
    Alive,
    Event,
    Frame,
    Opening,
    OrderUpdate,
    PriceStream,
    Refused,
    SessionOver,
    StreamLimits,
    Unreadable,
    Wish,
)
from brokers.transport import Transport
from brokers.zerodha.spec import SPEC
from market.feed import Feed, FeedReport, FeedState
from market.patience import Pace

START = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
CONNECTING, LIVE, STALLED, DOWN, OVER = FeedState
APP = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"))
SESSION = Session(access_token=Secret("token"), feed_token=Secret("feed"), account_id="A1")


class Clock:
    """A clock that stands still until it is told; whoever sleeps wakes in order."""

    def __init__(self) -> None:
        self.now = START
        self.sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + timedelta(seconds=seconds), waking))
        await waking

    async def forward(self, seconds: float) -> None:
        end = self.now + timedelta(seconds=seconds)
        while due := [sleeper for sleeper in self.sleepers if sleeper[0] <= end]:
            first = min(due, key=lambda sleeper: sleeper[0])
            self.sleepers.remove(first)
            self.now = max(self.now, first[0])
            if not first[1].done():
                first[1].set_result(None)
            for _ in range(20):
                await asyncio.sleep(0)
        self.now = end


class Wire:
    """A socket: what is put into `frames` is received, an exception is raised."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame | Exception] = asyncio.Queue()
        self.sent: list[Frame] = []
        self.pings = 0
        self.is_closed = False

    async def send(self, message: Frame) -> None:
        self.sent.append(message)

    async def recv(self) -> Frame:
        frame = await self.frames.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def ping(self) -> None:
        self.pings += 1

    async def close(self) -> None:
        self.is_closed = True


class WordStream(PriceStream):
    """Speaks words: `price 1594 1500`, `over`, `order 7`, anything else is unreadable."""

    spec = SPEC
    limits = StreamLimits(instruments=5, batch=2)
    silence_seconds = 10.0
    fails: Exception | None = None
    url = "ws://127.0.0.1:1/"

    def opening(self, http: object, base_url: str) -> Opening:
        if self.fails is not None:
            raise self.fails
        return Opening(url=Secret(self.url))

    def hello(self) -> list[Frame]:
        return ["hello"]

    def received(self, frame: Frame) -> list[Event]:
        match str(frame).split():
            case ["price", token, price]:
                return [Tick(Exchange.NSE, token, Decimal(price))]
            case ["over"]:
                return [SessionOver("No more.")]
            case ["order", number]:
                return [OrderUpdate(number, OrderStatus.OPEN)]
            case ["alive"]:
                return [Alive()]
            case ["refused"]:
                return [Refused("Too many.", "E1")]
            case ["bug"]:
                raise RuntimeError("a bug of the dialect")
        return [Unreadable("a word")]

    def answers(self) -> list[Frame]:
        return []

    def subscribe(self, wanted: Sequence[Streamed]) -> Sequence[Wish]:
        return [f"+{each.exchange_token}" for each in wanted]

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> Sequence[Wish]:
        return [f"-{each.exchange_token}" for each in unwanted]

    @classmethod
    def can_stream(cls, wanted: Streamed) -> bool:
        return wanted.exchange is Exchange.NSE


class BeatingStream(WordStream):
    beat_seconds = 4.0
    silence_seconds = None


class TalkingStream(BeatingStream):
    def beat(self) -> Frame:
        return "beat"


class CallingStream(WordStream):
    """Wishes are calls: each is noted, and ends as the next of `ends` says, well if there is none."""

    def __init__(self, app: AppCredentials, session: Session) -> None:
        super().__init__(app, session)
        self.calls: list[str] = []
        self.ends: list[Exception | list[Event]] = []

    def subscribe(self, wanted: Sequence[Streamed]) -> list[Wish]:
        return [partial(self._call, "+", each) for each in wanted]

    def unsubscribe(self, unwanted: Sequence[Streamed]) -> list[Wish]:
        return [partial(self._call, "-", each) for each in unwanted]

    def _call(self, sign: str, each: Streamed, http: Transport) -> list[Event]:
        self.calls.append(f"{sign}{each.exchange_token} {http.slug}")
        end = self.ends.pop(0) if self.ends else [Tick(Exchange.NSE, each.exchange_token, Decimal(1))]
        if isinstance(end, Exception):
            raise end
        return end


class QuickStream(TalkingStream):
    """Learns from the first frame how often to beat."""

    def received(self, frame: Frame) -> list[Event]:
        self.beat_seconds = 1.0
        return super().received(frame)


def share(number: int) -> Streamed:
    return Streamed(Exchange.NSE, str(number))


@dataclass
class Rig:
    """A feed on made-up sockets: each attempt takes the next of `attempts`, or gets a fresh socket."""

    kind: type[WordStream] = WordStream
    is_open: bool = False
    pace: Pace = field(default_factory=Pace)
    attempts: list[Exception] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    events: list[object] = field(default_factory=list)
    reports: list[FeedReport] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.gate.set()
        http: Any = reach.transport_to(registry.load("zerodha"), account="test")
        self.feed = Feed(
            lambda: self.kind(APP, SESSION),
            http,
            "ws://127.0.0.1:1",
            self.take,
            loopback_only=True,
            on_state=self.reports.append,
            is_expecting=lambda now: self.is_open,
            pace=self.pace,
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 1.0,
            open_socket=self.open,
        )

    async def take(self, events: Sequence[object]) -> None:
        self.events += events
        await self.gate.wait()

    async def open(self, opening: Opening, stream: object) -> Wire:
        if self.attempts:
            raise self.attempts.pop(0)
        self.wires.append(Wire())
        return self.wires[-1]

    @property
    def wire(self) -> Wire:
        return self.wires[-1]

    @property
    def states(self) -> list[FeedState]:
        return [report.state for report in self.reports]

    async def hear(self, *frames: Frame | Exception) -> None:
        for frame in frames:
            self.wire.frames.put_nowait(frame)
        for _ in range(10 + 2 * len(frames)):
            await asyncio.sleep(0)

    async def until(self, state: FeedState, times: int = 1) -> None:
        await eventually(lambda: self.states.count(state) >= times)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        task = asyncio.create_task(self.feed.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def closed() -> ConnectionClosedError:
    return ConnectionClosedError(None, None)


def turned_away(status: int, **headers: str) -> InvalidStatus:
    return InvalidStatus(Response(status, "", Headers(headers)))
