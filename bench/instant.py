"""Brokers that answer at once: what the simulated ones said is kept in a file and given again to whoever asks.

From memory, in the place where a call would leave the process; or, run as a program, over HTTP: one small process for
all brokers, each below its own path.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from brokers.transport import Transport

Replies = Mapping[str, str]  # "/slug/path" → body


@contextmanager
def from_memory(replies: Replies) -> Iterator[None]:
    """Let no call leave this process. Everything before and behind the socket is done as ever."""
    before = Transport._send
    bodies = {path: body.encode() for path, body in replies.items()}

    def send(self: Transport, method: str, url: str, request: Mapping[str, Any], deadline: Any) -> Any:
        return 200, {}, bodies[f"/{self.slug}{urlsplit(url).path}"]

    Transport._send = send  # type: ignore[method-assign]
    try:
        yield
    finally:
        Transport._send = before  # type: ignore[method-assign]


def base_urls(slugs: Iterable[str], port: int) -> dict[str, str]:
    """The environment of a process that is to ask the program below."""
    return {f"BROKER_{slug.upper()}_BASE_URL": f"http://127.0.0.1:{port}/{slug}" for slug in slugs}


class Instant(asyncio.Protocol):
    """HTTP/1.1 with connections kept open, as much of it as our transport speaks."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies = bodies
        self.waiting = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            head, rest = self.waiting.split(b"\r\n\r\n", 1)
            first, *headers = head.decode("latin-1").split("\r\n")
            lengths = [line.split(":")[1] for line in headers if line.lower().startswith("content-length:")]
            length = int(lengths[0]) if lengths else 0
            if len(rest) < length:
                return
            self.waiting = rest[length:]
            body = self.bodies[first.split(" ")[1].split("?")[0]]
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )


async def serve(replies: Path, port: int) -> None:
    bodies = {path: body.encode() for path, body in json.loads(replies.read_text()).items()}
    server = await asyncio.get_running_loop().create_server(lambda: Instant(bodies), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
