"""How the money did, from what the book was worth at each day's end: the record of a report. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import overload

from portfolio.risk.errors import RiskError, TooFewDays
from portfolio.risk.numbers import floats, ratio
from portfolio.risk.performance import drawdown, performance, returns_of, unit_values, xirr
from portfolio.risk.sections import DayWorth, Record, Unit

PERIODS = 252
FEWEST = 2


def record(days: Sequence[DayWorth], *, rate: Decimal) -> Record:
    """Of the days whose equity is wholly known, oldest first; flows of days between go to the next one that is.

    `rate` is the yearly risk-free one, a ratio. Raises TooFewDays below two such days, RiskError without any capital.
    """
    known, flows, gaps = _known(days)
    if len(known) < FEWEST:
        raise TooFewDays(days=len(known), needed=FEWEST)
    worth = [each.equity for each in known if each.equity is not None]
    values = unit_values(floats(worth), floats(flows))
    fall = drawdown(values)
    told = performance(returns_of(values), risk_free_daily=float(rate) / PERIODS)
    since = None if fall.since is None else known[fall.since].day
    return Record(
        days=len(known),
        first_day=known[0].day,
        last_day=known[-1].day,
        gaps=gaps,
        drawdown_pct=_percent(-fall.current),
        worst_drawdown_pct=_percent(-fall.maximum),
        drawdown_since=since,
        longest_drawdown_days=fall.longest_days,
        annual_return_pct=_percent(told.annual_return),
        daily_volatility_pct=_percent(told.daily_volatility),
        annual_volatility_pct=_percent(told.annual_volatility),
        sharpe=ratio(told.sharpe),
        sortino=ratio(told.sortino),
        calmar=ratio(told.calmar),
        money_weighted_pct=_percent(_money_weighted(known, flows)),
        units=tuple(
            Unit(day=each.day, value=ratio(value), drawdown_pct=_percent(below))
            for each, value, below in zip(known, values.tolist(), fall.series.tolist(), strict=True)
        ),
    )


def _known(days: Sequence[DayWorth]) -> tuple[list[DayWorth], list[Decimal], int]:
    known: list[DayWorth] = []
    flows: list[Decimal] = []
    waiting = Decimal(0)
    gaps = 0
    for each in sorted(days, key=lambda one: one.day):
        waiting += each.cash_flow
        if each.equity is None or not each.complete:
            gaps += 1
            continue
        known.append(each)
        flows.append(waiting)
        waiting = Decimal(0)
    return known, flows, gaps


def _money_weighted(known: Sequence[DayWorth], flows: Sequence[Decimal]) -> float | None:
    """The first day's worth is paid in, and the last day's taken out."""
    first, last = known[0], known[-1]
    if first.equity is None or last.equity is None or last.day <= first.day:
        return None
    dates: list[date] = [first.day, *(each.day for each in known[1:]), last.day]
    return xirr(dates, floats([-first.equity, *(-flow for flow in flows[1:]), last.equity]))


@overload
def _percent(value: float) -> Decimal: ...
@overload
def _percent(value: None) -> None: ...
def _percent(value: float | None) -> Decimal | None:
    return None if value is None else ratio(100 * value)


def drawdown_pct(days: Sequence[DayWorth], *, rate: Decimal = Decimal(0)) -> Decimal | None:
    """How far below its peak the book is, for limits; None where that cannot be told."""
    try:
        return record(days, rate=rate).drawdown_pct
    except RiskError:
        return None
