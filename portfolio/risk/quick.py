"""What limits need of a book at each of its changes, without any history. Pure; a few milliseconds.

Full figures are in `exposure`, `concentration` and `margins`; these are the same sums, in one pass over the lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from brokers.domain import ZERO, OptionType
from portfolio.domain import SourceState
from portfolio.risk.coverage import coverage
from portfolio.risk.equity import Equity, book_equity, equities
from portfolio.risk.exposure import NO_DELTAS, Deltas, Exposed, per_line, sector
from portfolio.risk.limits import Metric, Scope
from portfolio.risk.margins import EXHAUSTED, accounts_from, leverage, utilisation
from portfolio.risk.words import Coverage, Kind, Line, RiskBook, RiskClass
from portfolio.sums import EXACT, HUNDRED, Tally, percent

FigureKey = tuple[Metric, Scope, str]


@dataclass(frozen=True, slots=True)
class Measure:
    """`value` None: not known. Not `complete`: a part of the book is missing in it, old, or counted at its worst."""

    value: Decimal | None
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickMeasures:
    """Percent by key, INR and ratios over the whole book. None: not known.

    Issuers (by ISIN or underlying) and sectors are parts of the book's exposure; what nobody classified is in no
    sector, and says so by `is_classified`. Brokers are parts of the worth of the shares owned, as in the merged book.
    Margins are by account. `day_loss` is zero on a day of gains; where the day is not wholly known, it is that of what
    is (`is_day_known`). `without_delta` options are counted as large as they could be: in exposure as if they moved
    with their whole underlying, in an issuer's or a sector's part so or not at all, whichever makes it larger. Of the
    issuers `unpriced` no line could be valued.
    """

    gross: Decimal | None
    leverage: Decimal | None
    equity: Equity
    day_loss: Decimal | None
    day_loss_pct: Decimal | None
    account_loss: Mapping[str, Measure]
    is_day_known: bool
    issuer_pct: Mapping[str, Decimal]
    sector_pct: Mapping[str, Decimal]
    broker_pct: Mapping[str, Measure]
    margin_pct: Mapping[str, Measure]
    segment_gross: Mapping[str, Decimal]
    is_classified: bool
    without_delta: int
    coverage: Coverage
    unpriced: frozenset[str] = frozenset()

    def figures(self) -> dict[FigureKey, Measure]:
        """As limits are held against them. Globally a metric of many keys is that of its largest."""
        complete = self.coverage.complete and not self.without_delta
        is_worth_known = complete and self.equity.complete
        is_day_known = complete and self.is_day_known
        found: dict[FigureKey, Measure] = {
            (Metric.GROSS_EXPOSURE, Scope.GLOBAL, ""): Measure(self.gross, complete),
            (Metric.LEVERAGE_RATIO, Scope.GLOBAL, ""): Measure(self.leverage, is_worth_known),
            (Metric.DAY_LOSS, Scope.GLOBAL, ""): Measure(self.day_loss, is_day_known),
            (Metric.DAY_LOSS_PCT, Scope.GLOBAL, ""): Measure(self.day_loss_pct, is_day_known and is_worth_known),
            (Metric.ISSUER_PCT, Scope.GLOBAL, ""): _largest(self.issuer_pct, complete),
            (Metric.SECTOR_PCT, Scope.GLOBAL, ""): _largest(self.sector_pct, complete and self.is_classified),
            (Metric.BROKER_PCT, Scope.GLOBAL, ""): _worst(self.broker_pct.values()),
            (Metric.MARGIN_PCT, Scope.GLOBAL, ""): _worst(self.margin_pct.values()),
        }
        found |= {(Metric.ISSUER_PCT, Scope.ISSUER, key): Measure(None, complete=False) for key in self.unpriced}
        found |= {
            (Metric.ISSUER_PCT, Scope.ISSUER, key): Measure(value, complete) for key, value in self.issuer_pct.items()
        }
        found |= {
            (Metric.GROSS_EXPOSURE, Scope.SEGMENT, key): Measure(value, complete)
            for key, value in self.segment_gross.items()
        }
        found |= {(Metric.BROKER_PCT, Scope.BROKER, key): each for key, each in self.broker_pct.items()}
        found |= {(Metric.DAY_LOSS, Scope.ACCOUNT, key): each for key, each in self.account_loss.items()}
        found |= {(Metric.MARGIN_PCT, Scope.ACCOUNT, key): each for key, each in self.margin_pct.items()}
        return found


def quick_measures(book: RiskBook, deltas: Deltas = NO_DELTAS) -> QuickMeasures:
    with localcontext(EXACT):
        rows, are_open = _at_most(book, deltas)
        nets: dict[str, Decimal] = {}
        segments: dict[tuple[str, str], Decimal] = {}
        issuers, sectors = _Ranges(), _Ranges()
        companies: set[str] = set()  # the sectors that they are in: a kind of funds is none
        for row, is_open in zip(rows, are_open, strict=True):
            if row.amount is None:
                continue
            line = row.line
            nets[line.instrument] = nets.get(line.instrument, ZERO) + row.amount
            place = (line.segment, line.instrument)
            segments[place] = segments.get(place, ZERO) + row.amount
            key, _ = sector(line)
            issuers.count(line.issuer, line.instrument, row.amount, is_open=is_open)
            sectors.count(key, line.instrument, row.amount, is_open=is_open)
            if line.risk_class is RiskClass.EQUITY:
                companies.add(key)
        unvalued = sum(row.amount is None for row in rows)
        gross = _gross(nets.values()) if nets or not rows else None
        accounts = equities(book)
        worth = book_equity(list(accounts.values()))
        day_pnl = book.day_pnl if book.day_pnl is not None else book.known_day_pnl
        day_loss = _loss(day_pnl)
        return QuickMeasures(
            gross=gross,
            leverage=leverage(gross, worth.amount),
            equity=worth,
            day_loss=day_loss,
            day_loss_pct=_loss_pct(worth, day_pnl),
            account_loss=_losses(book),
            is_day_known=book.day_pnl is not None,
            issuer_pct=issuers.parts(),
            sector_pct={key: value for key, value in sectors.parts().items() if key and key in companies},
            broker_pct=_brokers(book),
            margin_pct=_margins(book, rows, accounts),
            segment_gross=_by_segment(segments),
            is_classified="" not in sectors.known,
            without_delta=sum(are_open),
            coverage=coverage(book, unvalued=unvalued, gross=gross),
            unpriced=frozenset(row.line.issuer for row in rows if row.amount is None) - issuers.known.keys(),
        )


def _loss(day_pnl: Decimal | None) -> Decimal | None:
    return None if day_pnl is None else max(ZERO, -day_pnl)


def _losses(book: RiskBook) -> dict[str, Measure]:
    """By account; of a day that is not wholly known, of the part that is."""
    return {
        purse.connection_id: Measure(
            _loss(purse.known_day_pnl if purse.day_pnl is None else purse.day_pnl),
            purse.day_pnl is not None and purse.state is SourceState.LIVE,
        )
        for purse in book.purses
    }


def _loss_pct(worth: Equity, day_pnl: Decimal | None) -> Decimal | None:
    """Of what the day began with, not of what it left. A loss by who had nothing is all that can be lost, and more."""
    if day_pnl is None or day_pnl >= 0:
        return None if day_pnl is None else ZERO
    if worth.amount is None:
        return None
    began = worth.amount - day_pnl
    if began > 0:
        return percent(-day_pnl, began)
    return EXHAUSTED * HUNDRED if worth.complete else None  # of cash that is not known there may be enough


def _at_most(book: RiskBook, deltas: Deltas) -> tuple[list[Exposed], list[bool]]:
    """Exposures in which an option without a delta moves with its whole underlying, and which of them are such."""
    rows, are_open = [], []
    for line, delta in zip(book.lines, per_line(book, deltas), strict=True):
        is_option, hangs_on = line.kind is Kind.OPTION, line.underlying_price
        are_open.append(is_option and hangs_on is not None and delta is None)
        if not is_option:
            rows.append(Exposed(line, line.value, None))
        elif hangs_on is None:
            rows.append(Exposed(line, None, None))
        else:
            rows.append(Exposed(line, line.units * hangs_on * (_full(line) if delta is None else delta), None))
    return rows, are_open


def _full(line: Line) -> Decimal:
    return Decimal(-1) if line.option_type is OptionType.PE else Decimal(1)


def _brokers(book: RiskBook) -> dict[str, Measure]:
    """What is owned there, in percent of what is owned anywhere: whole only if every account and price is known."""
    worth = {purse.broker_type: Tally() for purse in book.purses}
    for line in book.lines:
        if line.kind is Kind.SPOT and not line.is_intraday:
            worth[line.broker_type].count(line.value)
    whole = Tally.together(worth.values())
    is_whole = not (whole.unknown or book.unreadable) and all(each.state is SourceState.LIVE for each in book.purses)
    told = {purse.broker_type for purse in book.purses if purse.state is not SourceState.MISSING}
    return {
        broker: Measure(_share(tally.of_known, whole.of_known) if broker in told else None, is_whole)
        for broker, tally in worth.items()
    }


def _share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Percent; of nothing all have no part."""
    return ZERO if part == whole == 0 else percent(part, whole)


