"""Histories into one matrix: common days, holes, proxies, and how much of the book it speaks of."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.risk.factors import (
    DAYS,
    USUAL_SURPRISE,
    USUAL_SURPRISE_OF_INDEX,
    Factors,
    factors,
    is_like_the_index,
    modelled,
)
from portfolio.risk.numbers import Array
from portfolio.risk.words import History
from tests.portfolio.risk.made import book_of, contract, held
from tests.portfolio.risk.pasts import LENGTH, history, market_of, walk, weekdays, without
from tests.portfolio.sources import INFY, RELIANCE, SBIN, holding

repeatable = settings(max_examples=30, deadline=None, derandomize=True)
INDEX = history("NIFTY", walk(1))
OWN = history(INFY, walk(2))
NEW = "INE111A01025"


def plain(past: History) -> Array:
    closes = np.array([float(close) for close in past.closes])
    return np.asarray(closes[1:] / closes[:-1] - 1)


def column(found: Factors, name: str) -> Array:
    told = found.column(name)
    assert told is not None
    return told


def fitted(returns: Array, base: Array) -> tuple[float, Array]:
    """The beta, and what it leaves."""
    slope, constant = np.polyfit(base, returns, 1)
    return float(slope), np.asarray(returns - slope * base - constant)


def test_whole_histories_are_their_own_returns() -> None:
    found = factors([INFY], market_of(INDEX, OWN))
    assert found.names == (INFY, "NIFTY")
    assert (found.days, found.returns.shape) == (INDEX.days[-DAYS:], (DAYS, 2))
    np.testing.assert_allclose(column(found, INFY), plain(OWN)[-DAYS:], rtol=1e-12)
    assert (found.own_days[INFY], found.proxied, found.unmodelled) == (DAYS, {}, ())


def test_a_day_without_a_close_moves_by_beta_and_the_next_close_with_what_remains() -> None:
    hole = OWN.days[200]
    found = factors([INFY], market_of(INDEX, without(OWN, hole)))
    told, base = column(found, INFY), column(found, "NIFTY")
    rows = [found.days.index(day) for day in (hole, OWN.days[201])]
    own = plain(OWN)[-DAYS:]
    rest = np.delete(np.arange(DAYS), rows)
    times = np.cov(own[rest], base[rest], ddof=1)[0, 1] / np.var(base[rest], ddof=1)
    np.testing.assert_allclose(told[rows[0]], times * base[rows[0]], rtol=1e-9)
    np.testing.assert_allclose(np.prod(1 + told[rows]), np.prod(1 + own[rows]), rtol=1e-12)
    np.testing.assert_allclose(told[rest], own[rest], rtol=1e-12)
    assert (found.own_days[INFY], found.proxied, len(found.days)) == (DAYS - 1, {}, DAYS)


@pytest.mark.parametrize("gap", [1, 2, 30])
def test_no_fall_is_lost_in_days_without_a_close(gap: int) -> None:
    still = [Decimal(100)] * LENGTH
    fallen = history(INFY, [*still[:200], *[Decimal(60)] * (LENGTH - 200)])
    told = column(
        factors([INFY], market_of(history("NIFTY", still), without(fallen, *fallen.days[200 : 200 + gap]))), INFY
    )
    assert told.min() == pytest.approx(-0.4)
    assert np.prod(1 + told) == pytest.approx(0.6)


def test_a_split_within_days_without_a_close_is_no_return() -> None:
    cut = History(factor=INFY, days=OWN.days, closes=(*OWN.closes[:240], *(close / 2 for close in OWN.closes[240:])))
    found = factors([INFY], market_of(INDEX, without(cut, OWN.days[240])), breaks={INFY: {OWN.days[240]}})
    assert column(found, INFY).min() > -0.1


def test_what_was_listed_lately_moves_with_the_index_before_that_and_by_itself() -> None:
    young = history(NEW, walk(3)[-31:], late=True)
    found = factors([NEW, INFY], market_of(INDEX, OWN, young))
    told, base = column(found, NEW), column(found, "NIFTY")
    beta, own = fitted(told[:-30], base[:-30])
    assert beta == pytest.approx(1)  # too few days for a beta of its own
    own_beta, usual = fitted(column(found, INFY), base)
    assert own_beta != 1
    assert np.std(own, ddof=1) == pytest.approx(np.std(usual, ddof=1))  # as large as the other share's
    np.testing.assert_allclose(told[-30:], plain(young), rtol=1e-12)
    proxy = found.proxied[NEW]
    assert (proxy.factor, proxy.beta, proxy.days, found.own_days[NEW]) == ("NIFTY", 1.0, DAYS - 30, 30)


def test_who_has_enough_days_is_surprised_as_by_its_own() -> None:
    young = history(NEW, walk(3, daily=0.03)[-101:], late=True)
    found = factors([NEW], market_of(INDEX, young))
    told, base = column(found, NEW), column(found, "NIFTY")
    beta = found.proxied[NEW].beta
    assert beta == pytest.approx(fitted(told[-100:], base[-100:])[0])
    then, own = told[:-100] - beta * base[:-100], told[-100:] - beta * base[-100:]
    assert np.std(then, ddof=1) == pytest.approx(np.std(own, ddof=1))
    np.testing.assert_array_equal(told, column(factors([NEW], market_of(INDEX, young)), NEW))


def test_without_any_share_to_learn_from_a_surprise_is_as_assumed() -> None:
    found = factors([NEW, "FINNIFTY"], market_of(INDEX))
    sizes = [np.std(column(found, name) - column(found, "NIFTY"), ddof=1) for name in (NEW, "FINNIFTY")]
    assert sizes == pytest.approx([USUAL_SURPRISE, USUAL_SURPRISE_OF_INDEX])
    assert len({tuple(column(found, name)) for name in found.names}) == 3


def test_the_index_stands_in_for_nothing_unlike_it() -> None:
    found = factors(["CRUDEOIL", "USDINR"], market_of(INDEX, OWN))
    assert (found.names, found.unmodelled, found.proxied) == (("NIFTY",), ("CRUDEOIL", "USDINR"), {})
    found = factors(["CRUDEOIL"], market_of(INDEX), alike={"CRUDEOIL"})
    assert found.proxied["CRUDEOIL"].factor == "NIFTY"
    assert factors([NEW], market_of(INDEX), alike=()).unmodelled == (NEW,)


def test_a_young_contract_is_told_by_its_own_days_drawn_anew() -> None:
    crude = history("CRUDEOIL", walk(9, daily=0.03)[-101:], late=True)
    found = factors(["CRUDEOIL"], market_of(INDEX, crude))
    told = column(found, "CRUDEOIL")
    assert set(told[:-100]) <= set(told[-100:])
    assert np.std(told) == pytest.approx(0.03, rel=0.2)
    proxy = found.proxied["CRUDEOIL"]
    assert (proxy.factor, proxy.days, found.own_days["CRUDEOIL"]) == ("CRUDEOIL", DAYS - 100, 100)
    few = history("CRUDEOIL", walk(9)[-31:], late=True)
    assert factors(["CRUDEOIL"], market_of(INDEX, few)).unmodelled == ("CRUDEOIL",)


def test_what_is_unlike_the_index_waits_for_its_next_close() -> None:
    gold = history("GOLD", walk(9))
    told = column(factors(["GOLD"], market_of(INDEX, without(gold, gold.days[200]))), "GOLD")
    own = plain(gold)[-DAYS:]
    row = 200 - (LENGTH - DAYS)
    assert told[row] == 0
    assert told[row + 1] == pytest.approx((1 + own[row]) * (1 + own[row + 1]) - 1)


@pytest.mark.parametrize(
    ("name", "is_like"),
    [
        (INFY, True), ("INF204KB14I2", True), ("BANKNIFTY", True), ("zerodha-1|NSE|NEWCO", True),
        ("CRUDEOIL", False), ("USDINR", False), ("zerodha-1|MCX|X", False), ("INDIGO", False),
    ],
)  # fmt: skip
def test_who_looks_like_the_index(name: str, is_like: bool) -> None:
    assert is_like_the_index(name) is is_like


def test_its_sector_comes_before_the_index_and_brings_its_beta() -> None:
    sector = history("IT", walk(5))
    young = history(NEW, walk(3)[-31:], late=True, proxy="IT", beta=Decimal("1.5"))
    found = factors([NEW], market_of(INDEX, sector, young))
    assert fitted(column(found, NEW)[:-30], plain(sector)[-DAYS:-30])[0] == pytest.approx(1.5)
    assert found.proxied[NEW].factor == "IT"
    assert found.names == (NEW, "NIFTY")


def test_where_the_sector_has_a_hole_the_index_stands_in() -> None:
    sector = history("IT", walk(5)[-101:], late=True)
    found = factors([NEW], market_of(INDEX, sector, history(NEW, [], proxy="IT")))
    told = column(found, NEW)
    assert fitted(told[-100:], plain(sector))[0] == pytest.approx(1)
    assert fitted(told[:-100], column(found, "NIFTY")[:-100])[0] == pytest.approx(1)


def test_closes_that_are_anothers_count_as_proxied() -> None:
    lent = history("GOLD", walk(7), proxy="GOLDBEES", beta=Decimal("0.5"))
    found = factors(["GOLD"], market_of(INDEX, lent))
    np.testing.assert_allclose(column(found, "GOLD"), 0.5 * plain(lent)[-DAYS:], rtol=1e-12)
    assert (found.proxied["GOLD"].factor, found.proxied["GOLD"].beta) == ("GOLDBEES", 0.5)


def test_without_an_index_nothing_stands_in_and_nothing_is_invented() -> None:
    young = history(NEW, walk(3)[-31:], late=True)
    found = factors([NEW, INFY, "NOBODY"], market_of(OWN, young))
    assert (found.names, set(found.unmodelled)) == ((INFY,), {NEW, "NOBODY", "NIFTY"})
    assert (found.returns.shape, found.column(NEW)) == ((DAYS, 1), None)


def test_nothing_known_is_an_empty_matrix() -> None:
    found = factors([INFY], market_of())
    assert (found.names, found.days, found.returns.shape) == ((), (), (0, 0))
    assert found.unmodelled == (INFY, "NIFTY")


def test_a_day_of_which_nobody_tells_a_factor_is_left_out_for_all() -> None:
    hole = OWN.days[200]
    days = weekdays()
    found = factors([INFY], market_of(without(INDEX, hole), without(OWN, hole), trading_days=days))
    assert len(found.days) == DAYS - 1
    assert hole not in found.days
    row = found.days.index(OWN.days[201])
    both = (1 + plain(OWN)[199]) * (1 + plain(OWN)[200]) - 1
    assert column(found, INFY)[row] == pytest.approx(both)


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
    assert found.own_days[INFY] == DAYS - 1
    assert np.isfinite(found.returns).all()


@repeatable
@given(st.lists(st.integers(0, LENGTH - 1), max_size=60, unique=True), st.integers(1, LENGTH))
def test_the_matrix_is_whole_whatever_is_missing(holes: list[int], length: int) -> None:
    some = without(OWN, *(OWN.days[place] for place in holes))
    young = history(NEW, walk(3)[-length:], late=True)
    found = factors([INFY, NEW], market_of(INDEX, some, young))
    assert np.isfinite(found.returns).all()
    assert found.returns.shape == (len(found.days), len(found.names)) == (DAYS, 3)
    for name in (INFY, NEW):
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
