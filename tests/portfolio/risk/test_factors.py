"""Histories into one matrix: common days, holes, proxies, and how much of the book it speaks of."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.risk.factors import DAYS, Factors, factors, modelled
from portfolio.risk.numbers import Array
from portfolio.risk.words import History
from tests.portfolio.risk.made import book_of, contract, held
from tests.portfolio.risk.pasts import LENGTH, history, market_of, walk, weekdays, without
from tests.portfolio.sources import INFY, RELIANCE, SBIN, holding

repeatable = settings(max_examples=30, deadline=None, derandomize=True)
INDEX = history("NIFTY", walk(1))
OWN = history(INFY, walk(2))


def plain(past: History) -> Array:
    closes = np.array([float(close) for close in past.closes])
    return np.asarray(closes[1:] / closes[:-1] - 1)


def column(found: Factors, name: str) -> Array:
    told = found.column(name)
    assert told is not None
    return told


def test_whole_histories_are_their_own_returns() -> None:
    found = factors([INFY], market_of(INDEX, OWN))
    assert found.names == (INFY, "NIFTY")
    assert (found.days, found.returns.shape) == (INDEX.days[-DAYS:], (DAYS, 2))
    np.testing.assert_allclose(column(found, INFY), plain(OWN)[-DAYS:], rtol=1e-12)
    assert (found.own_days[INFY], found.proxied, found.unmodelled) == (DAYS, {}, ())


def test_a_hole_is_filled_by_beta_times_the_index_and_is_no_proxy() -> None:
    hole = OWN.days[200]
    found = factors([INFY], market_of(INDEX, without(OWN, hole)))
    told, base = column(found, INFY), column(found, "NIFTY")
    rows = [found.days.index(day) for day in (hole, OWN.days[201])]
    own = plain(OWN)[-DAYS:]
    rest = np.delete(np.arange(DAYS), rows)
    times = np.cov(own[rest], base[rest], ddof=1)[0, 1] / np.var(base[rest], ddof=1)
    np.testing.assert_allclose(told[rows], times * base[rows], rtol=1e-9)
    np.testing.assert_allclose(told[rest], own[rest], rtol=1e-12)
    assert (found.own_days[INFY], found.proxied, len(found.days)) == (DAYS - 2, {}, DAYS)


def test_what_was_listed_lately_moves_with_the_index_before_that() -> None:
    young = history("NEW", walk(3)[-31:], late=True)
    found = factors(["NEW"], market_of(INDEX, young))
    told, base = column(found, "NEW"), column(found, "NIFTY")
    np.testing.assert_allclose(told[:-30], base[:-30])  # too few days for a beta of its own
    np.testing.assert_allclose(told[-30:], plain(young), rtol=1e-12)
    proxy = found.proxied["NEW"]
    assert (proxy.factor, proxy.beta, proxy.days, found.own_days["NEW"]) == ("NIFTY", 1.0, DAYS - 30, 30)


def test_its_sector_comes_before_the_index_and_brings_its_beta() -> None:
    sector = history("IT", walk(5))
    young = history("NEW", walk(3)[-31:], late=True, proxy="IT", beta=Decimal("1.5"))
    found = factors(["NEW"], market_of(INDEX, sector, young))
    np.testing.assert_allclose(column(found, "NEW")[:-30], 1.5 * plain(sector)[-DAYS:-30], rtol=1e-9)
    assert found.proxied["NEW"].factor == "IT"
    assert found.names == ("NEW", "NIFTY")


def test_where_the_sector_has_a_hole_the_index_stands_in() -> None:
    sector = history("IT", walk(5)[-101:], late=True)
    found = factors(["NEW"], market_of(INDEX, sector, history("NEW", [], proxy="IT")))
    told = column(found, "NEW")
    np.testing.assert_allclose(told[-100:], plain(sector), rtol=1e-12)
    np.testing.assert_allclose(told[:-100], column(found, "NIFTY")[:-100])


def test_closes_that_are_anothers_count_as_proxied() -> None:
    lent = history("GOLD", walk(7), proxy="GOLDBEES", beta=Decimal("0.5"))
    found = factors(["GOLD"], market_of(INDEX, lent))
    np.testing.assert_allclose(column(found, "GOLD"), 0.5 * plain(lent)[-DAYS:], rtol=1e-12)
    assert (found.proxied["GOLD"].factor, found.proxied["GOLD"].beta) == ("GOLDBEES", 0.5)


def test_without_an_index_nothing_stands_in_and_nothing_is_invented() -> None:
    young = history("NEW", walk(3)[-31:], late=True)
    found = factors(["NEW", INFY, "NOBODY"], market_of(OWN, young))
    assert (found.names, set(found.unmodelled)) == ((INFY,), {"NEW", "NOBODY", "NIFTY"})
    assert (found.returns.shape, found.column("NEW")) == ((DAYS, 1), None)


def test_nothing_known_is_an_empty_matrix() -> None:
    found = factors([INFY], market_of())
    assert (found.names, found.days, found.returns.shape) == ((), (), (0, 0))
    assert found.unmodelled == (INFY, "NIFTY")


def test_a_day_of_which_nobody_tells_a_factor_is_left_out_for_all() -> None:
    hole = OWN.days[200]
    days = weekdays()
    found = factors([INFY], market_of(without(INDEX, hole), without(OWN, hole), trading_days=days))
    assert len(found.days) == DAYS - 2
    assert not {hole, OWN.days[201]} & set(found.days)


def test_a_split_that_was_not_adjusted_for_is_no_return() -> None:
    at = 240
    halved = (*OWN.closes[:at], *(close / 2 for close in OWN.closes[at:]))
    broken = History(factor=INFY, days=OWN.days, closes=halved)
    told = column(factors([INFY], market_of(INDEX, broken), breaks={INFY: {OWN.days[at]}}), INFY)
    assert told.min() > -0.1
    assert column(factors([INFY], market_of(INDEX, broken)), INFY).min() < -0.4


@pytest.mark.parametrize("close", ["0", "-1"])
def test_a_close_that_cannot_be_is_none(close: str) -> None:
    wrong = History(factor=INFY, days=OWN.days, closes=(*OWN.closes[:200], Decimal(close), *OWN.closes[201:]))
    found = factors([INFY], market_of(INDEX, wrong))
    assert found.own_days[INFY] == DAYS - 2
    assert np.isfinite(found.returns).all()


@repeatable
@given(st.lists(st.integers(0, LENGTH - 1), max_size=60, unique=True), st.integers(1, LENGTH))
def test_the_matrix_is_whole_whatever_is_missing(holes: list[int], length: int) -> None:
    some = without(OWN, *(OWN.days[place] for place in holes))
    young = history("NEW", walk(3)[-length:], late=True)
    found = factors([INFY, "NEW"], market_of(INDEX, some, young))
    assert np.isfinite(found.returns).all()
    assert found.returns.shape == (len(found.days), len(found.names)) == (DAYS, 3)
    for name in (INFY, "NEW"):
        assert (name in found.proxied) == (found.own_days[name] < 0.9 * DAYS)


def test_how_much_of_a_book_has_a_past() -> None:
    book = book_of(
        held(
            holding(INFY, 10, last="100"), holding(SBIN, 20, symbol="SBIN", last="100"),
            holding(RELIANCE, 70, symbol="RELIANCE", last="100"), contract("NIFTY26DEC27000CE", 65),
        )
    )  # fmt: skip
    market = market_of(INDEX, OWN, history(SBIN, walk(3)[-31:], late=True))
    found = modelled(book, factors([INFY, SBIN], market))
    assert (found.gross, found.proxied, found.unmodelled, found.unvalued) == (10_000, 2000, 7000, 1)
    assert (found.proxied_pct, found.unmodelled_pct) == (20, 70)
