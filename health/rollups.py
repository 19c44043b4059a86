"""Raw checks into hours, and away with what has been kept long enough. Both may be run twice, or by two at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from health.latency import BOUNDS
from health.models import BrokerHealthLog, BrokerRollup, HealthCursor, HealthRollup

HOUR = timedelta(hours=1)
# A check is written some seconds after its time; an hour is over once nobody can still be writing.
GRACE = timedelta(minutes=2)
HOURS_AT_A_TIME = 48
PRUNED_AT_A_TIME = 5000
# In an hour more than many thousands of connections write in one, or the table would grow for ever.
PRUNES_AT_A_TIME = 1000

# One row per owner, hour, check type, error code and bucket of successes; the owner is a connection or a broker.
COUNTED = """
    SELECT {owner} AS owner, date_trunc('hour', log.checked_at, 'UTC') AS hour, log.check_type, log.error_code,
           count(*) AS checks,
           CASE WHEN log.error_code = '' AND log.response_time_ms IS NOT NULL
                THEN width_bucket(log.response_time_ms::float8, %(bounds)s::float8[]) END AS bucket
    FROM broker_health_logs log JOIN broker_connections account ON account.id = log.broker_connection_id
    WHERE log.checked_at >= %(since)s AND log.checked_at < %(until)s {only}
    GROUP BY owner, hour, log.check_type, log.error_code, bucket
"""
ROLL_UP = """
    WITH counted AS ({counted})
    INSERT INTO {table} ({owner_column}, check_type, hour, checks, failures, errors, latencies)
    SELECT owner, check_type, hour, sum(checks), coalesce(sum(checks) FILTER (WHERE error_code <> ''), 0),
           coalesce(jsonb_object_agg(error_code, checks) FILTER (WHERE error_code <> ''), '{{}}'),
           coalesce(jsonb_object_agg(bucket::text, checks) FILTER (WHERE bucket IS NOT NULL), '{{}}')
    FROM counted GROUP BY owner, check_type, hour
    ON CONFLICT ({owner_column}, hour, check_type) DO UPDATE
    SET checks = excluded.checks, failures = excluded.failures, errors = excluded.errors,
        latencies = excluded.latencies
"""
BY_CONNECTION = "log.broker_connection_id"
BY_BROKER = "account.broker_type"


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def roll_up(now: datetime) -> int:
    """Roll up every hour that is over and was not yet, at most two days of them. Returns how many."""
    done = 0
    while done < HOURS_AT_A_TIME and _roll_up_next(now):
        done += 1
    return done


def rolled_up_until() -> datetime | None:
    """Up to which hour the rollups tell everything; None while there are none."""
    return HealthCursor.objects.filter(name=HealthCursor.ROLLED_UP).values_list("at", flat=True).first()


@transaction.atomic
def _roll_up_next(now: datetime) -> bool:
    cursor = _locked(HealthCursor.ROLLED_UP)
    hour = cursor.at or _first_hour()
    if hour is None or hour + HOUR + GRACE > now:
        return False
    roll_up_hour(hour)
    cursor.at = hour + HOUR
    cursor.save()
    return True


@transaction.atomic
def roll_up_hour(hour: datetime) -> None:
    """Count one hour from its raw checks; again gives the same. An hour whose raw checks may be gone is left alone."""
    pruned = HealthCursor.objects.filter(name=HealthCursor.PRUNED, at__gt=hour)
    if pruned.exists():
        return
    for model, owner, column in (
        (HealthRollup, BY_CONNECTION, "broker_connection_id"),
        (BrokerRollup, BY_BROKER, "broker_type"),
    ):
        statement = ROLL_UP.format(
            counted=COUNTED.format(owner=owner, only=""), table=model._meta.db_table, owner_column=column
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, {"bounds": list(BOUNDS), "since": hour, "until": hour + HOUR})


def raw_counts(owner: str, *, since: datetime, until: datetime, only: str = "", **parameters: Any) -> list[Any]:
    """(owner, hour, check type, error code, checks, bucket) of raw checks; `owner` and `only` are SQL of this room."""
    with connection.cursor() as cursor:
        cursor.execute(
            COUNTED.format(owner=owner, only=only),
            {"bounds": list(BOUNDS), "since": since, "until": until, **parameters},
        )
        return list(cursor.fetchall())


def prune(now: datetime) -> int:
    """Delete raw checks older than HEALTH_RAW_DAYS, in batches, of hours that are rolled up. Returns how many."""
    rolled_up = rolled_up_until()
    if rolled_up is None:
        return 0
    until = min(hour_of(now - timedelta(days=settings.HEALTH_RAW_DAYS)), rolled_up)
    with transaction.atomic():
        cursor = _locked(HealthCursor.PRUNED)
        if cursor.at is None or cursor.at < until:  # said before it is done: from now on nobody counts these hours anew
            cursor.at = until
            cursor.save()
    deleted = 0
    for _ in range(PRUNES_AT_A_TIME):
        old = BrokerHealthLog.objects.filter(checked_at__lt=until).order_by("checked_at").values("pk")
        some, _ = BrokerHealthLog.objects.filter(pk__in=old[:PRUNED_AT_A_TIME]).delete()
        deleted += some
        if some < PRUNED_AT_A_TIME:
            break
    return deleted


def _first_hour() -> datetime | None:
    first = BrokerHealthLog.objects.order_by("checked_at").values_list("checked_at", flat=True).first()
    return None if first is None else hour_of(first)


def _locked(name: str) -> HealthCursor:
    """The cursor, kept from others until the end of the transaction."""
    HealthCursor.objects.bulk_create([HealthCursor(name=name)], ignore_conflicts=True)
    return HealthCursor.objects.select_for_update().get(pk=name)
