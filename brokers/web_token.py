"""What a JSON Web Token says of itself. Read, not verified: the broker who signed it is who judges it."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from brokers.secret import Secret


def claims(token: Secret) -> Mapping[str, Any]:
    """The claims of a token; none where it is a token of another kind."""
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return {}
    try:
        found = msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (Base64Error, msgspec.DecodeError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def expiry(token: Secret) -> datetime | None:
    """The instant at which the token says it dies; None where it does not say."""
    try:
        return datetime.fromtimestamp(claims(token)["exp"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
