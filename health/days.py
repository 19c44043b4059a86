"""A month of days of one broker: how many checks failed, how fast it answered, and that as a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.wire import IST
from health import tallies
from health.figures import Tally

WIDTH, HEIGHT = 600, 96
# Room above the highest point, and below the lowest.
MARGIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day in India; what was not measured is None. Response times are of checks that succeeded."""

    on: date
    uptime_pct: Decimal | None
    checks: int
    failures: int
    p50_ms: int | None
    p95_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of the picture, in pieces: days without a measurement are gaps. A piece of one day is a dot."""

    name: str
    lines: tuple[str, ...]
    dots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    curves: tuple[Curve, ...]
    highest_ms: int
    width: int = WIDTH
    height: int = HEIGHT


def of(broker_type: str, daily: Sequence[Mapping[str, Any]], *, now: datetime) -> list[Day]:
    """The days of `daily` (date and uptime_pct, the oldest first), each with its checks."""
    since = datetime.combine(daily[0]["date"], datetime.min.time(), IST)
    counted: defaultdict[date, Tally] = defaultdict(Tally)
    # An hour of UTC spans two days in India at most by half: it belongs to the one in which it ends.
    for hour, tally in tallies.by_hour(broker_type, since=since, until=now).items():
        counted[(hour + timedelta(minutes=30)).astimezone(IST).date()].add(tally)
    return [_day(each, counted[each["date"]]) for each in daily]


def _day(each: Mapping[str, Any], tally: Tally) -> Day:
    return Day(
        on=each["date"],
        uptime_pct=each["uptime_pct"],
        checks=tally.checks,
        failures=tally.failures,
        p50_ms=tally.percentile(0.5),
        p95_ms=tally.percentile(0.95),
    )


def chart(days: Sequence[Day]) -> Chart | None:
    """The response times as lines; None where there are none."""
    highest = max((day.p95_ms for day in days if day.p95_ms is not None), default=0)
    if not highest:
        return None
    halves, slowest = [day.p50_ms for day in days], [day.p95_ms for day in days]
    return Chart(curves=(_curve("p95", slowest, highest), _curve("p50", halves, highest)), highest_ms=highest)


def _curve(name: str, times: Sequence[int | None], highest: int) -> Curve:
    step = WIDTH / len(times)
    pieces: list[list[tuple[int, int]]] = [[]]
    for place, time in enumerate(times):
        if time is None:
            pieces.append([])
            continue
        height = round(time / highest * (HEIGHT - 2 * MARGIN))
        pieces[-1].append((round((place + 0.5) * step), HEIGHT - MARGIN - height))
    return Curve(
        name=name,
        lines=tuple(" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1),
        dots=tuple(piece[0] for piece in pieces if len(piece) == 1),
    )
