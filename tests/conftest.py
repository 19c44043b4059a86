"""The people and the simulated brokers that the rooms' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from tests.people import SLUGS, connect, support, trader


@pytest.fixture(scope="session")
def running_brokers() -> Iterator[SimulatedBrokers]:
    """Prices stand still, and are the same at both exchanges: it does not matter whose quotation is taken."""
    with SimulatedBrokers(registry.slugs()) as simulated:
        prices = simulated.control.market()["prices"]
        same = [
            {"exchange": "BSE", "symbol": symbol, "last_price": price["last"], "close_price": price["close"]}
            for key, price in prices.items()
            for exchange, _, symbol in [key.partition(":")]
            if exchange == "NSE" and f"BSE:{symbol}" in prices
        ]
        requests.put(f"{simulated.control_url}/market", json={"prices": same}, timeout=5).raise_for_status()
        yield simulated


@pytest.fixture
def brokers(running_brokers: SimulatedBrokers, settings: Settings) -> Iterator[SimulatedBrokers]:
    """Every broker, well and with its demo book; the settings lead to them; the cache is empty."""
    control = running_brokers.control
    settings.BROKERS = {
        slug: {"base_url": broker["base_url"], "login_url": broker["login_url"], "api_key": "", "api_secret": ""}
        for slug, broker in running_brokers.brokers.items()
    }
    cache.clear()
    books = {slug: control.book(slug) for slug in registry.slugs()}
    control.reset_counters()
    yield running_brokers
    for slug, book in books.items():
        control.clear_faults(slug)
        control.serve_nothing(slug)
        control.revoke(slug)
        control.set_book(slug, book)


@pytest.fixture
def control(brokers: SimulatedBrokers) -> Control:
    return brokers.control


@pytest.fixture
def alice(db: None) -> User:
    return trader("alice")


@pytest.fixture
def bob(db: None) -> User:
    return trader("bob")


@pytest.fixture
def mallory(db: None) -> User:
    return trader("mallory")


@pytest.fixture
def sam(db: None) -> User:
    return support("sam")


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def alices(alice: User, brokers: SimulatedBrokers) -> dict[str, BrokerConnection]:
    """Alice's two connections, by slug."""
    connections = {slug: connect(alice, slug, brokers) for slug in SLUGS}
    brokers.control.reset_counters()
    return connections


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def as_alice(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def as_mallory(mallory: User) -> Client:
    return signed_in(mallory)


@pytest.fixture
def as_sam(sam: User) -> Client:
    return signed_in(sam)
