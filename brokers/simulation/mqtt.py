"""A simulated broker's MQTT 3.1.1: the packets, and the connection around a dialect's session.

A dialect that streams over MQTT says so in `Sandbox.mqtt`:

    def mqtt(self) -> OpenSession:
        return self.bridge

    def bridge(self, login: Login) -> StreamSession: ...   # raises NotAdmitted: the connection is refused with its code

What its session receives is a text: `+` and the topics that a client subscribes to, or `-` and those that it leaves, a
line each. It answers with frames: bytes are the topic, a zero byte and the payload, and are published; a text is `!`
and the topics that are refused.

QoS 0 alone is spoken. A packet that is malformed, too large or out of place closes the connection.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from brokers.simulation.streams import MOST_UNSENT, Frame, OpenStream, StreamSession

LARGEST = 1 << 18
LONGEST_LENGTH = 4  # bytes of a packet's length
READ_AT_ONCE = 1 << 16
CONNECT_SECONDS = 10.0
LEVEL = 4  # of the protocol: 3.1.1
REFUSED_TOPIC = 0x80


class Kind(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


# The low four bits that a client must send with each.
FLAGS = {
    Kind.CONNECT: 0,
    Kind.SUBSCRIBE: 2,
    Kind.UNSUBSCRIBE: 2,
    Kind.PINGREQ: 0,
    Kind.DISCONNECT: 0,
}


class ReturnCode(IntEnum):
    """Why a connection is refused: the return codes of CONNACK."""

    LEVEL = 1
    IDENTIFIER = 2
    AWAY = 3
    LOGIN = 4
    NOT_AUTHORISED = 5


class NotAdmitted(Exception):
    """The connection is refused with `code`."""

    def __init__(self, code: ReturnCode) -> None:
        super().__init__(code)
        self.code = code


class Malformed(Exception):
    """What was received is no packet that a client may send here."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client connects with. `keep_alive` is in seconds, 0 for none."""

    client_id: str
    username: str
    password: str
    keep_alive: int


OpenSession = Callable[[Login], StreamSession]


# --- packets in -------------------------------------------------------------------------------------------------------
class Packets:
    """The packets in a stream of bytes, which may be cut anywhere."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def take(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Kind and body of each packet that is whole now. Raises Malformed."""
        self._unread += data
        while (start := self._start()) is not None:
            length, place = start
            end = place + length
            if len(self._unread) < end:
                return
            kind, body = _kind(self._unread[0]), bytes(self._unread[place:end])
            del self._unread[:end]
            yield kind, body

    def _start(self) -> tuple[int, int] | None:
        """How long the first packet's body is, and where it begins; None: that is not there yet."""
        if not self._unread:
            return None
        _kind(self._unread[0])
        length = 0
        for place, byte in enumerate(self._unread[1 : 1 + LONGEST_LENGTH]):
            length |= (byte & 0x7F) << 7 * place
            if length > LARGEST:
                raise Malformed
            if byte < 0x80:
                return length, 2 + place
        if len(self._unread) > LONGEST_LENGTH:
            raise Malformed
        return None


def _kind(first: int) -> Kind:
    try:
        kind = Kind(first >> 4)
    except ValueError:
        raise Malformed from None
    if FLAGS.get(kind) != first & 0x0F:
        raise Malformed
    return kind


class _Body:
    """Fields of a packet, one after the other. Raises Malformed."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._place = 0

    def __bool__(self) -> bool:
        return self._place < len(self._body)

    def number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "big")

    def binary(self) -> bytes:
        return self._bytes(self.number(2))

    def text(self) -> str:
        try:
            found = self.binary().decode()
        except UnicodeDecodeError:
            raise Malformed from None
        if "\0" in found:
            raise Malformed
        return found

    def _bytes(self, size: int) -> bytes:
        found = self._body[self._place : self._place + size]
        if len(found) < size:
            raise Malformed
        self._place += size
        return found


def connect(body: bytes) -> Login:
    """Raises Malformed; NotAdmitted for another version, or a nameless client that wants to be remembered."""
    fields = _Body(body)
    if fields.text() != "MQTT":
        raise Malformed
    if fields.number(1) != LEVEL:
        raise NotAdmitted(ReturnCode.LEVEL)
    flags = fields.number(1)
    keep_alive, client_id = fields.number(2), fields.text()
    has_name, has_password, has_will, is_clean, is_reserved = (flags & bit for bit in (0x80, 0x40, 0x04, 0x02, 0x01))
    if is_reserved or (has_password and not has_name):
        raise Malformed
    if has_will:
        fields.text()
        fields.binary()
    username = fields.text() if has_name else ""
    try:
        password = fields.binary().decode() if has_password else ""
    except UnicodeDecodeError:
        raise NotAdmitted(ReturnCode.LOGIN) from None
    if fields:
        raise Malformed
    if not client_id and not is_clean:
        raise NotAdmitted(ReturnCode.IDENTIFIER)
    return Login(client_id, username, password, keep_alive)


def wish(kind: Kind, body: bytes) -> tuple[int, list[str]]:
    """The packet's number and the topics, at least one, of a SUBSCRIBE or UNSUBSCRIBE. Raises Malformed."""
    fields = _Body(body)
    number, topics = fields.number(2), []
    while fields:
        topics.append(fields.text())
        if kind is Kind.SUBSCRIBE and fields.number(1) > 2:
            raise Malformed
    if not number or not all(topics) or not topics:
        raise Malformed
    return number, topics


