"""Angel One's logins: on its own page, whose redirect brings the tokens themselves, or by client code, PIN and TOTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from brokers.angel_one import mapping
from brokers.angel_one.client import AngelOneClient
from brokers.angel_one.spec import AUTH, CALLBACK, LOGIN_ERRORS, PIN_TOTP, SECURE, SPEC
from brokers.base import BrokerAuth
from brokers.domain import Session
from brokers.errors import BrokerError, BrokerUnavailable, NotSupported, OutcomeUnknown
from brokers.secret import Secret

REDIRECTED = ("auth_token", "refresh_token", "feed_token")
REPLIED = ("jwtToken", "refreshToken", "feedToken")


class AngelOneAuth(BrokerAuth):
    spec = SPEC

    def authorization_url(self, *, state: str, redirect_uri: str) -> str:
        """Angel One returns to the address registered for the app; the newest docs alone know `redirect_url`."""
        query = {"api_key": self.app.api_key.reveal(), CALLBACK.state: state, "redirect_url": redirect_uri}
        return f"{self.http.endpoints.login_url}?{urlencode(query)}"

    def exchange(self, *, callback: Mapping[str, str], redirect_uri: str, now: datetime) -> Session:
        steps = {None: self._redirected, PIN_TOTP.name: self._logged_in}
        try:
            return steps[callback.get("method")](callback, now)
        except (BrokerUnavailable, OutcomeUnknown) as error:
            raise _refusal(error) from None

    def _redirected(self, callback: Mapping[str, str], now: datetime) -> Session:
        """Keep the tokens that came in the address. Anybody can call us with some: the profile says whose they are."""
        CALLBACK.read_code(callback)
        session = mapping.session(callback, REDIRECTED, expires_at=SPEC.session.end(now))
        profile = AngelOneClient(self.http, self.app, session).profile()
        return replace(session, account_id=profile.account_id)

    def _logged_in(self, callback: Mapping[str, str], now: datetime) -> Session:
        typed = {"clientcode": callback["clientcode"], "password": callback["pin"], "totp": callback["totp"]}
        body = self._post(f"{AUTH}/user/v1/loginByPassword", typed)
        return mapping.session(mapping.data(body), REPLIED, expires_at=SPEC.session.end(now))

    def refresh(self, session: Session, *, now: datetime) -> Session:
        """Trade the refresh token for a new set. It rotates: keep all three."""
        if session.refresh_token is None:
            raise NotSupported("This login brought no refresh token: a new login is needed.")
        body = self._post(f"{AUTH}/jwt/v1/generateTokens", {"refreshToken": session.refresh_token.reveal()}, of=session)
        return mapping.renewed(session, mapping.session(mapping.data(body), REPLIED, expires_at=SPEC.session.end(now)))

    def revoke(self, session: Session) -> None:
        self._post(f"{SECURE}/user/v1/logout", {"clientcode": session.account_id or ""}, of=session)

    def _post(self, path: str, sent: Mapping[str, str], *, of: Session | None = None) -> Any:
        """One writing call; everything sent is cut out of what the broker says. `of`: the session it speaks for."""
        return self.http.call(
            "POST",
            path,
            authorization=Secret(f"Bearer {of.access_token.reveal()}") if of else None,
            keys={"X-PrivateKey": self.app.api_key},
            json=sent,
            writes=True,
            secrets=(*map(Secret, sent.values()), *([of.access_token] if of else []), self.app.api_key),
        )


def _refusal(error: BrokerError) -> BrokerError:
    """What an error of a login means: some codes say no to the trader there, and tell of an outage elsewhere.

    A login by PIN is a write, which leaves such an outage open.
    """
    verdict = LOGIN_ERRORS.get(error.vendor_code or "")
    if verdict is None:
        return error
    return verdict.error(
        error.message,
        code=verdict.code,
        vendor_code=error.vendor_code,
        reason=error.reason,
        user_action=verdict.user_action,
    )
