"""The same fetch with larger books: the simulated brokers serve the multiplied lists of `merging` over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from bench.client import PORTFOLIO, seconds_for
from bench.cold import slowest_fetch
from bench.merging import SIZES, remembering
from bench.table import Aim, Figure, of_rounds
from brokers.models import BrokerConnection
from trademaster.local.house import House

ROUNDS = 5


def measure(house: House) -> list[Figure]:
    return [figure for rows in SIZES for figure in measure_size(house, rows)]


def measure_size(house: House, rows: int) -> list[Figure]:
    cookies = house.cookies()
    own_fetches, whole = [], []
    with larger_books(house, rows):
        for number in range(ROUNDS + 1):
            own = slowest_fetch()
            house.outdate_answer()
            seconds = seconds_for(house.url + PORTFOLIO, cookies, requests=1, connections=1)
            if number:  # the first round fills what is remembered
                own_fetches.append(own)
                whole.append(seconds)
    ratios = [all_of_it / own for all_of_it, own in zip(whole, own_fetches, strict=True)]
    return [
        of_rounds(f"one request, {rows} holdings at each broker", [value * 1000 for value in whole], "ms"),
        of_rounds("  slowest broker's own fetch", [value * 1000 for value in own_fetches], "ms"),
        of_rounds("  ratio", ratios, "×", aim=Aim(1.3)),
    ]


@contextmanager
def larger_books(house: House, rows: int) -> Iterator[None]:
    """Every broker serves `rows` holdings; afterwards its own again."""
    try:
        for rank, connection in enumerate(BrokerConnection.objects.select_related("user")):
            client = remembering(connection, rank, rows)
            for url, (_, _, raw) in client.http.replies.items():
                house.control.serve(connection.broker_type, f"GET {urlsplit(url).path}", raw)
        yield
    finally:
        for slug in house.slugs:
            house.control.serve_nothing(slug)
