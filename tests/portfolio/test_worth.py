"""The three numbers over all that is owned and open: net worth, today's and the open profit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.domain import ZERO, BrokerPortfolio, Exchange, Funds, Position, Product, RowProblem
from portfolio.consolidate import consolidate
from portfolio.domain import ConsolidatedPortfolio, LivePrice, LivePrices, Source, SourceState
from portfolio.live import LiveBooks
from portfolio.presentation import present
from portfolio.sums import known_sum, percent
from portfolio.worth import NO_PNL
from tests.portfolio.sources import (
    INFY,
    LISTINGS,
    NOW,
    NSE_INFY,
    RELIANCE,
    SBIN,
    USER,
    account,
    future,
    holding,
    merged,
    position,
    source,
    told,
)
from tests.portfolio.strategies import SHARES, books

repeatable = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
D = Decimal


def money(cash: str | None) -> Funds:
    return Funds(available=D(1), used=D(0), collateral=D(0), cash=None if cash is None else D(cash))


# --- net worth --------------------------------------------------------------------------------------------------------
def test_net_worth_is_shares_and_cash_less_what_was_lent() -> None:
    """10 INFY at 110 and 1,000 of cash; 20 SBIN at 110 for which the broker lent 1,500."""
    borrowed = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=D(1500))
    answer = merged(source("zerodha", account([holding(INFY, 10), borrowed], funds=money("1000"))))
    assert answer.total_value == 3300
    assert answer.net_worth == 3300 + 1000 - 1500
    parts = answer.net_worth_parts
    assert (parts.shares, parts.cash, parts.lent) == (3300, 1000, 1500)
    assert (parts.cash_unknown, parts.loans_unknown) == ((), 0)


def test_cash_that_is_unknown_is_left_out_and_named() -> None:
    silent = source("groww", account([holding(INFY, 10)], funds=None))
    vague = source("fyers", account([holding(INFY, 10)], funds=money(None)))
    answer = merged(source("zerodha", account(funds=money("1000"))), silent, vague)
    assert answer.net_worth == 2200 + 1000
    assert set(answer.net_worth_parts.cash_unknown) == {"groww-1", "fyers-1"}
    alone = merged(silent)
    assert (alone.net_worth, alone.net_worth_parts.cash) == (1100, None)


def test_shares_of_which_nobody_knows_what_is_owed_are_left_out() -> None:
    """As much may be owed as they are worth: a debt that is unknown must not look like wealth."""
    owing = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=None)
    answer = merged(source("zerodha", account([holding(INFY, 10), owing], funds=money("0"))))
    assert (answer.total_value, answer.net_worth) == (3300, 1100)
    assert (answer.net_worth_parts.lent, answer.net_worth_parts.loans_unknown) == (None, 1)


def test_what_is_bought_today_is_not_counted_beside_its_price() -> None:
    """Docs/adr/0006: the cash may not know of the purchase yet; of a sale it is told and not guessed."""
    before = merged(source("zerodha", account([holding(INFY, 10)], funds=money("5000"))))
    bought = account([holding(INFY, 10)], [position(20, price="110")], money("5000"))
    after = merged(source("zerodha", bought))
    assert after.total_value == 3300
    assert after.net_worth == before.net_worth == 6100
    sold = account([holding(INFY, 4)], [position(-6, price="110")], money("5000"))
    left = merged(source("zerodha", sold))
    assert (left.net_worth, left.net_worth_parts.sold_today) == (440 + 5000, 660)


def test_what_is_bought_today_and_has_no_price_takes_nothing_off() -> None:
    """Its price is missing, and not its worth: what was paid is not taken off what does not count it."""
    bought = [position(20, price="110", last=None, symbol="SBIN", isin=SBIN), position(5, price="110")]
    answer = merged(source("zerodha", account([holding(INFY, 10)], bought, money("5000"))))
    assert answer.coverage.without_price == 1
    assert (answer.net_worth, answer.net_worth_parts.bought_today) == (1650 + 5000 - 550, 550)
    owing = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=None)
    more = position(
        25, price="110", symbol="SBIN", isin=SBIN, product=Product.MTF, overnight_quantity=D(20), day_buy_value=D(550)
    )
    carried = merged(source("zerodha", account([holding(INFY, 10)], [more], money("5000"))))
    assert (carried.net_worth, carried.net_worth_parts.loans_unknown) == (1100 + 5000, 1)
    beside = merged(source("zerodha", account([holding(INFY, 10), owing], [more], money("5000"))))
    assert (beside.net_worth, beside.net_worth_parts.loans_unknown) == (1100 + 550 + 5000 - 550, 1)


def test_cash_alone_is_no_worth_where_no_share_has_a_price() -> None:
    """An outage of prices must not look like poverty."""
    unpriced = source("zerodha", account([holding(INFY, 10, last=None)], funds=money("1000")))
    answer = merged(unpriced)
    assert (answer.net_worth, answer.net_worth_parts.cash) == (None, 1000)
    assert merged(source("zerodha", account(funds=money("1000")))).net_worth == 1000


def test_of_nobody_nothing_is_known() -> None:
    answer = merged(source("zerodha", None))
    assert (answer.net_worth, answer.day_pnl, answer.open_pnl) == (None, None, None)
    assert answer.net_worth_parts.bought_today is None
    assert (answer.day_pnl_percent, answer.open_pnl_percent) == (None, None)


def test_an_account_without_shares_whose_funds_were_not_read_is_not_worth_nothing() -> None:
    silent = source("groww", account(funds=None))
    assert merged(silent).net_worth is None
    answer = merged(silent, source("zerodha", None))
    assert (answer.net_worth, answer.day_pnl, answer.open_pnl) == (None, None, None)
    assert answer.day_pnl_parts == answer.open_pnl_parts == NO_PNL


def test_nor_is_one_of_whose_shares_alone_nobody_knows_what_is_owed() -> None:
    owing = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=None)
    assert merged(source("zerodha", account([owing], funds=money(None)))).net_worth is None
    assert merged(source("zerodha", account([owing], funds=money("500")))).net_worth == 500


def test_a_profit_of_no_line_is_nought_only_where_every_account_is_in_it() -> None:
    quiet = source("groww", account(funds=money("1000")))
    alone = merged(quiet)
    assert (alone.net_worth, alone.day_pnl, alone.open_pnl) == (1000, 0, 0)
    beside = merged(quiet, source("zerodha", None))
    assert (beside.net_worth, beside.day_pnl, beside.open_pnl) == (1000, None, None)
    unread = account(funds=money("1000"), problems=(RowProblem(part="holdings", row=1, field="quantity"),))
    assert merged(source("groww", unread)).day_pnl is None


# --- profits ----------------------------------------------------------------------------------------------------------
def test_a_profit_is_of_shares_and_positions_against_what_moved() -> None:
    """10 INFY: 100 → 110, yesterday 105. 75 of a future: 24,000 → 24,100, opened today."""
    answer = merged(source("zerodha", account([holding(INFY, 10)], [future(75)])))
    assert (answer.day_pnl_parts.shares, answer.day_pnl_parts.positions) == (50, 7500)
    assert answer.day_pnl == 7550
    assert answer.day_pnl_parts.base == 1050 + 75 * 24000
    assert answer.day_pnl_percent == percent(D(7550), D(1801050))
    assert (answer.open_pnl_parts.shares, answer.open_pnl_parts.positions) == (100, 7500)
    assert (answer.open_pnl, answer.open_pnl_parts.base) == (7600, 1000 + 75 * 24000)
    assert (answer.unrealized_pnl, answer.day_change) == (100, 50)


def test_a_carried_contract_is_measured_from_its_previous_close_and_a_short_one_too() -> None:
    carried = {"overnight_quantity": D(-75), "day_sell_quantity": ZERO, "day_sell_value": ZERO}
    answer = merged(source("zerodha", account(positions=[future(-75, **carried)])))
    assert answer.day_pnl == -75 * 50
    assert answer.day_pnl_parts.base == 75 * 24050
    assert answer.day_pnl_percent is not None
    assert answer.day_pnl_percent < 0


def test_one_unknown_line_is_left_out_and_counted() -> None:
    lines = [holding(INFY, 10), holding(SBIN, 5, symbol="SBIN", close=None, average=None)]
    answer = merged(source("zerodha", account(lines, [future(75, last=None)])))
    assert (answer.day_pnl, answer.day_pnl_parts.lines_unknown) == (50, 2)
    assert (answer.open_pnl, answer.open_pnl_parts.lines_unknown) == (100, 2)
    assert answer.trading.day_pnl is None
    assert answer.day_pnl_parts.positions is None


def test_an_answer_of_yesterday_tells_nothing_of_todays_dealing() -> None:
    """What it carried moves with a streamed price; what it dealt in, and what it bought, was another day's."""
    held = [holding(INFY, 10), holding(RELIANCE, 1, symbol="RELIANCE")]
    old = account(held, [future(75), position(5, symbol="SBIN", isin=SBIN)], age=86_400)
    sources = [source("zerodha", old, state=SourceState.STALE)]
    streamed = LivePrices({INFY: LivePrice(exchange=Exchange.NSE, price=D(120), close=D(118), source="x", as_of=NOW)})
    answer = consolidate(USER, sources, now=NOW, streamed=streamed)
    assert (answer.day_pnl, answer.day_pnl_parts.lines_unknown) == (20, 3)
    assert answer.broker_breakdown[0].day_pnl == 20
    before = consolidate(USER, sources, now=NOW - timedelta(days=1))
    assert before.day_pnl_parts.lines_unknown == 0


