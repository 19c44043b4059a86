"""Uptime by hand: what was monitored, what was down, and what does not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.figures import Span, common, longest, total, united, uptime_pct, without

MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)
DAY: Span = (MIDNIGHT, MIDNIGHT + timedelta(days=1))


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def span(start: float, end: float) -> Span:
    return at(start), at(end)


ALL_DAY = [at(hour) for hour in range(24)]


@pytest.mark.parametrize(
    ("hours", "down", "planned", "expected"),
    [
        # checked all day, never down
        (ALL_DAY, [], [], "100"),
        # down for 72 of 1440 minutes
        (ALL_DAY, [span(10, 11.2)], [], "95"),
        # two that overlap are down once: 10:00 to 12:00 of 24 hours
        (ALL_DAY, [span(10, 11.5), span(11, 12)], [], "91.666"),
        # checked for ten hours only: one of ten
        (ALL_DAY[:10], [span(3, 4)], [], "90"),
        # nobody asked during the outage, and it counts all the same: two of twelve
        (ALL_DAY[:10], [span(10, 12)], [], "83.333"),
        # announced: neither for nor against. Six of 24 hours are planned, down from 5 to 7: one of eighteen
        (ALL_DAY, [span(5, 7)], [span(0, 6)], "94.444"),
        # down only while it was planned to be
        (ALL_DAY, [span(1, 5)], [span(0, 6)], "100"),
        # it began the day before and goes on the day after
        (ALL_DAY, [span(-5, 6), span(18, 30)], [], "50"),
        # a single second of a day is not rounded away
        (ALL_DAY, [(at(1), at(1) + timedelta(seconds=1))], [], "99.998"),
        (ALL_DAY, [DAY], [], "0"),
    ],
)
def test_uptime_by_hand(hours: list[datetime], down: list[Span], planned: list[Span], expected: str) -> None:
    found = uptime_pct(hours=hours, down=down, planned=planned, within=DAY)
    assert found == Decimal(expected).quantize(Decimal("0.001"))


@pytest.mark.parametrize(
    ("hours", "down", "planned"),
    [([], [], []), ([at(-3)], [span(-5, -1)], []), ([at(1)], [], [span(0, 6)])],
)
def test_what_was_not_monitored_has_no_uptime(hours: list[datetime], down: list[Span], planned: list[Span]) -> None:
    assert uptime_pct(hours=hours, down=down, planned=planned, within=DAY) is None


def test_the_longest_outage() -> None:
    assert longest([], planned=[], within=DAY) is None
    assert longest([span(1, 2), span(5, 5.5)], planned=[], within=DAY) == timedelta(hours=1)
    assert longest([span(1, 2), span(1.5, 3)], planned=[], within=DAY) == timedelta(hours=2)  # one outage
    assert longest([span(-4, 2)], planned=[], within=DAY) == timedelta(hours=2)
    assert longest([span(1, 5)], planned=[span(2, 4.5)], within=DAY) == timedelta(hours=1)


quarters = st.integers(0, 96)
some_spans = st.lists(st.tuples(quarters, quarters).map(lambda pair: span(min(pair) / 4, max(pair) / 4)), max_size=8)


def moments(spans: list[Span]) -> set[int]:
    """The quarters of an hour in them."""
    return {number for number in range(96) for start, end in spans if start <= at(number / 4) < end}


@settings(derandomize=True, max_examples=200)
@given(some_spans, some_spans)
def test_spans_are_sets_of_time(some: list[Span], others: list[Span]) -> None:
    assert moments(united(some)) == moments(some)
    assert moments(common(some, others)) == moments(some) & moments(others)
    assert moments(without(some, others)) == moments(some) - moments(others)
    assert total(some) == timedelta(minutes=15) * len(moments(some))
    for joined in (united(some), common(some, others), without(some, others)):
        assert all(first[1] < second[0] for first, second in pairwise(joined))
