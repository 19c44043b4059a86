"""Margin and leverage, account by account, the worst first."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.domain import Product
from portfolio.domain import SourceState
from portfolio.risk.margins import (
    EXHAUSTED,
    Account,
    Stress,
    accounts_of,
    judged_account,
    leverage,
    margins,
    utilisation,
)
from tests.portfolio.risk.made import book_of, contract, funds, held
from tests.portfolio.sources import INFY, holding, position, source

repeatable = settings(max_examples=100, deadline=None, derandomize=True)
MONEY = st.decimals("0", "9999999", places=2)
SIGNED = st.decimals("-9999999", "9999999", places=2)
ACCOUNTS = st.builds(
    Account,
    connection_id=st.text("abc", min_size=1, max_size=3),
    broker_type=st.just("zerodha"),
    broker_name=st.just("Zerodha"),
    used=st.none() | MONEY,
    available=st.none() | SIGNED,
    cash=st.none() | SIGNED,
    collateral=st.none() | MONEY,
    at_margin=st.none() | SIGNED,
    equity=st.none() | SIGNED,
    gross=st.none() | MONEY,
    net=st.none() | SIGNED,
)
FUTURES = Account(
    connection_id="z", broker_type="zerodha", broker_name="Zerodha", equity=Decimal(800_000), used=Decimal(400_000),
    available=Decimal(200_000), cash=Decimal(150_000), collateral=Decimal(100_000), gross=Decimal(2_000_000),
    net=Decimal(2_000_000), at_margin=Decimal(2_000_000),
)  # fmt: skip


@pytest.mark.parametrize(
    ("used", "available", "ratio"),
    [
        (75, 25, "0.75"), (0, 0, "0"), (0, 100, "0"), (0, -5, "10"), (50, -50, "10"), (50, -80, "10"),
        (100, -95, "10"), (100, -20, "1.25"), (None, 5, None), (5, None, None),
    ],
)  # fmt: skip
def test_utilisation(used: int | None, available: int | None, ratio: str | None) -> None:
    numbers = [None if each is None else Decimal(each) for each in (used, available)]
    assert utilisation(*numbers) == (None if ratio is None else Decimal(ratio))


@pytest.mark.parametrize("equity", [None, "0", "-5"])
def test_without_equity_there_is_no_leverage(equity: str | None) -> None:
    assert leverage(Decimal(100), None if equity is None else Decimal(equity)) is None


def test_the_stress_by_hand() -> None:
    stress = Stress(fall_ratio=Decimal("0.05"), span_factor=Decimal("1.25"), daily_ratio=Decimal("0.02"))
    found = judged_account(FUTURES, stress)
    assert found.utilisation is not None
    assert round(found.utilisation, 4) == Decimal("0.6667")
    # -5% of 2,000,000, and of the pledged 100,000: 95,000 remain beside the 400,000 used
    assert found.after_fall == Decimal(400_000) / Decimal(495_000)
    assert found.after_rise == Decimal(400_000) / Decimal(700_000)
    assert found.after_span == Decimal(500_000) / Decimal(600_000)
    assert found.stressed == Decimal(500_000) / Decimal(495_000)
    assert (found.leverage_gross, found.leverage_net) == (Decimal("2.5"), Decimal("2.5"))
    # 40,000 a day out of the 150,000 in cash
    assert (found.days_of_cash, found.is_drained) == (Decimal("3.75"), True)


def test_a_short_account_is_stressed_by_a_rise() -> None:
    found = judged_account(replace(FUTURES, at_margin=Decimal(-2_000_000), collateral=None))
    assert found.after_rise is not None
    assert found.after_fall is not None
    assert found.after_rise > found.after_fall


def test_pledged_shares_of_an_unknown_worth_leave_the_fall_unknown() -> None:
    pledging = replace(FUTURES, collateral=None, has_pledged=True)
    found = judged_account(pledging)
    assert (found.after_fall, found.stressed) == (None, None)
    assert found.after_rise is not None
    assert judged_account(replace(pledging, has_pledged=False)).stressed is not None
    [account] = accounts_of(book_of(held(holding(INFY, 1, pledged_quantity=Decimal(5)), money=funds())))
    assert (account.has_pledged, judged_account(account).stressed) == (True, None)


def test_nothing_at_margin_drains_nothing() -> None:
    found = judged_account(replace(FUTURES, at_margin=Decimal(0)))
    assert (found.days_of_cash, found.is_drained) == (None, False)
    unknown = judged_account(replace(FUTURES, at_margin=None))
    assert (unknown.days_of_cash, unknown.is_drained, unknown.stressed, unknown.after_fall) == (None,) * 4
    assert unknown.after_span is not None


@repeatable
@given(st.lists(ACCOUNTS, max_size=5, unique_by=lambda account: account.connection_id))
def test_the_worst_is_first_and_the_unknown_last(accounts: list[Account]) -> None:
    found = margins(accounts)
    told = [each.utilisation for each in found.accounts]
    known = [each for each in told if each is not None]
    assert known == sorted(known, reverse=True)
    assert told == known + [None] * (len(told) - len(known))
    assert found.worst == (known[0] if known else None)
    assert all(0 <= each <= EXHAUSTED for each in known)
    if any(each.used is None or each.available is None for each in accounts):
        assert not found.complete


@repeatable
@given(ACCOUNTS, st.decimals("0", "0.5", places=2), st.decimals("0", "0.5", places=2), st.decimals("1", "3", places=1))
def test_a_harder_stress_is_never_milder(account: Account, one: Decimal, other: Decimal, span: Decimal) -> None:
    account = replace(account, at_margin=abs(account.at_margin or 0))
    mild, hard = sorted((one, other))
    softly = judged_account(account, Stress(fall_ratio=mild, span_factor=Decimal(1)))
    hardly = judged_account(account, Stress(fall_ratio=hard, span_factor=span))
    if softly.stressed is None or hardly.stressed is None or softly.utilisation is None:
        assert account.used is None or account.available is None
        return
    assert softly.utilisation <= softly.stressed <= hardly.stressed


class TestAccountsOfABook:
    def test_its_lines_at_margin_are_those_settled_daily(self) -> None:
        short = position(-10, symbol="INFY", isin=INFY, last="110", product=Product.MIS)
        one = held(holding(INFY, 100, last="110"), short, contract("NIFTY26DECFUT", 65, last="26000"))
        [account] = accounts_of(book_of(one))
        assert (account.gross, account.net) == (9_900 + 1_690_000, 9_900 + 1_690_000)
        assert account.at_margin == 1_690_000 - 1_100
        assert (account.used, account.available, account.cash) == (40_000, 60_000, 100_000)

    def test_a_missing_account_has_nothing_but_its_name(self) -> None:
        [account] = accounts_of(book_of(source("upstox", None)))
        assert (account.state, account.equity, account.used, account.gross) == (SourceState.MISSING, None, None, None)
        found = margins([account])
        assert (found.worst, found.utilisation, found.complete) == (None, None, False)

    def test_an_option_without_a_delta_makes_the_stress_unknown(self) -> None:
        book = book_of(held(contract("NIFTY26DEC27000CE", -65), money=funds()))
        [account] = accounts_of(book)
        assert (account.at_margin, account.gross, account.unvalued) == (None, None, 1)
        assert judged_account(account).stressed is None
        assert not margins([account]).complete

    def test_margin_at_one_broker_is_none_at_another(self) -> None:
        full = held(money=funds(used=95, available=5))
        empty = held(slug="upstox", money=funds(used=0, available=1000))
        found = margins(accounts_of(book_of(empty, full)))
        assert [each.account.broker_type for each in found.accounts] == ["zerodha", "upstox"]
        assert (found.worst, found.complete) == (Decimal("0.95"), True)
        assert found.utilisation is not None
        assert found.utilisation < Decimal("0.1")
