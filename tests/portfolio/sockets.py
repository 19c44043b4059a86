"""The page's end of a socket, over the real Redis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client

from accounts.models import User
from brokers import push

OURS = b"http://127.0.0.1:8000"
PATH = "/ws/portfolio/"
PATIENCE = 20  # a busy machine's; what comes is not waited for any longer
SNAPSHOT_FIELDS = {"portfolio", "error", "connections", "book", "number", "series", "price_state"}

Application = Callable[..., Any]


def socket(
    application: Application, client: Client | None, *, origin: bytes | None = OURS, path: str = PATH
) -> WebsocketCommunicator:
    headers = [(b"host", b"127.0.0.1:8000")]
    if origin is not None:
        headers.append((b"origin", origin))
    if client is not None:
        headers.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
    return WebsocketCommunicator(application, path, headers=headers)


@asynccontextmanager
async def opened(application: Application, client: Client) -> AsyncIterator[WebsocketCommunicator]:
    """An open socket, closed at the end."""
    page = socket(application, client)
    connected, _ = await page.connect(timeout=PATIENCE)
    assert connected
    try:
        yield page
    finally:
        await page.disconnect(timeout=PATIENCE)


async def told(page: WebsocketCommunicator) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await page.receive_from(timeout=PATIENCE))
    assert set(message) == {"type", "data", "timestamp", "sequence"}
    return message


async def refused(page: WebsocketCommunicator) -> bool:
    connected, _ = await page.connect(timeout=PATIENCE)
    return not connected


@database_sync_to_async
def publish(user: User, kind: str, data: str, key: str = "") -> None:
    push.publish_json(user.pk, kind, data, key=key)
