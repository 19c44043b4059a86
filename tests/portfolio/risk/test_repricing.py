"""The book moved by differences is the book made anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.domain import Contract, Exchange, OptionType
from portfolio.domain import LivePrice, LivePrices, Source
from portfolio.risk.directory import Directory
from portfolio.risk.limits import Metric, Scope
from portfolio.risk.quick import Measure, quick_measures
from portfolio.risk.repricing import repriced
from portfolio.risk.words import Kind, RiskBook
from tests.portfolio.risk.made import book_of, contract, deltas_of, held, splits
from tests.portfolio.sources import INFY, NOW, SBIN, holding
from tests.portfolio.strategies import PRICES

repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def told(price: Decimal, exchange: Exchange) -> LivePrice:
    return LivePrice(exchange=exchange, price=price, close=None, source="upstox", as_of=NOW)


def figures(book: RiskBook) -> Any:
    lines = [
        (line.instrument, line.units, line.price, line.unrealised, line.day_pnl, line.underlying_price)
        for line in book.lines
    ]
    purses = [(purse.connection_id, purse.unsettled, purse.day_pnl, purse.known_day_pnl) for purse in book.purses]
    return lines, purses, book.day_pnl, book.known_day_pnl


@repeatable
@given(splits(), st.data())
def test_it_is_the_book_made_anew(split: tuple[list[Source], list[Source]], data: st.DataObject) -> None:
    sources = split[1]
    before = book_of(*sources)
    moved = data.draw(st.lists(st.sampled_from(before.lines), unique_by=lambda line: line.instrument))
    prices = {line.instrument: data.draw(PRICES) for line in moved}
    shares = {line.instrument: told(prices[line.instrument], Exchange.NSE) for line in moved if line.kind is Kind.SPOT}
    tokens = {
        position.tradingsymbol: position.exchange_token
        for source in sources
        if source.portfolio
        for position in source.portfolio.positions
    }
    contracts = {
        (line.exchange, tokens[line.symbol] or ""): told(prices[line.instrument], line.exchange)
        for line in moved
        if line.kind is not Kind.SPOT
    }
    anew = book_of(*sources, streamed=LivePrices(shares, contracts))
    after = repriced(before, prices, now=NOW)
    assert figures(after) == figures(anew)
    deltas = deltas_of(before)
    assert quick_measures(after, deltas) == replace(
        quick_measures(anew, deltas), coverage=quick_measures(after, deltas).coverage
    )


def test_what_did_not_move_is_the_very_same() -> None:
    book = book_of(held(holding(INFY, 10), contract("NIFTY26DECFUT", 65)))
    after = repriced(book, {INFY: Decimal(120)}, now=NOW)
    assert after.lines[1] is book.lines[1]
    assert after.lines[0].value == 1200


def test_an_index_moves_what_hangs_on_its_spot() -> None:
    book = book_of(held(contract("NIFTY26DEC27000CE", 65)))
    assert repriced(book, {}, spots={"NIFTY": Decimal(26100)}, now=NOW).lines[0].underlying_price == 26100
    on_future = book_of(held(contract("NIFTY26DEC27000CE", 65), contract("NIFTY26DECFUT", 65, last="26050")))
    after = repriced(on_future, {"NFO|NIFTY|2026-12-29|FUT": Decimal(26060)}, spots={"NIFTY": Decimal(1)}, now=NOW)
    assert [line.underlying_price for line in after.lines] == [26060, 26060]


def test_an_option_on_a_commodity_moves_with_its_future_which_ends_later() -> None:
    option = Contract(underlying="CRUDEOIL", expiry=date(2026, 12, 16), strike=Decimal(6000), option_type=OptionType.CE)
    future = Contract(underlying="CRUDEOIL", expiry=date(2026, 12, 18))
    listed = {(Exchange.MCX, "CRUDEOIL"): ((future.expiry, (Exchange.MCX, "2")),)}
    book = book_of(
        held(
            contract("CRUDEOIL26DEC6000CE", 100, exchange=Exchange.MCX, contract=option),
            contract("CRUDEOIL26DECFUT", 100, exchange=Exchange.MCX, contract=future, last="6002"),
        ),
        directory=Directory(futures=listed),
    )
    assert [line.underlying_price for line in book.lines] == [6002, 6002]
    after = repriced(book, {"MCX|CRUDEOIL|2026-12-18|FUT": Decimal(5500)}, now=NOW)
    assert [line.underlying_price for line in after.lines] == [5500, 5500]


def test_after_midnight_in_india_the_day_before_is_no_loss_of_today() -> None:
    book = book_of(held(holding(INFY, 10, last="100", close="110"), holding(SBIN, 1, symbol="SBIN", close=None)))
    evening = repriced(book, {INFY: Decimal(99)}, now=datetime(2026, 11, 23, 18, 29, tzinfo=UTC))
    assert (evening.known_day_pnl, evening.purses[0].known_day_pnl) == (-110, -110)
    for price in ("99", "98"):
        after = repriced(evening, {INFY: Decimal(price)}, now=datetime(2026, 11, 23, 18, 30, tzinfo=UTC))
        assert (after.day_pnl, after.known_day_pnl, after.lines[0].day_pnl) == (None, None, None)
        assert (after.purses[0].day_pnl, after.purses[0].known_day_pnl) == (None, None)
        assert after.lines[0].unrealised == evening.lines[0].unrealised + 10 * (Decimal(price) - 99)
        assert quick_measures(after).figures()[Metric.DAY_LOSS, Scope.GLOBAL, ""] == Measure(None, False)


def test_a_first_price_values_the_line_and_what_was_unknown_stays_so() -> None:
    book = book_of(held(holding(INFY, 10, last=None)))
    after = repriced(book, {INFY: Decimal(120)}, now=NOW)
    assert (after.lines[0].value, after.lines[0].day_pnl, after.day_pnl) == (1200, None, None)
