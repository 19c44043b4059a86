"""The simulated brokers with their control at hand, and well again after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from tests.orders.conftest import accounts, infy, wish

__all__ = ["accounts", "infy", "wish"]


@pytest.fixture
def sandbox(brokers: SimulatedBrokers, settings: Settings) -> Iterator[Control]:
    settings.SANDBOX_CONTROL_URL = brokers.control_url
    yield brokers.control
    brokers.control.clear_faults_everywhere()
