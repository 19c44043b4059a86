"""Checks counted over any span, from the rollups and from the raw checks of the hours that are not rolled up yet.

A span is taken in whole hours: the one in which it begins is in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from health import rollups
from health.figures import Tally
from health.models import BrokerRollup, CheckType, HealthRollup

# By broker or connection, then by kind of check.
Tallies = Mapping[Any, Mapping[CheckType, Tally]]
Hours = Mapping[Any, set[datetime]]

# What, of which owner and kind of check, under which error code or bucket, how often.
SUMMED = """
    WITH hours AS (SELECT * FROM {table} WHERE hour >= %(since)s AND hour < %(until)s {only})
    SELECT {owner}, check_type, 'checks', '', sum(checks) FROM hours GROUP BY 1, 2
    UNION ALL
    SELECT {owner}, check_type, 'failures', '', sum(failures) FROM hours GROUP BY 1, 2
    UNION ALL
    SELECT {owner}, check_type, 'errors', key, sum(value::bigint)
    FROM hours, jsonb_each_text(errors) GROUP BY 1, 2, 4
    UNION ALL
    SELECT {owner}, check_type, 'latencies', key, sum(value::bigint)
    FROM hours, jsonb_each_text(latencies) GROUP BY 1, 2, 4
"""


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose checks: the rollups, their column, and what the raw checks call it; `keys` None means all."""

    rollups: QuerySet[Any]
    column: str
    raw: str
    keys: list[UUID] | None = None

    def only(self, column: str) -> str:
        return "" if self.keys is None else f"AND {column} = ANY(%(keys)s)"


def brokers() -> Owners:
    """All brokers, by slug."""
    return Owners(BrokerRollup.objects.all(), "broker_type", rollups.BY_BROKER)


def connections(keys: Iterable[UUID]) -> Owners:
    """These connections, by id."""
    some = list(keys)
    rows = HealthRollup.objects.filter(broker_connection__in=some)
    return Owners(rows, "broker_connection_id", rollups.BY_CONNECTION, some)


def counted(owners: Owners, *, since: datetime, until: datetime) -> Tallies:
    """The checks of the span."""
    found: dict[Any, dict[CheckType, Tally]] = defaultdict(lambda: defaultdict(Tally))
    statement = SUMMED.format(
        table=owners.rollups.model._meta.db_table, owner=owners.column, only=owners.only(owners.column)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"since": rollups.hour_of(since), "until": until, "keys": owners.keys})
        for key, check_type, what, name, count in cursor.fetchall():
            found[key][CheckType(check_type)].count(what, name, int(count))
    for key, _, check_type, code, checks, bucket in _raw(owners, since, until):
        tally = found[key][CheckType(check_type)]
        tally.count("checks", "", checks)
        if code:
            tally.count("failures", "", checks)
            tally.count("errors", code, checks)
        elif bucket is not None:
            tally.count("latencies", bucket, checks)
    return found


def hours(owners: Owners, *, since: datetime, until: datetime) -> Hours:
    """The hours of the span in which there were checks."""
    found: dict[Any, set[datetime]] = defaultdict(set)
    rows = owners.rollups.filter(hour__gte=rollups.hour_of(since), hour__lt=until)
    for key, hour in rows.order_by().values_list(owners.column, "hour").distinct():
        found[key].add(hour)
    for key, hour, *_ in _raw(owners, since, until):
        found[key].add(hour)
    return found


def summed(tallies: Mapping[CheckType, Tally]) -> Tally:
    """All kinds of checks as one."""
    result = Tally()
    for tally in tallies.values():
        result.add(tally)
    return result


def _raw(owners: Owners, since: datetime, until: datetime) -> list[Any]:
    rolled_up, begin = rollups.rolled_up_until(), rollups.hour_of(since)
    raw_since = begin if rolled_up is None else max(rolled_up, begin)
    only = owners.only(owners.raw)
    return rollups.raw_counts(owners.raw, since=raw_since, until=until, only=only, keys=owners.keys)


def by_hour(broker_type: str, *, since: datetime, until: datetime) -> Mapping[datetime, Tally]:
    """All checks of one broker, each hour's apart."""
    found: dict[datetime, Tally] = defaultdict(Tally)
    rows = BrokerRollup.objects.filter(broker_type=broker_type, hour__gte=rollups.hour_of(since), hour__lt=until)
    for hour, checks, failures, latencies in rows.order_by().values_list("hour", "checks", "failures", "latencies"):
        tally = found[hour]
        tally.count("checks", "", checks)
        tally.count("failures", "", failures)
        for bucket, count in latencies.items():
            tally.count("latencies", bucket, int(count))
    for key, hour, _, code, checks, bucket in _raw(brokers(), since, until):
        if key != broker_type:
            continue
        tally = found[hour]
        tally.count("checks", "", checks)
        if code:
            tally.count("failures", "", checks)
        elif bucket is not None:
            tally.count("latencies", bucket, checks)
    return found
