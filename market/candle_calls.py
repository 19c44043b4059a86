"""Asking for daily prices: one instrument after the other at each account, all accounts at the same time.

Threads do HTTP and return plain values; no rows here. The calls are in the background: they take what budgets can
spare, and wait for it only within the batch's own time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date
from functools import cache
from uuid import UUID

from brokers.base import BrokerClient
from brokers.domain import Candle, Listing, Rows
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    RequestRefused,
    SecretUnreadable,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.transport import Deadline
from market.whole_days import chunks

logger = logging.getLogger(__name__)

CALL_SECONDS = 8.0
# A call that would have less time than this is not begun: its failure would be ours, not the broker's.
LEAST_SECONDS = 2.0
ACCOUNTS_PER_BROKER = 4  # at the same time, each in a thread of its own: quotes and books have others
# These tell of the account or its broker as a whole: nothing else is asked there in this batch.
ABOUT_THE_BROKER = (BrokerUnavailable, SessionEnded, SecretUnreadable)


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask for: a listing under this broker's name for it, from `first` to `last`."""

    instrument_id: int
    listing: Listing
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one: the days that were told, up to `until`, and what ended it before `last` if anything did.

    `until` None: nothing was told. `unreadable` counts rows that could not be read.
    """

    ask: Ask
    candles: tuple[Candle, ...] = ()
    until: date | None = None
    error: BrokerError | None = None
    unreadable: int = 0


def ask_all(
    asks: Mapping[UUID, tuple[BrokerClient, Sequence[Ask]]],
    deadline: Deadline,
    pause: Callable[[float], None] = time.sleep,
) -> dict[UUID, list[Told]]:
    """Ask every account for its part. What there was no time for, or no use in trying, is absent. Nothing is raised.

    What a call brings after the deadline is lost: it is asked for again. The threads themselves end soon after it.
    """
    calls = {
        key: pool(client.spec.slug).submit(_ask_in_turn, client, wanted, deadline, pause)
        for key, (client, wanted) in asks.items()
    }
    wait(calls.values(), timeout=max(0.0, deadline.remaining()))
    for call in calls.values():
        call.cancel()
    return {key: call.result() for key, call in calls.items() if call.done() and not call.cancelled()}


def _ask_in_turn(
    client: BrokerClient, asks: Sequence[Ask], deadline: Deadline, pause: Callable[[float], None]
) -> list[Told]:
    found: list[Told] = []
    for ask in asks:
        if deadline.remaining() < LEAST_SECONDS:
            break
        told = _told(client, ask, deadline, pause)
        found.append(told)
        if told.error is not None and is_about_the_broker(told.error):
            break
    return found


def is_about_the_broker(error: BrokerError) -> bool:
    """Whether what happened says nothing of the instrument, and would happen to the next one too."""
    refused_all = isinstance(error, RequestRefused) and error.connection_status is not None
    return refused_all or isinstance(error, ABOUT_THE_BROKER)


def _told(client: BrokerClient, ask: Ask, deadline: Deadline, pause: Callable[[float], None]) -> Told:
    candles: list[Candle] = []
    until: date | None = None
    unreadable = 0
    error: BrokerError | None = None
    for first, last in chunks(ask.first, ask.last, client.candle_days):
        try:
            rows = _candles(client, ask.listing, first, last, deadline, pause)
        except BrokerError as failure:
            error = failure
            break
        except Exception:  # a mistake of ours in one dialect must not cost the other brokers' answers
            logger.exception("Reading daily prices of %s failed", client.spec.slug)
            error = UnexpectedResponse("candles", "cannot be mapped")
            break
        candles += [candle for candle in rows.items if first <= candle.day <= last]
        unreadable += len(rows.problems)
        until = last
    return Told(ask, tuple(candles), until, error, unreadable)


def _candles(
    client: BrokerClient,
    listing: Listing,
    first: date,
    last: date,
    deadline: Deadline,
    pause: Callable[[float], None],
) -> Rows[Candle]:
    """One call, when the budget has room for it. Raises BrokerError; BudgetSpent where that is too late for us."""
    while True:
        try:
            return client.within(CALL_SECONDS).candles(listing, first, last)
        except BudgetSpent as spent:
            if spent.retry_after is None or spent.retry_after + LEAST_SECONDS > deadline.remaining():
                raise
            pause(spent.retry_after)


@cache
def pool(slug: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(ACCOUNTS_PER_BROKER, thread_name_prefix=f"candles-{slug}")
