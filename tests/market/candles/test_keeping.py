"""Which word stays where two brokers, or two days, tell other prices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.domain import Candle, Listing
from brokers.errors import BrokerUnavailable
from brokers.transport import Deadline
from market.candle_models import DailyCandle, FillState
from market.candles import MOST_CUT, Batch, want
from market.models import Instrument
from tests.market.candle_teller import (
    BOTH,
    DAY,
    HOUR,
    NOW,
    TODAY,
    TOMORROW,
    YEAR,
    Tellers,
    candle,
    closes_of,
    fill,
    level,
    row_of,
    weekdays,
)


class TestTwoBrokersWords:
    @pytest.fixture
    def filled(self, tellers: Tellers, share: Instrument) -> Instrument:
        tellers.let("zerodha", level("100"))
        want([share.pk], now=NOW)
        fill()
        tellers.let("zerodha", None)
        return share

    def test_the_first_stays_and_the_other_is_remembered(self, tellers: Tellers, filled: Instrument) -> None:
        odd = {TODAY: "101", TODAY - DAY: "100.05"}
        tellers.let(
            "upstox",
            lambda listing, first, last: [candle(day, odd.get(day, "100")) for day in weekdays(first, last)],
        )
        fill(TOMORROW)
        assert closes_of(filled)[TODAY] == Decimal(100)
        [row] = DailyCandle.objects.filter(disputes__gt=0)
        assert (row.day, row.disputes, row.disputed_by, row.disputed_close) == (TODAY, 1, "upstox", Decimal(101))
        assert row.source == "zerodha"
        assert DailyCandle.objects.get(instrument=filled, day=TODAY + DAY).source == "upstox"
        fill(NOW + 4 * DAY)  # the same word again is no other dispute
        assert DailyCandle.objects.get(instrument=filled, day=TODAY).disputes == 1

    def test_brokers_that_close_by_other_rules_leave_the_series_alone(
        self, tellers: Tellers, filled: Instrument
    ) -> None:
        tellers.let("upstox", level("100.50"))
        fill(TOMORROW)
        assert row_of(filled).replaced_at is None
        assert DailyCandle.objects.filter(disputes=1).count() == len(weekdays(TODAY - 10 * DAY, TODAY))

    def test_who_told_it_may_correct_itself(self, tellers: Tellers, filled: Instrument) -> None:
        tellers.let(
            "zerodha",
            lambda listing, first, last: [
                candle(day, "102" if day == TODAY else "100") for day in weekdays(first, last)
            ],
        )
        fill(TOMORROW)
        row = DailyCandle.objects.get(instrument=filled, day=TODAY)
        assert (row.close_price, row.disputes, row.fetched_at) == (Decimal(102), 0, TOMORROW)

    @pytest.mark.parametrize("teller", BOTH)
    def test_a_series_that_was_adjusted_anew_replaces_the_old_one_whole(
        self, tellers: Tellers, filled: Instrument, teller: str
    ) -> None:
        tellers.let(teller, level("50"))
        tellers.calls.clear()
        assert fill(TOMORROW) == Batch(claimed=1, asked=1, filled=0)
        assert set(closes_of(filled).values()) == {Decimal(100)}, "nothing is mixed"
        assert fill(TOMORROW).filled == 1
        assert [first for _, _, first, _ in tellers.calls] == [TODAY - 10 * DAY, YEAR + DAY]
        assert closes_of(filled) == dict.fromkeys(weekdays(YEAR + DAY, TODAY + DAY), Decimal(50))
        row = row_of(filled)
        assert (row.replaced_at, row.source, row.state) == (TOMORROW, teller, FillState.FILLED)
        assert (row.covered_from, row.first_day) == (YEAR + DAY, weekdays(YEAR + DAY, TODAY)[0])
        assert not DailyCandle.objects.filter(suspected_split=True).exists()

    @pytest.mark.parametrize("teller", BOTH)
    @pytest.mark.parametrize("late", [1, 4])
    def test_and_so_does_one_that_is_adjusted_days_after_its_ex_day(
        self, tellers: Tellers, share: Instrument, teller: str, late: int
    ) -> None:
        """A bonus of 1:4, which no step tells: from the ex-day on the closes agree, and all before are another's."""

        def told(adjusted: bool) -> Callable[[Listing, date, date], Sequence[Candle]]:
            before = "80" if adjusted else "100"
            return lambda listing, first, last: [
                candle(day, before if day < TODAY else "80") for day in weekdays(first, last)
            ]

        tellers.let("zerodha", told(adjusted=False))
        want([share.pk], now=NOW)
        fill()
        tellers.let("zerodha", None)
        tellers.let(teller, told(adjusted=True))
        evening = NOW + late * DAY
        assert fill(evening) == Batch(claimed=1, asked=1, filled=0)
        assert fill(evening).filled == 1
        assert set(closes_of(share).values()) == {Decimal(80)}
        assert row_of(share).source == teller

    def test_who_is_too_slow_for_all_of_it_begins_it_anew(
        self, tellers: Tellers, filled: Instrument, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Our time ends again and again within the year: it would be asked for from its beginning for ever."""
        monkeypatch.setattr(Deadline, "remaining", lambda deadline: 5.0 if len(tellers.calls) < 2 else 0.0)
        tellers.let("zerodha", level("50"), days=150)

        def batch() -> None:
            tellers.calls.clear()
            fill(TOMORROW)

        for _ in range(1 + MOST_CUT):
            batch()
            assert set(closes_of(filled).values()) == {Decimal(100)}
        batch()
        assert closes_of(filled) == {}
        for seconds in (10, 20):
            tellers.calls.clear()
            fill(TOMORROW + timedelta(seconds=seconds))
        assert set(closes_of(filled).values()) == {Decimal(50)}
        assert (row_of(filled).state, row_of(filled).attempts) == (FillState.FILLED, 0)

    def test_a_part_of_it_is_never_added_to_the_old_one(self, tellers: Tellers, share: Instrument) -> None:
        """Even one that has no day in common with what is held."""
        tellers.let("zerodha", lambda listing, first, last: level("100")(listing, max(first, TODAY - 90 * DAY), last))
        want([share.pk], now=NOW)
        fill()
        old = closes_of(share)

        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if len(tellers.calls) == 3:
                raise BrokerUnavailable("The broker did not answer.")
            return level("50")(listing, first, last)

        tellers.calls.clear()
        tellers.let("zerodha", tell, days=200)
        fill(TOMORROW)
        fill(TOMORROW)
        assert [first for _, _, first, _ in tellers.calls] == [TODAY - 10 * DAY, YEAR + DAY, YEAR + 201 * DAY]
        assert closes_of(share) == old

    def test_a_teller_corrects_no_part_of_a_series_that_two_have_told(
        self, tellers: Tellers, filled: Instrument
    ) -> None:
        """A dividend, too small to tell brokers apart by, taken off the past by the one that told the older days."""
        tellers.let("upstox", level("100"))
        fill(TOMORROW)
        tellers.let("upstox", None)
        tellers.let("zerodha", lambda listing, first, last: [
            candle(day, "99" if day <= TODAY else "100") for day in weekdays(first, last)
        ])  # fmt: skip
        fill(NOW + 4 * DAY)
        assert set(closes_of(filled).values()) == {Decimal(100)}
        assert fill(NOW + 4 * DAY).filled == 1
        assert {close for day, close in closes_of(filled).items() if day <= TODAY} == {Decimal(99)}

    def test_who_tells_a_week_at_a_time_begins_it_anew(self, tellers: Tellers, filled: Instrument) -> None:
        """A year is never told in one batch there, and adjustments are never mixed: days are missing for a while."""
        tellers.let("zerodha", level("50"), days=7)
        assert fill(TOMORROW) == Batch(claimed=1, asked=1, filled=0)
        row = row_of(filled)
        assert (row.state, row.day_count, row.covered_until, row.next_due_at) == (FillState.WAITING, 0, None, TOMORROW)
        assert closes_of(filled) == {}
        assert fill(TOMORROW).filled == 1
        assert closes_of(filled) == dict.fromkeys(weekdays(YEAR + DAY, TODAY + DAY), Decimal(50))

    def test_while_the_whole_of_it_cannot_be_told_the_old_one_stays(self, tellers: Tellers, filled: Instrument) -> None:
        def tell(listing: Listing, first: date, last: date) -> Sequence[Candle]:
            if len(tellers.calls) in (2, 3):
                raise BrokerUnavailable("The broker did not answer.")
            return level("50")(listing, first, last)

        tellers.calls.clear()
        tellers.let("zerodha", tell)
        fill(TOMORROW)
        fill(TOMORROW)
        fill(TOMORROW + HOUR)
        assert set(closes_of(filled).values()) == {Decimal(100)}
        assert row_of(filled).attempts == 2
        assert fill(TOMORROW + 2 * HOUR).filled == 1
        assert set(closes_of(filled).values()) == {Decimal(50)}


class TestSplits:
    SPLIT = date(2026, 11, 18)

    def split(self, listing: Listing, first: date, last: date) -> Sequence[Candle]:
        return [candle(day, "100" if day < self.SPLIT else "50") for day in weekdays(first, last)]

    def test_the_day_is_marked(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", self.split)
        want([share.pk], now=NOW)
        fill()
        assert list(DailyCandle.objects.filter(suspected_split=True).values_list("day", flat=True)) == [self.SPLIT]

    def test_one_that_comes_by_itself_is_held_against_the_day_before(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let("zerodha", self.split)
        before = datetime.fromisoformat("2026-11-17T18:30+05:30")
        want([share.pk], now=before)
        fill(before)
        assert not DailyCandle.objects.filter(suspected_split=True).exists()
        fill(before + DAY)
        assert list(DailyCandle.objects.filter(suspected_split=True).values_list("day", flat=True)) == [self.SPLIT]

    def test_the_mark_goes_where_the_close_is_corrected(self, tellers: Tellers, share: Instrument) -> None:
        tellers.let(
            "zerodha",
            lambda listing, first, last: [candle(day, "100" if day != TODAY else "1") for day in weekdays(first, last)],
        )
        want([share.pk], now=NOW)
        fill()
        assert DailyCandle.objects.get(suspected_split=True).day == TODAY
        tellers.let("zerodha", level())
        fill(TOMORROW)
        assert not DailyCandle.objects.filter(suspected_split=True).exists()
