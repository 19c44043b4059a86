"""Uptime, response times and kinds of failure, from hours of checks and from incidents. Pure.

    uptime = 1 - |down ∩ monitored| / |monitored|,  monitored = (hours with checks ∪ incidents) - planned

An incident is time in which we know how it was, checks or not: while a circuit is open nobody asks. Time that was
neither checked nor in an incident is not judged, and planned maintenance counts neither for nor against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from health.latency import percentile

Span = tuple[datetime, datetime]
HOUR = timedelta(hours=1)
THOUSANDTH = Decimal("0.001")


# --- time -------------------------------------------------------------------------------------------------------------
def united(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that neither overlap nor touch, the earliest first."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def common(some: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """The time that is in both."""
    second = united(others)
    return united((max(a, c), min(b, d)) for a, b in united(some) for c, d in second if max(a, c) < min(b, d))


def without(some: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """The time that is in the first and not in the second."""
    left = united(some)
    for start, end in united(taken):
        left = [piece for a, b in left for piece in ((a, min(b, start)), (max(a, end), b)) if piece[0] < piece[1]]
    return left


def total(spans: Iterable[Span]) -> timedelta:
    return sum((end - start for start, end in united(spans)), timedelta())


def uptime_pct(
    *, hours: Iterable[datetime], down: Sequence[Span], planned: Sequence[Span], within: Span
) -> Decimal | None:
    """Percent of the monitored time that was not down, to three places, never rounded up to 100; None of no time.

    `hours` are the starts of those in which there were checks.
    """
    checked = [(hour, hour + HOUR) for hour in hours if within[0] - HOUR < hour < within[1]]
    monitored = without(common([*checked, *down], [within]), planned)
    time = total(monitored)
    if not time:
        return None
    share = Decimal(1) - _seconds(total(common(down, monitored))) / _seconds(time)
    return (share * 100).quantize(THOUSANDTH, ROUND_DOWN)


def longest(spans: Iterable[Span], *, planned: Sequence[Span], within: Span) -> timedelta | None:
    """The longest outage; None where there was none. What overlaps is one."""
    pieces = common(without(spans, planned), [within])
    return max((end - start for start, end in pieces), default=None)


def _seconds(time: timedelta) -> Decimal:
    return Decimal(time // timedelta(microseconds=1)) / 1_000_000


# --- checks -----------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Tally:
    """Checks counted together; `latencies` are successes by bucket."""

    checks: int = 0
    failures: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)

    def count(self, what: str, name: str | int, number: int) -> None:
        """Add so many; `what` is one of its fields, `name` the error code or the bucket where there is one."""
        match what:
            case "checks":
                self.checks += number
            case "failures":
                self.failures += number
            case "errors":
                self.errors[str(name)] += number
            case "latencies":
                self.latencies[int(name)] += number
            case _:
                raise ValueError(what)

    def add(self, other: Tally) -> None:
        self.checks += other.checks
        self.failures += other.failures
        self.errors.update(other.errors)
        self.latencies.update(other.latencies)

    def percentile(self, share: float) -> int | None:
        return percentile(self.latencies, share)
