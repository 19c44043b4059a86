"""Cancelling whatever stands at one broker: one lane each, HTTP and plain values alone, rows in the caller.

A lane reads the broker's own book afresh, cancels all that stands in it, whoever placed it, and what we know to stand
and the book does not show; then what waits for a price, by the list of that; and reads both again. It tells as it goes,
waits for nobody, and ends by its deadline: a broker that is dead holds up its own lane.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from uuid import UUID

from brokers.base import BrokerClient
from brokers.dealing import BrokerGtt, GttStatus, OrderRequest, StandingOrder, Traded
from brokers.domain import BrokerOrder, InstrumentKind, Listing, OrderStatus, Rows
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    SessionEnded,
    UnexpectedResponse,
)
from orders import calling
from orders.closers import SEEN_STANDING
from orders.halt_models import Outcome

logger = logging.getLogger(__name__)

# Each call of a lane; and how many in a row without an answer show that there will be none.
CALL_SECONDS = 4.0
SILENCES = 2
SILENT = (BrokerUnavailable, OutcomeUnknown, SessionEnded)
# These come at once: a broker that wants fewer calls is well, and what our own thrift refused was not even asked.
NO_SILENCE = (RateLimited, CircuitOpen)
# Of a status that we cannot read it may still fire.
WAITING = (GttStatus.ACTIVE, GttStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Asked:
    """One order was asked to end. `gtt`: it waits for a price."""

    connection_id: UUID
    key: str
    outcome: Outcome
    tradingsymbol: str
    side: str
    quantity: str
    error: Exception | None = None
    gtt: bool = False


@dataclass(frozen=True, slots=True)
class BookRead:
    """What the book said; `is_last`: after everything was asked."""

    connection_id: UUID
    orders: Rows[BrokerOrder]
    is_last: bool


@dataclass(frozen=True, slots=True)
class GttsRead:
    """The same of the list of what waits for its price."""

    connection_id: UUID
    gtts: Rows[BrokerGtt]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """The book, or the list, could not be read."""

    connection_id: UUID
    error: BrokerError


@dataclass(frozen=True, slots=True)
class Over:
    """The lane has ended; `is_whole`: it asked for everything it found."""

    connection_id: UUID
    is_whole: bool


Told = Asked | BookRead | GttsRead | Unread | Over


@dataclass(frozen=True, slots=True)
class Lane:
    """What is to be asked of one connection. `known`: orders of ours that stand there as far as we know, by id;
    `known_gtts`: likewise of what waits there for its price.

    `spared`: ids and tags of what closes positions under this very halt.
    """

    connection_id: UUID
    slug: str
    client: BrokerClient | BrokerError
    known: Mapping[str, StandingOrder] = field(default_factory=dict)
    has_gtts: bool = False
    known_gtts: Mapping[str, BrokerGtt] = field(default_factory=dict)
    spared: frozenset[str] = frozenset()


def start(lanes: Sequence[Lane], told: SimpleQueue[Told], seconds: float) -> None:
    """Start all of them at once, each in a thread of its own."""
    if not lanes:
        return
    pool = ThreadPoolExecutor(len(lanes), thread_name_prefix="halt")
    end = time.monotonic() + seconds
    for lane in lanes:
        pool.submit(_Running(lane, told, end).run)
    pool.shutdown(wait=False)


class _Running:
    def __init__(self, lane: Lane, told: SimpleQueue[Told], end: float) -> None:
        self.lane, self.told, self.end = lane, told, end
        self.silences = 0

    def run(self) -> None:
        is_whole = False
        try:
            is_whole = self._run()
        except Exception as error:  # nobody reads this thread's end
            self._unread("book", error)
        finally:
            self.told.put(Over(self.lane.connection_id, is_whole))

    def _run(self) -> bool:
        client = self.lane.client
        if isinstance(client, BrokerError):
            self.told.put(Unread(self.lane.connection_id, client))
            for key, standing in self.lane.known.items():
                self._tell(key, standing, Outcome.NOT_ASKED, client)
            return False
        book = self._book(client, is_last=False)
        wanted = dict(self.lane.known)
        if book is not None:
            rows = {order.broker_order_id: order for order in book.items}
            wanted = {key: each for key, each in wanted.items() if key not in rows}
            wanted |= {key: standing_of(row) for key, row in rows.items() if self._is_wanted(row)}
        asked_all = all([self._cancel(client, key, standing) for key, standing in wanted.items()])
        gtts_all = self._gtts(client) if self.lane.has_gtts else True
        last = self._book(client, is_last=True) if wanted or book is None else book
        if last is book and book is not None:
            self.told.put(BookRead(self.lane.connection_id, book, is_last=True))
        return book is not None and last is not None and asked_all and gtts_all

    def _is_wanted(self, row: BrokerOrder) -> bool:
        return row.status in SEEN_STANDING and self.lane.spared.isdisjoint({row.broker_order_id, row.tag or ""})

    def _book(self, client: BrokerClient, *, is_last: bool) -> Rows[BrokerOrder] | None:
        if self._is_over():
            return None
        try:
            rows = self._hurried(client).orders()
        except Exception as error:
            self._unread("orders", error)
            return None
        self.silences = 0
        self.told.put(BookRead(self.lane.connection_id, rows, is_last))
        return rows

    def _cancel(self, client: BrokerClient, key: str, standing: StandingOrder) -> bool:
        """Whether it was asked for."""
        if self._is_over():
            self._tell(key, standing, Outcome.NOT_ASKED, BrokerUnavailable("The broker does not answer."))
            return False

        def cancel() -> str:
            self._hurried(client).cancel(standing)
            return key

        error = self._ask(cancel)
        self._tell(key, standing, _outcome(error), error)
        return True

    def _gtts(self, client: BrokerClient) -> bool:
        """What waits for its price, as what stands in the book. Whether all was asked for, and the list read again."""
        listed = self._list(client, is_last=False)
        waiting = dict(self.lane.known_gtts)
        if listed is not None:
            rows = {each.broker_gtt_id: each for each in listed.items}
            waiting = {key: each for key, each in waiting.items() if key not in rows}
            waiting |= {key: each for key, each in rows.items() if each.status in WAITING}
        asked_all = all([self._cancel_gtt(client, each) for each in waiting.values()])
        last = self._list(client, is_last=True) if waiting or listed is None else listed
        if last is listed and listed is not None:
            self.told.put(GttsRead(self.lane.connection_id, listed, is_last=True))
        return listed is not None and last is not None and asked_all

    def _list(self, client: BrokerClient, *, is_last: bool) -> Rows[BrokerGtt] | None:
        if self._is_over():
            return None
        try:
            rows = self._hurried(client).gtts()
        except NotSupported:  # then none waits there that we could have left
            rows = Rows(())
        except Exception as error:
            self._unread("gtts", error)
            return None
        self.silences = 0
        self.told.put(GttsRead(self.lane.connection_id, rows, is_last))
        return rows

    def _cancel_gtt(self, client: BrokerClient, known: BrokerGtt) -> bool:
        """Whether it was asked for."""

        def cancel() -> str:
            self._hurried(client).cancel_gtt(known)
            return known.broker_gtt_id

        is_over = self._is_over()
        error = BrokerUnavailable("The broker does not answer.") if is_over else self._ask(cancel)
        quantity = max((leg.quantity for leg in known.legs), default=0)
        self.told.put(
            Asked(
                self.lane.connection_id, known.broker_gtt_id, _outcome(error), known.tradingsymbol, known.side.value,
                str(quantity), error, gtt=True,
            )
        )  # fmt: skip
        return not is_over

    def _ask(self, cancel: Callable[[], str]) -> Exception | None:
        """Ask for a cancellation, and how that went. Once more where the broker wants fewer calls: the budget waits."""
        error = calling.answered(cancel, self.lane.slug).error
        if isinstance(error, RateLimited) and not isinstance(error, BudgetSpent):
            error = calling.answered(cancel, self.lane.slug).error
        self._heard(error)
        return error

    def _unread(self, part: str, error: Exception) -> None:
        """Tell why. A mistake of ours leaves nothing standing that we know by its id: the lane goes on with that."""
        if not isinstance(error, BrokerError):
            logger.error("Reading %s of %s failed", part, self.lane.slug, exc_info=error)
            error = UnexpectedResponse(part, "cannot be mapped")
        self._heard(error)
        self.told.put(Unread(self.lane.connection_id, error))

    def _tell(self, key: str, standing: StandingOrder, outcome: Outcome, error: Exception | None) -> None:
        request = standing.request
        self.told.put(
            Asked(
                self.lane.connection_id, key, outcome, request.traded.listing.tradingsymbol, request.side.value,
                f"{request.quantity.normalize():f}", error,
            )
        )  # fmt: skip

    def _hurried(self, client: BrokerClient) -> BrokerClient:
        return client.within(max(0.1, min(CALL_SECONDS, self.end - time.monotonic())))

    def _heard(self, error: Exception | None) -> None:
        if not isinstance(error, NO_SILENCE):
            self.silences = self.silences + 1 if isinstance(error, SILENT) else 0

    def _is_over(self) -> bool:
        return self.silences >= SILENCES or time.monotonic() >= self.end


def _outcome(error: Exception | None) -> Outcome:
    if error is None:
        return Outcome.ASKED
    if isinstance(error, BrokerUnavailable | SessionEnded):
        return Outcome.NOT_ASKED
    # What is no plain refusal may have been carried out.
    return Outcome.REFUSED if isinstance(error, BrokerError) and not isinstance(error, OutcomeUnknown) else (
        Outcome.UNKNOWN
    )  # fmt: skip


def standing_of(row: BrokerOrder) -> StandingOrder:
    """A line of a book as it is asked to end: the names that it bears there are all that a broker wants of it."""
    listing = Listing(
        exchange=row.exchange, tradingsymbol=row.tradingsymbol, broker_token=row.broker_token, isin=None
    )  # fmt: skip
    request = OrderRequest(
        traded=Traded(listing=listing, kind=InstrumentKind.EQUITY),
        side=row.side,
        order_type=row.order_type,
        product=row.product,
        validity=row.validity,
        quantity=row.quantity,
        tag=row.tag or "",
        price=row.price,
        trigger_price=row.trigger_price,
    )
    return StandingOrder(broker_order_id=row.broker_order_id, request=request, filled_quantity=row.filled_quantity)


def ended(row: BrokerOrder) -> Outcome | None:
    """What the book says became of an order; None: it stands."""
    if row.status in SEEN_STANDING:
        return None
    return Outcome.CANCELLED if row.status is OrderStatus.CANCELLED else Outcome.ENDED
