"""What can become of an order, whoever tells it, in whatever order it is told. Pure.

Drawn in docs/orders.md. `FOLLOWS` is the whole machine: which state may follow which, by whose word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from brokers.domain import ZERO, BrokerOrder, OrderStatus
from brokers.errors import (
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    HeldBack,
    NotSupported,
    RateLimited,
    RequestRefused,
    SecretUnreadable,
    SessionEnded,
)


class State(StrEnum):
    """Of one order at one broker. The words are those of `OrderStatus`, and NOT_PLACED.

    SENDING is committed before the call; UNKNOWN: it left, or may have, and nobody knows what became of it. NOT_PLACED:
    the broker never had it, because it provably never left, or because reconciliation proved that it is not there.
    """

    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    NOT_PLACED = "NOT_PLACED"


ENDED = frozenset({State.FILLED, State.CANCELLED, State.REJECTED, State.EXPIRED, State.NOT_PLACED})
# Nobody knows whether these are at the broker: nothing of them is sent again, anywhere, and their quantity is reserved.
POSSIBLY_LIVE = frozenset({State.SENDING, State.UNKNOWN})
# At the broker, and not at their end.
STANDING = frozenset({State.PENDING, State.OPEN, State.TRIGGER_PENDING, State.PARTIALLY_FILLED})
# What takes margin, shares and quantity: whatever has not ended.
LIVE = POSSIBLY_LIVE | STANDING


class Word(StrEnum):
    """Whose word moves an order: the answer to our call, news on the way, the broker's own book, or the time alone."""

    CALL = "CALL"
    NEWS = "NEWS"
    BOOK = "BOOK"
    CLOCK = "CLOCK"


# What a broker can say of an order.
SAID = STANDING | {State.FILLED, State.CANCELLED, State.REJECTED, State.EXPIRED}
# How far a standing order has come. News may be old, so they only ever lead forward; the book may lead back.
RANKS = (State.PENDING, State.TRIGGER_PENDING, State.OPEN, State.PARTIALLY_FILLED)
# What an ended order becomes when the book shows that more of it was filled.
FILLS = frozenset({State.PARTIALLY_FILLED, State.FILLED})

FOLLOWS: Mapping[Word, Mapping[State, frozenset[State]]] = {
    Word.CALL: {
        State.SENDING: frozenset({State.PENDING, State.REJECTED, State.NOT_PLACED, State.UNKNOWN}),
        State.UNKNOWN: frozenset({State.PENDING, State.REJECTED, State.NOT_PLACED}),
        # Taken for absent, and yet answered: it is there.
        State.NOT_PLACED: frozenset({State.PENDING}),
    },
    Word.NEWS: {
        State.SENDING: SAID,
        State.UNKNOWN: SAID,
        **{state: (SAID - STANDING) | set(RANKS[rank + 1 :]) for rank, state in enumerate(RANKS)},
    },
    # Of what it had never shown before (`Known.is_presumed`) the book may say anything.
    Word.BOOK: {
        State.SENDING: SAID,
        State.UNKNOWN: SAID | {State.NOT_PLACED},
        **dict.fromkeys(STANDING, SAID),
        State.CANCELLED: FILLS,
        State.REJECTED: FILLS,
        State.EXPIRED: FILLS,
        State.NOT_PLACED: SAID,
    },
    Word.CLOCK: {
        State.SENDING: frozenset({State.UNKNOWN}),
        **{state: frozenset({State.EXPIRED}) for state in STANDING},
    },
}

# Why an order is EXPIRED that the broker's book does not show any more: concluded, and not read there.
DAY_OVER = "day_over"
# --- what the answer to a call makes of it ---------------------------------------------------------------------------
# Nothing of these ever reached the broker as an order: they come before any byte of it was sent, or say that none was.
NEVER_LEFT = (BudgetSpent, CircuitOpen, HeldBack, NotSupported, SessionEnded, SecretUnreadable)


def after_call(error: BaseException | None, *, throttled_before_entry: bool) -> State:
    """What an order is after its one call. Whatever is not plainly a yes, a no, or never sent, is UNKNOWN.

    `throttled_before_entry`: see `OrderRules`.
    """
    if error is None:
        return State.PENDING
    if isinstance(error, NEVER_LEFT):
        return State.NOT_PLACED
    if isinstance(error, RateLimited):
        return State.NOT_PLACED if throttled_before_entry else State.UNKNOWN
    if isinstance(error, BrokerUnavailable):
        return State.NOT_PLACED
    return State.REJECTED if isinstance(error, RequestRefused) else State.UNKNOWN


