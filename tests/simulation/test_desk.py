"""A desk: what it refuses, what its risk system rejects, and what orders do to the account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.simulation.book import Account, Book, Financed, Funds, Holding
from brokers.simulation.dealing import NewOrder, Refusal, Refused
from brokers.simulation.desk import Desk
from brokers.simulation.desk_state import DeskState, Lost
from brokers.simulation.exchange import LEVEL_LOTS, Exchange
from brokers.simulation.faults import Fault, FaultKind
from brokers.simulation.gtts import Leg
from brokers.simulation.instruments import load_instruments
from brokers.simulation.ledger import booked
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


# --- what is refused at once -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"key": "NSE:NOSUCH"}, Refusal.UNKNOWN_INSTRUMENT),
        ({"quantity": 0}, Refusal.BAD_QUANTITY),
        ({"quantity": 100_001}, Refusal.BAD_QUANTITY),
        ({"key": CALL, "product": Product.NRML, "quantity": 64, "price": Decimal(200)}, Refusal.BAD_QUANTITY),
        ({"key": CALL, "product": Product.NRML, "quantity": 65 * 28, "price": Decimal(200)}, Refusal.BAD_QUANTITY),
        ({"disclosed_quantity": 11}, Refusal.BAD_QUANTITY),
        ({"price": None}, Refusal.BAD_PRICE),
        ({"price": PRICE + TICK / 2}, Refusal.BAD_PRICE),
        ({"price": Decimal("1650.10")}, Refusal.BAD_PRICE),
        ({"price": Decimal("1349.90")}, Refusal.BAD_PRICE),
        ({"order_type": OrderType.SL, "trigger_price": None}, Refusal.BAD_PRICE),
        ({"order_type": OrderType.SL, "trigger_price": PRICE + TICK}, Refusal.BAD_PRICE),
        ({"order_type": OrderType.MARKET, "price": None}, Refusal.UNPROTECTED),
        ({"order_type": OrderType.SL_M, "price": None, "trigger_price": PRICE + TICK}, Refusal.UNPROTECTED),
        ({"product": Product.NRML}, Refusal.NOT_OFFERED),
        ({"product": Product.BO}, Refusal.NOT_OFFERED),
        ({"validity": Validity.GTC}, Refusal.NOT_OFFERED),
        (
            {"key": CRUDE, "product": Product.NRML, "quantity": 1, "price": Decimal(6000), "validity": Validity.IOC},
            Refusal.NOT_OFFERED,
        ),
    ],
)
def test_what_no_exchange_would_take_is_refused_and_leaves_nothing(changed: dict[str, object], why: Refusal) -> None:
    desk = House().desk()
    with pytest.raises(Refused) as refused:
        desk.place(order(**changed))
    assert refused.value.why is why
    assert refused.value.words
    assert desk.orders() == []


def test_the_freeze_quantity_itself_passes() -> None:
    desk = House().desk(book=book_of(cash=Decimal(10**9)))
    assert desk.place(order(quantity=100_000)).status is OrderStatus.PARTIALLY_FILLED


# --- what the risk system rejects --------------------------------------------------------------------


def test_an_order_beyond_the_funds_is_accepted_and_then_rejected() -> None:
    house = House()
    desk = house.desk(book=book_of(cash=Decimal("14999.99")))
    placed = desk.place(order())
    assert placed.status is OrderStatus.REJECTED
    assert placed.message == "RMS:Margin exceeds: 15000.00 required, 14999.99 available"
    assert placed.exchange_order_id is None
    assert desk.orders() == [placed]
    assert house.books["zerodha"].funds == Funds(opening_balance=Decimal("14999.99"))


@pytest.mark.parametrize(
    ("holding", "quantity", "is_taken"),
    [
        (infy(settled=10), 10, True),
        (infy(settled=10), 11, False),
        (infy(t1=10), 1, False),
        (infy(pledged=10), 1, False),
        (infy(settled=5, t1=5, pledged=5), 6, False),
    ],
)
def test_a_delivery_sale_takes_settled_and_free_shares_alone(holding: Holding, quantity: int, is_taken: bool) -> None:
    desk = House().desk(book=book_of(holding))
    sold = desk.place(order(side=Side.SELL, quantity=quantity))
    assert sold.status is (OrderStatus.FILLED if is_taken else OrderStatus.REJECTED)
    assert sold.message.startswith("" if is_taken else "RMS:Insufficient holdings")


def test_shares_promised_to_one_sale_are_not_sold_again_at_the_other_exchange() -> None:
    desk = House().desk(book=book_of(infy(settled=10)))
    first = desk.place(order(side=Side.SELL, quantity=6, price=PRICE + 10 * TICK))
    second = desk.place(order(key=OTHER_KEY, side=Side.SELL, quantity=5))
    assert (first.status, second.status) == (OrderStatus.OPEN, OrderStatus.REJECTED)
    desk.cancel(first.order_id)
    assert desk.place(order(key=OTHER_KEY, side=Side.SELL, quantity=5)).status is OrderStatus.FILLED


def test_what_was_bought_today_may_be_sold_today() -> None:
    house = House()
    desk = house.desk(book=book_of(infy(t1=50)))
    desk.place(order(quantity=10))
    assert desk.place(order(side=Side.SELL, quantity=10)).status is OrderStatus.FILLED
    assert desk.place(order(side=Side.SELL, quantity=1)).status is OrderStatus.REJECTED
    assert house.books["zerodha"].positions[0].quantity == 0
    assert house.books["zerodha"].funds.available == CASH


def test_a_trigger_that_is_past_is_rejected() -> None:
    desk = House().desk()
    late = desk.place(order(order_type=OrderType.SL, trigger_price=PRICE, price=PRICE + TICK))
    assert (late.status, late.message) == (OrderStatus.REJECTED, "RMS:The trigger price is past already")


# --- what orders do to the account -------------------------------------------------------------------


def test_an_order_blocks_its_margin_and_gives_it_back() -> None:
    house = House()
    desk, price = house.desk(), PRICE - 10 * TICK
    placed = desk.place(order(price=price))
    funds = house.books["zerodha"].funds
    assert (funds.used_orders, funds.available) == (10 * price, CASH - 10 * price)
    desk.cancel(placed.order_id)
    assert (placed.status, funds.used_orders, funds.available) == (OrderStatus.CANCELLED, 0, CASH)


def test_a_purchase_is_paid_and_stands_among_the_positions() -> None:
    house = House()
    desk = house.desk()
    placed = desk.place(order(quantity=LEVEL_LOTS + 100, price=PRICE + TICK))
    book = house.books["zerodha"]
    assert (placed.status, placed.filled) == (OrderStatus.FILLED, LEVEL_LOTS + 100)
    paid = LEVEL_LOTS * PRICE + 100 * (PRICE + TICK)
    assert placed.average_price == paid / (LEVEL_LOTS + 100)
    row = book.positions[0]
    assert (row.quantity, row.buy_value, row.product) == (LEVEL_LOTS + 100, paid, "CNC")
    assert (book.funds.used_delivery, book.funds.used_orders, book.funds.available) == (paid, 0, CASH - paid)


def test_a_sale_takes_shares_out_of_the_demat_and_brings_their_price() -> None:
    house = House()
    desk = house.desk(book=book_of(infy(settled=30, t1=5)))
    desk.place(order(side=Side.SELL, quantity=12))
    book = house.books["zerodha"]
    holding, row = book.holdings[0], book.positions[0]
    assert (holding.settled, holding.used_today, holding.owned, holding.opening_quantity) == (18, 12, 23, 35)
    assert (row.quantity, row.sell_value) == (-12, 12 * PRICE)
    assert book.funds.available == CASH + 12 * PRICE


def test_an_average_that_no_decimal_can_tell_loses_no_paisa() -> None:
    house = House()
    desk = house.desk()
    for quantity, price in ((1, PRICE), (2, PRICE + TICK)):
        house.price_comes_to(price)
        desk.place(order(quantity=quantity, price=price))
    row = house.books["zerodha"].positions[0]
    assert row.buy_value == 3 * PRICE + 2 * TICK
    assert row.average_price == row.day_buy_price == row.buy_value / 3


def test_an_intraday_trade_blocks_a_fifth_and_books_what_it_brought() -> None:
    house = House()
    desk = house.desk()
    funds = house.books["zerodha"].funds
    desk.place(order(product=Product.MIS, side=Side.SELL))
    assert (funds.used_exposure, funds.available) == (3000, CASH - 3000)
    house.price_comes_to(PRICE - 10 * TICK)
    desk.place(order(product=Product.MIS, price=PRICE - 10 * TICK))
    assert (funds.used_exposure, funds.received_today, funds.available) == (0, 10, CASH + 10)
    assert house.books["zerodha"].positions[0].quantity == 0


def test_closing_a_position_needs_no_second_margin() -> None:
    house = House()
    desk = house.desk(book=book_of(cash=Decimal(3000)))
    desk.place(order(product=Product.MIS))
    assert house.books["zerodha"].funds.available == 0
    assert desk.place(order(product=Product.MIS, side=Side.SELL, quantity=11)).status is OrderStatus.REJECTED
    resting = desk.place(order(product=Product.MIS, side=Side.SELL, quantity=6, price=PRICE + 10 * TICK))
    assert resting.status is OrderStatus.OPEN
    assert desk.place(order(product=Product.MIS, side=Side.SELL, quantity=5)).status is OrderStatus.REJECTED
    assert desk.place(order(product=Product.MIS, side=Side.SELL, quantity=4)).status is OrderStatus.FILLED


def test_an_option_costs_its_premium_and_writing_one_blocks_margin() -> None:
    house = House()
    desk = house.desk()
    funds, price = house.books["zerodha"].funds, Decimal(200)
    lot = {"key": CALL, "product": Product.NRML, "quantity": 65, "price": price}
    desk.place(order(**lot))
    assert (funds.received_today, funds.used) == (-65 * price, 0)
    desk.place(order(**lot, side=Side.SELL))
    assert funds.available == CASH
    desk.place(order(**lot, side=Side.SELL))
    assert (funds.received_today, funds.used_span) == (65 * price, 65 * Decimal(27000) / 8)


def test_a_contract_of_a_commodity_counts_lots() -> None:
    house = House()
    desk = house.desk()
    funds = house.books["zerodha"].funds
    lot = {"key": CRUDE, "product": Product.NRML, "quantity": 1}
    desk.place(order(**lot, price=Decimal(6000)))
    assert funds.used_span == 100 * Decimal(6000) / 8
    house.price_comes_to(Decimal(6010), CRUDE)
    desk.place(order(**lot, price=Decimal(6010), side=Side.SELL))
    assert (funds.used_span, funds.received_today) == (0, 100 * 10)


def test_financed_shares_cost_a_quarter_and_repay_their_loan() -> None:
    house = House()
    financed = Financed(quantity=20, average_price=Decimal(1400), initial_margin=Decimal(7000))
    holding = structs.replace(infy(), mtf=financed)
    desk = house.desk(book=book_of(holding))
    funds = house.books["zerodha"].funds
    desk.place(order(product=Product.MTF))
    assert funds.available == CASH - 10 * PRICE / 4
    desk.place(order(product=Product.MTF, side=Side.SELL, quantity=30))
    assert financed.quantity == 0
    assert funds.available == CASH + (20 * PRICE - 21_000)


def test_margin_tells_what_placing_blocks() -> None:
    house = House()
    desk = house.desk()
    new = order(product=Product.MIS, price=PRICE - 10 * TICK)
    told = desk.margin(new)
    desk.place(new)
    assert told == house.books["zerodha"].funds.used_orders == 10 * new.price / 5  # type: ignore[operator]


# --- orders that change ------------------------------------------------------------------------------


def test_a_protected_market_order_goes_as_far_as_its_protection() -> None:
    desk = House().desk(book=book_of(cash=Decimal(10**8)))
    placed = desk.place(order(order_type=OrderType.MARKET, price=None, is_protected=True, quantity=2000))
    assert placed.status is OrderStatus.PARTIALLY_FILLED
    assert max(deal.price for deal in placed.deals) <= PRICE * Decimal("1.005")


def test_what_an_ioc_order_does_not_find_is_cancelled() -> None:
    house = House()
    placed = house.desk().place(order(validity=Validity.IOC, quantity=LEVEL_LOTS + 1))
    assert (placed.status, placed.filled, placed.remaining) == (OrderStatus.CANCELLED, LEVEL_LOTS, 1)
    assert house.books["zerodha"].funds.used_orders == 0


@pytest.mark.parametrize("order_type", [OrderType.SL, OrderType.SL_M])
def test_a_stop_loss_waits_for_its_trigger(order_type: OrderType) -> None:
    house = House()
    desk = house.desk(book=book_of(infy(settled=10)))
    trigger = PRICE - 20 * TICK
    price = trigger - 10 * TICK if order_type is OrderType.SL else None
    asked = order(order_type=order_type, side=Side.SELL, price=price, trigger_price=trigger, is_protected=price is None)
    placed = desk.place(asked)
    assert placed.status is OrderStatus.TRIGGER_PENDING
    house.price_comes_to(trigger + TICK)
    assert placed.status is OrderStatus.TRIGGER_PENDING
    house.price_comes_to(trigger)
    assert (placed.status, placed.average_price) == (OrderStatus.FILLED, trigger)


def test_a_triggered_stop_loss_can_be_modified_and_does_not_wait_again() -> None:
    house = House()
    desk = house.desk()
    trigger = PRICE + 10 * TICK
    placed = desk.place(order(order_type=OrderType.SL, price=trigger, trigger_price=trigger))
    house.price_comes_to(trigger + 10 * TICK)
    assert placed.status is OrderStatus.OPEN
    desk.modify(placed.order_id, price=trigger + 10 * TICK)
    assert placed.status is OrderStatus.FILLED


def test_a_modified_order_goes_where_it_now_belongs() -> None:
    house = House()
    desk = house.desk()
    placed = desk.place(order(price=PRICE - 10 * TICK))
    desk.modify(placed.order_id, price=PRICE, quantity=12)
    assert (placed.status, placed.filled, placed.average_price) == (OrderStatus.FILLED, 12, PRICE)


def test_an_order_can_become_one_that_waits() -> None:
    house = House()
    desk = house.desk()
    placed = desk.place(order(price=PRICE - 10 * TICK))
    changed = {"order_type": OrderType.SL, "trigger_price": PRICE + 10 * TICK, "price": PRICE + 20 * TICK}
    desk.modify(placed.order_id, **changed)  # type: ignore[arg-type]
    assert placed.status is OrderStatus.TRIGGER_PENDING
    house.price_comes_to(PRICE + 10 * TICK)
    assert (placed.status, placed.filled) == (OrderStatus.FILLED, 10)


def test_a_modification_beyond_the_funds_changes_the_message_alone() -> None:
    desk = House().desk(book=book_of(cash=Decimal(15_000)))
    placed = desk.place(order(price=PRICE - 10 * TICK))
    before = structs.replace(placed)
    desk.modify(placed.order_id, quantity=11)
    assert placed.asked == before.asked
    assert placed.status is OrderStatus.OPEN
    assert placed.message.startswith("RMS:Margin exceeds")


def test_a_modification_may_use_what_the_order_blocks_already() -> None:
    desk = House().desk(book=book_of(cash=Decimal(15_000)))
    placed = desk.place(order(price=PRICE - 10 * TICK))
    assert desk.modify(placed.order_id, price=PRICE).status is OrderStatus.FILLED


def test_the_trade_of_another_can_set_off_a_stop_loss() -> None:
    house = House()
    house.market.frozen = False
    desk, other = house.desk(), house.desk("upstox")
    waiting = desk.place(order(order_type=OrderType.SL, price=PRICE + 9 * TICK, trigger_price=PRICE + TICK))
    other.place(order(quantity=LEVEL_LOTS + 1, price=PRICE + TICK))
    assert waiting.status is OrderStatus.FILLED


@pytest.mark.parametrize("act", [Desk.cancel, lambda desk, order_id: desk.modify(order_id, price=PRICE - TICK)])
def test_an_order_at_its_end_stays_as_it_is(act: Callable[[Desk, str], object]) -> None:
    desk = House().desk()
    filled = desk.place(order())
    with pytest.raises(Refused) as late:
        act(desk, filled.order_id)
    with pytest.raises(Refused) as unknown:
        act(desk, "1")
    assert (late.value.why, unknown.value.why) == (Refusal.TOO_LATE, Refusal.NO_SUCH_ORDER)
    assert filled.status is OrderStatus.FILLED


def test_an_order_is_modified_so_often_and_no_more() -> None:
    desk = House().desk(most_changes=2)
    placed = desk.place(order(price=PRICE - 10 * TICK))
    for ticks in (11, 12):
        desk.modify(placed.order_id, price=PRICE - ticks * TICK)
    with pytest.raises(Refused) as refused:
        desk.modify(placed.order_id, price=PRICE)
    assert refused.value.why is Refusal.TOO_LATE


def test_less_than_is_filled_cannot_be_wished_for() -> None:
    desk = House().desk()
    placed = desk.place(order(quantity=LEVEL_LOTS + 50))
    with pytest.raises(Refused) as refused:
        desk.modify(placed.order_id, quantity=LEVEL_LOTS)
    assert refused.value.why is Refusal.BAD_QUANTITY
    desk.modify(placed.order_id, quantity=LEVEL_LOTS + 1)
    assert placed.remaining == 1


def test_an_order_of_the_day_ends_with_it_and_leaves_the_order_book() -> None:
    house = House()
    desk = house.desk()
    placed, filled = desk.place(order(price=PRICE - 10 * TICK)), desk.place(order())
    house.later(days=1)
    assert desk.orders() == []
    assert [each.status for each in desk.all_orders()] == [OrderStatus.EXPIRED, OrderStatus.FILLED]
    assert desk.all_orders() == [placed, filled]
    assert house.books["zerodha"].funds.used_orders == 0


def test_orders_of_two_brokers_meet_and_both_accounts_move() -> None:
    house = House(depth_lots=0)
    one, other = house.desk("zerodha"), house.desk("upstox", book=book_of(infy(settled=10)))
    bought, sold = one.place(order()), other.place(order(side=Side.SELL))
    assert bought.status is sold.status is OrderStatus.FILLED
    assert bought.deals[0].trade_id == sold.deals[0].trade_id
    assert [each.funds.available for each in house.books.values()] == [CASH - 10 * PRICE, CASH + 10 * PRICE]
    assert [pair[1] for pair in one.deals()] == bought.deals


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


# --- nothing is invented or lost ---------------------------------------------------------------------

PRODUCTS = st.sampled_from([Product.CNC, Product.MIS])
PLACED = st.tuples(
    st.sampled_from(["zerodha", "upstox"]),
    st.sampled_from(list(Side)),
    PRODUCTS,
    st.integers(1, 150),
    st.integers(-6, 6),
    st.booleans(),
)
CANCELLED = st.tuples(st.just("cancel"), st.integers(0, 30))
MODIFIED = st.tuples(st.just("modify"), st.integers(0, 30), st.integers(1, 200), st.integers(-6, 6))
MOVED = st.tuples(st.just("move"), st.integers(-6, 6))


def carry_out(house: House, desks: dict[str, Desk], action: tuple[object, ...]) -> None:
    """Do one thing; what is refused is nothing done."""
    word, *rest = action
    if word == "move":
        house.price_comes_to(PRICE + int(str(rest[0])) * TICK)
        return
    if word in ("cancel", "modify"):
        known = [(desk, each) for desk in desks.values() for each in desk.all_orders()]
        if not known:
            return
        desk, chosen = known[int(str(rest[0])) % len(known)]
        try:
            if word == "cancel":
                desk.cancel(chosen.order_id)
            else:
                desk.modify(chosen.order_id, quantity=int(str(rest[1])), price=PRICE + int(str(rest[2])) * TICK)
        except Refused:
            return
        return
    side, product, quantity, off, is_ioc = rest
    desks[str(word)].place(
        order(
            side=side,
            product=product,
            quantity=quantity,
            price=PRICE + int(str(off)) * TICK,
            validity=Validity.IOC if is_ioc else Validity.DAY,
        )
    )


@settings(max_examples=120, deadline=None)
@given(
    actions=st.lists(st.one_of(PLACED, PLACED, CANCELLED, MODIFIED, MOVED), max_size=30),
    depth=st.sampled_from([0, 20, 100]),
)
def test_shares_and_money_only_change_hands(actions: list[tuple[object, ...]], depth: int) -> None:
    """Over all desks and the maker nothing comes or goes: neither shares nor, at one price for what is open, money."""
    house = House(depth_lots=depth)
    desks = {slug: house.desk(slug, book=book_of(infy(settled=200))) for slug in ("zerodha", "upstox")}
    for action in actions:
        carry_out(house, desks, action)
    for slug, desk in desks.items():
        book = house.books[slug]
        orders = desk.all_orders()
        standing = [each for each in orders if each.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)]
        bought = sum(each.filled for each in orders if each.asked.side is Side.BUY)
        sold = sum(each.filled for each in orders if each.asked.side is Side.SELL)
        assert sum(row.quantity for row in book.positions) == bought - sold
        trades = house.exchange.trades
        assert bought == sum(trade.quantity for trade in trades if trade.buyer == slug)
        assert sold == sum(trade.quantity for trade in trades if trade.seller == slug)
        assert book.holdings[0].settled + book.holdings[0].used_today == 200
        assert book.holdings[0].settled >= 0
        assert book.funds.available >= 0
        assert (book.funds.used_orders > 0) <= bool(standing)
        for each in orders:
            assert each.filled == sum(deal.quantity for deal in each.deals) <= each.asked.quantity
        assert money(book) == value_of_trades(house, slug)


def money(book: Book) -> Decimal:
    """What dealing brought, what is open counted at PRICE."""
    funds = book.funds
    brought = funds.received_today - funds.used_delivery
    for row in book.positions:
        brought += row.quantity * PRICE
        if row.product == "MIS":  # only what is booked has moved money yet
            brought += row.sell_value - row.buy_value - booked(row)
    return brought.quantize(Decimal("1e-9"))


def value_of_trades(house: House, slug: str) -> Decimal:
    """The same, from the exchange's own list of trades."""
    total = Decimal(0)
    for trade in house.exchange.trades:
        gain = (PRICE - trade.price) * trade.quantity
        total += (gain if trade.buyer == slug else 0) - (gain if trade.seller == slug else 0)
    return total.quantize(Decimal("1e-9"))
