"""The market that every simulated broker sees, and the books it prices."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from brokers import registry
from brokers.domain import OrderType, Product, Side, Validity
from brokers.simulation.book import Book, Position
from brokers.simulation.checks import check
from brokers.simulation.dealing import NewOrder, Refused
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market
from brokers.simulation.server import load_book


def moving_market() -> Market:
    return Market(load_instruments(), frozen=False, seed=7)


def test_two_walks_of_one_seed_agree() -> None:
    left, right = moving_market(), moving_market()
    for _ in range(50):
        left.tick()
        right.tick()
    assert left.snapshot() == right.snapshot()


def test_prices_stay_on_their_tick_and_inside_the_circuit() -> None:
    market = moving_market()
    before = {key: price.last for key, price in market.snapshot().items()}
    for _ in range(200):
        market.tick()
    for key, price in market.snapshot().items():
        listing = market.instruments[key]
        assert price.last % min(listing.tick(price.last), listing.tick(price.close)) == 0, key
        assert abs(price.last - price.close) <= price.close * Decimal("0.1") + listing.tick(price.close), key
        assert price.low <= price.last <= price.high
    moved = sum(before[key] != price.last for key, price in market.snapshot().items())
    assert moved > 130


def test_bse_trades_a_few_ticks_off_nse() -> None:
    market = moving_market()
    market.tick()
    nse, bse = market.price("NSE:INFY"), market.price("BSE:INFY")
    assert nse is not None
    assert bse is not None
    assert abs(nse.last - bse.last) <= Decimal("0.30")
    assert nse.close != bse.close


def test_a_frozen_market_stands_still_and_takes_any_price() -> None:
    market = Market(load_instruments())
    market.set_price("NSE:INFY", last=Decimal("1573.7"), close=Decimal("1567.8"))
    market.tick()
    price = market.price("NSE:INFY")
    assert price is not None
    assert (price.last, price.close) == (Decimal("1573.7"), Decimal("1567.8"))
    with pytest.raises(KeyError):
        market.set_price("NSE:NOSUCH", last=Decimal(1))


def demo_books() -> dict[str, Book]:
    return {slug: load_book(slug) for slug in registry.slugs()}


def test_every_row_of_every_demo_book_trades() -> None:
    market = Market(load_instruments())
    for slug, book in demo_books().items():
        for key in book.keys:
            assert market.price(key) is not None, (slug, key)
        for row in book.holdings:
            listing = market.instruments.at(row.isin, row.exchange)
            assert listing is not None, (slug, row)
            assert listing.key == row.key


def test_the_demo_books_overlap_and_add_up() -> None:
    for slug, book in demo_books().items():
        assert {"INFY", "SBIN"} <= {row.symbol for row in book.holdings}, slug
        sold = {row.symbol: row.day_sell_quantity for row in book.positions if row.product == "CNC"}
        assert all(sold[row.symbol] == row.used_today for row in book.holdings if row.used_today), slug
        assert book.funds.available > 0, slug


@pytest.mark.parametrize(
    "oddity",
    [
        lambda book: any(row.t1 for row in book.holdings),
        lambda book: any(row.pledged for row in book.holdings),
        lambda book: any(row.used_today for row in book.holdings),
        lambda book: any(row.average_price is None for row in book.holdings),
        lambda book: any(row.mtf for row in book.holdings),
        lambda book: any(row.product == "CNC" and row.day_buy_quantity for row in book.positions),
        lambda book: any(row.exchange == "NFO" and row.quantity > 0 for row in book.positions),
        lambda book: any(row.exchange == "NFO" and row.quantity < 0 for row in book.positions),
    ],
    ids=["t1", "pledged", "sold", "of unknown cost", "financed", "bought today", "long", "short"],
)
def test_several_demo_books_have_each_oddity(oddity: Callable[[Book], bool]) -> None:
    assert sum(map(oddity, demo_books().values())) > 1


def test_a_position_adds_its_carried_and_its_dealt_part() -> None:
    row = Position(
        symbol="X", exchange="NSE", product="NRML",
        overnight_quantity=3, overnight_price=Decimal(23057),
        day_buy_quantity=1, day_buy_price=Decimal(23388), day_sell_quantity=4, day_sell_price=Decimal(23340),
    )  # fmt: skip
    assert (row.quantity, row.buy_quantity, row.sell_quantity) == (0, 4, 4)
    assert (row.buy_value, row.sell_value, row.average_price) == (Decimal(92559), Decimal(93360), 0)
    assert row.buy_price == Decimal("23139.75")


def test_what_hangs_on_an_index_moves_with_it() -> None:
    market = moving_market()
    index, future = market.price("NSE:NIFTY 50"), market.price("NFO:NIFTY26DECFUT")
    call, put = market.price("NFO:NIFTY26DEC27000CE"), market.price("NFO:NIFTY26DEC27000PE")
    assert None not in (index, future, call, put)
    apart = []
    for _ in range(600):
        market.tick()
        gap = future.last / future.close - index.last / index.close
        apart.append(abs(gap))
        forward = future.last
        assert put.last > (27000 - forward) * Decimal("0.99"), "below what it is worth if exercised"
        assert abs(index.last / index.close - 1) < Decimal("0.02")
    assert max(apart) < Decimal("0.0001")
    assert index.volume == 0


def test_indices_are_prices_and_nothing_that_is_dealt_in() -> None:
    market = Market(load_instruments())
    listing = market.instruments["NSE:NIFTY 50"]
    assert (listing.is_index, listing.is_cash, listing.lot_size) == (True, False, 0)
    order = NewOrder(
        key=listing.key, side=Side.BUY, order_type=OrderType.LIMIT, product=Product.CNC, validity=Validity.DAY,
        quantity=1, price=Decimal(26000),
    )  # fmt: skip
    with pytest.raises(Refused, match="nobody deals in it"):
        check(order, market)
