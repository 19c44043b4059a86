"""Prices lent by another broker, and instruments that nobody can match: through the whole service."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from brokers import registry
from brokers.models import BrokerConnection
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from brokers.wire import IST
from portfolio import services
from portfolio.models import UnmatchedInstrument
from tests.conftest import signed_in
from tests.people import connect, own_app

# Brokers whose lists have no prices, and the calls that would bring them.
QUOTES = {"groww": "/v1/live-data", "iifl": "/apimarketdata", "iifl_capital": "/v1/marketdata"}
LENDER, LENT = "zerodha", "GET /quote/ohlc"

each_without_prices = pytest.mark.parametrize("slug", QUOTES)


def fetched(user: User, now: datetime | None = None) -> dict[str, Any]:
    rendered = services.refresh(user, now=now or timezone.now())
    assert rendered is not None
    answer: dict[str, Any] = json.loads(rendered.include)
    return answer


def held_by(portfolio: dict[str, Any], slug: str) -> dict[str, dict[str, Any]]:
    """The merged positions that this broker is part of, by ISIN."""
    return {
        position["isin"]: position
        for position in portfolio["positions"]
        if position["isin"] and slug in {part["broker_id"] for part in position["broker_positions"]}
    }


def market(control: Control) -> dict[str, dict[str, str]]:
    prices: dict[str, dict[str, str]] = control.market()["prices"]
    return prices


@each_without_prices
def test_a_share_without_a_price_gets_another_brokers_in_one_request(
    slug: str, alice: User, brokers: SimulatedBrokers
) -> None:
    for each in (slug, LENDER):
        connect(alice, each, brokers)
    brokers.control.set_fault(slug, "server_error", path=QUOTES[slug])
    brokers.control.reset_counters()
    portfolio = fetched(alice)
    prices = market(brokers.control)
    shares = held_by(portfolio, slug)
    assert len(shares) >= len(brokers.control.book(slug)["holdings"])
    for share in shares.values():
        price = prices[f"{share['exchange']}:{share['symbol']}"]
        assert Decimal(share["current_price"]) == Decimal(price["last"]), share["symbol"]
        assert Decimal(share["close_price"]) == Decimal(price["close"]), share["symbol"]
        assert share["price_source"] == LENDER
    assert brokers.control.counters(LENDER)[LENT] == 1
    # What nobody can match cannot be asked for either.
    unmatched = [row for row in portfolio["positions"] if row["isin"] is None and row["current_price"] is None]
    assert portfolio["coverage"]["without_price"] == len(unmatched)


@each_without_prices
def test_alone_it_is_unknown_and_never_zero(slug: str, alice: User, brokers: SimulatedBrokers) -> None:
    connect(alice, slug, brokers)
    brokers.control.set_fault(slug, "server_error", path=QUOTES[slug])
    shares = held_by(fetched(alice), slug)
    assert len(shares) >= len(brokers.control.book(slug)["holdings"])
    for share in shares.values():
        assert Decimal(share["total_quantity"]) > 0
        assert (share["current_price"], share["current_value"], share["unrealized_pnl"]) == (None, None, None)


def test_who_has_bought_no_market_data_is_lent_all_prices(alice: User, brokers: SimulatedBrokers) -> None:
    """XTS sells prices as an application of its own: both of its keys may be left out."""
    own_app(alice, "iifl", brokers, market_api_key="", market_api_secret="")
    connect(alice, "iifl", brokers)
    connect(alice, "upstox", brokers)
    brokers.control.reset_counters()
    shares = held_by(fetched(alice), "iifl")
    assert {share["price_source"] for share in shares.values()} == {"upstox"}
    assert not any("apimarketdata" in call for call in brokers.control.counters("iifl"))
    quoted = {call: count for call, count in brokers.control.counters("upstox").items() if "quote" in call}
    assert list(quoted.values()) == [1]


def test_a_sale_at_a_broker_without_closes_is_measured_from_another_ones(
    alice: User, brokers: SimulatedBrokers
) -> None:
    """Groww's book has sold 30 of its COALINDIA this morning; nobody else holds any."""
    for slug in ("groww", LENDER):
        connect(alice, slug, brokers)
    portfolio = fetched(alice)
    [sale] = [row for row in portfolio["trading_positions"] if row["symbol"] == "COALINDIA"]
    close = Decimal(market(brokers.control)["NSE:COALINDIA"]["close"])
    assert Decimal(sale["day_pnl"]) == 30 * (Decimal(sale["avg_price"]) - close)


