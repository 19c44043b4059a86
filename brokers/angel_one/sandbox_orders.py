"""SmartAPI's orders and GTT, simulated over the desk. Shapes: fixtures/angel_one/*order*.json, margin.json, gtt_*.json.

That an order was taken says nothing of the risk system, whose words stand in the book. A MARKET order is protected by
the broker itself. Chosen where the docs are silent: a quantity or price that no exchange takes is refused at once, with
AB4018; a change or cancellation that comes too late finds no order, as reported; a variety that is not the order's own
is refused; a rule has an `id` in the list; one that could not place its order is REJECTED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from uuid import NAMESPACE_OID, uuid5

from brokers.angel_one.sandbox_wire import (
    ORDER_TYPES,
    PRODUCTS,
    SECURE,
    VARIETIES,
    body,
    error,
    gateway_error,
    order_row,
    sent,
    success,
    symbol,
    token_of,
    trade_row,
)
from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderType, Product, Side, Validity
from brokers.simulation.dealing import DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.desk import Desk
from brokers.simulation.dialect import Route
from brokers.simulation.gtts import Gtt, Leg
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Call, Json, Refusal, Reply, double

GTT_PREFIXES = ("", "/gtt-service")  # the docs' and the SDK's
LONGEST_TAG = 19
GTT_LIFE = timedelta(days=365)

NO_SYMBOL = ("AB1009", "Symbol Not Found")
BAD_PRODUCT = ("AB1012", "Invalid Product Type")
BAD_VARIETY = ("AB1008", "Invalid Order Variety")
NO_ORDER = ("AB1013", "Order not found")
LONG_TAG = ("AB4008", "ordertag length should be less than 20 characters")
NO_RULE = ("AB9006", "Invalid rule id")
BAD_ORDER = "AB4018"
NOT_FROM_HERE = ("AG7002", "Unregistered IP")

OUR_TYPES = {word: kind for kind, word in ORDER_TYPES.items()}
OUR_PRODUCTS = {word: Product(product) for product, word in PRODUCTS.items()}
GTT_PRODUCTS = frozenset({Product.CNC, Product.MTF})
RULE_STATUSES = {
    GttStatus.ACTIVE: "NEW",
    GttStatus.TRIGGERED: "SENTTOEXCHANGE",
    GttStatus.CANCELLED: "CANCELLED",
    GttStatus.REJECTED: "REJECTED",
}

Done = TypeVar("Done")


class Orders:
    """The routes of orders. `by_token`: what trades, by exchange and token."""

    def __init__(self, desk: Desk, by_token: Callable[[], Mapping[tuple[str, str], Listing]]) -> None:
        self._desk = desk
        self._by_token = by_token

    def routes(self) -> Iterable[Route]:
        yield Route("POST", f"{SECURE}/order/v1/placeOrder", self.place)
        yield Route("POST", f"{SECURE}/order/v1/modifyOrder", self.modify)
        yield Route("POST", f"{SECURE}/order/v1/cancelOrder", self.cancel)
        yield Route("GET", f"{SECURE}/order/v1/getOrderBook", self.book)
        yield Route("GET", f"{SECURE}/order/v1/getTradeBook", self.trades)
        yield Route("GET", f"{SECURE}/order/v1/details/{{order_id}}", self.details)
        yield Route("POST", f"{SECURE}/margin/v1/batch", self.margin)
        for prefix in GTT_PREFIXES:
            yield Route("POST", f"{prefix}{SECURE}/gtt/v1/createRule", self.create_rule)
            yield Route("POST", f"{prefix}{SECURE}/gtt/v1/modifyRule", self.modify_rule)
            yield Route("POST", f"{prefix}{SECURE}/gtt/v1/cancelRule", self.cancel_rule)
        yield Route("POST", f"{SECURE}/gtt/v1/ruleDetails", self.rule_details)
        yield Route("POST", f"{SECURE}/gtt/v1/ruleList", self.rule_list)

    # --- orders ----------------------------------------------------------------------------------

    def place(self, call: Call) -> Reply:
        listing, kind = self._listing(call), order_type(call)
        if sent(call, "variety") != VARIETIES[kind]:
            raise Refusal(error(*BAD_VARIETY))
        tag = sent(call, "ordertag")
        if len(tag) > LONGEST_TAG:
            raise Refusal(error(*LONG_TAG))
        new = NewOrder(
            key=listing.key,
            side=side(sent(call, "transactiontype")),
            order_type=kind,
            product=product(sent(call, "producttype")),
            validity=validity(call),
            quantity=lots(call, "quantity", listing),
            price=rate(call, "price"),
            trigger_price=rate(call, "triggerprice"),
            disclosed_quantity=lots(call, "disclosedquantity", listing, or_else=0),
            is_protected=True,
            tag=tag or None,
        )
        order = dealt(lambda: self._desk.place(new))
        return success({"script": symbol(listing), **named(order)})

    def modify(self, call: Call) -> Reply:
        order, kind = self._order(call), order_type(call)
        listing = self._listing_of(order)
        changed = dealt(
            lambda: self._desk.modify(
                order.order_id,
                quantity=lots(call, "quantity", listing),
                price=rate(call, "price"),
                trigger_price=rate(call, "triggerprice"),
                order_type=kind,
                validity=validity(call),
            )
        )
        return success(named(changed))

    def cancel(self, call: Call) -> Reply:
        order = self._order(call)
        return success(named(dealt(lambda: self._desk.cancel(order.order_id))))

    def book(self, call: Call) -> Reply:
        return success([self._row(order) for order in self._desk.orders()] or None)

    def details(self, call: Call) -> Reply:
        found = [order for order in self._desk.orders() if unique_id(order) == call.parts["order_id"]]
        if not found:
            raise Refusal(error(*NO_ORDER))
        return success(self._row(found[0]))

    def trades(self, call: Call) -> Reply:
        deals = self._desk.deals()
        return success([trade_row(order, deal, self._listing_of(order)) for order, deal in deals] or None)

    def margin(self, call: Call) -> Reply:
        """The needs of single orders, added up: nothing is set off."""
        asked = body(call).get("positions")
        positions = [row for row in asked if isinstance(row, dict)] if isinstance(asked, list) else []
        if not positions:
            raise Refusal(error(BAD_ORDER, "Positions cannot be empty"))
        needs = [self._needed(row) for row in positions]
        total = double(sum(needs, Decimal(0)))
        parts = ("netPremium", "spanMargin", "marginBenefit", "deliveryMargin", "nonNFOMargin", "totOptionsPremium")
        return success({"totalMarginRequired": total, "marginComponents": dict.fromkeys(parts, 0)})

    def _needed(self, row: Mapping[str, Json]) -> Decimal:
        listing = self._by_token().get((str(row.get("exchange")), str(row.get("token"))))
        kind = OUR_TYPES.get(str(row.get("orderType")))
        if listing is None or kind is None:
            raise Refusal(error(*NO_SYMBOL))
        price = exact(row.get("price"))
        new = NewOrder(
            key=listing.key,
            side=side(str(row.get("tradeType"))),
            order_type=kind if price else OrderType.MARKET,
            product=product(str(row.get("productType"))),
            validity=Validity.DAY,
            quantity=in_lots(exact(row.get("qty")), listing),
            price=price or None,
            trigger_price=price or None,
            is_protected=True,
        )
        return dealt(lambda: self._desk.margin(new))

    def _row(self, order: DeskOrder) -> dict[str, Json]:
        row = order_row(order, self._listing_of(order))
        return {**row, "uniqueorderid": unique_id(order), "exchangeorderid": order.exchange_order_id or ""}

    def _order(self, call: Call) -> DeskOrder:
        """The order of the day that a request names, by id and variety."""
        order = self._desk.order(sent(call, "orderid"))
        if order is None:
            raise Refusal(error(*NO_ORDER))
        if sent(call, "variety") != VARIETIES[order.asked.order_type]:
            raise Refusal(error(*BAD_VARIETY))
        return order

    def _listing(self, call: Call) -> Listing:
        """What token and text symbol name: both must fit."""
        listing = self._by_token().get((sent(call, "exchange"), sent(call, "symboltoken")))
        if listing is None or symbol(listing) != sent(call, "tradingsymbol"):
            raise Refusal(error(*NO_SYMBOL))
        return listing

    def _listing_of(self, order: DeskOrder) -> Listing:
        return self._desk.market.instruments[order.asked.key]

    # --- GTT -------------------------------------------------------------------------------------

    def create_rule(self, call: Call) -> Reply:
        listing, kind = self._listing(call), product(sent(call, "producttype"))
        if not listing.is_cash or kind not in GTT_PRODUCTS:
            raise Refusal(error(*BAD_PRODUCT))
        legs, wanted = [leg(call, listing)], side(sent(call, "transactiontype"))
        gtt = dealt(
            lambda: self._desk.gtts.place(key=listing.key, kind=GttKind.SINGLE, side=wanted, product=kind, legs=legs)
        )
        return success({"id": gtt.gtt_id})

    def modify_rule(self, call: Call) -> Reply:
        gtt = self._rule(call)
        legs = [leg(call, self._desk.market.instruments[gtt.key])]
        return success({"id": dealt(lambda: self._desk.gtts.modify(gtt.gtt_id, legs)).gtt_id})

    def cancel_rule(self, call: Call) -> Reply:
        gtt = self._rule(call)
        return success({"id": dealt(lambda: self._desk.gtts.cancel(gtt.gtt_id)).gtt_id})

    def rule_details(self, call: Call) -> Reply:
        return success(self._rule_row(self._rule(call)))

    def rule_list(self, call: Call) -> Reply:
        asked = body(call)
        wanted, page, size = asked.get("status"), asked.get("page"), asked.get("count")
        if not (isinstance(wanted, list) and isinstance(page, int) and isinstance(size, int) and page > 0 < size):
            raise Refusal(error(BAD_ORDER, "Status, page and count are needed"))
        rows = [self._rule_row(gtt) for gtt in self._desk.gtts.all()]
        found = [row for row in rows if "FORALL" in wanted or row["status"] in wanted]
        return success(found[(page - 1) * size : page * size] or None)

    def _rule(self, call: Call) -> Gtt:
        gtt = self._desk.gtts.get(str(body(call).get("id")))
        if gtt is None:
            raise Refusal(error(*NO_RULE))
        return gtt

    def _rule_row(self, gtt: Gtt) -> dict[str, Json]:
        listing, [only] = self._desk.market.instruments[gtt.key], gtt.legs
        return {
            "status": RULE_STATUSES[gtt.status],
            "createddate": f"{gtt.created_at:%Y-%m-%dT%H:%M:%SZ}",
            "updateddate": f"{gtt.updated_at:%Y-%m-%dT%H:%M:%SZ}",
            "expirydate": f"{gtt.created_at + GTT_LIFE:%Y-%m-%dT%H:%M:%SZ}",
            "clientid": "100",
            "tradingsymbol": symbol(listing),
            "symboltoken": token_of(listing),
            "exchange": listing.exchange,
            "transactiontype": gtt.side.value,
            "producttype": PRODUCTS[gtt.product],
            "price": f"{only.price}",
            "qty": str(only.quantity * listing.contract_multiplier),
            "triggerprice": f"{only.trigger_price}",
            "disclosedqty": "0",
            "id": gtt.gtt_id,
        }


def dealt(act: Callable[[], Done]) -> Done:
    """What the desk did; what it refuses is refused in SmartAPI's words, and where there are none in its own."""
    try:
        return act()
    except Refused as refused:
        published = {
            Why.UNKNOWN_INSTRUMENT: NO_SYMBOL,
            Why.NO_SUCH_ORDER: NO_ORDER,
            Why.TOO_LATE: NO_ORDER,
        }
        if refused.why is Why.UNREGISTERED_ADDRESS:
            raise Refusal(gateway_error(*NOT_FROM_HERE, status=403)) from None
        raise Refusal(error(*published.get(refused.why, (BAD_ORDER, refused.words)))) from None