# --- what news make of it --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we hold of an order. Quantities are units, prices INR."""

    state: State
    quantity: Decimal
    filled_quantity: Decimal = ZERO
    average_price: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    broker_order_id: str | None = None
    exchange_order_id: str | None = None
    reason_code: str = ""
    reason: str = ""

    @property
    def is_presumed(self) -> bool:
        """Whether it has ended by our conclusion or by a call's answer, and the book never showed it so."""
        return self.state in ENDED and (self.broker_order_id is None or self.reason_code == DAY_OVER)


@dataclass(frozen=True, slots=True)
class Change:
    """What we hold of it from now on; `contradiction` names what the news say that cannot be, or is not believed."""

    known: Known
    contradiction: str | None = None


def merged(known: Known, told: BrokerOrder, word: Word) -> Change:
    """Put news and what we hold together; news may be old, repeated, or out of order.

    What was filled never becomes less. An ended order stays ended, unless the broker's book shows that more of it was
    filled, or it had ended without the book. Quantity and prices, which a change of ours moves, are the book's to tell.
    """
    if known.state in ENDED and not (known.is_presumed and word is Word.BOOK):
        return _after_end(known, told, word)
    quantity = told.quantity if word is Word.BOOK and told.quantity > 0 else known.quantity
    contradiction = None
    filled = max(known.filled_quantity, told.filled_quantity)
    if filled > quantity:
        contradiction = "filled_beyond_quantity"
        quantity = max(quantity, known.filled_quantity)
        filled = min(filled, quantity)
    elif word is Word.BOOK and told.filled_quantity < known.filled_quantity:
        contradiction = "filled_less_than_before"
    said = _said(known.state, told, filled, quantity)
    if said is None:
        contradiction, said = "filled_without_quantity", _standing(known.state, State.OPEN, filled)
    state = said if said in _open_to(known, word) else known.state
    by_book = word is Word.BOOK
    now_known = replace(
        known,
        state=state,
        quantity=quantity,
        filled_quantity=filled,
        average_price=_average(known, told),
        broker_order_id=told.broker_order_id if by_book or known.broker_order_id is None
        else known.broker_order_id,
        exchange_order_id=told.exchange_order_id or known.exchange_order_id,
        price=told.price if by_book else known.price,
        trigger_price=told.trigger_price if by_book else known.trigger_price,
    )  # fmt: skip
    if state != known.state:
        ended_badly = state in ENDED and state is not State.FILLED
        now_known = replace(
            now_known,
            reason_code=f"broker_{state.lower()}" if ended_badly else "",
            reason=(told.status_message or "") if ended_badly else "",
        )
    return Change(now_known, contradiction)


def _open_to(known: Known, word: Word) -> frozenset[State]:
    if known.is_presumed and word is Word.BOOK:
        return SAID
    return FOLLOWS[word].get(known.state, frozenset())


def _after_end(known: Known, told: BrokerOrder, word: Word) -> Change:
    if known.is_presumed and told.status.value != known.state.value:
        return Change(known, "seen_after_all")  # the book, which is read now, decides
    if told.filled_quantity > known.filled_quantity:
        if word is not Word.BOOK:
            return Change(known, "filled_after_end")
        quantity = max(known.quantity, told.quantity)
        filled = min(told.filled_quantity, quantity)
        said = _said(known.state, told, filled, quantity) or State.PARTIALLY_FILLED
        state = said if said in _open_to(known, word) else known.state
        found = replace(
            known, state=state, quantity=quantity, filled_quantity=filled, average_price=_average(known, told)
        )
        return Change(found, None if state == known.state else "filled_after_end")
    if word is Word.BOOK and told.filled_quantity < known.filled_quantity:
        return Change(known, "filled_less_than_before")
    said_end = told.status in _ENDS
    if (said_end and State(told.status) != known.state) or (word is Word.BOOK and not said_end):
        return Change(known, "another_end" if said_end else "standing_after_end")
    if known.broker_order_id is None:  # rejected by the answer to the call; the book names it
        return Change(replace(known, broker_order_id=told.broker_order_id))
    return Change(known)


