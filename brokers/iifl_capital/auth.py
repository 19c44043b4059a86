"""IIFL Capital's login: a redirect with `authCode` and `clientId`, no OAuth state, then one checksum."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode

from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.errors import RequestRefused
from brokers.iifl_capital import mapping
from brokers.iifl_capital.spec import CALLBACK, CLIENT_ID, SPEC
from brokers.secret import Secret

# The letters of the callback's names vary in practice.
SPELLINGS = {"authcode": CALLBACK.code, "code": CALLBACK.code, "clientid": CLIENT_ID}


class IiflCapitalAuth(BrokerAuth):
    spec = SPEC

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        """The state cannot travel. The address goes unescaped: escaped ones were mishandled."""
        query = {"v": "1", "appkey": self.app.api_key.reveal(), "redirecturl": redirect_uri}
        return f"{self.http.endpoints.login_url}?{urlencode(query, safe=':/')}"

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        known = {SPELLINGS.get(name.replace("_", "").lower(), name): value for name, value in callback.items()}
        auth_code, client_id = CALLBACK.read_code(known), known.get(CLIENT_ID)
        if not client_id:
            raise RequestRefused(
                "The broker did not say whose login this is.",
                code="client_id_missing",
                user_action="Start the connection again, and send both `authCode` and `clientId` of the callback.",
            )
        checksum = sha256((client_id + auth_code.reveal() + self.app.api_secret.reveal()).encode()).hexdigest()
        body = self.http.call(
            "POST",
            "/v1/getusersession",
            json={"checkSum": checksum},
            writes=True,
            secrets=(auth_code, Secret(checksum), self.app.api_secret, self.app.api_key),
        )
        return mapping.session(body, client_id=client_id, expires_at=SPEC.session.end(now))

    def revoke(self, session: Session) -> None:
        self.http.call(
            "POST",
            "/v1/profile/logout",
            json={},
            authorization=Secret(f"Bearer {session.access_token.reveal()}"),
            writes=True,
            secrets=(session.access_token, self.app.api_secret, self.app.api_key),
        )
