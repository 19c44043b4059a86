"""Our orders in Groww's words, and what its acknowledgements say. Pure.

Sources: Groww Trade API docs (Orders, Smart orders, Margin), both variants; fixtures/groww/order_*.json. Prices are
numbers in orders, and texts in smart orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from brokers.dealing import (
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
    sent_as,
    validity_sent_as,
    written,
)
from brokers.domain import OrderStatus, OrderType, Side
from brokers.errors import NotSupported, OrderRejected, RequestRefused, UnexpectedResponse
from brokers.groww.instruments import WORDS, plain_symbol, quote_key
from brokers.groww.mapping import data, moment
from brokers.groww.spec import (
    EXCHANGE_WORDS,
    EXCHANGES,
    GTT_STATUSES,
    ORDER_TYPE_WORDS,
    PRODUCT_WORDS,
    PRODUCTS,
    STATUSES,
    VALIDITY_WORDS,
)
from brokers.wire import (
    Row,
    amount,
    as_record,
    money,
    one_of,
    optional_text,
    positive,
    record,
    required,
    text,
    translated,
    whole,
)

PAISA = Decimal("0.01")


def order_params(request: OrderRequest) -> dict[str, Any]:
    """The body of POST /v1/order/create. The reference is unique for ever: a second order under it is refused.

    There is no field for bounds of a MARKET or SL_M order, which none may be sent without, for a disclosed quantity, or
    for the id of a registered algorithm. Raises NotSupported.
    """
    if request.algo_id is not None:
        raise NotSupported("Groww takes no id of a registered algorithm.", code="algo_id_not_offered")
    traded = request.traded
    return {
        **_listed(traded),
        "quantity": request.count,
        **_prices(request),
        "validity": validity_sent_as(VALIDITY_WORDS, traded, request.validity),
        "product": sent_as(PRODUCT_WORDS, request.product, "product"),
        "order_type": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
        "transaction_type": request.side.value,
        "order_reference_id": request.tag,
    }


def change_params(standing: StandingOrder, change: OrderChange) -> dict[str, Any]:
    """The body of POST /v1/order/modify; a validity cannot be changed. Raises NotSupported.

    UNCONFIRMED whether the quantity is the new total or what is left: as long as nothing is filled they are the same,
    and after that nothing is changed.
    """
    if standing.filled_quantity:
        raise NotSupported(
            "Groww does not say how a partly filled order is changed.",
            code="partly_filled",
            user_action="Cancel the rest of the order, then place it anew.",
        )
    if change.validity is not standing.request.validity:
        raise NotSupported("Groww does not change an order's validity.", code="validity_unchangeable")
    return {
        **cancel_params(standing),
        "order_type": sent_as(ORDER_TYPE_WORDS, change.order_type, "order_type"),
        "quantity": standing.request.traded.counted(change.quantity),
        **_prices(change),
    }


def cancel_params(standing: StandingOrder) -> dict[str, Any]:
    """The body of POST /v1/order/cancel."""
    segment, _ = _words(standing.request.traded)
    return {"segment": segment, "groww_order_id": standing.broker_order_id}


def _listed(traded: Traded) -> dict[str, str]:
    segment, exchange = _words(traded)
    return {"trading_symbol": traded.listing.tradingsymbol, "exchange": exchange, "segment": segment}


def _words(traded: Traded) -> tuple[str, str]:
    """Groww's segment and exchange."""
    return sent_as(EXCHANGE_WORDS, traded.exchange, "exchange")


def _prices(asked: OrderRequest | OrderChange) -> dict[str, int | Decimal]:
    if asked.disclosed_quantity is not None:
        raise NotSupported("Groww has no disclosed quantity.", code="disclosed_quantity_not_offered")
    prices = {"price": written(asked.price)}
    return prices | ({"trigger_price": written(asked.trigger_price)} if asked.order_type is OrderType.SL else {})


def placed_id(body: Any) -> str:
    """The id in the answer to create, which may say at once that the order is rejected. Raises OrderRejected."""
    row = as_record(data(body), "payload")
    order_id = text(row, "groww_order_id")
    if _is_rejected(row):
        raise OrderRejected("The broker rejected the order.", reason=optional_text(row, "remark"))
    return order_id


def changed_id(body: Any) -> str:
    """The id in the answer to modify. Raises RequestRefused."""
    row = as_record(data(body), "payload")
    order_id = text(row, "groww_order_id")
    if _is_rejected(row):
        raise RequestRefused("The broker did not change the order.", code="change_refused")
    return order_id


