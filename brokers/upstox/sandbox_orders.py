"""Upstox's orders, trades and margins, simulated over the desk: shapes of fixtures/upstox/order_*.json.

As the original: a 200 means received, and want of money comes back as a rejected order. Invented, because nothing is
published: which code says what of quantities and prices, and that the history of an order is its arrival and its
present state. Orders are taken at the same host as all else, and at every hour; none is split, and GTT is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.simulation.asked import percent, price, quantity, shortfall, word
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.dialect import Route
from brokers.simulation.instruments import Listing
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply
from brokers.upstox.sandbox_account import UpstoxAccount
from brokers.upstox.sandbox_wire import PRODUCTS, error, instrument_key, success

REFUSALS = {
    Why.UNKNOWN_INSTRUMENT: (400, "UDAPI1011"),
    Why.BAD_QUANTITY: (400, "UDAPI1052"),
    Why.BAD_PRICE: (400, "UDAPI1054"),
    Why.UNPROTECTED: (400, "UDAPI1158"),
    Why.NOT_OFFERED: (400, "UDAPI1056"),
    Why.UNREGISTERED_ADDRESS: (403, "UDAPI1154"),
    Why.NO_SUCH_ORDER: (400, "UDAPI100010"),
    Why.TOO_LATE: (400, "UDAPI100040"),
    Why.MARKET_CLOSED: (400, "UDAPI1096"),
}
MCX_BARRED = (400, "UDAPI1161", "MCX API orders are temporarily disabled.")
TOO_WIDE = (400, "UDAPI1159", "The 'market_protection' is invalid")
NO_ORDER = (400, "UDAPI100010", "Order not found")
NO_BODY = (400, "UDAPI100036", "Invalid input")
SIDES = {side.value: side for side in Side}
ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "SL": OrderType.SL,
    "SL-M": OrderType.SL_M,
}
TYPE_WORDS = {ours: theirs for theirs, ours in ORDER_TYPES.items()}
VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}
STATUSES = {
    OrderStatus.PENDING: "put order req received",
    OrderStatus.OPEN: "open",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.TRIGGER_PENDING: "trigger pending",
    OrderStatus.FILLED: "complete",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.EXPIRED: "cancelled",
    OrderStatus.REJECTED: "rejected",
}
AUTOMATIC, WIDEST = -1, 25
MOST_MARGINS = 20


@contextmanager
def worded() -> Iterator[None]:
    """Say in Upstox's words what the desk refuses."""
    try:
        yield
    except Refused as refused:
        raise Refusal(error(*REFUSALS[refused.why], refused.words)) from None


