"""Fyers' orders, trades, margins and GTT, simulated over the desk: shapes of fixtures/fyers/orderbook.json, gtt_*.

As the original: types, sides and states are numbers, tags come back with a prefix, the socket has names of its own and
leaves keys out, and an order that waits for its trigger looks open. Every market order is bounded by the broker, those
behind a trigger, too. Invented, because nothing is published: the words of refusals, and the code for an address which
is not registered. Orders are taken at `/sync` alone, and none is split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.fyers.sandbox_account import FyersAccount
from brokers.fyers.sandbox_wire import PLACES, PRODUCTS, error, fy_token, success, ticker, wire_time
from brokers.simulation.asked import price, quantity, word
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.dialect import Route
from brokers.simulation.gtts import Gtt, Leg
from brokers.simulation.instruments import Listing
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

REFUSALS = {
    Why.UNKNOWN_INSTRUMENT: (400, -300),
    Why.BAD_QUANTITY: (400, -50),
    Why.BAD_PRICE: (400, -50),
    Why.UNPROTECTED: (400, -50),
    Why.NOT_OFFERED: (400, -50),
    Why.UNREGISTERED_ADDRESS: (400, -99),
    Why.NO_SUCH_ORDER: (400, -51),
    Why.TOO_LATE: (400, -163),
    Why.MARKET_CLOSED: (400, -99),
}
# Of an order that has ended its state says which code it is.
ENDED = {OrderStatus.CANCELLED: -161, OrderStatus.FILLED: -162, OrderStatus.REJECTED: -164}
NO_BODY = (400, -50, "Please provide valid inputs")
PLACED, CHANGED, CANCELLED = 1101, 1102, 1103
PLACED_WORDS = "Order submitted successfully. Your Order Ref. No.{}"
SIDES = {1: Side.BUY, -1: Side.SELL}
SIDE_WORDS = {ours: theirs for theirs, ours in SIDES.items()}
ORDER_TYPES = {1: OrderType.LIMIT, 2: OrderType.MARKET, 3: OrderType.SL_M, 4: OrderType.SL}
TYPE_WORDS = {ours: theirs for theirs, ours in ORDER_TYPES.items()}
PRODUCTS_OF = {theirs: Product(ours) for ours, theirs in PRODUCTS.items()}
VALIDITIES = {"DAY": Validity.DAY, "IOC": Validity.IOC}
STATUSES = {
    OrderStatus.PENDING: 4,
    OrderStatus.OPEN: 6,
    OrderStatus.PARTIALLY_FILLED: 6,
    OrderStatus.TRIGGER_PENDING: 6,
    OrderStatus.FILLED: 2,
    OrderStatus.CANCELLED: 1,
    OrderStatus.REJECTED: 5,
    OrderStatus.EXPIRED: 7,
}
# The socket's own scale, of which two values are published.
RAW_STATUSES = {4: 20, 2: 90}
UNTAGGED = "2:Untagged"
OWN = "1:"
GTT_KINDS = {GttKind.SINGLE: 1, GttKind.OCO: 2}
GTT_STATUSES = {
    GttStatus.CANCELLED: 1,
    GttStatus.TRIGGERED: 2,
    GttStatus.REJECTED: 5,
    GttStatus.ACTIVE: 6,
    GttStatus.EXPIRED: 7,
}


class FyersOrders(FyersAccount):
    """What of the simulated Fyers is about orders."""

    def order_routes(self) -> Iterable[Route]:
        yield Route("POST", "/api/v3/orders/sync", self.place)
        yield Route("PATCH", "/api/v3/orders/sync", self.modify)
        yield Route("DELETE", "/api/v3/orders/sync", self.cancel)
        yield Route("GET", "/api/v3/orders", self.order_book)
        yield Route("GET", "/api/v3/tradebook", self.trade_book)
        yield Route("POST", "/api/v3/multiorder/margin", self.margin)
        yield Route("POST", "/api/v3/gtt/orders/sync", self.place_gtt)
        yield Route("PATCH", "/api/v3/gtt/orders/sync", self.modify_gtt)
        yield Route("DELETE", "/api/v3/gtt/orders/sync", self.cancel_gtt)
        yield Route("GET", "/api/v3/gtt/orders", self.gtt_book)

    @cached_property
    def by_ticker(self) -> dict[str, Listing]:
        return {ticker(listing): listing for listing in self.instruments}

    def new_order_id(self) -> str:
        return f"{self.now().astimezone(IST):%y%m%d}{self.desk.count:08d}"

    @contextmanager
    def worded(self, order_id: str = "") -> Iterator[None]:
        """Say in Fyers' words what the desk refuses."""
        try:
            yield
        except Refused as refused:
            status, code = REFUSALS[refused.why]
            order = self.desk.order(order_id) if refused.why is Why.TOO_LATE else None
            code = ENDED.get(order.status, code) if order else code
            raise Refusal(error(status, code, refused.words)) from None

    # --- writes ----------------------------------------------------------------------------------

    def place(self, call: Call) -> Reply:
        row = said(call)
        with self.worded():
            order = self.desk.place(self._ordered(row))
        return acknowledged(PLACED, PLACED_WORDS.format(order.order_id), order.order_id)

    def _ordered(self, row: Mapping[str, Any]) -> NewOrder:
        """Raises Refused."""
        return NewOrder(
            key=self._listing(row).key,
            side=word(SIDES, row.get("side"), "side"),
            order_type=word(ORDER_TYPES, row.get("type"), "type"),
            product=word(PRODUCTS_OF, row.get("productType"), "productType"),
            validity=word(VALIDITIES, row.get("validity", "DAY"), "validity"),
            quantity=quantity(row.get("qty"), "qty"),
            price=price(row.get("limitPrice"), "limitPrice"),
            trigger_price=price(row.get("stopPrice"), "stopPrice"),
            disclosed_quantity=quantity(row.get("disclosedQty"), "disclosedQty"),
            is_protected=True,
            tag=row.get("orderTag") or None,
        )

    def _listing(self, row: Mapping[str, Any]) -> Listing:
        listing = self.by_ticker.get(str(row.get("symbol")))
        if listing is None:
            raise Refused(Why.UNKNOWN_INSTRUMENT, "Please provide a valid symbol")
        return listing

    def modify(self, call: Call) -> Reply:
        row = said(call)
        order_id = str(row.get("id"))
        with self.worded(order_id):
            self.desk.modify(
                order_id,
                quantity=quantity(row["qty"], "qty") if "qty" in row else None,
                price=price(row.get("limitPrice"), "limitPrice"),
                trigger_price=price(row.get("stopPrice"), "stopPrice"),
                order_type=word(ORDER_TYPES, row["type"], "type") if "type" in row else None,
                disclosed_quantity=quantity(row["disclosedQty"], "disclosedQty") if "disclosedQty" in row else None,
            )
        return acknowledged(CHANGED, "Successfully modified order", order_id)

    def cancel(self, call: Call) -> Reply:
        order_id = str(said(call).get("id"))
        with self.worded(order_id):
            self.desk.cancel(order_id)
        return acknowledged(CANCELLED, "Successfully cancelled order", order_id)

    # --- reads -----------------------------------------------------------------------------------

    def order_book(self, call: Call) -> Reply:
        orders = self.desk.orders()
        if order_id := call.asked("id"):
            orders = [order for order in orders if order.order_id == order_id]
        if wanted := call.asked("order_tag"):
            orders = [order for order in orders if tag_of(order) == wanted]
        return success({"orderBook": [self.order_row(order, number) for number, order in enumerate(orders, start=1)]})

    def trade_book(self, call: Call) -> Reply:
        return success({"tradeBook": [self._trade(order, deal) for order, deal in self.desk.deals()]})

    def order_row(self, order: DeskOrder, number: int) -> dict[str, Json]:
        asked, listing, now = order.asked, self.instruments[order.asked.key], self.price(order.asked.key)
        exchange, segment, _, _ = PLACES[listing.exchange]
        status = STATUSES[order.status]
        return {
            "clientId": self.book.account.user_id,
            "id": order.order_id,
            "id_fyers": fyers_id(order),
            "exchOrdId": order.exchange_order_id or "",
            "qty": asked.quantity,
            "remainingQuantity": order.remaining,
            "filledQty": order.filled,
            "discloseQty": asked.disclosed_quantity,
            "limitPrice": double(asked.price or 0),
            "stopPrice": double(asked.trigger_price or 0),
            "tradedPrice": double(order.average_price or 0),
            "type": TYPE_WORDS[asked.order_type],
            "fyToken": fy_token(listing),
            "exchange": exchange,
            "segment": segment,
            "symbol": ticker(listing),
            "instrument": 0,
            "message": order.message,
            "offlineOrder": False,
            "orderDateTime": wire_time(order.placed_at),
            "orderValidity": asked.validity.value,
            "pan": "",
            "productType": PRODUCTS[asked.product],
            "side": SIDE_WORDS[asked.side],
            "status": status,
            "source": "ITS",
            "ex_sym": listing.symbol,
            "description": listing.name.upper(),
            "ch": double(now.last - now.close),
            "chp": round(double((now.last - now.close) / now.close * 100), 2),
            "lp": double(now.last),
            "slNo": number,
            "dqQtyRem": 0,
            "orderNumStatus": f"{order.order_id}:{status}",
            "disclosedQty": asked.disclosed_quantity,
            "orderTag": tag_of(order),
            "takeProfit": 0,
            "stopLoss": 0,
        }

    def _trade(self, order: DeskOrder, deal: Deal) -> Json:
        listing = self.instruments[order.asked.key]
        exchange, segment, _, _ = PLACES[listing.exchange]
        return {
            "clientId": self.book.account.user_id,
            "orderDateTime": wire_time(deal.at),
            "orderNumber": order.order_id,
            "exchangeOrderNo": order.exchange_order_id,
            "exchange": exchange,
            "side": SIDE_WORDS[order.asked.side],
            "segment": segment,
            "orderType": TYPE_WORDS[order.asked.order_type],
            "fyToken": fy_token(listing),
            "productType": PRODUCTS[order.asked.product],
            "tradedQty": deal.quantity,
            "tradePrice": double(deal.price),
            "tradeValue": double(deal.price * deal.quantity),
            "tradeNumber": deal.trade_id,
            "row": int(deal.trade_id),
            "symbol": ticker(listing),
            "orderTag": tag_of(order),
        }

    def order_news(self, order: DeskOrder) -> Json:
        """An order as its socket tells it: what is not known yet has no key."""
        asked, listing = order.asked, self.instruments[order.asked.key]
        exchange, segment, _, _ = PLACES[listing.exchange]
        status, told_at = STATUSES[order.status], int(order.updated_at.timestamp())
        later: dict[str, Json | None] = {
            "id_exchange": order.exchange_order_id,
            "qty_filled": order.filled or None,
            "price_traded": double(order.average_price) if order.average_price else None,
            "price_limit": double(asked.price) if asked.price else None,
            "price_stop": double(asked.trigger_price) if asked.trigger_price else None,
            "oms_msg": order.message or None,
        }
        return {
            "client_id": self.book.account.user_id,
            "exchange": exchange,
            "fy_token": fy_token(listing),
            "id": order.order_id,
            "id_fyers": fyers_id(order),
            "instrument": 0,
            "lot_size": listing.lot_size,
            "offline_flag": False,
            "oms_flag": "K:1",
            "ord_source": "ITS",
            "ord_status": RAW_STATUSES.get(status, status),
            "ord_type": TYPE_WORDS[asked.order_type],
            "ordertag": tag_of(order),
            "org_ord_status": status,
            "pan": "XXXXX0000X",
            "precision": 2,
            "price_multiplier": 1,
            "product_type": PRODUCTS[asked.product],
            "qty": asked.quantity,
            "qty_multiplier": 1,
            "qty_remaining": order.remaining,
            "report_type": order.status.value,
            "segment": segment,
            "status_msg": order.message or order.status.value,
            "symbol": ticker(listing),
            "symbol_desc": listing.name.upper(),
            "symbol_exch": listing.symbol,
            "tick_size": double(self.market.tick_size(listing)),
            "time_epoch_oms": int(order.placed_at.timestamp()),
            "time_exch": wire_time(order.updated_at) if order.exchange_order_id else "NA",
            "time_oms": wire_time(order.placed_at),
            "tran_side": SIDE_WORDS[asked.side],
            "update_time_epoch_oms": told_at,
            "update_time_exch": "01-Jan-1970 05:30:00",
            "validity": asked.validity.value,
            **{name: value for name, value in later.items() if value is not None},
        }

    def margin(self, call: Call) -> Reply:
        rows = said(call).get("data")
        if not isinstance(rows, list) or not rows:
            raise Refusal(error(*NO_BODY))
        with self.worded():
            total = sum(double(self.desk.margin(self._ordered(row))) for row in rows)
        available = double(self.book.funds.available)
        return success({"data": {"margin_avail": available, "margin_total": total, "margin_new_order": total}})

    # --- GTT -------------------------------------------------------------------------------------

    def gtt_book(self, call: Call) -> Reply:
        return success({"orderBook": [self._gtt(gtt) for gtt in self.desk.gtts.all()]})

    def place_gtt(self, call: Call) -> Reply:
        row = said(call)
        with self.worded():
            legs = legs_of(row)
            gtt = self.desk.gtts.place(
                key=self._listing(row).key,
                kind=GttKind.OCO if len(legs) > 1 else GttKind.SINGLE,
                side=word(SIDES, row.get("side"), "side"),
                product=word(PRODUCTS_OF, row.get("productType"), "productType"),
                legs=legs,
            )
        return acknowledged(PLACED, "Successfully placed order", gtt.gtt_id)

    def modify_gtt(self, call: Call) -> Reply:
        row = said(call)
        with self.worded():
            gtt = self.desk.gtts.modify(str(row.get("id")), legs_of(row))
        return acknowledged(CHANGED, "Successfully modified order", gtt.gtt_id)

    def cancel_gtt(self, call: Call) -> Reply:
        with self.worded():
            gtt = self.desk.gtts.cancel(str(said(call).get("id")))
        return acknowledged(CANCELLED, "Successfully cancelled order", gtt.gtt_id)

    def _gtt(self, gtt: Gtt) -> Json:
        listing = self.instruments[gtt.key]
        exchange, segment, _, _ = PLACES[listing.exchange]
        first, second = gtt.legs[-1], gtt.legs[0] if gtt.kind is GttKind.OCO else None
        return {
            "clientId": self.book.account.user_id,
            "exchange": exchange,
            "fy_token": fy_token(listing),
            "id_fyers": str(uuid5(NAMESPACE_OID, gtt.gtt_id)),
            "id": gtt.gtt_id,
            "instrument": 0,
            "lot_size": listing.lot_size,
            "multiplier": 0,
            "ord_status": GTT_STATUSES[gtt.status],
            "precision": 2,
            "price_limit": double(first.price),
            "price2_limit": double(second.price) if second else 0,
            "price_trigger": double(first.trigger_price),
            "price2_trigger": double(second.trigger_price) if second else 0,
            "product_type": PRODUCTS[gtt.product],
            "qty": first.quantity,
            "qty2": second.quantity if second else 0,
            "report_type": gtt.status.value,
            "segment": segment,
            "symbol": ticker(listing),
            "symbol_desc": listing.name.upper(),
            "symbol_exch": listing.symbol,
            "tick_size": double(self.market.tick_size(listing)),
            "tran_side": SIDE_WORDS[gtt.side],
            "gtt_oco_ind": GTT_KINDS[gtt.kind],
            "create_time": wire_time(gtt.created_at),
            "create_time_epoch": int(gtt.created_at.timestamp()),
            "oms_msg": gtt.message,
            "ltp_ch": 0,
            "ltp_chp": 0,
            "ltp": 0,
        }


