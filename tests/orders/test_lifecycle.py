"""What can become of an order: the machine, the answer to a call, and news in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from brokers import registry
from brokers.domain import BrokerOrder, Exchange, OrderStatus, OrderType, Product, Side, Validity
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SecretUnreadable,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.spec import BrokerSpec
from brokers.transport import Transport
from brokers.verdicts import Failure
from orders import lifecycle
from orders.lifecycle import ENDED, FOLLOWS, LIVE, POSSIBLY_LIVE, STANDING, Known, Reading, State, Word, merged

NOON = datetime(2026, 11, 26, 6, 30, tzinfo=UTC)
TEN = Decimal(10)
ORDER = BrokerOrder(
    broker_order_id="1",
    exchange_order_id=None,
    exchange=Exchange.NSE,
    tradingsymbol="INFY",
    broker_token="1594",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    product=Product.CNC,
    validity=Validity.DAY,
    quantity=TEN,
    filled_quantity=Decimal(0),
    price=Decimal("1500.05"),
    trigger_price=None,
    average_price=None,
    status=OrderStatus.OPEN,
    status_message=None,
    tag="tabcdefgh",
    placed_at=None,
)
PENDING = Known(state=State.PENDING, quantity=TEN, broker_order_id="1")


def told(status: OrderStatus, filled: int = 0, quantity: int = 10) -> BrokerOrder:
    average = Decimal(1500) if filled else None
    return replace(
        ORDER, status=status, filled_quantity=Decimal(filled), quantity=Decimal(quantity), average_price=average
    )


# --- the answer to a call ---------------------------------------------------------------------------------------------
ANSWERS = {
    State.PENDING: [None],
    State.REJECTED: [OrderRejected("no"), RequestRefused("no")],
    State.NOT_PLACED: [
        BrokerUnavailable("it cannot be reached"),
        CircuitOpen("it is left alone", retry_at=NOON),
        BudgetSpent("not now", retry_after=1.0),
        NotSupported("no"),
        SessionEnded("log in"),
        SecretUnreadable("no"),
    ],
    State.UNKNOWN: [
        OutcomeUnknown("no answer"),
        UnexpectedResponse("data"),
        ValueError("a mistake of ours"),
        TimeoutError(),
        KeyboardInterrupt(),
        RateLimited("too many"),
    ],
}


@pytest.mark.parametrize(("state", "error"), [(state, error) for state, all_ in ANSWERS.items() for error in all_])
def test_what_a_call_brings_makes_the_state(state: State, error: BaseException | None) -> None:
    assert lifecycle.after_call(error, throttled_before_entry=False) is state


def test_too_many_is_never_placed_where_the_broker_throttles_before_entry() -> None:
    assert lifecycle.after_call(RateLimited("too many"), throttled_before_entry=True) is State.NOT_PLACED


@pytest.mark.parametrize("slug", registry.slugs())
def test_a_dead_session_is_no_order_and_an_outage_that_names_one_is_not_known(slug: str) -> None:
    spec = registry.load(slug).spec
    dead = [key for key, verdict in spec.errors.items() if verdict.error is SessionEnded]
    assert dead
    for status, code in dead:
        assert _after_write(spec, status or 400, code) is State.NOT_PLACED
        assert _after_write(spec, 502, code) is State.UNKNOWN


def _after_write(spec: BrokerSpec, status: int, code: str | None) -> State:
    """What an order is to which a broker answers so."""
    transport = Transport(
        slug=spec.slug, endpoints=spec.endpoints, errors=spec.errors, order_errors=spec.order_errors,
        failure=lambda body: Failure(code, "No."),
    )  # fmt: skip
    with responses.RequestsMock() as mock:
        mock.post(f"{spec.endpoints.base_url}/order", body=b"{}", status=status)
        with pytest.raises(BrokerError) as caught:
            transport.call("POST", "/order", writes=True)
    return lifecycle.after_call(caught.value, throttled_before_entry=False)


# --- the machine ------------------------------------------------------------------------------------------------------
def test_every_state_but_the_first_is_entered_by_somebody() -> None:
    entered = {state for moves in FOLLOWS.values() for states in moves.values() for state in states}
    assert entered == set(State) - {State.SENDING}
    assert {*LIVE, *ENDED} == set(State)


def test_nobody_but_the_broker_rejects_and_nothing_leads_back_to_sending() -> None:
    for word, moves in FOLLOWS.items():
        for before, after in moves.items():
            assert State.SENDING not in after
            if State.REJECTED in after:
                assert word is not Word.CLOCK
            if before in STANDING:
                assert not after & POSSIBLY_LIVE


# --- news ---------------------------------------------------------------------------------------------------------
def test_an_order_that_is_not_known_is_adopted() -> None:
    unknown = Known(state=State.UNKNOWN, quantity=TEN)
    found = merged(unknown, told(OrderStatus.PARTIALLY_FILLED, 3), Word.BOOK).known
    assert (found.state, found.filled_quantity, found.broker_order_id) == (State.PARTIALLY_FILLED, Decimal(3), "1")
    assert merged(unknown, told(OrderStatus.UNKNOWN), Word.BOOK).known.state is State.PENDING


def test_old_news_lead_nowhere() -> None:
    opened = replace(PENDING, state=State.OPEN)
    assert merged(opened, told(OrderStatus.PENDING), Word.NEWS).known == opened
    filled = merged(PENDING, told(OrderStatus.FILLED, 10), Word.NEWS).known
    assert filled.state is State.FILLED
    assert merged(filled, told(OrderStatus.PARTIALLY_FILLED, 4), Word.NEWS) == lifecycle.Change(filled)


def test_an_end_stays_unless_the_book_shows_a_higher_fill() -> None:
    ended = merged(PENDING, told(OrderStatus.CANCELLED, 4), Word.BOOK).known
    assert (ended.state, ended.filled_quantity) == (State.CANCELLED, Decimal(4))
    assert merged(ended, told(OrderStatus.PARTIALLY_FILLED, 6), Word.NEWS).contradiction == "filled_after_end"
    again = merged(ended, told(OrderStatus.OPEN, 4), Word.BOOK)
    assert (again.known, again.contradiction) == (ended, "standing_after_end")
    more = merged(ended, told(OrderStatus.PARTIALLY_FILLED, 6), Word.BOOK)
    assert (more.known.state, more.known.filled_quantity) == (State.PARTIALLY_FILLED, Decimal(6))
    assert more.contradiction == "filled_after_end"
    late = merged(ended, told(OrderStatus.CANCELLED, 6), Word.BOOK)
    assert (late.known.state, late.known.filled_quantity) == (State.CANCELLED, Decimal(6))


@pytest.mark.parametrize("state", [State.NOT_PLACED, State.REJECTED])
def test_what_ended_without_the_book_is_the_books_to_correct(state: State) -> None:
    presumed = Known(state=state, quantity=TEN, reason_code="never_placed")
    assert merged(presumed, told(OrderStatus.OPEN), Word.NEWS).contradiction == "seen_after_all"
    found = merged(presumed, told(OrderStatus.OPEN), Word.BOOK).known
    assert (found.state, found.broker_order_id, found.reason_code) == (State.OPEN, "1", "")


def test_a_broker_that_calls_an_order_filled_and_shows_less_is_not_believed() -> None:
    change = merged(PENDING, told(OrderStatus.FILLED, 4), Word.BOOK)
    assert (change.known.state, change.contradiction) == (State.PARTIALLY_FILLED, "filled_without_quantity")


def test_news_of_another_total_do_not_fill_an_order() -> None:
    """It was changed to 20, and we have not read that yet."""
    change = merged(PENDING, told(OrderStatus.PARTIALLY_FILLED, 10, 20), Word.NEWS)
    assert (change.known.state, change.known.quantity) == (State.PARTIALLY_FILLED, TEN)
    by_book = merged(change.known, told(OrderStatus.PARTIALLY_FILLED, 10, 20), Word.BOOK).known
    assert (by_book.state, by_book.quantity) == (State.PARTIALLY_FILLED, Decimal(20))


ENDS = [OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED, None]


@st.composite
def lives(draw: st.DrawFn) -> list[BrokerOrder]:
    """What truly becomes of an order of ten, as its broker would tell it, one change after the other."""
    story = [told(OrderStatus.PENDING)]
    if draw(st.booleans()):
        story.append(told(OrderStatus.TRIGGER_PENDING))
    end = draw(st.sampled_from(ENDS))
    if end is OrderStatus.REJECTED:
        return [*story, told(end)]
    story.append(told(OrderStatus.OPEN))
    fills = sorted(draw(st.sets(st.integers(1, 9), max_size=4)))
    # Some brokers have no word for an order that is filled in part.
    word = draw(st.sampled_from([OrderStatus.PARTIALLY_FILLED, OrderStatus.OPEN]))
    story += [told(word, filled) for filled in fills]
    if end is OrderStatus.FILLED:
        story.append(told(end, 10))
    elif end is not None:
        story.append(told(end, fills[-1] if fills else 0))
    return story


def right_state(last: BrokerOrder) -> State:
    if last.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED):
        return State.PARTIALLY_FILLED if last.filled_quantity else State.OPEN
    return State(last.status)


BEGINNINGS = [
    Known(state=State.SENDING, quantity=TEN),
    Known(state=State.UNKNOWN, quantity=TEN),
    PENDING,
    Known(state=State.NOT_PLACED, quantity=TEN, reason_code="never_placed"),
]


@given(lives(), st.sampled_from(BEGINNINGS), st.randoms(use_true_random=False), st.data())
def test_in_whatever_order_news_come_the_book_makes_it_right(
    story: list[BrokerOrder], known: Known, rng: Random, data: st.DataObject
) -> None:
    """Shuffled, doubled, dropped, delayed past the reading; books of a moment ago come in between."""
    heard = [order for order in story for _ in range(data.draw(st.integers(0, 3)))]
    rng.shuffle(heard)
    cut = data.draw(st.integers(0, len(heard)))
    news = [(order, data.draw(st.sampled_from([Word.NEWS, Word.NEWS, Word.BOOK]))) for order in heard[:cut]]
    for order, word in [*news, (story[-1], Word.BOOK), *((order, Word.NEWS) for order in heard[cut:])]:
        before, known = known, merged(known, order, word).known
        assert before.filled_quantity <= known.filled_quantity <= known.quantity == TEN
        if before.state in ENDED and before.broker_order_id is not None:
            assert known.state in ENDED or known.filled_quantity > before.filled_quantity
    assert known.state is right_state(story[-1])
    assert known.filled_quantity == story[-1].filled_quantity
    assert known.broker_order_id == "1"


# --- intents ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("children", "status"),
    [
        ([], "NOT_PLACED"),
        ([(State.UNKNOWN, 0), (State.FILLED, 5)], "WORKING"),
        ([(State.FILLED, 5), (State.FILLED, 5)], "FILLED"),
        ([(State.NOT_PLACED, 0), (State.FILLED, 10)], "FILLED"),
        ([(State.FILLED, 5), (State.REJECTED, 0)], "PARTIALLY_FILLED"),
        ([(State.REJECTED, 0), (State.CANCELLED, 0)], "CANCELLED"),
        ([(State.REJECTED, 0), (State.NOT_PLACED, 0)], "REJECTED"),
        ([(State.EXPIRED, 0)], "EXPIRED"),
    ],
)
def test_an_intent_is_what_its_orders_are(children: list[tuple[State, int]], status: str) -> None:
    assert lifecycle.intent_status([(state, Decimal(filled)) for state, filled in children], TEN) == status


# --- reconciliation ---------------------------------------------------------------------------------------------------
def test_the_book_is_asked_on_the_schedule_of_the_specification() -> None:
    waits = [lifecycle.next_reconcile(attempt).total_seconds() for attempt in range(30)]
    assert waits[:7] == [1, 2, 4, 8, 15, 15, 15]
    assert waits[-1] == 60
    assert all(before <= after for before, after in pairwise(waits))


GOOD = Reading(began_at=NOON + timedelta(seconds=30), is_whole=True, is_same_day=True, has_trade=False, is_heard=True)


@pytest.mark.parametrize(
    ("reading", "counts"),
    [
        (GOOD, True),
        (replace(GOOD, began_at=NOON + timedelta(seconds=29)), False),
        (replace(GOOD, is_whole=False), False),
        (replace(GOOD, is_same_day=False), False),
        (replace(GOOD, has_trade=True), False),
        (replace(GOOD, is_heard=False), False),
    ],
)
def test_silence_says_something_only_under_all_its_conditions(reading: Reading, *, counts: bool) -> None:
    assert lifecycle.absence_counts(NOON, None, reading) is counts


def test_two_readings_in_one_breath_are_one() -> None:
    assert not lifecycle.absence_counts(NOON, GOOD.began_at, GOOD)
    later = replace(GOOD, began_at=GOOD.began_at + lifecycle.BETWEEN_ABSENCES)
    assert lifecycle.absence_counts(NOON, GOOD.began_at, later)
    assert [lifecycle.absence_proves(number) for number in (0, 1, 2)] == [False, False, True]
