"""Value at risk and expected shortfall: against other ways to compute them, and what must hold of every book."""

from decimal import Decimal
from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from portfolio.risk.errors import HorizonRefused, RiskError, TooFewDays
from portfolio.risk.tail import (
    ewma,
    ewma_covariance,
    ewma_variances,
    filtered,
    filtered_returns,
    historical,
    historical_tails,
    horizon_factor,
    parametric,
    stretched,
    tail_of_rows,
)

CONFIDENCES = ("0.95", "0.975", "0.99")
rupees = st.integers(-10_000_000, 10_000_000).map(lambda paise: paise / 100)
small_returns = st.integers(-2000, 2000).map(lambda each: each / 10_000)
confidences = st.sampled_from(CONFIDENCES)


def histories():
    return st.integers(100, 160).flatmap(lambda days: arrays(np.float64, days, elements=rupees))


def tables(least_days=2):
    shapes = st.tuples(st.integers(least_days, 40), st.integers(1, 6))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=small_returns))


@st.composite
def books(draw):
    """Exposures, and covariances of made-up returns."""
    returns = draw(tables())
    exposures = draw(arrays(np.float64, returns.shape[1], elements=rupees))
    return exposures, returns.T @ returns / len(returns)


def near(value, *others):
    """Floats are as exact as the largest number that went into them."""
    return pytest.approx(
        value, rel=1e-9, abs=1e-9 * max((float(np.abs(each).max()) for each in others), default=1) + 1e-9
    )


