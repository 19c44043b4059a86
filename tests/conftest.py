"""The people and the simulated brokers that the rooms' tests share."""

from __future__ import annotations

import string
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.cache import cache
from django.db import connection as database
from django.test import Client
from hypothesis import HealthCheck, settings
from pytest_django import Settings
from redis import Redis

from accounts.models import User
from brokers import governor, registry
from brokers.models import BrokerConnection
from brokers.simulation.book import Account
from brokers.simulation.control import Control
from brokers.simulation.login import LoginField
from brokers.simulation.server import SimulatedBrokers
from brokers.simulation.sessions import random_text
from market import strip
from portfolio import naming
from tests.people import SLUGS, connect, support, trader

# Nothing is timed in tests, and what fails once fails again.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# What is only ever added to cannot be emptied: only so can tests with transactions of their own be cleaned up after.
EMPTIED_BETWEEN_TESTS = ("audit_events", "audit_checkpoints", "connection_consents")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        let_tables_be_emptied()


def let_tables_be_emptied() -> None:
    with database.cursor() as cursor:
        for table in EMPTIED_BETWEEN_TESTS:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_truncate")


@pytest.fixture(scope="session", autouse=True)
def passwords_cost_little() -> Iterator[None]:
    """The same argon2 in a thousandth of the time and memory, which is most of what hundreds of sign-ins take."""
    with pytest.MonkeyPatch.context() as patch:
        for name, cost in (("time_cost", 1), ("memory_cost", 64), ("parallelism", 1)):
            patch.setattr(Argon2PasswordHasher, name, cost)
        yield


class NotingControl(Control):
    """Knows at which brokers something was changed, and whether a price was: only that must be put right again."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.changed: set[str] = set()
        self.moved = False

    def _send(self, method: str, path: str, document: Mapping[str, object] | None = None) -> dict[str, Any]:
        _, kind, slug, *_ = f"{path}//".split("/")
        if method == "PUT" and kind == "brokers":
            self.changed.add(slug)
        self.moved = self.moved or (method, kind) == ("PUT", "market")
        return super()._send(method, path, document)


def long_value(field: LoginField, account: Account) -> str:
    """A PIN or a code that is long enough to be searched for: four digits turn up everywhere by chance."""
    return str(getattr(account, field.account)) if field.account else random_text(20, string.digits)


def set_prices(control: Control, prices: Mapping[str, Mapping[str, str]]) -> None:
    """Set many prices at once; `prices` as the market tells them."""
    named = [(key.partition(":"), price) for key, price in prices.items()]
    changes = [
        {"exchange": exchange, "symbol": symbol, "last_price": price["last"], "close_price": price["close"]}
        for (exchange, _, symbol), price in named
    ]
    requests.put(f"{control.url}/market", json={"prices": changes}, timeout=20).raise_for_status()


@pytest.fixture(scope="session")
def running_brokers() -> Iterator[SimulatedBrokers]:
    """Prices stand still, and are the same at both exchanges: it does not matter whose quotation is taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoginField, "right_value", long_value)
        simulated = SimulatedBrokers(registry.slugs())
    with simulated:
        simulated.control = NotingControl(simulated.control_url)
        prices = simulated.control.market()["prices"]
        for key in prices:
            exchange, _, symbol = key.partition(":")
            if exchange == "BSE" and f"NSE:{symbol}" in prices:
                prices[key] = prices[f"NSE:{symbol}"]
        set_prices(simulated.control, prices)
        yield simulated


@pytest.fixture(scope="session")
def demo_prices(running_brokers: SimulatedBrokers) -> dict[str, dict[str, str]]:
    prices: dict[str, dict[str, str]] = running_brokers.control.market()["prices"]
    return prices


@pytest.fixture(scope="session")
def demo_books(running_brokers: SimulatedBrokers) -> dict[str, dict[str, Any]]:
    return {slug: running_brokers.control.book(slug) for slug in registry.slugs()}


@pytest.fixture
def brokers(
    running_brokers: SimulatedBrokers,
    demo_books: dict[str, dict[str, Any]],
    demo_prices: dict[str, dict[str, str]],
    settings: Settings,
) -> Iterator[SimulatedBrokers]:
    """Every broker, well, with its demo book and prices; the settings lead to them; the cache is empty."""
    control = running_brokers.control
    assert isinstance(control, NotingControl)
    settings.BROKERS = {
        slug: {"base_url": broker["base_url"], "login_url": broker["login_url"], "api_key": "", "api_secret": ""}
        for slug, broker in running_brokers.brokers.items()
    }
    cache.clear()
    control.reset_counters()
    yield running_brokers
    if control.moved:
        set_prices(control, demo_prices)
        control.moved = False
    for slug in control.changed:
        control.clear_faults(slug)
        control.serve_nothing(slug)
        control.set_book(slug, demo_books[slug])
    for slug, broker in control.overview()["brokers"].items():
        if broker["live_sessions"]:
            control.revoke(slug)
    control.changed.clear()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """Of the master of the test before, which is gone."""
    for memory in (naming.share_names, naming.company_names, strip.index_ids):
        memory.forget()


@pytest.fixture(autouse=True)
def _without_governor(settings: Settings) -> None:
    """Tests ask a simulated broker many times a second: only those of budgets and circuits keep to them."""
    settings.GOVERNOR_ENABLED = False


@pytest.fixture
def governed(settings: Settings) -> Iterator[Redis]:
    """Budgets and circuits stand before every call, and are empty; the Redis database that they are kept in."""
    settings.GOVERNOR_ENABLED = True
    redis: Redis = Redis.from_url(settings.GOVERNOR_REDIS_URL)
    redis.flushdb()
    governor.alone.forget()
    yield redis
    redis.flushdb()
    redis.close()


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
    let_in(client, user)
    return client


def let_in(client: Client, user: User) -> None:
    """As the front door leaves a session: a moment ago by password, and for staff by a second factor too."""
    client.force_login(user)
    showed = [{"method": "password", "at": time.time()}]
    if user.is_staff:
        showed.append({"method": "mfa", "type": "totp", "at": time.time()})
    session = client.session
    session["account_authentication_methods"] = showed
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


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
