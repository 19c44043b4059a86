"""What an account is worth, and what today's deals do to it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from brokers.domain import Funds, Position, Product
from portfolio.risk.equity import Equity, book_equity, equities, lost_by_closing, open_since_settlement
from portfolio.risk.words import RiskBook
from tests.portfolio.risk.made import book_of, contract, funds, held
from tests.portfolio.sources import INFY, account, decimal, holding, position, source


def equity_of(book: RiskBook, connection: str = "zerodha-1") -> Equity:
    return equities(book)[connection]


def test_it_is_cash_and_shares_less_loans() -> None:
    of_mtf = holding(INFY, 40, last="110", product=Product.MTF, funded_amount=Decimal(3000))
    worth = equity_of(book_of(held(holding(INFY, 10, last="110"), of_mtf)))
    assert (worth.amount, worth.owned, worth.loans, worth.complete) == (100_000 + 5500 - 3000, 5500, 3000, True)


def test_shares_whose_loan_is_unknown_are_left_out_and_named() -> None:
    worth = equity_of(book_of(held(holding(INFY, 40, product=Product.MTF))))
    assert (worth.amount, worth.owned, worth.unknown) == (100_000, 0, ("loan for INFY",))


def test_a_purchase_of_today_is_taken_off_whoever_lent_for_it() -> None:
    """It cost 100 each and is worth 110: the gain alone is new."""
    for product in (Product.CNC, Product.MTF):
        worth = equity_of(book_of(held(position(10, symbol="INFY", isin=INFY, product=product))))
        assert (worth.amount, worth.unsettled, worth.complete) == (100_100, -1000, True)


def test_a_sale_of_today_is_not_added() -> None:
    sold = position(-4, symbol="INFY", isin=INFY)
    worth = equity_of(book_of(held(holding(INFY, 6, last="110", used_quantity=Decimal(4)), sold)))
    assert (worth.amount, worth.unsettled) == (100_660, 0)


def test_options_are_worth_their_price_and_futures_what_is_open_since_the_close() -> None:
    book = book_of(
        held(
            contract("NIFTY26DEC27000CE", 65, last="100"),
            contract("NIFTY26DEC25000PE", -65, last="40"),
            contract("NIFTY26DECFUT", 65, last="26000", close="25900"),
        )
    )
    worth = equity_of(book)
    assert (worth.options, worth.unsettled, worth.amount) == (3900, 6500, 100_000 + 3900 + 6500)


def test_an_option_bought_today_is_not_counted_beside_the_cash_that_it_cost() -> None:
    bought = position(65, price="90", last="100", symbol="NIFTY26DEC27000CE", product=Product.NRML)
    row = replace(bought, exchange=contract("NIFTY26DECFUT", 1).exchange)
    worth = equity_of(book_of(held(row)))
    assert worth.amount == 100_000 + 650


def test_intraday_shares_count_with_what_they_earned() -> None:
    short = position(-10, price="100", last="97", symbol="INFY", isin=INFY, product=Product.MIS)
    worth = equity_of(book_of(held(short)))
    assert (worth.amount, worth.owned) == (100_030, 0)


@pytest.mark.parametrize(
    ("source_of", "unknown", "amount"),
    [
        (lambda: held(holding(INFY, 10, last=None)), ("price of INFY",), 100_000),
        (lambda: held(contract("NIFTY26DECFUT", 65, last=None)), ("today's deals",), 100_000),
        (lambda: source("zerodha", account([holding(INFY, 10)])), ("cash",), 1100),
        (lambda: source("zerodha", None), ("account",), None),
    ],
    ids=["price", "deals", "cash", "account"],
)
def test_what_is_unknown_is_named(source_of: Any, unknown: tuple[str, ...], amount: int | None) -> None:
    worth = equity_of(book_of(source_of()))
    assert (worth.unknown, worth.amount, worth.complete) == (unknown, amount, False)


def test_the_book_is_the_sum_and_says_what_it_lacks() -> None:
    book = book_of(held(holding(INFY, 10, last="110")), held(slug="upstox", money=funds(5)), source("groww", None))
    worth = book_equity(list(equities(book).values()))
    assert (worth.amount, worth.cash, worth.unknown) == (101_105, None, ("account",))
    assert book_equity([]).amount is None


def test_nothing_is_known_where_no_account_answered() -> None:
    book = book_of(source("groww", None))
    assert book_equity(list(equities(book).values())).amount is None


@pytest.mark.parametrize(
    ("quantity", "carried", "bought", "sold", "last", "close", "earned"),
    [
        (65, 65, None, None, "110", "105", 325),  # carried
        (130, 65, (65, 6700), None, "110", "105", 325 + 65 * 110 - 6700),  # and added to
        (65, 130, None, (65, 7000), "110", "105", 325),  # a part closed: what is left
        (-65, 65, None, (130, 14000), "110", "105", 7000 - 65 * 110),  # turned round
        (65, 0, (130, 13000), (65, 7000), "110", None, 650),  # all of today
        (0, 65, None, (65, 7000), "110", "105", 0),  # closed
        (65, 65, None, None, None, "105", None),
        (65, 65, None, None, "110", None, None),
        (65, 0, None, None, "110", None, 65 * 20),  # of an unknown day: since its average of 90
    ],
)
def test_what_is_open_earns_since_the_last_settlement(
    quantity: int, carried: int, bought: Any, sold: Any, last: str | None, close: str | None, earned: int | None
) -> None:
    row: Position = replace(
        contract("NIFTY26DECFUT", quantity, last=last),
        overnight_quantity=Decimal(carried),
        close_price=decimal(close),
        day_buy_quantity=Decimal(bought[0] if bought else 0),
        day_buy_value=Decimal(bought[1] if bought else 0),
        day_sell_quantity=Decimal(sold[0] if sold else 0),
        day_sell_value=Decimal(sold[1] if sold else 0),
    )
    assert open_since_settlement(row) == earned


@pytest.mark.parametrize(
    ("quantity", "carried", "bought", "sold", "close", "lost"),
    [
        (0, 0, (500, 100_000), (500, 50_000), None, -50_000),  # closed at a loss
        (0, 0, (500, 50_000), (500, 100_000), None, 0),  # at a gain
        (0, 500, None, (500, 50_000), "200", -50_000),  # carried, and closed below its close
        (0, 500, None, (500, 50_000), None, None),
        (250, 500, None, (250, 25_000), "200", -25_000),  # half of it, the other half is open
        (250, 0, (500, 100_000), (250, 25_000), None, -25_000),
        (-500, 500, None, (1000, 100_000), "200", -50_000),  # turned round
        (500, 500, None, None, None, 0),  # nothing was closed
        (-500, 0, None, None, "200", 0),  # of an unknown day
    ],
)
def test_what_was_closed_today_counts_if_it_lost(
    quantity: int, carried: int, bought: Any, sold: Any, close: str | None, lost: int | None
) -> None:
    row: Position = replace(
        contract("NIFTY26DECFUT", quantity, last="100"),
        overnight_quantity=Decimal(carried),
        close_price=decimal(close),
        day_buy_quantity=Decimal(bought[0] if bought else 0),
        day_buy_value=Decimal(bought[1] if bought else 0),
        day_sell_quantity=Decimal(sold[0] if sold else 0),
        day_sell_value=Decimal(sold[1] if sold else 0),
    )
    assert lost_by_closing(row) == lost
    worth = equity_of(book_of(held(row)))
    earned = open_since_settlement(row)
    assert worth.unsettled == (None if lost is None or earned is None else earned + lost)


def test_a_future_and_an_option_closed_at_the_same_loss_weigh_the_same() -> None:
    for symbol in ("NIFTY26DECFUT", "NIFTY26DEC27000CE"):
        closed = contract(
            symbol, 0, day_buy_quantity=Decimal(500), day_buy_value=Decimal(100_000),
            day_sell_quantity=Decimal(500), day_sell_value=Decimal(50_000),
        )  # fmt: skip
        assert equity_of(book_of(held(closed))).amount == 50_000


def test_funds_that_are_partly_unknown_stay_so() -> None:
    nothing = Funds(available=None, used=None, collateral=None, cash=None)
    assert equity_of(book_of(held(holding(INFY, 1, last="110"), money=nothing))).unknown == ("cash",)
