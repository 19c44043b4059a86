"""The one exchange: price before time, a maker of finite depth, and nothing invented or lost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.domain import Side
from brokers.simulation.exchange import LEVEL_LOTS, LEVELS, MAKER, Entry, Exchange, Stop, Trade
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import Market

KEY = "NSE:INFY"
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
TICK = Decimal("0.10")
PRICE = Decimal("1500.00")


class Party:
    """Whose orders stand at the exchange; it remembers what was filled."""

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.fills: list[tuple[str | None, Trade]] = []

    def filled(self, entry: Entry, trade: Trade) -> None:
        self.fills.append((entry.exchange_order_id, trade))

    def dealt(self) -> list[tuple[int, Decimal]]:
        return [(trade.quantity, trade.price) for _, trade in self.fills]


def exchange_of(*, depth_lots: int = LEVEL_LOTS, frozen: bool = True) -> Exchange:
    market = Market(load_instruments(), frozen=frozen)
    market.set_price(KEY, last=PRICE, close=PRICE)
    return Exchange(market, now=lambda: NOW, depth_lots=depth_lots)


def bring(exchange: Exchange, party: Party, side: Side, quantity: int, price: Decimal = PRICE) -> Entry:
    number = exchange.new_order_number()
    entry = Entry(key=KEY, side=side, price=price, owner=party, exchange_order_id=number)
    exchange.bring(entry, quantity)
    return entry


def test_the_better_price_comes_first_and_then_who_came_first() -> None:
    exchange = exchange_of(depth_lots=0)
    early, late, dear, seller = Party("early"), Party("late"), Party("dear"), Party("seller")
    bring(exchange, early, Side.BUY, 10)
    bring(exchange, late, Side.BUY, 10)
    bring(exchange, dear, Side.BUY, 10, PRICE + TICK)
    bring(exchange, seller, Side.SELL, 25)
    assert [(trade.buyer, trade.quantity, trade.price) for trade in exchange.trades] == [
        ("dear", 10, PRICE + TICK),
        ("early", 10, PRICE),
        ("late", 5, PRICE),
    ]
    assert {trade.seller for trade in exchange.trades} == {"seller"}


def test_who_stood_there_first_sets_the_price() -> None:
    exchange = exchange_of(depth_lots=0)
    seller, buyer = Party("seller"), Party("buyer")
    bring(exchange, seller, Side.SELL, 10, PRICE - 3 * TICK)
    bring(exchange, buyer, Side.BUY, 10, PRICE)
    assert buyer.dealt() == seller.dealt() == [(10, PRICE - 3 * TICK)]


def test_a_large_order_takes_what_there_is_and_the_rest_stands() -> None:
    exchange, buyer = exchange_of(), Party("buyer")
    order = bring(exchange, buyer, Side.BUY, LEVEL_LOTS + 50)
    assert buyer.dealt() == [(LEVEL_LOTS, PRICE)]
    assert order.remaining == 50
    assert order in exchange.books[KEY].bids


def test_the_maker_quotes_more_behind_its_best_price_and_no_end_of_it() -> None:
    exchange, buyer = exchange_of(), Party("buyer")
    whole = sum(LEVEL_LOTS * (level + 1) for level in range(LEVELS))
    order = bring(exchange, buyer, Side.BUY, whole + 1, PRICE + 100 * TICK)
    assert buyer.dealt() == [(LEVEL_LOTS * (level + 1), PRICE + level * TICK) for level in range(LEVELS)]
    assert order.remaining == 1


def test_two_brokers_orders_meet_when_they_are_there_before_the_maker() -> None:
    exchange, buyer, seller = exchange_of(), Party("zerodha"), Party("upstox")
    bring(exchange, buyer, Side.BUY, LEVEL_LOTS + 50)
    bring(exchange, seller, Side.SELL, 30)
    assert (exchange.trades[-1].buyer, exchange.trades[-1].seller) == ("zerodha", "upstox")
    assert buyer.dealt()[-1] == seller.dealt()[-1] == (30, PRICE)


def test_what_stands_is_served_before_what_comes_even_if_the_maker_is_new() -> None:
    exchange, first, second = exchange_of(), Party("first"), Party("second")
    bring(exchange, first, Side.BUY, LEVEL_LOTS + 60)
    bring(exchange, second, Side.BUY, LEVEL_LOTS)
    assert sum(quantity for quantity, _ in first.dealt()) == LEVEL_LOTS + 60
    assert second.dealt() == [(LEVEL_LOTS - 60, PRICE)]


def test_the_maker_follows_the_price_and_fills_what_it_comes_to() -> None:
    exchange, buyer = exchange_of(), Party("buyer")
    bring(exchange, buyer, Side.BUY, 10, PRICE - 20 * TICK)
    assert buyer.dealt() == []
    exchange.market.set_price(KEY, last=PRICE - 30 * TICK)
    exchange.prices_moved([KEY])
    assert buyer.dealt() == [(10, PRICE - 20 * TICK)]


def test_a_moving_market_is_quoted_anew_with_each_tick_alone() -> None:
    exchange, buyer = exchange_of(frozen=False), Party("buyer")
    bring(exchange, buyer, Side.BUY, LEVEL_LOTS)
    order = bring(exchange, buyer, Side.BUY, 10)
    assert order.remaining == 10
    exchange.prices_moved()
    assert order.remaining == 0


def test_trades_move_the_market() -> None:
    exchange, buyer = exchange_of(frozen=False), Party("buyer")
    before = exchange.market.price(KEY)
    assert before is not None
    volume = before.volume
    bring(exchange, buyer, Side.BUY, LEVEL_LOTS + 1, PRICE + TICK)
    assert (before.last, before.volume) == (PRICE + TICK, volume + LEVEL_LOTS + 1)


def test_a_frozen_price_stays_and_its_volume_grows() -> None:
    exchange, buyer = exchange_of(), Party("buyer")
    before = exchange.market.price(KEY)
    assert before is not None
    volume = before.volume
    bring(exchange, buyer, Side.BUY, LEVEL_LOTS + 1, PRICE + TICK)
    assert (before.last, before.volume) == (PRICE, volume + LEVEL_LOTS + 1)


def test_less_of_an_order_keeps_its_turn() -> None:
    exchange = exchange_of(depth_lots=0)
    early, late, seller = Party("early"), Party("late"), Party("seller")
    order = bring(exchange, early, Side.BUY, 10)
    bring(exchange, late, Side.BUY, 10)
    exchange.lessen(order, 4)
    bring(exchange, seller, Side.SELL, 10)
    assert (early.dealt(), late.dealt()) == ([(4, PRICE)], [(6, PRICE)])


@pytest.mark.parametrize(("upwards", "fires_at"), [(True, PRICE + TICK), (False, PRICE - TICK)])
def test_a_stop_is_set_off_once_when_the_price_comes_to_it(upwards: bool, fires_at: Decimal) -> None:
    exchange, fired = exchange_of(), []
    exchange.watch(Stop(key=KEY, price=fires_at, upwards=upwards, fire=lambda: fired.append(1)))
    exchange.check_stops()
    assert fired == []
    for _ in range(2):
        exchange.market.set_price(KEY, last=fires_at)
        exchange.prices_moved([KEY])
    assert fired == [1]


def test_what_stood_in_an_earlier_run_comes_before_what_is_new() -> None:
    exchange = exchange_of(depth_lots=0)
    old, older, new, seller = Party("old"), Party("older"), Party("new"), Party("seller")
    first, second = exchange.new_order_number(), exchange.new_order_number()
    bring(exchange, new, Side.BUY, 10)
    for party, number in ((old, second), (older, first)):
        entry = Entry(key=KEY, side=Side.BUY, price=PRICE, owner=party, exchange_order_id=number)
        exchange.stand(entry, 10)
    bring(exchange, seller, Side.SELL, 30)
    assert [trade.buyer for trade in exchange.trades] == ["older", "old", "new"]


Step = tuple[int, Side, int, int]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(list(Side)),
        st.integers(1, 400),
        st.integers(-8, 8),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, depth=st.sampled_from([0, 3, 100]), frozen=st.booleans(), moves=st.lists(st.integers(-9, 9)))
def test_no_quantity_is_invented_or_lost(steps: list[Step], depth: int, frozen: bool, moves: list[int]) -> None:
    exchange = exchange_of(depth_lots=depth, frozen=frozen)
    parties = [Party(f"broker{place}") for place in range(3)]
    brought: dict[str, tuple[Entry, int]] = {}
    ticks = iter(moves)
    for place, side, quantity, off in steps:
        entry = bring(exchange, parties[place], side, quantity, PRICE + off * TICK)
        brought[str(entry.exchange_order_id)] = (entry, quantity)
        if (move := next(ticks, None)) is not None:
            exchange.market.set_price(KEY, last=PRICE + move * TICK)
            exchange.prices_moved([KEY])
    filled: dict[str | None, int] = {}
    for trade in exchange.trades:
        assert trade.quantity > 0
        assert (trade.buyer, trade.buy_order) != (trade.seller, trade.sell_order)  # the maker never meets itself
        assert (trade.buyer == MAKER) == (trade.buy_order is None)
        for number in (trade.buy_order, trade.sell_order):
            filled[number] = filled.get(number, 0) + trade.quantity
    told = [(number, trade.quantity) for party in parties for number, trade in party.fills]
    assert sum(quantity for _, quantity in told) == sum(filled[number] for number in filled if number is not None)
    for number, (entry, quantity) in brought.items():
        assert filled.get(number, 0) + entry.remaining == quantity
        assert entry.remaining >= 0
        assert (entry in exchange.books[KEY].of(entry.side)) == (entry.remaining > 0)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, depth=st.sampled_from([0, 3, 100]))
def test_nobody_deals_beyond_their_limit_or_stands_where_they_could_deal(steps: list[Step], depth: int) -> None:
    exchange = exchange_of(depth_lots=depth)
    limits: dict[str | None, Decimal] = {}
    for place, side, quantity, off in steps:
        entry = bring(exchange, Party(f"broker{place}"), side, quantity, PRICE + off * TICK)
        limits[entry.exchange_order_id] = entry.price
        bids, asks = exchange.books[KEY].bids, exchange.books[KEY].asks
        assert [each.rank for each in bids] == sorted(each.rank for each in bids)
        assert not any(bid.price >= ask.price for bid in bids for ask in asks if bid.owner or ask.owner)
    for trade in exchange.trades:
        assert trade.price <= limits.get(trade.buy_order, trade.price)
        assert trade.price >= limits.get(trade.sell_order, trade.price)
