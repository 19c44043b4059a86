"""Our words of dealing into XTS's JSON, and its answers back. Pure.

Sources: Symphony XTS docs and SDKs ("Orders"); fixtures/iifl/orders_*.request.json.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from brokers.dealing import OrderChange, OrderRequest, StandingOrder, Traded, sent_as, validity_sent_as, written
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.iifl.instruments import SEGMENTS
from brokers.iifl.mapping import data
from brokers.iifl.spec import ORDER_TYPE_WORDS, PRODUCT_WORDS, VALIDITY_WORDS
from brokers.wire import as_record, text


def order_params(request: OrderRequest) -> dict[str, Any]:
    """The body of POST /interactive/orders. Prices are INR, 0 where there is none.

    UNCONFIRMED whether MCX is asked in lots or units: lots, as too few is the smaller harm. There is no field for the
    id of a registered algorithm, and none for a market protection.
    """
    if request.algo_id is not None:
        raise NotSupported("IIFL's XTS takes no id of a registered algorithm.", code="algo_id_not_offered")
    traded = request.traded
    return {
        "exchangeSegment": sent_as(SEGMENTS, traded.exchange, "exchange"),
        "exchangeInstrumentID": _number(traded.listing.broker_token),
        "productType": sent_as(PRODUCT_WORDS, request.product, "product"),
        "orderType": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
        "orderSide": request.side.value,
        "timeInForce": validity_sent_as(VALIDITY_WORDS, traded, request.validity),
        "disclosedQuantity": _disclosed(traded, request.disclosed_quantity),
        "orderQuantity": request.count,
        "limitPrice": written(request.price),
        "stopPrice": written(request.trigger_price),
        "orderUniqueIdentifier": request.tag,
        "apiOrderSource": "",
    }


def change_params(standing: StandingOrder, change: OrderChange) -> dict[str, Any]:
    """The body of PUT /interactive/orders: every field is asked for, changed or not.

    UNCONFIRMED whether the quantity is the new total or what is left, and clients differ: as long as nothing is filled
    they are the same, and after that nothing is changed.
    """
    if standing.filled_quantity:
        raise NotSupported(
            "IIFL's XTS does not say how a partly filled order is changed.",
            code="partly_filled",
            user_action="Cancel the rest of the order, then place it anew.",
        )
    request, traded = standing.request, standing.request.traded
    return {
        "appOrderID": _plain_id(standing.broker_order_id),
        "modifiedProductType": sent_as(PRODUCT_WORDS, request.product, "product"),
        "modifiedOrderType": sent_as(ORDER_TYPE_WORDS, change.order_type, "order_type"),
        "modifiedOrderQuantity": traded.counted(change.quantity),
        "modifiedDisclosedQuantity": _disclosed(traded, change.disclosed_quantity),
        "modifiedLimitPrice": written(change.price),
        "modifiedStopPrice": written(change.trigger_price),
        "modifiedTimeInForce": validity_sent_as(VALIDITY_WORDS, traded, change.validity),
        "orderUniqueIdentifier": request.tag,
    }


def cancel_params(standing: StandingOrder) -> dict[str, str]:
    """The query of DELETE /interactive/orders."""
    return {"appOrderID": standing.broker_order_id, "orderUniqueIdentifier": standing.request.tag}


def placed_id(body: Any) -> str:
    """The order's id in an acknowledgement; a 0 there is none. A number here, a text elsewhere."""
    order_id = text(as_record(data(body), "result"), "AppOrderID")
    if order_id == "0":
        raise UnexpectedResponse("AppOrderID", "is 0")
    return order_id


def _number(broker_token: str) -> int:
    """The exchange's number; a share that neither exchange lists has none."""
    if not broker_token.isdigit():
        raise NotSupported("IIFL's XTS has no number for this instrument.", code="instrument_not_offered")
    return int(broker_token)


def _plain_id(order_id: str) -> int | str:
    return int(order_id) if order_id.isdigit() else order_id


def _disclosed(traded: Traded, quantity: Decimal | None) -> int:
    return 0 if quantity is None else traded.counted(quantity)
