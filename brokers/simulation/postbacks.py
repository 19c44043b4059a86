"""What the control API has a simulated broker post, in words no broker owns, and the posting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import aiohttp

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.wire import JSON

POST_SECONDS = 5.0
HERE = frozenset({"127.0.0.1", "localhost", "::1"})

NOT_HERE = "postbacks are posted to this machine alone"


@dataclass(frozen=True)
class Told:
    """News of an order. `secret` signs, where the broker signs.

    `order` as it stands at the desk; None: a made-up one, one share of SBIN, bought at the market and filled.
    """

    order_id: str
    account_id: str
    secret: str
    at: datetime
    order: DeskOrder | None = None


def is_here(address: str) -> bool:
    """Tell whether an address is on this machine, where alone anything is posted to."""
    return urlsplit(address).hostname in HERE


async def post(address: str, body: bytes) -> int:
    """Post as a broker does and return the status. Raises ValueError for an address that is not on this machine, or
    where nobody answers.
    """
    if not is_here(address):
        raise ValueError(NOT_HERE)
    timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(address, data=body, headers={"Content-Type": JSON}, allow_redirects=False) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ValueError(f"nobody answers there ({type(error).__name__})") from None