def said(call: Call) -> dict[str, Any]:
    if not isinstance(call.json, dict):
        raise Refusal(error(*NO_BODY))
    return call.json


def acknowledged(code: int, message: str, order_id: str) -> Reply:
    return json_reply({"s": "ok", "code": code, "message": message, "id": order_id})


def legs_of(row: Mapping[str, Any]) -> list[Leg]:
    """`leg1` is the upper of two; the desk wants the lower first. Raises Refused."""
    info = row.get("orderInfo")
    legs = [info[name] for name in ("leg2", "leg1") if info.get(name)] if isinstance(info, dict) else []
    return [
        Leg(
            trigger_price=needed(leg, "triggerPrice"),
            price=needed(leg, "price"),
            quantity=quantity(leg.get("qty"), "qty"),
        )
        for leg in legs
        if isinstance(leg, dict)
    ]


def needed(leg: Mapping[str, Any], name: str) -> Decimal:
    found = price(leg.get(name), name)
    if found is None:
        raise Refused(Why.BAD_PRICE, f"Please provide valid {name}")
    return found


def tag_of(order: DeskOrder) -> str:
    """A tag of the customer's has a prefix; without one the system gives its own."""
    return f"{OWN}{order.asked.tag}" if order.asked.tag else UNTAGGED


def fyers_id(order: DeskOrder) -> str:
    return str(uuid5(NAMESPACE_OID, order.order_id))