# --- properties -------------------------------------------------------------------------------------------------------
def lines_of(answer: ConsolidatedPortfolio) -> list[Decimal | None]:
    shares = [part.day_change for row in answer.positions for part in row.broker_positions]
    return [*shares, *(row.day_pnl for row in answer.trading_positions)]


@repeatable
@given(books())
def test_the_days_profit_is_the_sum_of_the_brokers_lines_and_the_trading_rows(book: list[Source]) -> None:
    answer = merged(*book)
    lines = lines_of(answer)
    assert answer.day_pnl == known_sum(lines)
    assert answer.day_pnl_parts.lines_unknown == lines.count(None)
    assert (answer.day_pnl or ZERO) == sum((line.day_pnl or ZERO for line in answer.broker_breakdown), ZERO)
    gains = [part.unrealized_pnl for row in answer.positions for part in row.broker_positions]
    assert answer.open_pnl == known_sum([*gains, *(row.unrealized_pnl for row in answer.trading_positions)])


@repeatable
@given(books())
def test_net_worth_is_what_its_parts_say(book: list[Source]) -> None:
    answer = merged(*book)
    parts = answer.net_worth_parts
    if answer.total_value is None:
        assert answer.net_worth is None
        return
    owed = known_sum([parts.lent, parts.bought_today]) or ZERO
    assert parts.owed == owed
    lines = [part for row in answer.positions for part in row.broker_positions]
    owing = [part for part in lines if part.product is Product.MTF and part.funded_amount is None]
    if parts.cash is None and all(part.current_value is None or part in owing for part in lines):
        assert answer.net_worth is None
    else:
        assert parts.shares is not None
        assert answer.net_worth == parts.shares + (parts.cash or ZERO) - owed
    told = {line.connection_id: line.cash for line in answer.funds.brokers}
    assert set(parts.cash_unknown) == {connection for connection, cash in told.items() if cash is None}
    assert (parts.shares or ZERO) <= answer.total_value


