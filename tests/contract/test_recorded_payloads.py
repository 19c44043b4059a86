"""Every recorded payload of every broker, through its real client, becomes the objects worked out by hand.

A new broker adds fixtures, not tests; one without fixtures or sandbox fails.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokers import registry
from brokers.errors import BrokerError
from brokers.simulation.server import load_sandbox
from tests.contract.meaning import MEANINGS
from tests.contract.recorded import (
    ACCESS_TOKEN,
    API_KEY,
    API_SECRET,
    FIXTURES,
    JSON,
    Call,
    RecordedError,
    answering,
    as_plain,
    cases,
    expected,
    make,
    payload,
    replay,
    sent,
)

EVERY_BROKER_IS_ASKED = {"exchange", "profile", "holdings", "positions", "funds", "quotes", "orders", "trades"}
EVERY_BROKER_SAYS = {"TOKEN_EXPIRED", "RATE_LIMITED", "MAINTENANCE", "REJECTED_INPUT", "ERROR"}
HTML_PAGE = b"<html><head><title>Sorry</title></head><body><h1>Sorry</h1></body></html>"


def recorded_calls() -> list[Any]:
    return [
        pytest.param(slug, call, id=f"{slug}-{call.name}") for slug in registry.slugs() for call in cases(slug).calls
    ]


def recorded_errors() -> list[Any]:
    return [
        pytest.param(slug, error, id=f"{slug}-{error.reply.removesuffix('.json')}")
        for slug in registry.slugs()
        for error in cases(slug).errors
    ]


def documented_codes() -> list[Any]:
    """One case per code; None stands for a page of HTML."""
    return [
        pytest.param(slug, row.status, code, row.becomes, id=f"{slug}-{row.status}-{code or 'html'}")
        for slug in registry.slugs()
        for row in cases(slug).codes
        for code in ([None] if row.html else row.codes)
    ]


@pytest.mark.parametrize("slug", registry.slugs())
def test_every_broker_has_fixtures_and_a_sandbox(slug: str) -> None:
    known = cases(slug)
    assert {call.call for call in known.calls} >= EVERY_BROKER_IS_ASKED
    assert {row.becomes for row in known.codes} >= EVERY_BROKER_SAYS
    assert known.errors, "no recorded error"
    assert {"holdings", "positions"} <= known.required.keys()
    assert load_sandbox(slug).slug == slug


@pytest.mark.parametrize("slug", registry.slugs())
def test_the_origin_of_every_fixture_is_told(slug: str) -> None:
    index = (FIXTURES / slug / "INDEX.md").read_text()
    files = (path.name for path in (FIXTURES / slug).rglob("*") if path.is_file())
    kept = {name for name in files if not name.endswith(".expected.json")}
    assert {file for file in kept - {"INDEX.md", "cases.json"} if f"`{file}`" not in index} == set()


@pytest.mark.parametrize(("slug", "call"), recorded_calls())
def test_a_recorded_payload_becomes_the_expected_objects(slug: str, call: Call) -> None:
    assert as_plain(replay(slug, call)) == expected(slug, call)


@pytest.mark.parametrize(("slug", "call"), recorded_calls())
def test_a_call_sends_what_the_broker_documents(slug: str, call: Call) -> None:
    broker = registry.load(slug)
    with answering(broker, {request: payload(slug, file) for request, file in call.replies.items()}) as mock:
        make(broker, call)
        requests = [made.request for made in mock.calls]
    for request in requests:
        assert broker.spec.headers.items() | call.headers.items() <= dict(request.headers).items()
        name = f"{request.method} {request.path_url.partition('?')[0]}"
        assert call.sends.get(name, {}).items() <= sent(request).items()


@pytest.mark.parametrize(("slug", "call"), [case for case in recorded_calls() if case.values[1].profit])
def test_profit_is_counted_from_quantities_and_prices(slug: str, call: Call) -> None:
    rows = {row.tradingsymbol: row for row in replay(slug, call).items}
    profit = {symbol: (as_plain(rows[symbol].pnl), as_plain(rows[symbol].day_pnl)) for symbol in call.profit}
    assert profit == call.profit


@pytest.mark.parametrize(("slug", "error"), recorded_errors())
def test_a_recorded_error_means_what_the_page_says(slug: str, error: RecordedError) -> None:
    caught = refusal(slug, error.call, payload(slug, error.reply), error.status)
    assert MEANINGS[error.becomes].fits(caught), (type(caught), caught.connection_status)
    assert error.code in (None, caught.code)


@pytest.mark.parametrize(("slug", "status", "code", "becomes"), documented_codes())
def test_every_documented_code_means_what_the_page_says(slug: str, status: int, code: str | None, becomes: str) -> None:
    if code is None:
        caught = refusal(slug, "profile", HTML_PAGE, status, content_type="text/html")
    else:
        body = json.dumps(cases(slug).envelope).replace("{code}", code).encode()
        caught = refusal(slug, "profile", body, status)
        assert caught.vendor_code == code
    assert MEANINGS[becomes].fits(caught), (type(caught), caught.connection_status)


@pytest.mark.parametrize(
    ("slug", "part"), [(slug, part) for slug in registry.slugs() for part in sorted(cases(slug).required)]
)
def test_one_bad_row_does_not_hide_the_others(slug: str, part: str) -> None:
    call, field = cases(slug).call(part), cases(slug).required[part]
    request = call.first_request
    whole = json.loads(payload(slug, call.first_reply))
    broken, shorter = json.loads(json.dumps(whole)), json.loads(json.dumps(whole))
    del rows_with(field, broken)[0][field]
    del rows_with(field, shorter)[0]
    assert len(rows_with(field, whole)) > 1, "record at least two rows"
    answer = replay(slug, call, {request: json.dumps(broken).encode()})
    assert answer.items == replay(slug, call, {request: json.dumps(shorter).encode()}).items
    assert [(problem.row, problem.field) for problem in answer.problems] == [(0, field)]


def refusal(slug: str, call_name: str, body: bytes, status: int, *, content_type: str = JSON) -> BrokerError:
    """The error of a call answered so, proven to tell neither secrets nor the body."""
    broker, call = registry.load(slug), cases(slug).call(call_name)
    request = call.first_request
    answered = answering(broker, {request: body}, status=status, content_type=content_type)
    with answered, pytest.raises(BrokerError) as caught:
        make(broker, call)
    told = f"{caught.value} {caught.value!r} {caught.value.message}"
    assert not [secret for secret in (API_KEY, API_SECRET, ACCESS_TOKEN, body.decode()) if secret in told]
    return caught.value


def rows_with(field: str, value: Any) -> list[dict[str, Any]]:
    """The first list of objects with that field, wherever the envelope keeps it."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and field in value[0]:
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((rows for item in inner if (rows := rows_with(field, item))), [])
