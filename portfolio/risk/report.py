"""The whole report of one book: sections that are computed together and fail apart. Pure.

What the past alone decides (`past.past_of`) is made once a day and handed in; everything else here is made anew at each
change of the book, in some ten milliseconds for a few hundred lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext
from functools import cached_property
from typing import TypeVar

from brokers.domain import ZERO
from brokers.wire import IST
from portfolio.risk.arrays import BookArrays, Floats
from portfolio.risk.beta import BetaWeighted, beta_weighted
from portfolio.risk.concentration import by_broker, concentration, counterparties, net, unvalued
from portfolio.risk.coverage import coverage
from portfolio.risk.delivery import Deliveries, deliveries
from portfolio.risk.equity import Equity, book_equity, equities
from portfolio.risk.errors import RiskError
from portfolio.risk.exposure import Deltas, Exposed, Exposure, exact, exposed, exposures, issuer_names, sector
from portfolio.risk.factors import modelled
from portfolio.risk.liquidity import Depth, Liquidity, liquidity
from portfolio.risk.losses import Revalued, losses, revalued, tested
from portfolio.risk.margins import Margins, accounts_from, margins
from portfolio.risk.netting import MarginOfOne, Opposed, opposed
from portfolio.risk.past import Past, alike_of, past_of, wanted_factors
from portfolio.risk.record import record
from portfolio.risk.scenarios import SHIPPED, Scenario
from portfolio.risk.sections import (
    Concentrations,
    DayWorth,
    Hit,
    Losses,
    Record,
    Refused,
    Report,
    RiskTerms,
    Section,
    Stressed,
    StressTable,
    Tested,
    Worth,
)
from portfolio.risk.stress import ScenarioResult, circuit_locks, outages, stress
from portfolio.risk.valuing import Assumptions, BookGreeks, ValuedBook, book_greeks, deltas, valued
from portfolio.risk.words import Coverage, Kind, Line, MarketData, RiskBook
from portfolio.sums import EXACT, percent

T = TypeVar("T")
WORST_ISSUERS = 5
LISTED_WITHIN = timedelta(days=30)  # more than the trading days from which obligations are listed can ever take
UNFORESEEN = (ArithmeticError, ValueError, LookupError)
DEFAULT_TERMS = RiskTerms()


def _nothing_known(line: Line) -> Decimal | None:
    return None


def report(
    book: RiskBook,
    market: MarketData,
    *,
    scenarios: Sequence[Scenario] = (),
    terms: RiskTerms = DEFAULT_TERMS,
    days: Sequence[DayWorth] = (),
    past: Past | None = None,
    margin_of_one: MarginOfOne = _nothing_known,
) -> Report:
    """Everything that can be told of the book. `scenarios` are the owner's own; `days` what it was worth before.

    `past` spares making it anew: it must be of this market, and of the book's factors at least.
    """
    return _Maker(book, market, tuple(scenarios), terms, tuple(days), past, margin_of_one).made()


def backtest(
    book: RiskBook, market: MarketData, *, past: Past | None = None, terms: RiskTerms = DEFAULT_TERMS
) -> tuple[Section[Tested], ...]:
    """Today's book through its past, at 95 and at 99 %. Apart from the report: nobody needs it at every change."""
    maker = _Maker(book, market, (), terms, (), past, _nothing_known)
    return tuple(
        maker.section(f"backtest_{level}", lambda level=level: tested(maker.revalued, level), maker.modelled)  # type: ignore[misc]
        for level in (Decimal(95), Decimal(99))
    )


