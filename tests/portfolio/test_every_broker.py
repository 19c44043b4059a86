"""At every broker, through the whole service: a failure is told as what it is, and never as an empty account."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers import registry
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection
from brokers.shared import redis
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.transport import Transport
from portfolio import services
from tests.brokers.test_login_form import every_row
from tests.contract.recorded import cases
from tests.people import connect

PATH = "/api/v1/brokers/portfolio/consolidated"
PAUSE = 17  # seconds
MARKER = "garbage-of-a-body-that-nobody-may-quote"

each_broker = pytest.mark.parametrize("slug", registry.slugs())


@pytest.fixture
def connection(slug: str, alice: User, brokers: SimulatedBrokers) -> BrokerConnection:
    """Alice's account at the broker in question."""
    made = connect(alice, slug, brokers)
    brokers.control.reset_counters()
    return made


@pytest.fixture
def neighbour(slug: str, alice: User, brokers: SimulatedBrokers) -> BrokerConnection:
    """Her account at another broker, which stays well."""
    return connect(alice, "upstox" if slug == "zerodha" else "zerodha", brokers)


def fetched(user: User, *, after: float = 0) -> dict[str, Any]:
    """The book fetched now, or `after` seconds from now, whatever the cache holds."""
    rendered = services.refresh(user, now=timezone.now() + timedelta(seconds=after))
    assert rendered is not None
    answer: dict[str, Any] = json.loads(rendered.include)
    return answer


def source(portfolio: dict[str, Any], slug: str) -> dict[str, Any]:
    [found] = [source for source in portfolio["sources"] if source["broker_id"] == slug]
    return dict(found)


def shares(portfolio: dict[str, Any], slug: str) -> dict[str, str]:
    """Quantity by share and product, as one broker holds them."""
    return {
        f"{position['key']} {part['product']}": part["quantity"]
        for position in portfolio["positions"]
        for part in position["broker_positions"]
        if part["broker_id"] == slug
    }


def holdings_call(slug: str) -> str:
    return cases(slug).call("holdings").first_request


@each_broker
class TestADeadToken:
    def test_keeps_the_shares_and_says_so(
        self,
        slug: str,
        alice: User,
        as_alice: Client,
        connection: BrokerConnection,
        neighbour: object,
        control: Control,
    ) -> None:
        well = fetched(alice)
        assert well["complete"] is True
        owned = shares(well, slug)
        assert owned
        assert all(Decimal(quantity) > 0 for quantity in owned.values())
        control.set_fault(slug, "expired_token")
        redis().delete(f"portfolio:{alice.pk}:answer")
        portfolio = as_alice.get(PATH).json()
        assert portfolio["complete"] is False
        told = source(portfolio, slug)
        assert (told["state"], told["error_code"], told["in_totals"]) == ("STALE", "session_ended", True)
        assert told["user_action"] == "Log in to the broker again."
        assert shares(portfolio, slug) == owned
        assert portfolio["total_value"] == well["total_value"]
        connection.refresh_from_db()
        assert (connection.status, connection.error_code) == (ConnectionStatus.TOKEN_EXPIRED, "session_ended")
        other = next(row for row in portfolio["sources"] if row["broker_id"] != slug)
        assert other["state"] == "LIVE"

    def test_of_an_account_never_read_is_unknown_and_not_zero(
        self, slug: str, alice: User, connection: BrokerConnection, control: Control
    ) -> None:
        control.set_fault(slug, "expired_token")
        portfolio = fetched(alice)
        assert (portfolio["complete"], portfolio["positions"]) == (False, [])
        assert (portfolio["total_value"], portfolio["total_cost"]) == (None, None)
        assert portfolio["broker_breakdown"] == []
        told = source(portfolio, slug)
        assert (told["state"], told["error_code"], told["in_totals"]) == ("MISSING", "session_ended", False)
        connection.refresh_from_db()
        assert connection.status == ConnectionStatus.TOKEN_EXPIRED

    def test_that_only_one_call_meets_is_no_empty_list(
        self, slug: str, alice: User, connection: BrokerConnection, control: Control
    ) -> None:
        """It dies between two calls: what was read before makes no half portfolio."""
        owned = shares(fetched(alice), slug)
        control.set_fault(slug, "expired_token", path=holdings_call(slug).partition(" ")[2])
        portfolio = fetched(alice)
        assert portfolio["complete"] is False
        assert (source(portfolio, slug)["state"], shares(portfolio, slug)) == ("STALE", owned)

    def test_ended_at_the_broker_is_not_asked_with_again_until_the_next_login(
        self, slug: str, alice: User, connection: BrokerConnection, brokers: SimulatedBrokers
    ) -> None:
        owned = shares(fetched(alice), slug)
        brokers.control.revoke(slug)
        assert source(fetched(alice), slug)["error_code"] == "session_ended"
        brokers.control.reset_counters()
        portfolio = fetched(alice)
        assert brokers.control.counters(slug) == {}
        assert (source(portfolio, slug)["state"], shares(portfolio, slug)) == ("STALE", owned)
        assert connect(alice, slug, brokers).pk == connection.pk
        portfolio = fetched(alice)
        assert (portfolio["complete"], shares(portfolio, slug)) == (True, owned)


