"""XTS's orders, simulated, over the desk: what the gateway takes, what the books show, what the socket tells.

The gateway's "Request sent" says no more than that: what the risk system rejects is a row with its reason. Market
protection is not known here, so MARKET and STOPMARKET orders are bare, and refused. Chosen where nothing is documented:
a changed quantity is the new total; all refusals but those of a field's form or of an instrument share one code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import TypeVar

from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.iifl.sandbox_account import NO_DATA, SEGMENTS, IiflAccount, bad_request, error, number_of, success
from brokers.iifl.sandbox_stream import event
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.instruments import Listing
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double

ORDER, TRADE = 9004, 9005
LONGEST_IDENTIFIER = 20
FIRST_ORDER = 1_110_000_000
NO_EXPIRY = "01-01-1980 00:00:00"

ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "STOPLIMIT": OrderType.SL,
    "STOPMARKET": OrderType.SL_M,
}
ANSWERED_TYPES = {
    OrderType.MARKET: "Market",
    OrderType.LIMIT: "Limit",
    OrderType.SL: "StopLimit",
    OrderType.SL_M: "StopMarket",
}
STATUSES = {
    OrderStatus.PENDING: "PendingNew",
    OrderStatus.OPEN: "New",
    OrderStatus.TRIGGER_PENDING: "New",
    OrderStatus.PARTIALLY_FILLED: "PartiallyFilled",
    OrderStatus.FILLED: "Filled",
    OrderStatus.CANCELLED: "Cancelled",
    OrderStatus.REJECTED: "Rejected",
    OrderStatus.EXPIRED: "Expired",
}
ENDED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
Ours = TypeVar("Ours")
CODES = {Why.UNKNOWN_INSTRUMENT: "e-instrument-0001"}


@contextmanager
def worded() -> Iterator[None]:
    """Say in XTS's words what the desk refuses."""
    try:
        yield
    except Refused as refused:
        raise Refusal(error(400, CODES.get(refused.why, "e-orders-0001"), refused.words)) from None


class IiflOrders(IiflAccount):
    """What the interactive application does with orders."""

    def new_order_id(self) -> str:
        return str(FIRST_ORDER + self.desk.count)

    def place(self, call: Call) -> Reply:
        asked = Fields(call.json)
        identifier = asked.text("orderUniqueIdentifier")
        if len(identifier) > LONGEST_IDENTIFIER:
            raise Refusal(bad_request("orderUniqueIdentifier", "is too long", "string.max"))
        segment, number = asked.text("exchangeSegment"), asked.whole("exchangeInstrumentID")
        listing = self._listed.get((segment, number))
        if listing is None:
            raise Refusal(error(400, CODES[Why.UNKNOWN_INSTRUMENT], "Invalid instrument"))
        new = NewOrder(
            key=listing.key,
            side=asked.one_of(Side.__members__, "orderSide"),
            order_type=asked.one_of(ORDER_TYPES, "orderType"),
            product=asked.one_of(Product.__members__, "productType"),
            validity=asked.one_of(Validity.__members__, "timeInForce"),
            quantity=asked.whole("orderQuantity"),
            price=asked.price("limitPrice"),
            trigger_price=asked.price("stopPrice"),
            disclosed_quantity=asked.whole("disclosedQuantity"),
            tag=identifier,
        )
        with worded():
            return self._sent(self.desk.place(new))

    def modify(self, call: Call) -> Reply:
        """Every field is asked for, whether it changes or not."""
        asked = Fields(call.json)
        asked.text("orderUniqueIdentifier")
        asked.one_of(Product.__members__, "modifiedProductType")
        with worded():
            order = self.desk.modify(
                str(asked.whole("appOrderID")),
                quantity=asked.whole("modifiedOrderQuantity"),
                price=asked.price("modifiedLimitPrice"),
                trigger_price=asked.price("modifiedStopPrice"),
                order_type=asked.one_of(ORDER_TYPES, "modifiedOrderType"),
                validity=asked.one_of(Validity.__members__, "modifiedTimeInForce"),
                disclosed_quantity=asked.whole("modifiedDisclosedQuantity"),
            )
            return self._sent(order)

    def cancel(self, call: Call) -> Reply:
        order_id = call.asked("appOrderID")
        if not order_id:
            raise Refusal(bad_request("appOrderID", "is required", "any.required"))
        with worded():
            return self._sent(self.desk.cancel(order_id))

    def _sent(self, order: DeskOrder) -> Reply:
        taken: Json = {
            "AppOrderID": int(order.order_id),
            "OrderUniqueIdentifier": order.asked.tag,
            "ClientID": self.book.account.user_id,
        }
        return success(taken, "s-orders-0001", "Request sent")

    def order_book(self, call: Call) -> Reply:
        """The book of the day; of one order, asked for by its number, all its states."""
        wanted = call.asked("appOrderID")
        orders = self.desk.history(wanted) if wanted else self.desk.orders()
        if not orders:
            raise Refusal(error(400, "e-orders-0005", NO_DATA))
        description = "Success order history" if wanted else "Success order book"
        return success([self._order(order) for order in orders], "s-user-0001", description)

    def trade_book(self, call: Call) -> Reply:
        deals = self.desk.deals()
        if not deals:
            raise Refusal(error(400, "e-tradebook-0005", NO_DATA))
        return success([self._trade(*pair) for pair in deals], "s-user-0001", "Success trade book")

    def _order(self, order: DeskOrder, code: int = ORDER) -> dict[str, Json]:
        asked, listing = order.asked, self.instruments[order.asked.key]
        user = self.book.account.user_id
        placed, updated = stamp(order.placed_at), stamp(order.updated_at)
        return {
            "LoginID": user,
            "ClientID": user,
            "AppOrderID": int(order.order_id),
            "OrderReferenceID": "",
            "GeneratedBy": "TWSAPI",
            "ExchangeOrderID": order.exchange_order_id or "",
            "OrderCategoryType": "NORMAL",
            "ExchangeSegment": SEGMENTS[listing.exchange][0],
            "ExchangeInstrumentID": int(listing.exchange_token),
            "OrderSide": asked.side.value,
            "OrderType": ANSWERED_TYPES[asked.order_type],
            "ProductType": asked.product.value,
            "TimeInForce": asked.validity.value,
            "OrderPrice": number(asked.price),
            "OrderQuantity": asked.quantity,
            "OrderStopPrice": number(asked.trigger_price),
            "OrderStatus": STATUSES[order.status],
            "OrderAverageTradedPrice": average(order.average_price),
            "LeavesQuantity": 0 if order.status in ENDED else order.remaining,
            "CumulativeQuantity": order.filled,
            "OrderDisclosedQuantity": asked.disclosed_quantity,
            "OrderGeneratedDateTime": placed,
            "ExchangeTransactTime": updated,
            "LastUpdateDateTime": updated,
            "OrderExpiryDate": NO_EXPIRY,
            "CancelRejectReason": order.message,
            "OrderUniqueIdentifier": asked.tag or "",
            "OrderLegStatus": "SingleOrderLeg",
            "BoLegDetails": 0,
            "IsSpread": False,
            "BoEntryOrderId": "",
            "MessageCode": code,
            "MessageVersion": 4,
            "TokenID": 0,
            "ApplicationType": 0,
            "SequenceNumber": 0,
        }

    def _trade(self, order: DeskOrder, deal: Deal) -> dict[str, Json]:
        return {
            **self._order(order, TRADE),
            "LastTradedPrice": number(deal.price),
            "LastTradedQuantity": deal.quantity,
            "LastExecutionTransactTime": stamp(deal.at),
            "ExecutionID": deal.trade_id,
            "ExecutionReportIndex": order.deals.index(deal) + 1,
        }

    # --- the socket ------------------------------------------------------------------------------

    def told(self, order: DeskOrder, *, is_filled: bool) -> list[str]:
        """What the socket tells of one change: the order, written for people, and behind a fill the trade, too, with
        twins for machines."""
        events = [event("order", text_of({**self._order(order), **spoken(order)}))]
        if is_filled:
            events.append(event("trade", text_of(self._told_trade(order))))
        return events

    def _told_trade(self, order: DeskOrder) -> dict[str, Json]:
        row = self._trade(order, order.deals[-1])
        twins: dict[str, Json] = {
            "OrderSideAPI": row["OrderSide"],
            "OrderAverageTradedPriceAPI": number(order.average_price),
            "OrderGeneratedDateTimeAPI": row["OrderGeneratedDateTime"],
            "ExchangeTransactTimeAPI": row["ExchangeTransactTime"],
            "LastUpdateDateTimeAPI": row["LastUpdateDateTime"],
            "OrderExpiryDateAPI": NO_EXPIRY,
        }
        executed = f"{order.deals[-1].at.astimezone(IST):%Y-%m-%dT%H:%M:%S}"
        symbol = self.instruments[order.asked.key].symbol
        return {
            **row,
            **spoken(order),
            "TradingSymbol": symbol,
            "LastExecutionTransactTime": executed,
            **twins,
            "MessageSynchronizeUniqueKey": row["ClientID"],
        }

    @cached_property
    def _listed(self) -> dict[tuple[str, int], Listing]:
        return {(SEGMENTS[item.exchange][0], number_of(item)): item for item in self.instruments}


