"""Every operation of the API's description, asked with right and wrong input: what comes back is what is described.

No 5xx, no undocumented status, no other shape or content type, and never a word of another trader's. Each question is
asked within a savepoint and undone, so that the next one finds Alice as she was. FUZZ_EXAMPLES is how many are made up
per operation, beside those that follow from the description itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, settings
from pytest_django import Settings
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from accounts import api_sessions, audit, personal_tokens
from accounts.credentials import Scope
from accounts.events import Event
from accounts.models import User
from brokers import grants, morning, postbacks, services
from brokers.domain import InstrumentKind
from brokers.models import BrokerConnection
from market.models import Instrument
from tests.conftest import signed_in
from tests.orders.samples import orders_of
from tests.people import trader
from tests.portfolio.limit_samples import ids_of_limits
from tests.portfolio.risk_samples import ids_of_reports

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
# It stands in everything of the other trader's.
MARK = "zaphod7f3e"
TELLING = 8  # shorter ids are found everywhere by chance
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
made_up = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def one_database() -> Iterator[None]:
    """A request leaves the connection alone, and with it the test's transaction, as with Django's own test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _unhurried(one_database: None, db: None, settings: Settings) -> None:
    """Nobody is slowed down."""
    rates = dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "1000000/min")
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
    settings.ALLOWED_HOSTS = ["localhost", "testserver"]


django = WSGIHandler()


def from_somewhere(environ: dict[str, Any], start_response: Any) -> Any:
    """Whoever asks has an address, by which wrong tokens are counted."""
    return django({"REMOTE_ADDR": "192.0.2.7", **environ}, start_response)


def described_api() -> Any:
    """The description as /api/schema serves it, asked within this process."""
    document = OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]
    api = openapi.from_dict(json.loads(document), config=SchemathesisConfig())
    api.app = from_somewhere
    return api


API = described_api()


def plain(user: User, account: str, name: str) -> BrokerConnection:
    """A connection whose session has ended: nobody is asked for it."""
    now = timezone.now()
    return BrokerConnection.objects.create(
        user=user, broker_type="zerodha", account_id=account, display_name=name, status="TOKEN_EXPIRED", created_at=now
    )


def give(owner: User, to: str, connection: BrokerConnection) -> UUID:
    return grants.give(owner=owner, named=to, connection_ids=[connection.pk], expires_at=None, now=timezone.now()).pk


def clients_of(user: User, name: str) -> tuple[str, str]:
    """A program that is logged in, and a personal token; their ids."""
    now = timezone.now()
    client = api_sessions.begin(user=user, scope=Scope.READ, name=name, address="192.0.2.7", now=now).session
    token, _ = personal_tokens.make(user=user, name=name, scope=Scope.READ, lifetime=timedelta(days=1), now=now)
    return str(client.pk), str(token.pk)


@pytest.fixture
def marks(db: None, settings: Settings) -> dict[str, str]:
    """Another trader, of whom everything that there is bears MARK, or stands here: path parameter → value."""
    user = trader(MARK)
    row = plain(user, f"{MARK}-account", f"{MARK}'s account")
    services.store_app(
        user=user, broker_type="zerodha", fields={"api_key": f"{MARK}key", "api_secret": f"{MARK}secret"}
    )
    given = give(user, f"{MARK}-friend", row)
    morning.set_reminder(user=user, by_email=True, webhook_url="", rotate_secret=False)
    audit.record(Event.BROKER_RENAMED, subject=user, actor=user, thing=("connection", row.pk))
    client, token = clients_of(user, f"{MARK}'s program")
    orders = {kind: str(key) for kind, key in orders_of(user, row, reason=f"{MARK} said so").items()}
    return {
        **{"connection": str(row.pk), "grant": str(given), "received": str(given), "client": client, "token": token},
        **orders,
        **{kind: str(key) for kind, key in ids_of_limits(user, f"{MARK}'s").items()},
        **{kind: str(key) for kind, key in ids_of_reports(user, f"{MARK}'s").items()},
    }


