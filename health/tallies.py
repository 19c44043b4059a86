"""Checks counted over any span, from the rollups and from the raw checks of the hours that are not rolled up yet."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from health import rollups
from health.figures import Tally
from health.models import BrokerRollup, CheckType, HealthRollup

# By connection or broker, then by kind of check and hour.
Hours = Mapping[Any, Mapping[tuple[CheckType, datetime], Tally]]


def of_brokers(*, since: datetime, until: datetime) -> Hours:
    """By slug. The hour in which the span begins is in it as a whole."""
    rows = BrokerRollup.objects.filter(hour__gte=rollups.hour_of(since), hour__lt=until)
    return _merged("broker_type", rows, rollups.BY_BROKER, since=since, until=until)


def of_connections(keys: Sequence[UUID], *, since: datetime, until: datetime) -> Hours:
    """By connection."""
    rows = HealthRollup.objects.filter(broker_connection__in=keys, hour__gte=rollups.hour_of(since), hour__lt=until)
    only = "AND log.broker_connection_id = ANY(%(keys)s)"
    return _merged(
        "broker_connection_id", rows, rollups.BY_CONNECTION, since=since, until=until, only=only, keys=list(keys)
    )


def summed(hours: Mapping[tuple[CheckType, datetime], Tally], since: datetime, kind: CheckType | None = None) -> Tally:
    """All hours since then as one; of one kind of check, or of all."""
    result = Tally()
    first = rollups.hour_of(since)
    for (check_type, hour), tally in hours.items():
        if hour >= first and kind in (None, check_type):
            result.add(tally)
    return result


def _merged(column: str, rows: Any, owner: str, *, since: datetime, until: datetime, **only: Any) -> Hours:
    rolled_up = rollups.rolled_up_until()
    found: dict[Any, dict[tuple[CheckType, datetime], Tally]] = defaultdict(dict)
    names = (column, "check_type", "hour", "checks", "failures", "errors", "latencies")
    for key, check_type, hour, checks, failures, errors, latencies in rows.order_by().values_list(*names):
        buckets = Counter({int(bucket): count for bucket, count in latencies.items()})
        found[key][CheckType(check_type), hour] = Tally(checks, failures, Counter(errors), buckets, {hour})
    begin = rollups.hour_of(since)
    raw_since = begin if rolled_up is None else max(rolled_up, begin)
    for key, hour, check_type, code, checks, bucket in rollups.raw_counts(owner, since=raw_since, until=until, **only):
        tally = found[key].setdefault((CheckType(check_type), hour), Tally(hours={hour}))
        tally.checks += checks
        if code:
            tally.failures += checks
            tally.errors[code] += checks
        elif bucket is not None:
            tally.latencies[bucket] += checks
    return found
