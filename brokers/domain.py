"""The words every other room speaks: what a broker account holds, whichever broker keeps it.

A broker package translates its wire into these frozen dataclasses; nothing past `mapping.py` sees a wire dict.
Quantities are units (never lots), money is INR, both exact `Decimal`; `None` means *unknown*, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from brokers.secret import Secret

ZERO = Decimal(0)


class Exchange(StrEnum):
    NSE = "NSE"
    BSE = "BSE"
    NFO = "NFO"
    BFO = "BFO"
    CDS = "CDS"
    BCD = "BCD"
    MCX = "MCX"
    NCO = "NCO"  # NSE's commodity segment


class Segment(StrEnum):
    EQUITY = "EQUITY"
    FNO = "FNO"
    CURRENCY = "CURRENCY"
    COMMODITY = "COMMODITY"


SEGMENT_OF: dict[Exchange, Segment] = {
    Exchange.NSE: Segment.EQUITY,
    Exchange.BSE: Segment.EQUITY,
    Exchange.NFO: Segment.FNO,
    Exchange.BFO: Segment.FNO,
    Exchange.CDS: Segment.CURRENCY,
    Exchange.BCD: Segment.CURRENCY,
    Exchange.MCX: Segment.COMMODITY,
    Exchange.NCO: Segment.COMMODITY,
}


class Product(StrEnum):
    CNC = "CNC"  # delivery
    MIS = "MIS"  # intraday
    NRML = "NRML"  # carried forward
    MTF = "MTF"  # delivery, funded by the broker
    CO = "CO"  # cover and bracket orders: old rows only
    BO = "BO"


DELIVERY_PRODUCTS = frozenset({Product.CNC, Product.MTF})


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL_M"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class Validity(StrEnum):
    DAY = "DAY"
    IOC = "IOC"
    TTL = "TTL"  # so many minutes
    GTC = "GTC"
    GTD = "GTD"
    EOS = "EOS"  # to the end of the session


class OrderStatus(StrEnum):
    SENDING = "SENDING"
    PENDING = "PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"  # a status we cannot read: never taken for an end


class OptionType(StrEnum):
    CE = "CE"
    PE = "PE"


class InstrumentKind(StrEnum):
    EQUITY = "EQUITY"  # shares, ETFs, bonds: what has an ISIN
    INDEX = "INDEX"
    FUTURE = "FUTURE"
    OPTION = "OPTION"


class ConnectionStatus(StrEnum):
    CONNECTED = "CONNECTED"
    DISCONNECTED = "DISCONNECTED"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a status, not a secret
    RATE_LIMITED = "RATE_LIMITED"
    MAINTENANCE = "MAINTENANCE"
    ERROR = "ERROR"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Whose account a session opens, and what it may do there. None: the broker does not say.

    `debit_authorised`: a PoA or DDPI stands, so that a sale of shares needs no authorisation of its own.
    """

    account_id: str
    name: str
    exchanges: tuple[Exchange, ...] | None = None
    products: tuple[Product, ...] | None = None
    order_types: tuple[OrderType, ...] | None = None
    debit_authorised: bool | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a derivative is, whoever names it. A future has neither strike nor option type; the strike is in INR."""

    underlying: str
    expiry: date
    strike: Decimal | None = None
    option_type: OptionType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One row of a broker's master: what trades where, and what this broker calls it.

    `exchange_token` is the exchange's own number, the same at every broker (for a derivative: until it expires).
    `lot_size` is in units, `tick_size` in INR; `multiplier` is the units in a lot where the broker counts lots.
    `freeze_quantity` is the largest single order in units, the last that passes. `cas_eligible`: the share closes by
    the closing auction.
    """

    exchange: Exchange
    kind: InstrumentKind
    tradingsymbol: str
    broker_token: str
    exchange_token: str | None = None
    isin: str | None = None
    name: str | None = None
    contract: Contract | None = None
    lot_size: Decimal | None = None
    tick_size: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    freeze_quantity: Decimal | None = None
    series: str | None = None
    cas_eligible: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Shares in one demat account, one line per listing and product.

    The three quantities never overlap; their sum is what is owned. `used_quantity` is the part of them sold, or
    blocked for sale, today; `sales_deducted` says whether the three are already net of it (None: the wire cannot
    tell, see `portfolio.consolidate.settle_sales`). `funded_amount` is the broker's loan on an MTF line.
    """

    exchange: Exchange
    tradingsymbol: str
    isin: str | None
    broker_token: str
    product: Product = Product.CNC
    settled_quantity: Decimal
    t1_quantity: Decimal = ZERO
    pledged_quantity: Decimal = ZERO
    used_quantity: Decimal = ZERO
    sales_deducted: bool | None = True
    average_price: Decimal | None
    last_price: Decimal | None
    close_price: Decimal | None
    funded_amount: Decimal | None = None
    company_name: str | None = None

    @property
    def owned_quantity(self) -> Decimal:
        return self.settled_quantity + self.t1_quantity + self.pledged_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A net position: today's trade, or a derivative carried over. `quantity` is signed; a closed row has 0.

    Values are INR over the whole life of the row (`buy_value`, `sell_value`) and over today alone (`day_*`).
    Two brokers' rows are the same contract if exchange and `exchange_token`, or exchange and `contract`, are the same.
    """

    exchange: Exchange
    tradingsymbol: str
    isin: str | None
    broker_token: str
    product: Product
    quantity: Decimal
    overnight_quantity: Decimal
    average_price: Decimal | None
    last_price: Decimal | None
    close_price: Decimal | None
    buy_value: Decimal
    sell_value: Decimal
    day_buy_quantity: Decimal
    day_buy_value: Decimal
    day_sell_quantity: Decimal
    day_sell_value: Decimal
    exchange_token: str | None = None
    contract: Contract | None = None
    company_name: str | None = None

    @property
    def segment(self) -> Segment:
        return SEGMENT_OF[self.exchange]

    @property
    def is_delivery(self) -> bool:
        """Shares bought or sold for keeps: they belong to the holdings of the book, not beside them."""
        return self.segment is Segment.EQUITY and self.product in DELIVERY_PRODUCTS

    @property
    def pnl(self) -> Decimal | None:
        """Booked and open profit together: sold − bought + what is open at the last price."""
        open_value = self._open_value()
        return None if open_value is None else self.sell_value - self.buy_value + open_value

    @property
    def unrealised(self) -> Decimal | None:
        if self.quantity == 0:
            return ZERO
        if self.average_price is None or self.last_price is None:
            return None
        return self.quantity * (self.last_price - self.average_price)

    @property
    def realised(self) -> Decimal | None:
        if self.pnl is None or self.unrealised is None:
            return None
        return self.pnl - self.unrealised

    @property
    def day_pnl(self) -> Decimal | None:
        """Today's profit: the carried part is measured from the previous close, today's trades from their prices."""
        open_value = self._open_value()
        if open_value is None:
            return None
        carried_value = ZERO
        if self.overnight_quantity:
            if self.close_price is None:
                return None
            carried_value = self.overnight_quantity * self.close_price
        return self.day_sell_value - self.day_buy_value + open_value - carried_value

    def _open_value(self) -> Decimal | None:
        if self.quantity == 0:
            return ZERO
        return None if self.last_price is None else self.quantity * self.last_price


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """An order as its broker's book shows it. Quantities are units; prices INR, None where there is none (yet)."""

    broker_order_id: str
    exchange_order_id: str | None
    exchange: Exchange
    tradingsymbol: str
    broker_token: str
    side: Side
    order_type: OrderType
    product: Product
    validity: Validity
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    average_price: Decimal | None
    status: OrderStatus
    status_message: str | None
    tag: str | None
    placed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTrade:
    """One fill. `trade_id` is unique only together with exchange, order and day."""

    trade_id: str
    broker_order_id: str
    exchange: Exchange
    tradingsymbol: str
    broker_token: str
    side: Side
    product: Product
    quantity: Decimal
    price: Decimal
    traded_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """INR. `collateral` is margin from pledged shares: not wealth, those shares are already counted.

    `cash` is the money in the account before anything is blocked of it: a margin in use leaves it as it is.
    """

    available: Decimal | None
    used: Decimal | None
    collateral: Decimal | None
    cash: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The last price of one listing, and the previous day's close."""

    exchange: Exchange
    broker_token: str
    last_price: Decimal | None
    close_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """What one listing did on one trading day (IST). INR per unit and units; `volume` None: the broker does not say.

    `close_price` is that day's own. Prices may be adjusted for splits and bonuses, as the broker does it.
    """

    day: date
    open_price: Decimal
    high_price: Decimal
    low_price: Decimal
    close_price: Decimal
    volume: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a quote is asked for: where a share trades and what the broker calls it there."""

    exchange: Exchange
    tradingsymbol: str
    broker_token: str
    isin: str | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """What prices are streamed of: a listing, contract or index by the exchange's own number, the same at every broker.

    `isin` is there for shares, `index_name` (such as "Nifty 50") for indices: some brokers' names are made of them.
    """

    exchange: Exchange
    exchange_token: str
    isin: str | None = None
    index_name: str | None = None


class Level(NamedTuple):
    """One step of an order book."""

    price: Decimal
    quantity: Decimal
    orders: int | None = None


class Tick(NamedTuple):
    """What a stream told of one instrument at one moment. INR and units; None: not told, never zero.

    `close_price` is the previous day's. `at` is the exchange's time, UTC. (A tuple and not a dataclass: one is made for
    every packet of every stream.)
    """

    exchange: Exchange
    exchange_token: str
    last_price: Decimal
    close_price: Decimal | None = None
    at: datetime | None = None
    open_price: Decimal | None = None
    high_price: Decimal | None = None
    low_price: Decimal | None = None
    average_price: Decimal | None = None
    volume: Decimal | None = None
    last_quantity: Decimal | None = None
    traded_at: datetime | None = None
    buy_quantity: Decimal | None = None
    sell_quantity: Decimal | None = None
    open_interest: Decimal | None = None
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Postback:
    """Whose order a broker's postback says has changed: a hint to read the account's orders, and nothing to believe.

    `broker_order_id` is None where it tells of something else, `account_id` where it does not say. `is_genuine`:
    whether its signature is the broker's; None: this broker does not sign.
    """

    broker_order_id: str | None
    account_id: str | None
    is_genuine: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A row that could not be read: which list, which row, which field. It never quotes the row."""

    part: str
    row: int
    field: str


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """What a list became: the rows that could be read, and a problem for each that could not."""

    items: tuple[T, ...]
    problems: tuple[RowProblem, ...] = ()

    def __add__(self, other: Rows[T]) -> Rows[T]:
        return Rows(self.items + other.items, self.problems + other.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPortfolio:
    """One account's whole answer, true at `as_of`. `funds` is None when the broker would not say."""

    as_of: datetime
    holdings: tuple[Holding, ...] = ()
    positions: tuple[Position, ...] = ()
    funds: Funds | None = None
    problems: tuple[RowProblem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCredentials:
    """The trader's own API app at a broker; `extra` holds what only one broker asks for, by its field's name."""

    api_key: Secret
    api_secret: Secret
    extra: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a login yields. `expires_at` is the last instant it can live; most die early next morning.

    `feed_token` opens the broker's market data where that needs a token of its own. `facts` are plain things a later
    call must repeat, such as the kind of account.
    """

    access_token: Secret
    refresh_token: Secret | None = None
    feed_token: Secret | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None
    account_id: str | None = None
