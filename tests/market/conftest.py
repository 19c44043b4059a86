"""The simulated brokers' masters, within reach of the settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from pytest_django import Settings

from brokers.simulation.server import SimulatedBrokers
from market.masters import load_master
from market.models import LoadOutcome, MasterLoad

NOW = datetime.fromisoformat("2026-11-26T08:00:00+05:30")
Load = Callable[..., MasterLoad]


@pytest.fixture
def masters(brokers: SimulatedBrokers, settings: Settings) -> SimulatedBrokers:
    settings.BROKERS = {
        slug: known | {"master_url": brokers.brokers[slug]["master_url"]} for slug, known in settings.BROKERS.items()
    }
    return brokers


@pytest.fixture
def load(masters: SimulatedBrokers, db: None) -> Load:
    """Load one broker's master, which must end as it is expected to."""

    def loaded(slug: str, *, now: datetime = NOW, outcome: str = LoadOutcome.LOADED) -> MasterLoad:
        done = load_master(broker_type=slug, now=now)
        assert done is not None
        assert done.outcome == outcome, done.error_message
        return done

    return loaded
