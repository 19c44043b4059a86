"""By which ways a person is told of what cannot wait, and what was sent there."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q


class AlertKind(models.TextChoices):
    """A code is stable: receivers decide by it."""

    RISK_WARNING = "RISK_WARNING", "A limit's warning level was reached"
    RISK_BLOCK = "RISK_BLOCK", "A limit's block level was reached"
    RISK_CLEARED = "RISK_CLEARED", "A limit is kept again"
    TRADING_HALT = "TRADING_HALT", "Trading was stopped, or goes on"
    TEST = "TEST", "A test, asked for by its owner"


# What may be chosen. A test goes where it was asked for.
CHOICES = tuple(kind for kind in AlertKind if kind is not AlertKind.TEST)
# What no quiet hour holds back, nor a mute of ours; and nobody silences it without a fresh proof.
URGENT = frozenset({AlertKind.RISK_BLOCK, AlertKind.TRADING_HALT, AlertKind.TEST})


def every_kind() -> list[str]:
    return [kind.value for kind in CHOICES]


class Way(models.TextChoices):
    EMAIL = "EMAIL", "E-mail to the confirmed address of the account"
    WEBHOOK = "WEBHOOK", "A signed message to an address of theirs"


class AlertRoute(models.Model):
    """One way to one person. Where a webhook leads, and its secret, stand with `brokers.alert_models.AlertWebhook`.

    `quiet_from` to `quiet_until` (IST, maybe over midnight) holds back what is not urgent. `paused_until` is its
    owner's word; `muted_until` is ours, after `failures` in a row, each longer than the last.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="alert_routes")
    way = models.CharField(max_length=7, choices=Way.choices)
    name = models.CharField(max_length=60)
    is_enabled = models.BooleanField(default=True)
    kinds = models.JSONField(default=every_kind)
    quiet_from = models.TimeField(null=True)
    quiet_until = models.TimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0, editable=False)
    muted_until = models.DateTimeField(null=True, editable=False)
    last_sent_at = models.DateTimeField(null=True, editable=False)
    last_error = models.CharField(max_length=40, blank=True, editable=False)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "alert_routes"
        ordering = ("created_at", "way", "id")
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(way=Way.EMAIL), name="one_email_route_each"),
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None) | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="quiet_hours_have_two_ends",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def wants(self, kind: str) -> bool:
        return self.is_enabled and (kind == AlertKind.TEST or kind in self.kinds)

    def silent_until(self, now: datetime) -> datetime | None:
        """Until when nothing goes this way, unless it is urgent and this is our mute alone."""
        return max((until for until in (self.paused_until, self.muted_until) if until and until > now), default=None)


class DeliveryState(models.TextChoices):
    WAITING = "WAITING", "Is sent, or tried again, when it is due"
    SENT = "SENT", "Was taken"
    GIVEN_UP = "GIVEN_UP", "Was not taken, however often it was tried, or not in time"


class AlertDelivery(models.Model):
    """One event on one route. `event_id` is the same on every route and at every attempt: doubles are told by it.

    While one sends it, `next_due_at` is when its lease lapses. `last_error` is a code; nothing that the other side
    said is kept.
    """

    id = models.BigAutoField(primary_key=True)
    route = models.ForeignKey(AlertRoute, models.CASCADE, related_name="deliveries", db_index=False)
    event_id = models.UUIDField()
    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    subject_key = models.CharField(max_length=100, help_text="What it is about, such as `breach:7`.")
    title = models.CharField(max_length=120)
    text = models.TextField()
    data = models.JSONField(default=dict)
    happened_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=40, blank=True)

    class Meta:
        db_table = "alert_deliveries"
        ordering = ("-happened_at", "-id")
        constraints = [models.UniqueConstraint(fields=["route", "event_id"], name="one_delivery_per_route_and_event")]
        indexes = [
            models.Index(fields=["next_due_at"], condition=Q(state="WAITING"), name="idx_alert_deliveries_due"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_key}"
