"""What a person paid in or took out, by their own word: brokers do not tell it alike, or at all."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portfolio.risk_models import money


class CashFlow(models.Model):
    """One payment of one day: INR, positive where money (or shares, at their worth) came in, negative where it left."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="cash_flows", db_index=False
    )
    day = models.DateField()
    amount = money()
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "risk_cash_flows"
        ordering = ["-day", "-id"]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="a_cash_flow_is_something")]
        indexes = [models.Index(fields=["user", "day"], name="idx_cash_flows_user")]

    def __str__(self) -> str:
        return f"{self.day} {self.amount}"
