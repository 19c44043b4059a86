"""`Authorization: Bearer …`: an access or a personal token. What is shown there counts, and no cookie beside it."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts import api_sessions, personal_tokens, throttles
from accounts.access_tokens import TokenExpired
from accounts.credentials import Credential
from accounts.models import User
from accounts.refusals import TokenRefused, TooManyTries

SCHEME = "Bearer"
WRONG_TOKENS = "wrong_token"  # in DEFAULT_THROTTLE_RATES


class BearerLogin(BaseAuthentication):
    """Wrong tokens are counted per address, by all processes; a right one is let in from anywhere, at any time."""

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        try:
            return _let_in(token.strip())
        except TokenExpired:
            raise
        except TokenRefused:
            count_wrong(request)
            raise

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


def count_wrong(request: Request) -> None:
    """Raises TooManyTries."""
    wait = throttles.count(WRONG_TOKENS, get_adapter().get_client_ip(request._request))
    if wait is not None:
        raise TooManyTries(wait)


def _let_in(token: str) -> tuple[User, Credential]:
    now = timezone.now()
    if token.startswith(personal_tokens.PREFIX):
        return personal_tokens.let_in(token, now=now)
    return api_sessions.let_in(token, now=now)