class TestHistorical:
    @given(histories(), confidences)
    def test_var_is_the_quantile_that_numpy_calls_inverted_cdf(self, pnl, confidence):
        assume(numpy_counts_as_we_do(len(pnl), confidence))

        assert historical(pnl, confidence).var == np.quantile(-pnl, float(confidence), method="inverted_cdf")

    @given(histories(), confidences)
    def test_es_is_the_mean_of_the_quantiles_beyond(self, pnl, confidence):
        """By its definition as an integral of VaR over the confidences above, which are steps of 1 / n."""
        level, losses, days = Decimal(confidence), np.sort(-pnl), len(pnl)
        steps = [max(level, Decimal(rank) / days) for rank in range(days)] + [Decimal(1)]
        weights = [float(after - before) for before, after in pairwise(steps)]

        integral = float(np.dot(weights, losses)) / float(1 - level)
        assert historical(pnl, confidence).es == near(integral, pnl)

    @pytest.mark.parametrize(
        ("confidence", "days", "rank"),
        [
            ("0.95", 100, 95),
            (0.95, 100, 95),
            (Decimal("0.55"), 100, 55),
            (0.55, 100, 55),
            ("0.95", 101, 96),
            (0.07, 100, 7),
        ],
    )
    def test_the_rank_is_counted_without_binary_fractions(self, confidence, days, rank):
        pnl = -np.arange(1.0, days + 1)

        assert historical(pnl, confidence).var == rank

    @given(histories())
    def test_es_is_no_smaller_than_var_and_both_grow_with_confidence(self, pnl):
        tails = historical_tails(pnl, CONFIDENCES)

        assert all(tail.es >= tail.var for tail in tails)
        assert [tail.var for tail in tails] == sorted(tail.var for tail in tails)
        for lower, higher in pairwise(tails):
            assert higher.es >= lower.es - 1e-9 * np.abs(pnl).max()

    @given(histories(), confidences, st.integers(1, 1000))
    def test_a_book_so_many_times_as_large_loses_so_many_times_as_much(self, pnl, confidence, times):
        small, large = historical(pnl, confidence), historical(pnl * times, confidence)

        assert large.var == near(small.var * times, pnl * times)
        assert large.es == near(small.es * times, pnl * times)

    @given(histories(), confidences, rupees)
    def test_cash_that_is_sure_lowers_both_by_itself(self, pnl, confidence, cash):
        without, with_cash = historical(pnl, confidence), historical(pnl + cash, confidence)

        assert with_cash.var == near(without.var - cash, pnl, cash)
        assert with_cash.es == near(without.es - cash, pnl, cash)

    @given(histories(), confidences, st.lists(st.integers(0, 100), min_size=1, max_size=7), st.randoms())
    def test_the_brokers_at_which_a_position_lies_do_not_matter(self, pnl, confidence, parts, chance):
        assume(sum(parts))
        split = [pnl * part / sum(parts) for part in parts]
        chance.shuffle(split)

        assert historical(sum(split), confidence).es == near(historical(pnl, confidence).es, pnl)
        assert historical(sum(split), confidence).var == near(historical(pnl, confidence).var, pnl)

    @given(st.integers(100, 200).flatmap(lambda days: arrays(np.float64, (2, days), elements=rupees)), confidences)
    def test_es_of_two_books_together_is_no_more_than_of_each(self, pnl, confidence):
        one, other = (historical(book, confidence).es for book in pnl)

        assert historical(pnl.sum(axis=0), confidence).es <= one + other + 1e-9 * np.abs(pnl).max() + 1e-9

    @given(st.integers(100, 150).flatmap(lambda days: arrays(np.float64, (3, days), elements=rupees)), confidences)
    def test_many_books_at_once_are_each_as_alone(self, pnl, confidence):
        var, es = tail_of_rows(pnl, confidence)

        for row, book in enumerate(pnl):
            assert var[row] == historical(book, confidence).var
            assert es[row] == near(historical(book, confidence).es, pnl)

    @pytest.mark.parametrize(("confidence", "needed"), [("0.95", 20), ("0.975", 40), ("0.99", 100), ("0.999", 1000)])
    def test_it_wants_one_day_that_may_be_worse(self, confidence, needed):
        with pytest.raises(TooFewDays) as refusal:
            historical(np.zeros(needed - 1), confidence)

        assert (refusal.value.code, refusal.value.days, refusal.value.needed) == ("too_few_days", needed - 1, needed)
        assert historical(np.zeros(needed), confidence).var == 0

    def test_a_short_history_says_that_it_is_thin(self):
        assert historical(np.zeros(249), "0.95").is_thin
        assert not historical(np.zeros(250), "0.95").is_thin

    def test_an_unknown_day_is_not_a_day_without_loss(self):
        with pytest.raises(RiskError, match="unknown") as refusal:
            historical(np.array([1.0] * 199 + [np.nan]), "0.95")
        assert refusal.value.code == "history_unknown"

    @pytest.mark.parametrize(
        "confidence", ["0", "1", "95", "-0.5", "nan", "inf", "much", 1.0, "1/2", "1/0", "1e-999999999"]
    )
    def test_a_confidence_that_is_none(self, confidence):
        with pytest.raises(RiskError) as refusal:
            historical(np.zeros(100), confidence)
        assert refusal.value.code == "confidence_refused"


def numpy_counts_as_we_do(days, confidence):
    """Whether the rank is the same in binary fractions."""
    return ceil(float(confidence) * days) == ceil(Decimal(confidence) * days)


