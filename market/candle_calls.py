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
# A call that would have less time than this is not begun: it would hardly be answered.
LEAST_SECONDS = 2.0
# After the deadline, which ends the calls themselves, so long is waited to hear how they ended.
GRACE_SECONDS = 0.5
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

    `until` None: nothing was told. `unreadable` counts rows that could not be read. `cut`: what ended it was our own
    time, which tells nothing of the broker; there is no `error` then.
    """

    ask: Ask
    candles: tuple[Candle, ...] = ()
    until: date | None = None
    error: BrokerError | None = None
    unreadable: int = 0
    cut: bool = False

    @property
    def is_all(self) -> bool:
        return self.error is None and not self.cut


def ask_all(
    asks: Mapping[UUID, tuple[BrokerClient, Sequence[Ask]]],
    deadline: Deadline,
    pause: Callable[[float], None] = time.sleep,
) -> dict[UUID, list[Told]]:
    """Ask every account for its part. What there was no time for, or no use in trying, is absent. Nothing is raised.

    Each answer counts as it comes: an account that is not through with its part has told what it told. What a call
    brings after all that is lost, and asked for again; the threads themselves end soon.
    """
    found: dict[UUID, list[Told]] = {key: [] for key in asks}
    calls = [
        pool(client.spec.slug).submit(_ask_in_turn, client, wanted, deadline, pause, found[key].append)
        for key, (client, wanted) in asks.items()
    ]
    wait(calls, timeout=max(0.0, deadline.remaining()) + GRACE_SECONDS)
    for call in calls:
        call.cancel()
    return {key: list(told) for key, told in found.items()}


def _ask_in_turn(
    client: BrokerClient,
    asks: Sequence[Ask],
    deadline: Deadline,
    pause: Callable[[float], None],
    hand_over: Callable[[Told], None],
) -> None:
    for ask in asks:
        if deadline.remaining() < LEAST_SECONDS:
            break
        told = _told(client, ask, deadline, pause)
        hand_over(told)
        if told.cut or (told.error is not None and is_about_the_broker(told.error)):
            break


def is_about_the_broker(error: BrokerError) -> bool:
    """Whether what happened says nothing of the instrument, and would happen to the next one too."""
    refused_all = isinstance(error, RequestRefused) and error.connection_status is not None
    return refused_all or isinstance(error, ABOUT_THE_BROKER)


def _told(client: BrokerClient, ask: Ask, deadline: Deadline, pause: Callable[[float], None]) -> Told:
    candles: list[Candle] = []
    until: date | None = None
    unreadable = 0
    error: BrokerError | None = None
    cut = False
    for first, last in chunks(ask.first, ask.last, client.candle_days):
        if cut := deadline.remaining() < LEAST_SECONDS:
            break
        try:
            rows = _candles(client, ask.listing, first, last, deadline, pause)
        except BrokerError as failure:
            cut = _ran_out_of_our_time(failure, deadline)
            error = None if cut else failure
            break
        except Exception:  # a mistake of ours in one dialect must not cost the other brokers' answers
            logger.exception("Reading daily prices of %s failed", client.spec.slug)
            error = UnexpectedResponse("candles", "cannot be mapped")
            break
        candles += [candle for candle in rows.items if first <= candle.day <= last]
        unreadable += len(rows.problems)
        until = last
    return Told(ask, tuple(candles), until, error, unreadable, cut)


def _ran_out_of_our_time(error: BrokerError, deadline: Deadline) -> bool:
    """Whether a call was cut by the batch's end, and not by its own: it had less time than a call is given."""
    return type(error) is BrokerUnavailable and deadline.remaining() <= 0


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
