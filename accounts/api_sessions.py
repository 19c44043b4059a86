"""Logins of API clients. One row each: what its tokens may do ends with it, whatever their own hour says.

A refresh token works once. Shown a second time it has been stolen, or its successor has: the session ends, and its
user is told. Within `REFRESH_LEEWAY` of the first time nothing ends and nothing is given: two requests of one client
crossed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from accounts import access_tokens, credentials, sockets
from accounts.access_tokens import ACCESS, REFRESH, Claims
from accounts.credentials import Credential, Kind, Scope
from accounts.models import ApiSession, User
from accounts.refusals import RefreshUnderWay, TokenRefused, TokenReused

logger = logging.getLogger(__name__)

ACCESS_LIFETIME = timedelta(minutes=5)
REFRESH_LIFETIME = timedelta(days=7)
REFRESH_LEEWAY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Pair:
    """What a client is given by a login and by each refresh. Neither token is kept here in any form."""

    session: ApiSession
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)

    @property
    def token_type(self) -> str:
        return "Bearer"

    @property
    def expires_in(self) -> int:
        return int(ACCESS_LIFETIME.total_seconds())

    @property
    def scope(self) -> str:
        return self.session.scope


def begin(*, user: User, scope: Scope, name: str, address: str, now: datetime) -> Pair:
    """Begin a session for a user who has just shown all that they have."""
    with transaction.atomic():
        session = ApiSession.objects.create(
            user=user,
            name=name,
            scope=scope,
            password_mark=user.get_session_auth_hash(),
            address=address,
            created_at=now,
            refreshed_at=now,
            proven_at=now,
            expires_at=now + settings.API_SESSION_LIFETIME,
        )
        credentials.issued.send(ApiSession, user=user, credential=session)
    return _pair(session, now)


def refresh(token: str, *, now: datetime) -> Pair:
    """Spend a refresh token for another pair. Of two at once one wins.

    Raises TokenRefused, TokenReused (the session is over), RefreshUnderWay.
    """
    claims = access_tokens.read(REFRESH, token)
    session = _standing(claims, now)
    if session is None:
        raise TokenRefused
    this_one = ApiSession.objects.filter(pk=session.pk, generation=claims.generation)
    if this_one.update(generation=F("generation") + 1, refreshed_at=now) == 1:
        session.generation, session.refreshed_at = claims.generation + 1, now
        return _pair(session, now)
    session = _standing(claims, now)
    if session is None:
        raise TokenRefused
    if session.generation == claims.generation + 1 and session.refreshed_at > now - REFRESH_LEEWAY:
        raise RefreshUnderWay
    logger.warning("A spent refresh token of user %s was shown again: session %s is ended", session.user_id, session.pk)
    end([session])
    credentials.reused.send(ApiSession, user=session.user, credential=session)
    raise TokenReused


def let_in(token: str, *, now: datetime) -> tuple[User, Credential]:
    """Who shows an access token. Raises TokenRefused."""
    session = _standing(access_tokens.read(ACCESS, token), now)
    if session is None:
        raise TokenRefused
    return session.user, _credential(session)


def still_stands(session_id: str, user_id: int, *, now: datetime) -> tuple[User, Credential] | None:
    """The session behind a ticket or a socket, if it is not over."""
    session = ApiSession.objects.select_related("user").filter(pk=session_id, user=user_id).first()
    return (session.user, _credential(session)) if session and session.is_good(now) else None


def of_user(user: User, *, now: datetime) -> list[ApiSession]:
    """Those that still let somebody in, the latest used first."""
    found = ApiSession.objects.select_related("user").filter(user=user, expires_at__gt=now)
    return [session for session in found if session.is_good(now)]


def end(sessions: list[ApiSession]) -> None:
    """End them: their access tokens, refresh tokens and sockets."""
    for session in sessions:
        with transaction.atomic():
            deleted, _ = ApiSession.objects.filter(pk=session.pk).delete()
            if deleted:
                credentials.revoked.send(ApiSession, user=session.user, credential=session)
    sockets.close_credentials(Kind.SESSION, [str(session.pk) for session in sessions])


def end_all(user: User) -> None:
    end(list(ApiSession.objects.select_related("user").filter(user=user)))


def prove(session_id: str, *, now: datetime) -> None:
    ApiSession.objects.filter(pk=session_id).update(proven_at=now)


def _standing(claims: Claims, now: datetime) -> ApiSession | None:
    session = ApiSession.objects.select_related("user").filter(pk=claims.session_id, user=claims.user_id).first()
    return session if session is not None and session.is_good(now) else None


def _credential(session: ApiSession) -> Credential:
    return Credential(Kind.SESSION, str(session.pk), Scope(session.scope), session.proven_at)


def _pair(session: ApiSession, now: datetime) -> Pair:
    claims = Claims(user_id=session.user_id, session_id=session.pk, generation=session.generation)
    how: dict[str, Any] = {"scope": session.scope, "now": now}
    return Pair(
        session=session,
        access_token=access_tokens.write(ACCESS, claims, lifetime=ACCESS_LIFETIME, **how),
        refresh_token=access_tokens.write(
            REFRESH, claims, lifetime=min(REFRESH_LIFETIME, session.expires_at - now), **how
        ),
    )
