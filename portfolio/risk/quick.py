"""What limits need of a book at each of its changes, without any history. Pure; a few milliseconds.

Full figures are in `exposure`, `concentration` and `margins`; these are the same sums, in one pass over the lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from brokers.domain import ZERO, OptionType
from portfolio.domain import SourceState
from portfolio.risk.concentration import counterparties
from portfolio.risk.coverage import coverage
from portfolio.risk.equity import Equity, book_equity, equities
from portfolio.risk.exposure import NO_DELTAS, Deltas, Exposed, per_line, sector
from portfolio.risk.limits import Metric, Scope
from portfolio.risk.margins import accounts_from, leverage, utilisation
from portfolio.risk.words import Coverage, Kind, Line, RiskBook, RiskClass
from portfolio.sums import EXACT, HUNDRED, percent

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
    sector, and says so by `is_classified`. Brokers are counterparties, in percent of equity. Margins are by account.
    `day_loss` is zero on a day of gains; where the day is not wholly known, it is that of what is (`is_day_known`).
    `without_delta` options are counted as if they moved with their whole
    underlying: as large as they could be.
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
            (Metric.ISSUER_PCT, Scope.GLOBAL, ""): Measure(_largest(self.issuer_pct), complete),
            (Metric.SECTOR_PCT, Scope.GLOBAL, ""): Measure(_largest(self.sector_pct), complete and self.is_classified),
            (Metric.BROKER_PCT, Scope.GLOBAL, ""): _worst(self.broker_pct.values()),
            (Metric.MARGIN_PCT, Scope.GLOBAL, ""): _worst(self.margin_pct.values()),
        }
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
        rows, without_delta = _at_most(book, deltas)
        nets: dict[str, Decimal] = {}
        segments: dict[tuple[str, str], Decimal] = {}
        issuers: dict[str, Decimal] = {}
        sectors: dict[str, Decimal] = {}
        companies: set[str] = set()  # the sectors that they are in: a kind of funds is none
        for row in rows:
            if row.amount is None:
                continue
            line = row.line
            nets[line.instrument] = nets.get(line.instrument, ZERO) + row.amount
            place = (line.segment, line.instrument)
            segments[place] = segments.get(place, ZERO) + row.amount
            issuers[line.issuer] = issuers.get(line.issuer, ZERO) + row.amount
            key, _ = sector(line)
            sectors[key] = sectors.get(key, ZERO) + row.amount
            if line.risk_class is RiskClass.EQUITY:
                companies.add(key)
        unvalued = sum(row.amount is None for row in rows)
        gross = _gross(nets.values()) if nets or not rows else None
        accounts = equities(book)
        worth = book_equity(list(accounts.values()))
        day_pnl = book.day_pnl if book.day_pnl is not None else book.known_day_pnl
        day_loss = _loss(day_pnl)
        base = worth.amount if worth.amount is not None and worth.amount > 0 else None
        return QuickMeasures(
            gross=gross,
            leverage=leverage(gross, worth.amount),
            equity=worth,
            day_loss=day_loss,
            day_loss_pct=ZERO if day_loss == 0 else percent(day_loss, _before(base, day_pnl)),
            account_loss=_losses(book),
            is_day_known=book.day_pnl is not None,
            issuer_pct=_parts(issuers),
            sector_pct={key: value for key, value in _parts(sectors).items() if key and key in companies},
            broker_pct=_brokers(book, accounts),
            margin_pct=_margins(book, rows, accounts),
            segment_gross=_by_segment(segments),
            is_classified="" not in sectors,
            without_delta=without_delta,
            coverage=coverage(book, unvalued=unvalued, gross=gross),
        )


def _loss(day_pnl: Decimal | None) -> Decimal | None:
    return None if day_pnl is None else max(ZERO, -day_pnl)


def _losses(book: RiskBook) -> dict[str, Measure]:
    """By account."""
    return {
        purse.connection_id: Measure(
            _loss(purse.day_pnl), purse.day_pnl is not None and purse.state is SourceState.LIVE
        )
        for purse in book.purses
    }


def _before(equity: Decimal | None, day_pnl: Decimal | None) -> Decimal | None:
    """What the day began with: a loss is measured against that, not against what it left."""
    if equity is None or day_pnl is None or equity - day_pnl <= 0:
        return None
    return equity - day_pnl


def _at_most(book: RiskBook, deltas: Deltas) -> tuple[list[Exposed], int]:
    """Exposures in which an option without a delta moves with its whole underlying, and how many such there are."""
    rows, without_delta = [], 0
    for line, delta in zip(book.lines, per_line(book, deltas), strict=True):
        if line.kind is not Kind.OPTION:
            rows.append(Exposed(line, line.value, None))
            continue
        if line.underlying_price is None:
            rows.append(Exposed(line, None, None))
            continue
        if delta is None:
            without_delta += 1
            delta = _full(line)
        rows.append(Exposed(line, line.units * line.underlying_price * delta, None))
    return rows, without_delta


def _full(line: Line) -> Decimal:
    return Decimal(-1) if line.option_type is OptionType.PE else Decimal(1)


def _brokers(book: RiskBook, worth: Mapping[str, Equity]) -> dict[str, Measure]:
    return {
        stake.broker_type: Measure(stake.equity_pct, not stake.unknown and _is_live(book, stake.connection_ids))
        for stake in counterparties(book, worth)
    }


def _margins(book: RiskBook, rows: list[Exposed], worth: Mapping[str, Equity]) -> dict[str, Measure]:
    found = {}
    for account in accounts_from(book, rows, worth):
        used = utilisation(account.used, account.available)
        value = None if used is None else used * HUNDRED
        found[account.connection_id] = Measure(value, _is_live(book, (account.connection_id,)))
    return found


def _is_live(book: RiskBook, connection_ids: Iterable[str]) -> bool:
    ids = frozenset(connection_ids)
    return all(purse.state is SourceState.LIVE for purse in book.purses if purse.connection_id in ids)


def _parts(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Percent of the sum of all sizes."""
    whole = _gross(amounts.values())
    return {key: share for key, amount in amounts.items() if (share := percent(abs(amount), whole)) is not None}


def _by_segment(amounts: Mapping[tuple[str, str], Decimal]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for (segment, _), amount in amounts.items():
        sums[segment] = sums.get(segment, ZERO) + abs(amount)
    return sums


def _gross(amounts: Iterable[Decimal]) -> Decimal:
    return sum((abs(amount) for amount in amounts), ZERO)


def _largest(parts: Mapping[str, Decimal]) -> Decimal | None:
    return max(parts.values(), default=ZERO)


def _worst(measures: Iterable[Measure]) -> Measure:
    told = list(measures)
    known = [each.value for each in told if each.value is not None]
    is_whole = all(each.complete and each.value is not None for each in told)
    return Measure(max(known, default=None if told else ZERO), is_whole)