class TestParametric:
    @given(books(), confidences, st.integers(1, 10))
    def test_components_sum_to_var(self, book, confidence, horizon):
        exposures, covariance = book
        mean = np.linspace(-0.001, 0.002, len(exposures))
        figures = parametric(exposures, covariance, confidence, mean=mean, horizon_days=horizon)

        assert figures.component.sum() == near(figures.var, exposures)

    @given(books(), confidences)
    def test_it_is_the_quantile_and_tail_mean_of_a_normal_book(self, book, confidence):
        exposures, covariance = book
        figures = parametric(exposures, covariance, confidence)
        sigma = float(np.sqrt(max(0.0, exposures @ covariance @ exposures)))
        level = float(confidence)

        assert figures.sigma == pytest.approx(sigma, rel=1e-6, abs=1e-3)
        assert figures.var == near(stats.norm.ppf(level) * figures.sigma)
        assert figures.es == near(
            stats.norm.expect(lambda x: x, lb=stats.norm.ppf(level)) / (1 - level) * figures.sigma
        )

    @given(books(), confidences, st.integers(1, 1000))
    def test_it_scales_and_es_is_beyond_var(self, book, confidence, times):
        exposures, covariance = book
        small, large = (parametric(each, covariance, confidence) for each in (exposures, exposures * times))

        assert large.var == near(small.var * times, exposures * times)
        assert small.es >= small.var

    @given(books(), confidences)
    def test_marginal_is_what_one_more_rupee_adds(self, book, confidence):
        exposures, covariance = book
        figures = parametric(exposures, covariance, confidence)
        assume(figures.sigma > 100)

        for place in range(len(exposures)):
            more, less = exposures.copy(), exposures.copy()
            more[place] += 0.5
            less[place] -= 0.5
            added = parametric(more, covariance, confidence).var - parametric(less, covariance, confidence).var
            assert figures.marginal[place] == pytest.approx(added, abs=1e-4)

    def test_long_here_and_short_there_is_no_risk_and_no_direction(self):
        covariance = np.full((2, 2), 0.0002)
        figures = parametric(np.array([123456.78, -123456.78]), covariance, "0.99")

        assert (figures.sigma, figures.var, figures.es) == (0, 0, 0)
        assert figures.marginal is None
        assert figures.component.tolist() == [0, 0]

    def test_what_is_sure_is_no_risk_but_a_gain(self):
        figures = parametric(np.array([1000.0, -500.0]), np.zeros((2, 2)), "0.99", mean=np.array([0.01, 0.004]))

        assert (figures.var, figures.es) == (pytest.approx(-8), pytest.approx(-8))
        assert figures.component == pytest.approx(np.array([-10, 2]))

    def test_over_four_days_the_mean_counts_four_times_and_the_deviation_twice(self):
        figures = parametric(np.array([1000.0]), np.array([[0.0004]]), "0.99", mean=np.array([0.001]), horizon_days=4)

        assert figures.sigma == pytest.approx(40)
        assert figures.var == pytest.approx(stats.norm.ppf(0.99) * 40 - 4)
        assert figures.marginal == pytest.approx([figures.var / 1000])

    def test_an_empty_book_loses_nothing(self):
        figures = parametric(np.zeros(0), np.zeros((0, 0)), "0.99")

        assert (figures.sigma, figures.var, figures.es, len(figures.component)) == (0, 0, 0, 0)

    @pytest.mark.parametrize("covariance", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.4, 1.0]]])
    def test_what_is_no_matrix_of_covariances_is_refused(self, covariance):
        with pytest.raises(RiskError) as refusal:
            parametric(np.array([1.0, -1.0]), np.array(covariance), "0.99")
        assert refusal.value.code == "covariance_refused"


class TestEwma:
    @given(st.integers(1, 60).flatmap(lambda days: arrays(np.float64, days, elements=small_returns)))
    def test_the_path_is_the_recursion(self, returns):
        expected = [returns[0] ** 2]
        for each in returns:
            expected.append(0.94 * expected[-1] + 0.06 * each**2)

        assert ewma_variances(returns) == pytest.approx(np.array(expected), rel=1e-9, abs=1e-18)

    @pytest.mark.parametrize("decay", [0.01, 0.5, 0.94, 0.9999])
    def test_a_history_of_any_length_stays_a_number(self, decay):
        returns = np.full(20_000, 0.01)

        assert ewma_variances(returns, decay=decay) == pytest.approx(np.full(20_001, 0.0001), rel=1e-9)

    @given(tables())
    def test_covariances_are_positive_semidefinite_and_agree_with_the_variances(self, returns):
        covariance = ewma_covariance(returns)

        assert (covariance == covariance.T).all()
        assert np.linalg.eigvalsh(covariance).min() >= -1e-15
        assert np.diag(covariance) == pytest.approx(ewma_variances(returns)[-1], rel=1e-9, abs=1e-18)

    @given(tables(), st.data())
    def test_a_book_of_covariances_is_the_ewma_of_the_book(self, returns, data):
        exposures = data.draw(arrays(np.float64, returns.shape[1], elements=rupees))
        by_covariance = parametric(exposures, ewma_covariance(returns), "0.95")

        assert by_covariance.sigma == pytest.approx(
            float(np.sqrt(ewma_variances(returns @ exposures)[-1])), rel=1e-6, abs=1e-3
        )

    def test_short_is_as_risky_as_long(self):
        returns = np.array([0.01, -0.02, 0.005])

        assert ewma(returns, 1000, "0.95") == ewma(returns, -1000, "0.95")
        assert ewma(returns, 1000, "0.95").es > ewma(returns, 1000, "0.95").var > 0

    @pytest.mark.parametrize("decay", [0, 1, 1.5, -0.9])
    def test_a_decay_that_is_none(self, decay):
        for refusing in (ewma_variances, lambda returns, decay: ewma_covariance(returns[:, None], decay=decay)):
            with pytest.raises(RiskError) as refusal:
                refusing(np.array([0.01]), decay=decay)
            assert refusal.value.code == "decay_refused"

    def test_nothing_is_foreseen_from_no_return(self):
        for refusing, nothing in ((ewma_variances, np.zeros(0)), (ewma_covariance, np.zeros((0, 2)))):
            with pytest.raises(TooFewDays):
                refusing(nothing)


