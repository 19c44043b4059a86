"""The words of risk: one book over all brokers, normalised, and the market that it is judged in. Pure.

Amounts are INR and exact; quantities are units, signed. None is unknown: it is said, counted, and never taken for zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from brokers.domain import Exchange, OptionType, Product, Segment
from portfolio.domain import SourceState


class Kind(StrEnum):
    SPOT = "SPOT"  # owned, or held intraday: shares, funds, bonds
    FUTURE = "FUTURE"
    OPTION = "OPTION"


class RiskClass(StrEnum):
    """What moves it. Of a derivative: what its underlying is."""

    EQUITY = "EQUITY"
    INDEX = "INDEX"
    FUND = "FUND"
    DEBT = "DEBT"
    CURRENCY = "CURRENCY"
    COMMODITY = "COMMODITY"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One instrument at one account under one product.

    `instrument` nets across brokers: the ISIN of a share, else the identity of a contract
    (`NFO|NIFTY|2026-12-29|27000|CE`), else `connection|exchange|symbol` where nobody can match it. `issuer` is the ISIN
    of the share itself or of a derivative's underlying, the underlying's name where that is no share, and the
    instrument where nothing else is known. `factor` is the name of the price history that moves it (of a derivative its
    underlying's). `underlying_price` is what a derivative hangs on: the spot, or a future (`underlying_is_future`), the
    one that ends at `underlying_expiry`: of a commodity later than its option. The four parts of `units` are of shares
    owned alone: `settled`, `t1`, `pledged`, `funded` (MTF); what remains was bought today. `loan` is what the broker
    lent for them.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    kind: Kind
    instrument: str
    issuer: str
    factor: str
    symbol: str
    name: str | None
    exchange: Exchange
    segment: Segment
    product: Product
    risk_class: RiskClass
    units: Decimal
    price: Decimal | None
    close_price: Decimal | None = None
    average_price: Decimal | None = None
    as_of: datetime
    sector: str | None = None
    underlying: str = ""
    underlying_price: Decimal | None = None
    underlying_is_future: bool = False
    underlying_expiry: date | None = None
    expiry: date | None = None
    strike: Decimal | None = None
    option_type: OptionType | None = None
    lot_size: Decimal | None = None
    series: str = ""
    is_intraday: bool = False
    settled: Decimal = Decimal(0)
    t1: Decimal = Decimal(0)
    pledged: Decimal = Decimal(0)
    funded: Decimal = Decimal(0)
    loan: Decimal | None = None
    unrealised: Decimal | None = None
    day_pnl: Decimal | None = None
    stale: bool = False

    @property
    def value(self) -> Decimal | None:
        """Signed market value: units at the last price. Of an option that is its premium, of a future its notional."""
        return None if self.price is None else self.units * self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """One account's money, as the broker told it at `as_of`. `state` MISSING: nothing is known of this account.

    `unsettled` is what today's deals do to its worth and `cash` does not know yet, signed (`portfolio.risk.equity`).
    `day_pnl` is the account's day, with what was closed in it; None: not wholly known. `known_day_pnl` is the part of
    it that is known, None where nothing is.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    display_name: str
    state: SourceState
    as_of: datetime | None
    cash: Decimal | None = None
    available: Decimal | None = None
    used: Decimal | None = None
    collateral: Decimal | None = None
    unsettled: Decimal | None = None
    day_pnl: Decimal | None = None
    known_day_pnl: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskBook:
    """Everything that is held, one line per instrument, account and product; and the purses of all accounts.

    `day_pnl` is of the whole book, with what was closed today; None: not wholly known. `known_day_pnl` is the part of
    it that is known, None where nothing is. `unreadable`: rows that no broker's answer could be read from.
    """

    now: datetime
    lines: tuple[Line, ...]
    purses: tuple[Purse, ...]
    day_pnl: Decimal | None = None
    known_day_pnl: Decimal | None = None
    unreadable: int = 0

    @property
    def missing(self) -> tuple[Purse, ...]:
        return tuple(purse for purse in self.purses if purse.state is SourceState.MISSING)

    @property
    def as_of(self) -> datetime | None:
        """The oldest of its parts."""
        return min((purse.as_of for purse in self.purses if purse.as_of is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a figure stands on. `gross` is the value that could be judged; `proxied_pct` of it moves by another's
    history; `unvalued` lines have no price at all. `complete`: every account live, every line valued, none proxied.
    """

    complete: bool
    as_of: datetime | None
    accounts: int
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    lines: int
    unvalued: int
    gross: Decimal | None
    proxied_pct: Decimal | None
    unmodelled_pct: Decimal | None
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Daily closes of one factor, oldest first, each with its day; adjusted for splits as far as the source does it.

    `proxy` names what its returns are taken from where it has too few of its own; `beta` to it then. A proxy that has
    no history here gave these very closes.
    """

    factor: str
    days: tuple[date, ...]
    closes: tuple[Decimal, ...]
    volumes: tuple[Decimal | None, ...] = ()
    proxy: str | None = None
    beta: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """What a book is judged in. `histories` by factor; `index` is the factor that betas are measured against.

    `rate` is the yearly risk-free rate as a ratio (0.0525: the repo rate), `index_lot` the units of its future's lot.
    `breaks`: days, by factor, whose return is none, such as that of a split which the source did not adjust for.
    """

    index: str
    rate: Decimal
    histories: Mapping[str, History] = field(default_factory=dict)
    index_level: Decimal | None = None
    index_lot: Decimal | None = None
    trading_days: tuple[date, ...] = ()
    breaks: Mapping[str, frozenset[date]] = field(default_factory=dict)