PRICES = {isin: (D(100 + number), D(90 + 7 * number)) for number, isin in enumerate(SHARES)}


@st.composite
def days(draw: st.DrawFn) -> tuple[BrokerPortfolio, Decimal]:
    """An account of which all is known, and what its raw rows say it earned today: nothing of ours is asked."""
    held, dealt, earned = [], [], ZERO
    for isin, symbol in SHARES.items():
        last, close = PRICES[isin]
        quantity = D(draw(st.integers(0, 500)))
        held.append(holding(isin, quantity, last=last, close=close, symbol=symbol))
        earned += quantity * (last - close)  # what is left of what was carried
        paid = D(draw(st.integers(50, 150)))
        count = draw(st.integers(-40, 40))
        product = draw(st.sampled_from([Product.CNC, Product.CNC, Product.MIS]))
        dealt.append(position(count, price=paid, last=last, close=close, symbol=symbol, isin=isin, product=product))
        if count > 0 or product is Product.MIS:
            earned += count * (last - paid)
        else:
            earned += -count * (paid - close)  # those shares were owned until today
    bought, sold = D(draw(st.integers(1, 9))) * 100, D(draw(st.integers(1, 9))) * 110
    dealt.append(closed(bought, sold))
    return account(held, dealt), earned + sold - bought


def closed(bought: Decimal, sold: Decimal) -> Position:
    """Ten shares bought for delivery and sold again."""
    row = position(10, price="1", symbol="TCS", last="5", close="4")
    value: dict[str, Any] = {"quantity": ZERO, "buy_value": bought, "sell_value": sold}
    day = {"day_buy_value": bought, "day_sell_value": sold, "day_sell_quantity": D(10)}
    return replace(row, **value, **day)


@repeatable
@given(st.lists(days(), min_size=1, max_size=3))
def test_nothing_is_counted_twice_and_nothing_is_lost(accounts: list[tuple[BrokerPortfolio, Decimal]]) -> None:
    """Shares bought today, sales out of holdings, round trips and intraday rows: each once, whichever list shows it."""
    answer = merged(*(source("zerodha", portfolio, number=number) for number, (portfolio, _) in enumerate(accounts)))
    assert answer.day_pnl == sum((earned for _, earned in accounts), ZERO)
    assert answer.day_pnl_parts.lines_unknown == 0


# --- alive ------------------------------------------------------------------------------------------------------------
def test_a_tick_moves_all_three_and_a_delta_carries_them() -> None:
    owing = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=None)
    watched = LiveBooks(LISTINGS)
    book = watched.hold(1, [source("zerodha", account([holding(INFY, 10), owing], [future(75)], money("1000")))])
    watched.apply(NSE_INFY, told("120", "104"))
    book.changes(NOW)
    watched.apply(NSE_INFY, told("121", "104"))
    watched.apply((Exchange.NSE, "3045"), told("130", "104"))
    watched.apply((Exchange.NFO, "53001"), told("24200", "24050", exchange=Exchange.NFO))
    delta = present(book.changes(NOW))
    assert delta["net_worth"] == "2210.00"
    assert delta["day_pnl"] == f"{10 * 17 + 20 * 26 + 75 * 200}.00"
    assert delta["open_pnl"] == f"{10 * 21 + 20 * 30 + 75 * 200}.00"
    assert delta["net_worth_parts"]["loans_unknown"] == 1
    assert delta["broker_breakdown"][0]["day_pnl"] == delta["day_pnl"]
    assert book.reconcile(NOW) == []
    assert book.reconcile(NOW + timedelta(days=1)) == []
