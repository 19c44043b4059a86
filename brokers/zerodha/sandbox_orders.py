"""Kite's orders, trades, margins and GTT, simulated over the desk: shapes of fixtures/zerodha/orders*.json and gtt*.

As the original: a market order is kept as a limit order at the end of its protection, with tags of Kite's own; an order
that the risk system rejects was accepted first. Invented, because nothing is published: the words of every refusal, and
that the history of an order is its arrival and its present state. Only the variety `regular` is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.simulation.asked import percent, price, quantity, shortfall, word
from brokers.simulation.checks import protected_price
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.dialect import Route, Sandbox
from brokers.simulation.gtts import Gtt, Leg
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Call, Json, Refusal, Reply, trimmed
from brokers.zerodha.sandbox_wire import error, kite_time, success

REFUSALS = {
    Why.UNKNOWN_INSTRUMENT: (400, "InputException"),
    Why.BAD_QUANTITY: (400, "InputException"),
    Why.BAD_PRICE: (400, "InputException"),
    Why.UNPROTECTED: (400, "InputException"),
    Why.NOT_OFFERED: (400, "InputException"),
    Why.UNREGISTERED_ADDRESS: (403, "PermissionException"),
    Why.NO_SUCH_ORDER: (400, "InputException"),
    Why.TOO_LATE: (400, "OrderException"),
    Why.MARKET_CLOSED: (400, "OrderException"),
}
SIDES = {side.value: side for side in Side}
ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "SL": OrderType.SL,
    "SL-M": OrderType.SL_M,
}
TYPE_WORDS = {ours: theirs for theirs, ours in ORDER_TYPES.items()}
PRODUCTS = {product.value: product for product in (Product.CNC, Product.MIS, Product.NRML, Product.MTF)}
VALIDITIES = {"DAY": Validity.DAY, "": Validity.DAY, "IOC": Validity.IOC}
STATUSES = {
    OrderStatus.PENDING: "PUT ORDER REQ RECEIVED",
    OrderStatus.OPEN: "OPEN",
    OrderStatus.PARTIALLY_FILLED: "OPEN",
    OrderStatus.TRIGGER_PENDING: "TRIGGER PENDING",
    OrderStatus.FILLED: "COMPLETE",
    OrderStatus.CANCELLED: "CANCELLED",
    OrderStatus.EXPIRED: "CANCELLED",
    OrderStatus.REJECTED: "REJECTED",
}
ENDED = frozenset({OrderStatus.CANCELLED, OrderStatus.EXPIRED})
REGULAR = "regular"
AUTOMATIC = Decimal(-1)
GTT_KINDS = {"single": GttKind.SINGLE, "two-leg": GttKind.OCO}
GTT_STATUSES = {
    GttStatus.ACTIVE: "active",
    GttStatus.TRIGGERED: "triggered",
    GttStatus.CANCELLED: "cancelled",
    GttStatus.REJECTED: "rejected",
    GttStatus.EXPIRED: "expired",
}
NO_GTT = (400, "InputException", "Invalid `trigger_id`.")


@contextmanager
def worded() -> Iterator[None]:
    """Say in Kite's words what the desk refuses."""
    try:
        yield
    except Refused as refused:
        raise Refusal(error(*REFUSALS[refused.why], refused.words)) from None


