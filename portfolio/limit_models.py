"""That somebody's limits are watched, and how that went."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class LimitWatch(models.Model):
    """One row per person whose limits are watched: made with the limits that everybody begins with, once.

    `problem` is the code of what kept the last look from being whole; empty: nothing did.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="limit_watch"
    )
    defaults_made_at = models.DateTimeField()
    looked_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=40, blank=True)

    class Meta:
        db_table = "risk_limit_watches"
        verbose_name_plural = "limit watches"

    def __str__(self) -> str:
        return f"Limits of {self.user}"
