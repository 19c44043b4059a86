"""What every broker must do, against its simulation: one module for all of them, nothing skipped."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from brokers import registry
from brokers.base import listing_of
from brokers.domain import SEGMENT_OF, ConnectionStatus, Exchange, Holding, Product
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from tests.contract.live import STATE, LiveBroker, read
from tests.contract.recorded import NOW, cases

SLUGS = registry.slugs()
REDIRECTING = [slug for slug in SLUGS if registry.load(slug).spec.callback]
REVOKING = [slug for slug in SLUGS if "revoke" in registry.load(slug).spec.capabilities.features]
# A login whose only call is a read, with tokens that came in the redirect, has nothing that could happen twice.
WRITING = [slug for slug in SLUGS if cases(slug).writes("exchange")]
ONE_USE = [slug for slug in SLUGS if cases(slug).one_use_code]
READS = ("profile", "holdings", "positions", "funds")
LONG = 20_000  # milliseconds a fault may pause; no test waits for its end
PAISA = Decimal("0.01")

every_broker = pytest.mark.parametrize("slug", SLUGS)


# --- connecting -------------------------------------------------------------------------------------------------------
@every_broker
def test_a_login_opens_a_session_until_the_spec_says(live: LiveBroker) -> None:
    session = live.log_in()
    profile = live.client(session).profile()
    account = live.book().account
    assert (profile.account_id, profile.is_active) == (account.user_id, True)
    assert session.account_id in (None, profile.account_id)
    assert session.expires_at == live.broker.spec.session.end(NOW)


@pytest.mark.parametrize("slug", REDIRECTING)
def test_the_state_comes_back_untouched(live: LiveBroker) -> None:
    spec = live.broker.spec.callback
    assert spec is not None
    assert live.callback().get(spec.state) == (None if spec.may_drop_state else STATE)


@pytest.mark.parametrize("slug", REDIRECTING)
def test_a_cancelled_login_is_refused_without_a_call(live: LiveBroker) -> None:
    callback = live.callback(cancel="1")
    live.control.reset_counters()
    error = refused(live, lambda: live.exchange(callback), RequestRefused)
    assert (error.code, error.connection_status) == ("login_refused", None)
    assert live.control.counters(live.slug) == {}


@every_broker
def test_a_wrong_app_is_refused(live: LiveBroker) -> None:
    def connect() -> None:
        session = live.exchange(live.callback(), live.wrong_app)
        live.client(session, app=live.wrong_app).profile()

    refused(live, connect, SessionEnded, RequestRefused)


@pytest.mark.parametrize("slug", ONE_USE)
def test_a_code_works_once(live: LiveBroker) -> None:
    callback = live.callback()
    live.exchange(callback)
    refused(live, lambda: live.exchange(callback), SessionEnded, RequestRefused)


@pytest.mark.parametrize("slug", WRITING)
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("drop_connection", {"mode": "before_reply"}),
        ("drop_connection", {"mode": "mid_body"}),
        ("malformed_body", {}),
        ("server_error", {}),
        ("html_gateway", {}),
    ],
)
def test_an_exchange_without_a_verdict_is_never_sent_twice(
    live: LiveBroker, kind: str, parameters: dict[str, str]
) -> None:
    request = cases(live.slug).call("exchange").first_request
    callback = live.callback()
    live.control.reset_counters()
    live.control.set_fault(live.slug, kind, path=request.partition(" ")[2], **parameters)
    error = refused(live, lambda: live.exchange(callback), OutcomeUnknown)
    assert not error.retryable
    assert live.control.counters(live.slug)[request] == 1


@pytest.mark.parametrize("slug", WRITING)
def test_an_exchange_that_never_left_may_be_tried_again(live: LiveBroker) -> None:
    callback = live.callback()
    live.control.set_fault(live.slug, "down")
    assert refused(live, lambda: live.exchange(callback), BrokerUnavailable).retryable
    live.control.clear_faults(live.slug)
    assert live.client(live.exchange(callback)).profile()


@pytest.mark.parametrize("slug", REVOKING)
def test_a_revoked_session_is_dead_at_the_broker(live: LiveBroker) -> None:
    session = live.log_in()
    live.auth().revoke(session)
    refused(live, live.client(session).profile, SessionEnded)


# --- reading ----------------------------------------------------------------------------------------------------------
@every_broker
def test_every_share_of_the_book_is_read_with_its_cost(live: LiveBroker) -> None:
    portfolio, book = read(live.client(live.log_in())), live.book()
    assert portfolio.problems == ()
    own = {line.isin: line for line in portfolio.holdings if line.product is Product.CNC}
    assert {isin: (still_owned(line), line.average_price) for isin, line in own.items()} == {
        row.isin: (row.owned, row.average_price) for row in book.holdings
    }
    assert {isin: (line.t1_quantity, line.pledged_quantity) for isin, line in own.items()} == {
        row.isin: (row.t1, row.pledged) for row in book.holdings
    }


@every_broker
def test_every_position_of_the_book_is_read_with_its_sign(live: LiveBroker) -> None:
    portfolio, book = read(live.client(live.log_in())), live.book()
    positions = [line for line in portfolio.positions if line.product is not Product.MTF]
    written = [row for row in book.positions if row.product != "MTF"]
    assert sorted((line.exchange, line.product, line.segment) for line in positions) == sorted(
        (row.exchange, row.product, SEGMENT_OF[Exchange(row.exchange)]) for row in written
    )
    # The book counts lots on MCX, we count units.
    assert sorted(line.quantity for line in positions if line.exchange is not Exchange.MCX) == sorted(
        row.quantity for row in written if row.exchange != "MCX"
    )


@every_broker
def test_financed_shares_are_lines_of_their_own(live: LiveBroker) -> None:
    portfolio, book = read(live.client(live.log_in())), live.book()
    lines = [line for line in portfolio.holdings if line.product is Product.MTF]
    rows = [line for line in portfolio.positions if line.product is Product.MTF]
    expected = [row.mtf.quantity for row in book.holdings if row.mtf]
    expected += [row.quantity for row in book.positions if row.product == "MTF"]
    assert sorted([line.owned_quantity for line in lines] + [row.quantity for row in rows]) == sorted(expected)


@every_broker
def test_funds_are_read_to_the_paisa(live: LiveBroker) -> None:
    funds = live.client(live.log_in()).funds()
    book = live.book().funds
    assert funds.available is not None
    assert funds.available.quantize(PAISA) == book.available
    assert funds.collateral is None or funds.collateral.quantize(PAISA) == book.collateral


@every_broker
def test_quotes_carry_the_market_price(live: LiveBroker) -> None:
    client = live.client(live.log_in())
    share = next(line for line in client.holdings().items if line.product is Product.CNC)
    live.control.set_price(share.exchange, "1234.55", isin=str(share.isin), close_price="1230.05")
    [quote] = client.quotes([listing_of(share)])
    assert (quote.exchange, quote.broker_token, quote.last_price) == (
        share.exchange,
        share.broker_token,
        Decimal("1234.55"),
    )
    assert quote.close_price in (None, Decimal("1230.05"))


@every_broker
def test_orders_and_trades_are_read(live: LiveBroker) -> None:
    client = live.client(live.log_in())
    assert (client.orders().problems, client.trades().problems) == ((), ())


@every_broker
def test_an_empty_account_is_empty_and_no_error(live: LiveBroker) -> None:
    live.control.set_fault(live.slug, "empty_account")
    portfolio = read(live.client(live.log_in()))
    assert (portfolio.holdings, portfolio.positions, portfolio.problems) == ((), (), ())
    assert portfolio.funds is not None
    assert portfolio.funds.available == 0


@every_broker
def test_a_new_field_changes_nothing(live: LiveBroker) -> None:
    client = live.client(live.log_in())
    before = read(client)
    live.control.set_fault(live.slug, "unknown_field", field="field_of_tomorrow")
    assert (read(client), client.profile().is_active) == (before, True)


@every_broker
def test_rows_that_lack_a_field_are_counted_and_named(live: LiveBroker) -> None:
    client, required = live.client(live.log_in()), cases(live.slug).required
    live.control.set_fault(live.slug, "missing_field", field=required["holdings"])
    rows = client.holdings()
    assert rows.items == ()
    assert {problem.field for problem in rows.problems} == {required["holdings"]}
    assert len(rows.problems) >= len(live.book().holdings)


# --- failing ----------------------------------------------------------------------------------------------------------
@every_broker
@pytest.mark.parametrize("part", READS)
def test_a_dead_token_is_never_an_empty_account(live: LiveBroker, part: str) -> None:
    client = live.client(live.log_in())
    live.control.set_fault(live.slug, "expired_token")
    error = refused(live, getattr(client, part), SessionEnded)
    assert error.connection_status is ConnectionStatus.TOKEN_EXPIRED


@every_broker
@pytest.mark.parametrize("part", READS)
def test_a_token_ended_at_the_broker_is_told_as_such(live: LiveBroker, part: str) -> None:
    client = live.client(live.log_in())
    live.control.revoke(live.slug)
    assert refused(live, getattr(client, part), SessionEnded).user_action == "Log in to the broker again."


@every_broker
@pytest.mark.parametrize("part", READS)
@pytest.mark.parametrize(
    ("kind", "parameters", "error", "status"),
    [
        ("rate_limit", {}, RateLimited, ConnectionStatus.RATE_LIMITED),
        ("maintenance", {"format": "json"}, BrokerUnavailable, ConnectionStatus.MAINTENANCE),
        ("maintenance", {"format": "html"}, BrokerUnavailable, ConnectionStatus.MAINTENANCE),
        ("server_error", {}, BrokerUnavailable, ConnectionStatus.ERROR),
        ("malformed_body", {}, UnexpectedResponse, ConnectionStatus.ERROR),
        ("drop_connection", {"mode": "before_reply"}, BrokerUnavailable, ConnectionStatus.ERROR),
        ("drop_connection", {"mode": "mid_body"}, BrokerUnavailable, ConnectionStatus.ERROR),
        ("down", {}, BrokerUnavailable, ConnectionStatus.ERROR),
    ],
)
def test_an_outage_is_named_for_what_it_is(
    live: LiveBroker,
    part: str,
    kind: str,
    parameters: dict[str, str],
    error: type[BrokerError],
    status: ConnectionStatus,
) -> None:
    client = live.client(live.log_in())
    live.control.set_fault(live.slug, kind, **parameters)
    caught = refused(live, getattr(client, part), error)
    assert caught.connection_status is status
    assert caught.retryable is (error is not UnexpectedResponse)
    live.control.clear_faults(live.slug)
    assert getattr(client, part)()


@every_broker
def test_a_page_of_a_gateway_is_an_outage(live: LiveBroker) -> None:
    client = live.client(live.log_in())
    live.control.set_fault(live.slug, "html_gateway")
    error = refused(live, client.holdings, BrokerUnavailable)
    assert error.connection_status in (ConnectionStatus.MAINTENANCE, ConnectionStatus.ERROR)
    assert "Bad Gateway" not in f"{error} {error.reason}"


@every_broker
def test_a_malformed_body_is_named_and_never_quoted(live: LiveBroker, caplog: pytest.LogCaptureFixture) -> None:
    client = live.client(live.log_in())
    live.control.set_fault(live.slug, "malformed_body")
    error = refused(live, client.holdings, UnexpectedResponse)
    assert "body" in str(error)
    isins = [row.isin for row in live.book().holdings]
    assert [isin for isin in isins if isin in f"{error!r} {caplog.text}"] == []


@every_broker
@pytest.mark.parametrize("kind", ["latency", "slow_body"])
def test_a_slow_reply_ends_at_the_deadline(live: LiveBroker, kind: str) -> None:
    client = live.client(live.log_in(), seconds=0.4)
    live.control.set_fault(live.slug, kind, milliseconds=LONG)
    started = time.monotonic()
    refused(live, client.holdings, BrokerUnavailable)
    assert time.monotonic() - started < LONG / 1000


@every_broker
def test_a_read_is_asked_once_more_when_the_connection_breaks(live: LiveBroker) -> None:
    request = cases(live.slug).call("profile").first_request
    client = live.client(live.log_in())
    live.control.reset_counters()
    live.control.set_fault(live.slug, "drop_connection", path=request.partition(" ")[2], count=1)
    assert client.profile().is_active
    assert live.control.counters(live.slug)[request] == 2
    live.control.set_fault(live.slug, "drop_connection")
    refused(live, client.profile, BrokerUnavailable)
    assert live.control.counters(live.slug)[request] == 4


def refused(live: LiveBroker, act: Callable[[], Any], *errors: type[BrokerError]) -> BrokerError:
    """The error of an act, proven to print no secret."""
    with pytest.raises(errors) as caught:
        act()
    told = f"{caught.value} {caught.value!r} {caught.value.message} {caught.value.reason}"
    assert [secret for secret in live.secrets if secret in told] == []
    return caught.value


def still_owned(line: Holding) -> Decimal:
    return line.owned_quantity - (line.used_quantity if line.sales_deducted is False else 0)
