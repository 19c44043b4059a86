"""What is shown of all that: the state of brokers, a broker's report card, and the public page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.core.cache import cache
from django.db.models import Max

from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection
from brokers.spec import BrokerSpec
from brokers.wire import IST
from health import tallies
from health.circuits import Circuits
from health.figures import Span, Tally, longest, uptime_pct
from health.models import CheckSchedule, CheckType, Incident, IncidentKind

SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
DAY = timedelta(days=1)
MONTH = timedelta(days=30)
# While nothing was checked for so long, nobody can say how a broker is.
CURRENT = timedelta(hours=1)
# Incidents of a broker that make its accounts unreadable; the others leave part of it working.
READS_AWAY = frozenset({IncidentKind.WIDESPREAD, IncidentKind.PORTFOLIO_AWAY, IncidentKind.SESSION_AWAY})
PAGE_CACHE_SECONDS = 5
Shown = TypeVar("Shown")
SHOWN_INCIDENTS = 20


@dataclass(frozen=True)
class BrokerRecord:
    """What is known of one broker as a whole; nothing in it is any one account's.

    `tallies` are of the span that was asked for; `hours` are those with checks; `incidents` come the latest first.
    """

    spec: BrokerSpec
    now: datetime
    tallies: Mapping[CheckType, Tally]
    hours: Set[datetime]
    incidents: Sequence[Incident]
    last_checked_at: datetime | None

    @property
    def state(self) -> str:
        """UP, DEGRADED (part of it does not work), DOWN, MAINTENANCE (a planned one), or UNKNOWN."""
        return self._standing[0]

    @property
    def since(self) -> datetime | None:
        """Since when it has been in that state; None where it was never in another, or is in none."""
        state, reasons = self._standing
        if reasons:
            return min(incident.opened_at for incident in reasons)
        if state == "UNKNOWN":
            return self.last_checked_at
        return max((incident.closed_at for incident in self.incidents if incident.closed_at), default=None)

    @property
    def _standing(self) -> tuple[str, list[Incident]]:
        """The state, and the open incidents that it comes of."""
        unplanned = [incident for incident in self.open_incidents if not incident.planned]
        away = [incident for incident in unplanned if incident.kind in READS_AWAY]
        if away:
            return "DOWN", away
        if unplanned:
            return "DEGRADED", unplanned
        if self.open_incidents:
            return "MAINTENANCE", self.open_incidents
        is_current = self.last_checked_at is not None and self.last_checked_at > self.now - CURRENT
        return "UP" if is_current else "UNKNOWN", []

    @property
    def open_incidents(self) -> list[Incident]:
        return [incident for incident in self.incidents if incident.closed_at is None]

    def uptime(self, within: Span) -> Decimal | None:
        return uptime_pct(hours=self.hours, down=self.down(), planned=self.planned(), within=within)

    def down(self) -> list[Span]:
        wanted = [one for one in self.incidents if one.kind in READS_AWAY and not one.planned]
        return _spans(wanted, self.now)

    def planned(self) -> list[Span]:
        return _spans([one for one in self.incidents if one.planned], self.now)


def brokers_of(user: User, *, now: datetime, circuits: Circuits) -> dict[str, Any]:
    """Every broker's general state, a few seconds old at most, and the trader's own connections at it."""
    mine = list(BrokerConnection.objects.without_secrets().active().filter(user=user))
    own = _connections(mine, now)
    return {
        "as_of": now,
        "brokers": [
            {
                **general,
                "circuits": [
                    {"kind": one.kind, "state": one.state, "opened_at": one.opened_at, "retry_at": one.retry_at}
                    for one in circuits.of(general["broker_type"])
                ],
                "connections": [own[row.pk] for row in mine if row.broker_type == general["broker_type"]],
            }
            for general in _for_all("health-brokers", lambda: [_general(one) for one in records(now, counted=DAY)])
        ],
    }


def card(slug: str, *, days: int, now: datetime) -> dict[str, Any]:
    """A broker's report over so many days. Raises UnsupportedBroker."""
    spec = registry.load(slug).spec
    length = timedelta(days=days)
    [record] = [one for one in records(now, counted=length, length=length) if one.spec.slug == spec.slug]
    return {**_card(record, length), "daily": _daily(record, days)}


def page(now: datetime) -> dict[str, Any]:
    """What the status page shows, a few seconds old at most: states, a month of days, incidents, and the cards."""
    return _for_all("health-status-page", lambda: _page(now))


def _page(now: datetime) -> dict[str, Any]:
    all_of_them = records(now, counted=MONTH)
    incidents = [
        {**_incident(one), "broker": record.spec.name}
        for record in all_of_them
        for one in record.incidents
        if not (one.planned and one.closed_at)
    ]
    incidents.sort(key=lambda one: (one["closed_at"] is None, one["opened_at"]), reverse=True)
    return {
        "as_of": now,
        "brokers": [
            {
                **_card(record, MONTH),
                "state": record.state,
                "since": record.since,
                "days": _daily(record, MONTH.days),
            }
            for record in all_of_them
        ],
        "incidents": incidents[:SHOWN_INCIDENTS],
    }


def _for_all(name: str, made: Callable[[], Shown]) -> Shown:
    """What is the same for everybody, made once in a few seconds: it counts the raw checks of every account."""
    shown: Shown | None = cache.get(name)
    if shown is None:
        shown = made()
        cache.set(name, shown, PAGE_CACHE_SECONDS)
    return shown


