"""The processor's part of one refresh: bytes of every broker in, one portfolio in JSON out. No socket, no row, no wait.

The replies are the simulated brokers' own; their holdings are copied under other names until each broker has so many
rows, half of which every broker has. Where a broker quotes prices in a call of its own, the copies go without.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.utils import timezone

from bench.table import Aim, Figure, of_rounds
from brokers import registry
from brokers.base import BrokerClient
from brokers.domain import BrokerPortfolio, Holding
from brokers.models import BrokerConnection
from brokers.reach import app_credentials, endpoints_of
from brokers.transport import Transport
from portfolio.consolidate import consolidate
from portfolio.domain import ConsolidatedPortfolio, Source, SourceState
from portfolio.presentation import present
from trademaster.local.house import House

ROUNDS = 25
SIZES = (100, 500)


class Remembering(Transport):
    """Asks the broker once and answers from memory ever after."""

    replies: dict[str, Any]

    def _send(self, method: str, url: str, request: Mapping[str, Any], deadline: Any) -> Any:
        if url not in self.replies:
            self.replies[url] = super()._send(method, url, request, deadline)
        return self.replies[url]


def measure(house: House) -> list[Figure]:
    return [figure for rows in SIZES for figure in measure_size(rows)]


def measure_size(rows: int) -> list[Figure]:
    now = timezone.now()
    connections = list(BrokerConnection.objects.select_related("user"))
    clients = [remembering(connection, rank, rows) for rank, connection in enumerate(connections)]
    portfolios = [read(client, now) for client in clients]
    held = sum(len(portfolio.holdings) for portfolio in portfolios)
    book = merged(clients, portfolios, now)
    replies = [raw for client in clients for _, _, raw in client.http.replies.values()]
    parsing = cpu_of(lambda: [read(client, now) for client in clients])
    merging = cpu_of(lambda: merged(clients, portfolios, now))
    whole = cpu_of(lambda: merged(clients, [read(client, now) for client in clients], now))
    rendering = cpu_of(lambda: msgspec.json.encode(present(book)))
    decoding = cpu_of(lambda: [json.loads(raw) for raw in replies])
    kilobytes = len(msgspec.json.encode(present(book))) // 1000
    return [
        of_rounds(
            f"CPU per 600 holdings, {rows} at each broker",
            per_600(whole, held),
            "ms",
            aim=Aim(25),
            note=f"{held} holdings at {len(clients)} brokers → {len(book.positions)} positions",
        ),
        of_rounds("  parsed", per_600(parsing, held), "ms"),
        of_rounds("  merged", per_600(merging, held), "ms"),
        of_rounds("  json.loads alone of those replies", per_600(decoding, held), "ms"),
        of_rounds("CPU to render that portfolio as JSON", rendering, "ms", note=f"{kilobytes} kB"),
    ]


def cpu_of(work: Callable[[], object]) -> list[float]:
    """CPU milliseconds of each round."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        work()
        times.append((time.thread_time() - started) * 1000)
    return times


def per_600(times: Sequence[float], holdings: int) -> list[float]:
    return [value * 600 / holdings for value in times]


def read(client: BrokerClient, now: datetime) -> BrokerPortfolio:
    return client.assemble({name: call() for name, call in client.portfolio_parts().items()}, as_of=now)


def merged(
    clients: Sequence[BrokerClient], portfolios: Sequence[BrokerPortfolio], now: datetime
) -> ConsolidatedPortfolio:
    sources = [
        Source(
            connection_id=str(rank),
            broker_type=client.spec.slug,
            broker_name=client.spec.name,
            display_name=client.spec.name,
            rank=rank,
            state=SourceState.LIVE,
            portfolio=portfolio,
        )
        for rank, (client, portfolio) in enumerate(zip(clients, portfolios, strict=True))
    ]
    return consolidate(1, sources, now=now)


# --- a larger book ----------------------------------------------------------------------------------------------------
def remembering(connection: BrokerConnection, rank: int, rows: int) -> BrokerClient:
    """A client that reads its broker's multiplied replies from memory."""
    client = with_memory(connection)
    templates = client.holdings().items
    client.http.replies = {
        url: (status, headers, multiplied(raw, templates, rank, rows))
        for url, (status, headers, raw) in client.http.replies.items()
    }
    return client


def with_memory(connection: BrokerConnection) -> Any:
    """A client of the broker whose `http.replies` hold by address what was read."""
    broker = registry.load(connection.broker_type)
    http = Remembering(
        slug=broker.spec.slug,
        endpoints=endpoints_of(broker),
        errors=broker.spec.errors,
        failure=broker.failure,
        headers=broker.spec.headers,
        loopback_only=True,
    )
    http.replies = {}
    assert connection.session is not None
    return broker.client(http, app_credentials(connection.user, connection.broker_type), connection.session)


def multiplied(raw: bytes, templates: Sequence[Holding], rank: int, size: int) -> bytes:
    """The reply with `size` rows, each under an ISIN, symbol and token of its own; one without holdings as it is."""
    known = {holding.isin: holding for holding in templates if holding.isin}

    def walk(value: Any) -> Any:
        if isinstance(value, list) and value and all(owner(row) for row in value):
            return copies(value)
        if isinstance(value, dict) and value and all(key in known for key in value):
            return dict(copies(list(value.items())))
        if isinstance(value, dict):
            return {name: walk(item) for name, item in value.items()}
        return value

    def owner(row: Any) -> Holding | None:
        text = json.dumps(row)
        return next((holding for isin, holding in known.items() if isin in text), None)

    def copies(rows: list[Any]) -> list[Any]:
        owned = [(json.dumps(row), holding) for row in rows if (holding := owner(row))]
        chosen = (owned[number % len(owned)] for number in range(size))
        return [json.loads(renamed(*pair, serial(number, rank, size))) for number, pair in enumerate(chosen)]

    return json.dumps(walk(json.loads(raw))).encode()


def serial(number: int, rank: int, size: int) -> int:
    """The first half is the same at every broker."""
    shared = size // 2
    return number if number < shared else number + rank * (size - shared)


def renamed(row: str, holding: Holding, number: int) -> str:
    """One row as another share's. Its numbers stay."""
    return (
        row.replace(str(holding.isin), f"INE{number:04d}01021")
        .replace(f'"{holding.tradingsymbol}"', f'"{holding.tradingsymbol}{number}"')
        .replace(f": {holding.broker_token},", f": {1_000_000 + number},")
    )
