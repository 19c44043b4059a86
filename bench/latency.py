"""From a broker's frame to the browser: how long a move of the market takes until an open page has it.

Every process is the real one: simulated brokers, their sockets, a stream process, Redis, Daphne, and a client at the
WebSocket as a page is one. The time is from the moment the brokers write the frame until the client has the delta with
that price. One clock serves all: the machine's monotonic one.

Moves come at any moment. Before most of them another share of the book has just moved, so that the page was told less
than an interval ago: those wait their turn, and are the aim's.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from websockets.asyncio.client import ClientConnection, connect

from bench.stamped import APPLIED, PRICED
from bench.table import Aim, Figure
from brokers.simulation.instruments import load_instruments
from market.masters import load_master
from trademaster.local.house import House

MASTER = "upstox"
MOVED, BESIDE = "NSE:INFY", "NSE:TCS"
STEP = Decimal("0.05")
MOVES = 400
LONELY_EVERY = 4  # one move in so many comes after a rest
REST_SECONDS = 0.4
PATIENCE_SECONDS = 60.0
LOST_SECONDS = 5.0
LEGS = ("frame → priced", "priced → in the book", "in the book → at the client")


@dataclass(frozen=True, slots=True)
class Move:
    """Times of one move, monotonic seconds: written by the brokers, priced, in the book, at the client."""

    is_lonely: bool
    times: tuple[float, float, float, float]

    @property
    def milliseconds(self) -> float:
        return (self.times[-1] - self.times[0]) * 1000

    @property
    def legs(self) -> list[float]:
        return [(after - before) * 1000 for before, after in pairwise(self.times)]


class Page:
    """One open page: when each price of one share arrived, and how often it was told anything."""

    def __init__(self, socket: ClientConnection, isin: str) -> None:
        self.socket = socket
        self.isin = isin
        self.arrived: dict[Decimal, float] = {}
        self.deltas: list[float] = []
        self.state: str | None = None
        self.has_moved = asyncio.Event()

    async def read(self) -> None:
        async for text in self.socket:
            at = time.monotonic()
            message = json.loads(text)
            if message["type"] == "PORTFOLIO_DELTA":
                self.deltas.append(at)
                delta = message["data"]["delta"]
                self._take([*delta["positions"], *delta["moved"]], at)
            elif message["type"] == "SNAPSHOT" and message["data"]["portfolio"] is not None:
                self._take(message["data"]["portfolio"]["positions"], at)

    def _take(self, positions: Sequence[dict[str, Any]], at: float) -> None:
        for row in positions:
            if row["key"] == self.isin:
                self.state = row["price_state"]
                self.arrived.setdefault(Decimal(row["current_price"]), at)
                self.has_moved.set()

    async def until(self, price: Decimal | None, seconds: float) -> None:
        """Until this price is there; None: until a stream tells one."""
        async with asyncio.timeout(seconds):
            while price not in self.arrived if price is not None else self.state != "STREAMED":
                self.has_moved.clear()
                await self.has_moved.wait()


def measure(house: House) -> list[Figure]:
    load_master(broker_type=MASTER, now=timezone.now())
    house.spawn("stream", ["-m", "bench.stamped"], lambda: True)
    moves, page = asyncio.run(watched(house, house.run_dir / "stream.log"))
    waiting = [move for move in moves if not move.is_lonely]
    interval = settings.LIVE_INTERVAL_MS
    busiest, most = most_within(page.deltas, 1.0), Aim(1000 // interval + 1)
    return [
        *percentiles("broker's frame → the page, after a rest", [move for move in moves if move.is_lonely]),
        *percentiles("broker's frame → the page, of a moving book", waiting, aim=Aim(interval + 50)),
        *legs(waiting),
        Figure(name="  deltas to one page in its busiest second", value=busiest, unit="", aim=most),
    ]


async def watched(house: House, log: Path) -> tuple[list[Move], Page]:
    instruments = load_instruments()
    isin = instruments[MOVED].isin
    cookies = "; ".join(f"{name}={value}" for name, value in house.cookies().items())
    address = f"ws://{urlsplit(house.url).netloc}/ws/portfolio/"
    headers = {"Cookie": cookies}
    async with connect(address, origin=house.url, additional_headers=headers, max_size=None) as socket:  # type: ignore[arg-type]
        page = Page(socket, isin)
        reading = asyncio.create_task(page.read())
        try:
            await page.until(None, PATIENCE_SECONDS)
            written = await moved(house, page)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    stamps = read_stamps(log, instruments[MOVED].exchange_token)
    found = []
    for price, (is_lonely, began) in written.items():
        passed = [stamps[place].get(price, began) for place in (PRICED, APPLIED)]
        found.append(Move(is_lonely, (began, passed[0], passed[1], page.arrived[price])))
    return found, page


async def moved(house: House, page: Page) -> dict[Decimal, tuple[bool, float]]:
    """Let the market move; by each price whether it came after a rest, and when its frames were written."""
    chance = random.Random(3)  # noqa: S311 - the same moments every time
    prices = house.control.market()["prices"]
    price, beside = Decimal(prices[MOVED]["last"]), Decimal(prices[BESIDE]["last"])
    written = {}
    for number in range(MOVES):
        is_lonely = number % LONELY_EVERY == 0
        await asyncio.sleep(REST_SECONDS * (1 + chance.random()) if is_lonely else chance.random() * 0.1)
        if not is_lonely:
            beside += STEP
            await told(house, BESIDE, beside)
            await asyncio.sleep(chance.random() * settings.LIVE_INTERVAL_MS / 1000)
        price += STEP
        written[price] = is_lonely, await told(house, MOVED, price)
        await page.until(price, LOST_SECONDS)
    return written


async def told(house: House, key: str, price: Decimal) -> float:
    exchange, _, symbol = key.partition(":")
    return await asyncio.to_thread(house.control.set_price, exchange, price, symbol=symbol)


def read_stamps(log: Path, token: str) -> dict[str, dict[Decimal, float]]:
    """When each price passed each place for the first time."""
    found: dict[str, dict[Decimal, float]] = {PRICED: {}, APPLIED: {}}
    for line in log.read_text(errors="replace").splitlines():
        place, _, rest = line.partition(" ")
        words = rest.split(" ")
        if place in found and len(words) == 3 and words[0] == token:
            found[place].setdefault(Decimal(words[1]), float(words[2]))
    return found


def percentiles(name: str, moves: Sequence[Move], aim: Aim | None = None) -> list[Figure]:
    values = [move.milliseconds for move in moves]
    note = f"{len(values)} moves; the slowest {max(values):.0f} ms"
    return [
        Figure(name=f"{name}, p50", value=percentile(values, 0.5), unit="ms"),
        Figure(name=f"{name}, p99", value=percentile(values, 0.99), unit="ms", aim=aim, note=note),
    ]


def legs(moves: Sequence[Move]) -> list[Figure]:
    figures = []
    for number, name in enumerate(LEGS):
        values = [move.legs[number] for move in moves]
        slow = f"p99 {percentile(values, 0.99):.1f} ms"
        figures.append(Figure(name=f"  {name}", value=percentile(values, 0.5), unit="ms", note=slow))
    return figures


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def most_within(times: Sequence[float], seconds: float) -> int:
    return max((sum(start <= other < start + seconds for other in times) for start in times), default=0)
