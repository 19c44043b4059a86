"""Were the losses as rare as VaR said? Exceptions are days that lost more than the VaR that was told for them.

Sources: Basel Committee, "Supervisory framework for the use of backtesting" (1996); Kupiec (1995), "Techniques for
verifying the accuracy of risk measurement models"; Christoffersen (1998), "Evaluating interval forecasts".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtrc, xlogy

from portfolio.risk.errors import RiskError, TooFewDays
from portfolio.risk.numbers import Array
from portfolio.risk.tail import Confidence, exact_level, known, tail_of_rows

YELLOW_FROM, RED_FROM = 0.95, 0.9999


class Zone(StrEnum):
    """What the Basel Committee calls a count of exceptions."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodRatio:
    """How much better the data fit another VaR, and how likely that is by chance: a small one speaks against ours."""

    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """A VaR held against what happened. `exceptions` (n,) of bool; `expected` is how many there should have been.

    `coverage` asks for their number (Kupiec), `independence` whether they come one after the other, `conditional` both
    (Christoffersen).
    """

    confidence: float
    exceptions: NDArray[np.bool_]
    expected: float
    zone: Zone
    coverage: LikelihoodRatio
    independence: LikelihoodRatio
    conditional: LikelihoodRatio

    @property
    def days(self) -> int:
        return len(self.exceptions)

    @property
    def count(self) -> int:
        return int(self.exceptions.sum())


def backtest(pnl: Array, var: Array, confidence: Confidence) -> Backtest:
    """Compare `pnl` (n,) in rupees with `var` (n,), the loss told for that day before it began.

    Raises TooFewDays below two days, RiskError where a day is unknown or the lengths differ.
    """
    if known(pnl, dimensions=1).shape != known(var, dimensions=1).shape:
        raise RiskError(
            f"{len(pnl)} days of results and {len(var)} of VaR do not belong together.",
            code="shape_refused",
            remedy="Give one VaR for each day.",
        )
    if len(pnl) < 2:
        raise TooFewDays(days=len(pnl), needed=2)
    level = exact_level(confidence)
    exceptions = 0.0 - pnl > var
    count, days = int(exceptions.sum()), len(exceptions)
    by_number, by_order = kupiec(count, days, confidence), independence(exceptions)
    return Backtest(
        confidence=float(level),
        exceptions=exceptions,
        expected=float((1 - level) * days),
        zone=basel_zone(count, days, confidence),
        coverage=by_number,
        independence=by_order,
        conditional=_judged(by_number.statistic + by_order.statistic, freedom=2),
    )


def rolling_var(pnl: Array, window: int, confidence: Confidence) -> Array:
    """Historical VaR of each day from the `window` days before it: `pnl` (n,) makes (n - window,), for pnl[window:].

    Raises TooFewDays.
    """
    days = len(known(pnl, dimensions=1))
    if days <= window or window < 1:
        raise TooFewDays(days=days, needed=max(window, 1) + 1)
    return tail_of_rows(np.lib.stride_tricks.sliding_window_view(pnl[:-1], window), confidence)[0]


def basel_zone(count: int, days: int, confidence: Confidence) -> Zone:
    """Green, yellow, red: at 99 % over 250 days up to 4, up to 9, and from 10.

    Other lengths and confidences by the rule that those numbers come from: yellow begins where as few exceptions have a
    chance of 95 %, red where it is 99.99 %.
    """
    as_few = float(bdtr(count, days, float(1 - exact_level(confidence))))
    if as_few < YELLOW_FROM:
        return Zone.GREEN
    return Zone.YELLOW if as_few < RED_FROM else Zone.RED


def kupiec(count: int, days: int, confidence: Confidence) -> LikelihoodRatio:
    """Is the number of exceptions right? With 0 log 0 = 0, so that none and all are numbers like others."""
    chance = float(1 - exact_level(confidence))
    as_told, as_seen = _likelihood(days - count, count, chance), _likelihood(days - count, count, count / days)
    return _judged(2 * (as_seen - as_told), freedom=1)


def independence(exceptions: NDArray[np.bool_]) -> LikelihoodRatio:
    """Does an exception make another one on the next day likelier? `exceptions` (n,), n ≥ 2.

    Without two of them next to another day there is nothing to tell, and the ratio is 0.
    """
    before, after = exceptions[:-1], exceptions[1:]
    calm_calm, calm_bad = int((~before & ~after).sum()), int((~before & after).sum())
    bad_calm, bad_bad = int((before & ~after).sum()), int((before & after).sum())
    after_calm = calm_bad / max(1, calm_calm + calm_bad)
    after_bad = bad_bad / max(1, bad_calm + bad_bad)
    always = (calm_bad + bad_bad) / len(before)
    apart = _likelihood(calm_calm, calm_bad, after_calm) + _likelihood(bad_calm, bad_bad, after_bad)
    return _judged(2 * (apart - _likelihood(calm_calm + bad_calm, calm_bad + bad_bad, always)), freedom=1)


def _likelihood(calm: int, bad: int, chance: float) -> float:
    """The logarithm of it."""
    return float(xlogy(calm, 1 - chance) + xlogy(bad, chance))


def _judged(statistic: float, *, freedom: int) -> LikelihoodRatio:
    certain = max(0.0, statistic)  # below zero by rounding alone
    return LikelihoodRatio(statistic=certain, p_value=float(chdtrc(freedom, certain)))
