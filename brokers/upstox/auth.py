"""Upstox's login: the OAuth 2.0 code flow. The reply to the exchange is the one that has no envelope."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.secret import Secret
from brokers.upstox import mapping
from brokers.upstox.spec import CALLBACK, SPEC


class UpstoxAuth(BrokerAuth):
    spec = SPEC

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        query = {
            "response_type": "code",
            "client_id": self.app.api_key.reveal(),
            "redirect_uri": redirect_uri,
            CALLBACK.state: state,
        }
        return f"{self.http.endpoints.login_url}?{urlencode(query)}"

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        code = CALLBACK.read_code(callback)
        api_key, api_secret = self.app.api_key, self.app.api_secret
        body = self.http.call(
            "POST",
            "/v2/login/authorization/token",
            form={
                "code": code.reveal(),
                "client_id": api_key.reveal(),
                "client_secret": api_secret.reveal(),
                "redirect_uri": redirect_uri,
                "grant_type": "authorization_code",
            },
            writes=True,
            secrets=(code, api_secret, api_key),
        )
        return mapping.session(body, expires_at=SPEC.session.end(now))

    def revoke(self, session: Session) -> None:
        self.http.call(
            "DELETE",
            "/v2/logout",
            json={},
            authorization=Secret(f"Bearer {session.access_token.reveal()}"),
            writes=True,
            secrets=(session.access_token, self.app.api_secret, self.app.api_key),
        )