class TestFiltered:
    @given(arrays(np.bool_, 150), st.integers(1, 5000), confidences)
    def test_with_constant_volatility_it_is_plain_historical(self, rises, move, confidence):
        pnl = np.where(rises, 1.0, -1.0) * move

        assert filtered(pnl, confidence).var == near(historical(pnl, confidence).var, pnl)
        assert filtered(pnl, confidence).es == near(historical(pnl, confidence).es, pnl)

    def test_after_calm_years_a_wild_month_counts(self):
        calm, wild = np.tile([100.0, -100.0], 200), np.tile([400.0, -400.0], 25)

        assert (
            historical(np.concatenate((wild, calm)), "0.95").var
            > 2 * filtered(np.concatenate((wild, calm)), "0.95").var
        )
        after = filtered(np.concatenate((calm, wild)), "0.95")
        assert after.var > 390

    @given(tables(least_days=5))
    def test_each_day_is_scaled_by_the_volatility_that_was_foreseen_for_it(self, returns):
        usual = np.sqrt(np.square(returns).mean(axis=0))
        foreseen = np.sqrt(ewma_variances(returns, first=usual**2))
        assume((foreseen[:-1] > 0.1 * usual).all())

        assert filtered_returns(returns) == pytest.approx(returns * foreseen[-1] / foreseen[:-1], rel=1e-9)

    def test_what_never_moved_stays(self):
        assert (filtered_returns(np.zeros((5, 2))) == 0).all()

    def test_a_share_that_did_not_trade_for_a_year_makes_no_catastrophe(self):
        """By the bare ratio its first move would count ten thousand times."""
        returns = np.concatenate((np.tile([0.02, -0.02], 50), np.zeros(300), [0.05]))

        assert np.abs(filtered_returns(returns)).max() < 1


class TestHorizon:
    def test_it_is_the_square_root_of_time(self):
        tail = historical(np.linspace(-100, 100, 400), "0.99")
        longer = stretched(tail, 4, has_options=False)

        assert (longer.var, longer.es, longer.horizon_days) == (tail.var * 2, tail.es * 2, 4)
        assert horizon_factor(1, has_options=True) == 1

    @pytest.mark.parametrize(
        ("days", "has_options", "code"),
        [(11, False, "horizon_too_long"), (2, True, "horizon_with_options"), (0, False, "horizon_too_short")],
    )
    def test_it_is_refused_with_a_reason_and_a_remedy(self, days, has_options, code):
        with pytest.raises(HorizonRefused) as refusal:
            horizon_factor(days, has_options=has_options)
        assert refusal.value.code == code
        assert refusal.value.remedy

    def test_nothing_is_stretched_twice(self):
        longer = stretched(historical(np.zeros(100), "0.95"), 2, has_options=False)

        with pytest.raises(HorizonRefused, match="2 days already"):
            stretched(longer, 2, has_options=False)
