"""How long risk takes, and the same figures from pandas beside it: each part is a function, and stands in PARTS.

Times are of the processor. The same random days every time; no broker and no row takes part. What pandas computes is
first held against what we compute.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas

from bench.pretrade import checks
from bench.risk_reports import reports
from bench.table import Figure, of_rounds
from portfolio.risk.performance import drawdown, performance
from portfolio.risk.tail import DAILY_DECAY, ewma_covariance, ewma_variances, historical, tail_of_rows
from trademaster.local.house import House

INSTRUMENTS = 300
DAYS = 500
ROUNDS = 25
REPEATS = 20  # one round is so many times the work, which is short
CONFIDENCE = "0.99"
LEVEL = 0.99

Work = Callable[[], object]


def measure(house: House) -> list[Figure]:
    returns = np.random.default_rng(8).standard_t(4, (DAYS, INSTRUMENTS)) * 0.01
    return [*(figure for part in PARTS for figure in part(returns)), *checks()]


def tails(returns: np.ndarray) -> list[Figure]:
    pnl = returns @ np.linspace(-100_000, 300_000, INSTRUMENTS)
    series, frame, rows = pandas.Series(pnl), pandas.DataFrame(returns), np.ascontiguousarray(returns.T)
    ours, theirs = historical(pnl, CONFIDENCE), pandas_tail(series)
    assert np.allclose((ours.var, ours.es), theirs)
    assert np.allclose(tail_of_rows(rows, CONFIDENCE), pandas_tail(frame))
    return [
        *beside(f"VaR and ES of a book, {DAYS} days", lambda: historical(pnl, CONFIDENCE), lambda: pandas_tail(series)),
        *beside(
            f"VaR and ES of {INSTRUMENTS} instruments, each alone",
            lambda: tail_of_rows(rows, CONFIDENCE),
            lambda: pandas_tail(frame),
        ),
    ]


def volatilities(returns: np.ndarray) -> list[Figure]:
    frame, ours = pandas.DataFrame(returns), ewma_variances(returns)[-1]
    assert np.allclose(ours, pandas_ewma(frame))
    assert np.allclose(np.diag(ewma_covariance(returns)), ours)
    covariance = of_rounds(
        f"EWMA covariances of {INSTRUMENTS} instruments",
        [milliseconds(lambda: ewma_covariance(returns)) for _ in range(ROUNDS)],
        "ms",
    )
    name = f"EWMA volatility of {INSTRUMENTS} instruments, {DAYS} days"
    return [*beside(name, lambda: ewma_variances(returns), lambda: pandas_ewma(frame)), covariance]


def ratios(returns: np.ndarray) -> list[Figure]:
    book = returns.mean(axis=1)
    values = np.cumprod(np.concatenate(([1.0], 1 + book)))
    of_returns, of_values = pandas.Series(book), pandas.Series(values)
    figures = performance(book)
    assert np.isclose(drawdown(values).maximum, pandas_drawdown(of_values).min())
    assert np.allclose((figures.sharpe, figures.sortino), pandas_ratios(of_returns))
    return [
        *beside(f"Drawdown, {DAYS} days", lambda: drawdown(values), lambda: pandas_drawdown(of_values)),
        *beside(
            "Sharpe, Sortino, Calmar and volatility",
            lambda: performance(book),
            lambda: pandas_ratios(of_returns),
            note="pandas without Calmar",
        ),
    ]


PARTS: tuple[Callable[[np.ndarray], list[Figure]], ...] = (tails, volatilities, ratios, reports)


def beside(name: str, ours: Work, theirs: Work, *, note: str = "") -> list[Figure]:
    """Ours, and how many times as long theirs takes: measured in turn, a ratio of each round."""
    ours(), theirs()
    rounds = [(milliseconds(ours), milliseconds(theirs)) for _ in range(ROUNDS)]
    return [
        of_rounds(name, [mine for mine, _ in rounds], "ms"),
        of_rounds("  the same in pandas", [other / mine for mine, other in rounds], "×", note=note),
    ]


def milliseconds(work: Work) -> float:
    """Of the processor, all threads of the process: numpy multiplies matrices in several."""
    started = time.process_time()
    for _ in range(REPEATS):
        work()
    return (time.process_time() - started) * 1000 / REPEATS


def pandas_tail(pnl: pandas.Series | pandas.DataFrame) -> tuple[object, object]:
    """At a confidence at which the worst days are whole: then ES is the mean of the days beyond VaR."""
    losses = -pnl
    ordered = losses.quantile(LEVEL, interpolation="lower")
    return ordered, losses.where(losses > ordered).mean()


def pandas_ewma(returns: pandas.DataFrame) -> pandas.Series:
    return returns.pow(2).ewm(alpha=1 - DAILY_DECAY, adjust=False).mean().iloc[-1]


def pandas_drawdown(values: pandas.Series) -> pandas.Series:
    return values / values.cummax() - 1


def pandas_ratios(returns: pandas.Series) -> tuple[float, float]:
    yearly = np.sqrt(252)
    downside = np.sqrt(returns.clip(upper=0).pow(2).mean())
    return returns.mean() / returns.std() * yearly, returns.mean() / downside * yearly
