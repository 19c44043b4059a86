"""What is believed of daily prices, and which days are over."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.domain import Exchange
from market.candle_checks import Step, is_adjusted_anew, is_same, is_sane, suspected_splits
from market.whole_days import chunks, last_trading_day, last_whole_day, next_evening, number_of_calls
from tests.market.candle_teller import candle

FIRST = date(2026, 11, 23)


def at(written: str) -> datetime:
    return datetime.fromisoformat(f"{written}+05:30")


def steps(*prices: tuple[str, str]) -> list[Step]:
    """Opening and closing price of days in a row."""
    return [Step(FIRST.replace(day=1 + n), Decimal(o), Decimal(c)) for n, (o, c) in enumerate(prices)]


class TestSplits:
    @pytest.mark.parametrize(
        ("before", "opened", "closed"),
        [
            ("1000", "500", "505"),  # 1:1 bonus
            ("1000", "99", "101"),  # a split by ten
            ("1000", "597", "599"),  # just beyond 40%
            ("100", "205", "200"),  # shares put together
            ("900", "601", "612"),  # 1:2 bonus, and a rise of two percent
            ("900", "676", "660"),  # 1:3 bonus
        ],
    )
    def test_a_step_that_is_no_return(self, before: str, opened: str, closed: str) -> None:
        assert suspected_splits(steps((before, before), (opened, closed))) == {date(2026, 11, 2)}

    @pytest.mark.parametrize(
        ("before", "opened", "closed"),
        [
            ("1000", "990", "600"),  # exactly 40%
            ("1000", "1000", "1400"),
            ("900.6", "810.5", "655.8"),  # a bank's bad day: the open tells that nothing was adjusted
            ("900", "880", "600"),  # a third, but not at the open
            ("900", "600", "880"),  # a bad start, made good
            ("100", "80", "80"),  # a lower circuit of 20%
        ],
    )
    def test_a_bad_day_is_a_return(self, before: str, opened: str, closed: str) -> None:
        assert suspected_splits(steps((before, before), (opened, closed))) == set()

    def test_the_first_day_has_no_step(self) -> None:
        assert suspected_splits(steps(("100", "100"))) == set()
        assert suspected_splits([]) == set()


class TestCloses:
    @pytest.mark.parametrize(
        ("one", "other", "tick", "same"),
        [
            ("100.00", "100.10", "0.05", True),
            ("100.00", "100.15", "0.05", False),
            ("2000.00", "2000.95", "0.10", True),
            ("2000.00", "2002.00", "0.10", False),
            ("9.86", "9.88", "0.01", True),
            ("9.86", "9.89", "0.01", False),
            ("100.00", "100.10", None, True),
        ],
    )
    def test_they_are_the_same_up_to_two_ticks(self, one: str, other: str, tick: str | None, same: bool) -> None:
        step = None if tick is None else Decimal(tick)
        assert is_same(Decimal(one), Decimal(other), step) is same
        assert is_same(Decimal(other), Decimal(one), step) is same

    @pytest.mark.parametrize(
        ("told", "same_source", "anew"),
        [
            (("50", "50", "50"), True, True),
            (("50", "50", "50"), False, True),
            (("99", "99", "99"), True, True),  # a dividend, taken off the past by the same broker
            (("99", "99", "99"), False, False),  # brokers that close by different rules
            (("50", "50", "100"), True, True),  # from the ex-day on they agree
            (("99.9", "100", "100"), True, True),  # the ex-day is about to leave the overlap
            (("99.96", "99.96", "99.96"), True, False),  # rounded otherwise
            (("100", "50", "100"), True, False),  # an odd day
            (("100", "100", "50"), True, False),
            (("50", "50"), True, True),
            (("50", "50"), False, False),  # too few to tell
            (("50", "50", "100"), False, False),
            (("50", "50", "50", "100"), False, True),
            (("100", "50", "50", "50"), False, False),
            ((), True, False),
        ],
    )
    def test_a_series_is_adjusted_anew_where_the_oldest_days_differ(
        self, told: tuple[str, ...], same_source: bool, anew: bool
    ) -> None:
        held = {FIRST.replace(day=day): Decimal(100) for day in (1, 2, 3, 4)}
        closes = {FIRST.replace(day=1 + n): Decimal(close) for n, close in enumerate(told)}
        assert is_adjusted_anew(held, closes, Decimal("0.05"), same_source=same_source) is anew

    def test_a_bonus_that_is_adjusted_a_day_after_its_ex_day(self) -> None:
        held = {FIRST.replace(day=day): Decimal(100 if day < 10 else 80) for day in range(1, 11)}
        told = dict.fromkeys(held, Decimal(80))
        for same_source in (True, False):
            assert is_adjusted_anew(held, told, Decimal("0.05"), same_source=same_source)

    def test_a_dividend_of_two_ticks_is_much_of_a_small_price(self) -> None:
        held = {FIRST.replace(day=day): Decimal("5.00") for day in (1, 2, 3)}
        told = {day: Decimal("4.90") for day in held}
        assert is_adjusted_anew(held, told, Decimal("0.05"), same_source=True)

    def test_an_impossible_day_is_not_believed(self) -> None:
        good = candle(FIRST, "100", opened="99")
        assert is_sane(good)
        for changed in ({"high_price": Decimal(99)}, {"low_price": Decimal(0)}, {"low_price": Decimal("99.5")}):
            assert not is_sane(type(good)(**{name: getattr(good, name) for name in good.__slots__} | changed))


class TestDays:
    @pytest.mark.parametrize(
        ("exchange", "now", "day"),
        [
            (Exchange.NSE, at("2026-11-26T17:59"), date(2026, 11, 25)),
            (Exchange.NSE, at("2026-11-26T18:00"), date(2026, 11, 26)),
            (Exchange.BFO, at("2026-11-27T09:00"), date(2026, 11, 26)),
            (Exchange.MCX, at("2026-11-26T23:59"), date(2026, 11, 25)),
            (Exchange.MCX, at("2026-11-27T00:10"), date(2026, 11, 26)),
        ],
    )
    def test_a_day_is_over_well_after_the_close(self, exchange: Exchange, now: datetime, day: date) -> None:
        assert last_whole_day(exchange, now) == day

    @pytest.mark.parametrize(
        ("now", "due"),
        [
            ("2026-11-26T12:00", "2026-11-26T18:00"),
            ("2026-11-26T18:00", "2026-11-27T18:00"),
            ("2026-11-27T18:00", "2026-11-30T18:00"),  # a weekend
            ("2026-11-23T19:00", "2026-11-25T18:00"),  # a holiday
            ("2027-01-01T19:00", "2027-01-04T18:00"),  # a year that nobody knows: weekdays
        ],
    )
    def test_the_next_evening_is_one_of_trading(self, now: str, due: str) -> None:
        assert next_evening(Exchange.NSE, at(now)) == at(due)

    def test_the_last_day_of_trading(self) -> None:
        assert last_trading_day(date(2026, 11, 24)) == date(2026, 11, 23)
        assert last_trading_day(date(2026, 11, 29)) == date(2026, 11, 27)

    def test_a_stretch_is_asked_for_in_pieces_that_meet(self) -> None:
        day = date(2026, 1, 1)
        assert list(chunks(day, day, 100)) == [(day, day)]
        assert list(chunks(day, date(2026, 1, 7), 3)) == [
            (day, date(2026, 1, 3)),
            (date(2026, 1, 4), date(2026, 1, 6)),
            (date(2026, 1, 7), date(2026, 1, 7)),
        ]
        assert list(chunks(date(2026, 1, 2), day, 3)) == []

    @pytest.mark.parametrize("length", range(-1, 12))
    def test_and_is_counted_in_them(self, length: int) -> None:
        day = date(2026, 1, 1)
        last = day + timedelta(days=length)
        for days in (1, 3, 7, 400):
            assert number_of_calls(day, last, days) == len(list(chunks(day, last, days)))
