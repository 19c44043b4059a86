"""What is kept of portfolios: each account's last good answer, and the merged book as support sees it."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from brokers.models import BrokerConnection, NamedIndex
from portfolio import flow_models, limit_models, risk_models  # noqa: F401 - Django finds a room's rows by this module


class BrokerSnapshot(models.Model):
    """The last good answer of one connection, served marked stale when its broker fails.

    `payload` is a `BrokerPortfolio` in JSON. `funds_as_of` differs from `as_of` while a broker answers for shares but
    not for funds. `owned_before_sales` (ISIN → quantity) is explained at `portfolio.lots.owned_before_sales`.
    """

    connection = models.OneToOneField(
        BrokerConnection, on_delete=models.CASCADE, primary_key=True, related_name="snapshot"
    )
    payload = models.TextField()
    as_of = models.DateTimeField()
    funds_as_of = models.DateTimeField(null=True)
    owned_before_sales = models.JSONField(default=dict)

    class Meta:
        db_table = "broker_snapshots"

    def __str__(self) -> str:
        return f"Last good answer of {self.connection_id}"


class UnmatchedInstrument(models.Model):
    """A listing or contract that nothing identifies: kept under its own broker, and listed here for support."""

    broker_connection = models.ForeignKey(BrokerConnection, on_delete=models.CASCADE, related_name="+")
    exchange = models.CharField(max_length=10)
    symbol = models.CharField(max_length=60)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        db_table = "unmatched_instruments"
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["broker_connection", "exchange", "symbol"], name="uniq_unmatched_instrument"
            )
        ]

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"


class ConsolidatedPosition(models.Model):
    """One share over all brokers of a user, as of `last_updated`. `instrument_key` is the ISIN where there is one."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="consolidated_positions", db_index=False
    )
    instrument_key = models.CharField(max_length=120)
    symbol = models.CharField(max_length=60)
    company_name = models.CharField(max_length=200, blank=True)
    total_quantity = models.DecimalField(max_digits=20, decimal_places=4)
    avg_price = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    current_price = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    total_cost = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    current_value = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    unrealized_pnl = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    day_change = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    stale = models.BooleanField(default=False)
    last_updated = models.DateTimeField()

    class Meta:
        db_table = "consolidated_positions"
        ordering = ["symbol"]
        constraints = [
            models.UniqueConstraint(fields=["user", "instrument_key"], name="uniq_consolidated_position"),
        ]
        indexes = [NamedIndex(fields=["user"], name="idx_consolidated_positions_user_id")]

    def __str__(self) -> str:
        return f"{self.symbol} of {self.user_id}"


class BrokerPositionBreakdown(models.Model):
    """One broker's part of a merged position."""

    consolidated_position = models.ForeignKey(
        ConsolidatedPosition, on_delete=models.CASCADE, related_name="broker_positions", db_index=False
    )
    broker_connection = models.ForeignKey(BrokerConnection, on_delete=models.CASCADE, related_name="+")
    product = models.CharField(max_length=10)
    quantity = models.DecimalField(max_digits=20, decimal_places=4)
    avg_price = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    current_value = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "broker_position_breakdown"
        indexes = [NamedIndex(fields=["consolidated_position"], name="idx_broker_position_breakdown_consolidated_id")]

    def __str__(self) -> str:
        return f"{self.quantity} at {self.broker_connection_id}"
