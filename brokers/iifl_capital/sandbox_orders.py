"""IIFL Capital's orders, simulated over the desk: shapes of fixtures/iifl_capital/orders_*, trades and preordermargin.

As the original: orders are placed as a list of legs, each with a verdict of its own inside a success; every value is a
text; an order that is filled in part stays "open". Invented, because nothing is published: which code each refusal has,
that a changed quantity is the new total, and that the history of an order is all its states.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.iifl_capital.sandbox_account import (
    EXCHANGES,
    PRODUCTS,
    IiflCapitalAccount,
    error,
    formatted_name,
    plain,
    success,
    trading_symbol,
)
from brokers.simulation.book import ZERO
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

ORDER_TYPES = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "SL": OrderType.SL, "SLM": OrderType.SL_M}
TYPE_WORDS = {ours: theirs for theirs, ours in ORDER_TYPES.items()}
OUR_PRODUCTS = {theirs: Product(ours) for ours, theirs in PRODUCTS.items()}
VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}
STATUSES = {
    OrderStatus.PENDING: "put order req received",
    OrderStatus.OPEN: "open",
    OrderStatus.TRIGGER_PENDING: "trigger pending",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.FILLED: "complete",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.REJECTED: "rejected",
    OrderStatus.EXPIRED: "cancelled",
}
CANCELLED = frozenset({OrderStatus.CANCELLED, OrderStatus.EXPIRED})
ENDED = CANCELLED | {OrderStatus.FILLED, OrderStatus.REJECTED}
INVALID, NOT_MODIFIABLE, NOT_FOUND, CLOSED = "EC901", "EC992", "EC999", "EC914"
CODES = {Why.TOO_LATE: NOT_MODIFIABLE, Why.NO_SUCH_ORDER: NOT_FOUND, Why.MARKET_CLOSED: CLOSED}
WRONG_ADDRESS = (403, "EC500", "IP address not authorized for trading")
LONGEST_TAG = 50
SHEET_EPOCH = date(1899, 12, 30)  # from which spreadsheets count days
DAY_SECONDS = 86_400

Ours = TypeVar("Ours")


class LegRefused(Exception):
    """One leg is not taken."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@contextmanager
def worded() -> Iterator[None]:
    """Say in this broker's words what the desk refuses. Raises LegRefused, and Refusal for what refuses every leg."""
    try:
        yield
    except Refused as refused:
        if refused.why is Why.UNREGISTERED_ADDRESS:
            raise Refusal(error(*WRONG_ADDRESS)) from None
        raise LegRefused(CODES.get(refused.why, INVALID), refused.words) from None


