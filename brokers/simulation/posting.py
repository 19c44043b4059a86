"""Where a simulated broker posts what becomes of its orders, one post after the other, as it would over the network."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from brokers.simulation.dialect import Sandbox
from brokers.simulation.postbacks import Told, post

logger = logging.getLogger(__name__)


class Poster:
    """One broker's postbacks. Without an address nothing is posted."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.address = ""
        self._told = 0
        self._unsent: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None

    def post_to(self, address: str) -> None:
        """Post to this address from now on; an empty one ends it."""
        self.address = address
        self._told = self.sandbox.desk.latest
        if address and self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    def tell(self) -> None:
        """Post what became of orders since the last time."""
        if not self.address:
            return
        changed = self.sandbox.desk.changes(self._told)
        self._told += len(changed)
        for order in changed:
            body = self.sandbox.postback(
                Told(
                    order_id=order.order_id,
                    account_id=self.sandbox.book.account.user_id,
                    secret=self.sandbox.app.api_secret,
                    at=order.updated_at,
                    order=order,
                )
            )
            if body is not None:
                self._unsent.put_nowait((self.address, msgspec.json.encode(body)))

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
            self._sender = None

    async def _send(self) -> None:
        while True:
            address, body = await self._unsent.get()
            try:
                await post(address, body)
            except ValueError as error:
                logger.info("%s: a postback is lost: %s", self.sandbox.slug, error)
