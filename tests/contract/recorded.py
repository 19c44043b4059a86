"""Recorded payloads as test cases: `tests/fixtures/<slug>/cases.json`, read strictly.

    {
      "envelope": {…, "{code}", …},      how this broker words an error; `{code}` stands for the code
      "required": {"holdings": "isin"},  call → a field without which a row of its list cannot be read
      "one_use_code": true,              false where what the login brought may be used again
      "calls": [                         what is asked, what comes back, and so what it must become
        {"call": "holdings", "replies": {"GET /portfolio/holdings": "portfolio_holdings.json"}}
      ],
      "errors": [                        recorded errors; `becomes` is the word of the broker's page
        {"reply": "error_token_403.json", "status": 403, "becomes": "TOKEN_EXPIRED"}
      ],
      "codes": [                         every documented code, put into the envelope
        {"status": 403, "codes": ["TokenException"], "becomes": "TOKEN_EXPIRED"}
      ]
    }

The result of a call stands beside its first reply: `portfolio_holdings.json` → `portfolio_holdings.expected.json`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import responses
from requests import PreparedRequest

from brokers import registry
from brokers.base import Broker
from brokers.domain import AppCredentials, Listing, Session
from brokers.secret import Secret

FIXTURES = Path(__file__).parents[1] / "fixtures"
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)  # 10:30 IST on a Monday
API_KEY, API_SECRET, ACCESS_TOKEN = "recorded-key", "recorded-secret", "recorded-token"
REDIRECT_URI = "https://trademaster.example/brokers/callback"
JSON = "application/json"


class Call(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One method of the client (or `exchange`, `revoke` of the auth) and the replies it gets.

    `replies`: `METHOD /path`, or `METHOD https://…`, → fixture. `sends`: request → parameters that must be in its
    query, form or JSON. `profit`: symbol → [pnl, day_pnl] of that position.
    """

    call: str
    replies: dict[str, str]
    expected: str | None = None
    listings: list[Listing] = []
    callback: dict[str, str] = {}
    api_key: str = API_KEY
    api_secret: str = API_SECRET
    extra: dict[str, str] = {}
    session: dict[str, Any] = {}
    sends: dict[str, dict[str, str]] = {}
    headers: dict[str, str] = {}
    profit: dict[str, tuple[str, str]] = {}

    @property
    def first_request(self) -> str:
        return next(iter(self.replies))

    @property
    def first_reply(self) -> str:
        return next(iter(self.replies.values()))

    @property
    def name(self) -> str:
        return f"{self.call}-{self.first_reply.removesuffix('.json')}"


class RecordedError(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`call` is one of `calls`, whose first request is answered with this; `code` is ours, where it says more."""

    reply: str
    status: int
    becomes: str
    call: str = "profile"
    code: str | None = None


class Codes(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Codes that mean the same under one HTTP status. With `html` the body is a page, without any code."""

    status: int
    becomes: str
    codes: list[str] = []
    html: bool = False


class Cases(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    envelope: dict[str, Any] = {}
    required: dict[str, str] = {}
    one_use_code: bool = True
    calls: list[Call] = []
    errors: list[RecordedError] = []
    codes: list[Codes] = []

    def call(self, name: str) -> Call:
        found = next((call for call in self.calls if call.call == name), None)
        if found is None:
            raise LookupError(f"no recorded reply to {name}")
        return found

    def writes(self, name: str) -> bool:
        """Whether the call changes something at the broker, by its first request; False where nothing is recorded."""
        return not next((call.first_request for call in self.calls if call.call == name), "GET ").startswith("GET ")


def cases(slug: str) -> Cases:
    """The cases of one broker; none at all where nobody has written any, which the suite then reports."""
    path = FIXTURES / slug / "cases.json"
    return msgspec.json.decode(path.read_bytes(), type=Cases) if path.exists() else Cases()


def payload(slug: str, file: str) -> bytes:
    return (FIXTURES / slug / file).read_bytes()


def expected(slug: str, call: Call) -> Any:
    file = call.expected or call.first_reply.removesuffix(".json") + ".expected.json"
    return msgspec.json.decode(payload(slug, file))


@contextmanager
def answering(
    broker: Broker, replies: dict[str, bytes], *, status: int = 200, content_type: str = JSON
) -> Iterator[responses.RequestsMock]:
    """Answer the broker's own addresses with the given bodies; anything else fails, and so does one never asked."""
    with responses.RequestsMock() as mock:
        for request, body in replies.items():
            method, _, path = request.partition(" ")
            url = path if path.startswith("https://") else broker.spec.endpoints.base_url + path
            mock.add(method, url, body=body, status=status, content_type=content_type)
        yield mock


def make(broker: Broker, call: Call) -> Any:
    """Make one call as the application would."""
    http = broker.transport()
    extra = {name: Secret(value) for name, value in call.extra.items()}
    app = AppCredentials(api_key=Secret(call.api_key), api_secret=Secret(call.api_secret), extra=extra)
    if call.call == "exchange":
        return broker.auth(http, app).exchange(callback=call.callback, redirect_uri=REDIRECT_URI, now=NOW)
    known = {name: Secret(value) if name.endswith("_token") else value for name, value in call.session.items()}
    session = Session(access_token=Secret(ACCESS_TOKEN), **known)
    if call.call == "revoke":
        return broker.auth(http, app).revoke(session)
    method = getattr(broker.client(http, app, session), call.call)
    return method(call.listings) if call.call == "quotes" else method()


def replay(slug: str, call: Call, replies: dict[str, bytes] | None = None) -> Any:
    """Make the call against its recorded replies, some of them replaced."""
    broker = registry.load(slug)
    recorded = {request: payload(slug, file) for request, file in call.replies.items()}
    with answering(broker, recorded | (replies or {})):
        return make(broker, call)


def sent(request: PreparedRequest) -> dict[str, str]:
    """Everything a request says in its query, its form or its JSON; of a list, `0.name` is the first row's."""
    said = dict(parse_qsl(urlsplit(str(request.url)).query))
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body or "")
    if JSON in request.headers.get("Content-Type", ""):
        decoded = msgspec.json.decode(body or "{}")
        if isinstance(decoded, list):
            decoded = {f"{number}.{name}": value for number, row in enumerate(decoded) for name, value in row.items()}
        return said | decoded
    return said | dict(parse_qsl(body))


def as_plain(value: Any) -> Any:
    """A result as an expected file writes it.

    Numbers are strings without trailing zeros, times are UTC, secrets are revealed; a field at its default is left out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: as_plain(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) != _default(field)
        }
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
