"""A warm cache: how close the portfolio comes to a view of the same framework that does nothing."""

from __future__ import annotations

from bench.client import EMPTY, PORTFOLIO, seconds_for
from bench.table import Aim, Figure, of_rounds
from trademaster.local.house import House

ROUNDS = 9
REQUESTS = 200
CONNECTIONS = 8


def measure(house: House) -> list[Figure]:
    cookies = house.cookies()
    empty, cached, ratios = [], [], []
    for number in range(ROUNDS):
        order = (EMPTY, PORTFOLIO) if number % 2 else (PORTFOLIO, EMPTY)
        speed = {path: _per_second(house.url + path, cookies) for path in order}
        empty.append(speed[EMPTY])
        cached.append(speed[PORTFOLIO])
        ratios.append(speed[PORTFOLIO] / speed[EMPTY])
    return [
        of_rounds("empty authenticated view", empty, "requests/s"),
        of_rounds("cached portfolio", cached, "requests/s"),
        of_rounds("  ratio", ratios, "×", aim=Aim(0.7, at_least=True)),
    ]


def _per_second(url: str, cookies: dict[str, str]) -> float:
    seconds_for(url, cookies, requests=1, connections=1)  # the portfolio may have lapsed: fetch it outside the clock
    return REQUESTS / seconds_for(url, cookies, requests=REQUESTS, connections=CONNECTIONS)
