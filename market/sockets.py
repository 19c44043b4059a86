"""The connections that streams come over: a WebSocket, or MQTT where the address says so."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from brokers.secret import bare
from brokers.streaming import BrokerStream, Frame, Opening
from market import mqtt

# The library logs addresses and headers, which hold tokens, at lower levels: here it may not, whatever levels are set.
_wire_log = logging.getLogger("market.sockets.wire")
_wire_log.addFilter(lambda record: record.levelno >= logging.WARNING)

LARGEST_FRAME = 1 << 20
FRAMES_QUEUED = 16
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
PING_SECONDS = 20.0


class Socket(Protocol):
    """What is used of a connection. Raises ConnectionClosed, or MqttClosed."""

    async def send(self, message: Frame) -> None: ...
    async def recv(self) -> Frame: ...
    async def ping(self) -> object: ...
    async def close(self) -> None: ...


OpenSocket = Callable[[Opening, BrokerStream], Awaitable[Socket]]


class _Straight(connect):
    """Follows no redirects: what is sent at the handshake is for one host."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def opened(opening: Opening, stream: BrokerStream) -> Socket:
    """Open what the address asks for. Raises InvalidStatus or MqttRefused where the broker says no, else OSError,
    TimeoutError, ValueError or WebSocketException.

    Where the broker may be silent for long, pings find out whether it is still there.
    """
    try:
        if urlsplit(opening.url.reveal()).scheme in mqtt.PORTS:
            return await mqtt.opened(opening)
        return await _web_socket(opening, stream)
    except Exception as error:  # any: the frames of the libraries know the address and its headers in plain
        raise bare(error) from None


async def _web_socket(opening: Opening, stream: BrokerStream) -> Socket:
    ping = PING_SECONDS if stream.silence_seconds is None else None
    return await _Straight(
        opening.url.reveal(),
        additional_headers={name: value.reveal() for name, value in opening.headers.items()},
        subprotocols=[Subprotocol(name) for name in opening.subprotocols] or None,
        user_agent_header=None,
        proxy=None,
        logger=_wire_log,
        open_timeout=OPEN_SECONDS,
        close_timeout=CLOSE_SECONDS,
        ping_interval=ping,
        ping_timeout=ping,
        max_size=LARGEST_FRAME,
        max_queue=FRAMES_QUEUED,
    )