class Fields:
    """The fields of a body: JSON in which a number may be a text. Raises Refusal, naming the field."""

    def __init__(self, body: Json) -> None:
        self._body = body if isinstance(body, dict) else {}

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if value is None or value == "":
            raise Refusal(bad_request(name, "is required", "any.required"))
        return str(value)

    def one_of(self, words: Mapping[str, Ours], name: str) -> Ours:
        word = self.text(name)
        if word not in words:
            raise Refusal(bad_request(name, f"must be one of [{', '.join(words)}]", "any.allowOnly"))
        return words[word]

    def price(self, name: str) -> Decimal | None:
        """None where it is 0."""
        try:
            value = Decimal(self.text(name))
        except InvalidOperation:
            raise Refusal(bad_request(name, "must be a number", "number.base")) from None
        return value or None

    def whole(self, name: str) -> int:
        text = self.text(name)
        if not text.isdecimal():
            raise Refusal(bad_request(name, "must be an integer", "number.base"))
        return int(text)


def spoken(order: DeskOrder) -> dict[str, Json]:
    """What an event writes for people."""
    placed = f"{order.placed_at.astimezone(IST):%Y-%m-%dT%H:%M:%S.%f}"
    updated = f"{order.updated_at.astimezone(IST):%Y-%m-%dT%H:%M:%S.%f}"
    return {
        "OrderSide": order.asked.side.value.title(),
        "OrderGeneratedDateTime": placed,
        "ExchangeTransactTime": order.updated_at.astimezone(IST).isoformat(timespec="seconds"),
        "LastUpdateDateTime": updated,
    }


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%d-%m-%Y %H:%M:%S}"


def number(price: Decimal | None) -> float | int:
    return 0 if price is None else double(price)


def average(price: Decimal | None) -> str:
    """A text with commas; empty where nothing was dealt."""
    return "" if price is None else f"{price.quantize(Decimal('0.0001')):,f}"


def text_of(row: dict[str, Json]) -> str:
    return json.dumps(row, separators=(",", ":"))
