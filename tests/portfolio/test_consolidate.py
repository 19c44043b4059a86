"""The merged book against sums worked by hand, to the paisa, from recorded payloads and from lines written here."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.domain import Contract, Exchange, Funds, OptionType, Position, Product, RowProblem
from portfolio.consolidate import Book
from portfolio.domain import AssetClass, Source, SourceState, TradeKind, Unpriced
from portfolio.totals import asset_class
from tests.portfolio.sources import (
    AARON,
    GILT,
    INFY,
    NOW,
    RELIANCE,
    SBIN,
    account,
    holding,
    lent,
    merged,
    of,
    position,
    recorded,
    source,
)

D = Decimal


# --- the recorded accounts of both brokers ----------------------------------------------------------------------------
@pytest.fixture
def kite() -> Source:
    """GILT5YBEES 7500 pledged; INFY 5 + T1 10; SBIN 10 after a sale of 6 today; RELIANCE 4 of unknown cost."""
    return source(
        "zerodha", recorded("zerodha", "portfolio_holdings_quirks.json", "portfolio_positions_sold_holding.json")
    )


@pytest.fixture
def upstox() -> Source:
    """INFY 15 of which T1 10; SBIN 16, 6 blocked but not sold; RELIANCE 4 pledged, of unknown cost."""
    return source("upstox", recorded("upstox", "portfolio_long_term_holdings_quirks.json"))


def test_both_recorded_accounts_merge_to_the_paisa(kite: Source, upstox: Source) -> None:
    book = merged(kite, upstox)
    gilt = 7500 * D("65.10")
    infy = (15 + 15) * D("1573.70")
    sbin = (10 + 16) * D("762.45")
    reliance = (4 + 4) * D("1400.00")
    assert [of(book, isin).current_value for isin in (GILT, INFY, SBIN, RELIANCE)] == [gilt, infy, sbin, reliance]
    assert (gilt, infy, sbin, reliance) == (D("488250.00"), D("47211.00"), D("19823.70"), D("11200.00"))
    assert book.total_value == D("488250.00") + D("47211.00") + D("19823.70") + D("11200.00") == D("566484.70")
    # 7500 × 64.3; 15 × 1500.5 twice; 10 × 801.78125 and 16 × 801.78; nothing known of RELIANCE
    assert book.total_cost == D("482250.00") + D("45015.00") + (D("8017.8125") + D("12828.48")) == D("548111.2925")
    assert book.unrealized_pnl == D("6000.00") + D("2196.00") + (D("19823.70") - D("20846.2925")) == D("7173.4075")
    assert book.unrealized_pnl_percent == D("7173.4075") / D("548111.2925") * 100
    assert book.day_change == D("750.00") + 30 * D("5.90") - 26 * D("3.95") + 8 * D("10.00") == D("904.30")
    assert book.day_change_percent == D("904.30") / (D("566484.70") - D("904.30")) * 100
    assert (book.complete, book.currency, book.mtf_funded_amount) == (True, "INR", 0)
    assert book.coverage.value_with_known_cost == D("566484.70") - D("11200.00")


def test_settled_t1_and_pledged_stay_apart(kite: Source, upstox: Source) -> None:
    book = merged(kite, upstox)
    parts = {
        isin: (line.settled_quantity, line.t1_quantity, line.pledged_quantity)
        for isin in (GILT, INFY, SBIN, RELIANCE)
        for line in [of(book, isin)]
    }
    assert parts == {GILT: (0, 0, 7500), INFY: (5 + 5, 10 + 10, 0), SBIN: (10 + 16, 0, 0), RELIANCE: (4, 0, 4)}


def test_a_weighted_average_of_two_brokers(kite: Source, upstox: Source) -> None:
    line = of(merged(kite, upstox), SBIN)
    assert line.avg_price == (10 * D("801.78125") + 16 * D("801.78")) / 26 == D("20846.2925") / 26
    assert [(part.broker_id, part.quantity, part.total_cost) for part in line.broker_positions] == [
        ("zerodha", 10, D("8017.8125")),
        ("upstox", 16, D("12828.48")),
    ]


def test_shares_sold_today_are_taken_out_once(kite: Source) -> None:
    book = merged(kite)
    assert of(book, SBIN).total_quantity == 10
    assert of(book, SBIN).current_value == 10 * D("762.45") == D("7624.50")
    [sale] = book.trading_positions
    assert (sale.kind, sale.quantity, sale.avg_price) == (TradeKind.SALE_OF_HOLDING, -6, D("763"))
    assert sale.realized_pnl == 6 * (D("763") - D("801.78125")) == D("-232.6875")
    assert sale.day_pnl == 6 * (D("763") - D("766.40")) == D("-20.40")
    assert sale.unrealized_pnl == 0


def test_an_unknown_cost_is_said_and_never_zero(kite: Source, upstox: Source) -> None:
    book = merged(kite, upstox)
    line = of(book, RELIANCE)
    assert (line.avg_price, line.total_cost, line.unrealized_pnl, line.unrealized_pnl_percent) == (None,) * 4
    assert (line.known_cost, line.known_quantity, line.current_value) == (0, 0, D("11200.00"))
    assert (book.coverage.without_cost, book.coverage.without_price, book.complete) == (1, 0, True)


def test_a_known_lot_beside_an_unknown_one() -> None:
    known = source("zerodha", account([holding(INFY, 10, average="100")]))
    unknown = source("upstox", account([holding(INFY, 5, average=None)]))
    line = of(merged(known, unknown), INFY)
    assert (line.avg_price, line.total_cost, line.known_cost, line.known_quantity) == (None, None, 1000, 10)
    assert merged(known, unknown).unrealized_pnl == 10 * (D("110") - D("100"))


def test_financed_shares_are_a_line_of_their_own_and_the_loan_stands_beside() -> None:
    book = merged(source("zerodha", recorded("zerodha", "portfolio_holdings.json")))
    line = of(book, AARON)
    assert (line.total_quantity, line.settled_quantity, line.mtf_quantity) == (1 + 1000, 1, 1000)
    assert line.total_cost == 1 * D("161") + 1000 * D("100") == D("100161")
    assert line.current_value == 1001 * D("352.95") == D("353302.95")
    assert [(part.product, part.quantity, part.funded_amount) for part in line.broker_positions] == [
        (Product.CNC, 1, None),
        (Product.MTF, 1000, D("100000")),
    ]
    assert book.mtf_funded_amount == D("100000")
    assert book.total_value == D("353302.95") + 16 * D("762.45") == D("365502.15")


def test_an_unknown_loan_makes_their_sum_unknown() -> None:
    account_ = recorded("upstox", "portfolio_long_term_holdings.json", "portfolio_mtf_positions.json")
    book = merged(source("upstox", account_))
    yes_bank = of(book, "INE528G01035")
    assert (yes_bank.mtf_quantity, yes_bank.settled_quantity, yes_bank.today_quantity) == (1, 36, 0)
    assert yes_bank.total_cost == 36 * D("18.75") + 1 * D("0.80") == D("675.80")
    assert book.mtf_funded_amount is None


def test_financed_t1_shares_are_counted_once() -> None:
    line = holding(INFY, 6, product=Product.MTF, t1_quantity=D(4))
    book = of(merged(source("zerodha", account([line]))), INFY)
    parts = (book.settled_quantity, book.t1_quantity, book.pledged_quantity, book.today_quantity, book.mtf_quantity)
    assert sum(parts) == book.total_quantity == 10


def test_flat_rows_keep_what_they_earned() -> None:
    book = merged(source("zerodha", recorded("zerodha", "portfolio_positions.json")))
    rows = {row.symbol: row for row in book.trading_positions}
    gold, lead, cover = rows["GOLDGUINEA17DECFUT"], rows["LEADMINI17DECFUT"], rows["SBIN"]
    assert (gold.kind, gold.quantity, gold.realized_pnl, gold.day_pnl) == (TradeKind.DERIVATIVE, 0, 801, 276)
    assert (lead.quantity, lead.unrealized_pnl, lead.realized_pnl) == (1000, 0, 0)
    assert (cover.kind, cover.realized_pnl) == (TradeKind.INTRADAY, -2)
    assert (book.trading.unrealized_pnl, book.trading.realized_pnl, book.trading.day_pnl) == (0, 801 - 2, 276 - 2)
    assert (book.positions, book.total_value) == ((), 0)


def test_a_carried_derivative_earns_from_its_previous_close() -> None:
    book = merged(source("upstox", recorded("upstox", "portfolio_short_term_positions.json")))
    [option] = book.trading_positions
    assert (option.product, option.quantity) == (Product.NRML, 15)
    assert option.unrealized_pnl == 15 * (D("1.75") - D("2.65")) == D("-13.50")
    assert option.day_pnl == 15 * (D("1.75") - D("1.95")) == D("-3.00")
    # The other row is a purchase for keeps: one share at 0.80, now at 0.81.
    assert (book.total_value, book.total_cost, book.day_change) == (D("0.81"), D("0.80"), D("0.01"))


# --- one price per share ----------------------------------------------------------------------------------------------
def test_lines_of_nse_and_bse_are_one_position_at_the_nse_price() -> None:
    bse = source("zerodha", recorded("zerodha", "portfolio_holdings.json"))
    nse = source("upstox", account([holding(SBIN, 16, average="801.78", last="762.50", close="766.40", symbol="SBIN")]))
    line = of(merged(bse, nse), SBIN)
    assert (line.exchange, line.current_price, line.price_source) == (Exchange.NSE, D("762.50"), "upstox")
    assert (line.total_quantity, line.current_value) == (32, 32 * D("762.50"))
    assert line.day_change == 32 * (D("762.50") - D("766.40"))


def test_the_freshest_price_of_an_exchange_counts() -> None:
    older = source("zerodha", account([holding(last="110")], age=20))
    newer = source("upstox", account([holding(last="111")], age=10))
    assert of(merged(older, newer), INFY).current_price == 111


def test_equally_fresh_prices_follow_the_registry() -> None:
    first, second = source("zerodha", account([holding(last="110")])), source("upstox", account([holding(last="111")]))
    line = of(merged(second, first), INFY)
    assert (line.current_price, line.price_source) == (110, "zerodha")


def test_a_live_price_beats_a_stale_one_even_across_exchanges() -> None:
    stale = source("zerodha", account([holding(last="110")], age=300), state=SourceState.STALE)
    live = source("upstox", account([holding(last="120", exchange=Exchange.BSE)]))
    book = merged(stale, live)
    line = of(book, INFY)
    assert (line.current_price, line.price_source, line.stale) == (120, "upstox", True)
    assert (book.total_value, book.complete) == (20 * D("120"), False)
    assert [part.stale for part in line.broker_positions] == [True, False]
    assert [report.age_seconds for report in book.sources] == [300, 0]
    assert book.as_of == NOW - timedelta(seconds=300)


def test_a_broker_without_prices_takes_another_brokers() -> None:
    silent = source("zerodha", account([holding(last=None, close=None)]))
    priced = source("upstox", account([holding(last="111", close="109")]))
    line = of(merged(silent, priced), INFY)
    assert (line.current_price, line.close_price, line.current_value) == (111, 109, 20 * D("111"))


def test_an_unknown_price_leaves_the_share_out_of_the_value_and_says_so() -> None:
    lines = [holding(last=None), holding(SBIN, 2, last="50", average="40", symbol="SBIN")]
    book = merged(source("zerodha", account(lines)))
    line = of(book, INFY)
    assert (line.current_value, line.unrealized_pnl, line.day_change, line.total_cost) == (None, None, None, 1000)
    assert (book.total_value, book.unrealized_pnl) == (100, 2 * (D("50") - D("40")))
    assert (book.complete, book.coverage.without_price, book.coverage.without_day_change) == (False, 1, 1)


def test_nothing_but_unknown_prices_is_an_unknown_value() -> None:
    book = merged(source("zerodha", account([holding(last=None)])))
    assert (book.total_value, book.unrealized_pnl, book.day_change, book.total_cost) == (None, None, None, 1000)


def test_nothing_but_unknown_prices_paid_is_an_unknown_cost() -> None:
    book = merged(source("zerodha", account([holding(average=None), holding(SBIN, 2, average=None, symbol="SBIN")])))
    assert (book.total_cost, book.unrealized_pnl, book.unrealized_pnl_percent) == (None, None, None)
    assert (book.coverage.without_cost, book.coverage.value_with_known_cost) == (2, 0)


def test_a_borrowed_price_serves_where_no_broker_has_one() -> None:
    mine = source("zerodha", account([holding(last=None, close=None)]))
    assert Book.of([mine]).unpriced() == [Unpriced(isin=INFY, has_price=False, exchange=Exchange.NSE, symbol="INFY")]
    line = of(merged(mine, borrowed={INFY: lent("120", "118")}), INFY)
    assert (line.current_value, line.day_change, line.price_source) == (1200, 20, "upstox")


# --- sources ----------------------------------------------------------------------------------------------------------
def test_a_missing_source_is_reported_and_stays_out_of_every_sum(upstox: Source) -> None:
    gone = source("zerodha", None, error_code="broker_unavailable", error_message="It is away.")
    book = merged(gone, upstox)
    assert book.total_value == D("23605.50") + D("12199.20") + D("5600.00") == D("41404.70")
    assert not book.complete
    assert [line.broker_id for line in book.broker_breakdown] == ["upstox"]
    assert [(report.broker_id, report.in_totals, report.error_code) for report in book.sources] == [
        ("zerodha", False, "broker_unavailable"),
        ("upstox", True, None),
    ]
    assert (book.coverage.sources, book.coverage.sources_live, book.coverage.sources_missing) == (2, 1, 1)


def test_without_any_source_nothing_is_known() -> None:
    book = merged(source("zerodha", None), source("upstox", None))
    totals = (book.total_value, book.total_cost, book.unrealized_pnl, book.unrealized_pnl_percent, book.day_change)
    assert (*totals, book.mtf_funded_amount, book.as_of) == (None,) * 7
    assert (book.complete, book.broker_breakdown, book.funds.available) == (False, (), None)
    assert (book.trading.unrealized_pnl, book.trading.realized_pnl, book.trading.day_pnl) == (None,) * 3


def test_an_empty_account_is_worth_nothing_and_is_complete() -> None:
    nothing = Funds(available=D(0), used=D(0), collateral=D(0), cash=D(0))
    book = merged(source("zerodha", account(funds=nothing)))
    assert (book.total_value, book.total_cost, book.unrealized_pnl, book.day_change) == (0, 0, 0, 0)
    assert (book.complete, book.positions, book.funds.available, book.funds.complete) == (True, (), 0, True)
    assert book.unrealized_pnl_percent is None


def test_an_unreadable_row_makes_the_book_incomplete() -> None:
    problem = RowProblem(part="holdings", row=3, field="isin")
    book = merged(source("zerodha", account([holding()], problems=(problem,))))
    assert (book.complete, book.coverage.unreadable_rows) == (False, 1)
    assert book.sources[0].unreadable_fields == ("holdings.isin",)


def test_the_breakdown_is_what_each_connection_adds() -> None:
    book = merged(
        source("zerodha", account([holding(INFY, 10, last="110")])),
        source("zerodha", account([holding(INFY, 20, last="110")]), number=2),
        source("upstox", account([holding(SBIN, 10, last="70", symbol="SBIN")])),
    )
    assert [(line.connection_id, line.total_value, line.weight_percent) for line in book.broker_breakdown] == [
        ("zerodha-1", 1100, 1100 / D(4000) * 100),
        ("zerodha-2", 2200, D(55)),
        ("upstox-1", 700, D("17.5")),
    ]


def test_funds_are_added_and_collateral_is_no_wealth() -> None:
    kite = Funds(available=D("200386.75"), used=D("145706.55"), collateral=D(0), cash=D("346093.30"))
    upstox = Funds(available=D("5379.03"), used=D("1.80"), collateral=D("263.49"), cash=D("5117.34"))
    book = merged(source("zerodha", account(funds=kite)), source("upstox", account(funds=upstox)))
    assert book.funds.available == D("200386.75") + D("5379.03") == D("205765.78")
    assert (book.funds.used, book.funds.collateral, book.funds.cash) == (D("145708.35"), D("263.49"), D("351210.64"))
    assert (book.funds.complete, book.total_value) == (True, 0)


def test_funds_that_a_broker_would_not_say_are_unknown() -> None:
    known = Funds(available=D(5), used=D(0), collateral=None, cash=D(5))
    book = merged(source("zerodha", account(funds=known)), source("upstox", account([holding()])))
    assert (book.funds.available, book.funds.collateral, book.funds.complete) == (5, None, False)
    assert (book.funds.brokers[1].available, book.complete) == (None, True)


# --- today's dealing --------------------------------------------------------------------------------------------------
def test_a_purchase_of_today_joins_by_listing_through_another_brokers_holding() -> None:
    bought = source("zerodha", account(positions=[position(12, price="1570", last="1573.70", close=None)]))
    held = source("upstox", recorded("upstox", "portfolio_long_term_holdings_quirks.json"))
    line = of(merged(bought, held), INFY)
    assert (line.total_quantity, line.today_quantity, line.company_name) == (12 + 15, 12, "INFOSYS LIMITED")
    assert line.total_cost == 12 * D("1570") + D("22507.50") == D("41347.50")
    # Today's shares earn since they were bought, the others since the previous close.
    assert line.day_change == 12 * (D("1573.70") - D("1570")) + D("88.50") == D("132.90")


def test_a_purchase_of_today_joins_by_isin() -> None:
    held = source("zerodha", account([holding(INFY, 10)]))
    bought = source("upstox", account(positions=[position(5, isin=INFY, symbol="INFY-X", exchange=Exchange.BSE)]))
    assert of(merged(held, bought), INFY).total_quantity == 15


def test_a_listing_that_nobody_can_match_stays_under_its_own_broker() -> None:
    bought = [position(5, symbol="NEWCO")]
    book = merged(source("zerodha", account(positions=bought)), source("upstox", account(positions=bought)))
    assert sorted(line.key for line in book.positions) == ["upstox-1:NSE:NEWCO", "zerodha-1:NSE:NEWCO"]
    assert {(line.isin, line.asset_class, line.total_quantity) for line in book.positions} == {
        (None, AssetClass.OTHER, D(5))
    }
    assert (book.coverage.unmatched_instruments, book.total_value) == (2, 2 * 5 * D("110"))


def test_shares_bought_and_sold_today_leave_their_profit() -> None:
    row = position(
        0,
        buy_value=D("1000"),
        sell_value=D("1040"),
        day_buy_quantity=D(10),
        day_buy_value=D("1000"),
        day_sell_quantity=D(10),
        day_sell_value=D("1040"),
    )
    book = merged(source("zerodha", account(positions=[row])))
    [closed] = book.trading_positions
    assert (closed.kind, closed.realized_pnl, closed.unrealized_pnl) == (TradeKind.CLOSED_DELIVERY, 40, 0)
    assert book.positions == ()


@pytest.mark.parametrize(
    ("before", "left", "unsettled"),
    [
        ({}, 16, True),  # nothing is remembered: leave it and say so
        ({SBIN: D(22)}, 16, False),  # it fell by the 6 sold: the sale has left already
        ({SBIN: D(16)}, 10, False),  # it still counts the 6 sold
        ({SBIN: D(30)}, 16, True),  # neither reading fits
    ],
)
def test_a_sale_that_the_row_cannot_tell_is_settled_by_what_was_there_before(
    before: dict[str, Decimal], left: int, unsettled: bool
) -> None:
    quirks = recorded("upstox", "portfolio_long_term_holdings_quirks.json")
    sale = position(-6, price="763", symbol="SBIN", isin=SBIN)
    book = merged(source("upstox", account(quirks.holdings, [sale]), owned_before_sales=before))
    assert of(book, SBIN).total_quantity == left
    assert of(book, SBIN).broker_positions[0].sale_unsettled is unsettled
    assert book.coverage.sales_unsettled == int(unsettled)


def test_shares_blocked_by_open_orders_are_still_owned(upstox: Source) -> None:
    book = merged(upstox)
    assert (of(book, SBIN).total_quantity, book.coverage.sales_unsettled) == (16, 0)


def test_a_row_that_still_counts_its_sale_is_reduced() -> None:
    line = holding(SBIN, 16, symbol="SBIN", used_quantity=D(6), sales_deducted=False)
    assert of(merged(source("zerodha", account([line]))), SBIN).total_quantity == 10


def test_a_holding_sold_out_today_leaves_only_the_sale() -> None:
    line = holding(SBIN, 6, symbol="SBIN", used_quantity=D(6), sales_deducted=False)
    book = merged(source("zerodha", account([line], [position(-6, symbol="SBIN")])))
    assert book.positions == ()
    assert [row.kind for row in book.trading_positions] == [TradeKind.SALE_OF_HOLDING]


def test_a_sale_takes_the_close_that_another_broker_tells() -> None:
    """A previous close is the exchange's: 4 of 10 sold at 388, where only another broker knows that it was 390."""
    mine = source("groww", account([holding(SBIN, 6, close=None)], [position(-4, price="388", isin=SBIN)]))
    [sale] = merged(mine).trading_positions
    assert (sale.quantity, sale.day_pnl) == (-4, None)
    for other in (Exchange.NSE, Exchange.BSE):
        with_another = merged(mine, source("zerodha", account([holding(SBIN, 1, close="390", exchange=other)])))
        [sale] = with_another.trading_positions
        assert sale.day_pnl == (4 * (388 - 390) if other is Exchange.NSE else None)
    book = merged(mine, borrowed={SBIN: lent(None, "390")})
    assert book.trading_positions[0].day_pnl == book.day_pnl_parts.positions == -8
    assert (book.day_pnl_parts.lines_unknown, book.day_pnl_parts.base) == (0, 10 * 390)


