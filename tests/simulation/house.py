"""Desks over one exchange whose prices stand still, without a server, and the order that tests vary."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from msgspec import structs

from brokers.domain import OrderType, Product, Side, Validity
from brokers.simulation.book import Account, Book, Funds, Holding
from brokers.simulation.dealing import NewOrder
from brokers.simulation.desk import Desk
from brokers.simulation.exchange import LEVEL_LOTS, Exchange
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from tests.simulation.conftest import MovableClock

KEY, OTHER_KEY = "NSE:INFY", "BSE:INFY"
PRICE = Decimal("1500.00")
TICK = Decimal("0.10")
CASH = Decimal(1_000_000)
CRUDE = "MCX:CRUDEOIL26OCTFUT"
CALL = "NFO:NIFTY26DEC27000CE"


class House:
    """A market that stands still, an exchange, and as many desks as are asked for."""

    def __init__(self, *, depth_lots: int = LEVEL_LOTS) -> None:
        self.clock = MovableClock()
        self.market = Market(load_instruments())
        for key, price in ((KEY, PRICE), (OTHER_KEY, PRICE), (CRUDE, Decimal(6000)), (CALL, Decimal(200))):
            self.market.set_price(key, last=price, close=price)
        self.exchange = Exchange(self.market, now=self.clock, depth_lots=depth_lots)
        self.books: dict[str, Book] = {}

    def desk(self, slug: str = "zerodha", *, book: Book | None = None, most_changes: int | None = None) -> Desk:
        self.books[slug] = book or book_of()
        desk = Desk(
            slug,
            self.exchange,
            book=lambda: self.books[slug],
            now=self.clock,
            new_order_id=lambda: f"{slug}-{desk.count}",
            most_changes=most_changes,
        )
        return desk

    def price_comes_to(self, price: Decimal, key: str = KEY) -> None:
        self.market.set_price(key, last=price)
        self.exchange.prices_moved([key])

    def later(self, **by: float) -> None:
        self.clock.moment += timedelta(**by)


def book_of(*holdings: Holding, cash: Decimal = CASH) -> Book:
    account = Account(user_id="DM1", name="Demo", email="demo@example.com", mobile="9800000001")
    return Book(account=account, holdings=list(holdings), funds=Funds(opening_balance=cash))


def infy(**quantities: int) -> Holding:
    return Holding(symbol="INFY", isin="INE009A01021", exchange="NSE", average_price=Decimal(1400), **quantities)


def order(**changed: object) -> NewOrder:
    plain = NewOrder(
        key=KEY,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        product=Product.CNC,
        validity=Validity.DAY,
        quantity=10,
        price=PRICE,
        tag="t1234567",
    )
    return structs.replace(plain, **changed)