@each_broker
class TestARateLimit:
    def test_is_a_pause_until_the_broker_said(
        self,
        slug: str,
        alice: User,
        connection: BrokerConnection,
        control: Control,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        owned = shares(fetched(alice), slug)
        answer_with_header(monkeypatch, "Retry-After", str(PAUSE))
        control.set_fault(slug, "rate_limit")
        now = timezone.now()
        portfolio = json.loads(services.refresh(alice, now=now).include)  # type: ignore[union-attr]
        assert portfolio["complete"] is False
        told = source(portfolio, slug)
        assert (told["state"], told["error_code"]) == ("STALE", "broker_rate_limited")
        assert shares(portfolio, slug) == owned
        connection.refresh_from_db()
        assert connection.status == ConnectionStatus.RATE_LIMITED
        assert connection.retry_after == now + timedelta(seconds=PAUSE)

        control.clear_faults(slug)
        control.reset_counters()
        assert source(fetched(alice), slug)["error_code"] == "broker_rate_limited"
        assert control.counters(slug) == {}
        portfolio = fetched(alice, after=PAUSE + 1)
        assert (portfolio["complete"], shares(portfolio, slug)) == (True, owned)
        connection.refresh_from_db()
        assert (connection.status, connection.retry_after) == (ConnectionStatus.CONNECTED, None)

    def test_without_a_time_is_tried_again_with_the_next_fetch(
        self,
        slug: str,
        alice: User,
        connection: BrokerConnection,
        control: Control,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        answer_with_header(monkeypatch, "Retry-After", None)
        control.set_fault(slug, "rate_limit")
        fetched(alice)
        connection.refresh_from_db()
        assert (connection.status, connection.retry_after) == (ConnectionStatus.RATE_LIMITED, None)
        control.clear_faults(slug)
        assert fetched(alice)["complete"] is True


def answer_with_header(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    """Give every refusal that header, or none: of the simulated brokers only some send one, as the real do."""
    as_sent = Transport._exchange

    def exchange(self: Transport, *sent: Any, **how: Any) -> tuple[int, Mapping[str, str], bytes]:
        status, headers, body = as_sent(self, *sent, **how)
        others = {known: text for known, text in headers.items() if known.lower() != name.lower()}
        return status, others | ({name: value} if value and status >= 400 else {}), body

    monkeypatch.setattr(Transport, "_exchange", exchange)


@each_broker
@pytest.mark.parametrize("form", ["json", "html"])
def test_maintenance_is_told_as_such(
    form: str, slug: str, alice: User, connection: BrokerConnection, control: Control
) -> None:
    owned = shares(fetched(alice), slug)
    control.set_fault(slug, "maintenance", format=form)
    portfolio = fetched(alice)
    told = source(portfolio, slug)
    assert (portfolio["complete"], told["state"], told["error_code"]) == (False, "STALE", "broker_maintenance")
    assert shares(portfolio, slug) == owned
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.MAINTENANCE


@each_broker
@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"stat', id="half"),
        pytest.param(json.dumps({"answer": MARKER}), id="other-fields"),
        pytest.param(json.dumps(MARKER), id="a-text"),
        pytest.param(f"<p>{MARKER}</p>", id="a-page"),
    ],
)
def test_garbage_names_the_field_and_is_quoted_nowhere(
    body: str,
    slug: str,
    alice: User,
    as_alice: Client,
    connection: BrokerConnection,
    control: Control,
    caplog: pytest.LogCaptureFixture,
) -> None:
    owned = shares(fetched(alice), slug)
    control.serve(slug, holdings_call(slug), body)
    caplog.set_level(logging.DEBUG, logger="brokers")
    caplog.set_level(logging.DEBUG, logger="portfolio")
    redis().delete(f"portfolio:{alice.pk}:answer")
    answer = as_alice.get(PATH)
    portfolio = answer.json()
    told = source(portfolio, slug)
    assert (portfolio["complete"], told["state"], told["error_code"]) == (False, "STALE", "unexpected_response")
    assert re.search(r"`[^`]+`", told["error_message"])
    assert shares(portfolio, slug) == owned
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    assert connection.error_message == told["error_message"]
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert MARKER not in "\n".join([logged, answer.content.decode(), *every_row()])


@each_broker
def test_an_empty_account_is_zero_and_complete(
    slug: str, alice: User, connection: BrokerConnection, control: Control
) -> None:
    """What none of the failures above may look like."""
    control.set_fault(slug, "empty_account")
    portfolio = fetched(alice)
    assert (portfolio["complete"], portfolio["total_value"], portfolio["positions"]) == (True, "0.00", [])
    assert source(portfolio, slug)["state"] == "LIVE"


@each_broker
def test_holdings_of_which_no_row_can_be_read_are_no_empty_account(
    slug: str, alice: User, connection: BrokerConnection, control: Control
) -> None:
    well = fetched(alice)
    field = cases(slug).required["holdings"]
    control.set_fault(slug, "missing_field", path=holdings_call(slug).partition(" ")[2], field=field)
    portfolio = fetched(alice)
    told = source(portfolio, slug)
    assert (portfolio["complete"], told["state"], told["error_code"]) == (False, "STALE", "unexpected_response")
    assert f"`holdings.{field}`" in told["error_message"]
    assert (shares(portfolio, slug), portfolio["total_value"]) == (shares(well, slug), well["total_value"])
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
