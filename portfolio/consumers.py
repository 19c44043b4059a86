"""The live page: a snapshot on connecting, then what is pushed, coalesced, each message with a sequence number.

A push is a hint and the snapshot is the truth: whoever reconnects gets a new snapshot.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import timezone

from brokers.push import group_of
from portfolio import services, watching
from portfolio.presentation import instant

# The latest of each kind wins; nobody's eye sees more than four pictures a second.
FLUSH_SECONDS = 0.25
HEARTBEAT_SECONDS = 15
# By default one thread serves all sockets of the process, and one slow snapshot would hold up every page.
in_a_thread_of_its_own = partial(database_sync_to_async, thread_sensitive=False)


class PortfolioConsumer(AsyncWebsocketConsumer):
    """One socket of one signed-in trader; anybody else is refused at the handshake."""

    async def connect(self) -> None:
        self.user: Any = self.scope.get("user")
        self.sequence = 0
        self.pending: dict[tuple[str, str], str] = {}
        self.beat: asyncio.Task[None] | None = None
        if self.user is None or not getattr(self.user, "is_trader", False):
            await self.close()
            return
        await self.channel_layer.group_add(group_of(self.user.pk), self.channel_name)
        await self.accept()
        await self._send("SNAPSHOT", await _snapshot(self.user))
        await _watch(self.user.pk)
        self.beat = asyncio.create_task(self._deliver())

    async def disconnect(self, code: int) -> None:
        if self.beat is not None:
            self.beat.cancel()
            with suppress(asyncio.CancelledError):
                await self.beat
        if getattr(self.user, "pk", None) is not None:
            await self.channel_layer.group_discard(group_of(self.user.pk), self.channel_name)

    async def push(self, event: dict[str, Any]) -> None:
        """What `brokers.push` published."""
        self.pending[event["kind"], event["key"]] = event["data"]

    async def _deliver(self) -> None:
        """Send what is pending; renew the watch and show a sign of life in between."""
        ticks = round(HEARTBEAT_SECONDS / FLUSH_SECONDS)
        while True:
            for _ in range(ticks):
                await asyncio.sleep(FLUSH_SECONDS)
                pending, self.pending = self.pending, {}
                for (kind, _key), data in pending.items():
                    await self._send(kind, data)
            await _watch(self.user.pk)
            await self._send("HEARTBEAT", "{}")

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
def _snapshot(user: Any) -> str:
    return services.snapshot_json(user, now=timezone.now())


@in_a_thread_of_its_own
def _watch(user_id: int) -> None:
    watching.watch(user_id)
