"""What happened to one connection, newest first: logins, changes of status, incidents, and checks folded together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db.models import Max

from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, ConnectionChange
from brokers.statuses import Actor
from brokers.wire import IST
from health.models import BrokerHealthLog, Incident

DAY = timedelta(days=1)
# Entries of one moment stay on one page: a change and the incident it opened.
SAME_MOMENT = 10
# Checks of one kind in a row that ended alike are one entry. It ends with its day, so that no page depends on another.
FOLDED = """
    SELECT check_type, status, error_code, min(checked_at), max(checked_at), count(*),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY response_time_ms)
    FROM (
        SELECT *, row_number() OVER (PARTITION BY check_type ORDER BY checked_at, id)
                - row_number() OVER (PARTITION BY check_type, status, error_code ORDER BY checked_at, id) AS island
        FROM broker_health_logs
        WHERE broker_connection_id = %s AND checked_at >= %s AND checked_at < %s
    ) AS numbered
    GROUP BY check_type, status, error_code, island
"""

Entry = dict[str, Any]


def page_of(row: BrokerConnection, *, before: datetime, limit: int) -> dict[str, Any]:
    """About `limit` entries that began before then, and from where the next page goes on (None: there is no more)."""
    events = _changes(row, before, limit) + _incidents(row, before, limit)
    checks: list[Entry] = []
    reached, goes_on = before, False
    while (newest := _newest_check(row, reached)) is not None:
        reached = _day_of(newest)
        checks += [entry for entry in _checks(row, reached) if entry["at"] < before]
        if len(checks) + sum(event["at"] >= reached for event in events) > limit:
            goes_on = True
            break
    entries = [entry for entry in events + checks if not goes_on or entry["at"] >= reached]
    entries.sort(key=lambda entry: entry["at"], reverse=True)
    shown = [entry for entry in entries if len(entries) <= limit or entry["at"] >= entries[limit - 1]["at"]]
    return {"entries": shown, "next": shown[-1]["at"] if goes_on or len(shown) < len(entries) else None}


def _newest_check(row: BrokerConnection, before: datetime) -> datetime | None:
    logs = BrokerHealthLog.objects.filter(broker_connection=row, checked_at__lt=before)
    newest: datetime | None = logs.aggregate(newest=Max("checked_at"))["newest"]
    return newest


def _changes(row: BrokerConnection, before: datetime, limit: int) -> list[Entry]:
    changes = ConnectionChange.objects.filter(broker_connection=row, at__lt=before)[: limit + SAME_MOMENT]
    return [
        _entry(
            "LOGIN" if (change.actor, change.to_status) == (Actor.TRADER, ConnectionStatus.CONNECTED) else "STATUS",
            change.at,
            status=change.to_status,
            from_status=change.from_status or None,
            by=change.actor,
            error_code=change.error_code or None,
            message=change.reason,
        )
        for change in changes
    ]


def _incidents(row: BrokerConnection, before: datetime, limit: int) -> list[Entry]:
    incidents = Incident.objects.filter(broker_connection=row, opened_at__lt=before)[: limit + SAME_MOMENT]
    return [
        _entry(
            "INCIDENT",
            incident.opened_at,
            until=incident.closed_at,
            status=incident.kind,
            error_code=incident.error_code or None,
            message=incident.message,
        )
        for incident in incidents
    ]


def _checks(row: BrokerConnection, day: datetime) -> list[Entry]:
    with database.cursor() as cursor:
        cursor.execute(FOLDED, [row.pk, day, day + DAY])
        rows = cursor.fetchall()
    return [
        _entry(
            "CHECKS",
            began,
            until=ended,
            check_type=check_type,
            status=status,
            error_code=error_code or None,
            count=count,
            p50_ms=p50,
        )
        for check_type, status, error_code, began, ended, count, p50 in rows
    ]


def _entry(kind: str, at: datetime, **known: Any) -> Entry:
    names = ("until", "check_type", "status", "from_status", "by", "error_code", "message", "count", "p50_ms")
    return {"kind": kind, "at": at, **{name: known.get(name) for name in names}}


def _day_of(moment: datetime) -> datetime:
    """The midnight in India with which that moment's day began."""
    return moment.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
