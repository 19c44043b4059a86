"""How long getting out takes, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.risk.liquidity import Depth, liquidity
from tests.portfolio.risk.risk_lines import INFY, RELIANCE, future, option, share

DEEP = Depth(volume=Decimal(10_000), half_spread=Decimal("0.0005"), volatility=Decimal("0.02"))


def depths(*lines, depth=DEEP):
    return {line.instrument: depth for line in lines}


def test_days_spread_and_impact() -> None:
    line = share(units=2500, price=1400)
    told = liquidity([line], depths(line))
    (exit_,) = told.exits
    assert exit_.days == told.days == Decimal("2.500")  # a tenth of 10,000 a day
    assert exit_.value == told.value == 3_500_000
    assert exit_.spread_cost == told.spread_cost == 1750
    assert exit_.impact_cost == told.impact_cost == 35_000  # 2% × √(2500/10000) of it
    assert told.within == {1: 1_400_000, 5: 3_500_000, 20: 3_500_000}


def test_a_larger_participation_is_sooner() -> None:
    line = share(units=2500)
    assert liquidity([line], depths(line), participation=Decimal("0.20")).days == Decimal("1.250")


def test_all_accounts_leave_through_one_door_long_or_short() -> None:
    lines = [future(units=1000), future(units=-500, broker="upstox"), future(units=1000, broker="fyers")]
    (exit_,) = liquidity(lines, depths(*lines)).exits
    assert (exit_.units, exit_.days) == (2500, Decimal("2.500"))


@pytest.mark.parametrize("depth", [None, Depth(), Depth(volume=Decimal(0))])
def test_without_a_volume_nothing_is_said_to_leave(depth) -> None:
    known, unknown = share(RELIANCE, 100, 1000), share(INFY, 100, 3000)
    told = liquidity([known, unknown], depths(known) | ({unknown.instrument: depth} if depth else {}))
    assert [each.days for each in told.exits] == [None, Decimal("0.100")]
    assert (told.unknown_value, told.unknown_pct) == (300_000, 75)
    assert told.within[20] == 100_000
    assert told.days == Decimal("0.100")


def test_without_a_price_there_is_no_value_and_no_cost() -> None:
    line = share(price=None)
    told = liquidity([line], depths(line))
    assert (told.unpriced, told.value, told.unknown_pct, told.spread_cost, told.impact_cost) == (1, 0, None, None, None)
    assert told.exits[0].days == Decimal("0.100")


def test_what_is_not_known_of_the_depth_costs_an_unknown_amount() -> None:
    line = share()
    (exit_,) = liquidity([line], depths(line, depth=Depth(volume=Decimal(1000)))).exits
    assert (exit_.days, exit_.spread_cost, exit_.impact_cost) == (Decimal("1.000"), None, None)


@pytest.mark.parametrize(("series", "slow"), [("EQ", 0), ("BE", 140_000), ("T", 140_000), ("SM", 140_000), ("", 0)])
def test_value_in_slow_series(series, slow) -> None:
    line = share(series=series)
    assert liquidity([line], depths(line)).slow_value == slow


def test_pledged_and_undelivered_shares() -> None:
    line = share(units=100, price=1000, settled=Decimal(50), pledged=Decimal(30), t1=Decimal(20))
    told = liquidity([line, share(INFY, 10, 100)], {})
    assert (told.pledged_value, told.t1_value) == (30_000, 20_000)


def test_pledged_shares_do_not_leave_and_t1_ones_from_the_second_day() -> None:
    line = share(units=1000, price=100, settled=Decimal(200), pledged=Decimal(500), t1=Decimal(300))
    told = liquidity([line], depths(line))  # 1,000 a day could
    assert told.within == {1: 20_000, 5: 50_000, 20: 50_000}
    line = share(units=4000, price=100, settled=Decimal(200), t1=Decimal(3800))
    assert liquidity([line], depths(line)).within == {1: 20_000, 5: 400_000, 20: 400_000}
    line = share(units=8000, price=100, settled=Decimal(200), t1=Decimal(7800))
    assert liquidity([line], depths(line)).within == {1: 20_000, 5: 420_000, 20: 800_000}


def test_from_its_lower_circuit_nothing_leaves() -> None:
    line = share(units=100, price=1000)
    told = liquidity([line], depths(line, depth=replace(DEEP, is_at_lower_circuit=True)))
    assert (told.locked_value, told.within) == (100_000, {1: 0, 5: 0, 20: 0})


def test_slowest_first_and_the_unknown_before_all() -> None:
    lines = [share("INE1", 10), share("INE2", 5000), share("INE3", 10), option(1400, price=10)]
    told = liquidity([*lines, future(units=0)], depths(*lines[:2], lines[3]))
    assert [each.instrument for each in told.exits] == [lines[2].instrument, lines[1].instrument, lines[3].instrument, lines[0].instrument]  # fmt: skip # noqa: E501


def test_an_empty_book_is_out_already() -> None:
    told = liquidity([], {})
    assert (told.exits, told.value, told.days, told.unknown_pct, told.impact_cost) == ((), 0, None, None, None)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 100_000))
def test_more_units_take_longer_and_cost_more_of_themselves(units, more, volume) -> None:
    small, large = share(units=units), share(units=units + more)
    depth = replace(DEEP, volume=Decimal(volume))
    one, two = (liquidity([line], depths(line, depth=depth)) for line in (small, large))
    assert two.days >= one.days
    assert two.impact_cost / two.value >= one.impact_cost / one.value - Decimal("0.000001")
    assert 0 <= one.within[1] <= one.within[5] <= one.within[20] <= one.value