@pytest.mark.parametrize("order", [("groww", LENDER), (LENDER, "groww")])
def test_a_close_is_borrowed_once_a_while(order: tuple[str, str], alice: User, brokers: SimulatedBrokers) -> None:
    """Groww quotes no previous close: it is the exchange's, and stays for the day."""
    for slug in order:
        connect(alice, slug, brokers)
    brokers.control.reset_counters()
    for _ in range(3):
        shares = held_by(fetched(alice), "groww")
        assert [share["symbol"] for share in shares.values() if share["close_price"] is None] == []
        assert [share["symbol"] for share in shares.values() if share["day_change"] is None] == []
    assert brokers.control.counters(LENDER)[LENT] == 1


def test_a_close_is_not_taken_into_the_next_day(alice: User, brokers: SimulatedBrokers) -> None:
    for slug in ("groww", LENDER):
        connect(alice, slug, brokers)
    BrokerConnection.objects.update(token_expires_at=None)
    brokers.control.reset_counters()
    midnight = timezone.now().astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    for minutes, times_asked in ((-2, 1), (-1, 1), (0, 2), (1, 2)):
        fetched(alice, midnight + timedelta(minutes=minutes))
        assert brokers.control.counters(LENDER)[LENT] == times_asked


def test_a_close_that_nobody_quotes_is_not_asked_for_at_every_turn(alice: User, brokers: SimulatedBrokers) -> None:
    """Alone, Groww could only be asked itself, once more than for its own prices."""
    connect(alice, "groww", brokers)
    asked = []
    for _ in range(3):
        brokers.control.reset_counters()
        assert {share["close_price"] for share in held_by(fetched(alice), "groww").values()} == {None}
        asked.append(sum(n for call, n in brokers.control.counters("groww").items() if QUOTES["groww"] in call))
    assert asked[0] > asked[1] == asked[2]


def test_who_leaves_a_stale_broker_out_is_lent_what_only_it_had(alice: User, brokers: SimulatedBrokers) -> None:
    """Zerodha's closes stand in its last good answer, which `stale=exclude` leaves out: Upstox is asked for them."""
    for slug in ("groww", LENDER, "upstox"):
        connect(alice, slug, brokers)
    fetched(alice)
    cache.clear()  # forget the closes that the first fetch learnt
    brokers.control.set_fault(LENDER, "down")
    rendered = services.refresh(alice, now=timezone.now())
    assert rendered is not None
    portfolio = json.loads(rendered.exclude)
    assert {part["broker_id"] for part in portfolio["broker_breakdown"]} == {"groww", "upstox"}
    shares = held_by(portfolio, "groww")
    assert shares
    assert [share["symbol"] for share in shares.values() if share["close_price"] is None] == []
    assert portfolio["coverage"]["without_day_change"] == 0


def test_a_lender_that_fails_costs_only_the_loan(alice: User, brokers: SimulatedBrokers) -> None:
    for slug in ("groww", LENDER):
        connect(alice, slug, brokers)
    brokers.control.set_fault("groww", "server_error", path=QUOTES["groww"])
    brokers.control.set_fault(LENDER, "server_error", path="/quote")
    portfolio = fetched(alice)
    own = held_by(portfolio, LENDER)
    for isin, share in held_by(portfolio, "groww").items():
        assert (share["current_price"] is None) is (isin not in own)
    assert {source["state"] for source in portfolio["sources"]} == {"LIVE"}
    assert set(BrokerConnection.objects.values_list("status", flat=True)) == {"CONNECTED"}


