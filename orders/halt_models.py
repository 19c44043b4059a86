"""What became of each open order when trading was stopped, broker by broker."""

from __future__ import annotations

from django.db import models

from brokers.models import BrokerConnection, broker_choices
from portfolio.risk_models import TradingHalt


class Reach(models.TextChoices):
    """How far it has come at one connection."""

    ASKING = "ASKING", "Its orders are being cancelled"
    OPEN = "OPEN", "Something stands, or may stand, there still"
    UNREACHABLE = "UNREACHABLE", "It cannot be asked; what stood there is named"
    CLOSING = "CLOSING", "Nothing stands there but what closes its positions"
    SETTLED = "SETTLED", "Nothing stands there any more"


class Outcome(models.TextChoices):
    """Of one order, or GTT."""

    ASKED = "ASKED", "Its cancellation was taken; its book has not shown it yet"
    CANCELLED = "CANCELLED", "Cancelled"
    ENDED = "ENDED", "It had ended before: filled, rejected, cancelled or expired"
    REFUSED = "REFUSED", "The broker refused"
    UNKNOWN = "UNKNOWN", "No answer came"
    NOT_ASKED = "NOT_ASKED", "The broker could not be asked"


class HaltProgress(models.Model):
    """One connection under one halt. Rows are gone on with until `state` is SETTLED, and kept.

    `lines`: by the broker's id of each order (`gtt:…` of each GTT) what became of it: `{"outcome", "tradingsymbol",
    "side", "quantity", "is_ours", "code", "reason"}`. `positions`: of level FLATTEN, by instrument and product, the
    order that closes it or why there is none. `in_doubt`: orders of ours that nobody knows of; each is cancelled as
    soon as it is found. `next_at`: when it is gone on with; null: never.
    """

    halt = models.ForeignKey(TradingHalt, on_delete=models.CASCADE, related_name="progress", db_index=False)
    broker_connection = models.ForeignKey(
        BrokerConnection, on_delete=models.SET_NULL, null=True, related_name="halt_progress"
    )
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    state = models.CharField(max_length=11, choices=Reach.choices)
    rounds = models.PositiveIntegerField(default=0)
    lines = models.JSONField(default=dict)
    positions = models.JSONField(default=dict)
    in_doubt = models.PositiveIntegerField(default=0)
    reason_code = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    begun_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "order_halt_progress"
        ordering = ["halt", "begun_at", "id"]
        verbose_name_plural = "halt progress"
        constraints = [models.UniqueConstraint(fields=["halt", "broker_connection"], name="uniq_halt_progress")]
        indexes = [models.Index(fields=["next_at"], name="idx_halt_progress_due")]

    def __str__(self) -> str:
        return f"{self.broker_type} {self.state}"

    def counted(self) -> dict[str, int]:
        """How many lines came to which outcome."""
        outcomes = [line["outcome"] for line in self.lines.values()]
        return {outcome.value: outcomes.count(outcome) for outcome in Outcome}
