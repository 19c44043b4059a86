"""Shares dealt in today whose broker tells no ISIN: the instrument master names them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from brokers import registry
from brokers.domain import BrokerPortfolio, Exchange, InstrumentKind, Product
from brokers.simulation.server import SimulatedBrokers
from market.masters import load_master
from market.models import Instrument, InstrumentListing, LoadOutcome
from market.remembered import KEPT, UNKNOWN_KEPT
from portfolio import services
from portfolio.fetching import Answer
from portfolio.naming import named
from tests.people import connect
from tests.portfolio.sources import INFY, NOW, SBIN, account, holding, position
from tests.portfolio.test_wanted import with_masters

WIPRO = "INE075A01022"
BSE = Exchange.BSE


def listed(symbol: str, isin: str | None, *, exchange: Exchange = BSE, **changed: Any) -> InstrumentListing:
    """As Zerodha calls it."""
    instrument = Instrument.objects.create(
        exchange=exchange,
        segment="EQUITY",
        kind=InstrumentKind.EQUITY,
        identity=f"{exchange}|{symbol}",
        tradingsymbol=symbol,
        isin=isin,
        first_seen_on=NOW.date(),
        last_seen_on=NOW.date(),
        rank=0,
        words=symbol,
    )
    facts = {"broker_token": f"{exchange}:{symbol}", "tradingsymbol": symbol, "multiplier": Decimal(1), **changed}
    return InstrumentListing.objects.create(instrument=instrument, broker_type="zerodha", **facts)


def told(*portfolios: BrokerPortfolio, now: datetime = NOW) -> list[list[str | None]]:
    """The ISINs of the positions of accounts at Zerodha."""
    answers = {uuid4(): Answer(portfolio, None) for portfolio in portfolios}
    slugs: dict[UUID, str] = dict.fromkeys(answers, "zerodha")
    return [
        [row.isin for row in answer.portfolio.positions]
        for answer in named(answers, slugs, now).values()
        if answer.portfolio is not None
    ]


def bought(symbol: str, **changed: Any) -> BrokerPortfolio:
    return account(positions=[position(10, symbol=symbol, exchange=BSE, **changed)])


@pytest.mark.django_db
class TestNames:
    def test_the_master_names_what_the_broker_does_not(self) -> None:
        listed("WIPRO", WIPRO)
        assert told(bought("WIPRO"), bought("SBIN")) == [[WIPRO], [None]]

    def test_what_a_holding_names_is_left_to_it(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        """Of two words on one listing that of the demat account counts: the master may be a day ahead, or behind."""
        with django_assert_num_queries(0):
            assert told(bought("INFY"), account([holding(INFY, exchange=BSE)])) == [[None], []]
            assert told(bought("INFY", isin=SBIN), bought("INFY", product=Product.MIS)) == [[SBIN], [None]]

    @pytest.mark.parametrize(
        "changed",
        [{"exchange": Exchange.NSE, "broker_token": "BSE:WIPRO"}, {"withdrawn_on": NOW.date()}],
        ids=["another exchange's", "withdrawn"],
    )
    def test_it_must_be_this_very_listing(self, changed: dict[str, Any]) -> None:
        listed("WIPRO", WIPRO, **changed)
        assert told(bought("WIPRO")) == [[None]]

    def test_a_name_is_asked_for_once_in_a_while(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        listed("WIPRO", WIPRO)
        both = bought("WIPRO"), bought("SBIN")
        with django_assert_num_queries(1):
            assert told(*both) == told(*both) == [[WIPRO], [None]]
        listed("SBIN", SBIN)  # as its master is loaded
        with django_assert_num_queries(1):
            assert told(*both, now=NOW + UNKNOWN_KEPT) == [[WIPRO], [SBIN]]
        with django_assert_num_queries(1):
            assert told(*both, now=NOW + KEPT + timedelta(seconds=1)) == [[WIPRO], [SBIN]]


@pytest.mark.parametrize("slug", registry.slugs())
def test_what_was_bought_at_one_broker_joins_what_is_held_at_another(
    slug: str, alice: User, brokers: SimulatedBrokers, settings: Settings
) -> None:
    """Ten WIPRO of BSE, bought today at a broker that holds none; Upstox holds 220 of NSE."""
    with_masters(settings, brokers)
    dealt = {"symbol": "WIPRO", "exchange": "BSE", "product": "CNC", "day_buy_quantity": 10, "day_buy_price": "246.20"}
    held = {"symbol": "WIPRO", "isin": WIPRO, "exchange": "NSE", "settled": 220, "average_price": "200"}
    brokers.control.set_book("upstox", brokers.control.book("upstox") | {"holdings": [held], "positions": []})
    holdings = [held] if slug == "upstox" else []
    brokers.control.set_book(slug, brokers.control.book(slug) | {"holdings": holdings, "positions": [dealt]})
    for each in {slug, "upstox"}:
        connect(alice, each, brokers)
    for each in {slug, "upstox"}:  # some masters tell no ISIN; the table has it of another's row of the same listing
        loaded = load_master(broker_type=each, now=timezone.now())
        assert loaded is not None
        assert loaded.outcome == LoadOutcome.LOADED
    rendered = services.refresh(alice, now=timezone.now())
    assert rendered is not None
    portfolio = json.loads(rendered.include)
    [wipro] = portfolio["positions"]
    assert (wipro["isin"], wipro["symbol"], wipro["exchange"]) == (WIPRO, "WIPRO", "NSE")
    assert (Decimal(wipro["total_quantity"]), Decimal(wipro["today_quantity"])) == (230, 10)
    assert portfolio["coverage"]["unmatched_instruments"] == 0
