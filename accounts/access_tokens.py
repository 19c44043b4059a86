"""The signed tokens of API clients: JWT under Ed25519, and nothing else, whatever their header says.

`typ` tells an access token (`at+jwt`, RFC 9068) from a refresh token (`rt+jwt`), so that neither can stand in for the
other; `kid` names one of our own keys. What a token may open is asked of the database at every call: a signature only
keeps strangers from asking.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from accounts.refusals import TokenRefused

ALGORITHM = "EdDSA"
ACCESS, REFRESH = "at+jwt", "rt+jwt"
REQUIRED = ["iss", "aud", "sub", "sid", "gen", "scope", "iat", "exp", "jti"]


class TokenExpired(TokenRefused):
    """One of ours, too old: its client refreshes, and is no guesser."""

    default_detail = "This token has expired."
    default_code = "token_expired"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `generation` counts the refreshes of its session."""

    user_id: int
    session_id: UUID
    generation: int


def write(use: str, claims: Claims, *, scope: str, now: datetime, lifetime: timedelta) -> str:
    kid, key = next(iter(_ring(tuple(settings.JWT_KEYS)).items()))
    payload = {
        "iss": settings.PUBLIC_URL,
        "aud": _audience(),
        "sub": str(claims.user_id),
        "sid": str(claims.session_id),
        "gen": claims.generation,
        "scope": scope,
        "iat": now,
        "exp": now + lifetime,
        "jti": uuid4().hex,
    }
    return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": use})


def read(use: str, token: str) -> Claims:
    """Raises TokenRefused; TokenExpired for what was good once."""
    try:
        header = jwt.get_unverified_header(token)
        key = _ring(tuple(settings.JWT_KEYS)).get(header.get("kid", ""))
        if key is None or header.get("typ") != use:
            raise TokenRefused
        payload: dict[str, Any] = jwt.decode(
            token,
            key.public_key(),
            algorithms=[ALGORITHM],
            audience=_audience(),
            issuer=settings.PUBLIC_URL,
            # Clocks of our own machines differ: the hour of issue decides nothing.
            options={"require": REQUIRED, "verify_iat": False},
        )
        return Claims(user_id=int(payload["sub"]), session_id=UUID(payload["sid"]), generation=int(payload["gen"]))
    except jwt.ExpiredSignatureError:
        raise TokenExpired from None
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        raise TokenRefused from None


def _audience() -> str:
    return f"{settings.PUBLIC_URL}/api/v1"


@cache
def _ring(seeds: Sequence[str]) -> dict[str, Ed25519PrivateKey]:
    """Every key by its name, the one that signs first."""
    keys = [Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(seed)) for seed in seeds]
    return {sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]: key for key in keys}