class KiteOrders(Sandbox):
    """What of the simulated Kite is about orders."""

    most_changes = 25

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._protected: dict[str, str] = {}
        self._modified: set[str] = set()

    def order_routes(self) -> Iterable[Route]:
        yield Route("POST", "/orders/{variety}", self.place)
        yield Route("PUT", "/orders/{variety}/{order_id}", self.modify)
        yield Route("DELETE", "/orders/{variety}/{order_id}", self.cancel)
        yield Route("GET", "/orders", self.order_book)
        yield Route("GET", "/orders/{order_id}", self.history)
        yield Route("GET", "/orders/{order_id}/trades", self.trades_of)
        yield Route("GET", "/trades", self.trade_book)
        yield Route("POST", "/margins/orders", self.order_margins)
        yield Route("GET", "/gtt/triggers", self.gtt_list)
        yield Route("POST", "/gtt/triggers", self.place_gtt)
        yield Route("GET", "/gtt/triggers/{gtt_id}", self.one_gtt)
        yield Route("PUT", "/gtt/triggers/{gtt_id}", self.modify_gtt)
        yield Route("DELETE", "/gtt/triggers/{gtt_id}", self.cancel_gtt)

    # --- writes ----------------------------------------------------------------------------------

    def place(self, call: Call) -> Reply:
        check_variety(call)
        form = {name: values[0] for name, values in call.form.items()}
        with worded():
            new, band = self._ordered(form)
            order = self.desk.place(new)
        if band:
            self._protected[order.order_id] = band
        return success({"order_id": order.order_id})

    def _ordered(self, row: Mapping[str, Any]) -> tuple[NewOrder, str]:
        """The order in a row, and the width of its protection where it is a market order. Raises Refused."""
        protection = percent(row.get("market_protection"), "market_protection")
        new = NewOrder(
            key=f"{row.get('exchange')}:{row.get('tradingsymbol')}",
            side=word(SIDES, row.get("transaction_type"), "transaction_type"),
            order_type=word(ORDER_TYPES, row.get("order_type"), "order_type"),
            product=word(PRODUCTS, row.get("product"), "product"),
            validity=word(VALIDITIES, row.get("validity", ""), "validity"),
            quantity=quantity(row.get("quantity")),
            price=price(row.get("price")),
            trigger_price=price(row.get("trigger_price"), "trigger_price"),
            disclosed_quantity=quantity(row.get("disclosed_quantity"), "disclosed_quantity"),
            is_protected=protection != 0,
            tag=row.get("tag") or None,
        )
        return self._bounded(new, protection)

    def _bounded(self, new: NewOrder, protection: Decimal) -> tuple[NewOrder, str]:
        """A market order is a limit order at the end of its protection."""
        listing, now = self.instruments.get(new.key), self.market.price(new.key)
        if new.order_type is not OrderType.MARKET or not protection or listing is None or now is None:
            return new, ""
        end = self._end(new.side, listing, now.last, protection)
        width = (abs(end - now.last) / now.last * 100).quantize(Decimal("0.01"))
        bounded = NewOrder(
            key=new.key,
            side=new.side,
            order_type=OrderType.LIMIT,
            product=new.product,
            validity=new.validity,
            quantity=new.quantity,
            price=end,
            disclosed_quantity=new.disclosed_quantity,
            is_protected=True,
            tag=new.tag,
        )
        return bounded, f"{width:.2f}"

    def _end(self, side: Side, listing: Listing, last: Decimal, protection: Decimal) -> Decimal:
        tick = self.market.tick_size(listing)
        if protection == AUTOMATIC:
            return protected_price(side, last, listing, tick)
        away = last * protection / 100 // tick * tick
        return last + away if side is Side.BUY else max(last - away, tick)

    def modify(self, call: Call) -> Reply:
        check_variety(call)
        form = {name: values[0] for name, values in call.form.items()}
        order_id = call.parts["order_id"]
        with worded():
            order_type = word(ORDER_TYPES, form["order_type"], "order_type") if form.get("order_type") else None
            new_price = price(form.get("price"))
            standing = self.desk.order(order_id)
            if standing and order_type is OrderType.MARKET:
                bounded, _ = self._ordered({**self._as_asked(standing), **form})
                order_type, new_price = bounded.order_type, bounded.price
            self.desk.modify(
                order_id,
                quantity=quantity(form["quantity"]) if form.get("quantity") else None,
                price=new_price,
                trigger_price=price(form.get("trigger_price"), "trigger_price"),
                order_type=order_type,
                validity=word(VALIDITIES, form["validity"], "validity") if form.get("validity") else None,
                disclosed_quantity=quantity(form["disclosed_quantity"]) if form.get("disclosed_quantity") else None,
                is_protected=True if form.get("market_protection", "0") != "0" else None,
            )
        self._modified.add(order_id)
        return success({"order_id": order_id})

    def _as_asked(self, order: DeskOrder) -> dict[str, Any]:
        exchange, _, symbol = order.asked.key.partition(":")
        return {
            "exchange": exchange,
            "tradingsymbol": symbol,
            "transaction_type": order.asked.side.value,
            "product": order.asked.product.value,
            "quantity": order.asked.quantity,
        }

    def cancel(self, call: Call) -> Reply:
        check_variety(call)
        with worded():
            self.desk.cancel(call.parts["order_id"])
        return success({"order_id": call.parts["order_id"]})

    # --- reads -----------------------------------------------------------------------------------

    def order_book(self, call: Call) -> Reply:
        return success([self.order_row(order) for order in self.desk.orders()])

    def history(self, call: Call) -> Reply:
        row = self.order_row(self._known(call))
        arrival = {
            **row,
            "status": STATUSES[OrderStatus.PENDING],
            "exchange_order_id": None,
            "exchange_timestamp": None,
            "filled_quantity": 0,
            "average_price": 0,
            "pending_quantity": row["quantity"],
            "cancelled_quantity": 0,
            "status_message": None,
            "status_message_raw": None,
        }
        return success([arrival, row])

    def trades_of(self, call: Call) -> Reply:
        order = self._known(call)
        return success([self._trade(order, deal) for deal in order.deals])

    def trade_book(self, call: Call) -> Reply:
        return success([self._trade(order, deal) for order, deal in self.desk.deals()])

    def _known(self, call: Call) -> DeskOrder:
        order = self.desk.order(call.parts["order_id"])
        if order is None:
            raise Refusal(error(400, "InputException", "Couldn't find that `order_id`."))
        return order

    def order_row(self, order: DeskOrder) -> dict[str, Json]:
        asked, listing = order.asked, self.instruments[order.asked.key]
        at_exchange = kite_time(order.updated_at) if order.exchange_order_id else None
        band = self._protected.get(order.order_id)
        tags: list[Json] = [*([asked.tag] if asked.tag else []), *(["mktp", f"mktp:{band}"] if band else [])]
        return {
            "placed_by": self.book.account.user_id,
            "order_id": order.order_id,
            "exchange_order_id": order.exchange_order_id,
            "parent_order_id": None,
            "status": STATUSES[order.status],
            "status_message": plain(order.message),
            "status_message_raw": order.message or None,
            "order_timestamp": kite_time(order.placed_at),
            "exchange_update_timestamp": at_exchange,
            "exchange_timestamp": at_exchange,
            "variety": REGULAR,
            "modified": order.order_id in self._modified,
            "exchange": listing.exchange,
            "tradingsymbol": listing.symbol,
            "instrument_token": listing.kite_token,
            "order_type": TYPE_WORDS[asked.order_type],
            "transaction_type": asked.side.value,
            "validity": asked.validity.value,
            "product": asked.product.value,
            "quantity": asked.quantity,
            "disclosed_quantity": asked.disclosed_quantity,
            "price": trimmed(asked.price or 0),
            "trigger_price": trimmed(asked.trigger_price or 0),
            "average_price": trimmed(order.average_price or 0),
            "filled_quantity": order.filled,
            "pending_quantity": 0 if order.status is OrderStatus.REJECTED else order.remaining,
            "cancelled_quantity": order.remaining if order.status in ENDED else 0,
            "market_protection": 0,
            "meta": {},
            "tag": asked.tag,
            **({"tags": tags} if tags else {}),
            "guid": f"{order.order_id}-guid",
        }

    def _trade(self, order: DeskOrder, deal: Deal) -> Json:
        """`order_timestamp` is a time of day only."""
        listing, at = self.instruments[order.asked.key], kite_time(deal.at)
        return {
            "trade_id": deal.trade_id,
            "order_id": order.order_id,
            "exchange": listing.exchange,
            "tradingsymbol": listing.symbol,
            "instrument_token": listing.kite_token,
            "product": order.asked.product.value,
            "average_price": trimmed(deal.price),
            "quantity": deal.quantity,
            "exchange_order_id": order.exchange_order_id,
            "transaction_type": order.asked.side.value,
            "fill_timestamp": at,
            "order_timestamp": kite_time(order.placed_at).partition(" ")[2],
            "exchange_timestamp": at,
        }

    def order_margins(self, call: Call) -> Reply:
        """Charges are 0: the desk takes none."""
        rows = call.json if isinstance(call.json, list) else []
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise Refusal(error(400, "InputException", "Invalid request body."))
        return success([self._margin(row) for row in rows if isinstance(row, dict)])

    def _margin(self, row: Mapping[str, Any]) -> Json:
        with worded():
            new, _ = self._ordered({**row, "market_protection": AUTOMATIC})
            needed = self.desk.margin(new)
        nothing = dict.fromkeys(("span", "exposure", "option_premium", "additional", "bo", "cash"), 0)
        return {
            "type": "commodity" if new.key.startswith("MCX:") else "equity",
            "tradingsymbol": new.key.partition(":")[2],
            "exchange": new.key.partition(":")[0],
            **nothing,
            "var": trimmed(needed),
            "pnl": {"realised": 0, "unrealised": 0},
            "leverage": 1,
            "charges": {
                "transaction_tax": 0,
                "transaction_tax_type": "stt",
                "exchange_turnover_charge": 0,
                "sebi_turnover_charge": 0,
                "brokerage": 0,
                "stamp_duty": 0,
                "gst": {"igst": 0, "cgst": 0, "sgst": 0, "total": 0},
                "total": 0,
            },
            "total": trimmed(needed),
        }

    # --- GTT -------------------------------------------------------------------------------------

    def gtt_list(self, call: Call) -> Reply:
        return success([self._gtt(gtt) for gtt in self.desk.gtts.all()])

    def one_gtt(self, call: Call) -> Reply:
        gtt = self.desk.gtts.get(call.parts["gtt_id"])
        if gtt is None:
            raise Refusal(error(*NO_GTT))
        return success(self._gtt(gtt))

    def place_gtt(self, call: Call) -> Reply:
        condition, orders = self._conditions(call)
        with worded():
            gtt = self.desk.gtts.place(
                key=f"{condition.get('exchange')}:{condition.get('tradingsymbol')}",
                kind=word(GTT_KINDS, call.posted("type"), "type"),
                side=word(SIDES, orders[0].get("transaction_type"), "transaction_type"),
                product=word(PRODUCTS, orders[0].get("product"), "product"),
                legs=legs_of(condition, orders),
            )
        return success({"trigger_id": int(gtt.gtt_id)})

    def modify_gtt(self, call: Call) -> Reply:
        condition, orders = self._conditions(call)
        with worded():
            gtt = self.desk.gtts.modify(call.parts["gtt_id"], legs_of(condition, orders))
        return success({"trigger_id": int(gtt.gtt_id)})

    def cancel_gtt(self, call: Call) -> Reply:
        with worded():
            gtt = self.desk.gtts.cancel(call.parts["gtt_id"])
        return success({"trigger_id": int(gtt.gtt_id)})

    def _conditions(self, call: Call) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The two fields of the form that are JSON."""
        try:
            condition, orders = json.loads(call.posted("condition")), json.loads(call.posted("orders"))
        except ValueError:
            condition, orders = None, None
        if not isinstance(condition, dict) or not isinstance(orders, list) or not orders:
            raise Refusal(error(400, "InputException", "Invalid `condition` or `orders`."))
        return condition, orders

    def _gtt(self, gtt: Gtt) -> Json:
        listing = self.instruments[gtt.key]
        names: dict[str, Json] = {"exchange": listing.exchange, "tradingsymbol": listing.symbol}
        rows: list[Json] = [
            {
                **names,
                "product": gtt.product.value,
                "order_type": "LIMIT",
                "transaction_type": gtt.side.value,
                "quantity": leg.quantity,
                "price": trimmed(leg.price),
                "result": None,
            }
            for leg in gtt.legs
        ]
        created = kite_time(gtt.created_at)
        return {
            "id": int(gtt.gtt_id),
            "user_id": self.book.account.user_id,
            "parent_trigger": None,
            "type": {kind: theirs for theirs, kind in GTT_KINDS.items()}[gtt.kind],
            "created_at": created,
            "updated_at": kite_time(gtt.updated_at),
            "expires_at": f"{int(created[:4]) + 1}{created[4:]}",
            "status": GTT_STATUSES[gtt.status],
            "condition": {
                **names,
                "last_price": trimmed(self.price(gtt.key).last),
                "trigger_values": [trimmed(leg.trigger_price) for leg in gtt.legs],
                "instrument_token": listing.kite_token,
            },
            "orders": rows,
            "meta": {},
        }


def check_variety(call: Call) -> None:
    if call.parts["variety"] != REGULAR:
        raise Refusal(error(400, "InputException", "Invalid `variety`."))


def legs_of(condition: Mapping[str, Any], orders: list[dict[str, Any]]) -> list[Leg]:
    """Raises Refused."""
    triggers = condition.get("trigger_values")
    return [
        Leg(
            trigger_price=price(trigger, "trigger_values") or Decimal(0),
            price=price(order.get("price")) or Decimal(0),
            quantity=quantity(order.get("quantity")),
        )
        for trigger, order in zip(triggers if isinstance(triggers, list) else [], orders, strict=False)
    ]


def plain(message: str) -> str | None:
    """What the risk system said, in words for the customer."""
    if missing := shortfall(message):
        required, available = missing
        return (
            f"Insufficient funds. Required margin is {required} but available margin is {available}. "
            "Check the orderbook for open orders."
        )
    return message.removeprefix("RMS:") or None
