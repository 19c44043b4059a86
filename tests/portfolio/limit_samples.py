"""A limit that was reached and ways for alerts, for tests that are about other things."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.alert_models import AlertDelivery, AlertKind, AlertRoute, Way
from accounts.models import User
from brokers.alert_models import AlertWebhook
from brokers.secret import Secret
from portfolio.limit_models import LimitWatch
from portfolio.risk.limits import Action, Metric, State
from portfolio.risk_models import RiskBreach, RiskLimit


def rows_of_limits(user: User, name: str = "Hers") -> dict[str, Any]:
    """One row of each: `watch`, `limit`, `breach`, `route`, `webhook`, `delivery`. Nothing of it is due."""
    now = timezone.now()
    limit = RiskLimit.objects.create(
        user=user,
        metric=Metric.MARGIN_PCT,
        warn=Decimal(75),
        block=Decimal(90),
        action=Action.BLOCK_INCREASING,
        note=name,
        changed_at=now,
    )
    figures = {"threshold": Decimal(75), "value": Decimal(80), "worst_value": Decimal(80)}
    breach = RiskBreach.objects.create(
        user=user, limit=limit, metric=limit.metric, scope=limit.scope, level=State.WARN, opened_at=now, **figures
    )
    route = AlertRoute.objects.create(user=user, way=Way.WEBHOOK, name=name, created_at=now)
    return {
        "watch": LimitWatch.objects.create(user=user, defaults_made_at=now),
        "limit": limit,
        "breach": breach,
        "route": route,
        "webhook": AlertWebhook.objects.create(
            route=route,
            host="hooks.example",
            url_encrypted=Secret(f"https://hooks.example/{name}-address"),
            secret_encrypted=Secret(f"{name}-signing-secret"),
        ),
        "delivery": AlertDelivery.objects.create(
            route=route,
            event_id=route.pk,
            kind=AlertKind.RISK_WARNING,
            subject_key=f"breach:{breach.pk}",
            title="a warning",
            text=name,
            happened_at=now,
            next_due_at=now,
            state="SENT",
        ),
    }


def ids_of_limits(user: User, name: str = "Hers") -> dict[str, Any]:
    return {kind: row.pk for kind, row in rows_of_limits(user, name).items()}
