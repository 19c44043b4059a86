"""One account's answer into lots owned and rows traded."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.domain import BrokerPortfolio, Exchange, Position, Product
from portfolio.domain import TradeKind
from portfolio.lots import Lot, Trade, directory_of, owned_before_sales, split
from tests.portfolio.sources import INFY, SBIN, account, holding, position, source

D = Decimal


def lots_of(portfolio: BrokerPortfolio) -> tuple[list[Lot], list[Trade]]:
    mine = source("zerodha", portfolio)
    return split(mine, directory_of([mine]))


def parts(lot: Lot) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return (lot.settled, lot.t1, lot.pledged, lot.today)


def test_a_holding_is_one_lot() -> None:
    [lot], trades = lots_of(account([holding(INFY, 5, t1_quantity=D(10), pledged_quantity=D(3))]))
    assert (parts(lot), lot.quantity, lot.cost, trades) == ((5, 10, 3, 0), 18, 1800, [])


def test_nothing_owned_is_no_lot() -> None:
    assert lots_of(account([holding(INFY, 0)])) == ([], [])


def test_a_purchase_stands_beside_the_holding_it_adds_to() -> None:
    lots, trades = lots_of(account([holding(INFY, 5)], [position(12, price="108", close=None)]))
    assert ([parts(lot) for lot in lots], trades) == ([(0, 0, 0, 12), (5, 0, 0, 0)], [])
    assert (lots[0].key, lots[0].average_price, lots[0].close_price) == (INFY, 108, 105)


def test_a_carried_part_that_the_holdings_show_is_not_counted_again() -> None:
    row = position(15, overnight_quantity=D(10))
    lots, _ = lots_of(account([holding(INFY, 10)], [row]))
    assert sorted(parts(lot) for lot in lots) == [(0, 0, 0, 5), (10, 0, 0, 0)]


def test_a_carried_part_that_no_holding_shows_is_owned_since_before_today() -> None:
    row = position(25, product=Product.MTF, isin=INFY, overnight_quantity=D(20))
    [lot], _ = lots_of(account(positions=[row]))
    assert parts(lot) == (20, 0, 0, 5)


def test_yesterdays_purchase_that_no_holding_shows_is_on_its_way() -> None:
    row = position(25, isin=INFY, overnight_quantity=D(20))
    [lot], _ = lots_of(account(positions=[row]))
    assert parts(lot) == (0, 20, 0, 5)


def test_a_carried_part_sold_in_part_today_leaves_the_rest() -> None:
    row = position(15, product=Product.MTF, isin=INFY, overnight_quantity=D(20))
    [lot], _ = lots_of(account(positions=[row]))
    assert parts(lot) == (15, 0, 0, 0)


def test_own_shares_and_financed_ones_are_not_mixed() -> None:
    financed = position(5, product=Product.MTF, isin=INFY)
    lots, _ = lots_of(account([holding(INFY, 10)], [financed]))
    assert sorted((lot.product, lot.quantity) for lot in lots) == [(Product.CNC, 10), (Product.MTF, 5)]


@pytest.mark.parametrize(
    ("sold", "left"), [(2, (3, 10, 7, 0)), (5, (0, 10, 7, 0)), (9, (0, 6, 7, 0)), (18, (0, 0, 4, 0))]
)
def test_sold_shares_leave_the_free_ones_first(sold: int, left: tuple[int, ...]) -> None:
    line = holding(INFY, 5, t1_quantity=D(10), pledged_quantity=D(7), used_quantity=D(sold), sales_deducted=False)
    [lot], _ = lots_of(account([line]))
    assert (parts(lot), lot.sale_unsettled) == (left, False)


def test_more_sold_than_there_is_leaves_nothing() -> None:
    line = holding(INFY, 5, used_quantity=D(6), sales_deducted=False)
    assert lots_of(account([line]))[0] == []


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (position(5, product=Product.MIS), TradeKind.INTRADAY),
        (position(-5, product=Product.NRML, exchange=Exchange.NFO), TradeKind.DERIVATIVE),
        (position(1, product=Product.NRML, exchange=Exchange.MCX), TradeKind.DERIVATIVE),
        (position(0), TradeKind.CLOSED_DELIVERY),
        (position(-5), TradeKind.SALE_OF_HOLDING),
    ],
)
def test_what_is_merely_traded(row: Position, kind: TradeKind) -> None:
    lots, [trade] = lots_of(account(positions=[row]))
    assert (lots, trade.kind) == ([], kind)


def test_the_directory_prefers_the_first_source() -> None:
    first = source("zerodha", account([holding(INFY)]))
    second = source("upstox", account([holding("INE000A00000")]))
    assert directory_of([first, second])[Exchange.NSE, "INFY"].isin == INFY
    assert directory_of([source("zerodha", None)]) == {}


# --- what is remembered for the next sale -----------------------------------------------------------------------------
def test_what_is_owned_is_remembered_by_isin() -> None:
    lines = [holding(INFY, 5, t1_quantity=D(2)), holding(INFY, 3, exchange=Exchange.BSE), holding(None, 4)]
    financed = holding(INFY, 50, product=Product.MTF)
    assert owned_before_sales(account([*lines, financed]), {}) == {INFY: 5 + 2 + 3}


@pytest.mark.parametrize(("previous", "remembered"), [({SBIN: D(16)}, {SBIN: D(16)}), ({}, {})])
def test_a_share_under_sale_keeps_what_was_remembered(
    previous: dict[str, Decimal], remembered: dict[str, Decimal]
) -> None:
    sold = account([holding(SBIN, 10, symbol="SBIN")], [position(-6, symbol="SBIN")])
    assert owned_before_sales(sold, previous) == remembered
