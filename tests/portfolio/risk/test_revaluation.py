"""The kernel of historical VaR and stress: what each line gains in each scenario."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import OptionType
from portfolio.risk.arrays import ABSENT, Driver, Pricing, Terms, book_arrays
from portfolio.risk.pricing import price
from portfolio.risk.revaluation import revalue, revalue_moves
from tests.portfolio.risk.risk_lines import INFY, RELIANCE, future, option, share

CALL = Terms(driver=Driver.INDEX, beta=Decimal(1), years=0.1, volatility=0.25, rate=Decimal("0.05"))


def terms(**more) -> Terms:
    return replace(CALL, **more)


def test_arrays_stand_in_the_order_of_the_lines() -> None:
    lines = [share(units=100), future(broker="upstox", units=-500), option(1450, OptionType.PE, price=60)]
    book = book_arrays(lines, [terms(), terms(years=0.2), terms(factor_beta=Decimal("0.5"))])
    assert (len(book), book.brokers, book.issuers, book.factors) == (3, ("zerodha", "upstox"), (RELIANCE,), (RELIANCE,))
    assert book.broker.tolist() == [0, 1, 0]
    assert book.pricing.tolist() == [Pricing.SPOT, Pricing.FUTURE, Pricing.ON_SPOT]
    assert book.sign.tolist() == [0, 0, -1]
    assert book.underlying.tolist() == [1400, 1410, 1400]
    assert book.value.tolist() == [140_000, -705_000, 30_000]
    assert book.is_company.all()


def test_lines_and_terms_belong_together() -> None:
    with pytest.raises(ValueError, match="1 lines have 2 terms"):
        book_arrays([share()], [terms(), terms()])


def test_each_line_follows_its_own_factor_by_its_beta() -> None:
    lines = [share(RELIANCE, 100, 1400), share(INFY, 10, 1500), share("INE123A01016", 5, 10)]
    book = book_arrays(lines, [terms(), terms(factor_beta=Decimal("0.5")), terms()], factors=(INFY, "NIFTY", RELIANCE))
    assert book.factor.tolist() == [2, 0, ABSENT]
    pnl = revalue(book, np.array([[0.02, 9.0, -0.01], [np.nan, 9.0, 0.03]]))
    assert pnl[0, :2].tolist() == pytest.approx([-1400, 150])
    assert pnl[1, 0] == pytest.approx(4200)
    assert np.isnan(pnl[1, 1])  # no return of that day
    assert np.isnan(pnl[:, 2]).all()  # no history at all


def test_an_option_is_priced_anew() -> None:
    book = book_arrays([option(1450, units=500, price=20)], [terms()])
    moved = revalue(book, np.array([[-0.05], [0.0], [0.05]]), np.array([0.6, 0.0, -0.2]))[:, 0]
    before, fallen, risen = (
        float(price(1, spot, 1450.0, 0.1, volatility, 0.05, 0.0))
        for spot, volatility in ((1400, 0.25), (1330, 0.4), (1470, 0.2))
    )
    assert moved.tolist() == pytest.approx([500 * (fallen - before), 0.0, 500 * (risen - before)])


def test_volatility_may_move_by_line_too() -> None:
    book = book_arrays([option(1450), option(1350)], [terms(), terms()])
    shocks = np.array([[0.5, 0.0]])
    moved = revalue(book, np.zeros((1, 1)), shocks)[0]
    assert moved[0] > 0
    assert moved[1] == 0


def test_days_pass_for_options_alone_and_never_beyond_expiry() -> None:
    book = book_arrays([share(), future(), option(1300)], [terms()] * 3)
    week, long = revalue_moves(book, np.zeros((2, 3)), days=np.array([7.0, 700.0]))
    assert week[:2].tolist() == long[:2].tolist() == [0, 0]
    before = float(price(1, 1400.0, 1300.0, 0.1, 0.25, 0.05, 0.0))
    assert week[2] == pytest.approx(500 * (float(price(1, 1400.0, 1300.0, 0.1 - 7 / 365, 0.25, 0.05, 0.0)) - before))
    assert long[2] == pytest.approx(500 * (100 - before))  # all that is left is what it is in the money


def test_a_rate_moves_futures_by_their_carry_and_what_stands_on_them_along() -> None:
    lines = [share(), future(units=500, price=1410), option(1400, underlying_is_future=True, spot=1410)]
    book = book_arrays(lines, [terms(), terms(years=0.1), terms()])
    pnl = revalue_moves(book, np.zeros((1, 3)), rate=0.01)[0]
    grown = 1410 * np.exp(0.01 * 0.1)
    assert pnl[0] == 0
    assert pnl[1] == pytest.approx(500 * (grown - 1410))
    before = price(1, 1410.0, 1400.0, 0.1, 0.25, 0.05, 0.05)
    assert pnl[2] == pytest.approx(500 * float(price(1, grown, 1400.0, 0.1, 0.25, 0.06, 0.06) - before))


def test_a_future_without_its_years_is_unknown_only_where_they_count() -> None:
    book = book_arrays([future()], [terms(years=None)])
    moved = revalue_moves(book, np.array([[-0.1], [-0.1]]), rate=np.array([0.0, 0.01]))[:, 0]
    assert moved[0] == pytest.approx(-70_500)
    assert np.isnan(moved[1])


def test_nothing_falls_by_more_than_all_of_it() -> None:
    book = book_arrays([share(units=10, price=100), option(1400)], [terms(), terms()])
    pnl = revalue_moves(book, np.full((1, 2), -1.7), volatility=-3.0)[0]
    assert pnl[0] == -1000
    assert pnl[1] == pytest.approx(-500 * float(price(1, 1400.0, 1400.0, 0.1, 0.25, 0.05, 0.0)))


@pytest.mark.parametrize(
    "line",
    [share(price=None), future(price=None), option(1400, spot=None), option(1400, option_type=None)],
)
def test_what_has_no_price_has_no_result(line) -> None:
    assert np.isnan(revalue_moves(book_arrays([line], [terms()]), np.array([[0.1]]))).all()


@given(st.floats(-0.6, 0.6), st.floats(0, 0.4), st.floats(0.2, 5), st.integers(1, 1000))
def test_a_long_call_gains_with_the_spot_and_a_short_one_loses(move, more, moneyness, units) -> None:
    lines = [option(1400 * moneyness, units=sign * units) for sign in (1, -1)]
    book = book_arrays(lines, [terms(), terms()])
    low, high = revalue_moves(book, np.array([[move, move], [move + more, move + more]]))
    assert high[0] >= low[0] - 1e-6
    assert high[1] <= low[1] + 1e-6
    assert high[0] == -high[1]


@given(st.lists(st.integers(-500, 500).filter(bool), min_size=1, max_size=6), st.floats(-0.5, 0.5))
def test_parts_of_a_position_gain_what_the_whole_gains(parts, move) -> None:
    whole = revalue_moves(book_arrays([option(1450, units=sum(parts))], [terms()]), np.array([[move]]), volatility=0.3)
    split = revalue_moves(
        book_arrays([option(1450, units=part) for part in parts], [terms()] * len(parts)),
        np.full((1, len(parts)), move),
        volatility=0.3,
    )
    assert split.sum() == pytest.approx(whole.sum(), abs=1e-6)


def test_an_empty_book_gains_nothing() -> None:
    assert revalue(book_arrays([], []), np.zeros((3, 0))).shape == (3, 0)