def order_id(body: Any) -> str:
    """The id in the answer to cancel, which the order's state beside it may not know of yet, and to a status."""
    return text(as_record(data(body), "payload"), "groww_order_id")


def _is_rejected(row: Row) -> bool:
    return STATUSES.get(text(row, "order_status")) is OrderStatus.REJECTED


def margin_params(request: OrderRequest) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Query and body of POST /v1/margins/detail/orders, for one order."""
    listed = _listed(request.traded)
    leg = {
        "trading_symbol": listed["trading_symbol"],
        "transaction_type": request.side.value,
        "quantity": request.count,
        "price": written(request.price),
        "order_type": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
        "product": sent_as(PRODUCT_WORDS, request.product, "product"),
        "exchange": listed["exchange"],
    }
    return {"segment": listed["segment"]}, [leg]


def margin(row: Any) -> OrderMargin:
    """Map the payload of margins/detail/orders. The total has the costs in it, as in one of two published samples."""
    row = as_record(row, "payload")
    charges = money(row, "brokerage_and_charges") if "brokerage_and_charges" in row else None
    return OrderMargin(required=amount(row, "total_requirement"), charges=charges)


def gtt_params(request: GttRequest) -> dict[str, Any]:
    """The body of POST /v1/order-advance/create for one trigger. Raises NotSupported.

    Two triggers (OCO) need the net position of the account, and at NSE and BSE the docs disagree whether they are taken
    at all: they are not sent.
    """
    if request.kind is not GttKind.SINGLE:
        raise NotSupported("A GTT with two triggers is not placed at Groww from here.", code="oco_not_offered")
    [leg], traded = request.legs, request.traded
    return {
        "reference_id": request.tag,
        "smart_order_type": "GTT",
        **_listed(traded),
        "quantity": traded.counted(leg.quantity),
        "trigger_price": _rupees(leg.trigger_price),
        "trigger_direction": "UP" if leg.trigger_price > request.last_price else "DOWN",
        "order": {"order_type": "LIMIT", "price": _rupees(leg.price), "transaction_type": request.side.value},
        "product_type": sent_as(PRODUCT_WORDS, request.product, "product"),
        "duration": "DAY",
    }


def _rupees(price: Decimal) -> str:
    """With its paise, as published. Raises NotSupported rather than round."""
    if price % PAISA:
        raise NotSupported(f"{price} is no whole number of paise.", code="odd_price")
    return f"{price:.2f}"


def gtt_id(body: Any) -> str:
    """The id in the answer to create and cancel, which may say that it failed. Raises OrderRejected."""
    row = as_record(data(body), "payload")
    gtt = text(row, "smart_order_id")
    if GTT_STATUSES.get(text(row, "status")) is GttStatus.REJECTED:
        raise OrderRejected("The broker rejected the order.", reason=optional_text(row, "remark"))
    return gtt


def gtt_path(gtt: BrokerGtt) -> str:
    """What names a smart order in paths: segment, kind and id."""
    kind = "OCO" if gtt.kind is GttKind.OCO else "GTT"
    return f"{WORDS[gtt.exchange][0]}/{kind}/{gtt.broker_gtt_id}"


def listed_gtt_id(row: Any) -> str:
    """The id of one element of `payload.orders` in GET order-advance/list, which has little more than that."""
    return text(as_record(row, "orders"), "smart_order_id")


def gtts(row: Row, segment: str) -> list[BrokerGtt]:
    """Map the payload of GET order-advance/status for one trigger. A status that we do not know is UNKNOWN."""
    exchange = translated(EXCHANGES, (segment, required(row, "exchange")), "exchange")
    symbol, order = plain_symbol(text(row, "trading_symbol")), record(row, "order")
    return [
        BrokerGtt(
            broker_gtt_id=text(row, "smart_order_id"),
            exchange=exchange,
            tradingsymbol=symbol,
            broker_token=quote_key(exchange, symbol),
            kind=GttKind.SINGLE,
            side=one_of(Side, order, "transaction_type"),
            product=translated(PRODUCTS, required(row, "product_type"), "product_type"),
            legs=(_leg(row, order),),
            status=GTT_STATUSES.get(text(row, "status"), GttStatus.UNKNOWN),
            created_at=moment(text(row, "created_at"), "created_at") if row.get("created_at") else None,
        )
    ]


def _leg(row: Row, order: Mapping[str, Any]) -> GttLeg:
    price, trigger = positive(order, "price"), positive(row, "trigger_price")
    if price is None or trigger is None:
        raise UnexpectedResponse("price" if price is None else "trigger_price", "has no number")
    return GttLeg(trigger_price=trigger, price=price, quantity=whole(row, "quantity"))
