"""Simulated brokers on free ports, and the few lines a client needs to talk to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from brokers.simulation.server import SimulatedBrokers

TIMEOUT = 5


class MovableClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)  # 10:30 IST on a Monday

    def __call__(self) -> datetime:
        return self.moment


@dataclass
class Client:
    """One logged-in client of one broker."""

    base_url: str
    headers: dict[str, str]

    def get(self, path: str, **parameters: Any) -> requests.Response:
        return requests.get(self.base_url + path, headers=self.headers, params=parameters, timeout=TIMEOUT)

    def data(self, path: str, **parameters: Any) -> Any:
        reply = self.get(path, **parameters)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]


@pytest.fixture(scope="session")
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(scope="session")
def running(clock: MovableClock) -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers(["zerodha", "upstox"], clock=clock) as simulated:
        yield simulated


@pytest.fixture
def simulated(running: SimulatedBrokers, clock: MovableClock) -> Iterator[SimulatedBrokers]:
    """The shared brokers, handed over clean: demo books, no faults, today's clock."""
    start = clock.moment
    books = {slug: running.control.book(slug) for slug in running.brokers}
    running.control.reset_counters()
    yield running
    clock.moment = start
    for slug, book in books.items():
        running.control.clear_faults(slug)
        running.control.serve_nothing(slug)
        running.control.set_book(slug, book)


@pytest.fixture
def zerodha(simulated: SimulatedBrokers) -> Client:
    return zerodha_client(simulated)


@pytest.fixture
def upstox(simulated: SimulatedBrokers) -> Client:
    return upstox_client(simulated)


def zerodha_login_url(broker: dict[str, Any], **extra: str) -> str:
    query = {"v": "3", "api_key": broker["api_key"], **extra}
    return str(requests.Request("GET", broker["login_url"], params=query).prepare().url)


def zerodha_exchange(broker: dict[str, Any], code: str, secret: str | None = None) -> requests.Response:
    text = broker["api_key"] + code + (secret or broker["api_secret"])
    form = {
        "api_key": broker["api_key"],
        "request_token": code,
        "checksum": hashlib.sha256(text.encode()).hexdigest(),
    }
    return requests.post(
        broker["base_url"] + "/session/token", data=form, headers={"X-Kite-Version": "3"}, timeout=TIMEOUT
    )


def zerodha_client(simulated: SimulatedBrokers) -> Client:
    broker = simulated.brokers["zerodha"]
    code = simulated.login("zerodha", zerodha_login_url(broker))["request_token"]
    token = zerodha_exchange(broker, code).json()["data"]["access_token"]
    headers = {"X-Kite-Version": "3", "Authorization": f"token {broker['api_key']}:{token}"}
    return Client(broker["base_url"], headers)


def upstox_login_url(broker: dict[str, Any], **extra: str) -> str:
    query = {
        "response_type": "code",
        "client_id": broker["api_key"],
        "redirect_uri": broker["redirect_uri"],
        **extra,
    }
    return str(requests.Request("GET", broker["login_url"], params=query).prepare().url)


def upstox_exchange(broker: dict[str, Any], code: str, **changed: str) -> requests.Response:
    form = {
        "code": code,
        "client_id": broker["api_key"],
        "client_secret": broker["api_secret"],
        "redirect_uri": broker["redirect_uri"],
        "grant_type": "authorization_code",
        **changed,
    }
    return requests.post(broker["base_url"] + "/v2/login/authorization/token", data=form, timeout=TIMEOUT)


def upstox_client(simulated: SimulatedBrokers) -> Client:
    broker = simulated.brokers["upstox"]
    code = simulated.login("upstox", upstox_login_url(broker))["code"]
    token = upstox_exchange(broker, code).json()["access_token"]
    return Client(broker["base_url"], {"Authorization": f"Bearer {token}", "Accept": "application/json"})
