"""Facts of every spec that the rest of the house relies on, and when sessions die."""

from __future__ import annotations

from datetime import datetime, time
from urllib.parse import urlsplit

import pytest

from brokers import registry
from brokers.errors import BrokerError, RequestRefused
from brokers.spec import CallbackSpec, SessionPolicy
from brokers.wire import IST

every_broker = pytest.mark.parametrize("slug", registry.slugs())


@every_broker
def test_addresses_are_https(slug: str) -> None:
    endpoints = registry.load(slug).spec.endpoints
    for url in (endpoints.base_url, endpoints.login_url):
        assert urlsplit(url).scheme == "https"
        assert not url.endswith("/")


@every_broker
def test_there_is_a_way_to_log_in(slug: str) -> None:
    spec = registry.load(slug).spec
    assert spec.callback or spec.login_methods
    assert len({field.name for field in spec.app_fields}) == len(spec.app_fields)


@every_broker
def test_the_error_table_is_made_of_codes_and_statuses(slug: str) -> None:
    errors = registry.load(slug).spec.errors
    assert errors
    for (status, code), verdict in errors.items():
        assert (status, code) != (None, None)
        assert status is None or 100 <= status < 600
        assert issubclass(verdict.error, BrokerError)


@every_broker
def test_capabilities_name_what_can_be_read(slug: str) -> None:
    capabilities = registry.load(slug).spec.capabilities
    assert {"holdings", "positions", "funds", "quotes"} <= set(capabilities.features)
    assert capabilities.exchanges
    assert capabilities.products
    assert all(limit.calls > 0 and limit.seconds > 0 for limit in capabilities.rate_limits)


def ist(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=IST)


@pytest.mark.parametrize(
    ("slug", "logged_in", "ends"),
    [
        ("zerodha", ist(23, 10), ist(24, 6)),
        ("zerodha", ist(23, 23, 59), ist(24, 6)),
        ("zerodha", ist(23, 2), ist(24, 6)),  # by the documented wording; the 403 decides
        ("upstox", ist(24, 20), ist(25, 3, 30)),
        ("upstox", ist(24, 2, 30), ist(24, 3, 30)),
        ("upstox", ist(24, 3, 30), ist(25, 3, 30)),
    ],
)
def test_sessions_die_when_the_page_says(slug: str, logged_in: datetime, ends: datetime) -> None:
    assert registry.load(slug).spec.session.end(logged_in) == ends


def test_the_end_of_a_session_is_counted_in_indian_time() -> None:
    policy = SessionPolicy(ends_at=time(6, 0), always_next_day=True)
    login = ist(23, 1).astimezone(tz=None)  # still the 22nd in UTC
    assert policy.end(login) == ist(24, 6)


def test_a_code_is_read_only_from_a_success() -> None:
    callback = CallbackSpec(code="request_token", success={"status": "success"})
    assert callback.read_code({"request_token": "abc", "status": "success"}).reveal() == "abc"
    for said in ({"status": "success"}, {"request_token": ""}, {"request_token": "abc", "status": "error"}, {}):
        with pytest.raises(RequestRefused) as caught:
            callback.read_code(said)
        assert caught.value.code == "login_refused"