class IiflCapitalOrders(IiflCapitalAccount):
    """What the API does with orders."""

    def place(self, call: Call) -> Reply:
        legs = call.json
        if not isinstance(legs, list) or not legs:
            raise Refusal(error(400, "EC801", "Invalid request body."))
        return success([self._placed(Leg(leg)) for leg in legs])

    def _placed(self, leg: Leg) -> Json:
        try:
            new = self._new_order(leg)
            with worded():
                return self._taken(self.desk.place(new))
        except LegRefused as refused:
            return {"status": refused.code, "message": refused.message}

    def modify(self, call: Call) -> Reply:
        """What is not sent stays. Published with a list of one as well as with an object."""
        body = call.json
        leg = Leg(body[0] if isinstance(body, list) and len(body) == 1 else body)
        try:
            protection = leg.number("marketProtectionPercent")
            with worded():
                order = self.desk.modify(
                    call.parts["order_id"],
                    quantity=leg.whole("quantity"),
                    price=leg.number("price") or None,
                    trigger_price=leg.number("slTriggerPrice") or None,
                    order_type=leg.one_of(ORDER_TYPES, "orderType") if leg.has("orderType") else None,
                    validity=leg.one_of(VALIDITIES, "validity") if leg.has("validity") else None,
                    disclosed_quantity=leg.whole("disclosedQuantity"),
                    is_protected=None if protection is None else protection > 0,
                )
        except LegRefused as refused:
            raise Refusal(error(200, refused.code, refused.message)) from None
        return success(self._taken(order))

    def cancel(self, call: Call) -> Reply:
        try:
            with worded():
                return success(self._taken(self.desk.cancel(call.parts["order_id"])))
        except LegRefused as refused:
            raise Refusal(error(200, refused.code, refused.message)) from None

    def order_margin(self, call: Call) -> Reply:
        """Bare, as published. A market protection is not asked for here."""
        funds = self.book.funds
        try:
            new = self._new_order(Leg(call.json), is_protected=True)
            with worded():
                needed = self.desk.margin(new)
        except LegRefused as refused:
            raise Refusal(error(200, refused.code, refused.message)) from None
        total, after = funds.cash + funds.collateral, funds.used + needed
        short = max(after - total, ZERO)
        return json_reply(
            {
                "totalCashAvailable": paise(total),
                "preOrderMargin": paise(funds.used),
                "postOrderMargin": paise(after),
                "currentOrderMargin": paise(needed),
                "rmsvalidationMessage": "RMS:Margin Exceeds" if short else "OK",
                "fundShort": paise(short),
            }
        )

    def _new_order(self, leg: Leg, *, is_protected: bool = False) -> NewOrder:
        """Raises LegRefused. A stop without a limit has no protection, whatever is said."""
        word, number = leg.text("exchange"), leg.text("instrumentId")
        if word not in EXCHANGES.values():
            words = ", ".join(f"'{each}'" for each in EXCHANGES.values())
            raise LegRefused(INVALID, f"Invalid parameter: 'exchange' Accepts only {{ {words} }}")
        listing = self.by_number.get((word, number))
        if listing is None:
            raise LegRefused(INVALID, "Invalid parameter: 'instrumentId'")
        if leg.text("orderComplexity") != "REGULAR":
            raise LegRefused(INVALID, "Invalid parameter: 'orderComplexity': only REGULAR is simulated")
        tag = leg.optional("orderTag")
        if len(tag) > LONGEST_TAG:
            raise LegRefused("EC971", "Invalid parameter: 'orderTag'")
        order_type = leg.one_of(ORDER_TYPES, "orderType")
        protection = leg.number("marketProtectionPercent") or ZERO
        return NewOrder(
            key=listing.key,
            side=leg.one_of(Side.__members__, "transactionType"),
            order_type=order_type,
            product=leg.one_of(OUR_PRODUCTS, "product"),
            validity=leg.one_of(VALIDITIES, "validity"),
            quantity=leg.whole("quantity") or 0,
            price=leg.number("price") or None,
            trigger_price=leg.number("slTriggerPrice") or None,
            disclosed_quantity=leg.whole("disclosedQuantity") or 0,
            is_protected=is_protected or (order_type is OrderType.MARKET and protection > 0),
            tag=tag or None,
        )

    def _taken(self, order: DeskOrder) -> Json:
        return {
            "status": "Success",
            "message": "Success",
            "brokerOrderId": order.order_id,
            "requestTime": stamp(self.now()),
        }

    # --- books -----------------------------------------------------------------------------------

    def order_book(self, call: Call) -> Reply:
        """Bare, as published."""
        orders = self.desk.orders()
        if not orders:
            raise Refusal(error(200, "EC916", "No orders found for this user."))
        return json_reply([self._order(order) for order in orders])

    def order_history(self, call: Call) -> Reply:
        states = self.desk.history(call.parts["order_id"])
        if not states:
            raise Refusal(error(200, "EC920", "No order history found."))
        return json_reply([{**self._order(order), "cancelledQuantity": cancelled(order)} for order in states])

    def trade_book(self, call: Call) -> Reply:
        deals = self.desk.deals()
        if not deals:
            raise Refusal(error(200, "EC918", "No trades found for this user."))
        return json_reply([self._trade(*pair) for pair in deals])

    def _order(self, order: DeskOrder) -> dict[str, Json]:
        asked, listing = order.asked, self.instruments[order.asked.key]
        return {
            **self._owner(),
            "brokerOrderId": order.order_id,
            "exchangeOrderId": order.exchange_order_id or "NA",
            "orderStatus": STATUSES[order.status],
            "formattedInstrumentName": formatted_name(listing),
            "tradingSymbol": trading_symbol(listing),
            "instrumentId": listing.exchange_token,
            "exchange": EXCHANGES[listing.exchange],
            "transactionType": asked.side.value,
            "quantity": str(asked.quantity),
            "product": PRODUCTS[asked.product],
            "orderComplexity": "REGULAR",
            "orderType": TYPE_WORDS[asked.order_type],
            "price": figure(asked.price),
            "averageTradedPrice": figure(order.average_price),
            "slTriggerPrice": figure(asked.trigger_price),
            "validity": asked.validity.value,
            "disclosedQty": str(asked.disclosed_quantity),
            "marketProtectionPercent": "0.0",
            "exchangeTimestamp": stamp(order.placed_at),
            "exchangeUpdateTime": stamp(order.updated_at),
            "rejectionReason": order.message,
            "mainLegOrderId": "NA",
            "pendingQuantity": pending(order),
            "filledQuantity": str(order.filled),
            "appKey": "NA",
            "apiOrderSource": "API",
            "algoId": "",
            "source": "API",
            "orderTag": asked.tag or "NA",
            "brokerUpdateTime": stamp(order.updated_at),
        }

    def _trade(self, order: DeskOrder, deal: Deal) -> dict[str, Json]:
        asked, listing = order.asked, self.instruments[order.asked.key]
        return {
            **self._owner(),
            "brokerOrderId": order.order_id,
            "exchangeOrderId": order.exchange_order_id or "NA",
            "exchangeTradeId": deal.trade_id,
            "formattedInstrumentName": formatted_name(listing),
            "tradingSymbol": trading_symbol(listing),
            "instrumentId": listing.exchange_token,
            "exchange": EXCHANGES[listing.exchange],
            "transactionType": asked.side.value,
            "product": PRODUCTS[asked.product],
            "orderComplexity": "REGULAR",
            "orderType": TYPE_WORDS[asked.order_type],
            "validity": asked.validity.value,
            "tradedPrice": plain(deal.price),
            "filledQuantity": str(deal.quantity),
            "fillTimestamp": stamp(deal.at),
            "algoId": "",
            "orderTag": asked.tag or "NA",
        }

    def _owner(self) -> dict[str, Json]:
        user = self.book.account.user_id
        return {"clientId": user, "placedBy": user}

    # --- the stream ------------------------------------------------------------------------------

    def told(self, order: DeskOrder, *, is_filled: bool) -> dict[str, bytes]:
        """What each topic tells of one change: the order without its exchange, and behind a fill the trade."""
        payloads = {"order": text_of(self._told_order(order))}
        if is_filled:
            payloads["trade"] = text_of(self._told_trade(order, order.deals[-1]))
        return payloads

    def _told_order(self, order: DeskOrder) -> dict[str, Json]:
        row = self._order(order)
        same = ("clientId", "validity", "orderComplexity", "product", "orderType", "tradingSymbol", "transactionType",
                "instrumentId", "price", "slTriggerPrice", "quantity")  # fmt: skip
        rest = ("marketProtectionPercent", "placedBy", "averageTradedPrice", "filledQuantity", "pendingQuantity",
                "brokerOrderId", "exchangeOrderId", "rejectionReason", "orderStatus", "exchangeTimestamp",
                "exchangeUpdateTime")  # fmt: skip
        return {
            **{name: row[name] for name in same},
            "disclosedQuantity": row["disclosedQty"],
            "cancelledQuantity": cancelled(order),
            "algoId": "",
            **{name: row[name] for name in rest},
            "mainLegOrderId": order.order_id,
            "validityDate": str(sheet_day(order.placed_at)),
            "source": "API",
            "comments": f"{order.asked.tag or ''}~~SELF",
            "brokerUpdateTime": row["brokerUpdateTime"],
        }

    def _told_trade(self, order: DeskOrder, deal: Deal) -> dict[str, Json]:
        row, local = self._trade(order, deal), deal.at.astimezone(IST)
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        first = ("tradedPrice", "filledQuantity", "exchangeTradeId", "instrumentId", "exchange", "clientId",
                 "orderComplexity", "product", "tradingSymbol")  # fmt: skip
        last = ("brokerOrderId", "exchangeOrderId", "transactionType", "orderType", "placedBy", "algoId")
        return {
            **{name: row[name] for name in first},
            "fillDate": str(sheet_day(deal.at)),
            "fillTime": f"{Decimal(seconds) / DAY_SECONDS:.15f}",
            **{name: row[name] for name in last},
        }


