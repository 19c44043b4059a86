"""Ask several brokers at once, each within one deadline. Threads do HTTP and return plain values; no rows here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from uuid import UUID

from brokers.base import BrokerClient, PortfolioPart
from brokers.domain import BrokerPortfolio, Rows
from brokers.drift import Shape
from brokers.errors import BrokerError, BrokerUnavailable, BudgetSpent, UnexpectedResponse
from brokers.transport import Deadline

logger = logging.getLogger(__name__)

# A bulkhead: a broker that hangs fills its own threads and nobody else's.
THREADS_PER_BROKER = 16
# Without funds a portfolio is still a portfolio.
OPTIONAL_PARTS = frozenset({"funds"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one account said: a portfolio, an error, or both where only its funds are missing.

    `shapes` (call → field names) is for the drift alarm.
    """

    portfolio: BrokerPortfolio | None
    error: BrokerError | None
    shapes: Mapping[str, Shape] = field(default_factory=dict)


def fetch_all(clients: Mapping[UUID, BrokerClient], deadline: Deadline, *, now: datetime) -> dict[UUID, Answer]:
    """Ask every client for its portfolio, all calls at the same time. Keys are kept; nothing is raised."""
    calls: dict[UUID, dict[str, Future[PortfolioPart]]] = {
        key: {part: pool(client.spec.slug).submit(read) for part, read in client.portfolio_parts().items()}
        for key, client in clients.items()
    }
    wait([future for parts in calls.values() for future in parts.values()], timeout=max(0.0, deadline.remaining()))
    return {key: _assembled(clients[key], parts, now) for key, parts in calls.items()}


def _assembled(client: BrokerClient, calls: Mapping[str, Future[PortfolioPart]], now: datetime) -> Answer:
    parts: dict[str, PortfolioPart] = {}
    errors: dict[str, BrokerError] = {}
    for name, future in calls.items():
        outcome = _outcome(client, name, future)
        if isinstance(outcome, BrokerError):
            errors[name] = outcome
        else:
            parts[name] = outcome
    error = _worst(errors)
    if errors.keys() - OPTIONAL_PARTS:
        return Answer(None, error, dict(client.shapes))
    return Answer(client.assemble(parts, as_of=now), error, dict(client.shapes))


def _outcome(client: BrokerClient, name: str, future: Future[PortfolioPart]) -> PortfolioPart | BrokerError:
    if not future.done():
        future.cancel()
        return BrokerUnavailable("The broker did not answer in time.")
    try:
        return _readable(name, future.result())
    except BrokerError as error:
        return error
    except Exception:  # a mistake of ours in one dialect must not hide the other brokers
        logger.exception("Reading %s of %s failed", name, client.spec.slug)
        return UnexpectedResponse(name, "cannot be mapped")


def _readable(name: str, part: PortfolioPart) -> PortfolioPart:
    """The part; but holdings of which no row can be read are no empty account, and must not replace the last good one.

    Positions may: a single odd one would otherwise hide everything that is owned.
    Raises UnexpectedResponse, naming the field.
    """
    if name == "holdings" and isinstance(part, Rows) and part.problems and not part.items:
        raise UnexpectedResponse(f"{name}.{part.problems[0].field}", "is unreadable in every row")
    return part


def _worst(errors: Mapping[str, BrokerError]) -> BrokerError | None:
    """The error that says most: one that a person must act upon, before one that heals by itself, and what a broker did
    before what our own budget refused."""
    return min(errors.values(), key=lambda error: (error.retryable, isinstance(error, BudgetSpent)), default=None)


@cache
def pool(slug: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS_PER_BROKER, thread_name_prefix=f"read-{slug}")