@dataclass
class _Maker:
    book: RiskBook
    market: MarketData
    scenarios: tuple[Scenario, ...]
    terms: RiskTerms
    days: tuple[DayWorth, ...]
    given: Past | None
    margin_of_one: MarginOfOne

    def __post_init__(self) -> None:
        self.failures: list[tuple[str, Exception]] = []

    def made(self) -> Report:
        plain = coverage(self.book)
        return Report(
            computed_at=self.book.now,
            as_of=self.book.as_of,
            coverage=plain,
            worth=self.section("worth", self._worth, lambda: plain),
            exposure=self.section("exposure", self._exposure, lambda: self._exposure().coverage),
            concentration=self.section("concentration", self._concentration, lambda: self._exposure().coverage),
            margins=self.section("margins", self._margins, lambda: plain),
            netting=self.section("netting", self._netting, lambda: plain),
            beta=self.section("beta", self._beta, self.modelled),
            losses=self.section("losses", self._losses, self.modelled),
            greeks=self.section("greeks", self._greeks, self._of_greeks),
            stress=self.section("stress", self._stress, self.modelled),
            liquidity=self.section("liquidity", self._liquidity, self._of_liquidity),
            expiries=self.section("expiries", self._expiries, lambda: plain),
            record=self.section("record", self._record, lambda: plain),
            failures=tuple(self.failures),
        )

    def section(self, name: str, work: Callable[[], T], covering: Callable[[], Coverage]) -> Section[T]:
        """What cannot be told says why, and hides nothing else."""
        try:
            value = work()
            return Section(coverage=covering(), value=value)
        except RiskError as error:
            refused = Refused(code=error.code, message=str(error), remedy=error.remedy)
        except UNFORESEEN as error:
            self.failures.append((name, error))
            refused = Refused(
                code="section_failed",
                message="This part of the report could not be computed.",
                remedy="The others stand. Whoever runs TradeMaster finds the reason in its log.",
            )
        return Section(coverage=replace(coverage(self.book), complete=False), refused=refused)

    # --- what several sections need -----------------------------------------------------------------------------------
    @cached_property
    def past(self) -> Past:
        return self.given or past_of(wanted_factors(self.book, self.market), self.market, alike=alike_of(self.book))

    @cached_property
    def valued(self) -> ValuedBook:
        """Without a past there are no betas, and the rest is valued all the same; what needs one says why it cannot."""
        try:
            betas, names = self.past.betas, self.past.factors.names
        except UNFORESEEN:
            betas, names = {}, ()
        assumptions = Assumptions(
            rate=self.market.rate,
            index=self.market.index,
            betas=betas,
            dividends=self.terms.dividends,
            durations=self.terms.durations,
        )
        return valued(self.book.lines, assumptions, now=self.book.now, factors=names)

    @property
    def arrays(self) -> BookArrays:
        return self.valued.arrays

    @cached_property
    def raw_deltas(self) -> Floats:
        return deltas(self.arrays)

    @cached_property
    def deltas(self) -> Deltas:
        return [exact(delta) for delta in self.raw_deltas.tolist()]

    @cached_property
    def rows(self) -> list[Exposed]:
        return exposed(self.book, self.deltas)

    @cached_property
    def revalued(self) -> Revalued:
        return revalued(self.arrays, self.raw_deltas, self.past)

    @cached_property
    def equity(self) -> Equity:
        return book_equity(list(equities(self.book).values()))

    @cached_property
    def names(self) -> dict[str, str]:
        """Of the book's factors; an issuer is named as its factor is."""
        named = issuer_names(self.book)
        return {line.factor: named.get(line.factor, line.factor) for line in self.book.lines}

    def modelled(self) -> Coverage:
        """Of what stands on the past. Lines that could not be valued anew are in no such figure."""
        return self._modelled

    @cached_property
    def _modelled(self) -> Coverage:
        found = modelled(self.book, self.past.factors, self.deltas)
        return coverage(
            self.book,
            unvalued=found.unvalued,
            gross=found.gross,
            proxied=found.proxied,
            unmodelled=found.unmodelled,
        )

    # --- sections -----------------------------------------------------------------------------------------------------
    def _worth(self) -> Worth:
        return Worth(equity=self.equity, day_pnl=self.book.day_pnl)

    def _exposure(self) -> Exposure:
        return self._exposed

    @cached_property
    def _exposed(self) -> Exposure:
        return exposures(self.book, self.deltas)

    def _concentration(self) -> Concentrations:
        return Concentrations(
            issuers=concentration(
                net(self.rows, lambda line: line.issuer), self._issuers, unvalued=unvalued(self.rows)
            ),
            sectors=concentration(
                net(self.rows, lambda line: sector(line)[0]),
                dict(sector(line) for line in self.book.lines),
                unvalued=unvalued(self.rows),
            ),
            brokers=by_broker(self.book, self.deltas),
            counterparties=counterparties(self.book),
        )

    def _margins(self) -> Margins:
        with localcontext(EXACT):
            accounts = accounts_from(self.book, self.rows)
        return margins(accounts, self.terms.stress)

    def _netting(self) -> tuple[Opposed, ...]:
        return opposed(self.book, self.margin_of_one)

    def _beta(self) -> BetaWeighted:
        return beta_weighted(
            self.book,
            self.past.betas,
            self.deltas,
            index_level=self.market.index_level,
            index_lot=self.market.index_lot,
        )

    def _losses(self) -> Losses:
        return losses(self.revalued, self.names, self.equity.amount)

    def _greeks(self) -> BookGreeks:
        return self._told_greeks

    @cached_property
    def _told_greeks(self) -> BookGreeks:
        return book_greeks(self.valued, self.book.lines, of_options=True)

    def _of_greeks(self) -> Coverage:
        found = coverage(self.book, unvalued=self._told_greeks.unvalued)
        return replace(found, complete=found.complete and not self._told_greeks.borrowed)

    def _stress(self) -> StressTable:
        chosen = (*SHIPPED, *self.past.remembered, *self.scenarios)
        return StressTable(
            scenarios=tuple(
                self._stressed(result) for result in stress(self.arrays, chosen, most_issuers=WORST_ISSUERS)
            ),
            untold=self.past.untold,
            outages=outages(self.arrays),
            locks=circuit_locks(self.arrays, self.terms.bands),
        )

    def _stressed(self, result: ScenarioResult) -> Stressed:
        brokers = {purse.broker_type: purse.broker_name for purse in self.book.purses}
        equity = self.equity.amount
        return Stressed(
            code=result.scenario.code,
            title=result.scenario.title,
            basis=result.scenario.basis,
            pnl=result.pnl,
            pnl_pct=percent(result.pnl, equity) if equity is not None and equity > 0 else None,
            by_broker=tuple(
                Hit(key=key, name=brokers.get(key, key), pnl=pnl)
                for key, pnl in result.by_broker.items()
                if pnl is not None
            ),
            worst=tuple(
                Hit(key=key, name=self._issuers.get(key, key), pnl=pnl)
                for key, pnl in result.by_issuer.items()
                if pnl < ZERO
            ),
            unmatched=result.unmatched,
            worst_company=None
            if result.worst_company is None
            else self._issuers.get(result.worst_company, result.worst_company),
            left_out=result.left_out,
        )

    @cached_property
    def _issuers(self) -> dict[str, str]:
        return issuer_names(self.book)

    def _liquidity(self) -> Liquidity:
        return self._liquid

    @cached_property
    def _liquid(self) -> Liquidity:
        """Volumes are of shares: how much of a contract is dealt in a day is not known here."""
        found = {
            line.instrument: depth
            for line in self.book.lines
            if line.kind is Kind.SPOT and (depth := self._depth(line)) is not None
        }
        return liquidity(self.book.lines, found, participation=self.terms.participation)

    def _depth(self, line: Line) -> Depth | None:
        return self.past.depths.get(line.factor)

    def _of_liquidity(self) -> Coverage:
        found = coverage(self.book, unvalued=self._liquid.unpriced, gross=self._liquid.value)
        return replace(
            found,
            complete=found.complete and not self._liquid.unknown_value,
            unmodelled_pct=self._liquid.unknown_pct,
        )

    def _expiries(self) -> Deliveries:
        """Of what ends within weeks, to spare looking through the calendar for all the others."""
        today = self.book.now.astimezone(IST).date()
        ahead = [day for day in self.market.trading_days if day >= today]
        soon = [line for line in self.book.lines if line.expiry is None or line.expiry <= today + LISTED_WITHIN]
        near = replace(self.book, lines=tuple(soon))
        return deliveries(near, trading_days=ahead, cash_settled=self.terms.cash_settled)

    def _record(self) -> Record:
        return record(self.days, rate=self.market.rate)
