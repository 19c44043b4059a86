"""Fyers' login: OAuth in shape, but the grant comes back as `auth_code` and the app proves itself by a hash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode

from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.fyers import mapping
from brokers.fyers.spec import CALLBACK, SPEC
from brokers.secret import Secret


class FyersAuth(BrokerAuth):
    spec = SPEC

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        query = {
            "client_id": self.app.api_key.reveal(),
            "redirect_uri": redirect_uri,
            "response_type": "code",
            CALLBACK.state: state,
        }
        return f"{self.http.endpoints.login_url}?{urlencode(query)}"

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        auth_code = CALLBACK.read_code(callback)
        app_id_hash = self._app_id_hash()
        body = self.http.call(
            "POST",
            "/api/v3/validate-authcode",
            json={
                "grant_type": "authorization_code",
                "appIdHash": app_id_hash.reveal(),
                "code": auth_code.reveal(),
            },
            writes=True,
            secrets=(auth_code, app_id_hash, self.app.api_secret, self.app.api_key),
        )
        return mapping.session(body, expires_at=SPEC.session.end(now))

    def revoke(self, session: Session) -> None:
        """End this app's session only; the trader's others go on."""
        self.http.call(
            "POST",
            "/api/v3/logout",
            authorization=Secret(f"{self.app.api_key.reveal()}:{session.access_token.reveal()}"),
            writes=True,
            secrets=(session.access_token, self.app.api_secret, self.app.api_key),
        )

    def _app_id_hash(self) -> Secret:
        pair = f"{self.app.api_key.reveal()}:{self.app.api_secret.reveal()}"
        return Secret(sha256(pair.encode()).hexdigest())
