"""One broker at 30 s latency: what its traders' requests do to everybody else's in the same web process.

Three groups ask for their merged portfolio at a steady pace, every request a fetch: traders of the sick broker alone,
twice as many as the process has database connections; traders who have two others each; and traders who have the sick
one beside two others. Rounds come in pairs, all well and one sick, each beginning with closed circuits.

Budgets are on and do not bind: every trader has accounts of their own and asks seldom enough, and brokers that allow
one call of a kind a second are left out, because there a single fetch waits a second or two for itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles

import aiohttp
import psycopg
import requests
from django.conf import settings

from bench.client import PORTFOLIO, TIMEOUT
from bench.people import cookies_of, crowd
from bench.table import Aim, Figure, of_rounds
from brokers import breaker, registry
from brokers.breaker import Kind, State
from portfolio.fetching import THREADS_PER_BROKER
from trademaster.local.house import House

PAIRS = 5
ROUND_SECONDS = 20.0  # some ninety requests of each group: a p95 of fewer is luck
# A round's second part: the sick broker's circuit is open by then.
SETTLED_SECONDS = 4.0
PERIOD_SECONDS = 2.0
HAMMERING_PERIOD_SECONDS = 4.8
SICK_MS = 30_000
MOST_ROOMY = "upstox"
SAMPLE_SECONDS = 0.1
MOST_MOVED = 1.1
# Threads of the web process besides those that serve a request or read a broker: its loop, the pool of database
# connections, Channels, and the view that counts them.
OWN_THREADS = 12

Group = str
SICK, OTHERS, BOTH = "the sick broker's", "the others'", "both"


@dataclass(frozen=True, slots=True)
class Trader:
    group: Group
    cookies: Mapping[str, str]

    @property
    def period(self) -> float:
        return HAMMERING_PERIOD_SECONDS if self.group == SICK else PERIOD_SECONDS


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `at` is seconds since its round began."""

    group: Group
    at: float
    seconds: float
    status: int


@dataclass(slots=True)
class Round:
    """What came of one round. `open_after` is when the sick broker's circuit was first seen open, if it was."""

    asked: list[Asked] = field(default_factory=list)
    threads: int = 0
    connections: int = 0
    open_after: float | None = None

    def p95_ms(self, group: Group, since: float = 0.0) -> float:
        times = [one.seconds * 1000 for one in self.asked if one.group == group and one.at >= since]
        return quantiles(times, n=20, method="inclusive")[-1]

    def slowest_ms(self, group: Group) -> float:
        return max(one.seconds * 1000 for one in self.asked if one.group == group)

    def failed(self) -> int:
        return sum(one.status != requests.codes.ok for one in self.asked)


