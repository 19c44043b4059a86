"""Kuber's login: the browser comes back with a ticket, which buys a pass once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.secret import Secret
from tests.eighth.kuber import mapping
from tests.eighth.kuber.spec import CALLBACK, SPEC


class KuberAuth(BrokerAuth):
    spec = SPEC

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        query = {"app": self.app.api_key.reveal(), CALLBACK.state: state}
        return f"{self.http.endpoints.login_url}?{urlencode(query)}"

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        ticket = CALLBACK.read_code(callback)
        app, word = self.app.api_key, self.app.api_secret
        body = self.http.call(
            "POST",
            "/pass",
            json={"app": app.reveal(), "word": word.reveal(), "ticket": ticket.reveal()},
            writes=True,
            secrets=(ticket, word, app),
        )
        return mapping.session(mapping.result(body), expires_at=SPEC.session.end(now))

    def revoke(self, session: Session) -> None:
        self.http.call(
            "DELETE",
            "/pass",
            authorization=Secret(f"Pass {session.access_token.reveal()}"),
            writes=True,
            secrets=(session.access_token, self.app.api_secret, self.app.api_key),
        )
