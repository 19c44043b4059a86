"""Unit values, drawdowns, ratios and money-weighted returns."""

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from portfolio.risk.errors import RiskError, TooFewDays
from portfolio.risk.performance import drawdown, performance, returns_of, unit_values, xirr

START = date(2026, 1, 1)
positive = st.integers(1, 1_000_000).map(float)
daily = st.integers(-900, 900).map(lambda each: each / 10_000)


def values():
    return st.integers(1, 40).flatmap(lambda days: arrays(np.float64, days, elements=positive))


class TestUnitValues:
    @given(
        st.lists(st.tuples(daily, st.integers(-500, 5000)), max_size=30),
        st.integers(100_000, 1_000_000),
    )
    def test_deposits_and_withdrawals_move_no_unit(self, days, first):
        """Money earns what the market does, whenever it comes and goes."""
        equity, unit, units = [float(first)], [1.0], [1.0]
        for growth, flow in days:
            equity.append((equity[-1] + flow) * (1 + growth))
            units.append(units[-1] * (1 + growth))
        flows = np.array([0.0, *(flow for _, flow in days)])
        unit = unit_values(np.array(equity), flows)

        assert unit == pytest.approx(np.array(units), rel=1e-9)

    def test_a_flow_counts_from_the_start_of_its_day(self):
        """100 and 100 more, which become 220: ten percent, and not one hundred and twenty."""
        assert unit_values(np.array([100.0, 220.0]), np.array([100.0, 100.0])) == pytest.approx([1, 1.1])

    def test_days_without_capital_leave_the_unit_where_it_was(self):
        equity, flows = np.array([100.0, 110.0, 0.0, 0.0, 55.0]), np.array([0.0, 0.0, -110.0, 0.0, 50.0])

        assert unit_values(equity, flows) == pytest.approx([1, 1.1, 1.1, 1.1, 1.21])

    def test_a_sum_that_is_zero_but_for_rounding_is_no_capital(self):
        equity, flows = np.array([0.1 + 0.2, 0.0, 30.0]), np.array([0.0, -0.3, 30.0])

        assert unit_values(equity, flows) == pytest.approx([1, 1, 1])

    @pytest.mark.parametrize(
        ("equity", "flows", "code"),
        [
            ([100.0, -5.0, 10.0], [0.0, 0.0, 0.0], "no_capital"),
            ([0.0, 10.0], [0.0, 10.0], "no_capital"),
            ([100.0, 5.0], [0.0, -100.0], "no_capital"),
            ([100.0, 5.0], [0.0], "shape_refused"),
            ([100.0, math.nan], [0.0, 0.0], "history_unknown"),
            ([], [], "too_few_days"),
        ],
    )
    def test_what_has_no_return_is_refused(self, equity, flows, code):
        with pytest.raises(RiskError) as refusal:
            unit_values(np.array(equity), np.array(flows))
        assert refusal.value.code == code

    def test_a_book_may_end_below_nothing(self):
        assert unit_values(np.array([100.0, -5.0]), np.zeros(2)) == pytest.approx([1, -0.05])


class TestDrawdown:
    @given(values())
    def test_it_is_the_fall_from_the_highest_value_before(self, series):
        expected = [each / max(series[: day + 1]) - 1 for day, each in enumerate(series)]
        fallen = drawdown(series)

        assert fallen.series == pytest.approx(np.array(expected))
        assert (fallen.maximum, fallen.current) == (fallen.series.min(), fallen.series[-1])

    @given(values())
    def test_its_days_are_counted_from_the_last_peak(self, series):
        spells = [0]
        for below in drawdown(series).series < 0:
            spells.append(spells[-1] + 1 if below else 0)
        fallen = drawdown(series)

        assert (fallen.days, fallen.longest_days) == (spells[-1], max(spells))
        assert fallen.since == (len(series) - 1 - spells[-1] if spells[-1] else None)

    def test_an_example(self):
        fallen = drawdown(np.array([100.0, 90.0, 95.0, 100.0, 110.0, 99.0, 104.5]))

        assert fallen.maximum == pytest.approx(-0.1)
        assert fallen.current == pytest.approx(-0.05)
        assert (fallen.since, fallen.days, fallen.longest_days) == (4, 2, 2)

    def test_what_has_no_peak_is_refused(self):
        with pytest.raises(TooFewDays):
            drawdown(np.zeros(0))
        with pytest.raises(RiskError, match="not positive"):
            drawdown(np.array([0.0, 1.0]))


