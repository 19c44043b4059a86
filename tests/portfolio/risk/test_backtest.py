"""Whether VaR was right: zones, ratios of likelihoods, and their edges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from portfolio.risk.backtest import Zone, backtest, basel_zone, independence, kupiec, rolling_var
from portfolio.risk.errors import RiskError, TooFewDays
from portfolio.risk.tail import historical


@pytest.mark.parametrize("count", range(12))
def test_the_zones_of_basel(count):
    zone = basel_zone(count, 250, "0.99")

    assert zone == (Zone.GREEN if count <= 4 else Zone.YELLOW if count <= 9 else Zone.RED)


class TestKupiec:
    @pytest.mark.parametrize(
        ("count", "days", "confidence"), [(4, 250, 0.99), (9, 250, 0.99), (20, 500, 0.95), (1, 2, 0.5)]
    )
    def test_it_is_the_closed_form(self, count, days, confidence):
        chance, seen = 1 - confidence, count / days
        told = (1 - chance) ** (days - count) * chance**count
        fitted = (1 - seen) ** (days - count) * seen**count
        ratio = kupiec(count, days, confidence)

        assert ratio.statistic == pytest.approx(-2 * math.log(told / fitted), rel=1e-9, abs=1e-12)
        assert ratio.p_value == pytest.approx(stats.chi2.sf(ratio.statistic, 1), rel=1e-9)

    def test_none_and_all_are_numbers_like_others(self):
        assert kupiec(0, 250, "0.99").statistic == pytest.approx(-2 * 250 * math.log(0.99))
        assert kupiec(250, 250, "0.99").statistic == pytest.approx(-2 * 250 * math.log(0.01))
        assert kupiec(250, 250, "0.99").p_value < 1e-100

    def test_the_expected_number_speaks_for_the_model(self):
        assert kupiec(5, 500, "0.99").statistic == pytest.approx(0, abs=1e-12)
        assert kupiec(5, 500, "0.99").p_value == pytest.approx(1, abs=1e-6)


class TestIndependence:
    @given(arrays(np.bool_, st.integers(2, 60)))
    def test_it_is_the_ratio_of_the_two_chains(self, exceptions):
        pairs = list(zip(exceptions[:-1].tolist(), exceptions[1:].tolist(), strict=True))
        after = {state: [later for before, later in pairs if before is state] for state in (False, True)}
        chances = {state: sum(seen) / len(seen) for state, seen in after.items() if seen}
        whole = sum(later for _, later in pairs) / len(pairs)

        def log(later, chance):
            return math.log(chance if later else 1 - chance)

        apart = sum(log(later, chances[before]) for before, later in pairs)
        together = sum(log(later, whole) for _, later in pairs)
        ratio = independence(exceptions)
        assert ratio.statistic == pytest.approx(2 * (apart - together), abs=1e-9)
        assert ratio.p_value == pytest.approx(stats.chi2.sf(ratio.statistic, 1), rel=1e-6)

    def test_exceptions_in_a_row_are_seen(self):
        spread, row = np.zeros(250, dtype=bool), np.zeros(250, dtype=bool)
        spread[::50] = True
        row[100:105] = True

        assert independence(spread).p_value > 0.5
        assert independence(row).p_value < 0.001


class TestBacktest:
    def test_a_loss_above_var_is_an_exception_and_one_as_large_is_none(self):
        result = backtest(np.array([-101.0, -100.0, 5.0, -200.0]), np.full(4, 100.0), "0.75")

        assert result.exceptions.tolist() == [True, False, False, True]
        assert (result.count, result.days, result.expected) == (2, 4, 1)

    @given(arrays(np.bool_, st.integers(2, 300)))
    def test_conditional_coverage_is_both_together(self, bad):
        result = backtest(np.where(bad, -2.0, 0.0), np.ones(len(bad)), "0.99")

        both = result.coverage.statistic + result.independence.statistic
        assert result.conditional.statistic == pytest.approx(both)
        assert result.conditional.p_value == pytest.approx(stats.chi2.sf(both, 2), rel=1e-9)
        assert result.count == bad.sum()
        assert result.coverage == kupiec(int(bad.sum()), len(bad), "0.99")

    def test_what_does_not_belong_together_is_refused(self):
        with pytest.raises(RiskError, match="do not belong together"):
            backtest(np.zeros(3), np.zeros(2), "0.99")
        with pytest.raises(TooFewDays):
            backtest(np.zeros(1), np.zeros(1), "0.99")


class TestRollingVar:
    def test_each_day_knows_only_the_days_before_it(self):
        pnl = np.random.default_rng(8).normal(0, 100, 130)
        var = rolling_var(pnl, 100, "0.95")

        assert var.tolist() == [historical(pnl[day - 100 : day], "0.95").var for day in range(100, 130)]

    @pytest.mark.parametrize(("days", "window"), [(100, 100), (50, 100), (100, 0)])
    def test_it_wants_a_day_after_the_window(self, days, window):
        with pytest.raises(TooFewDays):
            rolling_var(np.zeros(days), window, "0.95")
