"""What orders and fills do to a simulated account: the margin they need, the shares they move, the money they bring.

Rates are invented, and plain: delivery is paid in full, MTF a quarter, intraday a fifth; futures and written options
block an eighth of what they are over; an option that is bought costs its premium. Charges are not taken.
Values are rupees: quantity x price x the contract's multiplier (MCX counts lots).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from brokers.domain import Product, Side
from brokers.simulation.book import ZERO, Book, Holding, Position
from brokers.simulation.dealing import NewOrder
from brokers.simulation.instruments import Instruments, Listing

MTF_RATE = Decimal("0.25")
INTRADAY_RATE = Decimal("0.20")
DERIVATIVE_RATE = Decimal("0.125")
DELIVERY_RATES = {Product.CNC: Decimal(1), Product.MTF: MTF_RATE}


class Ledger:
    """The account of one desk, over whatever book it has just now."""

    def __init__(self, instruments: Instruments, book: Callable[[], Book]) -> None:
        self.instruments = instruments
        self._book = book

    @property
    def book(self) -> Book:
        return self._book()

    # --- before ----------------------------------------------------------------------------------

    def needed(self, order: NewOrder, quantity: int, price: Decimal, *, closed: int = 0) -> Decimal:
        """Return what must be free for so much of an order. `closed`: how much a position is expected to absorb."""
        listing = self.instruments[order.key]
        value = quantity * price * listing.contract_multiplier
        if is_premium(listing) and order.side is Side.BUY:
            return value
        if order.product in (Product.CNC, Product.MTF):
            return value * DELIVERY_RATES[order.product] if order.side is Side.BUY else ZERO
        return max(quantity - closed, 0) * self.margin_of_one(listing, price)

    def margin_of_one(self, listing: Listing, price: Decimal) -> Decimal:
        """Return what one more unit (or lot) of an open position blocks, other than a bought option."""
        if listing.is_cash:
            return price * INTRADAY_RATE
        over = listing.strike if is_premium(listing) and listing.strike is not None else price
        return over * listing.contract_multiplier * DERIVATIVE_RATE

    def sellable(self, order: NewOrder) -> int:
        """Return the units that a delivery sale may take: settled and free ones, and today's own purchases.

        T1 and pledged shares are not among them.
        """
        listing = self.instruments[order.key]
        rows = [row for row in self.book.holdings if row.isin == listing.isin]
        dealt = [row for row in self.book.positions if row.product == order.product and self._isin(row) == listing.isin]
        if order.product is Product.MTF:
            return sum(row.mtf.quantity for row in rows if row.mtf) + sum(row.quantity for row in dealt)
        settled, used = sum(row.settled for row in rows), sum(row.used_today for row in rows)
        return settled + max(0, sum(row.quantity for row in dealt) + used)

    def position(self, order: NewOrder) -> Position | None:
        """Return the row that an order of this product in this listing moves, if there is one."""
        for row in self.book.positions:
            if row.key == order.key and row.product == order.product:
                return row
        return None

    # --- a fill ----------------------------------------------------------------------------------

    def fill(self, order: NewOrder, quantity: int, price: Decimal) -> None:
        """Move shares, position, margin and money by one fill of an order."""
        listing, funds = self.instruments[order.key], self.book.funds
        value = quantity * price * listing.contract_multiplier
        row = self.position(order) or self._new_position(order, listing)
        if order.product in (Product.CNC, Product.MTF):
            self._deliver(order, listing, row, quantity, value)
            deal(row, order.side, quantity, price)
            return
        before, blocked = booked(row), row.margin
        self._move_margin(row, order, listing, quantity, price)
        deal(row, order.side, quantity, price)
        if is_premium(listing):
            funds.received_today += value if order.side is Side.SELL else -value
        else:
            funds.received_today += (booked(row) - before) * listing.contract_multiplier
        if listing.is_cash:
            funds.used_exposure += row.margin - blocked
        else:
            funds.used_span += row.margin - blocked

    def _new_position(self, order: NewOrder, listing: Listing) -> Position:
        row = Position(symbol=listing.symbol, exchange=listing.exchange, product=order.product.value)
        self.book.positions.append(row)
        return row

    def _deliver(self, order: NewOrder, listing: Listing, row: Position, quantity: int, value: Decimal) -> None:
        funds = self.book.funds
        if order.side is Side.BUY:
            if order.product is Product.MTF:
                funds.used_mtf += value * MTF_RATE
            else:
                funds.used_delivery += value
            return
        funds.received_today += value
        for holding in [each for each in self.book.holdings if each.isin == listing.isin]:
            quantity -= self._hand_over(holding, order.product, quantity)
        if order.product is Product.MTF:  # what is left was bought today, and lent for
            funds.received_today -= quantity * row.day_buy_price * (1 - MTF_RATE)

    def _hand_over(self, holding: Holding, product: Product, quantity: int) -> int:
        """Take shares out of a holding, and repay what was lent for them; returns how many."""
        if product is Product.CNC:
            taken = min(quantity, holding.settled)
            holding.settled -= taken
            holding.used_today += taken
            return taken
        financed = holding.mtf
        if financed is None or not financed.quantity:
            return 0
        taken = min(quantity, financed.quantity)
        paid = financed.initial_margin * taken / financed.quantity
        self.book.funds.received_today -= taken * financed.average_price - paid
        financed.quantity -= taken
        financed.initial_margin -= paid
        return taken

    def _move_margin(self, row: Position, order: NewOrder, listing: Listing, quantity: int, price: Decimal) -> None:
        """Release what the closed part blocked, block for the opened part. Call before the row is moved."""
        closed = closing(row, order.side, quantity)
        if closed:
            row.margin -= row.margin * closed / abs(row.quantity)
        is_paid = is_premium(listing) and order.side is Side.BUY
        if not is_paid:
            row.margin += (quantity - closed) * self.margin_of_one(listing, price)

    def _isin(self, row: Position) -> str | None:
        listing = self.instruments.get(row.key)
        return listing.isin if listing else None


def is_premium(listing: Listing) -> bool:
    return listing.kind == "OPTION"


def closing(row: Position | None, side: Side, quantity: int) -> int:
    """Return how much of a fill brings the position nearer to none."""
    if row is None:
        return 0
    against = -row.quantity if side is Side.BUY else row.quantity
    return min(quantity, max(against, 0))


def booked(row: Position) -> Decimal:
    """Return what the closed part of a position brought, as all its buys and sells on the average tell it."""
    return row.sell_value - row.buy_value + row.quantity * row.average_price


def deal(row: Position, side: Side, quantity: int, price: Decimal) -> None:
    """Add one fill to the day's dealing of a position; its value stays exact where its average cannot be."""
    if side is Side.BUY:
        row.day_buy_total = row.day_buy_value + quantity * price
        row.day_buy_quantity += quantity
        row.day_buy_price = row.day_buy_total / row.day_buy_quantity
    else:
        row.day_sell_total = row.day_sell_value + quantity * price
        row.day_sell_quantity += quantity
        row.day_sell_price = row.day_sell_total / row.day_sell_quantity
