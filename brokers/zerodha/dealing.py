"""Our words of dealing into Kite's forms, and its answers back. Pure.

Sources: Kite Connect v3 docs ("Orders", "Margin calculation", "GTT"); fixtures/zerodha/.
"""

from __future__ import annotations

from typing import Any

from brokers.dealing import (
    UNBOUNDED,
    BrokerGtt,
    GttLeg,
    GttRequest,
    GttStatus,
    OrderChange,
    OrderMargin,
    OrderRequest,
    StandingOrder,
    changed_count,
    sent_as,
    validity_sent_as,
    written,
)
from brokers.domain import Exchange, Side
from brokers.errors import OrderRejected, UnexpectedResponse
from brokers.transport import as_json
from brokers.wire import (
    Row,
    amount,
    as_record,
    as_rows,
    money,
    one_of,
    optional_text,
    record,
    required,
    text,
    translated,
    whole,
)
from brokers.zerodha.mapping import data, time_of
from brokers.zerodha.spec import (
    AUTOMATIC_PROTECTION,
    EXCHANGE_WORDS,
    GTT_KIND_WORDS,
    GTT_KINDS,
    GTT_STATUSES,
    ORDER_TYPE_WORDS,
    PRODUCT_WORDS,
    PRODUCTS,
    VALIDITY_WORDS,
)


def order_params(request: OrderRequest) -> dict[str, str]:
    """The form of POST /orders/regular; MCX and currency are counted in lots. Raises NotSupported."""
    return {
        "exchange": sent_as(EXCHANGE_WORDS, request.traded.exchange, "exchange"),
        "tradingsymbol": request.traded.listing.tradingsymbol,
        "transaction_type": request.side.value,
        "quantity": str(request.count),
        "product": sent_as(PRODUCT_WORDS, request.product, "product"),
        **_terms(request, request),
        "tag": request.tag,
        **({"algo_id": request.algo_id} if request.algo_id else {}),
    }


def change_params(standing: StandingOrder, change: OrderChange) -> dict[str, str]:
    """The form of PUT /orders/regular/:order_id. UNCONFIRMED whether `quantity` is the total. Raises NotSupported."""
    count = changed_count(standing, change)
    return _terms(standing.request, change) | ({} if count is None else {"quantity": str(count)})


def _terms(request: OrderRequest, wanted: OrderRequest | OrderChange) -> dict[str, str]:
    """Type, validity and prices. A MARKET or SL-M order is never bare."""
    disclosed = wanted.disclosed_quantity
    prices = {"price": wanted.price, "trigger_price": wanted.trigger_price}
    terms = {
        "order_type": sent_as(ORDER_TYPE_WORDS, wanted.order_type, "order_type"),
        "validity": validity_sent_as(VALIDITY_WORDS, request.traded, wanted.validity),
        **{name: str(written(price)) for name, price in prices.items() if price is not None},
    }
    if disclosed is not None:
        terms["disclosed_quantity"] = str(request.traded.counted(disclosed))
    if wanted.order_type in UNBOUNDED:
        bounds = request.protection_pct
        terms["market_protection"] = AUTOMATIC_PROTECTION if bounds is None else str(written(bounds))
    return terms


def placed_id(body: Any) -> str:
    """The id in `{"order_id"}`, as place, modify and cancel answer. Raises OrderRejected, UnexpectedResponse.

    An order that was split comes back as a list, or with `children`. None of ours is: unless every part of it was
    refused, it stays open what became of it.
    """
    answer = data(body)
    if isinstance(answer, list):
        refused = [part["error"] for part in answer if as_record(part, "data").get("error")]
        if refused and len(refused) == len(answer):
            raise OrderRejected(
                "The broker rejected the order.", reason=optional_text(as_record(refused[0], "error"), "message")
            )
        raise UnexpectedResponse("data", "tells of an order that was split")
    row = as_record(answer, "data")
    if row.get("children"):
        raise UnexpectedResponse("children", "tells of an order that was split")
    return text(row, "order_id")


def margin_params(request: OrderRequest) -> list[dict[str, Any]]:
    """The rows of POST /margins/orders, for one order."""
    return [
        {
            "exchange": sent_as(EXCHANGE_WORDS, request.traded.exchange, "exchange"),
            "tradingsymbol": request.traded.listing.tradingsymbol,
            "transaction_type": request.side.value,
            "variety": "regular",
            "product": sent_as(PRODUCT_WORDS, request.product, "product"),
            "order_type": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
            "quantity": request.count,
            "price": written(request.price),
            "trigger_price": written(request.trigger_price),
        }
    ]


def margin(rows: Any) -> OrderMargin:
    """Map the one row of POST /margins/orders: what is needed is `total`; `charges.total` is Kite's own estimate."""
    row = as_record(next(iter(as_rows(rows, "data")), None), "data")
    return OrderMargin(required=amount(row, "total"), charges=money(record(row, "charges"), "total"))


def gtt_params(request: GttRequest) -> dict[str, str]:
    """The form of POST /gtt/triggers: two of its fields are JSON. Raises NotSupported."""
    names = {
        "exchange": sent_as(EXCHANGE_WORDS, request.traded.exchange, "exchange"),
        "tradingsymbol": request.traded.listing.tradingsymbol,
    }
    product = sent_as(PRODUCT_WORDS, request.product, "product")
    condition = {
        **names,
        "trigger_values": [written(leg.trigger_price) for leg in request.legs],
        "last_price": written(request.last_price),
    }
    legs = [
        {
            **names,
            "transaction_type": request.side.value,
            "quantity": request.traded.counted(leg.quantity),
            "order_type": "LIMIT",
            "product": product,
            "price": written(leg.price),
        }
        for leg in request.legs
    ]
    return {
        "type": sent_as(GTT_KIND_WORDS, request.kind, "gtt"),
        "condition": as_json(condition).decode(),
        "orders": as_json(legs).decode(),
    }


def gtt_id(body: Any) -> str:
    return text(as_record(data(body), "data"), "trigger_id")


def gtts(row: Row) -> list[BrokerGtt]:
    """Map one element of `data` in GET /gtt/triggers: the trigger prices stand apart from the orders they let out."""
    condition, sent = record(row, "condition"), as_rows(required(row, "orders"), "orders")
    triggers = as_rows(required(condition, "trigger_values"), "trigger_values")
    first = as_record(next(iter(sent), None), "orders")
    return [
        BrokerGtt(
            broker_gtt_id=text(row, "id"),
            exchange=one_of(Exchange, condition, "exchange"),
            tradingsymbol=text(condition, "tradingsymbol"),
            broker_token=text(condition, "instrument_token"),
            kind=translated(GTT_KINDS, required(row, "type"), "type"),
            side=one_of(Side, first, "transaction_type"),
            product=translated(PRODUCTS, required(first, "product"), "product"),
            legs=tuple(
                GttLeg(
                    trigger_price=amount({"trigger_values": trigger}, "trigger_values"),
                    price=amount(as_record(order, "orders"), "price"),
                    quantity=whole(as_record(order, "orders"), "quantity"),
                )
                for trigger, order in zip(triggers, sent, strict=False)
            ),
            status=GTT_STATUSES.get(text(row, "status"), GttStatus.UNKNOWN),
            created_at=time_of(row, "created_at"),
        )
    ]
