"""The verbs of risk: gather a book and its market, report on it, and tell limits what was measured.

A report is made once for whoever asks within a few seconds, in whichever process, as a portfolio is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

import msgspec

from accounts.models import User
from brokers.shared import if_redis_is_there, redis
from market.hours import Hours
from portfolio import equity_days, risk_gathering, risk_market, risk_scenarios, sharing
from portfolio.risk import presenting, proving
from portfolio.risk import report as reporting
from portfolio.risk.evaluating import DAY_LOSS, Figure, FigureKey, Measured
from portfolio.risk.limits import Metric, Scope
from portfolio.risk.quick import QuickMeasures, quick_measures
from portfolio.risk.record import drawdown_pct
from portfolio.risk.sections import DayWorth, Method, Report
from portfolio.risk.valuing import Assumptions, deltas, valued
from portfolio.risk.words import Coverage, RiskBook
from portfolio.risk_terms import assumed
from portfolio.sharing import Rendered
from portfolio.sharing import Scope as Place

logger = logging.getLogger(__name__)

Sections = dict[str, msgspec.Raw]
# What needs the past is measured for limits this often at most; older than `STANDS_FOR` it is not known.
MEASURED_EVERY = timedelta(seconds=30)
STANDS_FOR = timedelta(minutes=15)

_sections = msgspec.json.Decoder(Sections)


class Kept(msgspec.Struct, frozen=True):
    """Figures that need the past, in percent, as limits take them. `complete`: nobody and nothing was missing."""

    measured_at: datetime
    var_99_pct: Decimal | None
    es_975_pct: Decimal | None
    complete: bool


def reported(user: User, *, now: datetime) -> Sections:
    """The whole report as JSON by section, a few seconds old at most. Raises NoBrokerConnections."""
    rendered = sharing.shared(_place(user), lambda: _rendered(user, now))
    return _sections.decode(rendered.include)


def backtested(user: User, *, now: datetime) -> object:
    """How VaR held, as JSON values; computed when somebody asks. Raises NoBrokerConnections."""
    book = risk_gathering.gathered(user, now=now)
    judged = risk_market.judged_in(book, now=now)
    found = reporting.backtest(book, judged.market, past=judged.past, terms=assumed().terms)
    return presenting.written(found)


def outdated(user: User) -> None:
    """What a report says of this person is so no more: the next one is made anew."""
    with if_redis_is_there("forgetting a risk report"):
        redis().delete(f"{_place(user).key}:answer")


def report_on(user: User, book: RiskBook, *, now: datetime) -> Report:
    judged = risk_market.judged_in(book, now=now)
    return reporting.report(
        book,
        judged.market,
        scenarios=risk_scenarios.readable(user),
        terms=assumed().terms,
        days=equity_days.days_of(user),
        past=judged.past,
    )


def _place(user: User) -> Place:
    return Place(f"risk:{user.pk}", user.pk)


def _rendered(user: User, now: datetime) -> Rendered:
    found = report_on(user, risk_gathering.gathered(user, now=now), now=now)
    for section, error in found.failures:
        logger.error("The section %s of a risk report failed for user %s", section, user.pk, exc_info=error)
    _keep(user, found, now)
    return Rendered(msgspec.json.encode(presenting.written(found)), b"")


# --- for limits -------------------------------------------------------------------------------------------------------
def measured(user: User, _: object, now: datetime) -> Measured:
    """What limits are held against, at each change of the book: what is of this moment, and what was kept of the rest.

    The merged book, which is what changed, is not enough for it: it knows no underlyings. The same answers are read
    anew; no broker is asked. Raises NoBrokerConnections.
    """
    found = risk_gathering.gathered(user, now=now, ask=False)
    return quickly(found).also(_slowly(user, found, now))


def quickly(book: RiskBook) -> Measured:
    """Without any past. Options count by their delta; one without is counted as if it moved with its underlying.

    Of a day's loss it tells what is proved, too, which needs to know when the exchanges begin.
    """
    told = valued(book.lines, Assumptions(rate=assumed().rate), now=book.now)
    measures = quick_measures(book, deltas(told.arrays))
    listed = set()
    if not book.missing and not book.unreadable:
        listed = {(Metric.ISSUER_PCT, Scope.ISSUER), (Metric.BROKER_PCT, Scope.BROKER)}
    figures = {key: Figure(each.value, each.complete) for key, each in measures.figures().items()}
    return Measured(figures | _proved(book, measures, figures), frozenset(listed))


def _proved(book: RiskBook, measures: QuickMeasures, figures: Mapping[FigureKey, Figure]) -> dict[FigureKey, Figure]:
    """The figures of a day's loss with what is proved of them. Where nothing is lost the calendar is not read."""
    lost = {key: each for key, each in figures.items() if key[0] in DAY_LOSS and each.value}
    if not lost:
        return {}
    hours = Hours()
    hours.read(book.now)
    found = proving.proved(book, measures.equity, hours.openings(book.now))
    of_whole = {Metric.DAY_LOSS: found.loss, Metric.DAY_LOSS_PCT: found.loss_pct}
    return {
        key: replace(each, proved=of_whole[key[0]] if key[1] is Scope.GLOBAL else found.by_account.get(key[2]))
        for key, each in lost.items()
    }


def _slowly(user: User, book: RiskBook, now: datetime) -> Measured:
    kept = _kept(user)
    if kept is None or not timedelta(0) <= now - kept.measured_at < MEASURED_EVERY:
        kept = _keep(user, report_on(user, book, now=now), now)
    figures: dict[FigureKey, Figure] = {
        (Metric.VAR_99_PCT, Scope.GLOBAL, ""): Figure(kept.var_99_pct, kept.complete),
        (Metric.ES_975_PCT, Scope.GLOBAL, ""): Figure(kept.es_975_pct, kept.complete),
    }
    worth = equity_days.worth_of(book)
    if worth is not None:
        days: list[DayWorth] = [*equity_days.days_of(user), equity_days.today(user, book, worth)]
        figures[Metric.DRAWDOWN_PCT, Scope.GLOBAL, ""] = Figure(drawdown_pct(days), worth.complete)
    return Measured(figures)


def _keep(user: User, found: Report, now: datetime) -> Kept:
    told = found.losses.value
    var = es = None
    if told is not None:
        var = told.figure(Method.HISTORICAL, Decimal(99)).var_pct
        es = told.figure(Method.HISTORICAL, Decimal("97.5")).es_pct
    worth = found.worth.value
    is_worth_known = worth is not None and worth.equity.complete
    kept = Kept(now, var, es, is_worth_known and nothing_missing(found.losses.coverage))
    with if_redis_is_there("keeping figures of risk"):
        redis().set(_figures_key(user), msgspec.json.encode(kept), ex=int(STANDS_FOR.total_seconds()))
    return kept


def _kept(user: User) -> Kept | None:
    stored = None
    with if_redis_is_there("figures of risk"):
        stored = cast(bytes | None, redis().get(_figures_key(user)))
    return None if stored is None else msgspec.json.decode(stored, type=Kept)


def _figures_key(user: User) -> str:
    return f"risk:{user.pk}:figures"


def nothing_missing(coverage: Coverage) -> bool:
    """Whether all of the book is in a figure. What moves by another's history is in it, too."""
    return not (
        coverage.stale or coverage.missing or coverage.unvalued or coverage.unreadable or coverage.unmodelled_pct
    )
