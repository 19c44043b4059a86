"""What the control API has a simulated broker post, in words no broker owns, and the posting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import aiohttp

from brokers.simulation.wire import JSON

POST_SECONDS = 5.0
HERE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Told:
    """An order that was filled: one share of SBIN, bought at the market. `secret` signs, where the broker signs."""

    order_id: str
    account_id: str
    secret: str
    at: datetime


async def post(address: str, body: bytes) -> int:
    """Post as a broker does and return the status. Raises ValueError for an address that is not on this machine, or
    where nobody answers.
    """
    if urlsplit(address).hostname not in HERE:
        raise ValueError("postbacks are posted to this machine alone")
    timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(address, data=body, headers={"Content-Type": JSON}, allow_redirects=False) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ValueError(f"nobody answers there ({type(error).__name__})") from None
