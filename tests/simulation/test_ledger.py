"""What orders do to the account: nothing is invented or lost."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from brokers.domain import OrderStatus, Product, Side, Validity
from brokers.simulation.book import Book, Financed
from brokers.simulation.dealing import Refused
from brokers.simulation.desk import Desk
from brokers.simulation.exchange import LEVEL_LOTS
from brokers.simulation.ledger import booked
from tests.simulation.house import CALL, CASH, CRUDE, PRICE, TICK, House, book_of, infy, order

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
