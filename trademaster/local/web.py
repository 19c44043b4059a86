"""The web server: Daphne, and a way to end without cutting anybody off.

Daphne itself drops requests and sockets on SIGTERM. Here: listen no more, close every WebSocket with 1012 (service
restart, so that browsers come back), wait for the requests in flight, then stop.
"""

import argparse
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import django
from autobahn.websocket.protocol import WebSocketProtocol
from daphne.server import Server  # before Twisted's reactor: it installs the asyncio one
from django.core.exceptions import ImproperlyConfigured
from twisted.internet import reactor as installed_reactor

from trademaster.local.bounds import REQUEST_SECONDS, BoundedFactory

reactor: Any = installed_reactor  # Twisted types it as a module

SERVICE_RESTART = 1012
PATIENCE = 20.0
POLL = 0.05


class GracefulServer(Server):
    """Ends by SIGTERM or SIGINT with exit code 0. What clients may send, and how slowly, is bounded."""

    request_seconds = REQUEST_SECONDS
    could_not_listen = False
    connections: dict[Any, dict[str, Any]]
    _deadline: float | None = None
    _ports: tuple[Any, ...] = ()

    @property
    def http_factory(self) -> BoundedFactory:
        """Daphne makes its own when it starts; ours takes its place."""
        return self._factory

    @http_factory.setter
    def http_factory(self, made: object) -> None:
        self._factory = BoundedFactory(self, self.request_seconds)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        super().run()

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self._ports = (*self._ports, port)

    def listen_error(self, failure: Any) -> None:
        self.could_not_listen = True
        super().listen_error(failure)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A signal arrives between any two instructions: leave the work to the event loop.
        reactor.callFromThread(self._begin_to_end)

    def _begin_to_end(self) -> None:
        if self._deadline is not None:
            return
        self._deadline = time.monotonic() + PATIENCE
        for port in self._ports:
            port.stopListening()
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol) and protocol.state == WebSocketProtocol.STATE_OPEN:
                protocol.sendCloseFrame(code=SERVICE_RESTART)
        self._end_when_idle()

    def _end_when_idle(self) -> None:
        assert self._deadline is not None  # noqa: S101 - set by the only caller
        if self._is_idle() or time.monotonic() > self._deadline:
            self.stop()
        else:
            reactor.callLater(POLL, self._end_when_idle)

    def _is_idle(self) -> bool:
        """No application is still working and no client still waits."""
        return all(
            details.get("disconnected")
            and ("application_instance" not in details or details["application_instance"].done())
            for details in self.connections.values()
        )

    def kill_all_applications(self) -> object:
        # Daphne's own indexes "application_instance", which a connection that just ended no longer has.
        self.connections = {
            protocol: details for protocol, details in self.connections.items() if "application_instance" in details
        }
        return super().kill_all_applications()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trademaster.local.web", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--behind-proxy", action="store_true", help="trust X-Forwarded-For and -Proto from the peer")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trademaster.settings")
    try:
        django.setup()
    except ImproperlyConfigured as error:  # a setting is missing or unreadable: one line says which
        sys.exit(str(error))
    from trademaster.asgi import application  # needs Django set up

    server = GracefulServer(
        application=application,
        endpoints=[f"tcp:port={options.port}:interface={options.host}"],
        signal_handlers=False,
        server_name="trademaster",
        proxy_forwarded_address_header="X-Forwarded-For" if options.behind_proxy else None,
        proxy_forwarded_proto_header="X-Forwarded-Proto" if options.behind_proxy else None,
    )
    server.run()
    return 1 if server.could_not_listen else 0


if __name__ == "__main__":
    sys.exit(main())
