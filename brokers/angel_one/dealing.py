"""Our words of dealing into SmartAPI's JSON, and its answers back. Pure.

Sources: SmartAPI docs (Orders, GTT, Margin); fixtures/angel_one/. Numbers are texts, as in the published requests.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.angel_one.instruments import plain_symbol, wire_symbol
from brokers.angel_one.mapping import data
from brokers.angel_one.spec import (
    EXCHANGE_WORDS,
    EXCHANGES,
    GTT_EXCHANGES,
    GTT_PRODUCT_WORDS,
    GTT_STATUSES,
    ORDER_TYPE_WORDS,
    PRODUCT_WORDS,
    PRODUCTS,
    VALIDITY_WORDS,
    VARIETIES,
)
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
    sent_as,
    validity_sent_as,
    written,
)
from brokers.domain import OrderType, Side
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.wire import Row, amount, as_record, one_of, optional_text, positive, required, text, translated, whole

PAISA = Decimal("0.01")


def order_params(request: OrderRequest) -> Row:
    """The body of placeOrder. Raises NotSupported.

    The broker bounds a MARKET or STOPLOSS_MARKET order by itself and takes no bounds of ours. UNCONFIRMED that the
    consent to trade shares under surveillance may be given for any: the published request gives it for one that is not.
    """
    if request.algo_id is not None:
        raise NotSupported("SmartAPI takes no id of a registered algorithm.", code="algo_id_not_offered")
    traded = request.traded
    if request.order_type in UNBOUNDED and request.protection_pct is not None:
        raise NotSupported("Angel One sets the bounds of a market order itself.", code="protection_not_offered")
    return {
        "variety": VARIETIES[request.order_type],
        **_named(traded),
        "transactiontype": request.side.value,
        "ordertype": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
        "producttype": sent_as(PRODUCT_WORDS, request.product, "product"),
        "duration": validity_sent_as(VALIDITY_WORDS, traded, request.validity),
        **_prices(request),
        "squareoff": "0",
        "stoploss": "0",
        "quantity": str(request.count),
        **_disclosed(request, traded),
        "ordertag": request.tag,
        "scripconsent": "yes",
    }


def change_params(standing: StandingOrder, change: OrderChange) -> Row:
    """The body of modifyOrder: the order as it is to be, whole. Raises NotSupported.

    An order is named by its variety, too. UNCONFIRMED what becomes of that when a stop-loss becomes a plain order: such
    a change is not sent. UNCONFIRMED whether the quantity is the new total or what is left: as long as nothing is
    filled they are the same, and after that nothing is changed.
    """
    if standing.filled_quantity:
        raise NotSupported(
            "Angel One does not say how a partly filled order is changed.",
            code="partly_filled",
            user_action="Cancel the rest of the order, then place it anew.",
        )
    asked = standing.request
    traded, variety = asked.traded, VARIETIES[asked.order_type]
    if VARIETIES[change.order_type] != variety:
        raise NotSupported(
            "Angel One does not turn a stop-loss order into another, nor back: cancel it and place a new one.",
            code="order_type_unchangeable",
        )
    return {
        "variety": variety,
        "orderid": standing.broker_order_id,
        "ordertype": sent_as(ORDER_TYPE_WORDS, change.order_type, "order_type"),
        "producttype": sent_as(PRODUCT_WORDS, asked.product, "product"),
        "duration": validity_sent_as(VALIDITY_WORDS, traded, change.validity),
        **_prices(change),
        "quantity": str(traded.counted(change.quantity)),
        **_disclosed(change, traded),
        **_named(traded),
    }


def cancel_params(standing: StandingOrder) -> Row:
    return {"variety": VARIETIES[standing.request.order_type], "orderid": standing.broker_order_id}


def placed_id(body: Any) -> str:
    """The id in the answer to placeOrder, modifyOrder and cancelOrder; it says that they were taken, and no more."""
    return text(as_record(data(body), "data"), "orderid")


def _named(traded: Traded) -> dict[str, str]:
    """Token and text symbol: an order must have both."""
    return {
        "tradingsymbol": wire_symbol(traded.exchange, traded.listing.tradingsymbol),
        "symboltoken": traded.listing.broker_token,
        "exchange": sent_as(EXCHANGE_WORDS, traded.exchange, "exchange"),
    }


def _prices(asked: OrderRequest | OrderChange) -> dict[str, str]:
    prices = {"price": _rupees(asked.price)}
    if asked.order_type in (OrderType.SL, OrderType.SL_M):
        prices["triggerprice"] = _rupees(asked.trigger_price)
    return prices


def _rupees(price: Decimal | None) -> str:
    """In paise, as published; 0 where there is none. Raises NotSupported rather than round."""
    if price is None:
        return "0"
    if price % PAISA:
        raise NotSupported(f"{price} is no whole number of paise.", code="odd_price")
    return f"{price:.2f}"


def _disclosed(asked: OrderRequest | OrderChange, traded: Traded) -> dict[str, str]:
    if asked.disclosed_quantity is None:
        return {}
    return {"disclosedquantity": str(traded.counted(asked.disclosed_quantity))}


def margin_params(request: OrderRequest) -> Row:
    """The body of margin/v1/batch for one order; its numbers are numbers."""
    position = {
        "exchange": sent_as(EXCHANGE_WORDS, request.traded.exchange, "exchange"),
        "qty": request.count,
        "price": written(request.price),
        "productType": sent_as(PRODUCT_WORDS, request.product, "product"),
        "token": request.traded.listing.broker_token,
        "tradeType": request.side.value,
        "orderType": sent_as(ORDER_TYPE_WORDS, request.order_type, "order_type"),
    }
    return {"positions": [position]}


def margin(row: Any) -> OrderMargin:
    """Map `data` of margin/v1/batch. The costs are another call's, and what is available the funds'."""
    return OrderMargin(required=amount(as_record(row, "data"), "totalMarginRequired"))


def gtt_params(request: GttRequest) -> Row:
    """The body of createRule: one trigger, for shares that are delivered. Raises NotSupported."""
    if request.kind is not GttKind.SINGLE:
        raise NotSupported("Angel One has no GTT with two triggers.", code="oco_not_offered")
    [leg], traded = request.legs, request.traded
    if traded.exchange not in GTT_EXCHANGES:
        raise NotSupported("Angel One has GTT for shares alone.", code="gtt_not_offered")
    return {
        **_named(traded),
        "transactiontype": request.side.value,
        "producttype": sent_as(GTT_PRODUCT_WORDS, request.product, "product"),
        "price": str(written(leg.price)),
        "qty": str(traded.counted(leg.quantity)),
        "triggerprice": str(written(leg.trigger_price)),
        "disclosedqty": "0",
    }


def gtt_id(body: Any) -> str:
    return text(as_record(data(body), "data"), "id")


def gtt_cancel_params(gtt: BrokerGtt) -> Row:
    return {"id": gtt.broker_gtt_id, "symboltoken": gtt.broker_token, "exchange": gtt.exchange.value}


def gtts(row: Row) -> list[BrokerGtt]:
    """Map one element of `data` in ruleList. UNCONFIRMED is its `id`, which the published row leaves out.

    UNCONFIRMED that the times' `Z` is meant; they are believed. A status that we do not know is UNKNOWN.
    """
    price, trigger = positive(row, "price"), positive(row, "triggerprice")
    if price is None or trigger is None:
        raise UnexpectedResponse("price" if price is None else "triggerprice", "has no number")
    return [
        BrokerGtt(
            broker_gtt_id=text(row, "id"),
            exchange=translated(EXCHANGES, required(row, "exchange"), "exchange"),
            tradingsymbol=plain_symbol(text(row, "tradingsymbol")),
            broker_token=text(row, "symboltoken"),
            kind=GttKind.SINGLE,
            side=one_of(Side, row, "transactiontype"),
            product=translated(PRODUCTS, required(row, "producttype"), "producttype"),
            legs=(GttLeg(trigger_price=trigger, price=price, quantity=whole(row, "qty")),),
            status=GTT_STATUSES.get(text(row, "status"), GttStatus.UNKNOWN),
            created_at=_moment(row, "createddate"),
        )
    ]


def _moment(row: Row, name: str) -> datetime | None:
    value = optional_text(row, name)
    try:
        moment = None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise UnexpectedResponse(name, "is not a time") from None
    if moment is not None and moment.tzinfo is None:
        raise UnexpectedResponse(name, "has no zone")
    return moment