_ENDS = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
_STANDS = {
    OrderStatus.OPEN: State.OPEN,
    OrderStatus.PARTIALLY_FILLED: State.OPEN,
    OrderStatus.TRIGGER_PENDING: State.TRIGGER_PENDING,
}


def _said(before: State, told: BrokerOrder, filled: Decimal, quantity: Decimal) -> State | None:
    """The state that the news speak of; None for an order that is called filled and is not."""
    # News of another total than ours are older or newer than a change: they do not fill it.
    if filled >= quantity and told.quantity <= quantity:
        return State.FILLED
    if told.status is OrderStatus.FILLED:
        return None
    if told.status in _ENDS:
        return State(told.status)
    return _standing(before, _STANDS.get(told.status, State.PENDING), filled)


def _standing(before: State, said: State, filled: Decimal) -> State:
    if filled > 0:
        return State.PARTIALLY_FILLED
    # A status that we cannot read says that the order is there, and nothing more.
    return before if said is State.PENDING and before in STANDING else said


def _average(known: Known, told: BrokerOrder) -> Decimal | None:
    is_newer = told.filled_quantity >= known.filled_quantity and told.average_price is not None
    return told.average_price if is_newer else known.average_price


# --- what its children make of an intent -----------------------------------------------------------------------------
class Ending(StrEnum):
    """Of an intent that was sent; the words are those of `IntentStatus`."""

    WORKING = "WORKING"
    FILLED = "FILLED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    NOT_PLACED = "NOT_PLACED"


def intent_status(children: Iterable[tuple[State, Decimal]], wanted: Decimal) -> Ending:
    """What becomes of a wanted quantity; of each child its state and what of it was filled.

    Without a fill it ended as what says most: a cancellation, a lapse, a rejection, or no broker that had it.
    """
    known = list(children)
    if any(state in LIVE for state, _ in known):
        return Ending.WORKING
    filled = sum((quantity for _, quantity in known), ZERO)
    if filled > 0:
        return Ending.FILLED if filled >= wanted else Ending.PARTIALLY_FILLED
    states = {state for state, _ in known}
    for ending in (Ending.CANCELLED, Ending.EXPIRED, Ending.REJECTED):
        if State(ending) in states:
            return ending
    return Ending.NOT_PLACED


# --- when the book is asked, and what its silence proves -------------------------------------------------------------
FIRST_WAITS = (1, 2, 4, 8, 15)
LATER_WAIT, LATER_ATTEMPTS, LAST_WAIT = 15, 20, 60


def next_reconcile(attempt: int) -> timedelta:
    """How long to wait after so many readings: 1, 2, 4, 8, 15 s, every 15 s for some minutes, then each minute."""
    if attempt < len(FIRST_WAITS):
        return timedelta(seconds=FIRST_WAITS[attempt])
    return timedelta(seconds=LATER_WAIT if attempt < LATER_ATTEMPTS else LAST_WAIT)


# Later than any delay with which an order was seen to enter a book.
ENTRY = timedelta(seconds=30)
BETWEEN_ABSENCES = timedelta(seconds=5)
ABSENCES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of the book and the trades. `began_at` is when it was asked for.

    `is_whole`: every row of both could be read. `is_same_day`: an older order would not be in it any more. `has_trade`:
    there is a trade of no known order that could be this one's. `is_heard`: news of orders do come in by themselves, or
    the broker has no stream of them.
    """

    began_at: datetime
    is_whole: bool
    is_same_day: bool
    has_trade: bool
    is_heard: bool


def absence_counts(unknown_since: datetime, first_absent_at: datetime | None, reading: Reading) -> bool:
    """Whether not finding an order in this reading says anything: late enough, whole, and apart from the one before."""
    late = reading.began_at >= unknown_since + ENTRY
    apart = first_absent_at is None or reading.began_at >= first_absent_at + BETWEEN_ABSENCES
    said = reading.is_whole and reading.is_same_day and reading.is_heard and not reading.has_trade
    return late and apart and said


def absence_proves(absences: int) -> bool:
    """Whether so many absences that count prove that the broker never had it."""
    return absences >= ABSENCES
