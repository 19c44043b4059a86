"""Loopback ports: which are taken, and when does one answer."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable


def first_taken(ports: Iterable[int]) -> int | None:
    """The first of these on which nobody else could listen now; None when all are free."""
    return next((port for port in ports if not _is_free(port)), None)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of the last run that are still closing are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
