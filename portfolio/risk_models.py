"""What is kept of risk: limits and their breaches, what stops trading, and what the book was worth each day."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from market.models import choices
from portfolio.risk.limits import Action, Metric, Scope, State


def figure(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=24, decimal_places=6, **options)


def money(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=4, **options)


class RiskLimit(models.Model):
    """One limit of one person (`risk.limits.Limit`). `state` and `value` are of the last evaluation.

    A limit that watches each of a scope by itself (`scope_key` empty) has its states by key in `states`:
    `{key: {"state", "value", "since"}}`, for those that are not OK.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="risk_limits", db_index=False
    )
    metric = models.CharField(max_length=20, choices=choices(Metric))
    scope = models.CharField(max_length=8, choices=choices(Scope), default=Scope.GLOBAL)
    scope_key = models.CharField(max_length=120, blank=True)
    warn = figure(null=True, blank=True)
    block = figure(null=True, blank=True)
    action = models.CharField(max_length=16, choices=choices(Action), default=Action.NOTIFY)
    is_enabled = models.BooleanField(default=True)
    note = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=7, choices=choices(State), default=State.OK)
    state_since = models.DateTimeField(null=True, blank=True)
    value = figure(null=True, blank=True)
    states = models.JSONField(default=dict)
    evaluated_at = models.DateTimeField(null=True, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "risk_limits"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "metric", "scope", "scope_key"], name="uniq_risk_limit"),
            models.CheckConstraint(
                condition=Q(warn=None) | Q(block=None) | Q(warn__lte=models.F("block")), name="warn_is_below_block"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.scope} {self.scope_key}".strip()


class RiskBreach(models.Model):
    """A limit that was reached, until the figure was back. Rows are opened, raised and cleared, never removed.

    `level` is the worst state since it opened, `worst_value` the worst figure; `threshold` the level that was reached.
    `muted_until`: no alert tells of it again before then.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="risk_breaches")
    limit = models.ForeignKey(RiskLimit, on_delete=models.SET_NULL, null=True, related_name="breaches")
    metric = models.CharField(max_length=20, choices=choices(Metric))
    scope = models.CharField(max_length=8, choices=choices(Scope))
    scope_key = models.CharField(max_length=120, blank=True)
    level = models.CharField(max_length=7, choices=choices(State))
    threshold = figure()
    value = figure()
    worst_value = figure()
    opened_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    acknowledgement = models.CharField(max_length=300, blank=True)
    alerts = models.PositiveSmallIntegerField(default=0)
    muted_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "risk_breaches"
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["limit", "scope_key"], condition=Q(cleared_at=None), name="uniq_open_breach"
            )
        ]
        indexes = [models.Index(fields=["user", "-opened_at"], name="idx_breaches_user")]

    def __str__(self) -> str:
        return f"{self.metric} {self.scope_key} {self.level}"


class HaltKind(models.TextChoices):
    KILL = "KILL", "The kill switch"
    DAY_LOSS = "DAY_LOSS", "The daily loss was reached"


class HaltLevel(models.TextChoices):
    """What the kill switch does; each level does what those before it do. The daily-loss lock only reduces."""

    REDUCE_ONLY = "REDUCE_ONLY", "Only orders that reduce a position go out"
    STOP = "STOP", "No new order goes out"
    CANCEL = "CANCEL", "And all open orders are cancelled"
    FLATTEN = "FLATTEN", "And positions are closed, by limit orders, step by step"


class TradingHalt(models.Model):
    """What stops the orders of a person, latched: it stands until somebody ends it, with a reason.

    `locked_until`: nobody ends it before then, staff neither. `set_by` None: it was set by itself, `cause` says why.
    `raised_at`: when its level was raised last.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="trading_halts")
    kind = models.CharField(max_length=8, choices=HaltKind.choices)
    level = models.CharField(max_length=11, choices=HaltLevel.choices)
    cause = models.CharField(max_length=40)
    reason = models.CharField(max_length=300, blank=True)
    set_at = models.DateTimeField()
    raised_at = models.DateTimeField(null=True, blank=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    locked_until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    end_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        db_table = "risk_trading_halts"
        ordering = ["-set_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "kind"], condition=Q(ended_at=None), name="uniq_standing_halt"),
            # Nobody ends it sooner. Triggers keep `locked_until`, hold it against the database's own clock too, and
            # let nobody delete a lock that stands.
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(locked_until=None) | Q(ended_at__gte=models.F("locked_until")),
                name="halt_is_not_ended_early",
            ),
            models.CheckConstraint(
                condition=~Q(kind=HaltKind.DAY_LOSS) | Q(locked_until__isnull=False), name="day_lock_has_an_end"
            ),
        ]
        indexes = [models.Index(fields=["user", "-set_at"], name="idx_halts_user")]

    def __str__(self) -> str:
        return f"{self.kind} {self.level}"


class EquityDay(models.Model):
    """What the whole book was worth at one day's end, and what it had earned; one row per person and trading day.

    `cash_flow` is what its owner says was paid in (positive) or out that day; `unexplained` what the change of equity
    leaves over after the day's profit and that. None: not wholly known, and `complete` says whether it was.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="equity_days", db_index=False
    )
    day = models.DateField()
    equity = money(null=True)
    day_pnl = money(null=True)
    cash_flow = money(default=0)
    unexplained = money(null=True)
    complete = models.BooleanField()
    as_of = models.DateTimeField()

    class Meta:
        db_table = "risk_equity_days"
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["user", "day"], name="uniq_equity_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.equity}"


class UserScenario(models.Model):
    """A stress scenario of somebody's own; `terms` is `portfolio.risk.stress`'s plain form of it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="risk_scenarios", db_index=False
    )
    name = models.CharField(max_length=80)
    terms = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        db_table = "risk_scenarios"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="uniq_risk_scenario")]

    def __str__(self) -> str:
        return self.name
