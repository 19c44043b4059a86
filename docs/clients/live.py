"""Follow a portfolio as it moves: TRADEMASTER_TOKEN=tm_… python live.py http://127.0.0.1:8000

Prints the total value with every message. Needs Python 3.11 and the package `websockets`. The token is a personal one
(Your account, API access; `read` is enough), and comes by the environment: everybody on a machine sees arguments.
"""

import asyncio
import json
import os
import random
import sys
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

ROWS = {"positions", "moved", "removed", "trading_positions", "trading_count", "derivatives", "derivative_count"}
CENT = Decimal("0.01")


def apply_delta(portfolio: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """The portfolio after a delta. `weight_percent` and the order of positions follow from the sums."""
    rows = {row["key"]: row for row in portfolio["positions"] if row["key"] not in delta["removed"]}
    rows |= {row["key"]: row for row in delta["positions"]}
    rows |= {row["key"]: moved(rows[row["key"]], row) for row in delta["moved"]}
    total = delta["total_value"]
    positions = [row | {"weight_percent": weight(row["current_value"], total)} for row in rows.values()]
    kept = {name for name in ("funds", "sources") if delta[name] is None}
    sums = {name: value for name, value in delta.items() if name not in ROWS | kept}
    return {
        **portfolio,
        **sums,
        "positions": sorted(positions, key=place),
        "trading_positions": placed(portfolio["trading_positions"], delta["trading_positions"], delta["trading_count"]),
        "derivatives": placed(portfolio["derivatives"], delta["derivatives"], delta["derivative_count"]),
    }


def moved(row: dict[str, Any], prices: dict[str, Any]) -> dict[str, Any]:
    """A row of which the price alone moved. `parts` are those of its `broker_positions`, in their order."""
    figures = {name: value for name, value in prices.items() if name != "parts"}
    parts = [part | told for part, told in zip(row["broker_positions"], prices["parts"], strict=True)]
    return row | figures | {"broker_positions": parts}


def place(row: dict[str, Any]) -> tuple[Decimal, str, str, str]:
    return (-Decimal(row["current_value"] or 0), row["symbol"], row["isin"] or "", row["key"])


def weight(value: str | None, total: str | None) -> str | None:
    if value is None or total is None or not Decimal(total):
        return None
    return str((Decimal(value) * 100 / Decimal(total)).quantize(CENT, ROUND_HALF_UP))


def placed(rows: list[Any], changed: list[Any], count: int) -> list[Any]:
    """The rows with the changed ones in their places, cut off or grown to `count`."""
    found = dict(enumerate(rows)) | {each["place"]: each["row"] for each in changed}
    return [found[place] for place in range(count)]


def ticket(address: str, token: str) -> str:
    """A ticket for one socket, good for 30 seconds."""
    where, headers = f"{address}/api/v1/auth/ticket", {"Authorization": f"Bearer {token}"}
    request = Request(where, method="POST", headers=headers)  # noqa: S310 - the address is the user's own
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(json.load(answer)["ticket"])


async def follow(address: str, token: str) -> None:
    """Come back after every loss, a little later each time; a token that is refused is worth no other try."""
    attempts = 0
    while True:
        try:
            shown = await asyncio.to_thread(ticket, address, token)
            protocols = [Subprotocol("tm.v1"), Subprotocol(f"ticket.{shown}")]
            async with connect(f"ws{address[4:]}/ws/api/portfolio/", subprotocols=protocols) as socket:
                attempts = 0
                await read(socket)
        except (OSError, WebSocketException) as error:
            if isinstance(error, HTTPError) and error.code in (401, 403):
                sys.exit(f"The token is refused: {error.read().decode()}")
            print("Coming back:", error, file=sys.stderr)  # noqa: T201
        await asyncio.sleep(min(15, 0.5 * 2**attempts) * random.uniform(0.5, 1))  # noqa: S311 - spreads returns
        attempts += 1


async def read(socket: ClientConnection) -> None:
    """A socket begins with a snapshot, so that nothing need be remembered over a lost one."""
    portfolio: dict[str, Any] | None = None
    book, number = None, None
    async for text in socket:
        message = json.loads(text)
        kind, data = message["type"], message["data"]
        if kind == "SNAPSHOT":
            portfolio, book, number = data["portfolio"], data["book"], data["number"]
        elif kind == "PORTFOLIO_UPDATE":
            portfolio, book, number = data, None, None
        elif kind == "PORTFOLIO_DELTA" and portfolio is not None and number is not None:
            if (data["book"], data["number"]) != (book, number + 1):
                await socket.send('{"type":"snapshot"}')
                continue
            portfolio, number = apply_delta(portfolio, data["delta"]), data["number"]
        else:
            continue
        print(kind, portfolio and portfolio["total_value"], flush=True)  # noqa: T201 - a program for the terminal


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1], os.environ["TRADEMASTER_TOKEN"]))