def test_the_close_of_what_was_sold_altogether_is_asked_for() -> None:
    line = holding(SBIN, 6, symbol="SBIN", close=None, used_quantity=D(6), sales_deducted=False)
    mine = source("groww", account([line], [position(-6, price="388", symbol="SBIN")]))
    assert Book.of([mine]).unpriced() == [Unpriced(isin=SBIN, exchange=Exchange.NSE, symbol="SBIN", has_price=True)]
    assert merged(mine, borrowed={SBIN: lent(None, "390")}).day_pnl == 6 * (388 - 390)
    told = source("groww", account([replace(line, close_price=D(390))], [position(-6, price="388", symbol="SBIN")]))
    assert Book.of([told]).unpriced() == []


# --- derivatives ------------------------------------------------------------------------------------------------------
def option(quantity: int, **changed: Any) -> Position:
    facts = {
        "exchange": Exchange.NFO,
        "symbol": "NIFTY26DEC27000CE",
        "product": Product.NRML,
        "exchange_token": "61471",
    }
    return position(quantity, **{**facts, **changed})


def test_a_contract_long_here_and_short_there_is_one_line_at_one_price() -> None:
    long = source("zerodha", account(positions=[option(65, price="171.20", last="180")]), rank=0)
    short = source("upstox", account(positions=[option(-65, price="196.45", last="181", symbol="NIFTY 27000 CE")]))
    book = merged(long, short)
    [contract] = book.derivatives
    assert (contract.net_quantity, contract.long_quantity, contract.short_quantity) == (0, 65, 65)
    assert (contract.current_price, contract.matched) == (180, True)
    assert contract.unrealized_pnl == 65 * (D("180") - D("171.20")) - 65 * (D("180") - D("196.45"))
    assert [line.broker_id for line in contract.broker_positions] == ["zerodha", "upstox"]
    assert book.total_value == 0


