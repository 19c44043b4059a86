"""What of a day's loss is proved: nothing locks a day that may not have been lost, and no lost one goes unlocked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from brokers.domain import Exchange, Funds, Product
from portfolio.domain import Source, SourceState
from portfolio.risk.proving import Proved, proved
from portfolio.risk.quick import quick_measures
from tests.portfolio.risk.made import book_of, contract, funds, held
from tests.portfolio.sources import INFY, NOW, SBIN, account, holding, position, source

D = Decimal
OPENED = dict.fromkeys(Exchange, NOW - timedelta(hours=1))
LATER = dict.fromkeys(Exchange, NOW + timedelta(minutes=15))
UNTOLD = Funds(available=None, used=None, collateral=None, cash=None)
NO_MONEY = funds(0, available=0, used=0)
# 100 shares that fell from 100 to 96: 4% of 10,000.
FALLEN = holding(INFY, 100, last="96", close="100")


def of(*sources: Source, openings: dict[Exchange, datetime] = OPENED) -> Proved:
    book = book_of(*sources)
    return proved(book, quick_measures(book).equity, openings)


def away(*lines: object, days: int = 1, slug: str = "upstox", money: Funds = NO_MONEY) -> Source:
    """A broker whose last good answer is of another day."""
    plain = held(*lines, slug=slug, money=money)  # type: ignore[arg-type]
    assert plain.portfolio is not None
    old = replace(plain.portfolio, as_of=NOW - timedelta(days=days))
    return replace(plain, portfolio=old, state=SourceState.STALE)


def test_of_a_book_that_is_known_it_is_the_loss() -> None:
    found = of(held(FALLEN, money=NO_MONEY))
    assert (found.loss, found.loss_pct, found.by_account) == (D(400), D(4), {"zerodha-1": D(400)})


def test_a_gain_is_no_loss() -> None:
    found = of(held(holding(INFY, 100, last="104", close="100")))
    assert (found.loss, found.loss_pct) == (0, 0)


@pytest.mark.parametrize("openings", [LATER, {}], ids=["not yet open", "closed all day"])
def test_what_is_shown_before_the_market_begins_is_of_another_day(openings: dict[Exchange, datetime]) -> None:
    found = of(held(FALLEN, money=NO_MONEY), openings=openings)
    assert (found.loss, found.loss_pct) == (0, 0)


def test_each_exchange_begins_its_own_day() -> None:
    """MCX trades, NSE does not yet: yesterday's loss of the shares is none of today's."""
    metal = contract("GOLD26DECFUT", 10, last="80", close="100", exchange=Exchange.MCX)
    found = of(held(FALLEN, metal), openings={**LATER, Exchange.MCX: NOW - timedelta(minutes=5)})
    assert found.loss == 200


def test_nor_does_an_answer_from_before_it_began_tell_of_today() -> None:
    early = source("zerodha", account([FALLEN], funds=NO_MONEY, age=7200))
    assert of(early).loss == 0


def test_of_an_expired_morning_nothing_is_lost() -> None:
    found = of(away(FALLEN, slug="zerodha"))
    assert (found.loss, found.loss_pct) == (0, 0)


def test_who_was_never_heard_of_may_have_gained_anything() -> None:
    found = of(held(FALLEN, money=NO_MONEY), source("upstox", None))
    assert (found.loss, found.loss_pct) == (None, None)
    assert found.by_account == {"zerodha-1": D(400), "upstox-1": None}


def test_an_account_away_counts_in_what_the_day_began_with() -> None:
    """4% of 10,000 are 0.04% with a million at a broker that does not answer."""
    found = of(held(FALLEN, money=NO_MONEY), away(money=funds(990_000)))
    assert (found.loss, found.loss_pct) == (D(400), D("0.04"))


def test_and_its_shares_may_have_gained_what_a_circuit_lets_them() -> None:
    small = away(holding(SBIN, 10, last="100", close="100", symbol="SBIN"))
    assert of(held(FALLEN, money=NO_MONEY), small).loss == 200
    short = away(position(-10, last="100", symbol="SBIN", isin=SBIN, product=Product.MIS))
    assert of(held(FALLEN, money=NO_MONEY), short).loss is None


def test_a_true_loss_is_proved_without_the_cash() -> None:
    crashed = held(holding(INFY, 100, last="50", close="100"), money=UNTOLD)
    found = of(crashed)
    # 5,000 of the 10,000 that are known; there may have been as much again.
    assert (found.loss, found.loss_pct) == (D(5000), D(25))


def test_and_beside_a_share_whose_day_is_not_known() -> None:
    crashed = held(holding(INFY, 100, last="50", close="100"), holding(SBIN, 10, last="100", close=None, symbol="SBIN"))
    assert of(crashed).loss == 4800
    unpriced = held(FALLEN, holding(SBIN, 10, last=None, close=None, symbol="SBIN"))
    assert of(unpriced).loss is None


def test_what_was_closed_today_counts() -> None:
    flat = position(
        0, symbol="SBIN", isin=SBIN, product=Product.MIS, last="90", buy_value=D(10_000), sell_value=D(9000),
        day_buy_quantity=D(100), day_buy_value=D(10_000), day_sell_quantity=D(100), day_sell_value=D(9000),
    )  # fmt: skip
    assert of(held(flat)).loss == 1000
    assert of(held(FALLEN, flat)).loss == 1400


def test_a_row_that_could_not_be_read_may_be_anything() -> None:
    book = replace(book_of(held(FALLEN)), unreadable=1)
    found = proved(book, quick_measures(book).equity, OPENED)
    assert (found.loss, found.loss_pct, found.by_account) == (None, None, {"zerodha-1": None})
