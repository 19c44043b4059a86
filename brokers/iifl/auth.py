"""The login of XTS: no browser, two pairs of keys, two tokens that the other application refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from brokers.base import BrokerAuth
from brokers.domain import AppCredentials, Session
from brokers.errors import BrokerUnavailable, OutcomeUnknown, RequestRefused, SessionEnded, UnexpectedResponse
from brokers.iifl import mapping
from brokers.iifl.spec import KEYS_REFUSED, MARKET_API_KEY, MARKET_API_SECRET, SOURCE, SPEC
from brokers.secret import Secret
from brokers.transport import Transport


class IiflAuth(BrokerAuth):
    spec = SPEC

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        """The callback says nothing but its method: the stored keys are all there is."""
        return self._log_in(now)

    def refresh(self, session: Session, *, now: datetime) -> Session:
        """There is no refresh token: logging in again needs no person. The older session ends with it."""
        return self._log_in(now)

    def _log_in(self, now: datetime) -> Session:
        result = _opened(self.http, "/interactive/user/session", self.app.api_key, self.app.api_secret)
        session = mapping.session(result, expires_at=SPEC.session.end(now))
        try:
            opened = market_session(self.http, self.app)
        except (BrokerUnavailable, OutcomeUnknown):
            return session  # an account without prices is still an account; the client asks again when it needs them
        if opened is None:
            return session
        token, facts = opened
        return replace(session, feed_token=token, facts={**session.facts, **facts})

    def revoke(self, session: Session) -> None:
        secrets = (session.access_token, self.app.api_secret, self.app.api_key)
        self.http.call(
            "DELETE",
            "/interactive/user/session",
            params=mapping.client_id(session),
            authorization=session.access_token,
            writes=True,
            secrets=secrets,
        )
        if session.feed_token:
            self.http.call(
                "DELETE",
                "/apimarketdata/auth/logout",
                authorization=session.feed_token,
                writes=True,
                secrets=(session.feed_token, *secrets),
            )


def market_session(http: Transport, app: AppCredentials) -> tuple[Secret, dict[str, str]] | None:
    """Log in to the market data application: the token, and facts for the session; None where the trader has stored no
    keys for it. A login ends the one before, and the streams that run with it.

    Raises RequestRefused with `market_keys_refused`: a refusal here is not the end of the account's session.
    """
    api_key, api_secret = app.extra.get(MARKET_API_KEY.name), app.extra.get(MARKET_API_SECRET.name)
    if not api_key or not api_secret:
        return None
    try:
        return mapping.market_session(_opened(http, "/apimarketdata/auth/login", api_key, api_secret))
    except SessionEnded as error:
        raise RequestRefused(
            "The broker did not accept the market data keys.",
            code="market_keys_refused",
            vendor_code=error.vendor_code,
            reason=error.reason,
            user_action="Check the market data API key and secret, or remove them: prices then come from elsewhere.",
        ) from None


def _opened(http: Transport, path: str, api_key: Secret, api_secret: Secret) -> Any:
    """The `result` of a login. An error whose code nobody knows is a refusal of the keys: their code is UNCONFIRMED."""
    try:
        body = http.call(
            "POST",
            path,
            json={"appKey": api_key.reveal(), "secretKey": api_secret.reveal(), "source": SOURCE},
            writes=True,
            secrets=(api_secret, api_key),
        )
    except UnexpectedResponse as error:
        if error.vendor_code is None:
            raise
        raise SessionEnded(
            "The broker did not accept these keys.",
            code=KEYS_REFUSED.code,
            vendor_code=error.vendor_code,
            user_action=KEYS_REFUSED.user_action,
        ) from None
    return mapping.data(body)
