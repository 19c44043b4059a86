"""The merged book as the checks before an order need it: from the brokers' last answers, asking nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from accounts.models import User
from brokers.domain import ZERO, OptionType
from brokers.wire import IST
from market.sectors import sector_of
from orders.risk_words import AccountRisk, BookRisk
from portfolio.domain import Source, SourceState
from portfolio.risk.book import risk_book
from portfolio.risk.directory import Directory
from portfolio.risk.equity import book_equity, equities
from portfolio.risk.errors import RiskError
from portfolio.risk.exposure import Exposed, exposed, sector
from portfolio.risk.performance import drawdown, unit_values
from portfolio.risk.words import Kind, Purse, RiskBook
from portfolio.risk_models import EquityDay
from portfolio.risk_rows import directory_of
from portfolio.sums import percent

FINEST = Decimal("0.000001")
# For so long the last good answer of an account that does not answer now tells of its day.
STANDS_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Valued:
    """A book with its lines valued, and what is added up of them by instrument, issuer and sector."""

    book: RiskBook
    directory: Directory
    instruments: Mapping[str, Decimal | None]
    issuers: Mapping[str, Decimal | None]
    sectors: Mapping[str, Decimal | None]
    by_segment: Mapping[str, Decimal]
    equity: Decimal | None
    day_loss: Decimal | None
    drawdown_pct: Decimal | None
    complete: bool
    whole: bool
    day_known: bool
    day_whole: bool

    def accounts(self) -> dict[str, AccountRisk]:
        return {
            purse.connection_id: AccountRisk(used=purse.used, available=purse.available) for purse in self.book.purses
        }

    def around(self, instrument: str, issuer: str, sector_key: str) -> BookRisk:
        """What the book has in these, and all of it."""
        day_loss = self.day_loss
        return BookRisk(
            gross=None if None in self.instruments.values() else _sizes(self.instruments.values()),
            issuers=_sizes(self.issuers.values()),
            sectors=_sizes(self.sectors.values()),
            by_segment=self.by_segment,
            instrument=self.instruments.get(instrument, ZERO),
            issuer=self.issuers.get(issuer, ZERO),
            sector=self.sectors.get(sector_key, ZERO),
            equity=self.equity,
            day_loss=None if day_loss is None else max(ZERO, day_loss),
            day_loss_pct=_loss_pct(day_loss, self.equity),
            drawdown_pct=self.drawdown_pct,
            complete=self.complete,
            whole=self.whole,
            day_known=self.day_known,
            day_whole=self.day_whole,
        )


def valued(user: User, sources: Sequence[Source], now: datetime) -> Valued:
    """At the prices that the brokers told; an option moves with its whole underlying, as `risk.quick` has it."""
    today = now.astimezone(IST).date()
    directory = directory_of(sources, today=today, sector_of=sector_of)
    book = risk_book(sources, now=now, directory=directory)
    rows = exposed(book, _full_deltas(book))
    worth = book_equity(list(equities(book).values()))
    gain = book.day_pnl if book.day_pnl is not None else book.known_day_pnl
    return Valued(
        book=book,
        directory=directory,
        instruments=_by(rows, [row.line.instrument for row in rows]),
        issuers=_by(rows, [row.line.issuer for row in rows]),
        sectors=_by(rows, [sector(row.line)[0] for row in rows]),
        by_segment=_by_segment(rows),
        equity=worth.amount,
        day_loss=None if gain is None else -gain,
        drawdown_pct=drawdown_pct(user, worth.amount, now),
        complete=worth.complete and all(purse.state is SourceState.LIVE for purse in book.purses),
        whole=not book.unreadable and all(purse.state is not SourceState.MISSING for purse in book.purses),
        day_known=not book.unreadable and all(_tells_of_now(each, now) for each in book.purses),
        day_whole=book.day_pnl is not None,
    )


def _tells_of_now(purse: Purse, now: datetime) -> bool:
    return purse.state is SourceState.LIVE or (purse.as_of is not None and now - purse.as_of <= STANDS_FOR)


def _full_deltas(book: RiskBook) -> dict[str, Decimal]:
    return {
        line.instrument: Decimal(-1 if line.option_type is OptionType.PE else 1)
        for line in book.lines
        if line.kind is Kind.OPTION
    }


def _by(rows: Iterable[Exposed], keys: Iterable[str]) -> dict[str, Decimal | None]:
    """Signed sums; None where a part has no price."""
    sums: dict[str, Decimal | None] = {}
    for row, key in zip(rows, keys, strict=True):
        so_far = sums.get(key, ZERO)
        sums[key] = None if so_far is None or row.amount is None else so_far + row.amount
    return sums


def _by_segment(rows: Iterable[Exposed]) -> dict[str, Decimal]:
    nets: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        key = (row.line.segment.value, row.line.instrument)
        nets[key] = nets.get(key, ZERO) + (row.amount or ZERO)
    sums: dict[str, Decimal] = {}
    for (segment, _), amount in nets.items():
        sums[segment] = sums.get(segment, ZERO) + abs(amount)
    return sums


def _sizes(amounts: Iterable[Decimal | None]) -> Decimal:
    """Without what has no price."""
    return sum((abs(amount) for amount in amounts if amount is not None), ZERO)


def _loss_pct(day_loss: Decimal | None, equity: Decimal | None) -> Decimal | None:
    """Of what the day began with."""
    if day_loss is None:
        return None
    if day_loss <= 0:
        return ZERO
    return None if equity is None or equity + day_loss <= 0 else percent(day_loss, equity + day_loss)


def drawdown_pct(user: User, equity: Decimal | None, now: datetime) -> Decimal | None:
    """How far the unit value is below its highest, today's equity included. Without any day before: not at all."""
    if equity is None:
        return None
    today = now.astimezone(IST).date()
    days = EquityDay.objects.filter(user=user, complete=True, equity__gt=0, day__lt=today).order_by("day")
    rows = list(days.values_list("equity", "cash_flow"))
    flow = EquityDay.objects.filter(user=user, day=today).values_list("cash_flow", flat=True).first() or ZERO
    if not rows:
        return ZERO
    worth = np.array([float(each) for each, _ in rows] + [float(equity)])
    flows = np.array([float(each) for _, each in rows] + [float(flow)])
    try:
        fallen = drawdown(unit_values(worth, flows)).series[-1]
    except RiskError:
        return None
    return Decimal(repr(-float(fallen) * 100 or 0.0)).quantize(FINEST)
