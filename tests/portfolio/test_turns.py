"""Whose page is told when: at once after a rest, never more than once in an interval, and nothing is left untold."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Exchange
from portfolio.deltas import apply_delta
from portfolio.domain import ConsolidatedPortfolio, LivePrice
from portfolio.live import LiveBooks
from portfolio.turns import Turns
from tests.portfolio.live_host import LISTINGS, NSE_INFY, NSE_SBIN, alices_sources
from tests.portfolio.sources import NOW

INTERVAL = 0.25
USERS = (1, 2, 3)
# Milliseconds, so that sums are what they look like.
pauses = st.integers(0, 700)


def told(turns: Turns, now: float) -> list[int]:
    found = []
    while (user_id := turns.take(now)) is not None:
        found.append(user_id)
    return found


def test_a_change_after_a_rest_is_told_at_once() -> None:
    turns = Turns(INTERVAL)
    turns.note([1], 10.0)
    assert (turns.next_at(), told(turns, 10.0), turns.next_at()) == (10.0, [1], None)


def test_what_comes_within_the_interval_is_told_together_at_its_end() -> None:
    turns = Turns(INTERVAL)
    turns.note([1], 10.0)
    assert told(turns, 10.0) == [1]
    for at in (10.01, 10.1, 10.2):
        turns.note([1], at)
        assert told(turns, at) == []
    assert turns.next_at() == 10.25
    assert told(turns, 10.25) == [1]
    assert told(turns, 11.0) == []


def test_one_who_waits_holds_up_nobody() -> None:
    turns = Turns(INTERVAL)
    turns.note([1], 10.0)
    assert told(turns, 10.0) == [1]
    turns.note([1, 2], 10.1)
    assert told(turns, 10.1) == [2]
    assert told(turns, 10.25) == [1]


def test_the_longest_due_comes_first() -> None:
    turns = Turns(INTERVAL)
    turns.note([3], 10.0)
    turns.note([1], 10.1)
    turns.note([2], 10.2)
    assert told(turns, 10.5) == [3, 1, 2]


def test_who_had_nothing_to_be_told_need_not_wait() -> None:
    turns = Turns(INTERVAL)
    turns.note([1], 10.0)
    assert told(turns, 10.0) == [1]
    turns.forgo(1)
    turns.note([1], 10.1)
    assert told(turns, 10.1) == [1]


def test_who_has_left_is_not_told() -> None:
    turns = Turns(INTERVAL)
    turns.note([1, 2], 10.0)
    turns.forget(1)
    assert told(turns, 10.0) == [2]


@given(st.lists(st.tuples(pauses, st.sets(st.sampled_from(USERS))), max_size=60))
def test_never_sooner_than_an_interval_and_never_later(steps: list[tuple[int, set[int]]]) -> None:
    """Each is told at most once in an interval, and of every change within one; who does not wait is not told."""
    turns, now = Turns(INTERVAL * 1000), 0.0
    at: dict[int, list[float]] = defaultdict(list)
    noted: dict[int, list[float]] = defaultdict(list)

    def wait_until(end: float) -> None:
        while (next_at := turns.next_at()) is not None and next_at <= end:
            for user_id in told(turns, next_at):
                at[user_id].append(next_at)

    for pause, users in steps:
        wait_until(now + pause)
        now += pause
        turns.note(users, now)
        for user_id in users:
            noted[user_id].append(now)
        wait_until(now)
    wait_until(float("inf"))
    for user_id in USERS:
        assert all(later - sooner >= 250 for sooner, later in pairwise(at[user_id]))
        for moment in noted[user_id]:
            told_at = min(each for each in at[user_id] if each >= moment)
            since = max((each for each in at[user_id] if each < told_at), default=float("-inf"))
            assert told_at == max(moment, since + 250)
        assert len(at[user_id]) <= len(noted[user_id])


moves = st.tuples(pauses, st.sampled_from([NSE_INFY, NSE_SBIN]), st.integers(10_000, 200_000))


@given(st.lists(moves, max_size=40))
def test_the_page_ends_at_the_book_to_the_last_digit(steps: list[tuple[int, tuple[Exchange, str], int]]) -> None:
    """The real engine's deltas, as the turns let them out, applied to the snapshot that came first."""
    books, turns, now = LiveBooks(LISTINGS), Turns(250), 0.0
    book = books.hold(1, alices_sources())
    copy, messages = book.portfolio(NOW), list[float]()

    def tell(at: float) -> ConsolidatedPortfolio:
        messages.append(at)
        return apply_delta(copy, book.changes(NOW + timedelta(milliseconds=at)))

    for pause, instrument, paise in steps:
        while (next_at := turns.next_at()) is not None and next_at <= now + pause:
            assert told(turns, next_at) == [1]
            copy = tell(next_at)
        now += pause
        price = LivePrice(
            exchange=Exchange.NSE,
            price=Decimal(paise) / 100,
            close=Decimal(104),
            source="zerodha",
            as_of=NOW + timedelta(milliseconds=now),
        )
        turns.note(books.apply(instrument, price), now)
        if told(turns, now):
            copy = tell(now)
    while (next_at := turns.next_at()) is not None:
        assert told(turns, next_at) == [1]
        copy = tell(next_at)
    assert all(later - sooner >= 250 for sooner, later in pairwise(messages))
    assert copy == book.portfolio(NOW + timedelta(milliseconds=messages[-1] if messages else 0))