@pytest.fixture
def hers(alice: User, alices: dict[str, BrokerConnection]) -> dict[str, str]:
    """What Alice's ids lead to."""
    carol = trader("carol")
    shares = plain(carol, "CC1", "Carol's")
    today = timezone.localdate()
    share = Instrument.objects.create(
        exchange="NSE",
        segment="EQUITY",
        kind=InstrumentKind.EQUITY,
        identity="NSE|2885",
        tradingsymbol="RELIANCE",
        words="reliance",
        rank=0,
        first_seen_on=today,
        last_seen_on=today,
    )
    postbacks.make_address(alices["zerodha"], now=timezone.now())
    return {
        "connection": str(alices["zerodha"].pk),
        "grant": str(give(alice, "bob", alices["zerodha"])),
        "received": str(give(carol, "alice", shares)),
        "instrument": str(share.pk),
        "broker": "zerodha",
        **dict(zip(("client", "token"), clients_of(alice, "Hers"), strict=True)),
        **{kind: str(key) for kind, key in orders_of(alice, alices["zerodha"]).items()},
        **{kind: str(key) for kind, key in ids_of_limits(alice).items()},
        **{kind: str(key) for kind, key in ids_of_reports(alice).items()},
    }


# What the parameter of a path names, by the part before it; else a broker.
KINDS = {
    "connections": "connection",
    "terms": "connection",
    "grants": "grant",
    "shared": "received",
    "instruments": "instrument",
    "sessions": "client",
    "tokens": "token",
    "gtt": "gtt",
    "orders": "order",
    "limits": "limit",
    "breaches": "breach",
    "routes": "route",
    "scenarios": "scenario",
    "cash-flows": "flow",
}
# What lets people in is for strangers too.
FOR_STRANGERS = ("/api/v1/auth/login", "/api/v1/auth/refresh")


def kind_of(path: str) -> str:
    return next((kind for part, kind in KINDS.items() if f"/{part}/{{" in path), "broker")


def parameter_of(case: Any) -> str | None:
    return next(iter(case.path_parameters or ()), None)


def ask(case: Any, client: Client | None) -> Any:
    """Ask in Alice's session, or as nobody; undo what it did."""
    headers, cookies = {"Host": "localhost"}, {}
    if client is not None:
        cookies = {name: morsel.value for name, morsel in client.cookies.items()} | {"csrftoken": "x" * 32}
        headers["X-CSRFToken"] = "x" * 32
    cache.clear()
    with transaction.atomic():
        answer = case.call(headers=headers, cookies=cookies)
        transaction.set_rollback(True)
    case.validate_response(answer, checks=CHECKS)
    return answer


@API.parametrize()
@made_up
def test_a_trader_gets_what_is_described_and_nothing_of_anybody_else(
    case: Any, as_alice: Client, hers: dict[str, str], marks: dict[str, str]
) -> None:
    kind, name = kind_of(case.operation.path), parameter_of(case)
    ids = [hers[kind], *([marks[kind]] if kind in marks else [])] if name else []
    for value in (None, *ids):
        if value is not None:
            case.path_parameters = {**case.path_parameters, name: value}
        answer = ask(case, as_alice)
        said = answer.content.decode(errors="replace") + str(answer.headers)
        assert MARK not in said
        assert not any(hidden in said for hidden in marks.values() if len(hidden) > TELLING)
        if kind in marks and value == marks[kind]:  # by kind: small numbers are ids of many things
            assert 400 <= answer.status_code < 500, answer.status_code


@API.parametrize()
@made_up
def test_a_stranger_is_told_to_sign_in(case: Any, hers: dict[str, str]) -> None:
    name = parameter_of(case)
    if name:
        case.path_parameters = {**case.path_parameters, name: hers[kind_of(case.operation.path)]}
    told = ask(case, None).status_code
    assert told in (401, 404, 405, 406) or (case.operation.path in FOR_STRANGERS and told in (400, 409, 413, 415))


@pytest.mark.parametrize(
    "path", ["brokers/connections", "brokers/grants", "brokers/logins", "brokers/logins/reminder", "orders"]
)
def test_whose_rows_they_are_does_see_the_mark(path: str, marks: dict[str, str]) -> None:
    """Else nothing above would find a leak."""
    assert MARK in signed_in(User.objects.get(username=MARK)).get(f"/api/v1/{path}").content.decode()


def test_every_refusal_has_the_one_shape() -> None:
    shape = {"$ref": "#/components/schemas/ErrorAnswer"}
    for path, verbs in API.raw_schema["paths"].items():
        for verb, operation in verbs.items():
            refusals = {code: answer for code, answer in operation["responses"].items() if code >= "400"}
            assert {"401", "403", "429", "503"} <= set(refusals), (verb, path)
            for answer in refusals.values():
                assert answer["content"] == {"application/json": {"schema": shape}}, (verb, path)
