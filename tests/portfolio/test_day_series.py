"""One point a minute of a trading day, gaps shown as gaps."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from brokers.wire import IST
from portfolio.day_series import DaySeries, Point

OPENS = datetime(2026, 11, 23, 9, 15, tzinfo=IST)
CLOSES = datetime(2026, 11, 23, 15, 30, tzinfo=IST)


def at(minutes: int, seconds: int = 0) -> datetime:
    return OPENS + timedelta(minutes=minutes, seconds=seconds)


def values(series: DaySeries, now: datetime) -> list[Decimal | None]:
    return [point.value for point in series.points(now)]


def test_a_minute_keeps_its_last_word_and_a_silent_one_is_a_gap() -> None:
    series = DaySeries(OPENS, CLOSES)
    for now, value in ((at(0, 1), "100"), (at(0, 59), "101"), (at(2), "102.5"), (at(5, 30), "99")):
        assert series.note(now, Decimal(value))
    assert series.points(at(6, 10)) == [
        Point(at(0), Decimal(101)),
        Point(at(1), None),
        Point(at(2), Decimal("102.5")),
        Point(at(3), None),
        Point(at(4), None),
        Point(at(5), Decimal(99)),
        Point(at(6), None),
    ]


def test_a_value_that_became_unknown_is_a_gap() -> None:
    series = DaySeries(OPENS, CLOSES)
    series.note(at(0), Decimal(100))
    series.note(at(0, 30), None)
    assert values(series, at(0, 40)) == [None]


def test_nothing_is_kept_outside_the_trading_day() -> None:
    series = DaySeries(OPENS, CLOSES)
    assert not series.note(OPENS - timedelta(seconds=1), Decimal(1))
    assert not series.note(CLOSES, Decimal(1))
    assert series.points(OPENS - timedelta(hours=1)) == []


def test_it_never_grows_beyond_its_day() -> None:
    series = DaySeries(OPENS, CLOSES)
    for minute in range(375 * 3):
        series.note(at(minute), Decimal(minute))
    for now in (CLOSES, CLOSES + timedelta(days=3)):
        assert values(series, now) == [Decimal(minute) for minute in range(375)]


def test_a_word_that_comes_late_goes_into_its_own_minute() -> None:
    series = DaySeries(OPENS, CLOSES)
    series.note(at(3), Decimal(3))
    series.note(at(1), Decimal(1))
    assert values(series, at(3)) == [None, Decimal(1), None, Decimal(3)]


@pytest.mark.parametrize("closes", [OPENS, OPENS - timedelta(hours=1), OPENS + timedelta(hours=25)])
def test_a_day_that_is_none_is_refused(closes: datetime) -> None:
    with pytest.raises(ValueError, match="within a day"):
        DaySeries(OPENS, closes)