def measure(house: House) -> list[Figure]:
    roomy = sorted(filter(is_roomy, house.slugs), key=lambda slug: slug != MOST_ROOMY)
    if len(roomy) < 2:
        return []
    sick, *others = roomy
    os.environ["PGAPPNAME"] = "bench"  # what is counted is the web process's alone
    twos = [[slug, others[(place + 1) % len(others)]] for place, slug in enumerate(others)]
    people = [
        *((SICK, user) for user in crowd("hammering", 2 * settings.DATABASE_POOL, [sick])),
        *(
            (OTHERS, user)
            for place, two in enumerate(twos)
            for user in crowd(f"elsewhere{place}-", 9 // len(twos), two)
        ),
        *(
            (BOTH, user)
            for place, two in enumerate(twos)
            for user in crowd(f"both{place}-", 4 // len(twos), [sick, *two])
        ),
    ]
    traders = [Trader(group, cookies_of(user)) for group, user in people]
    one_round(house, sick, traders)  # the first requests of a process import and connect
    pairs = [measured_pair(house, sick, traders, sick_first=bool(number % 2)) for number in range(PAIRS)]
    well, ill = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    bound = OWN_THREADS + len(traders) + THREADS_PER_BROKER * len(roomy)
    hammering = sum(trader.group == SICK for trader in traders)
    note = f"of {len(traders)} traders {hammering} have {sick} alone; others: {', '.join(others)}"
    return [
        *moved(f"p95 of who has the others, {sick} at 30 s", OTHERS, well, ill, 0.0, note),
        *moved(
            "p95 of who has it too, circuit open", BOTH, well, ill, SETTLED_SECONDS, "one call more: prices are lent"
        ),
        of_rounds(
            "  their slowest request, before that too",
            [one.slowest_ms(BOTH) for one in ill],
            "ms",
            aim=Aim(settings.PORTFOLIO_DEADLINE_SECONDS * 1000),
        ),
        of_rounds("circuit seen open after", [one.open_after or ROUND_SECONDS for one in ill], "s"),
        Figure(
            name="requests that did not answer 200",
            value=sum(one.failed() for one in (*well, *ill)),
            unit="",
            aim=Aim(0),
            note=f"of {sum(len(one.asked) for one in (*well, *ill))}",
        ),
        of_rounds(
            "most threads of the web process",
            [float(one.threads) for one in ill],
            "",
            aim=Aim(bound),
            note=f"all well: {max(one.threads for one in well)}",
        ),
        of_rounds(
            "most database connections of the web process",
            [float(one.connections) for one in ill],
            "",
            aim=Aim(settings.DATABASE_POOL),
            note=f"all well: {max(one.connections for one in well)}",
        ),
    ]


def is_roomy(slug: str) -> bool:
    """Whether a fetch of its own cannot fill a window of the broker."""
    limits = registry.load(slug).spec.capabilities.rate_limits
    return min(limit.calls for limit in limits if limit.counts("quotes") or limit.counts("other")) > 1


def moved(
    name: str, group: Group, well: Sequence[Round], ill: Sequence[Round], since: float, note: str
) -> Iterator[Figure]:
    before, after = [one.p95_ms(group, since) for one in well], [one.p95_ms(group, since) for one in ill]
    yield of_rounds(name, after, "ms", note=note)
    yield of_rounds("  all well", before, "ms")
    ratios = [those / these for these, those in zip(before, after, strict=True)]
    yield of_rounds("  ratio", ratios, "×", aim=Aim(MOST_MOVED))


def measured_pair(house: House, sick: str, traders: Sequence[Trader], *, sick_first: bool) -> tuple[Round, Round]:
    """One round with all well and one with a sick broker, in either order."""
    rounds = {}
    for is_sick in (sick_first, not sick_first):
        if is_sick:
            with slow(house, sick):
                rounds[is_sick] = one_round(house, sick, traders)
        else:
            rounds[is_sick] = one_round(house, sick, traders)
    return rounds[False], rounds[True]


@contextmanager
def slow(house: House, slug: str) -> Iterator[None]:
    """The broker takes 30 seconds; afterwards it answers as before, and its circuits are closed by hand."""
    house.control.set_fault(slug, "latency", milliseconds=SICK_MS)
    try:
        yield
    finally:
        house.control.set_fault(slug, "latency", milliseconds=house.latency_ms)
        for kind in Kind:
            breaker.reset(slug, kind)


def one_round(house: House, sick: str, traders: Sequence[Trader]) -> Round:
    result = Round()
    over = threading.Event()
    sampler = threading.Thread(target=sample, args=(house, sick, result, over))
    sampler.start()
    try:
        result.asked = asyncio.run(ask_all(house.url + PORTFOLIO, traders))
    finally:
        over.set()
        sampler.join()
    return result


def sample(house: House, sick: str, result: Round, over: threading.Event) -> None:
    """Look at threads, database connections and the circuit until the round is over."""
    started = time.perf_counter()
    with psycopg.connect(house.services.database_url, autocommit=True) as database, requests.Session() as http:
        http.trust_env = False
        while not over.wait(SAMPLE_SECONDS):
            result.threads = max(result.threads, http.get(f"{house.url}/bench/threads", timeout=30).json()["threads"])
            row = database.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'web'").fetchone()
            result.connections = max(result.connections, row[0] if row else 0)
            if result.open_after is None and breaker.state_of(sick, Kind.PORTFOLIO).state is State.OPEN:
                result.open_after = time.perf_counter() - started


async def ask_all(url: str, traders: Sequence[Trader]) -> list[Asked]:
    """Let every trader ask at a steady pace, spread evenly over it, for the length of a round."""
    asked: list[Asked] = []
    started = time.perf_counter()

    async def ask(trader: Trader, offset: float) -> None:
        header = {"Cookie": "; ".join(f"{name}={value}" for name, value in trader.cookies.items())}
        at = offset
        while at < ROUND_SECONDS:
            await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
            sent = time.perf_counter()
            async with session.get(url, headers=header) as answer:
                await answer.read()
            asked.append(Asked(trader.group, sent - started, time.perf_counter() - sent, answer.status))
            at = sent - started + trader.period

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=TIMEOUT) as session:
        starts = [trader.period * (place * 0.618 % 1) for place, trader in enumerate(traders)]
        await asyncio.gather(*map(ask, traders, starts))
    return asked
