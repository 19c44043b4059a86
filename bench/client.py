"""Requests to our own web process, many at a time, from this one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import aiohttp

PORTFOLIO = "/api/v1/brokers/portfolio/consolidated"
EMPTY = "/bench/empty"
TIMEOUT = aiohttp.ClientTimeout(total=60)


def seconds_for(url: str, cookies: Mapping[str, str], *, requests: int, connections: int) -> float:
    """Wall time of so many GETs over so many connections. Raises aiohttp.ClientResponseError unless all are 200."""
    return asyncio.run(_seconds_for(url, cookies, requests=requests, connections=connections))


async def _seconds_for(url: str, cookies: Mapping[str, str], *, requests: int, connections: int) -> float:
    waiting = iter(range(requests))
    connector = aiohttp.TCPConnector(limit=connections)
    # A plain header: a cookie jar keeps no cookies for addresses without a name.
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    async with aiohttp.ClientSession(
        connector=connector, headers=header, timeout=TIMEOUT, raise_for_status=True
    ) as session:

        async def ask() -> None:
            for _ in waiting:
                async with session.get(url) as answer:
                    await answer.read()

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(connections)))
        return time.perf_counter() - started
