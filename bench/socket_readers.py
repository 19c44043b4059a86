"""A process that holds many WebSockets and counts what arrives: python -m bench.socket_readers PORT < sessions

One line of standard input with the sessions as JSON; then a line with a number for every round: it is answered with
"read" once so many more messages have come. "open" is said when each socket has had its first message.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys

TEXT, PING = 1, 9
AT_ONCE = 25


class Reader(asyncio.Protocol):
    """One socket, after a handshake made by hand: it reads frames, and understands none of them."""

    def __init__(self, counter: Counter, request: bytes) -> None:
        self.counter = counter
        self.request = request
        self.buffer = bytearray()
        self.is_open = False
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.first.done():
            self.first.set_exception(ConnectionError(bytes(self.buffer[:100])))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_open:
            head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not found or b" 101 " not in head:
                return
            self.is_open, self.buffer = True, bytearray(rest)
        while (size := self._frame_size()) and len(self.buffer) >= size:
            kind = self.buffer[0] & 15
            del self.buffer[:size]
            if kind == PING:
                self.transport.write(b"\x8a\x80\0\0\0\0")
            elif kind == TEXT and not self.first.done():
                self.first.set_result(None)
            elif kind == TEXT:
                self.counter.count()

    def _frame_size(self) -> int:
        """0 while it is not known."""
        if len(self.buffer) < 2:
            return 0
        length = self.buffer[1] & 127
        more = {126: 2, 127: 8}.get(length, 0)
        if len(self.buffer) < 2 + more:
            return 0
        return 2 + more + (int.from_bytes(self.buffer[2 : 2 + more], "big") if more else length)


class Counter:
    def __init__(self) -> None:
        self.left = 0
        self.is_read = asyncio.Event()

    def expect(self, messages: int) -> None:
        self.left += messages
        self.is_read.clear()

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.is_read.set()


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    sessions: list[str] = json.loads(sys.stdin.readline())
    counter = Counter()
    readers: list[Reader] = []
    for start in range(0, len(sessions), AT_ONCE):
        made = [
            await loop.create_connection(lambda each=each: Reader(counter, request(port, each)), "127.0.0.1", port)  # type: ignore[misc]
            for each in sessions[start : start + AT_ONCE]
        ]
        readers += [reader for _, reader in made]
        await asyncio.gather(*(reader.first for _, reader in made))
    print("open", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        counter.expect(int(line))
        print("expecting", flush=True)
        await counter.is_read.wait()
        print("read", flush=True)


def request(port: int, session: str) -> bytes:
    return (
        f"GET /ws/portfolio/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        f"Cookie: sessionid={session}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
    ).encode()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
