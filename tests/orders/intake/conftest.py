"""Alice, whose two accounts may trade and say what they hold, on a day on which the market is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest

from accounts.models import User
from brokers.domain import (
    BrokerPortfolio,
    Exchange,
    Funds,
    Holding,
    OrderType,
    Position,
    Product,
    Segment,
    Side,
)
from brokers.models import BrokerConnection
from brokers.shared import redis
from market.models import DayKind, Instrument, MarketDay
from market.pricing import Price
from market.publishing import ALIVE, SEQUENCE
from orders import intake, sending
from orders.facts import Wanted
from orders.models import OrderIntent
from orders.rates import fill_empty_tables
from portfolio.models import BrokerSnapshot
from tests.orders.conftest import NOW
from tests.orders.fakes import Desks

TOKENS = {"zerodha": "zerodha|1594", "upstox": "upstox|1594"}
# A price that is told every second is of now, whenever that is in a test.
LATE = NOW + timedelta(hours=6)
Books = dict[str, BrokerPortfolio]


def no_pause(seconds: float) -> None:
    """Slices in a test follow one another at once."""


@pytest.fixture(autouse=True)
def _rates(db: None) -> None:
    fill_empty_tables()


@pytest.fixture(autouse=True)
def _open_market(db: None) -> None:
    sessions = [{"phase": "CONTINUOUS", "from": "09:15", "until": "15:30"}]
    for exchange in ("NSE", "BSE"):
        MarketDay.objects.update_or_create(
            exchange=exchange, date=NOW.date(), defaults={"kind": DayKind.OPEN, "sessions": sessions}
        )


@pytest.fixture
def accounts(accounts: dict[str, BrokerConnection]) -> dict[str, BrokerConnection]:
    """As after a login: in session, with shares enabled and a DDPI."""
    capabilities = {
        "exchanges_told": True,
        "segments": [Segment.EQUITY.value],
        "debit_authorised": True,
    }
    for row in accounts.values():
        row.session_number, row.capabilities, row.registered_ip = 1, capabilities, "192.0.2.1"
        row.save()
    return accounts


@pytest.fixture(autouse=True)
def _registered(settings: Any) -> None:
    settings.EGRESS_IP = "192.0.2.1"


def holding(broker: str, quantity: int, **changed: Any) -> Holding:
    return replace(
        Holding(
            exchange=Exchange.NSE,
            tradingsymbol="INFY",
            isin="INE009A01021",
            broker_token=TOKENS[broker],
            settled_quantity=Decimal(quantity),
            average_price=Decimal(1400),
            last_price=Decimal(1500),
            close_price=Decimal(1490),
        ),
        **changed,
    )


def position(broker: str, quantity: int, product: Product = Product.MIS) -> Position:
    nothing = Decimal(0)
    return Position(
        exchange=Exchange.NSE,
        tradingsymbol="INFY",
        isin="INE009A01021",
        broker_token=TOKENS[broker],
        product=product,
        quantity=Decimal(quantity),
        overnight_quantity=nothing,
        average_price=Decimal(1500),
        last_price=Decimal(1500),
        close_price=Decimal(1490),
        buy_value=nothing,
        sell_value=nothing,
        day_buy_quantity=nothing,
        day_buy_value=nothing,
        day_sell_quantity=nothing,
        day_sell_value=nothing,
    )


Told = Callable[..., None]


@pytest.fixture
def told(accounts: dict[str, BrokerConnection]) -> Told:
    """What a broker answered a moment ago."""

    def tell(broker: str, *, cash: int | None = 1_000_000, at: datetime = NOW, **parts: Any) -> None:
        free = None if cash is None else Decimal(cash)
        book = BrokerPortfolio(
            as_of=at, funds=Funds(available=free, used=Decimal(0), collateral=None, cash=free), **parts
        )
        BrokerSnapshot.objects.update_or_create(
            connection=accounts[broker],
            defaults={"payload": msgspec.json.encode(book).decode(), "as_of": at, "funds_as_of": at},
        )

    for broker in accounts:
        tell(broker)
    return tell


@pytest.fixture(autouse=True)
def last_price() -> Any:
    """Set the price that a stream stands for; it is told again and again. Until then INFY is dealt in at 1500."""
    told = list[str]()

    def set_price(price: str, exchange: str = "NSE", token: str = "1594", at: datetime = LATE) -> None:
        row = Price(
            exchange=Exchange(exchange),
            exchange_token=token,
            last_price=Decimal(price),
            close_price=Decimal(1490),
            as_of=at,
            source="zerodha",
            stale=False,
        )
        redis().set(f"price:{exchange}:{token}", b"1\n" + msgspec.json.encode(row, enc_hook=str))
        redis().set(SEQUENCE, 1)
        redis().set(ALIVE, 1)
        told.extend((f"price:{exchange}:{token}", SEQUENCE, ALIVE))

    set_price("1500")
    yield set_price
    redis().delete(*told)


@pytest.fixture
def no_price(last_price: Any) -> None:
    """Nobody tells what it costs."""
    redis().delete("price:NSE:1594")


def buy(instrument: Instrument, quantity: int = 10, **changed: Any) -> Wanted:
    return replace(
        Wanted(
            instrument_id=instrument.pk,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            product=Product.CNC,
            quantity=Decimal(quantity),
            price=Decimal("1500.05"),
        ),
        **changed,
    )


Place = Callable[..., intake.Taken]


@pytest.fixture
def send(desks: Desks) -> intake.Send:
    """As `sending.send`, to brokers in memory."""
    return partial(sending.send, clients=desks, pause=no_pause)


@pytest.fixture
def place(alice: User, send: intake.Send, told: Told) -> Place:
    def placed(*wanted: Wanted, key: str = "key-00001", now: datetime = NOW, **more: Any) -> intake.Taken:
        return intake.create(user=alice, wanted=wanted, key=key, now=now, send=send, **more)

    return placed


def only(taken: intake.Taken) -> OrderIntent:
    (intent,) = taken.intents
    return intent
