"""The door of API clients' sockets: a ticket among the subprotocols, no cookie, and so no question of origin.

    Sec-WebSocket-Protocol: tm.v1, ticket.<ticket>

A page of another site cannot use its visitor's cookie here, because none is read.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async
from django.utils import timezone
from redis.exceptions import RedisError

from accounts import sockets, tickets
from accounts.credentials import Credential
from accounts.models import User

logger = logging.getLogger(__name__)

PROTOCOL = "tm.v1"
PREFIX = "ticket."
TRY_AGAIN_LATER = 1013

Application = Callable[..., Awaitable[Any]]


class TicketDoor:
    """ASGI middleware. Lets in with `user`, `standing` and the `subprotocol` to answer in the scope."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Application, send: Application) -> None:
        offered: list[str] = scope.get("subprotocols", [])
        shown = [name.removeprefix(PREFIX) for name in offered if name.startswith(PREFIX)]
        if PROTOCOL not in offered or len(shown) != 1:
            await _refuse(offered, receive, send, sockets.SIGNED_OUT)
            return
        try:
            let_in = await _spend(shown[0])
        except RedisError as error:
            logger.warning("Redis is away (%s): no ticket can be read", type(error).__name__)
            await _refuse(offered, receive, send, TRY_AGAIN_LATER)
            return
        if let_in is None:
            await _refuse(offered, receive, send, sockets.SIGNED_OUT)
            return
        user, credential = let_in
        # What was offered holds the ticket, and is of no more use.
        inside = {**scope, "subprotocols": [PROTOCOL], "subprotocol": PROTOCOL}
        await self.inner({**inside, "user": user, "standing": _standing(user, credential)}, receive, send)


def _standing(user: User, credential: Credential) -> sockets.Standing:
    def stands() -> bool:
        return tickets.still_stands(user.pk, credential.kind, credential.id, now=timezone.now()) is not None

    return sockets.Standing(sockets.group_of_credential(credential.kind, credential.id), stands)


async def _refuse(offered: list[str], receive: Application, send: Application, code: int) -> None:
    """Open and close: a socket that is refused unopened could not tell its client why."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in offered else None})
    await send({"type": "websocket.close", "code": code})


async def _spend(ticket: str) -> tuple[User, Credential] | None:
    """In a thread of its own: by default one serves all sockets."""
    ask = database_sync_to_async(tickets.spend, thread_sensitive=False)
    return await ask(ticket, now=timezone.now())
