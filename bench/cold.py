"""Nothing in the cache: what a trader waits for, beside what the slowest broker alone takes."""

from __future__ import annotations

import time
from uuid import UUID

from django.utils import timezone

from bench.client import PORTFOLIO, seconds_for
from bench.house import House
from bench.table import Aim, Figure, of_rounds
from brokers.models import BrokerConnection
from brokers.services import client_for
from brokers.transport import Deadline
from portfolio.fetching import fetch_all

ROUNDS = 9
CROWD = 100
DEADLINE_SECONDS = 10.0


def measure(house: House) -> list[Figure]:
    cookies = house.cookies()
    url = house.url + PORTFOLIO
    own_fetches, alone, crowded = [], [], []
    calls: dict[str, int] = {}
    seconds_for(url, cookies, requests=1, connections=1)  # the first request of a process imports and connects
    slowest_fetch()
    for _ in range(ROUNDS):
        own_fetches.append(slowest_fetch())
        house.forget_answers()
        alone.append(seconds_for(url, cookies, requests=1, connections=1))
        house.forget_answers()
        house.control.reset_counters()
        crowded.append(seconds_for(url, cookies, requests=CROWD, connections=CROWD))
        for slug in house.slugs:
            calls[slug] = max(calls.get(slug, 0), *house.control.counters(slug).values())
    asked = " + ".join(f"{slug} {len(house.control.counters(slug))}" for slug in house.slugs)
    return [
        of_rounds(f"{CROWD} requests at once, cold cache", _ms(crowded), "ms", aim=Aim(1000)),
        Figure(
            name="  fetches made for them",
            value=sum(calls.values()),
            unit="",
            aim=Aim(len(house.slugs)),
            note=f"calls of one fetch: {asked}",
        ),
        of_rounds("one request, cold cache", _ms(alone), "ms"),
        of_rounds("  slowest broker's own fetch", _ms(own_fetches), "ms"),
        of_rounds("  ratio", [cold / own for cold, own in zip(alone, own_fetches, strict=True)], "×", aim=Aim(1.3)),
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
