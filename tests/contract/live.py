"""One simulated broker, and the few steps a trader and our client take there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from brokers.base import Broker, BrokerAuth, BrokerClient
from brokers.domain import AppCredentials, BrokerPortfolio, Session
from brokers.secret import Secret
from brokers.simulation.book import Book, book_from_json
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.spec import API_KEY, API_SECRET
from brokers.transport import Deadline, Endpoints, Transport
from tests.contract.recorded import NOW

STATE = "a-state-that-nobody-guesses"


@dataclass
class LiveBroker:
    """`secrets` gathers everything that may never be printed."""

    broker: Broker
    simulated: SimulatedBrokers
    secrets: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.entry: dict[str, Any] = self.simulated.brokers[self.slug]
        self.secrets |= {self.entry["api_key"], self.entry["api_secret"], *self.entry["login"].values()}

    @property
    def slug(self) -> str:
        return self.broker.spec.slug

    @property
    def control(self) -> Control:
        return self.simulated.control

    @property
    def app(self) -> AppCredentials:
        names = {wanted.name for wanted in self.broker.spec.app_fields} - {API_KEY.name, API_SECRET.name}
        return AppCredentials(
            api_key=Secret(self.entry["api_key"]),
            api_secret=Secret(self.entry["api_secret"]),
            extra={name: Secret(self.entry[name]) for name in names if name in self.entry},
        )

    @property
    def wrong_app(self) -> AppCredentials:
        """The app with a wrong secret; with a wrong key where the broker can do without a secret."""
        wanted = {wanted.name for wanted in self.broker.spec.app_fields if wanted.required}
        wrong = Secret("wrong-" + "0" * 26)
        return replace(self.app, **{(API_SECRET if API_SECRET.name in wanted else API_KEY).name: wrong})

    def transport(self, deadline: Deadline | None = None) -> Transport:
        endpoints = Endpoints(base_url=self.entry["base_url"], login_url=self.entry["login_url"])
        return self.broker.transport(endpoints=endpoints, loopback_only=True, deadline=deadline)

    def auth(self, app: AppCredentials | None = None) -> BrokerAuth:
        return self.broker.auth(self.transport(), app or self.app)

    def client(self, session: Session, *, app: AppCredentials | None = None, seconds: float = 5) -> BrokerClient:
        return self.broker.client(self.transport(Deadline(seconds)), app or self.app, session)

    def callback(self, **typed: str) -> dict[str, str]:
        """What a login brings: the parameters of the redirect, or what was typed into a form of ours."""
        if self.broker.spec.callback is None:
            method = self.broker.spec.login_methods[0]
            known = {**self.entry["login"], **typed}
            return {"method": method.name, **{asked.name: known[asked.name] for asked in method.fields}}
        url = self.auth().authorization_url(state=STATE, redirect_uri=self.entry["redirect_uri"])
        callback = dict(self.simulated.login(self.slug, url, **typed))
        self.secrets |= {callback[name] for name in (self.broker.spec.callback.code,) if name in callback}
        return callback

    def exchange(self, callback: dict[str, str], app: AppCredentials | None = None) -> Session:
        session = self.auth(app).exchange(callback=callback, redirect_uri=self.entry["redirect_uri"], now=NOW)
        self.secrets.add(session.access_token.reveal())
        return session

    def log_in(self) -> Session:
        return self.exchange(self.callback())

    def book(self) -> Book:
        return book_from_json(json.dumps(self.control.book(self.slug)).encode())


def read(client: BrokerClient) -> BrokerPortfolio:
    """The whole account, part after part."""
    return client.assemble({name: ask() for name, ask in client.portfolio_parts().items()}, as_of=NOW)
