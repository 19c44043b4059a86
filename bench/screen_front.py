"""The front of the house for `screen`: real pages of the real web process, and a socket with a book of 500 rows.

The simulated brokers price a hundred instruments. So the book is made up, and all else is real: its messages are the
live engine's (`LiveBooks`, `live_messages`) in the consumer's envelope; pages, files and API are passed on unchanged.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self

import msgspec
from aiohttp import ClientSession, DummyCookieJar, web

from bench.live import holding as made_up
from bench.live import instrument, isin, price
from brokers.domain import BrokerPortfolio, Holding
from portfolio import live_messages
from portfolio.domain import Source, SourceState
from portfolio.live import LiveBook, LiveBooks
from portfolio.presentation import present
from trademaster.local.house import free_port

USER = 1
ROWS = 500
TWICE = 100  # so many shares lie at both brokers
OF_A_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "upgrade", "content-length"})


class Book:
    """500 shares at two connections of the trader, and the messages of what moves."""

    def __init__(self, connections: Iterable[tuple[str, str, str]]) -> None:
        chance = random.Random(9)  # noqa: S311 - the same book every time
        self.chance = chance
        self.place = live_messages.Place("bench", 0)
        self.books = LiveBooks({instrument(number): isin(number) for number in range(ROWS)})
        for number in range(ROWS):
            self.books.apply(instrument(number), price(1000, 0))
        held = [range(ROWS), range(TWICE)]
        self.sources = [
            _source(connection, rank, [made_up(number, chance) for number in held[rank]])
            for rank, connection in enumerate(connections)
        ]
        self.book: LiveBook = self.books.hold(USER, self.sources)

    def opening(self, connections: bytes) -> str:
        """The data of a SNAPSHOT."""
        portfolio = msgspec.json.encode(present(self.book.portfolio(datetime.now(UTC)))).decode()
        state = live_messages.price_state([], stale=False, asked=False, as_of=None)
        place = f'"book":"{self.place.book}","number":{self.place.number}'
        told = f'"portfolio":{portfolio},"error":null,"connections":{connections.decode()}'
        return f'{{{told},{place},"series":null,"price_state":{state}}}'

    def moved(self, rows: int) -> str:
        """Let so many shares have another price; the data of the PORTFOLIO_DELTA."""
        for number in self.chance.sample(range(ROWS), rows):
            self.books.apply(instrument(number), price(900 + self.chance.randrange(200), 0))
        self.place = self.place.next
        return live_messages.delta(self.place, self.book.changes(datetime.now(UTC)))


def _source(connection: tuple[str, str, str], rank: int, holdings: list[Holding]) -> Source:
    identity, slug, name = connection
    return Source(
        connection_id=identity,
        broker_type=slug,
        broker_name=name,
        display_name=name,
        rank=rank,
        state=SourceState.LIVE,
        portfolio=BrokerPortfolio(as_of=datetime.now(UTC), holdings=tuple(holdings)),
    )


class Front:
    """A context manager: an address of its own, served in a thread. `update` may be called from any other."""

    def __init__(self, house_url: str, book: Book, connections: bytes) -> None:
        self.house_url, self.book, self.connections = house_url, book, connections
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sockets: dict[web.WebSocketResponse, int] = {}
        self.snapshot_bytes = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop())

    async def _start(self) -> None:
        self._http = ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar())
        application = web.Application()
        application.add_routes([web.get("/ws/portfolio/", self._socket), web.route("*", "/{path:.*}", self._passed_on)])
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _stop(self) -> None:
        await self._http.close()
        await self._runner.cleanup()

    def update(self, rows: int) -> int:
        """Move so many rows and tell every page; the bytes of the message."""
        return asyncio.run_coroutine_threadsafe(self._update(rows), self._loop).result()

    async def _update(self, rows: int) -> int:
        data = self.book.moved(rows)
        for socket in list(self.sockets):
            await self._send(socket, "PORTFOLIO_DELTA", data)
        return len(data)

    async def _send(self, socket: web.WebSocketResponse, kind: str, data: str) -> None:
        self.sockets[socket] += 1
        stamp = datetime.now(UTC).isoformat()
        number = self.sockets[socket]
        await socket.send_str(f'{{"type":"{kind}","data":{data},"timestamp":"{stamp}","sequence":{number}}}')

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.sockets[socket] = 0
        opening = self.book.opening(self.connections)
        self.snapshot_bytes = len(opening)
        await self._send(socket, "SNAPSHOT", opening)
        async for _ in socket:  # what the page asks for beyond that is not answered
            pass
        self.sockets.pop(socket)
        return socket

    async def _passed_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OF_A_HOP}
        headers["Host"] = self.house_url.removeprefix("http://")
        url = self.house_url + request.raw_path
        body = await request.read()
        async with self._http.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in OF_A_HOP]
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)
