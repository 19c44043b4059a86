"""What a stranger may occupy of the web server before the application is asked.

Daphne takes a body of any length, and a request at any pace, and only then asks the application what it thinks of it.
Here a request may be so long and take so long, the handshake of a WebSocket included.
"""

from __future__ import annotations

from typing import Any

from daphne.server import Server  # before Twisted's reactor: it installs the asyncio one

from daphne.http_protocol import HTTPFactory, WebRequest  # isort: skip
from twisted.internet import reactor as installed_reactor

reactor: Any = installed_reactor  # Twisted types it as a module

LONGEST_BODY = 1 << 20  # bytes; what the application itself takes is less
REQUEST_SECONDS = 20.0  # from a request's first line to its last byte


class BoundedRequest(WebRequest):
    """A request that is refused as soon as its body is too long, and cut off where it takes too long to arrive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._length = 0
        self._is_refused = False
        self._limit = reactor.callLater(self.channel.factory.request_seconds, self._refuse, b"408 Request Timeout")

    def handleContentChunk(self, data: bytes) -> None:
        self._length += len(data)
        if self._length > LONGEST_BODY:
            self._refuse(b"413 Content Too Large")
        else:
            super().handleContentChunk(data)

    def requestReceived(self, *args: Any) -> None:
        self._settle()
        if not self._is_refused:
            super().requestReceived(*args)

    def connectionLost(self, reason: Any) -> None:
        self._settle()
        super().connectionLost(reason)

    def _settle(self) -> None:
        if self._limit.active():
            self._limit.cancel()

    def _refuse(self, status: bytes) -> None:
        if self._is_refused:
            return
        self._is_refused = True
        self._settle()
        self.channel.transport.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.channel.loseConnection()


class BoundedFactory(HTTPFactory):
    """Makes the connections of a server, with bounded requests on them."""

    def __init__(self, server: Server, request_seconds: float) -> None:
        super().__init__(server)
        self.request_seconds = request_seconds

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol
