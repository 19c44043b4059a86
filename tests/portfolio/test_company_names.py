"""A share's company, where its broker does not tell it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from brokers.domain import InstrumentKind, Segment
from brokers.models import BrokerConnection
from market.models import Instrument
from portfolio import company_names, services
from portfolio.domain import Source
from tests.portfolio.sources import INFY, SBIN, account, holding, source

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
        assert told(company_names.named(sources)) == ["INFOSYS LIMITED", None, "As Upstox calls it"]


def test_where_all_is_told_nothing_is_asked(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    own = replace(holding(INFY, 5), company_name="As Upstox calls it")
    with django_assert_num_queries(0):
        assert told(company_names.named([source("upstox", account([own]))])) == ["As Upstox calls it"]


def test_the_book_has_it(alice: User, alices: dict[str, BrokerConnection]) -> None:
    def called() -> dict[str | None, str | None]:
        services.refresh(alice, now=timezone.now())
        book = services.latest_book(alice, now=timezone.now(), recent=timedelta(minutes=1))
        return {row.isin: row.company_name for row in book.positions}

    nameless = [isin for isin, name in called().items() if isin and not name]
    assert nameless
    for isin in nameless:
        listed("NSE", isin, f"{isin} LIMITED")
    names = called()
    assert [names[isin] for isin in nameless] == [f"{isin} LIMITED" for isin in nameless]
