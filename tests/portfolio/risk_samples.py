"""A scenario, a payment and a day's end, for tests that are about other things."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import User
from portfolio.flow_models import CashFlow
from portfolio.risk.scenarios import Basis, Scenario
from portfolio.risk_models import EquityDay, UserScenario

DAY = date(2026, 11, 20)


def rows_of_reports(user: User, name: str = "Hers") -> dict[str, Any]:
    """One row of each: `scenario`, `flow`, `equity_day`."""
    now = timezone.now()
    terms = Scenario(code="hers", title=name, basis=Basis.OWN, index=Decimal("-0.3")).plain()
    return {
        "scenario": UserScenario.objects.create(user=user, name="hers", terms=terms, created_at=now),
        "flow": CashFlow.objects.create(user=user, day=DAY, amount=Decimal(100), note=name, created_at=now),
        "equity_day": EquityDay.objects.create(
            user=user, day=DAY, equity=Decimal(1000), day_pnl=Decimal(0), complete=True, as_of=now
        ),
    }


def ids_of_reports(user: User, name: str = "Hers") -> dict[str, Any]:
    return {kind: row.pk for kind, row in rows_of_reports(user, name).items()}
