"""The live page: a snapshot on connecting, then what is pushed, each message with a sequence number.

A push is a hint and the snapshot is the truth: whoever missed a delta, or reads too slowly for them, gets a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec
from autobahn.exception import Disconnected
from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import timezone

from accounts import sockets
from brokers.models import BrokerConnection
from brokers.serializers import ConnectionSerializer
from brokers.shared import if_redis_is_there
from portfolio import asking, services, watching
from portfolio.asking import in_a_thread_of_its_own
from portfolio.client_messages import (
    BAD_MESSAGE,
    MOST_INSTRUMENTS,
    NO_INSTRUMENTS,
    OPENED_WITH,
    PRICES_UNAVAILABLE,
    TOO_MANY_INSTRUMENTS,
    Complaint,
    Message,
    Patience,
    Resync,
    Subscribe,
    Topic,
    Unsubscribe,
    read,
)
from portfolio.domain import InstrumentKey
from portfolio.following import Following, Step
from portfolio.outbox import Outbox
from portfolio.presentation import instant
from portfolio.price_topic import PriceTopic, instrument_named, name_of, stand

logger = logging.getLogger(__name__)

# Between two rounds of messages; what is the latest of its kind wins. A host tells of a book every 250 ms at most.
FLUSH_SECONDS = 0.05
HEARTBEAT_SECONDS = 15
# Whoever ends a session closes its sockets; one that was not reached finds out by itself, every so many beats.
BEATS_PER_LOOK = 4
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
NULL = msgspec.Raw(b"null")
# Which topic brings which push.
TOPICS: dict[str, Topic] = {
    "PORTFOLIO_SNAPSHOT": "portfolio",
    "PORTFOLIO_DELTA": "portfolio",
    "PORTFOLIO_UPDATE": "portfolio",
    "PRICE_STATE": "portfolio",
    "BROKER_STATUS_UPDATE": "status",
    "ORDER_UPDATE": "orders",
    # What its owner must see at once, whatever the page is open for.
    "RISK_EVENT": "status",
    "ALERT_ROUTE_MUTED": "status",
    "TRADING_HALT": "status",
}


class Numbered(msgspec.Struct):
    """What is read of a host's delta; the rest is passed on as it is."""

    book: str
    number: int


class HostSnapshot(Numbered):
    portfolio: msgspec.Raw
    series: msgspec.Raw = NULL
    price_state: msgspec.Raw = NULL


class Opening(msgspec.Struct):
    """The data of a SNAPSHOT. Without a host there are no deltas, and so no `book` and no `number`."""

    portfolio: msgspec.Raw
    error: msgspec.Raw
    connections: msgspec.Raw
    book: str | None = None
    number: int | None = None
    series: msgspec.Raw = NULL
    price_state: msgspec.Raw = NULL


_numbered = msgspec.json.Decoder(Numbered).decode
_host_snapshot = msgspec.json.Decoder(HostSnapshot).decode
_opening = msgspec.json.Decoder(Opening).decode


