"""The risk lines are the merged book's own lots and trades: nothing twice, nothing lost, nothing guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from brokers.domain import ZERO, Contract, Exchange, OptionType, Product, RowProblem
from portfolio.domain import BorrowedPrice, LivePrice, LivePrices, Source, SourceState, TradeKind
from portfolio.risk.book import risk_book
from portfolio.risk.directory import Directory, Known
from portfolio.risk.words import Kind, Line, RiskBook, RiskClass
from tests.portfolio.risk.made import ANY_ROWS, CONTRACTS, DECEMBER, book_of, contract, held, lines_of
from tests.portfolio.sources import INFY, NOW, RELIANCE, account, holding, merged, position, source
from tests.portfolio.strategies import books, loans

repeatable = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
NIFTY_CALL = "NFO|NIFTY|2026-12-29|27000|CE"


def owned(book: RiskBook) -> Iterable[Line]:
    return [line for line in book.lines if line.kind is Kind.SPOT and not line.is_intraday]


@repeatable
@given(books(rows=ANY_ROWS), loans())
def test_what_is_owned_is_worth_what_the_merged_book_says(
    sources: list[Source], borrowed: dict[str, BorrowedPrice]
) -> None:
    portfolio = merged(*sources, borrowed=borrowed)
    book = book_of(*sources, borrowed=borrowed)
    values = [line.value for line in owned(book)]
    assert sum((value for value in values if value is not None), ZERO) == (portfolio.total_value or ZERO)
    assert {line.instrument for line in owned(book) if line.value is None} == {
        each.key.replace(":", "|") if each.isin is None else each.key
        for each in portfolio.positions
        if each.current_value is None
    }


@repeatable
@given(books(rows=ANY_ROWS))
def test_every_share_is_counted_once(sources: list[Source]) -> None:
    units: Counter[str] = Counter()
    book = book_of(*sources)
    for line in owned(book):
        units[line.instrument] += line.units
        assert ZERO <= line.settled + line.t1 + line.pledged + line.funded <= line.units
    assert +units == {
        each.isin or each.key.replace(":", "|"): each.total_quantity for each in merged(*sources).positions
    }


@repeatable
@given(books(rows=ANY_ROWS))
def test_every_contract_is_counted_once(sources: list[Source]) -> None:
    portfolio = merged(*sources)
    net, long = Counter[str](), Counter[str]()
    for line in book_of(*sources).lines:
        if line.kind is not Kind.SPOT:
            net[line.symbol] += line.units
            long[line.symbol] += max(line.units, ZERO)
            assert line.units
    expected, expected_long = Counter[str](), Counter[str]()
    for each in portfolio.derivatives:
        expected[each.symbol] += each.net_quantity
        expected_long[each.symbol] += each.long_quantity
    assert {key: units for key, units in net.items() if units} == {key: n for key, n in expected.items() if n}
    assert {key: units for key, units in long.items() if units} == {key: n for key, n in expected_long.items() if n}


@repeatable
@given(books(rows=ANY_ROWS))
def test_the_day_is_the_merged_books_day(sources: list[Source]) -> None:
    portfolio = merged(*sources)
    changes = [part.day_change for each in portfolio.positions for part in each.broker_positions]
    rows = [row.day_pnl for row in portfolio.trading_positions]
    whole = None if None in (*changes, *rows) else sum((*changes, *rows), ZERO)  # type: ignore[arg-type]
    intraday = [row for row in portfolio.trading_positions if row.kind is TradeKind.INTRADAY and row.quantity]
    if not intraday:  # which the risk book prices by the share itself
        book = book_of(*sources)
        assert book.day_pnl == whole
        days = [purse.day_pnl for purse in book.purses]
        assert (None in days) == (whole is None)
        assert whole is None or sum((day for day in days if day is not None), ZERO) == whole == book.known_day_pnl


class TestOwned:
    def test_its_parts_stand_apart(self) -> None:
        bought = position(7, symbol="INFY", isin=INFY)
        of_cnc = holding(INFY, 10, t1_quantity=Decimal(3), pledged_quantity=Decimal(2))
        of_mtf = holding(INFY, 40, product=Product.MTF, funded_amount=Decimal(3000))
        lines = lines_of(book_of(held(of_cnc, of_mtf, bought)), INFY)
        parts = [(line.settled, line.t1, line.pledged, line.funded, line.units, line.loan) for line in lines]
        assert parts == [
            (0, 0, 0, 0, 7, 0),
            (10, 3, 2, 0, 15, 0),
            (0, 0, 0, 40, 40, 3000),
        ]

    def test_a_loan_that_nobody_tells_is_unknown(self) -> None:
        [line] = book_of(held(holding(INFY, 40, product=Product.MTF))).lines
        assert line.loan is None

    def test_a_sale_of_a_holding_adds_no_line(self) -> None:
        sold = position(-4, symbol="INFY", isin=INFY)
        [line] = book_of(held(holding(INFY, 6, used_quantity=Decimal(4)), sold)).lines
        assert (line.units, line.kind) == (6, Kind.SPOT)

    def test_flat_rows_add_no_line(self) -> None:
        flat = contract("NIFTY26DECFUT", 0)
        closed = position(0, symbol="INFY", isin=INFY, product=Product.MIS)
        assert book_of(held(flat, closed)).lines == ()

    def test_what_nobody_can_match_stays_with_its_account(self) -> None:
        lines = book_of(
            held(holding(None, 5, symbol="NEWCO")), held(holding(None, 5, symbol="NEWCO"), slug="upstox")
        ).lines
        assert [line.instrument for line in lines] == ["zerodha-1|NSE|NEWCO", "upstox-1|NSE|NEWCO"]
        assert [line.risk_class for line in lines] == [RiskClass.OTHER] * 2

    def test_our_own_table_may_know_it(self) -> None:
        known = Directory(
            symbols={(Exchange.NSE, "NEWCO"): Known(identity="NSE|9", isin=INFY, series="BE", name="New Co.")},
            sectors={INFY: "Information Technology"},
        )
        [line] = book_of(held(holding(None, 5, symbol="NEWCO")), directory=known).lines
        assert (line.instrument, line.series, line.name) == (INFY, "BE", "New Co.")
        assert (line.sector, line.risk_class) == ("Information Technology", RiskClass.EQUITY)

    def test_the_price_is_the_older_of_its_two_times(self) -> None:
        aged = source("zerodha", account([holding(INFY, 1)], age=60))
        told = LivePrice(exchange=Exchange.NSE, price=Decimal(120), close=None, source="upstox", as_of=NOW)
        [line] = book_of(aged, streamed=LivePrices({INFY: told})).lines
        assert (line.price, line.as_of) == (120, NOW - timedelta(seconds=60))


class TestIntraday:
    def test_it_is_a_line_of_its_own_at_the_price_of_the_share(self) -> None:
        short = position(-4, symbol="INFY", isin=None, last="111", product=Product.MIS)
        book = book_of(held(holding(INFY, 10, last="110")), held(short, slug="upstox"))
        assert [(line.instrument, line.units, line.price, line.is_intraday) for line in book.lines] == [
            (INFY, 10, 110, False),
            (INFY, -4, 110, True),
        ]

    def test_of_shares_that_nobody_holds_all_rows_have_one_price(self) -> None:
        long = position(4, symbol="INFY", isin=INFY, last="111", product=Product.MIS)
        short = replace(long, quantity=Decimal(-4), last_price=Decimal(112))
        stale = source("zerodha", account([], [long]), state=SourceState.STALE)
        book = book_of(stale, source("upstox", account([], [short])))
        assert [line.price for line in book.lines] == [112, 112]

    def test_without_a_name_it_stays_with_its_account(self) -> None:
        [line] = book_of(held(position(4, symbol="NEWCO", product=Product.MIS))).lines
        assert line.instrument == "zerodha-1|NSE|NEWCO"


class TestDerivatives:
    def test_two_brokers_rows_are_one_contract(self) -> None:
        call = "NIFTY26DEC27000CE"
        book = book_of(held(contract(call, 65)), held(contract(call, -130, last=None), slug="upstox"))
        assert [(line.instrument, line.units, line.price) for line in book.lines] == [
            (NIFTY_CALL, 65, 100),
            (NIFTY_CALL, -130, 100),
        ]
        [line, _] = book.lines
        assert (line.issuer, line.factor, line.underlying) == ("NIFTY", "NIFTY", "NIFTY")
        assert (line.risk_class, line.kind) == (RiskClass.INDEX, Kind.OPTION)
        assert (line.expiry, line.strike, line.option_type) == (DECEMBER, 27000, OptionType.CE)

    def test_a_row_that_tells_only_a_number_is_known_by_our_table(self) -> None:
        call = CONTRACTS["NIFTY26DEC27000CE"]
        known = Known(
            identity=NIFTY_CALL,
            underlying="NIFTY",
            expiry=call.expiry,
            strike=call.strike,
            option_type=call.option_type,
            lot_size=Decimal(65),
            risk_class=RiskClass.INDEX,
        )
        directory = Directory(tokens={(Exchange.NFO, "51834"): known})
        row = contract("N27000C", 65, contract=None, exchange_token="51834")
        [line] = book_of(held(row), directory=directory).lines
        assert (line.instrument, line.lot_size, line.strike) == (NIFTY_CALL, 65, 27000)

    def test_a_number_that_was_given_away_again_is_not_believed(self) -> None:
        known = Known(identity="NFO|OLD|2026-11-24|FUT", underlying="OLD", expiry=date(2026, 11, 24))
        directory = Directory(tokens={(Exchange.NFO, "51834"): known})
        [line] = book_of(held(contract("NIFTY26DECFUT", 65, exchange_token="51834")), directory=directory).lines
        assert line.instrument == "NFO|NIFTY|2026-12-29|FUT"

    @pytest.mark.parametrize(
        ("token", "instrument"), [("777", "NFO|777"), (None, "zerodha-1|NFO|WHO 27000 PE")], ids=["number", "nothing"]
    )
    def test_what_nobody_describes_is_told_by_what_there_is(self, token: str | None, instrument: str) -> None:
        [line] = book_of(held(contract("WHO 27000 PE", 65, contract=None, exchange_token=token))).lines
        assert (line.instrument, line.issuer, line.kind) == (instrument, instrument, Kind.OPTION)
        assert (line.strike, line.underlying_price, line.risk_class) == (None, None, RiskClass.OTHER)

    def test_a_share_and_its_future_are_one_issuer(self) -> None:
        directory = Directory(issuers={"RELIANCE": RELIANCE}, sectors={RELIANCE: "Oil"})
        book = book_of(
            held(holding(RELIANCE, 10, symbol="RELIANCE"), contract("RELIANCE26DECFUT", -500)), directory=directory
        )
        assert [(line.issuer, line.factor, line.sector) for line in book.lines] == [(RELIANCE, RELIANCE, "Oil")] * 2
        assert book.lines[1].risk_class is RiskClass.EQUITY

    @pytest.mark.parametrize(
        ("exchange", "underlying", "risk_class"),
        [
            (Exchange.MCX, "CRUDEOIL", RiskClass.COMMODITY),
            (Exchange.CDS, "USDINR", RiskClass.CURRENCY),
            (Exchange.CDS, "726GS2033", RiskClass.DEBT),
            (Exchange.BFO, "SENSEX", RiskClass.INDEX),
            (Exchange.NFO, "RELIANCE", RiskClass.EQUITY),
        ],
    )
    def test_where_it_trades_says_what_moves_it(
        self, exchange: Exchange, underlying: str, risk_class: RiskClass
    ) -> None:
        row = contract("X", 100, exchange=exchange, contract=Contract(underlying=underlying, expiry=DECEMBER))
        [line] = book_of(held(row)).lines
        assert (line.risk_class, line.issuer) == (risk_class, underlying)


class TestUnderlyingPrice:
    call = contract("RELIANCE26DEC1500CE", 500)
    directory = Directory(issuers={"RELIANCE": RELIANCE}, spots={RELIANCE: ((Exchange.NSE, "2885"),)})

    def told(self, price: str) -> LivePrice:
        return LivePrice(exchange=Exchange.NSE, price=Decimal(price), close=None, source="upstox", as_of=NOW)

    def of_call(self, *others: object, **more: object) -> tuple[Decimal | None, bool]:
        book = book_of(held(self.call, *others), directory=self.directory, **more)  # type: ignore[arg-type]
        [line] = [line for line in book.lines if line.kind is Kind.OPTION]
        return line.underlying_price, line.underlying_is_future

    share = holding(RELIANCE, 1, symbol="RELIANCE", last="1400")

    def test_is_that_of_the_future_of_the_same_expiry(self) -> None:
        assert self.of_call(self.share, contract("RELIANCE26DECFUT", 500, last="1410")) == (1410, True)

    def test_unless_that_price_is_old(self) -> None:
        aged = source("upstox", account([], [contract("RELIANCE26DECFUT", 500, last="1410")]), state=SourceState.STALE)
        book = book_of(held(self.call, self.share), aged, directory=self.directory)
        assert [line.underlying_price for line in book.lines if line.kind is Kind.OPTION] == [1400]
        book = book_of(held(self.call), aged, directory=self.directory)
        assert [line.underlying_price for line in book.lines if line.kind is Kind.OPTION] == [1410]

    def test_a_future_hangs_on_its_spot(self) -> None:
        book = book_of(held(self.share, contract("RELIANCE26DECFUT", 500, last="1410")), directory=self.directory)
        [line] = [line for line in book.lines if line.kind is Kind.FUTURE]
        assert (line.underlying_price, line.underlying_is_future, line.underlying_expiry) == (1400, False, None)

    def test_else_that_of_the_share_in_the_book(self) -> None:
        assert self.of_call(self.share) == (1400, False)

    def test_or_one_that_is_streamed_or_lent(self) -> None:
        streamed = LivePrices({}, {(Exchange.NSE, "2885"): self.told("1401")})
        assert self.of_call(streamed=streamed) == (1401, False)
        assert self.of_call(streamed=LivePrices({RELIANCE: self.told("1402")})) == (1402, False)
        lent = BorrowedPrice(exchange=Exchange.NSE, price=Decimal(1403), close=None, broker_type="x", as_of=NOW)
        assert self.of_call(borrowed={RELIANCE: lent}) == (1403, False)

    def test_or_that_future_where_there_is_no_spot(self) -> None:
        assert self.of_call(contract("RELIANCE26DECFUT", -500, last="1410")) == (1410, True)

    def test_a_future_that_nobody_holds_may_be_streamed(self) -> None:
        directory = replace(
            self.directory,
            futures={
                (Exchange.NFO, "RELIANCE"): (
                    (
                        DECEMBER,
                        (Exchange.NFO, "61"),
                    ),
                )
            },
        )
        streamed = LivePrices({}, {(Exchange.NFO, "61"): self.told("1411")})
        book = book_of(held(self.call), directory=directory, streamed=streamed)
        assert (book.lines[0].underlying_price, book.lines[0].underlying_is_future) == (1411, True)

    def test_is_never_another_months_nor_made_from_options(self) -> None:
        january = Contract(underlying="RELIANCE", expiry=date(2027, 1, 28))
        put = replace(CONTRACTS["RELIANCE26DEC1500CE"], option_type=OptionType.PE)
        others = (contract("RELIANCE27JANFUT", 500, contract=january), contract("R26DEC1500PE", 500, contract=put))
        directory_knows_nothing = book_of(held(self.call, *others))
        [line] = [line for line in directory_knows_nothing.lines if line.option_type is OptionType.CE]
        assert (line.underlying_price, line.underlying_is_future) == (None, False)

    def test_of_a_commodity_it_is_the_next_listed_future(self) -> None:
        option = Contract(
            underlying="CRUDEOIL", expiry=date(2026, 12, 16), strike=Decimal(6000), option_type=OptionType.CE
        )
        futures = tuple(
            (expiry, (Exchange.MCX, token))
            for expiry, token in [(date(2026, 11, 30), "1"), (date(2026, 12, 18), "2"), (date(2027, 1, 19), "3")]
        )
        directory = Directory(futures={(Exchange.MCX, "CRUDEOIL"): futures})
        prices = {(Exchange.MCX, str(each)): self.told(str(6000 + each)) for each in (1, 2, 3)}
        row = contract("CRUDEOIL26DEC6000CE", 100, exchange=Exchange.MCX, contract=option)
        [line] = book_of(held(row), directory=directory, streamed=LivePrices({}, prices)).lines
        assert (line.underlying_price, line.underlying_is_future) == (6002, True)
        assert line.underlying_expiry == date(2026, 12, 18)

    def test_a_future_without_a_spot_hangs_on_itself(self) -> None:
        [line] = book_of(held(contract("NIFTY26DECFUT", 65, last="26100"))).lines
        assert (line.underlying_price, line.underlying_is_future) == (26100, True)


class TestTheWholeBook:
    def test_a_missing_account_has_a_purse_that_knows_nothing(self) -> None:
        book = book_of(held(holding(INFY, 1)), source("upstox", None))
        [purse] = book.missing
        assert (purse.broker_type, purse.cash, purse.unsettled, purse.as_of) == ("upstox", None, None, None)
        assert book.day_pnl is None

    def test_a_day_that_the_caller_knows_is_taken(self) -> None:
        assert book_of(held(holding(INFY, 1)), source("upstox", None), day_pnl=Decimal(-7)).day_pnl == -7

    def test_an_answer_of_yesterday_tells_nothing_of_today(self) -> None:
        old = source("zerodha", account([holding(INFY, 10)], age=24 * 3600), state=SourceState.STALE)
        book = book_of(old)
        assert (book.day_pnl, book.lines[0].day_pnl, book.lines[0].stale) == (None, None, True)

    def test_but_a_streamed_price_of_today_does(self) -> None:
        old = source("zerodha", account([holding(INFY, 10)], age=24 * 3600), state=SourceState.STALE)
        told = LivePrice(exchange=Exchange.NSE, price=Decimal(120), close=Decimal(118), source="upstox", as_of=NOW)
        assert book_of(old, streamed=LivePrices({INFY: told})).day_pnl == 20

    def test_rows_that_could_not_be_read_are_counted(self) -> None:
        broken = account([holding(INFY, 1)], problems=(RowProblem(part="holdings", row=1, field="isin"),))
        assert book_of(source("zerodha", broken)).unreadable == 1

    def test_no_source_at_all_is_an_empty_book(self) -> None:
        book = risk_book([], now=NOW)
        assert (book.lines, book.purses, book.day_pnl) == ((), (), 0)
