"""What orders do to an account is what every broker's own calls tell of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from brokers import registry
from brokers.domain import Exchange, Position, Product
from tests.contract.live import LiveBroker, read

PAISA = Decimal("0.01")
PRICE = Decimal("1800.00")
TICK = Decimal("0.10")
CALL, CALL_PRICE = "NIFTY26DEC27000CE", Decimal("180.00")

every_broker = pytest.mark.parametrize("slug", registry.slugs())


@pytest.fixture
def rich(live: LiveBroker) -> Iterator[LiveBroker]:
    """One broker whose customer has money, free shares of TCS, and no other row in the way."""
    book = live.control.book(live.slug)
    prices = {key: live.control.market()["prices"][key] for key in ("NSE:TCS", f"NFO:{CALL}")}
    tcs = {"symbol": "TCS", "isin": "INE467B01029", "exchange": "NSE", "settled": 40, "average_price": "1500"}
    live.control.set_book(
        live.slug,
        {"account": book["account"], "holdings": [tcs], "positions": [], "funds": {"opening_balance": "2000000.00"}},
    )
    live.control.set_price("NSE", PRICE, symbol="TCS", close_price=PRICE)
    live.control.set_price("NFO", CALL_PRICE, symbol=CALL, close_price=CALL_PRICE)
    yield live
    live.control.reset_exchange()
    for key, price in prices.items():
        exchange, symbol = key.split(":")
        live.control.set_price(exchange, price["last"], symbol=symbol, close_price=price["close"])


def tcs(**changed: Any) -> dict[str, Any]:
    plain = {"key": "NSE:TCS", "side": "BUY", "order_type": "LIMIT", "product": "MIS", "validity": "DAY"}
    return {**plain, "quantity": 10, "price": str(PRICE), **changed}


def option(**changed: Any) -> dict[str, Any]:
    return tcs(key=f"NFO:{CALL}", product="NRML", quantity=65, price=str(CALL_PRICE), **changed)


def position(live: LiveBroker, exchange: Exchange, product: Product) -> Position:
    rows = read(live.client(live.log_in())).positions
    [found] = [row for row in rows if (row.exchange, row.product) == (exchange, product)]
    return found


def assert_funds_agree(live: LiveBroker) -> None:
    told, funds = live.client(live.log_in()).funds(), live.book().funds
    assert told.available is not None
    assert told.available.quantize(PAISA) == funds.available.quantize(PAISA)


@every_broker
def test_an_intraday_purchase_in_parts_is_a_position_at_its_average(rich: LiveBroker) -> None:
    placed = rich.control.place(rich.slug, tcs(quantity=150, price=str(PRICE + TICK)))
    assert placed["status"] == "FILLED"
    row = position(rich, Exchange.NSE, Product.MIS)
    paid = 100 * PRICE + 50 * (PRICE + TICK)
    assert (row.quantity, row.day_buy_quantity, row.day_sell_quantity) == (150, 150, 0)
    assert row.day_buy_value.quantize(PAISA) == paid
    assert row.average_price is not None
    assert row.average_price.quantize(PAISA) == (paid / 150).quantize(PAISA)
    assert_funds_agree(rich)


@every_broker
def test_a_closed_position_is_flat_and_keeps_what_it_brought(rich: LiveBroker) -> None:
    rich.control.place(rich.slug, tcs(side="SELL"))
    rich.control.set_price("NSE", PRICE - 10 * TICK, symbol="TCS")
    rich.control.place(rich.slug, tcs(price=str(PRICE - 10 * TICK)))
    row = position(rich, Exchange.NSE, Product.MIS)
    assert row.quantity == 0
    assert row.pnl is not None
    assert row.pnl.quantize(PAISA) == 10
    assert rich.book().funds.available == Decimal("2000010.00")
    assert_funds_agree(rich)


@every_broker
def test_a_written_option_is_short(rich: LiveBroker) -> None:
    rich.control.place(rich.slug, option(side="SELL"))
    row = position(rich, Exchange.NFO, Product.NRML)
    assert (row.quantity, row.day_sell_value.quantize(PAISA)) == (-65, 65 * CALL_PRICE)
    assert_funds_agree(rich)


@every_broker
def test_a_delivery_sale_leaves_fewer_shares(rich: LiveBroker) -> None:
    rich.control.place(rich.slug, tcs(side="SELL", product="CNC", quantity=15))
    portfolio = read(rich.client(rich.log_in()))
    [line] = [line for line in portfolio.holdings if line.product is Product.CNC]
    gross = line.used_quantity if line.sales_deducted is False else 0
    assert line.owned_quantity - gross == 25
    assert line.used_quantity in (15, 0)  # 0: this broker does not tell
    assert_funds_agree(rich)


@every_broker
def test_what_an_order_blocks_is_not_available(rich: LiveBroker) -> None:
    resting = rich.control.place(rich.slug, tcs(product="CNC", price=str(PRICE - 100 * TICK)))
    assert rich.book().funds.available == 2_000_000 - 10 * (PRICE - 100 * TICK)
    assert_funds_agree(rich)
    rich.control.cancel(rich.slug, resting["order_id"])
    assert rich.book().funds.available == 2_000_000
    assert_funds_agree(rich)


@every_broker
def test_what_an_order_blocks_is_cash_all_the_same(rich: LiveBroker) -> None:
    """Else a purchase of today would leave the net worth twice: once as blocked margin, once as the purchase."""
    cash = rich.client(rich.log_in()).funds().cash
    assert cash == 2_000_000
    rich.control.place(rich.slug, tcs(product="CNC", price=str(PRICE - 100 * TICK)))
    blocked = rich.client(rich.log_in()).funds()
    assert blocked.used
    assert blocked.cash == cash
