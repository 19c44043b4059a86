"""Nothing in the cache: what a trader waits for, beside what the slowest broker alone takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from django.utils import timezone

from bench.client import PORTFOLIO, seconds_for
from bench.table import Aim, Figure, of_rounds
from brokers.models import BrokerConnection
from brokers.reach import client_for
from brokers.transport import Deadline
from portfolio.fetching import fetch_all
from trademaster.local.house import House

ROUNDS = 9
CROWD = 100
DEADLINE_SECONDS = 10.0


def measure(house: House) -> list[Figure]:
    cookies = house.cookies()
    own_fetches, outdated, emptied, crowded, fetches = [], [], [], [], []

    def ask(forget: Callable[[], None], requests: int = 1) -> tuple[float, dict[str, int]]:
        """Seconds for so many requests at once, and the calls that each broker got for them."""
        forget()
        house.control.reset_counters()
        seconds = seconds_for(house.url + PORTFOLIO, cookies, requests=requests, connections=requests)
        return seconds, {slug: sum(house.control.counters(slug).values()) for slug in house.slugs}

    ask(house.empty_cache)  # the first request of a process imports and connects
    slowest_fetch()
    for _ in range(ROUNDS):
        own_fetches.append(slowest_fetch())
        outdated.append(ask(house.outdate_answer)[0])
        seconds, one_fetch = ask(house.empty_cache)
        emptied.append(seconds)
        seconds, calls = ask(house.empty_cache, requests=CROWD)
        crowded.append(seconds)
        fetches.append(sum(calls[slug] / one_fetch[slug] for slug in house.slugs))
    asked = " + ".join(f"{slug} {count}" for slug, count in one_fetch.items())
    return [
        of_rounds(f"{CROWD} requests at once, cache emptied", _ms(crowded), "ms", aim=Aim(1000)),
        of_rounds("  fetches made for them", fetches, "", aim=Aim(len(house.slugs)), note=f"calls of one: {asked}"),
        of_rounds("slowest broker's own fetch", _ms(own_fetches), "ms"),
        of_rounds("one request, answer outdated", _ms(outdated), "ms"),
        of_rounds("  ÷ slowest broker's own fetch", _ratios(outdated, own_fetches), "×", aim=Aim(1.3)),
        of_rounds("one request, cache emptied", _ms(emptied), "ms"),
        of_rounds("  ÷ slowest broker's own fetch", _ratios(emptied, own_fetches), "×", aim=Aim(1.3)),
    ]


def slowest_fetch() -> float:
    """Seconds that the slowest broker takes when it is asked alone, by the client that the web process uses."""
    return max(_fetch_alone(connection) for connection in BrokerConnection.objects.select_related("user"))


def _fetch_alone(connection: BrokerConnection) -> float:
    now = timezone.now()
    deadline = Deadline(DEADLINE_SECONDS)
    clients = {UUID(str(connection.pk)): client_for(connection, deadline=deadline, now=now)}
    started = time.perf_counter()
    [answer] = fetch_all(clients, deadline, now=now).values()
    elapsed = time.perf_counter() - started
    if answer.error is not None:
        raise answer.error
    return elapsed


def _ms(seconds: list[float]) -> list[float]:
    return [value * 1000 for value in seconds]


def _ratios(these: list[float], those: list[float]) -> list[float]:
    return [this / that for this, that in zip(these, those, strict=True)]