def _margins(book: RiskBook, rows: list[Exposed], worth: Mapping[str, Equity]) -> dict[str, Measure]:
    found = {}
    for account in accounts_from(book, rows, worth):
        used = utilisation(account.used, account.available)
        value = None if used is None else used * HUNDRED
        found[account.connection_id] = Measure(value, value is not None and account.state is SourceState.LIVE)
    return found


@dataclass(slots=True)
class _Ranges:
    """Signed sums by key: `known`, and what options without a delta would add, by instrument, if they moved in full."""

    known: dict[str, Decimal] = field(default_factory=dict)
    open: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    def count(self, key: str, instrument: str, amount: Decimal, *, is_open: bool) -> None:
        if not is_open:
            self.known[key] = self.known.get(key, ZERO) + amount
            return
        self.known.setdefault(key, ZERO)
        fully = self.open.setdefault(key, {})
        fully[instrument] = fully.get(instrument, ZERO) + amount

    def parts(self) -> dict[str, Decimal]:
        """Percent of the sum of all sizes: each at its largest beside the others at their smallest."""
        sizes = {key: self._sizes(key) for key in self.known}
        least = sum((small for small, _ in sizes.values()), ZERO)
        shares = {key: percent(large, least - small + large) for key, (small, large) in sizes.items()}
        return {key: share for key, share in shares.items() if share is not None}

    def _sizes(self, key: str) -> tuple[Decimal, Decimal]:
        """The smallest and the largest that a sum can be."""
        known, fully = self.known[key], list(self.open.get(key, {}).values())
        low = known + sum((min(each, ZERO) for each in fully), ZERO)
        high = known + sum((max(each, ZERO) for each in fully), ZERO)
        ends = sorted((abs(low), abs(high)))
        return (ZERO if low <= 0 <= high else ends[0]), ends[1]


def _by_segment(amounts: Mapping[tuple[str, str], Decimal]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for (segment, _), amount in amounts.items():
        sums[segment] = sums.get(segment, ZERO) + abs(amount)
    return sums


def _gross(amounts: Iterable[Decimal]) -> Decimal:
    return sum((abs(amount) for amount in amounts), ZERO)


def _largest(parts: Mapping[str, Decimal], complete: bool) -> Measure:
    """Of none the largest is zero only where it is known that there is none."""
    return Measure(max(parts.values(), default=ZERO if complete else None), complete)


def _worst(measures: Iterable[Measure]) -> Measure:
    told = list(measures)
    known = [each.value for each in told if each.value is not None]
    is_whole = all(each.complete and each.value is not None for each in told)
    return Measure(max(known, default=None if told else ZERO), is_whole)
