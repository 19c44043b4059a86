"""What waits for one socket, and what comes next on it. No socket, no clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.client_messages import (
    MESSAGES_AT_ONCE,
    MESSAGES_PER_SECOND,
    Complaint,
    Patience,
    Ping,
    Resync,
    Subscribe,
    Unsubscribe,
    read,
)
from portfolio.following import Following, Step
from portfolio.outbox import MOST_REPLIES, Outbox


def opened(**bounds: int) -> Outbox:
    outbox = Outbox(**bounds)
    outbox.put_snapshot("first", is_hosted=True)
    assert outbox.take() == [("SNAPSHOT", "first")]
    return outbox


def test_nothing_leaves_before_the_snapshot() -> None:
    outbox = Outbox()
    outbox.put("BROKER_STATUS_UPDATE", "1", "{}")
    assert outbox.take() == []
    outbox.put_snapshot("first", is_hosted=False)
    assert outbox.take() == [("SNAPSHOT", "first"), ("BROKER_STATUS_UPDATE", "{}")]


def test_deltas_stay_in_order_and_all_else_is_the_latest() -> None:
    outbox = opened()
    for number in "123":
        assert outbox.put_delta(number)
        outbox.put("PRICE_STATE", "", number)
        outbox.put_price("NSE:1", number)
    assert outbox.take() == [
        *(("PORTFOLIO_DELTA", number) for number in "123"),
        ("PRICE_STATE", "3"),
        ("PRICES", '{"prices":[3]}'),
    ]
    assert outbox.take() == []


def test_deltas_wait_for_a_snapshot_that_is_being_made() -> None:
    outbox = opened()
    outbox.put_delta("old")
    outbox.hold()
    outbox.put_delta("new")
    outbox.put("PRICE_STATE", "", "{}")
    assert outbox.take() == [("PRICE_STATE", "{}")]
    outbox.put_snapshot("again", is_hosted=True)
    assert outbox.take() == [("SNAPSHOT", "again"), ("PORTFOLIO_DELTA", "new")]


@pytest.mark.parametrize("bounds", [{"most_deltas": 3}, {"most_bytes": 30}])
def test_where_there_is_no_room_all_deltas_go_and_their_snapshot_with_them(bounds: dict[str, int]) -> None:
    outbox = opened(**bounds)
    outbox.put_snapshot("too old soon", is_hosted=True)
    assert [outbox.put_delta("x" * 10) for _ in range(4)] == [True, True, True, False]
    assert outbox.take() == []
    assert outbox.put_delta("x" * 10)


def test_a_single_delta_may_be_larger_than_the_bound() -> None:
    outbox = opened(most_bytes=5)
    assert outbox.put_delta("x" * 10)


def test_answers_that_are_not_read_are_not_kept_for_ever() -> None:
    outbox = opened()
    assert all(outbox.put_reply("HEARTBEAT", "{}") for _ in range(MOST_REPLIES))
    assert not outbox.put_reply("HEARTBEAT", "{}")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6), st.booleans()), max_size=30))
def test_what_a_socket_forwards_is_always_one_book_without_gaps(
    messages: list[tuple[str, int, bool]],
) -> None:
    following, book, number = Following(), None, 0
    for their_book, their_number, is_snapshot in messages:
        if is_snapshot:
            if following.take_snapshot(their_book, their_number):
                book, number = their_book, their_number
        elif following.take_delta(their_book, their_number) is Step.NEXT:
            assert (their_book, their_number) == (book, number + 1)
            number += 1
        assert following.is_waiting or (following.book, following.number) == (book, number)


def test_a_delta_is_next_old_or_after_a_gap() -> None:
    following = Following()
    assert following.take_delta("a", 1) is Step.OLD  # a snapshot is awaited
    assert following.take_snapshot("a", 4)
    assert [following.take_delta("a", number) for number in (4, 5, 7)] == [Step.OLD, Step.NEXT, Step.GAP]
    assert following.take_delta("b", 6) is Step.GAP
    assert not following.take_snapshot("a", 5)
    following.alone()
    assert following.take_delta("a", 6) is Step.GAP


# --- what a client says -----------------------------------------------------------------------------------------------
def test_messages_are_read() -> None:
    assert read('{"type":"subscribe","topics":["portfolio","status","orders"]}') == Subscribe(
        topics=("portfolio", "status", "orders")
    )
    assert read('{"type":"subscribe","topic":"prices","instruments":["NSE:2885"]}') == Subscribe(
        topic="prices", instruments=("NSE:2885",)
    )
    assert read('{"type":"unsubscribe","topic":"prices"}') == Unsubscribe(topic="prices")
    assert read('{"type":"snapshot"}') == Resync()
    assert read('{"type":"ping"}') == Ping()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "topic", "topics"]), inner),
    max_leaves=5,
)


@given(st.text() | anything.map(repr) | anything.map(lambda value: repr(value).replace("'", '"')))
def test_nothing_that_is_said_breaks_anything(text: str) -> None:
    answers: list[object] = []
    try:
        answers.append(read(text))
    except Complaint as complaint:
        answers.append(complaint.code)
    assert answers[0] in ("bad_message", "message_too_long") or not isinstance(answers[0], str)


def test_patience_ends_and_comes_back() -> None:
    patience = Patience()
    assert all(patience.bears(100) for _ in range(MESSAGES_AT_ONCE))
    assert not patience.bears(100)
    assert patience.bears(101)
    assert [patience.bears(101) for _ in range(MESSAGES_PER_SECOND)].count(True) == MESSAGES_PER_SECOND - 2
