"""Betas, and the book in rupees of index."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.risk.beta import BETA_DAYS, beta, beta_weighted, betas, shrunk, weighted
from portfolio.risk.directory import Directory
from portfolio.risk.errors import RiskError
from portfolio.risk.factors import factors
from portfolio.risk.numbers import Array
from tests.portfolio.risk.made import book_of, contract, held
from tests.portfolio.risk.pasts import history, market_of, walk
from tests.portfolio.sources import INFY, RELIANCE, holding

repeatable = settings(max_examples=40, deadline=None, derandomize=True)


def returns(seed: int, days: int = 250) -> Array:
    return np.random.default_rng(seed).normal(0, 0.01, days)


def test_it_is_the_slope_of_a_least_squares_line() -> None:
    market, noise = returns(1), returns(2)
    own = 1.3 * market + noise
    found = beta(own, market)
    assert found is not None
    slope, _ = np.polyfit(market, own, 1)
    assert found.raw == pytest.approx(slope, rel=1e-12)
    assert found.shrunk == pytest.approx(0.67 * slope + 0.33)
    assert found.residual == pytest.approx(0.01, rel=0.1)
    assert found.correlation == pytest.approx(np.corrcoef(own, market)[0, 1])
    assert found.days == 250


@repeatable
@given(st.floats(-3, 3), st.integers(0, 1000))
def test_what_only_follows_has_its_factor(times: float, seed: int) -> None:
    market = returns(seed)
    found = beta(times * market, market)
    assert found is not None
    assert found.raw == pytest.approx(times, abs=1e-9)
    assert found.residual == pytest.approx(0, abs=1e-9)


@repeatable
@given(st.integers(0, 1000))
def test_the_beta_of_a_mixture_is_the_mixture_of_betas(seed: int) -> None:
    market, one, other = returns(seed), returns(seed + 1), returns(seed + 2)
    raw = [beta(each, market) for each in (one, other, 0.3 * one + 0.7 * other)]
    assert None not in raw
    first, second, mixed = (each.raw for each in raw if each is not None)
    assert mixed == pytest.approx(0.3 * first + 0.7 * second, abs=1e-9)


def test_only_the_last_year_counts() -> None:
    market = returns(3, 500)
    own = np.concatenate([-2 * market[:250], 1.5 * market[250:]])
    found = beta(own, market)
    assert found is not None
    assert (found.days, round(found.raw, 9)) == (BETA_DAYS, 1.5)


def test_days_without_a_return_are_left_out_and_too_few_are_no_beta() -> None:
    market = returns(4)
    own = 2 * market
    own[:180] = np.nan
    found = beta(own, market)
    assert found is not None
    assert (found.days, round(found.raw, 9)) == (70, 2.0)
    own[:200] = np.nan
    assert beta(own, market) is None


def test_an_index_that_rests_tells_nothing() -> None:
    assert beta(returns(5), np.zeros(250)) is None


def test_a_share_that_rests_has_no_correlation() -> None:
    found = beta(np.zeros(250), returns(6))
    assert found is not None
    assert (found.raw, found.shrunk, found.correlation) == (0.0, 0.33, None)


def test_histories_of_other_days_are_refused() -> None:
    with pytest.raises(RiskError) as refused:
        beta(returns(1), returns(1, 249))
    assert (refused.value.code, bool(refused.value.remedy)) == ("days_differ", True)


def test_a_whole_book_in_rupees_of_index() -> None:
    book = book_of(
        held(
            holding(RELIANCE, 500, last="1400", symbol="RELIANCE"), holding(INFY, 300, last="1500"),
            contract("NIFTY26DECFUT", -65, last="26000"), contract("NIFTY26DEC25000PE", 130),
        ),
        directory=Directory(issuers={"RELIANCE": RELIANCE}),
    )  # fmt: skip
    known = {RELIANCE: 1.1, INFY: Decimal("0.75"), "NIFTY": 1}
    deltas = {"NFO|NIFTY|2026-12-29|25000|PE": Decimal("-0.35")}
    found = beta_weighted(book, known, deltas, index_level=Decimal(26000), index_lot=Decimal(65))
    assert dict(zip((line.symbol for line in book.lines), found.per_line, strict=True)) == {
        "RELIANCE": 770_000,
        "INFY": 337_500,
        "NIFTY26DECFUT": -1_690_000,
        "NIFTY26DEC25000PE": -1_183_000,
    }
    assert found.rupees == -1_765_500
    assert found.index_units is not None
    assert found.hedge_lots is not None
    assert round(found.index_units, 8) == Decimal("-67.90384615")
    assert round(found.hedge_lots, 8) == Decimal("1.04467456")
    assert found.pnl_if_index_falls_1pct == 17_655


def test_what_has_no_beta_or_no_delta_is_counted_and_in_no_sum() -> None:
    book = book_of(
        held(holding(INFY, 10, last="100"), contract("NIFTY26DEC25000PE", 65), contract("NIFTY26DECFUT", 65, last="10"))
    )
    found = beta_weighted(book, {INFY: 2})
    assert found.rupees == 2000
    assert (found.unmodelled, found.unmodelled_value, found.unvalued) == (1, 650, 1)
    assert (found.index_units, found.hedge_lots) == (None, None)


def test_of_nothing_it_is_nothing() -> None:
    assert (weighted([]).rupees, str(weighted([]).pnl_if_index_falls_1pct)) == (0, "0")


NEW = "INE111A01025"


def test_betas_of_a_matrix() -> None:
    index = walk(1)
    market = market_of(history("NIFTY", index), history(INFY, walk(2)), history(NEW, walk(3)[-20:], late=True))
    found = factors([INFY, NEW], market)
    known = betas(found, "NIFTY")
    column, base = found.column(INFY), found.column("NIFTY")
    assert column is not None
    assert base is not None
    own = beta(column, base)
    assert own is not None
    assert known["NIFTY"] == 1.0
    assert known[INFY] == own.shrunk
    assert NEW in found.proxied
    measured = beta(found.returns[:, found.names.index(NEW)], base)
    assert measured is not None
    assert known[NEW] == measured.raw != shrunk(measured.raw)


def test_without_an_index_there_are_no_betas() -> None:
    assert betas(factors([INFY], market_of(history(INFY, walk(2)))), "NIFTY") == {}
