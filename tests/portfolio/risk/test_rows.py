"""The directory out of our table of instruments, and the risk book of the simulated brokers' own accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from brokers import registry
from brokers.domain import ZERO, Contract, Exchange, InstrumentKind, OptionType
from brokers.simulation.server import SimulatedBrokers
from market.masters import load_master
from market.models import Instrument
from portfolio import services
from portfolio.consolidate import consolidate
from portfolio.domain import LivePrice, LivePrices, Source
from portfolio.risk.book import risk_book
from portfolio.risk.directory import Directory
from portfolio.risk.equity import book_equity, equities
from portfolio.risk.exposure import exposures
from portfolio.risk.quick import quick_measures
from portfolio.risk.words import Kind, RiskClass
from portfolio.risk_rows import directory_of
from tests.people import connect
from tests.portfolio.risk.made import CONTRACTS, DECEMBER, contract, held
from tests.portfolio.sources import INFY, NOW, RELIANCE, holding, position

TODAY = date(2026, 11, 23)
OIL = "Oil Gas & Consumable Fuels"


def sectors(isins: Collection[str]) -> dict[str, str | None]:
    return {isin: OIL if isin == RELIANCE else None for isin in isins}


def row(kind: InstrumentKind, symbol: str, exchange: Exchange = Exchange.NSE, **facts: Any) -> Instrument:
    """A row of the table, with the identity that the merge would give it."""
    told: Contract | None = facts.pop("contract", None)
    token = facts.get("exchange_token")
    key = f"{exchange}|INDEX|{symbol}" if kind is InstrumentKind.INDEX else f"{exchange}|{token or '=' + symbol}"
    if told is not None:
        what = f"{told.strike}|{told.option_type}" if told.strike is not None else "FUT"
        key = f"{exchange}|{told.underlying}|{told.expiry}|{what}"
        facts |= {
            "underlying": told.underlying,
            "expiry": told.expiry,
            "strike": told.strike,
            "option_type": told.option_type or "",
        }
    ranks = {InstrumentKind.FUTURE: 2, InstrumentKind.OPTION: 3}
    return Instrument.objects.create(
        exchange=exchange,
        segment="FNO" if told else "EQUITY",
        kind=kind,
        identity=facts.pop("identity", key),
        tradingsymbol=symbol,
        rank=ranks.get(kind, 0 if exchange is Exchange.NSE else 1),
        words=symbol,
        first_seen_on=TODAY,
        last_seen_on=TODAY,
        **facts,
    )


@pytest.fixture
def table(db: None) -> None:
    row(InstrumentKind.EQUITY, "RELIANCE", isin=RELIANCE, exchange_token="2885", name="Reliance Ltd.", series="EQ")
    row(InstrumentKind.EQUITY, "RELIANCE", Exchange.BSE, isin=RELIANCE, exchange_token="500325", series="A")
    row(InstrumentKind.EQUITY, "INFY", isin=INFY, exchange_token="1594", series="BE")
    row(InstrumentKind.INDEX, "NIFTY 50", exchange_token="26000")
    for number, (symbol, told) in enumerate(CONTRACTS.items()):
        kind = InstrumentKind.OPTION if told.strike is not None else InstrumentKind.FUTURE
        row(kind, symbol, Exchange.NFO, contract=told, exchange_token=str(50_000 + number), lot_size=Decimal(65))
    gone = Contract(underlying="NIFTY", expiry=date(2026, 11, 3))
    row(InstrumentKind.FUTURE, "NIFTY26NOVFUT", Exchange.NFO, contract=gone, exchange_token="49999")


def found(*lines: Any) -> Directory:
    return directory_of([held(*lines)], today=TODAY, sector_of=sectors)


@pytest.mark.usefixtures("table")
class TestTheDirectory:
    def test_a_contract_is_known_by_its_number_and_hangs_on_its_share(self) -> None:
        directory = found(contract("R26DEC1500CE", 500, contract=None, exchange_token="50004"))
        known = directory.tokens[Exchange.NFO, "50004"]
        assert (known.identity, known.option_type) == ("NFO|RELIANCE|2026-12-29|1500|CE", OptionType.CE)
        assert (known.isin_of_underlying, known.risk_class, known.lot_size) == (RELIANCE, RiskClass.EQUITY, 65)
        assert directory.issuers == {"RELIANCE": RELIANCE}
        assert directory.sectors == {RELIANCE: OIL}
        assert directory.spots[RELIANCE] == ((Exchange.NSE, "2885"), (Exchange.BSE, "500325"))
        assert directory.futures[Exchange.NFO, "RELIANCE"] == ((DECEMBER, (Exchange.NFO, "50003")),)

    def test_and_by_what_its_row_says(self) -> None:
        directory = found(contract("NIFTY26DEC27000CE", 65))
        known = directory.symbols[Exchange.NFO, "NIFTY26DEC27000CE"]
        assert (known.risk_class, known.isin_of_underlying) == (RiskClass.INDEX, None)
        assert directory.spots["NIFTY"] == ((Exchange.NSE, "26000"),)
        assert directory.futures[Exchange.NFO, "NIFTY"] == ((DECEMBER, (Exchange.NFO, "50000")),)

    def test_shares_are_known_by_isin_or_by_symbol(self) -> None:
        directory = found(holding(RELIANCE, 1, symbol="RELIANCE"), holding(None, 1, symbol="INFY"))
        assert (directory.shares[RELIANCE].name, directory.shares[RELIANCE].series) == ("Reliance Ltd.", "EQ")
        assert directory.symbols[Exchange.NSE, "INFY"].isin == INFY

    def test_what_has_expired_is_nobodys_number_any_more(self) -> None:
        assert found(contract("NIFTY26NOVFUT", 65, contract=None, exchange_token="49999")).tokens == {}

    def test_what_is_not_in_the_table_is_not_known(self) -> None:
        directory = found(holding("INE111A01111", 1, symbol="WHO"), position(1, symbol="NEVER"))
        assert (directory.tokens, directory.symbols, directory.shares) == ({}, {}, {})

    def test_two_queries_do_whatever_is_held(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        lines = [
            holding(RELIANCE, 1, symbol="RELIANCE"), holding(None, 1, symbol="INFY"),
            *(contract(symbol, 65, exchange_token=str(50_000 + n)) for n, symbol in enumerate(CONTRACTS)),
        ]  # fmt: skip
        with django_assert_num_queries(2):
            found(*lines)

    def test_nothing_held_is_nothing_asked(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        with django_assert_num_queries(0):
            assert found() == Directory()

    def test_an_index_prices_its_options_by_its_stream(self) -> None:
        source = held(contract("NIFTY26DEC27000CE", 65))
        directory = directory_of([source], today=TODAY, sector_of=sectors)
        told = LivePrice(exchange=Exchange.NSE, price=Decimal(26010), close=None, source="upstox", as_of=NOW)
        book = risk_book(
            [source], now=NOW, directory=directory, streamed=LivePrices({}, {(Exchange.NSE, "26000"): told})
        )
        [line] = book.lines
        assert (line.underlying_price, line.underlying_is_future, line.lot_size) == (26010, False, 65)


# --- the simulated brokers' real books --------------------------------------------------------------------------------
@pytest.fixture
def sources(
    alice: User, brokers: SimulatedBrokers, settings: Settings, transactional_db: None
) -> tuple[list[Source], dict[str, Any], datetime]:
    """Every broker's demo account, connected and fetched; and one broker's master loaded."""
    for slug in registry.slugs():
        connect(alice, slug, brokers)
    settings.BROKERS = {
        slug: known | {"master_url": brokers.brokers[slug]["master_url"]} for slug, known in settings.BROKERS.items()
    }
    now = datetime.now(tz=NOW.tzinfo)
    load_master(broker_type="upstox", now=now)
    fetched, borrowed = services.fetched_sources(alice, now=now)
    return list(fetched), dict(borrowed), now


def test_the_risk_book_is_the_portfolio_that_is_shown(
    alice: User, sources: tuple[list[Source], dict[str, Any], datetime]
) -> None:
    fetched, borrowed, now = sources
    portfolio = consolidate(alice.pk, fetched, now=now, borrowed=borrowed)
    directory = directory_of(fetched, today=now.date(), sector_of=sectors)
    book = risk_book(fetched, now=now, borrowed=borrowed, directory=directory)
    owned = [line for line in book.lines if line.kind is Kind.SPOT and not line.is_intraday]
    assert portfolio.total_value is not None
    assert sum((line.value or ZERO for line in owned), ZERO) == portfolio.total_value > 0
    units: Counter[str] = Counter()
    for line in owned:
        units[line.instrument] += line.units
    expected: Counter[str] = Counter()
    for each in portfolio.positions:
        # Some brokers tell no ISIN of what was bought today; our table does.
        isin = each.isin or directory.symbols[each.exchange, each.symbol].isin
        assert isin is not None
        expected[isin] += each.total_quantity
    assert units == expected

    net: Counter[str] = Counter()
    for line in book.lines:
        if line.kind is not Kind.SPOT:
            net[line.instrument] += line.units
            assert "|" in line.instrument
            assert not line.instrument.startswith(line.connection_id)
    told = {each.symbol: each.net_quantity for each in portfolio.derivatives if each.net_quantity}
    assert sorted(units for units in net.values() if units) == sorted(told.values())

    assert {purse.broker_type for purse in book.purses} == set(registry.slugs())
    assert not book.missing
    tree = exposures(book)
    assert tree.whole.lines == len(book.lines)
    assert {node.key for node in tree.by_broker} <= set(registry.slugs())
    worth = book_equity(list(equities(book).values()))
    assert worth.amount is not None
    quick = quick_measures(book)
    assert quick.gross is not None
    assert quick.gross >= portfolio.total_value
    assert set(quick.margin_pct) == {purse.connection_id for purse in book.purses}