class PortfolioConsumer(AsyncWebsocketConsumer):
    """One socket of one signed-in trader; anybody else is refused at the handshake."""

    async def connect(self) -> None:
        self.user: Any = self.scope.get("user")
        scope: dict[str, Any] = dict(self.scope)
        self.standing: sockets.Standing | None = scope.get("standing") or sockets.of_browser(scope)
        self.sequence = 0
        self.outbox = Outbox()
        self.following = Following()
        self.patience = Patience()
        self.topics: set[Topic] = set(OPENED_WITH)
        self.instruments: set[InstrumentKey] = set()
        self.wake = asyncio.Event()
        self.is_behind = False
        self.is_beat = False
        self.beats = 0
        self.is_refused = False
        self.job: asyncio.Task[None] | None = None  # the one that brings the next snapshot
        self.side_jobs: set[asyncio.Task[None]] = set()
        self.beat: asyncio.Task[None] | None = None
        if self.user is None or not getattr(self.user, "is_trader", False):
            await self.close()
            return
        for group in self._groups():
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept(scope.get("subprotocol"))
        self.beat = asyncio.create_task(self._deliver())
        self.beat.add_done_callback(self._ended)
        self._resync()

    async def disconnect(self, code: int) -> None:
        tasks = [task for task in (self.beat, self.job, *self.side_jobs) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.instruments and (topic := stand.topic()):
            topic.leave(self._hear, self.instruments)
        if getattr(self.user, "pk", None) is not None:
            for group in self._groups():
                await self.channel_layer.group_discard(group, self.channel_name)

    def _groups(self) -> list[str]:
        """The user's, for what is pushed; that of the session or token, which is told when it is over."""
        return [sockets.group_of(self.user.pk), *([self.standing.group] if self.standing else [])]

    async def signed_out(self, event: dict[str, Any]) -> None:
        """The session is over: by its owner, by a new password, or by the clock."""
        await self.close(code=sockets.SIGNED_OUT)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Channels looks after database connections first, in the thread that pages share: a push has no need of it."""
        if message["type"] == "push":
            await self.push(message)
        else:
            await super().dispatch(message)

    # --- from the house -----------------------------------------------------------------------------------------------
    async def push(self, event: dict[str, Any]) -> None:
        """What `brokers.push` published. It waits for nothing, so that no push queues up before it."""
        kind, data = event["kind"], event["data"]
        if kind == "PORTFOLIO_SNAPSHOT":
            asking.answered(self.user.pk)
        if TOPICS.get(kind) not in self.topics:
            return
        if kind == "PORTFOLIO_SNAPSHOT":
            self._take_snapshot(data)
        elif kind == "PORTFOLIO_DELTA":
            self._take_delta(data)
        elif kind == "PORTFOLIO_UPDATE" and self.following.book is not None:
            # The host's next delta would not fit onto it. Or has the host left?
            self._beside(self._whole_if_alone(data))
        else:
            self.outbox.put(kind, event["key"], data)
            self.wake.set()

    def _take_snapshot(self, data: str) -> None:
        try:
            snapshot = _host_snapshot(data)
        except msgspec.DecodeError:
            logger.exception("A host's snapshot of user %s cannot be read", self.user.pk)
            return
        if self.following.take_snapshot(snapshot.book, snapshot.number):
            self.is_behind = False
            self.outbox.hold()
            self._begin(self._send_snapshot(snapshot))

    def _take_delta(self, data: str) -> None:
        try:
            delta = _numbered(data)
        except msgspec.DecodeError:
            logger.exception("A host's delta of user %s cannot be read", self.user.pk)
            self._resync()
            return
        step = self.following.take_delta(delta.book, delta.number)
        if step is Step.GAP:
            self._resync()
        elif step is Step.NEXT and self.outbox.put_delta(data):
            self.wake.set()
        elif step is Step.NEXT:
            # Too slow for deltas: nothing is asked for before what is under way has been taken.
            self.following.wait()
            self.is_behind = True

    def _resync(self) -> None:
        """Forward no more deltas, and get a snapshot: from the host, else from what the house knows."""
        self.following.wait()
        self.outbox.drop_deltas()
        self._begin(self._get_snapshot())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if self.job is not None:
            self.job.cancel()
        self.job = asyncio.create_task(work)
        self.job.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A socket that would stay silent for ever is closed: its page comes back. One whose page left just now is."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Disconnected):
            logger.error("A socket of user %s failed", self.user.pk, exc_info=error)
            self._beside(self.close(code=INTERNAL_ERROR))

    async def _get_snapshot(self) -> None:
        if await asking.ask(self.user.pk):
            await asyncio.sleep(asking.ANSWER_SECONDS)  # its answer ends this
        self.outbox.drop("PORTFOLIO_UPDATE")  # those that come from here on are later than what is read now
        opening = _opening(await _known(self.user))
        self.following.alone()
        self.outbox.put_snapshot(msgspec.json.encode(opening).decode(), is_hosted=False)
        self.wake.set()

    async def _send_snapshot(self, snapshot: HostSnapshot) -> None:
        opening = Opening(
            portfolio=snapshot.portfolio,
            error=NULL,
            connections=msgspec.Raw(await _connections(self.user)),
            book=snapshot.book,
            number=snapshot.number,
            series=snapshot.series,
            price_state=snapshot.price_state,
        )
        self.outbox.put_snapshot(msgspec.json.encode(opening).decode(), is_hosted=True)
        self.wake.set()

    async def _whole_if_alone(self, data: str) -> None:
        if await asking.is_hosted(self.user.pk):
            return
        self.following.alone()
        self.outbox.drop_deltas()
        self.outbox.put("PORTFOLIO_UPDATE", "", data)
        self.wake.set()

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.side_jobs.add(task)
        task.add_done_callback(self.side_jobs.discard)

    # --- from the client ----------------------------------------------------------------------------------------------
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.is_refused:
            return
        if not self.patience.bears(asyncio.get_running_loop().time()):
            await self._refuse()
            return
        try:
            kind, data = self._answer(read(text_data))
        except Complaint as complaint:
            kind, data = "ERROR", complaint.data
        if kind and not self.outbox.put_reply(kind, data):
            await self._refuse()
        self.wake.set()

    async def _refuse(self) -> None:
        self.is_refused = True
        await self.close(code=POLICY_VIOLATION)

    def _answer(self, message: Message) -> tuple[str, str]:
        """Type and data of the reply. Raises Complaint, and has done nothing then."""
        if isinstance(message, Subscribe):
            self._subscribe(message)
        elif isinstance(message, Unsubscribe):
            self._unsubscribe(message)
        elif isinstance(message, Resync):
            if "portfolio" not in self.topics:
                raise BAD_MESSAGE
            if not self.following.is_waiting:
                self._resync()
            return "", ""
        else:
            return "HEARTBEAT", "{}"
        told = {"topics": sorted(self.topics), "instruments": sorted(map(name_of, self.instruments))}
        return "SUBSCRIBED", msgspec.json.encode(told).decode()

    def _subscribe(self, message: Subscribe) -> None:
        if "prices" in message.named:
            self._follow_prices({instrument_named(text) for text in message.instruments})
        if "portfolio" in message.named - self.topics:
            self._resync()
        self.topics |= message.named

    def _follow_prices(self, asked: set[InstrumentKey]) -> None:
        topic = stand.topic()
        if topic is None:
            raise PRICES_UNAVAILABLE
        if not asked:
            raise NO_INSTRUMENTS
        if len(self.instruments | asked) > MOST_INSTRUMENTS:
            raise TOO_MANY_INSTRUMENTS
        self.instruments |= asked
        self._beside(self._join(topic, asked))

    async def _join(self, topic: PriceTopic, asked: set[InstrumentKey]) -> None:
        await topic.join(self._hear, asked)

    def _hear(self, instrument: str, data: str) -> None:
        self.outbox.put_price(instrument, data)
        self.wake.set()

    def _unsubscribe(self, message: Unsubscribe) -> None:
        gone = {instrument_named(text) for text in message.instruments}
        if "prices" in message.named:
            gone = gone & self.instruments if gone else set(self.instruments)
            if topic := stand.topic():
                topic.leave(self._hear, gone)
            self.instruments -= gone
            self.outbox.drop_prices(set(map(name_of, gone)))
        self.topics -= {topic for topic in message.named if topic != "prices" or not self.instruments}

    # --- to the client ------------------------------------------------------------------------------------------------
    async def _deliver(self) -> None:
        """Send what waits; renew the watch and show a sign of life in between."""
        await _watch(self.user.pk)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(HEARTBEAT_SECONDS, self._beat)
        try:
            while True:
                await self.wake.wait()
                self.wake.clear()
                for kind, data in self.outbox.take():
                    await self._send(kind, data)
                if self.is_behind:
                    self.is_behind = False
                    self._resync()
                if self.is_beat:
                    self.is_beat = False
                    timer = loop.call_later(HEARTBEAT_SECONDS, self._beat)
                    self.beats += 1
                    if self.standing and self.beats % BEATS_PER_LOOK == 0 and not await _stands(self.standing):
                        await self.close(code=sockets.SIGNED_OUT)
                        return
                    await _watch(self.user.pk)
                    if self.outbox.is_open:
                        await self._send("HEARTBEAT", "{}")
                await asyncio.sleep(FLUSH_SECONDS)
        finally:
            timer.cancel()

    def _beat(self) -> None:
        self.is_beat = True
        self.wake.set()

    async def _send(self, kind: str, data: str) -> None:
        """`data` is JSON text already: it is put into the envelope as it is."""
        self.sequence += 1
        stamp = instant(timezone.now())
        await self.send(f'{{"type":"{kind}","data":{data},"timestamp":"{stamp}","sequence":{self.sequence}}}')


class Nowhere(AsyncWebsocketConsumer):
    """Refuses a socket to an address that does not exist; without it each would be an exception in the log."""

    async def connect(self) -> None:
        await self.close()


@in_a_thread_of_its_own
def _known(user: Any) -> str:
    return services.snapshot_json(user, now=timezone.now())


@in_a_thread_of_its_own
def _connections(user: Any) -> bytes:
    rows = BrokerConnection.objects.without_secrets().filter(user=user)
    return msgspec.json.encode(ConnectionSerializer(rows, many=True).data, enc_hook=str)


@in_a_thread_of_its_own
def _stands(standing: sockets.Standing) -> bool:
    return standing.stands()


@in_a_thread_of_its_own
def _watch(user_id: int) -> None:
    with if_redis_is_there("keeping the book of an open page fresh"):
        watching.watch(user_id)