class Leg:
    """The fields of a leg; values are texts, and numbers are taken, too. Raises LegRefused, naming the field."""

    def __init__(self, body: Any) -> None:
        self._body = body if isinstance(body, dict) else {}

    def has(self, name: str) -> bool:
        return self.optional(name) != ""

    def optional(self, name: str) -> str:
        value = self._body.get(name)
        return "" if value is None else str(value)

    def text(self, name: str) -> str:
        value = self.optional(name)
        if not value:
            raise LegRefused(INVALID, f"Missing parameter: '{name}'")
        return value

    def one_of(self, words: Mapping[str, Ours], name: str) -> Ours:
        word = self.text(name)
        if word not in words:
            raise LegRefused(INVALID, f"Invalid parameter: '{name}' Accepts only {{ {', '.join(words)} }}")
        return words[word]

    def number(self, name: str) -> Decimal | None:
        try:
            value = Decimal(self.optional(name)) if self.has(name) else None
        except InvalidOperation:
            raise LegRefused(INVALID, f"Invalid parameter: '{name}'") from None
        if value is not None and not (value.is_finite() and value >= 0):
            raise LegRefused(INVALID, f"Invalid parameter: '{name}'")
        return value

    def whole(self, name: str) -> int | None:
        text = self.optional(name)
        if text and not text.isdecimal():
            raise LegRefused(INVALID, f"Invalid parameter: '{name}'")
        return int(text) if text else None


def pending(order: DeskOrder) -> str:
    return str(0 if order.status in ENDED else order.remaining)


def cancelled(order: DeskOrder) -> str:
    return str(order.remaining if order.status in CANCELLED else 0)


def figure(price: Decimal | None) -> str:
    """As a double is written; 0.0 where there is none."""
    return str(double(price or 0))


def paise(value: Decimal) -> str:
    return f"{value:.2f}"


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%d-%b-%Y %H:%M:%S}"


def sheet_day(moment: datetime) -> int:
    return (moment.astimezone(IST).date() - SHEET_EPOCH).days


def text_of(row: dict[str, Json]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode()
