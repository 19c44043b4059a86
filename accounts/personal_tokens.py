"""Personal API tokens: for a program of one's own that cannot log in. Shown once, kept as a hash, dead at their hour.

`tm_`, 48 hexadecimal digits at random (192 bits), and 8 more that are their CRC-32: what was mistyped, or is no token
at all, is refused without a question to the database, and a secret scanner knows one when it sees it.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from zlib import crc32

from django.db import transaction
from django.db.models import Q
from django.utils.crypto import constant_time_compare

from accounts import credentials, sockets
from accounts.credentials import Credential, Kind, Scope
from accounts.models import PersonalToken, User
from accounts.refusals import TokenRefused, TooManyTokens

PREFIX = "tm_"
FORM = re.compile(r"tm_([0-9a-f]{48})([0-9a-f]{8})")
LONGEST_LIFETIME = timedelta(days=365)
MOST_TOKENS = 20
USE_NOTED_EVERY = timedelta(minutes=1)


def make(*, user: User, name: str, scope: Scope, lifetime: timedelta, now: datetime) -> tuple[PersonalToken, str]:
    """Make a token; return its row, and the token itself, which nobody can learn again.

    Raises TooManyTokens.
    """
    token = _random()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two at once would both be the last one
        if len(of_user(user, now=now)) >= MOST_TOKENS:
            raise TooManyTokens
        made = PersonalToken.objects.create(
            user=user,
            name=name,
            scope=scope,
            token_hash=hashed(token),
            ending=token[-4:],
            password_mark=user.get_session_auth_hash(),
            created_at=now,
            expires_at=now + min(lifetime, LONGEST_LIFETIME),
        )
        credentials.issued.send(PersonalToken, user=user, credential=made)
    return made, token


def let_in(token: str, *, now: datetime) -> tuple[User, Credential]:
    """Who shows a personal token; its use is noted to the minute. Raises TokenRefused."""
    if not is_well_formed(token):
        raise TokenRefused
    found = PersonalToken.objects.select_related("user").filter(token_hash=hashed(token)).first()
    if found is None or not constant_time_compare(found.token_hash, hashed(token)) or not found.is_good(now):
        raise TokenRefused
    _note_use(found, now)
    return found.user, _credential(found)


def still_stands(token_id: str, user_id: int, *, now: datetime) -> tuple[User, Credential] | None:
    """The token behind a ticket or a socket, if it is still good."""
    found = PersonalToken.objects.select_related("user").filter(pk=token_id, user=user_id).first()
    return (found.user, _credential(found)) if found and found.is_good(now) else None


def of_user(user: User, *, now: datetime) -> list[PersonalToken]:
    """Those that still let somebody in, the newest first."""
    found = PersonalToken.objects.select_related("user").filter(user=user, expires_at__gt=now)
    return [token for token in found if token.is_good(now)]


def revoke(token: PersonalToken) -> None:
    token_id = token.pk
    with transaction.atomic():
        deleted, _ = PersonalToken.objects.filter(pk=token_id).delete()
        if deleted:
            credentials.revoked.send(PersonalToken, user=token.user, credential=token)
    sockets.close_credentials(Kind.TOKEN, [str(token_id)])


def is_well_formed(token: str) -> bool:
    form = FORM.fullmatch(token)
    return form is not None and _checksum(form[1]) == form[2]


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _random() -> str:
    digits = secrets.token_hex(24)
    return f"{PREFIX}{digits}{_checksum(digits)}"


def _checksum(digits: str) -> str:
    return f"{crc32(digits.encode()):08x}"


def _note_use(token: PersonalToken, now: datetime) -> None:
    """One write a minute, however often it is used and by however many processes."""
    if token.last_used_at is not None and token.last_used_at > now - USE_NOTED_EVERY:
        return
    not_yet = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    PersonalToken.objects.filter(not_yet, pk=token.pk).update(last_used_at=now)


def _credential(token: PersonalToken) -> Credential:
    return Credential(Kind.TOKEN, str(token.pk), Scope(token.scope))
