"""What is checked and when, what was found, and what came of it.

Raw checks are kept for a while, hours for good; incidents say from when to when something did not work.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.db import connection, models
from django.db.models import Q

from brokers.models import BrokerConnection, NamedIndex, broker_choices
from brokers.statuses import STATUS_CHOICES


class CheckType(models.TextChoices):
    """The reads that are tried, each on a schedule of its own."""

    SESSION = "SESSION", "Session"
    HOLDINGS = "HOLDINGS", "Holdings"
    QUOTES = "QUOTES", "Quotes"
    ORDERS = "ORDERS", "Orders"


class BrokerHealthLog(models.Model):
    """One check of one connection; rows are only ever added, and pruned once their hour is rolled up.

    `status` is what this check alone says of the connection; a check with an `error_code` failed.
    """

    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.CASCADE, related_name="health_logs", db_index=False
    )
    check_type = models.CharField(max_length=20, choices=CheckType.choices, default=CheckType.SESSION)
    status = models.CharField(max_length=20, choices=STATUS_CHOICES)
    response_time_ms = models.PositiveIntegerField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    checked_at = models.DateTimeField()

    class Meta:
        db_table = "broker_health_logs"
        ordering = ["-checked_at", "-id"]
        indexes = [
            NamedIndex(fields=["broker_connection", "checked_at"], name="idx_broker_health_logs_connection_id"),
            NamedIndex(fields=["checked_at"], name="idx_broker_health_logs_checked_at"),
        ]

    def __str__(self) -> str:
        return f"{self.check_type} {self.status}"


class CheckScheduleQuerySet(models.QuerySet["CheckSchedule"]):
    def claim(self, now: datetime, *, lease: datetime, at_most: int) -> list[CheckSchedule]:
        """Take due rows until `lease`. Any number of claimers share them; each row is taken by one.

        The lease is the new due time itself: should the check get lost, the row comes round again. The rows are
        chosen apart from the UPDATE, or PostgreSQL might choose them anew for every row it looks at.
        """
        return list(
            self.raw(
                """
                WITH due AS MATERIALIZED (
                    SELECT id FROM health_check_schedules WHERE due_at <= %(now)s
                    ORDER BY due_at LIMIT %(at_most)s FOR UPDATE SKIP LOCKED
                )
                UPDATE health_check_schedules AS row SET due_at = %(lease)s, lease_until = %(lease)s, held = false
                FROM due WHERE row.id = due.id
                RETURNING row.*
                """,
                {"now": now, "lease": lease, "at_most": at_most},
            )
        )

    def take(self, ids: Sequence[int]) -> list[CheckSchedule]:
        """The claimed rows among these, for one worker: a task that is delivered twice finds none."""
        return list(
            self.raw(
                """
                UPDATE health_check_schedules SET lease_until = NULL
                WHERE id = ANY(%(ids)s) AND lease_until IS NOT NULL
                RETURNING *
                """,
                {"ids": list(ids)},
            )
        )

    def put_off(self, ids: Sequence[int], until: datetime, *, spread: timedelta, held: bool = False) -> int:
        """Give claimed rows back, due at `until` or up to `spread` later, each at a moment of its own.

        `held` rows wait for a circuit, and are let go all at once when it closes.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                UPDATE health_check_schedules
                SET due_at = %(until)s + make_interval(secs => %(spread)s * {SPREAD_OF_ID}),
                    lease_until = NULL, held = %(held)s
                WHERE id = ANY(%(ids)s)
                """,  # noqa: S608 - a constant of ours
                {"ids": list(ids), "until": until, "spread": spread.total_seconds(), "held": held},
            )
            return int(cursor.rowcount)

    def let_go(self, now: datetime, *, still_open: Collection[str], spread: timedelta) -> int:
        """Make due, within `spread`, what was held for a circuit that is open no longer."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                UPDATE health_check_schedules
                SET due_at = LEAST(due_at, %(now)s + make_interval(secs => %(spread)s * {SPREAD_OF_ID})), held = false
                WHERE held AND broker_type <> ALL(%(still_open)s)
                """,  # noqa: S608 - a constant of ours
                {"now": now, "spread": spread.total_seconds(), "still_open": list(still_open)},
            )
            return int(cursor.rowcount)

    def keep(self, rows: Sequence[CheckSchedule]) -> None:
        """Write how checks ended, in one UPDATE; not over a row that a login, or another claim, moved meanwhile."""
        columns = [
            (row.pk, row.lease, row.due_at, row.consecutive_failures, row.last_status, row.last_error_code,
             row.last_checked_at)
            for row in rows
        ]  # fmt: skip
        if not columns:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE health_check_schedules AS row
                SET due_at = new.due_at, consecutive_failures = new.failures, last_status = new.status,
                    last_error_code = new.code, last_checked_at = new.checked_at
                FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::text[], %s::text[],
                            %s::timestamptz[]) AS new(id, lease, due_at, failures, status, code, checked_at)
                WHERE row.id = new.id AND row.due_at IS NOT DISTINCT FROM new.lease AND row.lease_until IS NULL
                """,
                [list(column) for column in zip(*columns, strict=True)],
            )


# A place between 0 and 1 that is the row's own, in SQL; `pace.spread_of` is the same in Python.
SPREAD_OF_ID = "mod(id * 0.6180339887, 1)::float8"


