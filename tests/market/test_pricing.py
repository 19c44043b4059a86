"""One price out of several feeds: who is believed, for how long, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Exchange, Tick
from market.pricing import Price, PriceBook, Refusal, Rules

START = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
INFY = (Exchange.NSE, "1594")
SBIN = (Exchange.NSE, "3045")
RULES = Rules()
FIRST, SECOND = "first", "second"  # brokers; the first is preferred


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def tick(price: str, *, at: float | None = None, close: str | None = None, key: tuple[Exchange, str] = INFY) -> Tick:
    return Tick(*key, Decimal(price), Decimal(close) if close else None, after(at) if at is not None else None)


@pytest.fixture
def book() -> PriceBook:
    """Two live feeds."""
    book = PriceBook(RULES)
    book.feed_live(FIRST, FIRST, 0, START)
    book.feed_live(SECOND, SECOND, 1, START)
    return book


def told(price: Price | None) -> tuple[str, str, bool]:
    assert price is not None
    return str(price.last_price), price.source, price.stale


class TestChoice:
    def test_the_first_to_tell_is_chosen(self, book: PriceBook) -> None:
        price = book.tick(SECOND, tick("1500", close="1490"), after(1))
        assert price == Price(*INFY, Decimal(1500), Decimal(1490), after(1), SECOND)
        assert book.price(INFY) == price

    def test_the_exchange_says_as_of_when(self, book: PriceBook) -> None:
        price = book.tick(FIRST, tick("1500", at=0.5), after(1))
        assert price is not None
        assert price.as_of == after(0.5)

    def test_a_time_in_the_future_is_not_believed(self, book: PriceBook) -> None:
        price = book.tick(FIRST, tick("1500", at=3600), after(1))
        assert price is not None
        assert price.as_of == after(1)

    def test_two_live_feeds_are_not_hopped_between(self, book: PriceBook) -> None:
        for second in range(60):
            book.tick(FIRST, tick(f"{1500 + second}"), after(second))
            assert book.tick(SECOND, tick(f"{1500 + second}.05"), after(second + 0.1)) is None
        assert told(book.price(INFY))[1] == FIRST

    def test_a_preferred_feed_is_gone_back_to_when_it_has_settled(self, book: PriceBook) -> None:
        book.tick(SECOND, tick("1500"), after(0))
        assert book.tick(FIRST, tick("1500.05"), after(1)) is None
        book.tick(SECOND, tick("1500.05"), after(14))
        price = book.tick(FIRST, tick("1500.10"), after(15))
        assert told(price) == ("1500.10", FIRST, False)

    def test_the_less_preferred_does_not_come_back_by_itself(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(SECOND, tick("1500"), after(100))
        assert told(book.price(INFY))[1] == FIRST

    def test_a_feed_that_falls_silent_is_left(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(SECOND, tick("1501"), after(10))
        assert book.sweep(after(12.9)) == []
        assert [told(price) for price in book.sweep(after(13))] == [("1501", SECOND, False)]

    def test_a_feed_that_is_merely_slower_is_kept(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(SECOND, tick("1501"), after(10))
        book.tick(FIRST, tick("1501"), after(11))
        assert book.sweep(after(20)) == []

    def test_a_feed_that_tells_the_past_is_left(self, book: PriceBook) -> None:
        """It ticks all the time, ten seconds late by the exchange's own clock."""
        for second in range(20, 30):
            book.tick(FIRST, tick(f"{1500 + second}", at=second - 10), after(second))
            book.tick(SECOND, tick(f"{1600 + second}", at=second), after(second + 0.1))
        assert told(book.price(INFY))[1] == SECOND

    def test_a_quiet_market_is_no_fault(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(SECOND, tick("1500"), after(0))
        assert book.sweep(after(3600)) == []
        assert told(book.price(INFY)) == ("1500", FIRST, False)


class TestGoing:
    def test_another_takes_over_at_once(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500", close="1490"), after(0))
        book.tick(SECOND, tick("1500.10"), after(1))
        assert [told(price) for price in book.feed_gone(FIRST, after(2))] == [("1500.10", SECOND, False)]
        assert book.price(INFY).close_price == Decimal(1490)  # type: ignore[union-attr]

    def test_with_none_left_the_price_is_stale_after_a_grace(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(FIRST, tick("600", key=SBIN), after(0))
        book.feed_gone(SECOND, after(1))
        assert book.feed_gone(FIRST, after(1)) == []
        assert book.sweep(after(4.9)) == []
        assert {told(price) for price in book.sweep(after(5))} == {("1500", FIRST, True), ("600", FIRST, True)}
        assert book.sweep(after(6)) == []
        assert not book.has_feed(INFY)

    def test_a_close_that_the_chosen_feed_does_not_tell_is_another_s(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(SECOND, tick("1501", close="1490"), after(1))
        price = book.tick(FIRST, tick("1502"), after(2))
        assert price is not None
        assert (price.last_price, price.close_price) == (Decimal(1502), Decimal(1490))

    def test_in_a_closed_market_nothing_becomes_stale(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.feed_gone(FIRST, after(1))
        assert book.sweep(after(100), lambda exchange: False) == []
        assert [told(price)[2] for price in book.sweep(after(101), lambda exchange: True)] == [True]

    def test_a_feed_that_comes_back_is_fresh_with_its_first_tick(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.feed_gone(FIRST, after(1))
        book.sweep(after(10))
        book.feed_live(FIRST, FIRST, 0, after(11))
        assert told(book.price(INFY))[2] is True
        assert told(book.tick(FIRST, tick("1500"), after(12))) == ("1500", FIRST, False)

    def test_what_a_feed_told_before_it_went_does_not_count(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(SECOND, tick("1400"), after(0))
        book.feed_gone(SECOND, after(1))
        book.feed_live(SECOND, SECOND, 1, after(2))
        assert book.feed_gone(FIRST, after(3)) == []
        assert told(book.price(INFY)) == ("1500", FIRST, False)

    def test_a_feed_that_is_not_live_is_not_heard(self, book: PriceBook) -> None:
        book.feed_gone(FIRST, after(0))
        assert book.tick(FIRST, tick("1500"), after(1)) is None
        assert book.refused == {Refusal.UNKNOWN_FEED: 1}

    def test_a_remembered_price_becomes_stale_unless_it_is_told_again(self) -> None:
        book = PriceBook(RULES)
        for key in (INFY, SBIN):
            book.remember(Price(*key, Decimal(1500), None, START, FIRST), START)
        book.feed_live(SECOND, SECOND, 1, after(1))
        book.tick(SECOND, tick("1501"), after(2))
        assert [price.key for price in book.sweep(after(5)) if price.stale] == [SBIN]

    def test_a_polled_price_stands_until_the_next_is_overdue(self) -> None:
        book = PriceBook(RULES)
        assert told(book.polled(SECOND, tick("1500"), after(0), after(9))) == ("1500", SECOND, False)
        assert book.has_feed(INFY)
        assert not book.has_feed(INFY, besides_polling=True)
        book.sweep(after(10))
        assert [told(price) for price in book.sweep(after(14))] == [("1500", SECOND, True)]

    def test_a_stream_is_preferred_to_polling(self) -> None:
        book = PriceBook(RULES)
        book.polled(FIRST, tick("1500"), after(0), after(9))
        book.feed_live(SECOND, SECOND, 1, after(1))
        assert told(book.tick(SECOND, tick("1501"), after(2)))[1] == SECOND

    def test_what_was_asked_for_says_so_until_a_stream_tells_the_same(self) -> None:
        book = PriceBook(RULES)
        asked = book.polled(FIRST, tick("1500"), after(0), after(9))
        assert asked is not None
        assert asked.asked
        book.feed_live(FIRST, FIRST, 0, after(1))
        streamed = book.tick(FIRST, tick("1500", at=0), after(2))
        assert streamed is not None
        assert not streamed.asked


class TestRefusals:
    def test_what_is_older_than_before_is_late(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500", at=5), after(5))
        assert book.tick(FIRST, tick("1400", at=4), after(6)) is None
        assert book.refused == {Refusal.LATE: 1}

    def test_what_is_the_same_is_not_told_again_until_it_is_worth_it(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500", at=5), after(5))
        assert book.tick(FIRST, tick("1500", at=5), after(5.1)) is None
        assert book.tick(FIRST, tick("1500", at=6), after(6)) is None
        assert book.refused == {Refusal.SAME: 2}
        assert book.tick(FIRST, tick("1500", at=10), after(10)).as_of == after(10)  # type: ignore[union-attr]

    @pytest.mark.parametrize("price", ["0", "-1"])
    def test_no_price_is_none(self, book: PriceBook, price: str) -> None:
        assert book.tick(FIRST, tick(price), after(0)) is None
        assert book.refused == {Refusal.NO_PRICE: 1}

    @pytest.mark.parametrize("absurd", ["15", "899", "2101", "150000"])
    def test_an_absurd_jump_is_refused(self, book: PriceBook, absurd: str) -> None:
        book.tick(SECOND, tick("1500", close="1500"), after(0))
        assert book.tick(FIRST, tick(absurd, close="1500"), after(20)) is None
        assert book.tick(SECOND, tick(absurd, close="1500"), after(21)) is not None  # they agree: it is true
        assert book.refused == {Refusal.JUMP: 1}

    def test_without_another_feed_its_own_last_price_says_what_is_absurd(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500", close="1490"), after(0))
        assert book.tick(FIRST, tick("15"), after(1)) is None
        assert told(book.price(INFY))[0] == "1500"

    def test_a_jump_that_stays_is_believed(self, book: PriceBook) -> None:
        """An option's price may well double."""
        book.tick(FIRST, tick("10", close="10"), after(0))
        prices = [book.tick(FIRST, tick(f"20.{second:02}"), after(1 + second)) for second in range(11)]
        assert [price is not None for price in prices] == [False] * 10 + [True]

    def test_steps_far_from_the_close_are_no_jump(self, book: PriceBook) -> None:
        for price in ("10", "13", "17", "23", "31"):
            assert book.tick(FIRST, tick(price, close="10"), after(0)) is not None

    def test_memory_is_bounded(self) -> None:
        book = PriceBook(Rules(instruments=2, feeds=2))
        for feed in range(5):
            book.feed_live(feed, FIRST, 0, START)
            for token in range(5):
                book.tick(feed, tick(f"{100 + feed}", key=(Exchange.NSE, str(token))), after(1))
        assert len(book) == 2
        assert book.refused[Refusal.NO_ROOM] == 15
        assert book.refused[Refusal.CROWDED] == 6

    def test_what_is_not_wanted_is_forgotten(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.tick(FIRST, tick("600", key=SBIN), after(0))
        book.feed_gone(FIRST, after(1))
        assert {price.key for price in book.sweep(after(10))} == {INFY, SBIN}
        book.keep({SBIN}, after(11))
        assert len(book) == 1

    def test_what_is_not_wanted_any_more_is_told_stale_first(self, book: PriceBook) -> None:
        """It may be so because its last broker has gone; by a feed that lives, or by quotes that were asked for."""
        book.tick(FIRST, tick("1500"), after(0))
        book.polled("groww", tick("600", key=SBIN), after(0), after(600))
        book.keep(set(), after(1))
        assert book.sweep(after(2)) == []
        assert {(price.key, price.stale) for price in book.sweep(after(6))} == {(INFY, True), (SBIN, True)}
        book.keep(set(), after(7))
        assert len(book) == 0

    def test_a_quote_is_not_renewed_by_those_of_other_instruments(self, book: PriceBook) -> None:
        """The broker goes on answering, for one of the two alone."""
        book.polled("groww", tick("1500"), after(0), after(10))
        for second in range(0, 30, 5):
            book.polled("groww", tick("600", key=SBIN), after(second), after(second + 10))
        changed = [price for second in (11, 16) for price in book.sweep(after(second))]
        assert [(price.key, price.stale) for price in changed] == [(INFY, True)]
        known = book.price(SBIN)
        assert known is not None
        assert not known.stale

    def test_what_is_wanted_again_meanwhile_goes_on(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.keep(set(), after(1))
        book.keep({INFY}, after(2))
        told = book.tick(FIRST, tick("1501"), after(3))
        assert told is not None
        assert not told.stale
        assert book.sweep(after(10)) == []

    def test_in_a_closed_market_it_is_forgotten_without_a_word(self, book: PriceBook) -> None:
        book.tick(FIRST, tick("1500"), after(0))
        book.keep(set(), after(1))
        assert book.sweep(after(10), lambda exchange: False) == []
        book.keep(set(), after(100))
        assert len(book) == 0


FEEDS = st.sampled_from([FIRST, SECOND])
STEPS = st.lists(
    st.tuples(st.just("tick"), FEEDS, st.integers(90, 110))
    | st.tuples(st.just("gone"), FEEDS, st.just(0))
    | st.tuples(st.just("live"), FEEDS, st.just(0))
    | st.tuples(st.just("sweep"), FEEDS, st.just(0)),
    max_size=40,
)


@given(steps=STEPS)
def test_a_price_is_fresh_exactly_as_long_as_a_feed_stands_for_it(steps: list[tuple[str, str, int]]) -> None:
    """Whatever happens, each step ten seconds after the one before."""
    book, live = PriceBook(RULES), set[str]()
    told_since: set[str] = set()
    for number, (what, feed, price) in enumerate([*steps, ("sweep", FIRST, 0), ("sweep", FIRST, 0)]):
        now = after(10 * number)
        if what == "live" and feed not in live:
            live.add(feed)
            book.feed_live(feed, feed, [FIRST, SECOND].index(feed), now)
        elif what == "gone":
            live.discard(feed)
            told_since.discard(feed)
            book.feed_gone(feed, now)
        elif what == "tick":
            book.tick(feed, tick(str(price)), now)
            if feed in live:
                told_since.add(feed)
        else:
            book.sweep(now)
    known = book.price(INFY)
    assert book.has_feed(INFY) == bool(told_since)
    if known is not None:
        assert known.stale == (not told_since)
        assert not told_since or known.source in told_since
