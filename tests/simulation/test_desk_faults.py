"""A desk in bad weather, its GTTs, and a restart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec import structs

from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderStatus, OrderType, Product, Side
from brokers.simulation.book import Funds
from brokers.simulation.dealing import Refusal, Refused
from brokers.simulation.desk import Desk
from brokers.simulation.desk_state import DeskState, Lost
from brokers.simulation.exchange import LEVEL_LOTS, Exchange
from brokers.simulation.faults import Fault, FaultKind
from brokers.simulation.gtts import Leg
from tests.simulation.house import CASH, KEY, PRICE, TICK, House, book_of, infy, order

# --- faults ------------------------------------------------------------------------------------------


def switch_on(desk: Desk, kind: FaultKind, **parameters: object) -> None:
    desk.faults.active[kind] = Fault(**parameters)  # type: ignore[arg-type]


def test_a_lost_request_does_nothing_and_a_lost_reply_everything() -> None:
    desk = House().desk()
    switch_on(desk, FaultKind.LOST_REQUEST, count=1)
    switch_on(desk, FaultKind.LOST_REPLY, count=1)
    desk.begin("/orders")
    with pytest.raises(Lost):
        desk.place(order())
    assert desk.orders() == []
    desk.begin("/orders")
    desk.place(order())
    assert desk.fate.is_lost
    assert len(desk.orders()) == 1
    desk.begin("/orders")
    desk.place(order())
    assert not desk.fate.is_lost


def test_a_fault_of_a_path_hits_no_other() -> None:
    desk = House().desk()
    switch_on(desk, FaultKind.LOST_REQUEST, path="/orders/regular")
    desk.begin("/orders/amo")
    desk.place(order())
    desk.begin("/orders/regular")
    with pytest.raises(Lost):
        desk.place(order())


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (FaultKind.UNREGISTERED_ADDRESS, Refusal.UNREGISTERED_ADDRESS),
        (FaultKind.MARKET_CLOSED, Refusal.MARKET_CLOSED),
    ],
)
def test_a_desk_that_takes_nothing_says_why(kind: FaultKind, why: Refusal) -> None:
    desk = House().desk()
    placed = desk.place(order(price=PRICE - 10 * TICK))
    switch_on(desk, kind)
    for act in (lambda: desk.place(order()), lambda: desk.cancel(placed.order_id)):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.why is why
    assert placed.status is OrderStatus.OPEN


def test_the_risk_system_can_reject_whatever_comes_next() -> None:
    desk = House().desk()
    switch_on(desk, FaultKind.REJECT_ORDERS, count=1)
    assert [desk.place(order()).status for _ in range(2)] == [OrderStatus.REJECTED, OrderStatus.FILLED]


def test_a_late_entry_is_taken_and_shown_later() -> None:
    house = House()
    desk = house.desk()
    switch_on(desk, FaultKind.LATE_ENTRY, milliseconds=3000, count=1)
    placed = desk.place(order())
    assert placed.status is OrderStatus.FILLED
    assert desk.orders() == desk.deals() == desk.changes(0) == []
    assert desk.order(placed.order_id) is None
    house.later(seconds=3)
    assert desk.orders() == [placed]
    assert [change.status for change in desk.changes(0)] == [OrderStatus.OPEN, OrderStatus.FILLED]


def test_slow_fills_come_in_pieces_as_the_clock_goes_on() -> None:
    house = House()
    desk = house.desk()
    switch_on(desk, FaultKind.SLOW_FILLS, milliseconds=1000, pieces=3, count=1)
    placed = desk.place(order())
    seen = []
    for _ in range(4):
        seen.append((placed.status, placed.filled))
        house.later(seconds=1)
        desk.pulse()
    assert seen == [
        (OrderStatus.OPEN, 0),
        (OrderStatus.PARTIALLY_FILLED, 4),
        (OrderStatus.PARTIALLY_FILLED, 7),
        (OrderStatus.FILLED, 10),
    ]
    assert house.books["zerodha"].funds.used_orders == 0


def test_the_pieces_of_a_slow_order_stand_together() -> None:
    house = House(depth_lots=0)
    desk, other = house.desk(), house.desk("upstox", book=book_of(infy(settled=10)))
    switch_on(desk, FaultKind.SLOW_FILLS, milliseconds=1000, pieces=2)
    placed = desk.place(order())
    house.later(seconds=2)
    desk.pulse()
    sold = other.place(order(side=Side.SELL))
    assert placed.status is sold.status is OrderStatus.FILLED


def test_less_of_a_slow_order_fills_no_more_than_that() -> None:
    house = House()
    desk = house.desk()
    switch_on(desk, FaultKind.SLOW_FILLS, milliseconds=1000, pieces=2)
    placed = desk.place(order())
    desk.modify(placed.order_id, quantity=4)
    house.later(seconds=2)
    desk.pulse()
    assert (placed.status, placed.filled) == (OrderStatus.FILLED, 4)


def test_a_slow_order_that_is_cancelled_fills_no_more() -> None:
    house = House()
    desk = house.desk()
    switch_on(desk, FaultKind.SLOW_FILLS, milliseconds=1000, pieces=2)
    placed = desk.place(order())
    house.later(seconds=1)
    desk.pulse()
    desk.cancel(placed.order_id)
    house.later(seconds=1)
    desk.pulse()
    assert (placed.status, placed.filled) == (OrderStatus.CANCELLED, 5)


def told(desk: Desk) -> list[tuple[int, OrderStatus]]:
    return [(change.number, change.status) for change in desk.changes(0)]


def test_every_change_is_told_once() -> None:
    house = House(depth_lots=5)
    desk = house.desk()
    placed = desk.place(order())
    heard = desk.latest
    house.price_comes_to(PRICE)
    assert told(desk) == [
        (1, OrderStatus.OPEN),
        (2, OrderStatus.PARTIALLY_FILLED),
        (3, OrderStatus.FILLED),
    ]
    assert [change.filled for change in desk.changes(heard)] == [10]
    assert placed.number == 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.NO_UPDATES, [(1, OrderStatus.FILLED)]),
        (FaultKind.DUPLICATE_UPDATES, [(1, OrderStatus.OPEN), (2, OrderStatus.OPEN), (3, OrderStatus.FILLED)]),
        (FaultKind.LATE_UPDATES, [(1, OrderStatus.FILLED), (2, OrderStatus.OPEN)]),
    ],
)
def test_news_are_lost_doubled_or_late(kind: FaultKind, expected: list[tuple[int, OrderStatus]]) -> None:
    house = House()
    desk = house.desk()
    switch_on(desk, kind, count=1)
    desk.place(order())
    house.later(seconds=5)
    assert told(desk) == expected


def test_the_history_of_an_order_knows_what_was_not_told() -> None:
    desk = House().desk()
    switch_on(desk, FaultKind.NO_UPDATES)
    placed = desk.place(order())
    assert desk.changes(0) == []
    history = desk.history(placed.order_id)
    assert [(each.number, each.status) for each in history] == [(1, OrderStatus.OPEN), (2, OrderStatus.FILLED)]
    assert desk.history("1") == []


# --- good till triggered -----------------------------------------------------------------------------


def leg(trigger: Decimal, price: Decimal, quantity: int = 10) -> Leg:
    return Leg(trigger_price=trigger, price=price, quantity=quantity)


def test_a_gtt_places_its_order_when_the_price_comes() -> None:
    house = House()
    desk = house.desk()
    target = PRICE - 20 * TICK
    gtt = desk.gtts.place(key=KEY, kind=GttKind.SINGLE, side=Side.BUY, product=Product.CNC, legs=[leg(target, target)])
    assert (gtt.status, desk.orders()) == (GttStatus.ACTIVE, [])
    house.price_comes_to(target)
    assert gtt.status is GttStatus.TRIGGERED
    assert [(each.order_id, each.status) for each in desk.orders()] == [(gtt.order_id, OrderStatus.FILLED)]


def test_one_leg_of_an_oco_ends_the_other() -> None:
    house = House()
    desk = house.desk(book=book_of(infy(settled=10)))
    low, high = PRICE - 20 * TICK, PRICE + 20 * TICK
    gtt = desk.gtts.place(
        key=KEY, kind=GttKind.OCO, side=Side.SELL, product=Product.CNC, legs=[leg(low, low), leg(high, high)]
    )
    house.price_comes_to(high)
    house.price_comes_to(low)
    assert gtt.status is GttStatus.TRIGGERED
    assert [each.asked.price for each in desk.orders()] == [high]


def test_a_cancelled_gtt_waits_no_more() -> None:
    house = House()
    desk = house.desk()
    target = PRICE - 20 * TICK
    gtt = desk.gtts.place(key=KEY, kind=GttKind.SINGLE, side=Side.BUY, product=Product.CNC, legs=[leg(target, target)])
    desk.gtts.cancel(gtt.gtt_id)
    house.price_comes_to(target)
    assert (gtt.status, desk.orders()) == (GttStatus.CANCELLED, [])
    with pytest.raises(Refused):
        desk.gtts.cancel(gtt.gtt_id)


@pytest.mark.parametrize(
    ("kind", "legs"),
    [
        (GttKind.SINGLE, [leg(PRICE, PRICE)]),
        (GttKind.SINGLE, [leg(PRICE - TICK, PRICE), leg(PRICE + TICK, PRICE)]),
        (GttKind.OCO, [leg(PRICE - TICK, PRICE)]),
        (GttKind.OCO, [leg(PRICE + TICK, PRICE), leg(PRICE + 2 * TICK, PRICE)]),
        (GttKind.SINGLE, [leg(PRICE - TICK, PRICE, 0)]),
    ],
)
def test_a_gtt_without_sense_is_refused(kind: GttKind, legs: list[Leg]) -> None:
    desk = House().desk()
    with pytest.raises(Refused):
        desk.gtts.place(key=KEY, kind=kind, side=Side.BUY, product=Product.CNC, legs=legs)
    assert desk.gtts.all() == []


# --- a restart ---------------------------------------------------------------------------------------


def test_a_desk_goes_on_where_it_stopped() -> None:
    house = House()
    before = house.desk()
    standing = before.place(order(quantity=LEVEL_LOTS + 50))
    waiting = before.place(order(order_type=OrderType.SL, price=PRICE + 20 * TICK, trigger_price=PRICE + 10 * TICK))
    target = PRICE - 20 * TICK
    before.gtts.place(key=KEY, kind=GttKind.SINGLE, side=Side.BUY, product=Product.CNC, legs=[leg(target, target)])
    state = before.state()
    book = house.books["zerodha"]
    house.exchange = Exchange(house.market, now=house.clock)
    after = house.desk(book=book)
    after.restore(structs.replace(state))
    assert book.funds.used_orders == 50 * PRICE + 10 * (PRICE + 20 * TICK)
    house.price_comes_to(PRICE + 10 * TICK)
    assert (standing.status, waiting.status) == (OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)
    house.price_comes_to(target)
    assert standing.status is OrderStatus.FILLED
    assert [each.status for each in after.gtts.all()] == [GttStatus.TRIGGERED]
    assert len({each.order_id for each in after.orders()}) == 3
    assert len({each.exchange_order_id for each in after.orders()}) == 3
    assert after.state() != DeskState()


def test_a_reset_desk_has_no_orders_and_blocks_nothing() -> None:
    house = House()
    desk = house.desk()
    desk.place(order(price=PRICE - 10 * TICK))
    desk.place(order(order_type=OrderType.SL, price=PRICE + 20 * TICK, trigger_price=PRICE + 10 * TICK))
    desk.reset()
    assert (desk.orders(), house.books["zerodha"].funds) == ([], Funds(opening_balance=CASH))
    house.price_comes_to(PRICE + 10 * TICK)
    assert house.exchange.trades == []


def test_a_book_put_in_place_carries_what_standing_orders_block() -> None:
    house = House()
    desk = house.desk()
    desk.place(order(price=PRICE - 10 * TICK))
    house.books["zerodha"] = book_of()
    desk.book_changed()
    assert house.books["zerodha"].funds.used_orders == 10 * (PRICE - 10 * TICK)