def records(now: datetime, *, counted: timedelta, length: timedelta = MONTH) -> list[BrokerRecord]:
    """What is known of every broker, `length` before now; its checks are counted over the time `counted`."""
    counts = tallies.counted(tallies.brokers(), since=now - counted, until=now)
    hours = tallies.hours(tallies.brokers(), since=now - length, until=now)
    last = dict(CheckSchedule.objects.order_by().values_list("broker_type").annotate(Max("last_checked_at")))
    incidents = list(Incident.objects.of_brokers().touching(now - length))
    return [
        BrokerRecord(
            spec=broker.spec,
            now=now,
            tallies=counts.get(broker.spec.slug, {}),
            hours=hours.get(broker.spec.slug, set()),
            incidents=[one for one in incidents if one.broker_type == broker.spec.slug],
            last_checked_at=last.get(broker.spec.slug),
        )
        for broker in registry.brokers()
    ]


def _general(record: BrokerRecord) -> dict[str, Any]:
    return {
        "broker_type": record.spec.slug,
        "name": record.spec.name,
        "state": record.state,
        "since": record.since,
        "uptime_pct": {name: record.uptime((record.now - length, record.now)) for name, length in SPANS.items()},
        **_counts(tallies.summed(record.tallies)),
        "checks_by_type": _by_type(record),
        "open_incidents": [_incident(incident) for incident in record.open_incidents],
    }


def _card(record: BrokerRecord, length: timedelta) -> dict[str, Any]:
    within = (record.now - length, record.now)
    outage = longest(record.down(), planned=record.planned(), within=within)
    return {
        "broker_type": record.spec.slug,
        "name": record.spec.name,
        "days": length.days,
        "as_of": record.now,
        "uptime_pct": record.uptime(within),
        **_counts(tallies.summed(record.tallies)),
        "checks_by_type": _by_type(record),
        "incidents": [_incident(one) for one in record.incidents if not one.planned],
        "longest_outage_seconds": None if outage is None else round(outage.total_seconds()),
    }


def _by_type(record: BrokerRecord) -> list[dict[str, Any]]:
    return [{"check_type": kind.value, **_counts(record.tallies.get(kind, Tally()))} for kind in CheckType]


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "checks": tally.checks,
        "failures": tally.failures,
        "p50_ms": tally.percentile(0.5),
        "p95_ms": tally.percentile(0.95),
        "error_classes": dict(tally.errors.most_common()),
    }


def _daily(record: BrokerRecord, days: int) -> list[dict[str, Any]]:
    """The last so many days, the oldest first; a day is one in India, today as far as it has come."""
    midnight = record.now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [midnight - DAY * back for back in reversed(range(days))]
    return [
        {"date": start.date(), "uptime_pct": record.uptime((start, min(start + DAY, record.now)))} for start in starts
    ]


def _incident(incident: Incident) -> dict[str, Any]:
    """Of a broker as a whole: the words are ours, and name nobody."""
    return {
        "kind": incident.kind,
        "words": incident.get_kind_display(),
        "planned": incident.planned,
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at,
    }


def _connections(rows: Sequence[BrokerConnection], now: datetime) -> dict[Any, dict[str, Any]]:
    """By id, what is known of a trader's own connections."""
    keys = [row.pk for row in rows]
    counts = tallies.counted(tallies.connections(keys), since=now - DAY, until=now)
    hours = tallies.hours(tallies.connections(keys), since=now - MONTH, until=now)
    incidents = list(Incident.objects.filter(broker_connection__in=keys).touching(now - MONTH))
    of_brokers = list(Incident.objects.of_brokers().touching(now - MONTH).filter(planned=True))
    schedules = list(CheckSchedule.objects.filter(broker_connection__in=keys).order_by("pk"))
    found: dict[Any, dict[str, Any]] = {}
    for row in rows:
        own = [one for one in incidents if one.broker_connection_id == row.pk]
        planned = _spans([one for one in of_brokers if one.broker_type == row.broker_type], now)
        checked = hours.get(row.pk, set())
        found[row.pk] = {
            "id": row.pk,
            "display_name": row.display_name,
            "status": row.status,
            "since": row.status_since,
            "uptime_pct": {
                name: uptime_pct(hours=checked, down=_spans(own, now), planned=planned, within=(now - length, now))
                for name, length in SPANS.items()
            },
            **_counts(tallies.summed(counts.get(row.pk, {}))),
            "open_incident": next((_own_incident(one) for one in own if one.closed_at is None), None),
            "schedule": [_schedule(one) for one in schedules if one.broker_connection_id == row.pk],
        }
    return found


def _own_incident(incident: Incident) -> dict[str, Any]:
    return {**_incident(incident), "error_code": incident.error_code or None, "message": incident.message or None}


def _schedule(row: CheckSchedule) -> dict[str, Any]:
    return {
        "check_type": row.check_type,
        "status": row.last_status or None,
        "error_code": row.last_error_code or None,
        "consecutive_failures": row.consecutive_failures,
        "last_checked_at": row.last_checked_at,
        "due_at": row.due_at,
    }


def _spans(incidents: Iterable[Incident], now: datetime) -> list[Span]:
    return [(one.opened_at, one.closed_at or now) for one in incidents]