class CheckSchedule(models.Model):
    """When one kind of check of one connection is due next, and how the last one ended.

    `due_at` None: parked, because the session has ended or the broker does not offer it; a login makes all due again.
    `lease_until` is set while the check is claimed and no worker has taken it up yet.
    """

    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.CASCADE, related_name="check_schedules", db_index=False
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    check_type = models.CharField(max_length=20, choices=CheckType.choices)
    due_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    held = models.BooleanField(default=False)
    consecutive_failures = models.PositiveIntegerField(default=0)
    last_status = models.CharField(max_length=20, choices=STATUS_CHOICES, blank=True)
    last_error_code = models.CharField(max_length=60, blank=True)
    last_checked_at = models.DateTimeField(null=True)

    objects = CheckScheduleQuerySet.as_manager()

    class Meta:
        db_table = "health_check_schedules"
        ordering = ["due_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["broker_connection", "check_type"], name="uniq_health_check_schedule"),
        ]
        indexes = [
            NamedIndex(fields=["due_at"], name="idx_health_check_schedules_due_at"),
            NamedIndex(fields=["broker_type"], name="idx_health_check_schedules_held", condition=Q(held=True)),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The due time it was read with: what is written later must not undo what others did meanwhile.
        self.lease = self.due_at

    def __str__(self) -> str:
        return f"{self.check_type} due {self.due_at}"


class Rollup(models.Model):
    """An hour of checks. `errors` counts by error code; `latencies` successes by bucket: see `health.latency`."""

    check_type = models.CharField(max_length=20, choices=CheckType.choices)
    hour = models.DateTimeField()
    checks = models.PositiveIntegerField()
    failures = models.PositiveIntegerField()
    errors = models.JSONField(default=dict)
    latencies = models.JSONField(default=dict)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.check_type} {self.hour:%Y-%m-%d %H:00}"


class HealthRollup(Rollup):
    """An hour of one connection."""

    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.CASCADE, related_name="health_rollups", db_index=False
    )

    class Meta:
        db_table = "health_rollups"
        ordering = ["-hour", "id"]
        constraints = [
            models.UniqueConstraint(fields=["broker_connection", "hour", "check_type"], name="uniq_health_rollup")
        ]


class BrokerRollup(Rollup):
    """An hour of one broker, over all its connections; it outlives them."""

    broker_type = models.CharField(max_length=20, choices=broker_choices)

    class Meta:
        db_table = "health_broker_rollups"
        ordering = ["-hour", "id"]
        constraints = [
            models.UniqueConstraint(fields=["broker_type", "hour", "check_type"], name="uniq_health_broker_rollup")
        ]


class IncidentKind(models.TextChoices):
    """What does not work. The first are statuses of a connection, the rest concern a broker as a whole."""

    ERROR = "ERROR", "Does not answer"
    MAINTENANCE = "MAINTENANCE", "Maintenance"
    RATE_LIMITED = "RATE_LIMITED", "Rate limited"
    SUSPENDED = "SUSPENDED", "Suspended"
    TOKEN_EXPIRED = "TOKEN_EXPIRED", "Session ended early"
    WIDESPREAD = "WIDESPREAD", "Fails for most accounts"
    ORDERS_AWAY = "ORDERS_AWAY", "Orders cannot be reached"
    DATA_AWAY = "DATA_AWAY", "Prices cannot be reached"
    PORTFOLIO_AWAY = "PORTFOLIO_AWAY", "Accounts cannot be read"
    SESSION_AWAY = "SESSION_AWAY", "Logins do not work"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def of_brokers(self) -> Self:
        """Those of a broker as a whole; the others concern one account."""
        return self.filter(broker_connection=None)

    def touching(self, since: datetime) -> Self:
        """Those that lasted into the time after `since`."""
        return self.filter(Q(closed_at=None) | Q(closed_at__gt=since))


class Incident(models.Model):
    """Something that did not work, from when to when.

    Without a connection it concerns the broker as a whole. `kind`, code and message are the latest while it is open. A
    `planned` one does not count against uptime. `seen_after_seconds` is the time since the last success before it.
    """

    broker_type = models.CharField(max_length=20, choices=broker_choices)
    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.CASCADE, null=True, related_name="incidents", db_index=False
    )
    kind = models.CharField(max_length=20, choices=IncidentKind.choices)
    planned = models.BooleanField(default=False)
    error_code = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    seen_after_seconds = models.PositiveIntegerField(null=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        db_table = "health_incidents"
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["broker_connection"],
                condition=Q(closed_at=None, broker_connection__isnull=False),
                name="uniq_open_incident_of_connection",
            ),
            models.UniqueConstraint(
                fields=["broker_type", "kind"],
                condition=Q(closed_at=None, broker_connection__isnull=True),
                name="uniq_open_incident_of_broker",
            ),
        ]
        indexes = [
            NamedIndex(fields=["broker_connection", "opened_at"], name="idx_health_incidents_connection_opened_at"),
            NamedIndex(fields=["broker_type", "opened_at"], name="idx_health_incidents_broker_opened_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_broker_type_display()}: {self.get_kind_display()}"


class HealthCursor(models.Model):
    """How far a piece of work has come; moved in the transaction that did the work, so that none is done twice."""

    # `changes`: the last ConnectionChange whose incident is written
    CHANGES: ClassVar[str] = "changes"
    # `rolled_up`: up to which hour raw checks are in the rollups; `pruned`: up to which hour they may be gone
    ROLLED_UP: ClassVar[str] = "rolled_up"
    PRUNED: ClassVar[str] = "pruned"

    name = models.CharField(max_length=20, primary_key=True)
    position = models.BigIntegerField(default=0)
    at = models.DateTimeField(null=True)

    class Meta:
        db_table = "health_cursors"

    def __str__(self) -> str:
        return self.name
