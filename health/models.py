"""What was checked, when, and how it ended. Rows are only ever added."""

from __future__ import annotations

from django.db import models

from brokers.models import STATUS_CHOICES, BrokerConnection, NamedIndex


class CheckType(models.TextChoices):
    SESSION = "SESSION", "Session"


class BrokerHealthLog(models.Model):
    """One check of one connection. `status` is what the check made of the connection."""

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
            NamedIndex(fields=["broker_connection"], name="idx_broker_health_logs_connection_id"),
            NamedIndex(fields=["checked_at"], name="idx_broker_health_logs_checked_at"),
        ]

    def __str__(self) -> str:
        return f"{self.check_type} {self.status}"
