"""What an order may come to, and whether a person must say yes to it first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from brokers.domain import Product, Side
from orders import explaining
from orders.facts import Choices, Priced, Why


def worth(side: Side, quantity: Decimal, price: Decimal, prices: Mapping[str, Priced]) -> Decimal | None:
    """The most that an order may come to, INR: a purchase at its limit; a sale at that or the last price, if more.

    The limit of a sale bounds it from below alone: where no last price is known, what it comes to is not either.
    """
    if side is Side.BUY:
        return quantity * price
    last = [each.last_price for each in prices.values()]
    return quantity * max(price, *last) if last else None


def needs_approval(choices: Choices, product: Product, value: Decimal | None) -> Why | None:
    """Why a person must say yes first. What cannot be read or reckoned needs it: the queue fails closed."""
    remedy = "Approve it with a fresh second factor, before its time is over."
    if not choices.approval_known:
        return Why(
            code="approval_unreadable",
            words="Your setting for approval cannot be read, and so every order waits for you.",
            remedy="Set it again under order settings. " + remedy,
        )
    if product in choices.approval_products:
        return Why(code="approval_product", words=f"Every {product} order waits for approval.", remedy=remedy)
    if choices.approval_above is None:
        return None
    if value is None:
        return Why(code="approval_value_unknown", words="What it comes to is not known.", remedy=remedy)
    if value > choices.approval_above:
        return Why(
            code="approval_value",
            words=f"It may come to ₹{explaining.rupees(value)}: orders above "
            f"₹{explaining.rupees(choices.approval_above)} wait for approval.",
            remedy=remedy,
        )
    return None
