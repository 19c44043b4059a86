"""Scenarios of somebody's own: added, listed, removed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import User
from portfolio.risk import own_scenarios
from portfolio.risk.scenarios import Scenario
from portfolio.risk_models import UserScenario
from portfolio.risk_refusals import ScenarioExists, ScenarioWrong, TooManyScenarios

logger = logging.getLogger(__name__)

MOST = 50


def of(user: User) -> Sequence[UserScenario]:
    return list(UserScenario.objects.filter(user=user))


def readable(user: User) -> list[Scenario]:
    """Those that still keep to the rules; another one is not worth a report."""
    found = []
    for row in of(user):
        try:
            found.append(own_scenarios.read(row.terms))
        except own_scenarios.ScenarioRefused as refused:
            logger.warning("Scenario %s is left out: %s", row.pk, refused.code)
    return found


def add(user: User, wire: Any, *, now: datetime) -> UserScenario:
    """Raises ScenarioWrong, ScenarioExists, TooManyScenarios."""
    try:
        scenario = own_scenarios.read(wire)
    except own_scenarios.ScenarioRefused as refused:
        raise ScenarioWrong(str(refused), code=refused.code, remedy=refused.remedy, field=refused.field) from None
    if UserScenario.objects.filter(user=user).count() >= MOST:
        raise TooManyScenarios
    try:
        with transaction.atomic():
            return UserScenario.objects.create(user=user, name=scenario.code, terms=scenario.plain(), created_at=now)
    except IntegrityError:
        raise ScenarioExists from None


def remove(row: UserScenario) -> None:
    row.delete()
