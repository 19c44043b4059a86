"""A share's company, where its broker does not tell it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers.domain import InstrumentKind, Segment
from brokers.models import BrokerConnection
from market.models import Instrument
from market.remembered import KEPT, UNKNOWN_KEPT
from portfolio import services
from portfolio.domain import Source
from portfolio.naming import with_companies
from tests.portfolio.sources import INFY, NOW, SBIN, account, holding, source

pytestmark = pytest.mark.django_db


def listed(exchange: str, isin: str, name: str, ended_on: date | None = None) -> None:
    Instrument.objects.create(
        identity=f"{exchange}:{isin}{ended_on or ''}",
        exchange=exchange,
        kind=InstrumentKind.EQUITY,
        tradingsymbol=isin[3:7],
        isin=isin,
        name=name,
        segment=Segment.EQUITY,
        rank=1,
        words="",
        first_seen_on=date(2026, 11, 1),
        last_seen_on=date(2026, 11, 23),
        ended_on=ended_on,
    )


def told(sources: list[Source]) -> list[str | None]:
    return [line.company_name for one in sources if one.portfolio for line in one.portfolio.holdings]


def test_it_is_called_as_the_exchange_calls_it(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    listed("NSE", INFY, "INFOSYS LIMITED")
    listed("BSE", INFY, "Infosys Ltd")
    listed("NSE", SBIN, "Of before", ended_on=date(2026, 11, 2))
    own = replace(holding(INFY, 5), company_name="As Upstox calls it")
    sources = [
        source("zerodha", account([holding(INFY, 10), holding(SBIN, 1, symbol="SBIN")])),
        source("upstox", account([own])),
        source("groww", None),
    ]
    with django_assert_num_queries(1):
        assert told(with_companies(sources, NOW)) == ["INFOSYS LIMITED", None, "As Upstox calls it"]


def test_where_all_is_told_nothing_is_asked(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    own = replace(holding(INFY, 5), company_name="As Upstox calls it")
    with django_assert_num_queries(0):
        assert told(with_companies([source("upstox", account([own]))], NOW)) == ["As Upstox calls it"]


def test_a_name_is_asked_for_once_in_a_while(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    listed("NSE", INFY, "INFOSYS LIMITED")
    sources = [source("zerodha", account([holding(INFY, 10), holding(SBIN, 1, symbol="SBIN")]))]
    with django_assert_num_queries(1):
        for _ in range(2):
            assert told(with_companies(sources, NOW)) == ["INFOSYS LIMITED", None]
    listed("NSE", SBIN, "STATE BANK OF INDIA")  # as a master is loaded
    Instrument.objects.filter(isin=INFY).update(name="INFOSYS LTD")
    soon = NOW + UNKNOWN_KEPT
    with django_assert_num_queries(1):
        assert told(with_companies(sources, soon)) == ["INFOSYS LIMITED", "STATE BANK OF INDIA"]
    with django_assert_num_queries(1):
        assert told(with_companies(sources, NOW + KEPT)) == ["INFOSYS LTD", "STATE BANK OF INDIA"]
    with django_assert_num_queries(0):
        assert told(with_companies(sources, soon + KEPT - timedelta(seconds=1)))[1] == "STATE BANK OF INDIA"


def test_the_book_has_it(alice: User, alices: dict[str, BrokerConnection]) -> None:
    def called(now: datetime) -> dict[str | None, str | None]:
        services.refresh(alice, now=now)
        book = services.latest_book(alice, now=now, recent=timedelta(minutes=1))
        return {row.isin: row.company_name for row in book.positions}

    began = timezone.now()
    nameless = [isin for isin, name in called(began).items() if isin and not name]
    assert nameless
    for isin in nameless:
        listed("NSE", isin, f"{isin} LIMITED")
    names = called(began + UNKNOWN_KEPT)
    assert [names[isin] for isin in nameless] == [f"{isin} LIMITED" for isin in nameless]


def test_a_page_that_opens_on_the_last_good_answers_has_it(alice: User, alices: dict[str, BrokerConnection]) -> None:
    def called(now: datetime) -> dict[str, str | None]:
        told = json.loads(services.latest(alice, now=now).include)
        return {row["isin"]: row["company_name"] for row in told["positions"] if row["isin"]}

    began = timezone.now()
    services.fetched_sources(alice, now=began)
    nameless = [isin for isin, name in called(began).items() if not name]
    assert nameless
    for isin in nameless:
        listed("NSE", isin, f"{isin} LIMITED")
    names = called(began + UNKNOWN_KEPT)
    assert [names[isin] for isin in nameless] == [f"{isin} LIMITED" for isin in nameless]


def test_a_second_refresh_asks_the_master_nothing(alice: User, alices: dict[str, BrokerConnection]) -> None:
    def asked() -> list[str]:
        with CaptureQueriesContext(database) as captured:
            services.fetched_sources(alice, now=timezone.now())
            services.known_sources(alice, now=timezone.now(), recent=timedelta(minutes=1))
        return [query["sql"] for query in captured if "market_instrument" in query["sql"]]

    assert len(asked()) == 1
    assert asked() == []
