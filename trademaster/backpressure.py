"""Sending on a WebSocket takes as long as the client takes to read, and every close code arrives.

Daphne puts every message into memory and answers at once, however slow the client is. Here the sender waits until the
transport has room again, so that what a slow client does not read waits in the application's own bounded queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol

Application = Callable[..., Awaitable[None]]
LONGEST_FRAME = 64 * 1024  # bytes, of what a client sends: a longer one ends the connection


class Room:
    """A Twisted push producer: told by the transport when its buffer is full, and when it has been sent."""

    def __init__(self) -> None:
        self._has_room = asyncio.Event()
        self._has_room.set()

    def pauseProducing(self) -> None:
        self._has_room.clear()

    def resumeProducing(self) -> None:
        self._has_room.set()

    def stopProducing(self) -> None:
        self._has_room.set()

    async def wait(self) -> None:
        await self._has_room.wait()


def patient(application: Application) -> Application:
    """The same application, whose sends wait for the client where the server is Daphne."""

    async def wrapped(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        protocol: Any = send.args[0] if isinstance(send, partial) and send.args else None
        if getattr(protocol, "transport", None) is None:
            await application(scope, receive, send)
            return
        room = Room()

        async def send_and_wait(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.close" and protocol.state == WebSocketProtocol.STATE_OPEN:
                # Its own way refuses the codes that the protocol keeps for servers, such as 1008.
                protocol.sendCloseFrame(code=message.get("code", 1000), reasonUtf8=b"")
                return
            await send(message)
            if message["type"] == "websocket.accept":
                protocol.maxFramePayloadSize = LONGEST_FRAME
                # The HTTP channel of before the upgrade, which only stopped reading.
                protocol.transport.unregisterProducer()
                protocol.transport.registerProducer(room, True)
            elif message["type"] == "websocket.send":
                await room.wait()

        await application(scope, receive, send_and_wait)

    return wrapped
