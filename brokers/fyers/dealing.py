"""Our words of dealing into Fyers' JSON, and its answers back. Pure.

Sources: Fyers API v3 docs ("Order Placement", "GTT Orders", "Margin Calculator"); fixtures/fyers/.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from brokers.dealing import (
    UNBOUNDED,
    BrokerGtt,
    GttKind,
    GttLeg,
    GttRequest,
    GttStatus,
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
from brokers.fyers.instruments import exchange, plain_symbol
from brokers.fyers.mapping import time_of
from brokers.fyers.spec import (
    CANCELLED,
    CHANGED,
    GTT_KINDS,
    GTT_PRODUCTS,
    GTT_STATUSES,
    ORDER_TYPE_WORDS,
    PLACED,
    PRODUCT_WORDS,
    PRODUCTS,
    SIDE_WORDS,
    SIDES,
    SPEC,
    VALIDITY_WORDS,
)
from brokers.wire import Row, amount, as_record, identifier, money, required, text, translated, whole


def order_params(request: OrderRequest) -> dict[str, Any]:
    """The body of POST /api/v3/orders/sync: every field is asked for, 0 where it is not used. Raises NotSupported.

    MCX and currency are counted in lots. It is never split by the broker, and takes no id of a registered algorithm.
    """
    if request.algo_id is not None:
        raise NotSupported("Fyers takes no id of a registered algorithm.", code="algo_id_not_offered")
    if request.order_type in UNBOUNDED and request.protection_pct is not None:
        raise NotSupported("Fyers sets the bounds of a market order itself.", code="protection_not_offered")
    return {
        "symbol": _ticker(request.traded),
        "qty": request.count,
        "type": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
        "side": SIDE_WORDS[request.side],
        "productType": sent_as(PRODUCT_WORDS, request.product, "product"),
        "limitPrice": written(request.price),
        "stopPrice": written(request.trigger_price),
        "validity": validity_sent_as(VALIDITY_WORDS, request.traded, request.validity),
        "disclosedQty": _disclosed(request, request.traded),
        "offlineOrder": False,
        "stopLoss": 0,
        "takeProfit": 0,
        "orderTag": request.tag,
        "isSliceOrder": False,
    }


def change_params(standing: StandingOrder, change: OrderChange) -> dict[str, Any]:
    """The body of PATCH /api/v3/orders/sync. UNCONFIRMED whether `qty` is the total. Raises NotSupported."""
    request = standing.request
    if change.validity is not request.validity:
        raise NotSupported("Fyers does not change how long an order is good.", code="validity_unchangeable")
    count = changed_count(standing, change)
    return {
        "id": standing.broker_order_id,
        "type": sent_as(ORDER_TYPE_WORDS, change.order_type, "order_type"),
        "limitPrice": written(change.price),
        "stopPrice": written(change.trigger_price),
        **({} if count is None else {"qty": count}),
        **({} if change.disclosed_quantity is None else {"disclosedQty": _disclosed(change, request.traded)}),
    }


def _ticker(traded: Traded) -> str:
    if traded.exchange not in SPEC.capabilities.exchanges:
        raise NotSupported(f"Fyers takes no orders for {traded.exchange}.", code="exchange_not_offered")
    return traded.listing.broker_token


def _disclosed(asked: OrderRequest | OrderChange, traded: Traded) -> int:
    return 0 if asked.disclosed_quantity is None else traded.counted(asked.disclosed_quantity)


def placed_id(body: Any) -> str:
    """The id in the answer to a placed order, or GTT; 201 has one too, and says only that the order was sent."""
    return _acknowledged_id(body, PLACED)


def changed_id(body: Any) -> str:
    return _acknowledged_id(body, CHANGED)


def cancelled_id(body: Any) -> str:
    return _acknowledged_id(body, CANCELLED)


def _acknowledged_id(body: Any, codes: Collection[int]) -> str:
    row = as_record(body, "body")
    if required(row, "code") not in codes:
        raise UnexpectedResponse("code", "acknowledges nothing")
    return identifier(row, "id")


def margin_params(request: OrderRequest) -> dict[str, Any]:
    """The body of POST /api/v3/multiorder/margin, for one order. Raises NotSupported."""
    return {
        "data": [
            {
                "symbol": _ticker(request.traded),
                "qty": request.count,
                "side": SIDE_WORDS[request.side],
                "type": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
                "productType": sent_as(PRODUCT_WORDS, request.product, "product"),
                "limitPrice": written(request.price),
                "stopLoss": 0,
                "stopPrice": written(request.trigger_price),
                "takeProfit": 0,
            }
        ]
    }


def margin(row: Any) -> OrderMargin:
    """Map `data` of POST /api/v3/multiorder/margin: `margin_total` is the order's own, whatever else is held."""
    row = as_record(row, "data")
    return OrderMargin(required=amount(row, "margin_total"), available=money(row, "margin_avail"))


def gtt_params(request: GttRequest) -> dict[str, Any]:
    """The body of POST /api/v3/gtt/orders/sync; of two legs the upper comes first. Raises NotSupported."""
    if request.product not in GTT_PRODUCTS:
        raise NotSupported("Fyers has no GTT for this product.", code="product_not_offered")
    legs = [
        {
            "price": written(leg.price),
            "triggerPrice": written(leg.trigger_price),
            "qty": request.traded.counted(leg.quantity),
        }
        for leg in reversed(request.legs)
    ]
    return {
        "side": SIDE_WORDS[request.side],
        "symbol": _ticker(request.traded),
        "productType": PRODUCT_WORDS[request.product],
        "orderInfo": {f"leg{number}": leg for number, leg in enumerate(legs, start=1)},
    }


def gtts(row: Row) -> list[BrokerGtt]:
    """Map one element of `orderBook` in GET /api/v3/gtt/orders, in INR; the second leg has fields of its own."""
    place, kind = exchange(text(row, "fy_token")), translated(GTT_KINDS, text(row, "gtt_oco_ind"), "gtt_oco_ind")
    numbers = ("2", "") if kind is GttKind.OCO else ("",)
    legs = (
        GttLeg(
            trigger_price=amount(row, f"price{number}_trigger"),
            price=amount(row, f"price{number}_limit"),
            quantity=whole(row, f"qty{number}"),
        )
        for number in numbers
    )
    ticker = text(row, "symbol")
    return [
        BrokerGtt(
            broker_gtt_id=text(row, "id"),
            exchange=place,
            tradingsymbol=plain_symbol(ticker, place),
            broker_token=ticker,
            kind=kind,
            side=translated(SIDES, text(row, "tran_side"), "tran_side"),
            product=translated(PRODUCTS, required(row, "product_type"), "product_type"),
            legs=tuple(legs),
            status=GTT_STATUSES.get(text(row, "ord_status"), GttStatus.UNKNOWN),
            created_at=time_of(row, "create_time"),
        )
    ]
