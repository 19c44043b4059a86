"""Both sockets of XTS, simulated: Socket.IO 2 inside Engine.IO 3, straight over a WebSocket.

Polling, with which some clients begin, is not served: the SDK asks for the WebSocket at once. Chosen where nothing is
documented: a dead token is refused at the handshake, in the words of all other calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession
from brokers.simulation.wire import Json

MARKET_PATH, INTERACTIVE_PATH = "/apimarketdata/socket.io/", "/interactive/socket.io/"
CONNECTED = "40"
HELLO = {"sid": "simulated", "upgrades": [], "pingInterval": 25_000, "pingTimeout": 20_000}
# What such servers answer to a handshake they do not understand.
UNKNOWN_TRANSPORT: Json = {"code": 0, "message": "Transport unknown"}
UNKNOWN_PROTOCOL: Json = {"code": 5, "message": "Unsupported protocol version"}

Write = Callable[[Listing, Price, int], str]


class TellOrder(Protocol):
    """The events of one change of an order."""

    def __call__(self, order: DeskOrder, *, is_filled: bool) -> list[str]: ...


class BlazeSocket(StreamSession):
    """Either socket: greets, answers pings, and says that another login took the session's place.

    `session` is the key of its session, so that whoever ends that can find it.
    """

    def __init__(self, market: Market, session: str, desk: Desk | None = None) -> None:
        super().__init__(market, desk)
        self.session = session
        self.is_replaced = False
        self._has_said_so = False

    def opened(self) -> list[Frame]:
        return [f"0{json.dumps(HELLO)}", CONNECTED]

    def received(self, frame: Frame) -> list[Frame]:
        """The client pings; an upgrade is probed in the same way. Nothing else is answered."""
        return [f"3{frame[1:]}"] if isinstance(frame, str) and frame.startswith("2") else []

    def news(self) -> list[Frame]:
        if not self.is_replaced:
            return super().news()
        if self._has_said_so:
            return []
        self._has_said_so = True
        return [event("logout", "{}")]

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        return []


class InteractiveSocket(BlazeSocket):
    """Tells every change of an order, and every fill besides."""

    def __init__(self, market: Market, session: str, desk: Desk, tell: TellOrder) -> None:
        super().__init__(market, session, desk)
        self._tell = tell
        self._filled: dict[str, int] = {}

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        frames: list[Frame] = []
        for order in changed:
            is_filled = order.filled > self._filled.get(order.order_id, 0)
            self._filled[order.order_id] = order.filled
            frames += self._tell(order, is_filled=is_filled)
        return frames


class MarketSocket(BlazeSocket):
    """Tells what its session has subscribed to, by calls: `subscribed` is the session's, and outlives the socket. A
    name is message code, segment and number."""

    def __init__(self, market: Market, session: str, subscribed: dict[str, Listing], write: Write) -> None:
        super().__init__(market, session)
        self.subscribed = subscribed
        self._write = write

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        """A message for each, as in the answer to a call for quotes."""
        frames: list[Frame] = []
        for name, listing, price in changed:
            code = name.partition(" ")[0]
            frames.append(event(f"{code}-json-full", self._write(listing, price, int(code))))
        return frames


def event(name: str, told: str) -> str:
    """What is told is JSON inside a text."""
    return f"42{json.dumps([name, told], separators=(',', ':'))}"
