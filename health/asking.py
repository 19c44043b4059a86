"""Try the reads. Threads do HTTP and return plain values; no rows here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache

from brokers.base import BrokerClient, listing_of
from brokers.domain import Exchange, Listing, Profile
from brokers.errors import BrokerError, BrokerUnavailable, NotSupported, UnexpectedResponse
from brokers.transport import Deadline, taken_waits
from health.models import CheckType

logger = logging.getLogger(__name__)

# A bulkhead: a broker that hangs fills its own threads and nobody else's.
THREADS_PER_BROKER = 16
# One read may take so long; that it waits for a thread of its broker's before is no fault of the broker's.
CHECK_SECONDS = 5.0
# A call that would have less time than this is not begun: its failure would be ours, not the broker's.
LEAST_SECONDS = 2.0
# A share that every broker quotes, for accounts that hold none.
WELL_KNOWN = (Exchange.NSE, "RELIANCE", "INE002A01018")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How one read ended. `milliseconds` None: the broker was not asked. `profile` is what a session check read."""

    error: BrokerError | None = None
    milliseconds: int | None = None
    profile: Profile | None = None


def try_all(reads: Sequence[tuple[BrokerClient, CheckType]], deadline: Deadline) -> list[Measured | None]:
    """Try every read, each in its broker's own threads. None: there was no time left to ask. Nothing is raised."""
    began = time.monotonic()
    calls: list[Future[Measured | None]] = [
        pool(client.spec.slug).submit(_measured, client, check_type, deadline) for client, check_type in reads
    ]
    wait(calls, timeout=max(0.0, deadline.remaining()))
    return [_ended(call, began) for call in calls]


def _ended(call: Future[Measured | None], began: float) -> Measured | None:
    if call.done():
        return call.result()
    if call.cancel():
        return None
    late = BrokerUnavailable("The broker did not answer in time.")
    return Measured(error=late, milliseconds=_since(began))


def _measured(client: BrokerClient, check_type: CheckType, deadline: Deadline) -> Measured | None:
    if deadline.remaining() < LEAST_SECONDS:
        return None
    taken_waits()
    started = time.monotonic()
    error, profile = None, None
    try:
        profile = READS[check_type](client.within(CHECK_SECONDS))
    except BrokerError as failure:
        error = failure
    except Exception:  # a mistake of ours in one dialect must not hide how the others fare
        logger.exception("Checking %s of %s failed", check_type, client.spec.slug)
        error = UnexpectedResponse(check_type.lower(), "cannot be mapped")
    if isinstance(error, NotSupported):
        return Measured(error=error)
    return Measured(error=error, milliseconds=_since(started + taken_waits()), profile=profile)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _session(client: BrokerClient) -> Profile:
    """The one call that every app may make, whatever its plan."""
    return client.profile()


def _holdings(client: BrokerClient) -> None:
    client.holdings()


def _quotes(client: BrokerClient) -> None:
    """One listing: a well-known share where the broker's name for it can be told, else one that the account holds.

    Raises NotSupported where there is neither.
    """
    client.quotes([client.listing(*WELL_KNOWN) or _held(client)])


def _held(client: BrokerClient) -> Listing:
    for line in client.holdings().items:
        return listing_of(line)
    raise NotSupported("There is no share that this broker could be asked to quote.")


def _orders(client: BrokerClient) -> None:
    client.orders()


READS: Mapping[CheckType, Callable[[BrokerClient], Profile | None]] = {
    CheckType.SESSION: _session,
    CheckType.HOLDINGS: _holdings,
    CheckType.QUOTES: _quotes,
    CheckType.ORDERS: _orders,
}


@cache
def pool(slug: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS_PER_BROKER, thread_name_prefix=f"check-{slug}")