def named(order: DeskOrder) -> dict[str, Json]:
    return {"orderid": order.order_id, "uniqueorderid": unique_id(order)}


def unique_id(order: DeskOrder) -> str:
    return str(uuid5(NAMESPACE_OID, f"angel one {order.order_id}"))


def leg(call: Call, listing: Listing) -> Leg:
    price, trigger = rate(call, "price"), rate(call, "triggerprice")
    if price is None or trigger is None:
        raise Refusal(error(BAD_ORDER, "Price and trigger price are needed"))
    return Leg(trigger_price=trigger, price=price, quantity=lots(call, "qty", listing))


def order_type(call: Call) -> OrderType:
    kind = OUR_TYPES.get(sent(call, "ordertype"))
    if kind is None:
        raise Refusal(error(BAD_ORDER, "Invalid order type"))
    return kind


def product(word: str) -> Product:
    found = OUR_PRODUCTS.get(word)
    if found is None:
        raise Refusal(error(*BAD_PRODUCT))
    return found


def side(word: str) -> Side:
    if word not in ("BUY", "SELL"):
        raise Refusal(error(BAD_ORDER, "Invalid transaction type"))
    return Side(word)


def validity(call: Call) -> Validity:
    word = sent(call, "duration")
    if word not in ("DAY", "IOC"):
        raise Refusal(error(BAD_ORDER, "Invalid duration"))
    return Validity(word)


def rate(call: Call, name: str) -> Decimal | None:
    """A price; 0 stands for none."""
    return exact(body(call).get(name)) or None


def lots(call: Call, name: str, listing: Listing, *, or_else: int | None = None) -> int:
    value = body(call).get(name)
    if value is None and or_else is not None:
        return or_else
    return in_lots(exact(value), listing)


def in_lots(quantity: Decimal, listing: Listing) -> int:
    """Units as the desk counts them: MCX in lots."""
    counted = quantity / listing.contract_multiplier
    if counted != counted.to_integral_value():
        raise Refusal(error(BAD_ORDER, "Invalid quantity"))
    return int(counted)


def exact(value: Json) -> Decimal:
    """A number, which may come as one or as a text; nothing is 0."""
    if value is None or value == "":
        return Decimal(0)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Refusal(error(BAD_ORDER, "Invalid number")) from None
    if not number.is_finite():
        raise Refusal(error(BAD_ORDER, "Invalid number"))
    return number
