"""The login of XTS: no browser, two pairs of keys, two tokens that the other application refuses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from brokers.base import BrokerAuth
from brokers.domain import AppCredentials, Session
from brokers.errors import (
    BrokerUnavailable,
    FeedEnded,
    NotSupported,
    OutcomeUnknown,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
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
        if not has_market_keys(self.app):
            return session
        try:
            return self.reopen_feed(session)
        except (BrokerUnavailable, OutcomeUnknown, UnexpectedResponse):
            return session  # an account without prices is still an account; they are asked for again when needed

    def reopen_feed(self, session: Session) -> Session:
        """Log in to the market data application. Raises NotSupported without its keys; RequestRefused with
        `market_keys_refused`, as a refusal here is not the end of the account's session.
        """
        if not has_market_keys(self.app):
            raise _without_keys()
        extra = self.app.extra
        try:
            result = _opened(
                self.http, "/apimarketdata/auth/login", extra[MARKET_API_KEY.name], extra[MARKET_API_SECRET.name]
            )
        except SessionEnded as error:
            raise RequestRefused(
                "The broker did not accept the market data keys.",
                code="market_keys_refused",
                vendor_code=error.vendor_code,
                reason=error.reason,
                user_action="Check the market data key and secret, or remove them: prices then come from elsewhere.",
            ) from None
        token, facts = mapping.market_session(result)
        return replace(session, feed_token=token, facts={**session.facts, **facts})

    def revoke(self, session: Session) -> None:
        """Both sessions, whatever becomes of the one; that for prices may have ended before."""
        secrets = (session.access_token, self.app.api_secret, self.app.api_key)
        try:
            self.http.call(
                "DELETE",
                "/interactive/user/session",
                params=mapping.client_id(session),
                authorization=session.access_token,
                writes=True,
                secrets=secrets,
            )
        finally:
            if session.feed_token:
                with suppress(SessionEnded):
                    self.http.call(
                        "DELETE",
                        "/apimarketdata/auth/logout",
                        authorization=session.feed_token,
                        writes=True,
                        secrets=(session.feed_token, *secrets),
                    )


def has_market_keys(app: AppCredentials) -> bool:
    """Whether the trader has stored the second pair, without which there are no prices."""
    return bool(app.extra.get(MARKET_API_KEY.name) and app.extra.get(MARKET_API_SECRET.name))


def feed_token(app: AppCredentials, session: Session) -> Secret:
    """That of the session, never a new one: the newest login ends the others.

    Raises NotSupported without market data keys; FeedEnded where the login brought no session for prices.
    """
    if not has_market_keys(app):
        raise _without_keys()
    if session.feed_token is None:
        raise FeedEnded("IIFL has opened no session for prices.")
    return session.feed_token


def _without_keys() -> NotSupported:
    return NotSupported(
        "There are no market data keys for IIFL.", user_action="Store the market data API key and secret."
    )


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
