"""Every broker of the registry, simulated once for the suite with prices and clock standing still."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from brokers import registry
from brokers.simulation.exchange import LEVEL_LOTS
from brokers.simulation.server import SimulatedBrokers, available_slugs
from tests.conftest import set_prices
from tests.contract.live import LiveBroker
from tests.contract.recorded import NOW

SHORTEST_SECRET = 6  # anything shorter turns up by chance


@pytest.fixture(scope="session")
def simulated() -> Iterator[SimulatedBrokers]:
    """A broker without a sandbox fails its own tests, not everybody's."""
    with SimulatedBrokers(set(registry.slugs()) & set(available_slugs()), clock=lambda: NOW) as running:
        yield running


@pytest.fixture
def live(simulated: SimulatedBrokers, slug: str, caplog: pytest.LogCaptureFixture) -> Iterator[LiveBroker]:
    """One broker, handed over well and with its demo book. Afterwards no log line may hold any of its secrets."""
    caplog.set_level(logging.DEBUG)
    broker = LiveBroker(registry.load(slug), simulated)
    book = broker.control.book(slug)
    prices = broker.control.market()["prices"]
    broker.control.reset_counters()
    yield broker
    broker.control.clear_faults(slug)
    broker.control.serve_nothing(slug)
    broker.control.reset_exchange()
    broker.control.set_depth(LEVEL_LOTS)
    broker.control.set_book(slug, book)
    now = broker.control.market()["prices"]
    set_prices(broker.control, {key: price for key, price in prices.items() if now[key] != price})
    logged = "\n".join(
        f"{record.getMessage()} {record.exc_text or ''}"
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)
    )
    assert [secret for secret in broker.secrets if len(secret) >= SHORTEST_SECRET and secret in logged] == []
