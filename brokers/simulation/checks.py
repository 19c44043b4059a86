"""What a desk refuses at once, before an order is one: the same judgement for a new order and a changed one."""

from __future__ import annotations

from decimal import Decimal

from brokers.domain import OrderType, Product, Side, Validity
from brokers.simulation.dealing import NewOrder, Refusal, Refused
from brokers.simulation.instruments import Listing
from brokers.simulation.market import CIRCUIT, Market, Price

CASH_PRODUCTS = frozenset({Product.CNC, Product.MTF, Product.MIS})
DERIVATIVE_PRODUCTS = frozenset({Product.MIS, Product.NRML})
VALIDITIES = frozenset({Validity.DAY, Validity.IOC})
PRICED = frozenset({OrderType.LIMIT, OrderType.SL})
TRIGGERED = frozenset({OrderType.SL, OrderType.SL_M})
NO_IOC = frozenset({"MCX", "NCO"})
SHARE_FREEZE_QUANTITY = 100_000

# (price below, share of it): how far from the last price a protected market order may deal.
SHARE_PROTECTION: tuple[tuple[Decimal, Decimal], ...] = (
    (Decimal(100), Decimal("0.02")),
    (Decimal(500), Decimal("0.01")),
)
SHARE_PROTECTION_ABOVE = Decimal("0.005")
OPTION_PROTECTION: tuple[tuple[Decimal, Decimal], ...] = (
    (Decimal(10), Decimal("0.05")),
    (Decimal(100), Decimal("0.03")),
    (Decimal(500), Decimal("0.02")),
)
OPTION_PROTECTION_ABOVE = Decimal("0.01")


def check(order: NewOrder, market: Market) -> None:
    """Raise Refused for what no exchange would take."""
    price, listing = market.price(order.key), market.instruments.get(order.key)
    if price is None or listing is None:
        raise Refused(Refusal.UNKNOWN_INSTRUMENT, f"{order.key} does not trade.")
    _check_offered(order, listing)
    _check_quantity(order, listing)
    _check_prices(order, price, market.tick_size(listing))


def _check_offered(order: NewOrder, listing: Listing) -> None:
    if listing.is_index:
        raise Refused(Refusal.NOT_OFFERED, f"{listing.symbol} is an index: nobody deals in it.")
    if order.product not in (CASH_PRODUCTS if listing.is_cash else DERIVATIVE_PRODUCTS):
        raise Refused(Refusal.NOT_OFFERED, f"{order.product} is not offered at {listing.exchange}.")
    if order.validity not in VALIDITIES:
        raise Refused(Refusal.NOT_OFFERED, f"{order.validity} is not offered.")
    if order.validity is Validity.IOC and listing.exchange in NO_IOC:
        raise Refused(Refusal.NOT_OFFERED, f"IOC is not offered at {listing.exchange}.")
    if order.validity is Validity.IOC and order.order_type in TRIGGERED:
        raise Refused(Refusal.NOT_OFFERED, "A stop-loss order is for the day.")
    if order.order_type not in PRICED and not order.is_protected:
        raise Refused(Refusal.UNPROTECTED, "Market orders need market protection.")


def _check_quantity(order: NewOrder, listing: Listing) -> None:
    if order.quantity <= 0 or order.quantity % listing.lot_size:
        raise Refused(Refusal.BAD_QUANTITY, f"The quantity is no multiple of {listing.lot_size}.")
    freeze = freeze_quantity(listing)
    if freeze is not None and order.quantity > freeze:
        raise Refused(Refusal.BAD_QUANTITY, f"The quantity is above the freeze quantity of {freeze}.")
    if not 0 <= order.disclosed_quantity <= order.quantity:
        raise Refused(Refusal.BAD_QUANTITY, "More is disclosed than ordered.")


def _check_prices(order: NewOrder, price: Price, tick: Decimal) -> None:
    if order.order_type in PRICED:
        _check_price(order.price, price, tick, "price")
    if order.order_type in TRIGGERED:
        _check_price(order.trigger_price, price, tick, "trigger price")
    if order.order_type is OrderType.SL and order.price is not None and order.trigger_price is not None:
        is_beyond = order.trigger_price > order.price if order.side is Side.BUY else order.trigger_price < order.price
        if is_beyond:
            raise Refused(Refusal.BAD_PRICE, "The trigger price lies beyond the price.")


def _check_price(value: Decimal | None, price: Price, tick: Decimal, what: str) -> None:
    if value is None or value <= 0:
        raise Refused(Refusal.BAD_PRICE, f"The {what} is missing.")
    if value % tick:
        raise Refused(Refusal.BAD_PRICE, f"The {what} is no multiple of the tick size of {tick}.")
    low, high = band(price)
    if not low <= value <= high:
        raise Refused(Refusal.BAD_PRICE, f"The {what} is outside the day's band of {low} to {high}.")


def band(price: Price) -> tuple[Decimal, Decimal]:
    """Return the lowest and the highest price of the day, as the quotes tell it."""
    return price.close * (1 - CIRCUIT), price.close * (1 + CIRCUIT)


def freeze_quantity(listing: Listing) -> int | None:
    """Return the largest order that passes, in units; None: nobody published one."""
    if listing.row["freeze_qty"]:
        return int(listing.row["freeze_qty"])
    return SHARE_FREEZE_QUANTITY if listing.is_cash else None


def protected_price(side: Side, around: Decimal, listing: Listing, tick: Decimal) -> Decimal:
    """Return how far a protected market order may go: on the tick, towards the price it is measured from."""
    steps, above = SHARE_PROTECTION, SHARE_PROTECTION_ABOVE
    if listing.kind == "OPTION":
        steps, above = OPTION_PROTECTION, OPTION_PROTECTION_ABOVE
    share = next((share for below, share in steps if around < below), above)
    ticks = around * share // tick
    return around + ticks * tick if side is Side.BUY else max(around - ticks * tick, tick)