class UpstoxOrders(UpstoxAccount):
    """What of the simulated Upstox is about orders."""

    def order_routes(self) -> Iterable[Route]:
        yield Route("POST", "/v3/order/place", self.place)
        yield Route("PUT", "/v3/order/modify", self.modify)
        yield Route("DELETE", "/v3/order/cancel", self.cancel)
        yield Route("GET", "/v2/order/retrieve-all", self.order_book)
        yield Route("GET", "/v2/order/details", self.details)
        yield Route("GET", "/v2/order/history", self.history)
        yield Route("GET", "/v2/order/trades", self.trades_of)
        yield Route("GET", "/v2/order/trades/get-trades-for-day", self.trade_book)
        yield Route("POST", "/v2/charges/margin", self.margins)

    @cached_property
    def by_key(self) -> dict[str, Listing]:
        return {instrument_key(listing): listing for listing in self.instruments}

    # --- writes ----------------------------------------------------------------------------------

    def place(self, call: Call) -> Reply:
        with worded():
            order = self.desk.place(self._ordered(said(call)))
        return acknowledged({"order_ids": [order.order_id]})

    def _ordered(self, row: Mapping[str, Any], key: str = "instrument_token") -> NewOrder:
        """Raises Refused, Refusal."""
        listing = word(self.by_key, row.get(key), key)
        if listing.exchange == "MCX":
            raise Refusal(error(*MCX_BARRED, property_path=key))
        return NewOrder(
            key=listing.key,
            side=word(SIDES, row.get("transaction_type"), "transaction_type"),
            order_type=word(ORDER_TYPES, row.get("order_type"), "order_type"),
            product=word(products(listing), row.get("product"), "product"),
            validity=word(VALIDITIES, row.get("validity"), "validity"),
            quantity=quantity(row.get("quantity")),
            price=price(row.get("price")),
            trigger_price=price(row.get("trigger_price"), "trigger_price"),
            disclosed_quantity=quantity(row.get("disclosed_quantity"), "disclosed_quantity"),
            is_protected=is_protected(row),
            tag=row.get("tag") or None,
        )

    def modify(self, call: Call) -> Reply:
        row = said(call)
        order_id = str(row.get("order_id"))
        with worded():
            self.desk.modify(
                order_id,
                quantity=quantity(row["quantity"]) if row.get("quantity") else None,
                price=price(row.get("price")),
                trigger_price=price(row.get("trigger_price"), "trigger_price"),
                order_type=word(ORDER_TYPES, row.get("order_type"), "order_type"),
                validity=word(VALIDITIES, row.get("validity"), "validity"),
                disclosed_quantity=quantity(row["disclosed_quantity"]) if "disclosed_quantity" in row else None,
                is_protected=is_protected(row),
            )
        return acknowledged({"order_id": order_id})

    def cancel(self, call: Call) -> Reply:
        with worded():
            self.desk.cancel(call.asked("order_id"))
        return acknowledged({"order_id": call.asked("order_id")})

    # --- reads -----------------------------------------------------------------------------------

    def order_book(self, call: Call) -> Reply:
        return success([self.order_row(order) for order in self.desk.orders()])

    def details(self, call: Call) -> Reply:
        row = self.order_row(self._known(call))
        del row["guid"]
        return success(row)

    def history(self, call: Call) -> Reply:
        """By number or by tag; rows lack four fields of the book's."""
        if tag := call.asked("tag"):
            orders = [order for order in self.desk.orders() if order.asked.tag == tag]
        else:
            orders = [self._known(call)]
        return success([state for order in orders for state in self._states(order)])

    def _states(self, order: DeskOrder) -> list[Json]:
        lacking = ("pending_quantity", "status_message_raw", "guid", "order_ref_id")
        row = {name: value for name, value in self.order_row(order).items() if name not in lacking}
        arrival: dict[str, Json] = {
            "status": STATUSES[OrderStatus.PENDING],
            "status_message": None,
            "exchange_order_id": "",
            "exchange_timestamp": None,
            "filled_quantity": 0,
            "average_price": 0.0,
        }
        return [{**row, **arrival}, row]

    def trades_of(self, call: Call) -> Reply:
        order = self._known(call)
        return success([self._trade(order, deal) for deal in order.deals])

    def trade_book(self, call: Call) -> Reply:
        return success([self._trade(order, deal) for order, deal in self.desk.deals()])

    def _known(self, call: Call) -> DeskOrder:
        order = self.desk.order(call.asked("order_id"))
        if order is None:
            raise Refusal(error(*NO_ORDER))
        return order

    def order_row(self, order: DeskOrder) -> dict[str, Json]:
        asked, listing = order.asked, self.instruments[order.asked.key]
        return {
            "exchange": listing.exchange,
            "product": PRODUCTS[asked.product],
            "price": double(asked.price or 0),
            "quantity": asked.quantity,
            "status": STATUSES[order.status],
            "guid": None,
            "tag": asked.tag,
            "instrument_token": instrument_key(listing),
            "placed_by": self.book.account.user_id,
            "trading_symbol": order_symbol(listing),
            "tradingsymbol": order_symbol(listing),
            "order_type": TYPE_WORDS[asked.order_type],
            "validity": asked.validity.value,
            "trigger_price": double(asked.trigger_price or 0),
            "disclosed_quantity": asked.disclosed_quantity,
            "transaction_type": asked.side.value,
            "average_price": double(order.average_price or 0),
            "filled_quantity": order.filled,
            "pending_quantity": 0 if order.status is OrderStatus.REJECTED else order.remaining,
            "status_message": plain(order.message),
            "status_message_raw": order.message or None,
            "exchange_order_id": order.exchange_order_id or "",
            "parent_order_id": None,
            "order_id": order.order_id,
            "variety": "SIMPLE",
            "order_timestamp": stamp(order.placed_at),
            "exchange_timestamp": stamp(order.updated_at) if order.exchange_order_id else None,
            "is_amo": False,
            "order_request_id": "1",
            "order_ref_id": order.order_id[::-1],
        }

    def _trade(self, order: DeskOrder, deal: Deal) -> Json:
        listing = self.instruments[order.asked.key]
        return {
            "exchange": listing.exchange,
            "product": PRODUCTS[order.asked.product],
            "trading_symbol": order_symbol(listing),
            "tradingsymbol": order_symbol(listing),
            "instrument_token": instrument_key(listing),
            "order_type": TYPE_WORDS[order.asked.order_type],
            "transaction_type": order.asked.side.value,
            "quantity": deal.quantity,
            "exchange_order_id": order.exchange_order_id,
            "order_id": order.order_id,
            "exchange_timestamp": stamp(deal.at),
            "average_price": double(deal.price),
            "trade_id": deal.trade_id,
            "order_ref_id": order.order_id[::-1],
            "order_timestamp": stamp(order.placed_at),
        }

    def margins(self, call: Call) -> Reply:
        """Without a price the order is one at the market."""
        rows = said(call).get("instruments")
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_MARGINS:
            raise Refusal(error(*NO_BODY, property_path="instruments"))
        margins = [self._margin(row) for row in rows]
        total = sum(double(row["total_margin"]) for row in margins)
        return success({"margins": margins, "required_margin": total, "final_margin": total})

    def _margin(self, row: Mapping[str, Any]) -> dict[str, Any]:
        order_type = "LIMIT" if row.get("price") else "MARKET"
        with worded():
            new = self._ordered({**row, "order_type": order_type, "validity": "DAY"}, "instrument_key")
            needed = double(self.desk.margin(new))
        return {
            "span_margin": 0,
            "exposure_margin": 0,
            "equity_margin": needed,
            "net_buy_premium": 0,
            "additional_margin": 0,
            "total_margin": needed,
            "tender_margin": 0,
        }


