"""The words of one merged book: what goes into `consolidate`, and the answer that comes out.

Amounts are INR, exact; an annotation says how each kind of number is written (`presentation.py`). None is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from brokers.domain import BrokerPortfolio, Exchange, OptionType, Product
from portfolio.presentation import Average, Money, Percent, Price, Quantity


class SourceState(StrEnum):
    LIVE = "LIVE"  # the broker answered just now
    STALE = "STALE"  # its last good answer, from before
    MISSING = "MISSING"  # not in the totals


class AssetClass(StrEnum):
    EQUITY = "EQUITY"
    FUND = "FUND"  # exchange-traded and mutual funds
    DEBT = "DEBT"
    OTHER = "OTHER"


class PriceState(StrEnum):
    """Whose word a share's price is, in the order in which they are believed."""

    STREAMED = "STREAMED"  # an exchange's feed told it, through whichever broker's stream
    ASKED = "ASKED"  # nothing streams it: a broker was asked for it, again and again
    HELD = "HELD"  # a broker that holds the share told it just now
    BORROWED = "BORROWED"  # another connected broker quoted it just now
    STALE = "STALE"  # from before: the last good answer of a broker that holds it


class TradeKind(StrEnum):
    DERIVATIVE = "DERIVATIVE"
    INTRADAY = "INTRADAY"
    SALE_OF_HOLDING = "SALE_OF_HOLDING"  # the sale itself, not a short: those shares have left the holdings
    CLOSED_DELIVERY = "CLOSED_DELIVERY"  # bought and sold today


# --- what goes in -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowedPrice:
    """What another broker told of a share that no live source prices; no `price` where only the close is known.

    Both are of the listing at `exchange`.
    """

    exchange: Exchange
    price: Decimal | None
    close: Decimal | None
    broker_type: str
    as_of: datetime


# An exchange, and its own number of what trades there: the same at every broker.
InstrumentKey = tuple[Exchange, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePrice:
    """The latest a stream told of one instrument. Price and close (where it told one) are of `exchange`.

    `source` is the broker whose stream it was. `stale`: that stream has fallen silent, and its price is not used.
    `asked`: no stream told it, that broker was asked for it.
    """

    exchange: Exchange
    price: Decimal
    close: Decimal | None
    source: str
    as_of: datetime
    stale: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True)
