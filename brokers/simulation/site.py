"""One simulated broker on its own port: reads requests, applies faults, writes replies."""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs

from aiohttp import web

from brokers.simulation.book import Book
from brokers.simulation.desk_state import Lost
from brokers.simulation.dialect import Access, Problem, Route, Sandbox
from brokers.simulation.faults import Fault, FaultKind, half, with_field, without_field
from brokers.simulation.mqtt import Login, MqttListener, MqttStream, NotAdmitted, ReturnCode
from brokers.simulation.posting import Poster
from brokers.simulation.streams import OpenStream, StreamSession
from brokers.simulation.wire import HTML, Call, Refusal, Reply

HOST = "127.0.0.1"
DRIP_PIECES = 20
SMALLEST_COMPRESSED = 256
MAINTENANCE_PAGE = Reply(503, b"<html><body><h1>We'll be back soon</h1></body></html>", HTML)
WRITING_METHODS = ("POST", "PUT", "DELETE")


class Cut(Exception):
    """The connection is to be reset without a reply."""


class Site:
    """The listener of one broker.

    `changed` is called after every request that may have changed its state, `dealt` instead after one that dealt.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        port: int,
        changed: Callable[[], None],
        dealt: Callable[[], None],
        mqtt_port: int = 0,
    ) -> None:
        self.sandbox = sandbox
        self.port = port
        self.faults = sandbox.desk.faults
        self.calls: Counter[str] = Counter()
        self.served: dict[str, Reply] = {}
        self._changed = changed
        self._dealt = dealt
        self.poster = Poster(sandbox)
        self.open_streams: set[OpenStream | MqttStream] = set()
        self._transports: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        self._runner: web.ServerRunner | None = None
        self._listener: web.TCPSite | None = None
        self.mqtt: MqttListener | None = None
        if sandbox.mqtt() is not None:
            self.mqtt = MqttListener(self._admit, self.open_streams, port=mqtt_port, is_silent=self._is_silent)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def stream_url(self) -> str | None:
        """Where its streams are, but for a path; None: it has none."""
        if self.mqtt is not None:
            return f"mqtt://{HOST}:{self.mqtt.port}"
        return self.url.replace("http", "ws", 1) if self.sandbox.stream_routes else None

    async def open(self) -> None:
        """Listen; port 0 takes a free one and keeps it. Raises OSError when the port is in use."""
        if self._runner is None:
            self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=1)
            await self._runner.setup()
        self._listener = web.TCPSite(self._runner, HOST, self.port)
        await self._listener.start()
        self.port = self._runner.addresses[0][1]

    async def open_mqtt(self) -> None:
        """The same for its MQTT, if it speaks any."""
        if self.mqtt is not None:
            await self.mqtt.open(HOST)

    async def shut(self) -> None:
        """Stop listening and reset the connections that are open."""
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None
        for transport in list(self._transports):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        if self.mqtt is not None:
            await self.mqtt.shut()
        await asyncio.sleep(0)  # an aborted connection closes on the loop's next turn: nobody hears of it before

    async def close(self) -> None:
        await self.poster.close()
        if self.mqtt is not None:
            await self.mqtt.shut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def set_fault(self, kind: FaultKind, fault: Fault) -> None:
        self.faults.active[kind] = fault
        if kind is FaultKind.DOWN and self._listener is not None:
            await self.shut()
        if kind is FaultKind.STREAM_DOWN:
            for stream in list(self.open_streams):
                await stream.close()

    async def clear_faults(self, kind: FaultKind | None = None) -> None:
        """Switch one fault off, or all; a broker that was down listens again."""
        gone = [kind] if kind else list(self.faults.active)
        for each in gone:
            self.faults.active.pop(each, None)
        if FaultKind.DOWN in gone and self._listener is None:
            await self.open()
            await self.open_mqtt()

    def tell_prices(self) -> None:
        """Tell every open socket what changed in the market."""
        for stream in self.open_streams:
            stream.say(stream.session.news())

    def tell_orders(self) -> None:
        """Tell every open socket, and whoever is posted to, what became of orders."""
        for stream in self.open_streams:
            stream.say(stream.session.order_news())
        self.poster.tell()

    def _is_silent(self) -> bool:
        return FaultKind.STREAM_SILENT in self.faults.active

    def _admit(self, login: Login) -> StreamSession:
        """Open a session over MQTT. Raises NotAdmitted."""
        self.calls["STREAM mqtt"] += 1
        open_session = self.sandbox.mqtt()
        if open_session is None or FaultKind.STREAM_DOWN in self.faults.active:
            raise NotAdmitted(ReturnCode.AWAY)
        return open_session(login)

    async def _stream(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Answer an upgrade to WebSocket: refused in the broker's words, or served until the client leaves."""
        route = self.sandbox.stream_routes.get(call.path)
        if FaultKind.STREAM_DOWN in self.faults.active:
            return await self._send(request, Reply(503, b""), {})
        try:
            if route is None:
                raise self.sandbox.refusal(Problem.NOT_FOUND)
            session = route.open(call)
        except Refusal as refusal:
            return await self._send(request, refusal.reply, {})
        socket = web.WebSocketResponse(protocols=route.subprotocols, autoping=True, max_msg_size=1 << 20)
        await socket.prepare(request)
        stream = OpenStream(socket, session)
        self.open_streams.add(stream)
        try:
            await stream.serve(is_silent=self._is_silent)
        finally:
            self.open_streams.discard(stream)
        return socket

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            self._transports.add(request.transport)
        call = await read_call(request)
        if request.headers.get("Upgrade", "").lower() == "websocket" and self.sandbox.stream_routes:
            self.calls[f"STREAM {call.path}"] += 1
            return await self._stream(request, call)
        self.calls[f"{call.method} {call.path}"] += 1
        route, refused = self._route(call)
        hits = self.faults.hitting(call.path, is_page=route is not None and route.access is Access.PAGE)
        if latency := hits.get(FaultKind.LATENCY):
            await asyncio.sleep(latency.milliseconds / 1000)
        self.sandbox.desk.begin(call.path)
        try:
            reply = self._reply(call, route, refused, hits)
        except (Cut, Lost):
            return cut(request)
        fate = self.sandbox.desk.fate  # of this request: nothing was awaited since it began
        if fate.is_write:
            self._dealt()
        elif call.method in WRITING_METHODS:
            self._changed()
        if fate.is_lost:
            return cut(request)
        if fate.late_milliseconds:
            await asyncio.sleep(fate.late_milliseconds / 1000)
        return await self._send(request, reply, hits)

    def _route(self, call: Call) -> tuple[Route | None, Reply | None]:
        """Find the route; of an unknown path only the broker's own refusal is left."""
        try:
            route, parts = self.sandbox.find(call.method, call.path)
        except Refusal as refusal:
            return None, refusal.reply
        call.parts.update(parts)
        return route, None

    def _reply(self, call: Call, route: Route | None, refused: Reply | None, hits: dict[FaultKind, Fault]) -> Reply:
        outage = self._outage(call, hits)
        if outage is not None:
            return outage
        served = self.served.get(f"{call.method} {call.path}")
        if route is None:
            return served or refused or self.sandbox.problem(Problem.NOT_FOUND)
        try:
            if route.access is Access.PRIVATE:
                if FaultKind.EXPIRED_TOKEN in hits:
                    raise self.sandbox.refusal(Problem.TOKEN_DEAD)
                self.sandbox.admit(call)
            reply = served or self._handled(call, route, empty=FaultKind.EMPTY_ACCOUNT in hits)
        except Refusal as refusal:
            reply = refusal.reply
        return deformed(reply, hits)

    def _outage(self, call: Call, hits: dict[FaultKind, Fault]) -> Reply | None:
        """Return the reply of a fault that stands in front of every handler, worst first."""
        dropped = hits.get(FaultKind.DROP_CONNECTION)
        if dropped and dropped.mode == "before_reply":
            raise Cut
        if FaultKind.HTML_GATEWAY in hits:
            return self.sandbox.gateway_error()
        if maintenance := hits.get(FaultKind.MAINTENANCE):
            if maintenance.format == "html":
                return MAINTENANCE_PAGE
            return self.sandbox.problem(Problem.MAINTENANCE, call.path)
        if FaultKind.SERVER_ERROR in hits:
            return self.sandbox.problem(Problem.SERVER_ERROR, call.path)
        if FaultKind.RATE_LIMIT in hits:
            return self.sandbox.problem(Problem.RATE_LIMITED, call.path)
        return None

    def _handled(self, call: Call, route: Route, *, empty: bool) -> Reply:
        """Run the handler; handlers never wait, so the book can be swapped for the length of one call."""
        if not empty:
            return route.handler(call)
        book: Book = self.sandbox.book
        self.sandbox.book = book.emptied()
        try:
            return route.handler(call)
        finally:
            self.sandbox.book = book
            self.sandbox.desk.book_changed()

    async def _send(self, request: web.BaseRequest, reply: Reply, hits: dict[FaultKind, Fault]) -> web.StreamResponse:
        dropped, slow = hits.get(FaultKind.DROP_CONNECTION), hits.get(FaultKind.SLOW_BODY)
        if dropped or slow:
            return await self._send_in_pieces(request, reply, cut_short=dropped is not None, slow=slow)
        response = web.Response(status=reply.status, body=reply.body, headers=headers(reply))
        accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        if accepts_gzip and self.sandbox.compresses and len(reply.body) >= SMALLEST_COMPRESSED:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _send_in_pieces(
        self, request: web.BaseRequest, reply: Reply, *, cut_short: bool, slow: Fault | None
    ) -> web.StreamResponse:
        """Promise the whole body, then drip it, and perhaps break off in the middle."""
        response = web.StreamResponse(status=reply.status, headers=headers(reply))
        response.content_length = len(reply.body)
        await response.prepare(request)
        body = half(reply).body if cut_short else reply.body
        size = max(1, len(body) // DRIP_PIECES)
        for start in range(0, len(body), size):
            await response.write(body[start : start + size])
            if slow:
                await asyncio.sleep(slow.milliseconds / 1000 / DRIP_PIECES)
        if cut_short:
            return cut(request, response)
        await response.write_eof()
        return response


def deformed(reply: Reply, hits: dict[FaultKind, Fault]) -> Reply:
    """Apply the faults that change a body."""
    if unknown := hits.get(FaultKind.UNKNOWN_FIELD):
        reply = with_field(reply, unknown.field)
    if missing := hits.get(FaultKind.MISSING_FIELD):
        reply = without_field(reply, missing.field)
    return half(reply) if FaultKind.MALFORMED_BODY in hits else reply


def cut(request: web.BaseRequest, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Reset the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response(status=500)


def headers(reply: Reply) -> dict[str, str]:
    return {"Content-Type": reply.content_type, **reply.headers}


async def read_call(request: web.BaseRequest) -> Call:
    return Call(
        method=request.method,
        path=request.path,
        query=parse_qs(request.rel_url.raw_query_string, keep_blank_values=True),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
    )
