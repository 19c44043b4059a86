"""A simulated trader's account at one broker, in words no broker owns.

Dialects render a `Book` to their wire rows; the demo account of a broker is book.json in its package. The books
overlap on purpose: the same company at several brokers, NSE here and BSE there, bought yesterday at one,
pledged at another, a share whose price nobody remembers, a financed one, one partly sold this morning.
All money is in rupees; numbers are exact decimals (strings in JSON).
"""

from __future__ import annotations

from decimal import Decimal
from importlib.resources import files

import msgspec

BOOK_FILE = "book.json"
ZERO = Decimal(0)


class Account(msgspec.Struct):
    """Who owns the book. `user_id` is the client code that the broker's profile call answers."""

    user_id: str
    name: str
    email: str
    mobile: str


class Financed(msgspec.Struct):
    """Shares bought with the broker's money (MTF): they stand beside every other quantity."""

    quantity: int
    average_price: Decimal
    initial_margin: Decimal


class Holding(msgspec.Struct):
    """One share in demat. `settled`, `t1` and `pledged` never overlap; owned = their sum.

    `settled` is free, delivered and still owned: today's sale (`used_today`) is already taken off.
    `average_price` None: the broker does not know what was paid. `symbol` is the listing's at `exchange`.
    """

    symbol: str
    isin: str
    exchange: str
    settled: int = 0
    t1: int = 0
    pledged: int = 0
    used_today: int = 0
    average_price: Decimal | None = None
    mtf: Financed | None = None
    opening: int | None = None

    @property
    def key(self) -> str:
        return f"{self.exchange}:{self.symbol}"

    @property
    def owned(self) -> int:
        return self.settled + self.t1 + self.pledged

    @property
    def opening_quantity(self) -> int:
        """What was carried overnight and was not pledged, before today's sale."""
        return self.opening if self.opening is not None else self.settled + self.t1 + self.used_today


class Position(msgspec.Struct):
    """Today's dealing in, or the carried quantity of, one instrument and product.

    `product` is CNC, MIS, NRML or MTF. Quantities are units, but lots on MCX; `overnight_quantity` is signed.
    The totals are there where orders were filled here: sums of fills, which an average price could not give back
    exactly. `margin`: what those fills block of the funds.
    """

    symbol: str
    exchange: str
    product: str
    overnight_quantity: int = 0
    overnight_price: Decimal = ZERO
    day_buy_quantity: int = 0
    day_buy_price: Decimal = ZERO
    day_sell_quantity: int = 0
    day_sell_price: Decimal = ZERO
    day_buy_total: Decimal | None = None
    day_sell_total: Decimal | None = None
    margin: Decimal = ZERO

    @property
    def key(self) -> str:
        return f"{self.exchange}:{self.symbol}"

    @property
    def quantity(self) -> int:
        return self.overnight_quantity + self.day_buy_quantity - self.day_sell_quantity

    @property
    def overnight_buy_quantity(self) -> int:
        return max(self.overnight_quantity, 0)

    @property
    def overnight_sell_quantity(self) -> int:
        return max(-self.overnight_quantity, 0)

    @property
    def day_buy_value(self) -> Decimal:
        return self.day_buy_quantity * self.day_buy_price if self.day_buy_total is None else self.day_buy_total

    @property
    def day_sell_value(self) -> Decimal:
        return self.day_sell_quantity * self.day_sell_price if self.day_sell_total is None else self.day_sell_total

    @property
    def buy_quantity(self) -> int:
        return self.overnight_buy_quantity + self.day_buy_quantity

    @property
    def buy_value(self) -> Decimal:
        return self.overnight_buy_quantity * self.overnight_price + self.day_buy_value

    @property
    def buy_price(self) -> Decimal:
        return self.buy_value / self.buy_quantity if self.buy_quantity else ZERO

    @property
    def sell_quantity(self) -> int:
        return self.overnight_sell_quantity + self.day_sell_quantity

    @property
    def sell_value(self) -> Decimal:
        return self.overnight_sell_quantity * self.overnight_price + self.day_sell_value

    @property
    def sell_price(self) -> Decimal:
        return self.sell_value / self.sell_quantity if self.sell_quantity else ZERO

    @property
    def average_price(self) -> Decimal:
        """Average of the open side; 0 when flat."""
        if self.quantity == 0:
            return ZERO
        return self.buy_price if self.quantity > 0 else self.sell_price


class Funds(msgspec.Struct):
    """Cash and margin, rupees. `withdrawn_today` is positive.

    `received_today` is signed: proceeds of shares, premiums, and what closed positions brought. `used_orders`: blocked
    by orders that stand; the desk keeps it.
    """

    opening_balance: Decimal = ZERO
    added_today: Decimal = ZERO
    withdrawn_today: Decimal = ZERO
    received_today: Decimal = ZERO
    used_orders: Decimal = ZERO
    used_span: Decimal = ZERO
    used_exposure: Decimal = ZERO
    used_delivery: Decimal = ZERO
    used_mtf: Decimal = ZERO
    collateral: Decimal = ZERO
    collateral_used: Decimal = ZERO

    @property
    def cash(self) -> Decimal:
        return self.opening_balance + self.added_today - self.withdrawn_today + self.received_today

    @property
    def cash_used(self) -> Decimal:
        return self.used_span + self.used_exposure + self.used_delivery + self.used_mtf + self.used_orders

    @property
    def used(self) -> Decimal:
        return self.cash_used + self.collateral_used

    @property
    def available(self) -> Decimal:
        return self.cash + self.collateral - self.used


class Book(msgspec.Struct):
    """Everything one broker knows of its customer."""

    account: Account
    holdings: list[Holding] = []
    positions: list[Position] = []
    funds: Funds = msgspec.field(default_factory=Funds)

    @property
    def keys(self) -> list[str]:
        """The listings it holds or deals in."""
        return [row.key for row in self.holdings] + [row.key for row in self.positions]

    @property
    def financed(self) -> list[Position]:
        """The MTF lines of the holdings as carried MTF positions, which some wires list them as."""
        return [
            Position(
                symbol=row.symbol,
                exchange=row.exchange,
                product="MTF",
                overnight_quantity=row.mtf.quantity,
                overnight_price=row.mtf.average_price,
            )
            for row in self.holdings
            if row.mtf
        ]

    def emptied(self) -> Book:
        """Return the same customer with nothing in the account."""
        return Book(account=self.account)


def demo_book(package: str) -> Book:
    """Read the demo account of a broker from book.json in its package, e.g. `brokers.zerodha`.

    Raises FileNotFoundError, or what `book_from_json` raises.
    """
    return book_from_json(files(package).joinpath(BOOK_FILE).read_bytes())


def book_from_json(document: bytes) -> Book:
    """Read a book from JSON; keys it does not know are ignored, money may be a string or an exact number.

    Raises msgspec.ValidationError, naming the path of the wrong value; msgspec.DecodeError for no JSON.
    """
    return msgspec.json.decode(document, type=Book)