def test_the_same_contract_on_two_exchanges_never_nets() -> None:
    nse = option(65, exchange_token=None, contract=call_of("NIFTY"))
    bse = option(-65, exchange_token=None, contract=call_of("NIFTY"), exchange=Exchange.BFO)
    book = merged(source("zerodha", account(positions=[nse])), source("upstox", account(positions=[bse])))
    assert sorted(line.net_quantity for line in book.derivatives) == [-65, 65]


def test_a_row_without_token_joins_by_what_the_contract_is() -> None:
    by_token = option(65, contract=call_of("NIFTY"))
    by_contract = option(10, exchange_token=None, contract=call_of("NIFTY"), symbol="NIFTY-CE-27000")
    book = merged(source("zerodha", account(positions=[by_token])), source("upstox", account(positions=[by_contract])))
    [contract] = book.derivatives
    assert (contract.net_quantity, contract.underlying, contract.strike) == (75, "NIFTY", 27000)


def test_a_contract_that_nobody_can_match_stays_under_its_own_broker() -> None:
    nameless = option(65, exchange_token=None)
    book = merged(source("zerodha", account(positions=[nameless])), source("upstox", account(positions=[nameless])))
    assert [line.matched for line in book.derivatives] == [False, False]
    assert book.coverage.unmatched_instruments == 2


def call_of(underlying: str) -> Contract:
    return Contract(underlying=underlying, expiry=date(2026, 12, 29), strike=D(27000), option_type=OptionType.CE)


@pytest.mark.parametrize(
    ("isin", "kind"),
    [
        (INFY, AssetClass.EQUITY),
        (GILT, AssetClass.FUND),
        ("INE002A07RB7", AssetClass.DEBT),
        ("IN0020230085", AssetClass.DEBT),
        ("US0378331005", AssetClass.OTHER),
        (None, AssetClass.OTHER),
    ],
)
def test_an_isin_says_what_it_is(isin: str | None, kind: AssetClass) -> None:
    assert asset_class(isin) is kind


def test_the_allocation_adds_up(kite: Source, upstox: Source) -> None:
    book = merged(kite, upstox)
    assert [(line.asset_class, line.current_value) for line in book.asset_allocation] == [
        (AssetClass.FUND, D("488250.00")),
        (AssetClass.EQUITY, D("47211.00") + D("19823.70") + D("11200.00")),
    ]
