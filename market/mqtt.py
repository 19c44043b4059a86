"""MQTT 3.1.1 as a socket: what goes in and out are the frames of `brokers.streaming`.

The library keeps the connection alive, with a ping in every `KEEP_ALIVE_SECONDS` without another packet, and takes it
for dead when a ping has no answer for as long.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from aiomqtt import Client, MqttCodeError, MqttError
from paho.mqtt.reasoncodes import ReasonCode

from brokers.streaming import ASK, REFUSED, Frame, Opening, topics_frame, topics_of

# A library's log of a connection is of no use where its end is told anyway, and it may name topics and accounts.
_wire_log = logging.getLogger("market.mqtt.wire")
_wire_log.setLevel(logging.CRITICAL)

PORTS = {"mqtt": 1883, "mqtts": 8883}
KEEP_ALIVE_SECONDS = 20
ANSWER_SECONDS = 10.0  # for the answer to a connect, a subscription, and its end
CLOSE_SECONDS = 2.0
MOST_WAITING = 10_000
# The codes with which MQTT 3.1.1 refuses a connection, by those of MQTT 5 that the library makes of them.
# 1, another version, is no answer for it: the connection is closed then.
RETURN_CODES = {133: 2, 136: 3, 134: 4, 135: 5}
UNKNOWN_CODE = 0

_leaving: set[asyncio.Task[None]] = set()


class MqttRefused(Exception):
    """The broker refused the connection. `code` is MQTT 3.1.1's: 4 and 5 are the credentials, 3 that it is away."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class MqttClosed(ConnectionError):
    """The connection has come to an end, or could not be made; the words are ours."""


class MqttSocket:
    """An open connection. One task takes what comes, so that a refused topic can be told among it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._frames: asyncio.Queue[Frame | MqttClosed] = asyncio.Queue()
        self._hearing = asyncio.create_task(self._hear())

    async def send(self, frame: Frame) -> None:
        """Ask for topics, or take them back, and wait for the answer. Raises MqttClosed."""
        sign, topics = topics_of(str(frame))
        try:
            if sign != ASK:
                await self._client.unsubscribe(topics)
                return
            codes = await self._client.subscribe([(topic, 0) for topic in topics])
        except MqttError:
            raise MqttClosed("no answer") from None
        refused = [
            topic
            for topic, code in zip(topics, codes, strict=False)
            if isinstance(code, ReasonCode) and code.is_failure
        ]
        if refused:
            self._frames.put_nowait(topics_frame(REFUSED, refused))

    async def recv(self) -> Frame:
        """Raises MqttClosed, again at every call."""
        frame = await self._frames.get()
        if isinstance(frame, MqttClosed):
            self._frames.put_nowait(frame)
            raise frame
        return frame

    async def ping(self) -> None:
        """The library does, when it is time."""

    async def close(self) -> None:
        self._hearing.cancel()
        await asyncio.gather(self._hearing, return_exceptions=True)
        await _leave(self._client)

    async def _hear(self) -> None:
        end = MqttClosed("the reader fell behind")
        try:
            async for message in self._client.messages:
                if self._frames.qsize() >= MOST_WAITING:
                    break
                self._frames.put_nowait(message.topic.value.encode() + b"\0" + message.payload)
        except MqttError:
            end = MqttClosed("no reason")
        self._frames.put_nowait(end)


async def opened(opening: Opening) -> MqttSocket:
    """Connect and log in, in a session of its own that the broker forgets afterwards.

    With `mqtts` the certificate must be right, and the host's. Raises MqttRefused or MqttClosed.
    """
    address = urlsplit(opening.url.reveal())
    is_secure = address.scheme == "mqtts"
    client = Client(
        address.hostname or "",
        address.port or PORTS[address.scheme],
        username=opening.username.reveal() if opening.username else None,
        password=opening.password.reveal() if opening.password else None,
        identifier=f"tm{secrets.token_hex(8)}",
        clean_session=True,
        keepalive=KEEP_ALIVE_SECONDS,
        timeout=ANSWER_SECONDS,
        tls_context=await asyncio.to_thread(_trusting_known_authorities) if is_secure else None,
        logger=_wire_log,
    )
    entering = asyncio.create_task(client.__aenter__())
    try:
        await asyncio.shield(entering)
    except MqttCodeError as refused:
        raise MqttRefused(_return_code(refused.rc)) from None
    except MqttError:
        _cut(client)
        raise MqttClosed("not connected") from None
    except asyncio.CancelledError:
        entering.add_done_callback(partial(_leave_later, client))
        raise
    if not client._client.is_connected():  # the library forgets an end that comes right behind the welcome
        raise MqttClosed("closed at once")
    return MqttSocket(client)


class _ClosedWhenRefused(ssl.SSLSocket):
    """The library leaves a socket open whose handshake failed."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _trusting_known_authorities() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _ClosedWhenRefused
    return context


def _leave_later(client: Client, entering: asyncio.Task[Client]) -> None:
    """Close what nobody waits for any more: the library connects in a thread, which cannot be stopped."""
    if entering.cancelled() or entering.exception() is not None:
        _cut(client)
    else:
        leaving = asyncio.get_running_loop().create_task(_leave(client))
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)


async def _leave(client: Client) -> None:
    with suppress(MqttError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.__aexit__(None, None, None)
    _cut(client)


def _cut(client: Client) -> None:
    """End what the library leaves open: a connection that was not answered, or brought what it could not read."""
    client._client.disconnect()


def _return_code(code: object) -> int:
    return RETURN_CODES.get(code.value, UNKNOWN_CODE) if isinstance(code, ReasonCode) else UNKNOWN_CODE
