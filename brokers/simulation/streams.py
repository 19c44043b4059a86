"""A simulated broker's WebSocket: what a dialect says on it, and the connection around it.

A dialect offers its sockets in `Sandbox.streams`:

    def streams(self) -> Iterable[StreamRoute]:
        yield StreamRoute("/", self.ticker)

    def ticker(self, call: Call) -> StreamSession: ...   # raises Refusal: the handshake is answered with that

A `StreamSession` is pure: frames in, frames out. It keeps what is subscribed, by the broker's own name of it, and is
asked for prices each time the market moved. One that is given the desk is asked for frames of its orders, too, each
time something became of one: `StreamSession.orders`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from aiohttp import WSMsgType, web

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.wire import Call

Frame = str | bytes
# A client that does not read is cut off, as a real broker does.
MOST_UNSENT = 1024
CLOSE_POLICY = 1008


class StreamSession(ABC):
    """One client's socket. `subscribed` maps the broker's own name of a listing to it."""

    heartbeat_seconds: ClassVar[float | None] = None

    def __init__(self, market: Market, desk: Desk | None = None) -> None:
        self.market = market
        self.desk = desk
        self._heard = desk.latest if desk else 0
        self.subscribed: dict[str, Listing] = {}
        self._sent: dict[str, tuple[Decimal, int]] = {}

    def opened(self) -> list[Frame]:
        """What the broker says first."""
        return []

    @abstractmethod
    def received(self, frame: Frame) -> list[Frame]:
        """The broker's answer to a frame of the client."""

    @abstractmethod
    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        """Frames that tell these prices; `changed` is never empty."""

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        """Frames that tell what became of these orders, one change after the other; `changed` is never empty."""
        return []

    def heartbeat(self) -> Frame | None:
        return None

    def news(self) -> list[Frame]:
        """Frames for what changed since the last time, or was subscribed since."""
        changed = list(self._changed())
        return self.prices(changed) if changed else []

    def order_news(self) -> list[Frame]:
        """Frames for what became of orders since the last time, or since the socket opened."""
        if self.desk is None:
            return []
        changed = self.desk.changes(self._heard)
        self._heard += len(changed)
        return self.orders(changed) if changed else []

    def forget(self, name: str) -> None:
        """No longer subscribed."""
        self.subscribed.pop(name, None)
        self._sent.pop(name, None)

    def _changed(self) -> Iterator[tuple[str, Listing, Price]]:
        for name, listing in self.subscribed.items():
            price = self.market.price(listing.key)
            if price is None:
                continue
            state = (price.last, price.volume)
            if self._sent.get(name) != state:
                self._sent[name] = state
                yield name, listing, price


@dataclass(frozen=True)
class StreamRoute:
    """A path that answers an upgrade to WebSocket. `subprotocols` are those that the broker speaks."""

    path: str
    open: Callable[[Call], StreamSession]
    subprotocols: tuple[str, ...] = ()


class OpenStream:
    """A socket and its session. Frames are queued and sent by one task, so that they keep their order."""

    def __init__(self, socket: web.WebSocketResponse, session: StreamSession) -> None:
        self.socket = socket
        self.session = session
        self._unsent: asyncio.Queue[Frame] = asyncio.Queue(MOST_UNSENT)

    async def serve(self, *, is_silent: Callable[[], bool]) -> None:
        """Talk until the client leaves. While `is_silent` nothing is sent: connected, and mute."""
        sender = asyncio.create_task(self._send(is_silent))
        beat = asyncio.create_task(self._beat())
        try:
            self.say(self.session.opened())
            async for message in self.socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self.say(self.session.received(message.data))
                    self.say(self.session.news())
        finally:
            for task in (sender, beat):
                task.cancel()
            await asyncio.gather(sender, beat, return_exceptions=True)

    def say(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._unsent.full():
                asyncio.get_running_loop().create_task(self.close())
                return
            self._unsent.put_nowait(frame)

    async def close(self) -> None:
        await self.socket.close(code=CLOSE_POLICY)

    async def _send(self, is_silent: Callable[[], bool]) -> None:
        while True:
            frame = await self._unsent.get()
            if is_silent():
                continue
            if isinstance(frame, str):
                await self.socket.send_str(frame)
            else:
                await self.socket.send_bytes(frame)

    async def _beat(self) -> None:
        while self.session.heartbeat_seconds is not None:
            await asyncio.sleep(self.session.heartbeat_seconds)
            frame = self.session.heartbeat()
            if frame is not None:
                self.say([frame])
