"""JSON Web Tokens signed with HS256, for the brokers whose access token is one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping


def signed_token(claims: Mapping[str, object], key: str) -> str:
    """Return `claims` as a compact JWT, signed with `key`."""
    head = _part({"typ": "JWT", "alg": "HS256"}) + "." + _part(claims)
    return head + "." + _encode(hmac.new(key.encode(), head.encode(), hashlib.sha256).digest())


def _part(value: Mapping[str, object]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