def test_a_lender_that_hangs_does_not_hold_the_answer(
    alice: User, brokers: SimulatedBrokers, settings: Settings
) -> None:
    settings.PORTFOLIO_DEADLINE_SECONDS = 2
    for slug in ("groww", LENDER):
        connect(alice, slug, brokers)
    brokers.control.set_fault("groww", "server_error", path=QUOTES["groww"])
    brokers.control.set_fault(LENDER, "latency", path="/quote", milliseconds=30_000)
    started = time.monotonic()
    portfolio = fetched(alice)
    assert time.monotonic() - started < 20  # it hangs for longer
    assert {source["state"] for source in portfolio["sources"]} == {"LIVE"}


def test_another_persons_broker_lends_nothing(alice: User, mallory: User, brokers: SimulatedBrokers) -> None:
    connect(alice, "groww", brokers)
    connect(mallory, LENDER, brokers)
    brokers.control.set_fault("groww", "server_error", path=QUOTES["groww"])
    brokers.control.reset_counters()
    assert {share["current_price"] for share in held_by(fetched(alice), "groww").values()} == {None}
    assert brokers.control.counters(LENDER) == {}


class TestUnmatched:
    """A row that names neither an ISIN nor a contract we know is kept, under its own broker, and listed."""

    @pytest.fixture
    def every_account(self, alice: User, brokers: SimulatedBrokers) -> dict[str, BrokerConnection]:
        return {slug: connect(alice, slug, brokers) for slug in registry.slugs()}

    def test_what_nobody_can_match_is_shown_and_listed_for_support(
        self, alice: User, root: User, every_account: dict[str, BrokerConnection]
    ) -> None:
        portfolio = fetched(alice)
        shown = {
            (part["connection_id"], position["exchange"], position["symbol"])
            for position in portfolio["positions"]
            if position["isin"] is None
            for part in position["broker_positions"]
        }
        assert shown
        listed = UnmatchedInstrument.objects.values_list("broker_connection_id", "exchange", "symbol")
        assert shown <= {(str(connection), exchange, symbol) for connection, exchange, symbol in listed}
        desk = signed_in(root)
        page = desk.get(reverse("admin:portfolio_unmatchedinstrument_changelist")).content.decode()
        assert [symbol for _, _, symbol in shown if f">{symbol}<" not in page] == []

    def test_it_is_listed_once_with_when_it_was_seen(
        self, alice: User, every_account: dict[str, BrokerConnection]
    ) -> None:
        first, second = timezone.now(), timezone.now() + timedelta(seconds=60)
        for now in (first, second):
            cache.clear()  # the tables are written again at once
            fetched(alice, now)
        rows = list(UnmatchedInstrument.objects.all())
        keys = {(row.broker_connection_id, row.exchange, row.symbol) for row in rows}
        assert len(rows) == len(keys) > 0
        assert {(row.first_seen_at, row.last_seen_at) for row in rows} == {(first, second)}

    def test_every_row_of_the_six_books_is_somewhere(
        self, alice: User, brokers: SimulatedBrokers, every_account: dict[str, BrokerConnection]
    ) -> None:
        """Matched or not, nothing is dropped: each broker's shares are all there, to the share."""
        portfolio = fetched(alice)
        assert portfolio["complete"] is True
        for slug in every_account:
            owned: dict[str, Decimal] = {}
            for position in portfolio["positions"]:
                for part in position["broker_positions"]:
                    if part["broker_id"] == slug and position["isin"]:
                        owned[position["isin"]] = owned.get(position["isin"], Decimal()) + Decimal(part["quantity"])
            for row in brokers.control.book(slug)["holdings"]:
                assert owned.get(row["isin"], 0) > 0, (slug, row["symbol"])
