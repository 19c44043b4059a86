"""Our words of dealing into IIFL Capital's JSON, and its answers back. Pure.

Sources: IIFL Capital open API docs ("Orders", "Margin"); fixtures/iifl_capital/. Numbers are texts, as published.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.dealing import (
    UNBOUNDED,
    OrderChange,
    OrderMargin,
    OrderRequest,
    StandingOrder,
    Traded,
    changed_count,
    sent_as,
    validity_sent_as,
    written,
)
from brokers.domain import OrderType
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.iifl_capital.instruments import WORDS
from brokers.iifl_capital.mapping import MARGIN, SUCCESS, data
from brokers.iifl_capital.spec import (
    LONGEST_ALGO_ID,
    NOT_FOR_MARGIN,
    ORDER_TYPE_WORDS,
    PRODUCT_WORDS,
    REGULAR,
    VALIDITY_WORDS,
)
from brokers.wire import Row, amount, as_record, identifier


def order_params(request: OrderRequest) -> Row:
    """One leg of POST /v1/orders: every value is a text, and what is not asked for is left out.

    UNCONFIRMED: prices are sent in INR, as clients do, and the market protection in percent. Should hundredths be
    meant, the protection is narrower than was asked, and the order rests; the other way round it took any price.
    """
    traded = request.traded
    leg = {
        "instrumentId": _number(traded),
        "exchange": sent_as(WORDS, traded.exchange, "exchange"),
        "transactionType": request.side.value,
        "quantity": str(request.count),
        "orderComplexity": REGULAR,
        "product": sent_as(PRODUCT_WORDS, request.product, "product"),
        "orderType": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
        "validity": validity_sent_as(VALIDITY_WORDS, traded, request.validity),
        "price": _written(request.price),
        "slTriggerPrice": _written(request.trigger_price),
        "disclosedQuantity": _counted(traded, request.disclosed_quantity),
        "marketProtectionPercent": _protection(request.order_type, request.protection_pct),
        "algoId": _algo_id(request.algo_id),
        "orderTag": request.tag,
    }
    return {name: value for name, value in leg.items() if value is not None}


def margin_params(request: OrderRequest) -> Row:
    """The body of POST /v1/preordermargin: the same order, of which some fields are not asked for."""
    return {name: value for name, value in order_params(request).items() if name not in NOT_FOR_MARGIN}


def change_params(standing: StandingOrder, change: OrderChange) -> Row:
    """The body of PUT /v1/orders/{brokerOrderId}: one object, as in the published use cases.

    The quantity is left out where it stays. UNCONFIRMED whether it is the new total or what is left.
    """
    request, traded = standing.request, standing.request.traded
    quantity = changed_count(standing, change)
    changed = {
        "quantity": None if quantity is None else str(quantity),
        "orderType": sent_as(ORDER_TYPE_WORDS, change.order_type, "order_type"),
        "validity": validity_sent_as(VALIDITY_WORDS, traded, change.validity),
        "price": _written(change.price),
        "slTriggerPrice": _written(change.trigger_price),
        "disclosedQuantity": _counted(traded, change.disclosed_quantity),
        "marketProtectionPercent": _protection(change.order_type, request.protection_pct),
    }
    return {name: value for name, value in changed.items() if value is not None}


def placed_id(body: Any) -> str:
    """The id in an acknowledgement: one leg, in a list after placing, alone after a change or a cancellation."""
    result = data(body)
    legs = result if isinstance(result, list) else [result]
    if len(legs) != 1:
        raise UnexpectedResponse("result", "is not one leg")
    leg = as_record(legs[0], "result")
    if leg.get("status") != SUCCESS:
        raise UnexpectedResponse("status", "is missing")
    return identifier(leg, "brokerOrderId")


def margin(body: Any) -> OrderMargin:
    """Map POST /v1/preordermargin, printed bare; it is read in the envelope, too.

    UNCONFIRMED whether `totalCashAvailable` is what is left beside the orders that stand: it is not told.
    """
    row = as_record(body, "body")
    return OrderMargin(required=amount(row if MARGIN in row else as_record(data(row), "result"), MARGIN))


def _number(traded: Traded) -> str:
    number = traded.listing.broker_token
    if not number.isdigit():
        raise NotSupported("IIFL Capital has no number for this instrument.", code="instrument_not_offered")
    return number


def _protection(order_type: OrderType, percent: Decimal | None) -> str | None:
    """Of a market order: it is the caller's to say, as the broker has no bounds of its own."""
    if order_type not in UNBOUNDED:
        return None
    if not percent:
        raise NotSupported("IIFL Capital takes no market order without a market protection.", code="unprotected_order")
    return _written(percent)


def _algo_id(algo_id: str | None) -> str | None:
    if algo_id is not None and len(algo_id) > LONGEST_ALGO_ID:
        raise NotSupported("IIFL Capital takes no id of an algorithm as long as this.", code="algo_id_not_offered")
    return algo_id


def _written(price: Decimal | None) -> str | None:
    return None if price is None else f"{written(price)}"


def _counted(traded: Traded, quantity: Decimal | None) -> str | None:
    return None if quantity is None else str(traded.counted(quantity))
