"""A desk: what it refuses, what its risk system rejects, and what becomes of orders that change."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from msgspec import structs

from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.simulation.book import Funds, Holding
from brokers.simulation.dealing import Refusal, Refused
from brokers.simulation.desk import Desk
from brokers.simulation.exchange import LEVEL_LOTS
from tests.simulation.house import CALL, CASH, CRUDE, OTHER_KEY, PRICE, TICK, House, book_of, infy, order

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
