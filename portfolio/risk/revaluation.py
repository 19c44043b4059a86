"""Full revaluation: what every line gains or loses under every scenario, in one operation.

The kernel of historical VaR and of stress alike. Options are priced anew, never by their Greeks.
"""

from __future__ import annotations

import numpy as np

from portfolio.risk.arrays import ABSENT, BookArrays, FloatLike, Floats, Pricing
from portfolio.risk.pricing import DAYS_IN_YEAR, price


def revalue(book: BookArrays, factor_returns: Floats, vol_shocks: Floats | None = None) -> Floats:
    """P&L of every line under past (or invented) returns of the factors: INR, shape (n_scenarios, n_lines).

    `factor_returns` holds simple returns as ratios, shape (n_scenarios, n_factors); its columns are `book.factors`.
    `vol_shocks` is relative (0.6: volatility × 1.6), of shape (n_scenarios,) or (n_scenarios, n_lines). No time passes.
    NaN where a line has no factor, its factor no return, or the line no price.
    """
    has_factor = book.factor != ABSENT
    moves = np.full((len(factor_returns), len(book)), np.nan)
    moves[:, has_factor] = factor_returns[:, book.factor[has_factor]] * book.factor_beta[has_factor]
    return revalue_moves(book, moves, volatility=0.0 if vol_shocks is None else vol_shocks)


def revalue_moves(
    book: BookArrays, moves: Floats, *, volatility: FloatLike = 0.0, rate: FloatLike = 0.0, days: FloatLike = 0.0
) -> Floats:
    """P&L of every line where each line's underlying moves by its own ratio: INR, shape (n_scenarios, n_lines).

    `moves` has that shape. `volatility` (relative), `rate` (0.01: one percentage point more) and `days` (calendar) are
    one number, or one for each scenario; `volatility` may be one for each scenario and line. Nothing falls by more than
    its whole price. A rate moves a future, by its carry e^(rate × years); days that pass move options alone.
    """
    rate, days = _column(rate), _column(days)
    moves = np.maximum(moves, -1.0)
    pnl = np.asarray(book.units * book.price * moves)
    futures = book.pricing == Pricing.FUTURE
    if futures.any() and np.any(rate != 0):
        after = (1 + moves[:, futures]) * _carry(rate, book.years[futures], days)
        pnl[:, futures] = book.units[futures] * book.price[futures] * (after - 1)
    if book.is_option.any():
        pnl[:, book.is_option] = _options(book, moves, _column(volatility), rate, days)
    return pnl


def _options(book: BookArrays, moves: Floats, volatility: Floats, rate: Floats, days: Floats) -> Floats:
    chosen = book.is_option
    on_future = book.pricing[chosen] == Pricing.ON_FUTURE
    sign, strike, years, spot = (each[chosen] for each in (book.sign, book.strike, book.years, book.underlying))
    vol, today, dividend = book.volatility[chosen], book.rate[chosen], book.dividend[chosen]
    shock = volatility[:, chosen] if volatility.shape[1] == len(book) else volatility
    before = price(sign, spot, strike, years, vol, today, np.where(on_future, today, dividend))
    carry = np.where(on_future, _carry(rate, years, days), 1.0) if np.any(rate != 0) else 1.0
    after = price(
        sign,
        spot * (1 + moves[:, chosen]) * carry,
        strike,
        years - days / DAYS_IN_YEAR,
        vol * np.maximum(1 + shock, 0.0),
        today + rate,
        np.where(on_future, today + rate, dividend),
    )
    return np.asarray(book.units[chosen] * (after - before))


def _carry(rate: Floats, years: Floats, days: Floats) -> Floats:
    """What a rate's move does to a future; where the rate rests, it does nothing, however long the future lives."""
    left = np.maximum(years - days / DAYS_IN_YEAR, 0.0)
    return np.where(rate == 0, 1.0, np.exp(rate * left))


def _column(values: FloatLike) -> Floats:
    """One number, one for each scenario, or one for each scenario and line: as two dimensions."""
    array = np.asarray(values, dtype=np.float64)
    return array if array.ndim == 2 else array.reshape(-1, 1)