class TestPerformance:
    def test_ratios_worked_out_by_hand(self):
        """+2 %, -1 %, +2 %, -1 %: mean 0.5 %, deviation √3 %, downside √0.5 %, deepest fall 1 %."""
        figures = performance(np.array([0.02, -0.01, 0.02, -0.01]))
        yearly = (1.02 * 0.99) ** (2 * 252 / 4) - 1

        assert figures.daily_volatility == pytest.approx(0.01 * math.sqrt(3))
        assert figures.annual_volatility == pytest.approx(0.01 * math.sqrt(3 * 252))
        assert figures.sharpe == pytest.approx(0.5 / math.sqrt(3) * math.sqrt(252))
        assert figures.sortino == pytest.approx(0.5 / math.sqrt(0.5) * math.sqrt(252))
        assert figures.annual_return == pytest.approx(yearly)
        assert figures.calmar == pytest.approx(yearly / 0.01)

    def test_what_money_earns_without_risk_is_taken_off(self):
        returns = np.array([0.02, -0.01, 0.02, -0.01])
        figures = performance(returns, risk_free_daily=0.005)

        assert figures.sharpe == pytest.approx(0, abs=1e-9)
        assert figures.daily_volatility == performance(returns).daily_volatility

    @pytest.mark.parametrize("returns", [[], [0.01]])
    def test_one_day_tells_no_deviation(self, returns):
        figures = performance(np.array(returns))

        assert figures.daily_volatility is None
        assert figures.annual_volatility is None
        assert (figures.sharpe, figures.sortino, figures.calmar) == (None, None, None)

    @given(st.integers(2, 60), daily)
    def test_without_volatility_there_is_no_sharpe_ratio(self, days, growth):
        figures = performance(returns_of(np.cumprod(np.full(days, 1 + growth))))

        assert figures.sharpe is None
        if days > 2:
            assert figures.daily_volatility == 0

    def test_without_a_day_of_loss_there_is_no_sortino_and_no_calmar(self):
        figures = performance(np.array([0.01, 0.02, 0.0]))

        assert (figures.sortino, figures.calmar) == (None, None)
        assert figures.sharpe is not None

    def test_a_book_that_ended_below_nothing_has_no_yearly_return(self):
        assert performance(np.array([0.1, -1.2])).annual_return is None

    def test_a_value_of_nothing_has_no_return_after_it(self):
        with pytest.raises(RiskError, match="no return after it"):
            returns_of(np.array([1.0, 0.0, 1.0]))
        assert returns_of(np.array([1.0, 0.0])).tolist() == [-1]


class TestXirr:
    def test_a_year_at_ten_percent(self):
        assert xirr([date(2025, 3, 1), date(2026, 3, 1)], np.array([-100.0, 110.0])) == pytest.approx(0.1, abs=1e-12)

    def test_a_long_life_stays_a_number(self):
        days = [START, START + timedelta(50 * 365)]

        assert xirr(days, np.array([-100.0, 100 * 1.08**50])) == pytest.approx(0.08)

    def test_the_flows_of_the_spreadsheets_own_manual(self):
        """Excel's and LibreOffice's documented answer is 0.3734."""
        days = [date(2008, 1, 1), date(2008, 3, 1), date(2008, 10, 30), date(2009, 2, 15), date(2009, 4, 1)]

        rate = xirr(days, np.array([-10000.0, 2750.0, 4250.0, 3250.0, 2750.0]))
        assert rate == pytest.approx(0.373362535, abs=1e-8)

    def test_days_and_not_periods_count(self):
        half = xirr([START, START + timedelta(182.5)], np.array([-100.0, 110.0]))

        assert half == pytest.approx(1.1 ** (365 / 182) - 1)

    @given(
        st.integers(-95, 300).map(lambda each: each / 100),
        st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 100_000)), min_size=1, max_size=10),
    )
    def test_it_finds_the_rate_that_the_money_earned(self, rate, paid):
        end = START + timedelta(2001)
        worth = sum(amount * (1 + rate) ** ((2001 - day) / 365) for day, amount in paid)
        days = [*(START + timedelta(day) for day, _ in paid), end]
        found = xirr(days, np.array([*(-float(amount) for _, amount in paid), worth]))

        assert found == (pytest.approx(rate, rel=1e-6, abs=1e-9) if worth >= 0.005 else None)

    @pytest.mark.parametrize(
        ("days", "amounts"),
        [
            ([], []),
            ([0], [-100.0]),
            ([0, 100], [-100.0, 0.0]),  # nothing is left
            ([0, 100], [-100.0, -10.0]),
            ([0, 0], [-100.0, 110.0]),  # no time passed
            ([0, 0, 50], [0.1 + 0.2, -0.3, 100.0]),
            ([0, 0, 365], [0.3, -(0.1 + 0.2), 1e-16]),  # rounding is no money
            ([0, 365, 730], [-100.0, 230.0, -132.0]),  # ten percent, and twenty
            ([0, 365, 730], [-100.0, 200.0, -132.0]),  # no rate at all
            ([0, 1], [-1.0, 1e9]),
        ],
    )
    def test_where_there_is_no_one_answer_there_is_none(self, days, amounts):
        assert xirr([START + timedelta(day) for day in days], np.array(amounts)) is None

    def test_the_order_of_the_flows_does_not_matter(self):
        days = [START, START + timedelta(100), START + timedelta(365)]
        rate = xirr(days, np.array([-100.0, -50.0, 170.0]))

        assert xirr(days[::-1], np.array([170.0, -50.0, -100.0])) == rate
        assert xirr([START + timedelta(36_500), *days], np.array([0.0, -100.0, -50.0, 170.0])) == rate

    def test_each_flow_has_one_date(self):
        with pytest.raises(RiskError, match="one date"):
            xirr([START], np.array([-100.0, 110.0]))
