"""Our words of dealing into Upstox's JSON, and its answers back. Pure.

Sources: Upstox API docs (Place Order v3, Modify Order v3, Cancel Order v3, Margin Details); fixtures/upstox/.
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
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.secret import Secret
from brokers.upstox.mapping import data
from brokers.upstox.spec import (
    ALGO_HEADER,
    AUTOMATIC_PROTECTION,
    ORDER_TYPE_WORDS,
    PRODUCT_WORDS,
    SPEC,
    VALIDITY_WORDS,
    WIDEST_PROTECTION,
)
from brokers.wire import amount, as_record, as_rows, required, text


def order_params(request: OrderRequest) -> dict[str, Any]:
    """The body of POST /v3/order/place: every field is asked for, 0 where it is not used. Raises NotSupported.

    It is never split by the broker, and `is_amo` is ignored: the hour decides.
    """
    return {
        "instrument_token": _key(request.traded),
        "quantity": request.count,
        "transaction_type": request.side.value,
        "product": sent_as(PRODUCT_WORDS, (request.product, request.traded.segment), "product"),
        **_terms(request, request),
        "disclosed_quantity": _disclosed(request.traded, request.disclosed_quantity),
        "is_amo": False,
        "slice": False,
        "tag": request.tag,
    }


def change_params(standing: StandingOrder, change: OrderChange) -> dict[str, Any]:
    """The body of PUT /v3/order/modify. UNCONFIRMED whether `quantity` is the total. Raises NotSupported."""
    count = changed_count(standing, change)
    request, disclosed = standing.request, change.disclosed_quantity
    return {
        "order_id": standing.broker_order_id,
        **_terms(request, change),
        **({} if count is None else {"quantity": count}),
        **({} if disclosed is None else {"disclosed_quantity": _disclosed(request.traded, disclosed)}),
    }


def algo(request: OrderRequest) -> dict[str, Secret]:
    """The header that names a registered algorithm."""
    return {ALGO_HEADER: Secret(request.algo_id)} if request.algo_id else {}


def _key(traded: Traded) -> str:
    if traded.exchange not in SPEC.capabilities.exchanges:
        raise NotSupported(f"Upstox takes no orders for {traded.exchange} by API.", code="exchange_not_offered")
    return traded.listing.broker_token


def _terms(request: OrderRequest, wanted: OrderRequest | OrderChange) -> dict[str, Any]:
    """Type, validity and prices. A MARKET or SL-M order is never bare."""
    terms = {
        "order_type": sent_as(ORDER_TYPE_WORDS, wanted.order_type, "order_type"),
        "validity": validity_sent_as(VALIDITY_WORDS, request.traded, wanted.validity),
        "price": written(wanted.price),
        "trigger_price": written(wanted.trigger_price),
    }
    if wanted.order_type in UNBOUNDED:
        terms["market_protection"] = _protection(request.protection_pct)
    return terms


def _protection(percent: Decimal | None) -> int | Decimal:
    if percent is None:
        return AUTOMATIC_PROTECTION
    if percent > WIDEST_PROTECTION:
        raise NotSupported(f"Upstox bounds an order within {WIDEST_PROTECTION} percent.", code="protection_not_offered")
    return written(percent)


def _disclosed(traded: Traded, quantity: Decimal | None) -> int:
    return 0 if quantity is None else traded.counted(quantity)


def placed_id(body: Any) -> str:
    """The one id in `{"order_ids": […]}`. Several mean that the order was split, which none of ours asks for."""
    ids = as_rows(required(as_record(data(body), "data"), "order_ids"), "order_ids")
    if len(ids) != 1:
        raise UnexpectedResponse("order_ids", "is not one id")
    return text({"order_ids": ids[0]}, "order_ids")


def order_id(body: Any) -> str:
    """The id in `{"order_id"}`, as modify and cancel answer."""
    return text(as_record(data(body), "data"), "order_id")


def margin_params(request: OrderRequest) -> dict[str, Any]:
    """The body of POST /v2/charges/margin, for one order. Raises NotSupported."""
    return {
        "instruments": [
            {
                "instrument_key": _key(request.traded),
                "quantity": request.count,
                "product": sent_as(PRODUCT_WORDS, (request.product, request.traded.segment), "product"),
                "transaction_type": request.side.value,
                **({} if request.price is None else {"price": written(request.price)}),
            }
        ]
    }


def margin(row: Any) -> OrderMargin:
    """Map `data` of POST /v2/charges/margin: `required_margin` counts no hedge. Charges are another call's."""
    return OrderMargin(required=amount(as_record(row, "data"), "required_margin"))
