"""Asking as somebody, and telling the answer in the table's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponseBase

from tests.permissions.world import World, undone


def ask(
    world: World,
    person: str,
    method: str,
    address: str,
    body: Mapping[str, Any] | None = None,
    *,
    as_json: bool = False,
) -> tuple[str, bytes]:
    """The outcome and the body of one request; whatever it wrote is undone."""
    sent: dict[str, Any] = {}
    if method not in ("GET", "HEAD", "OPTIONS"):
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        sent = {"data": json.dumps(body or {}) if as_json else urlencode(body or {}), "content_type": kind}
    with undone():
        return told(world.browser(person).generic(method, address, **sent))


def told(answer: Any) -> tuple[str, bytes]:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return _outcome(answer, content), content


def _outcome(answer: HttpResponseBase, content: bytes) -> str:
    if 300 <= answer.status_code < 400:
        return f"{answer.status_code} {answer['Location'].partition('?')[0]}"
    if answer.status_code >= 400 and answer.headers.get("Content-Type", "").startswith("application/json") and content:
        return f"{answer.status_code} {json.loads(content)['error']['code']}"
    return str(answer.status_code)