class LivePrices:
    """What streams now, one price each: shares by ISIN, and everything by its instrument."""

    shares: Mapping[str, LivePrice] = field(default_factory=dict)
    instruments: Mapping[InstrumentKey, LivePrice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """A share that no live source has a price for, or (`has_price`) one without a previous close."""

    isin: str
    has_price: bool
    exchange: Exchange
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One connection's part. `rank` is the broker's order in the registry.

    `owned_before_sales` (ISIN → quantity) is what an earlier answer showed before today's sales, for brokers whose
    holdings do not say whether a sale has left them yet.
    """

    connection_id: str
    broker_type: str
    broker_name: str
    display_name: str
    rank: int
    state: SourceState
    portfolio: BrokerPortfolio | None = None
    owned_before_sales: Mapping[str, Decimal] = field(default_factory=dict)
    funds_as_of: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    user_action: str | None = None

    @property
    def answered_at(self) -> datetime:
        """When the answer was true; only sources inside the totals are asked."""
        assert self.portfolio is not None  # noqa: S101 - for the type checker
        return self.portfolio.as_of


# --- what comes out ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPosition:
    """One broker's lots of one position. MTF shares, bought with the broker's money, are a line of their own."""

    connection_id: str
    broker_id: str
    broker_name: str
    product: Product
    quantity: Quantity
    settled_quantity: Quantity
    t1_quantity: Quantity
    pledged_quantity: Quantity
    today_quantity: Quantity
    avg_price: Average | None
    total_cost: Money | None
    current_value: Money | None
    unrealized_pnl: Money | None
    day_change: Money | None
    funded_amount: Money | None
    stale: bool
    sale_unsettled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidatedPosition:
    """One share over all brokers; `key` is its ISIN, or names a listing that nobody can match.

    `known_cost` and `known_quantity` cover the lots whose price paid is known.
    """

    key: str
    isin: str | None
    symbol: str
    exchange: Exchange
    company_name: str | None
    asset_class: AssetClass
    total_quantity: Quantity
    settled_quantity: Quantity
    t1_quantity: Quantity
    pledged_quantity: Quantity
    today_quantity: Quantity
    mtf_quantity: Quantity
    avg_price: Average | None
    current_price: Price | None
    close_price: Price | None
    price_source: str | None
    price_state: PriceState | None
    price_as_of: datetime | None
    total_cost: Money | None
    known_cost: Money
    known_quantity: Quantity
    current_value: Money | None
    unrealized_pnl: Money | None
    unrealized_pnl_percent: Percent | None
    day_change: Money | None
    day_change_percent: Percent | None
    weight_percent: Percent | None
    stale: bool
    broker_positions: tuple[BrokerPosition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingPosition:
    """A position that is not shares owned: it stays under its own broker."""

    connection_id: str
    broker_id: str
    broker_name: str
    kind: TradeKind
    exchange: Exchange
    symbol: str
    product: Product
    quantity: Quantity
    avg_price: Average | None
    current_price: Price | None
    unrealized_pnl: Money | None
    realized_pnl: Money | None
    day_pnl: Money | None
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerDerivative:
    """One broker's part of a contract. Quantities are units, signed."""

    connection_id: str
    broker_id: str
    broker_name: str
    symbol: str
    product: Product
    quantity: Quantity
    avg_price: Average | None
    unrealized_pnl: Money | None
    realized_pnl: Money | None
    day_pnl: Money | None
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidatedDerivative:
    """One contract over all brokers, at one price. `matched` is False where only a broker's own symbol names it."""

    exchange: Exchange
    symbol: str
    exchange_token: str | None
    underlying: str | None
    expiry: date | None
    strike: Price | None
    option_type: OptionType | None
    net_quantity: Quantity
    long_quantity: Quantity
    short_quantity: Quantity
    current_price: Price | None
    unrealized_pnl: Money | None
    realized_pnl: Money | None
    day_pnl: Money | None
    matched: bool
    stale: bool
    broker_positions: tuple[BrokerDerivative, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFunds:
    connection_id: str
    broker_id: str
    broker_name: str
    available: Money | None
    used: Money | None
    collateral: Money | None
    cash: Money | None
    as_of: datetime | None
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsTotal:
    """Sums over `brokers`. Collateral is margin from pledged shares, not wealth."""

    available: Money | None
    used: Money | None
    collateral: Money | None
    cash: Money | None
    complete: bool
    brokers: tuple[BrokerFunds, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerBreakdown:
    """What one connection adds to the totals; `day_change` is of its shares, `day_pnl` of its positions too."""

    connection_id: str
    broker_id: str
    broker_name: str
    display_name: str
    positions: int
    total_value: Money | None
    total_cost: Money | None
    unrealized_pnl: Money | None
    day_change: Money | None
    day_pnl: Money | None
    weight_percent: Percent | None
    as_of: datetime
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetAllocation:
    asset_class: AssetClass
    current_value: Money
    weight_percent: Percent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """One line per connection, in the totals or not, and why."""

    connection_id: str
    broker_id: str
    broker_name: str
    display_name: str
    state: SourceState
    in_totals: bool
    as_of: datetime | None
    age_seconds: int | None
    error_code: str | None
    error_message: str | None
    user_action: str | None
    unreadable_rows: int
    unreadable_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSummary:
    """Sums over `trading_positions`; None where a single row is unknown, or no source is inside."""

    unrealized_pnl: Money | None
    realized_pnl: Money | None
    day_pnl: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthParts:
    """What `net_worth` is made of: shares + cash − owed (`lent` + `bought_today`). Open positions are not in it.

    `shares` are those owned, without MTF shares whose loan is unknown (`loans_unknown` lines): as much may be owed.
    `cash_unknown` are the connections inside the totals that do not tell their cash: it is left out. Brokers do not say
    whether their cash knows of today's deals (docs/adr/0006): what was bought on balance is taken off (≥ 0; without
    what has no price, or a loan that is unknown, as `shares` is), what was sold on balance (`sold_today`, ≥ 0) is not
    added.
    """

    shares: Money | None
    cash: Money | None
    owed: Money | None
    lent: Money | None
    bought_today: Money | None
    sold_today: Money | None
    cash_unknown: tuple[str, ...]
    loans_unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PnlParts:
    """What a profit over all that is owned and open is made of, and `base`, what its percent is of.

    Lines (a broker's lots of a share under one product, a trading row) that are not known are left out and counted.
    """

    shares: Money | None
    positions: Money | None
    base: Money | None
    lines_unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the totals stand on: how many positions there are, and how many lack what.

    `unmatched_instruments`: listings and contracts that stand under their own broker, as nothing says what they are.
    `value_with_known_cost` is the part of `total_value` that `total_cost` and `unrealized_pnl` speak of.
    """

    positions: int
    without_price: int
    without_cost: int
    without_day_change: int
    sales_unsettled: int
    unreadable_rows: int
    unmatched_instruments: int
    value_with_known_cost: Money | None
    sources: int
    sources_live: int
    sources_stale: int
    sources_missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidatedPortfolio:
    """The whole book in INR. `complete` means: every source live, every row read, every position priced.

    `as_of` is the oldest answer in the totals. `mtf_funded_amount` is what brokers lent for MTF shares: it stands
    beside `total_value`, which counts those shares in full. `day_pnl` and `open_pnl` are over all that is owned and
    open, the other profits over shares alone. `net_worth` is None where no share that is held has a price.
    """

    user_id: int
    as_of: datetime | None
    last_updated: datetime
    complete: bool
    currency: str
    total_value: Money | None
    total_cost: Money | None
    unrealized_pnl: Money | None
    unrealized_pnl_percent: Percent | None
    day_change: Money | None
    day_change_percent: Percent | None
    mtf_funded_amount: Money | None
    net_worth: Money | None
    net_worth_parts: WorthParts
    day_pnl: Money | None
    day_pnl_percent: Percent | None
    day_pnl_parts: PnlParts
    open_pnl: Money | None
    open_pnl_percent: Percent | None
    open_pnl_parts: PnlParts
    coverage: Coverage
    positions: tuple[ConsolidatedPosition, ...]
    trading_positions: tuple[TradingPosition, ...]
    derivatives: tuple[ConsolidatedDerivative, ...]
    trading: TradingSummary
    broker_breakdown: tuple[BrokerBreakdown, ...]
    asset_allocation: tuple[AssetAllocation, ...]
    funds: FundsTotal
    sources: tuple[SourceReport, ...]
