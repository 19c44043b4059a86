"""Groww's logins: no redirect; keys and what the trader types, or approves there, are traded for a token of the day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.errors import RequestRefused, SessionEnded, Verdict
from brokers.groww import mapping
from brokers.groww.spec import KEYS_PAGE, SPEC
from brokers.secret import Secret

CODE_REFUSED = Verdict(
    RequestRefused,
    "login_refused",
    user_action=f"Type the code that shows now. If it is refused again, look at your keys: {KEYS_PAGE}",
)
# UNCONFIRMED that 401 and 403 mean this; a revoked key is answered so too, and the same page shows which it is.
APPROVAL_MISSING = Verdict(
    RequestRefused,
    "approval_missing",
    user_action=f"Approve your key at {KEYS_PAGE}, then connect again; the stored keys are kept.",
)


class GrowwAuth(BrokerAuth):
    spec = SPEC

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        """Log in by one of the spec's methods. Raises RequestRefused (`approval_missing`, `login_refused`)."""
        log_in = {"totp": self._by_totp, "approval": self._by_approval, "token": self._by_token}
        return log_in[callback["method"]](callback, now)

    def _by_totp(self, callback: Mapping[str, str], now: datetime) -> Session:
        code = Secret(callback["totp"].strip())
        return self._token({"key_type": "totp", "totp": code.reveal()}, code, CODE_REFUSED, now)

    def _by_approval(self, callback: Mapping[str, str], now: datetime) -> Session:
        if not self.app.api_secret:
            raise RequestRefused(
                "This login needs the secret of the API key.",
                code="api_secret_missing",
                user_action="Store the API secret beside the key, or log in by TOTP code.",
            )
        timestamp = str(int(now.timestamp()))
        checksum = Secret(sha256((self.app.api_secret.reveal() + timestamp).encode()).hexdigest())
        body = {"key_type": "approval", "checksum": checksum.reveal(), "timestamp": timestamp}
        return self._token(body, checksum, APPROVAL_MISSING, now)

    def _by_token(self, callback: Mapping[str, str], now: datetime) -> Session:
        """Nothing is asked: the profile call that follows proves the token."""
        return Session(access_token=Secret(callback["access_token"].strip()), expires_at=SPEC.session.end(now))

    def _token(self, body: Mapping[str, str], proof: Secret, refused: Verdict, now: datetime) -> Session:
        """Ask for a token. A key that is turned away is `refused`: no session has begun that could have ended."""
        try:
            reply = self.http.call(
                "POST",
                "/v1/token/api/access",
                json=body,
                authorization=Secret(f"Bearer {self.app.api_key.reveal()}"),
                writes=True,
                secrets=(proof, self.app.api_secret, self.app.api_key),
            )
        except (SessionEnded, RequestRefused) as error:
            if error.connection_status is None:
                raise
            raise RequestRefused(
                "Groww turned the key away.",
                code=refused.code,
                vendor_code=error.vendor_code,
                reason=error.reason,
                user_action=refused.user_action,
            ) from None
        return mapping.session(reply, expires_at=SPEC.session.end(now))