# --- packets out ------------------------------------------------------------------------------------------------------
def packet(kind: Kind, body: bytes = b"") -> bytes:
    length, sized = len(body), bytearray()
    while True:
        length, low = length >> 7, length & 0x7F
        sized.append(low | 0x80 if length else low)
        if not length:
            return bytes([kind << 4]) + bytes(sized) + body


def connack(code: int = 0) -> bytes:
    return packet(Kind.CONNACK, bytes([0, code]))


def suback(number: int, codes: Sequence[int]) -> bytes:
    return packet(Kind.SUBACK, struct.pack(">H", number) + bytes(codes))


def unsuback(number: int) -> bytes:
    return packet(Kind.UNSUBACK, struct.pack(">H", number))


def published(topic: bytes, payload: bytes) -> bytes:
    return packet(Kind.PUBLISH, struct.pack(">H", len(topic)) + topic + payload)


# --- a connection -----------------------------------------------------------------------------------------------------
class MqttStream:
    """A client's connection and its session. Packets are queued and sent by one task, so that they keep their order."""

    session: StreamSession

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._received = _received(reader)
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue(MOST_UNSENT)
        self._patience: float | None = None

    async def admitted(self, open_session: OpenSession) -> bool:
        """Answer the first packet; whether the client may stay. Raises what `OVER` names."""
        async with asyncio.timeout(CONNECT_SECONDS):
            kind, body = await anext(self._received)
        if kind is not Kind.CONNECT:
            raise Malformed
        try:
            login = connect(body)
            self.session = open_session(login)
        except NotAdmitted as refusal:
            self._writer.write(connack(refusal.code))
            return False
        self._patience = login.keep_alive * 1.5 or None
        self._writer.write(connack())
        return True

    async def serve(self, *, is_silent: Callable[[], bool]) -> None:
        """Talk until the client leaves. While `is_silent` pings alone are answered. Raises what `OVER` names."""
        sender = asyncio.create_task(self._send(is_silent))
        try:
            self.say(self.session.opened())
            while True:
                async with asyncio.timeout(self._patience):
                    kind, body = await anext(self._received)
                if kind is Kind.DISCONNECT:
                    return
                self._answer(kind, body)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def say(self, frames: list[Frame]) -> None:
        """Publish them."""
        for frame in frames:
            topic, _, payload = (frame.encode() if isinstance(frame, str) else frame).partition(b"\0")
            self._queue(published(topic, payload))

    async def close(self) -> None:
        self._writer.close()

    def _answer(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.PINGREQ:
            self._writer.write(packet(Kind.PINGRESP))
            return
        if kind not in (Kind.SUBSCRIBE, Kind.UNSUBSCRIBE):
            raise Malformed
        number, topics = wish(kind, body)
        is_asked = kind is Kind.SUBSCRIBE
        # What would be taken for two topics is not asked of the session.
        plain = [topic for topic in topics if "\n" not in topic]
        answers = self.session.received(("+" if is_asked else "-") + "\n".join(plain)) if plain else []
        refused = {topic for frame in answers if isinstance(frame, str) for topic in frame[1:].split("\n")}
        granted = [0 if topic in plain and topic not in refused else REFUSED_TOPIC for topic in topics]
        self._queue(suback(number, granted) if is_asked else unsuback(number))
        self.say([frame for frame in answers if isinstance(frame, bytes)])
        self.say(self.session.news())

    def _queue(self, packet: bytes) -> None:
        if self._unsent.full():
            self._writer.transport.abort()
        else:
            self._unsent.put_nowait(packet)

    async def _send(self, is_silent: Callable[[], bool]) -> None:
        while True:
            unsent = await self._unsent.get()
            if not is_silent():
                self._writer.write(unsent)
                await self._writer.drain()


OVER = (StopAsyncIteration, Malformed, TimeoutError, OSError)


async def _received(reader: asyncio.StreamReader) -> AsyncIterator[tuple[Kind, bytes]]:
    packets = Packets()
    while data := await reader.read(READ_AT_ONCE):
        for each in packets.take(data):
            yield each


class MqttListener:
    """A port on which MQTT is spoken. `streams` is told the connections that are admitted."""

    def __init__(
        self,
        open_session: OpenSession,
        streams: set[OpenStream | MqttStream],
        *,
        port: int,
        is_silent: Callable[[], bool],
    ) -> None:
        self.port = port
        self._open_session = open_session
        self._streams = streams
        self._is_silent = is_silent
        self._server: asyncio.Server | None = None
        self._talking: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, host: str) -> None:
        """Listen; port 0 takes a free one and keeps it. Raises OSError when the port is in use."""
        self._server = await asyncio.start_server(self._accept, host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Stop listening and reset the connections that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._talking.values():
            writer.transport.abort()
        await asyncio.gather(*self._talking, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talking[talk] = writer
        talk.add_done_callback(self._talking.pop)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = MqttStream(reader, writer)
        try:
            with suppress(*OVER):
                if await stream.admitted(self._open_session):
                    self._streams.add(stream)
                    await stream.serve(is_silent=self._is_silent)
        finally:
            self._streams.discard(stream)
            writer.close()
