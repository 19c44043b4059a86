"""Kite's login: no OAuth state and no redirect address on the wire, so `redirect_params` carries our state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode

from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.secret import Secret
from brokers.zerodha import mapping
from brokers.zerodha.spec import CALLBACK, SPEC


class ZerodhaAuth(BrokerAuth):
    spec = SPEC

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        """Kite returns to the address registered for the app, whatever `redirect_uri` says."""
        query = {
            "v": "3",
            "api_key": self.app.api_key.reveal(),
            "redirect_params": urlencode({CALLBACK.state: state}),
        }
        return f"{self.http.endpoints.login_url}?{urlencode(query)}"

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        request_token = CALLBACK.read_code(callback)
        api_key, api_secret = self.app.api_key, self.app.api_secret
        checksum = sha256((api_key.reveal() + request_token.reveal() + api_secret.reveal()).encode()).hexdigest()
        body = self.http.call(
            "POST",
            "/session/token",
            form={"api_key": api_key.reveal(), "request_token": request_token.reveal(), "checksum": checksum},
            writes=True,
            secrets=(request_token, Secret(checksum), api_secret, api_key),
        )
        return mapping.session(mapping.data(body), expires_at=SPEC.session.end(now))

    def revoke(self, session: Session) -> None:
        self.http.call(
            "DELETE",
            "/session/token",
            params={"api_key": self.app.api_key.reveal(), "access_token": session.access_token.reveal()},
            writes=True,
            secrets=(session.access_token, self.app.api_secret, self.app.api_key),
        )
