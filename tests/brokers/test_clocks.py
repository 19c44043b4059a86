"""How far our clock is from others': the least that must be, by what a reply can say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from brokers import clocks
from brokers.shared import redis

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
AT = NOW.timestamp()


@pytest.fixture(autouse=True)
def _unmeasured() -> Iterator[None]:
    redis().delete(clocks.KEY)
    clocks.forget()
    yield
    redis().delete(clocks.KEY)
    clocks.forget()


@pytest.mark.parametrize(
    ("asked", "answered", "theirs", "skew"),
    [
        (0.0, 0.2, 0.0, "0.0"),
        (0.9, 1.1, 0.0, "0.0"),  # the whole second before
        (1.5, 1.6, 0.0, "0.5"),  # ahead
        (3.25, 3.5, 0.0, "2.25"),
        (0.0, 0.2, 2.0, "-1.8"),  # behind
        (0.0, 5.0, 2.0, "0.0"),  # a slow answer says little
    ],
)
def test_what_must_differ_and_what_may_agree(asked: float, answered: float, theirs: float, skew: str) -> None:
    """A reply's date counts whole seconds, and was written somewhere between the question and its answer."""
    assert clocks.least_skew(asked, answered, theirs, precision=1.0) == Decimal(skew)


def test_a_reply_is_noted_now_and_then() -> None:
    clocks.hear("zerodha", AT + 5, AT + 5, format_datetime(NOW))
    clocks.hear("zerodha", AT + 50, AT + 50, format_datetime(NOW))
    clocks.hear("upstox", AT, AT + 0.1, format_datetime(NOW))
    assert clocks.skews(NOW) == {"zerodha": Decimal(4), "upstox": Decimal(0)}


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_one_without_a_date_says_nothing(date: str | None) -> None:
    clocks.hear("zerodha", AT, AT, date)
    assert clocks.skews(NOW) == {}


def test_an_old_measure_is_none() -> None:
    clocks.hear("zerodha", AT, AT, format_datetime(NOW))
    assert clocks.skews(NOW + timedelta(seconds=600)) != {}
    assert clocks.skews(NOW + timedelta(seconds=602)) == {}


def test_the_database_is_asked(db: None) -> None:
    assert abs(clocks.measure_database()) < 1
    assert set(clocks.skews(datetime.now(UTC))) == {clocks.DATABASE}