def said(call: Call) -> dict[str, Any]:
    if not isinstance(call.json, dict):
        raise Refusal(error(*NO_BODY))
    return call.json


def acknowledged(data: Json) -> Reply:
    return json_reply({"status": "success", "data": data, "metadata": {"latency": 30}})


def products(listing: Listing) -> dict[str, Product]:
    """`D` is delivery of shares, and carried forward of the rest."""
    return {"D": Product.CNC if listing.is_cash else Product.NRML, "I": Product.MIS, "MTF": Product.MTF}


def is_protected(row: Mapping[str, Any]) -> bool:
    """The automatic bounds are the default; 0 is none. Raises Refusal."""
    width = percent(row.get("market_protection", AUTOMATIC), "market_protection")
    if not AUTOMATIC <= width <= WIDEST:
        raise Refusal(error(*TOO_WIDE, property_path="market_protection"))
    return width != 0


def order_symbol(listing: Listing) -> str:
    return f"{listing.symbol}-EQ" if listing.is_cash and listing.exchange == "NSE" else listing.symbol


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%Y-%m-%d %H:%M:%S}"


def plain(message: str) -> str | None:
    """What the risk system said, in words for the customer."""
    if missing := shortfall(message):
        required, available = missing
        return f"You need to add Rs. {required - available} in your account to place this trade."
    return message.removeprefix("RMS:") or None
