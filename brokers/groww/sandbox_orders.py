"""Groww's orders and smart orders, simulated over the desk. Shapes: fixtures/groww/order_*.json, margins_detail_*.json.

An order that the risk system rejects is answered like any other; its row says why. A reference is never taken twice.
Chosen where the docs are silent: a MARKET or SL_M order is refused, as the regulator wants bounds and there is no field
for them; validities other than DAY and IOC too; times are IST without an offset. Smart orders have one trigger: OCO is
not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from brokers.dealing import GttKind, GttStatus
from brokers.domain import OrderStatus, OrderType, Product, Side, Validity
from brokers.groww.sandbox_wire import STATUSES, WORDS, error, success
from brokers.simulation.dealing import Deal, DeskOrder, NewOrder, Refused
from brokers.simulation.dealing import Refusal as Why
from brokers.simulation.desk import Desk
from brokers.simulation.dialect import Route
from brokers.simulation.gtts import Gtt, Leg
from brokers.simulation.instruments import Listing
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

REFERENCE = re.compile(r"(?=[^-]*(-[^-]*){0,2}$)[A-Za-z0-9-]{8,20}")
LONGEST_PAGE, LONGEST_TRADE_PAGE, LONGEST_SMART_PAGE = 100, 50, 50
DEFAULT_PAGE, DEFAULT_SMART_PAGE = 25, 10
LONGEST_WINDOW = timedelta(days=31)
GTT_LIFE = timedelta(days=365)
BAD, LATE, ABSENT, FORBIDDEN = (400, "GA001"), (400, "GA006"), (404, "GA004"), (403, "GA005")
REFUSALS = {
    Why.NO_SUCH_ORDER: ABSENT,
    Why.TOO_LATE: LATE,
    Why.MARKET_CLOSED: LATE,
    Why.UNREGISTERED_ADDRESS: FORBIDDEN,
}
OWN_WORDS = frozenset({ABSENT, FORBIDDEN})  # said as published; other refusals say what is wrong
SMART_STATUSES = {
    GttStatus.ACTIVE: "ACTIVE",
    GttStatus.TRIGGERED: "TRIGGERED",
    GttStatus.CANCELLED: "CANCELLED",
    GttStatus.REJECTED: "FAILED",
}

Done = TypeVar("Done")
Word = TypeVar("Word", OrderType, Product, Side, Validity)


class Orders:
    """The routes of orders. Quantities are units, on MCX too."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/v1/order/create", self.create)
        yield Route("POST", "/v1/order/modify", self.modify)
        yield Route("POST", "/v1/order/cancel", self.cancel)
        yield Route("GET", "/v1/order/list", self.listed)
        yield Route("GET", "/v1/order/detail/{order_id}", self.detail)
        yield Route("GET", "/v1/order/status/{order_id}", self.status)
        yield Route("GET", "/v1/order/status/reference/{reference}", self.status_by_reference)
        yield Route("GET", "/v1/order/trades/{order_id}", self.trades)
        yield Route("POST", "/v1/margins/detail/orders", self.margin)
        yield Route("POST", "/v1/order-advance/create", self.create_smart)
        yield Route("PUT", "/v1/order-advance/modify/{gtt_id}", self.modify_smart)
        yield Route("POST", "/v1/order-advance/cancel/{segment}/{kind}/{gtt_id}", self.cancel_smart)
        yield Route("GET", "/v1/order-advance/status/{segment}/{kind}/internal/{gtt_id}", self.smart_status)
        yield Route("GET", "/v1/order-advance/list", self.smart_list)

    # --- orders ----------------------------------------------------------------------------------

    def create(self, call: Call) -> Reply:
        body = sent(call)
        listing, reference = self._listing(body), str(body.get("order_reference_id"))
        if not REFERENCE.fullmatch(reference):
            raise refusal(BAD, "Invalid order reference id.")
        if any(order.asked.tag == reference for order in self._desk.all_orders()):
            raise Refusal(error(400, "GA007"))
        new = self._order(body, listing, reference)
        order = dealt(lambda: self._desk.place(new))
        word = STATUSES[OrderStatus.PENDING if order.status is OrderStatus.REJECTED else order.status]
        return success(
            {
                "groww_order_id": order.order_id,
                "order_status": word,
                "order_reference_id": reference,
                "remark": "Order placed successfully",
            }
        )

    def modify(self, call: Call) -> Reply:
        body = sent(call)
        order = self._named(str(body.get("groww_order_id")), str(body.get("segment")))
        kind = chosen(OrderType, body, "order_type")
        quantity = self._lots(body, self._traded(order))
        changed = dealt(
            lambda: self._desk.modify(
                order.order_id,
                quantity=quantity,
                price=rate(body, "price"),
                trigger_price=rate(body, "trigger_price"),
                order_type=kind,
            )
        )
        return success({"groww_order_id": changed.order_id, "order_status": STATUSES[changed.status]})

    def cancel(self, call: Call) -> Reply:
        body = sent(call)
        order = self._named(str(body.get("groww_order_id")), str(body.get("segment")))
        ended = dealt(lambda: self._desk.cancel(order.order_id))
        return success({"groww_order_id": ended.order_id, "order_status": STATUSES[ended.status]})

    def listed(self, call: Call) -> Reply:
        wanted = call.asked("segment")
        rows = [self._row(order) for order in self._desk.orders() if wanted in ("", self._words(order)[0])]
        return success({"order_list": paged(call, rows, DEFAULT_PAGE, LONGEST_PAGE)})

    def detail(self, call: Call) -> Reply:
        return success(self._row(self._asked(call)))

    def status(self, call: Call) -> Reply:
        return success(self._status(self._asked(call)))

    def status_by_reference(self, call: Call) -> Reply:
        found = [order for order in self._desk.orders() if order.asked.tag == call.parts["reference"]]
        order_id = found[0].order_id if found else ""
        return success(self._status(self._named(order_id, call.asked("segment"))))

    def trades(self, call: Call) -> Reply:
        order = self._asked(call)
        rows = [self._trade(order, deal) for deal in order.deals]
        return success({"trade_list": paged(call, rows, LONGEST_TRADE_PAGE, LONGEST_TRADE_PAGE)})

    def margin(self, call: Call) -> Reply:
        """The needs of single orders, added up: nothing is set off. Charges are not simulated."""
        legs = [leg for leg in call.json if isinstance(leg, dict)] if isinstance(call.json, list) else []
        if not legs:
            raise refusal(BAD, "No orders.")
        needed = double(sum((self._needed(leg, call.asked("segment")) for leg in legs), Decimal(0)))
        is_cash = call.asked("segment") == "CASH"
        parts = {"cash_cnc_margin_required": needed} if is_cash else {"span_required": needed}
        none = dict.fromkeys(("exposure_required", "span_required", "option_buy_premium", "brokerage_and_charges"), 0.0)
        return success({**none, "total_requirement": needed, **parts, "physical_delivery_margin_requirement": 0.0})

    def _needed(self, leg: Mapping[str, Json], segment: str) -> Decimal:
        listing = self._listing({**leg, "segment": segment})
        new = self._order({**leg, "validity": "DAY", "trigger_price": leg.get("price")}, listing, None)
        return dealt(lambda: self._desk.margin(new))

    def _order(self, body: Mapping[str, Json], listing: Listing, reference: str | None) -> NewOrder:
        return NewOrder(
            key=listing.key,
            side=chosen(Side, body, "transaction_type"),
            order_type=chosen(OrderType, body, "order_type"),
            product=chosen(Product, body, "product"),
            validity=chosen(Validity, body, "validity"),
            quantity=self._lots(body, listing),
            price=rate(body, "price"),
            trigger_price=rate(body, "trigger_price"),
            tag=reference,
        )

    def _lots(self, body: Mapping[str, Json], listing: Listing) -> int:
        """Units as the desk counts them: MCX in lots."""
        counted = exact(body, "quantity") / listing.contract_multiplier
        if counted != counted.to_integral_value():
            raise refusal(BAD, "Invalid quantity.")
        return int(counted)

    def _listing(self, body: Mapping[str, Json]) -> Listing:
        words = (body.get("segment"), body.get("exchange"))
        ours = next((name for name, theirs in WORDS.items() if theirs == words), None)
        listing = self._desk.market.instruments.get(f"{ours}:{body.get('trading_symbol')}")
        if listing is None:
            raise refusal(BAD, "Invalid trading symbol.")
        return listing

    def _asked(self, call: Call) -> DeskOrder:
        return self._named(call.parts["order_id"], call.asked("segment"))

    def _named(self, order_id: str, segment: str) -> DeskOrder:
        """The order of the day of that id; its segment must be told, and be right."""
        if not segment:
            raise refusal(BAD, "The segment is missing.")
        order = self._desk.order(order_id)
        if order is None or self._words(order)[0] != segment:
            raise Refusal(error(*ABSENT))
        return order

    def _traded(self, order: DeskOrder) -> Listing:
        return self._desk.market.instruments[order.asked.key]

    def _words(self, order: DeskOrder) -> tuple[str, str]:
        return WORDS[self._traded(order).exchange]

    def _status(self, order: DeskOrder) -> dict[str, Json]:
        return {
            "groww_order_id": order.order_id,
            "order_status": STATUSES[order.status],
            "remark": order.message,
            "filled_quantity": order.filled * self._traded(order).contract_multiplier,
            "order_reference_id": order.asked.tag or "",
        }

    def _row(self, order: DeskOrder) -> dict[str, Json]:
        asked, listing = order.asked, self._traded(order)
        segment, exchange = self._words(order)
        units = listing.contract_multiplier
        return {
            "groww_order_id": order.order_id,
            "trading_symbol": listing.symbol,
            "order_status": STATUSES[order.status],
            "remark": order.message,
            "quantity": asked.quantity * units,
            "price": double(asked.price or 0),
            "trigger_price": double(asked.trigger_price or 0),
            "filled_quantity": order.filled * units,
            "remaining_quantity": order.remaining * units,
            "average_fill_price": double(round(order.average_price or Decimal(0), 4)),
            "deliverable_quantity": order.filled * units if asked.product is Product.CNC else 0,
            "amo_status": "NA",
            "validity": asked.validity.value,
            "exchange": exchange,
            "order_type": asked.order_type.value,
            "transaction_type": asked.side.value,
            "segment": segment,
            "product": asked.product.value,
            "created_at": moment(order.placed_at),
            "exchange_time": moment(order.updated_at) if order.exchange_order_id else None,
            "trade_date": f"{order.placed_at.astimezone(IST):%Y-%m-%dT00:00:00}",
            "order_reference_id": asked.tag or "",
        }

    def _trade(self, order: DeskOrder, deal: Deal) -> dict[str, Json]:
        """A fill. Groww's own number of it is empty, as in one of the samples."""
        listing = self._traded(order)
        segment, exchange = self._words(order)
        return {
            "price": double(deal.price),
            "isin": listing.isin or "",
            "quantity": deal.quantity * listing.contract_multiplier,
            "groww_order_id": order.order_id,
            "groww_trade_id": "",
            "exchange_trade_id": deal.trade_id,
            "exchange_order_id": order.exchange_order_id or "",
            "trade_status": "EXECUTED",
            "trading_symbol": listing.symbol,
            "remark": "",
            "exchange": exchange,
            "segment": segment,
            "product": order.asked.product.value,
            "transaction_type": order.asked.side.value,
            "created_at": moment(deal.at),
            "trade_date_time": moment(deal.at),
            "settlement_number": f"{deal.at.astimezone(IST):%Y%j}",
        }

    # --- smart orders ----------------------------------------------------------------------------

    def create_smart(self, call: Call) -> Reply:
        body = sent(call)
        listing, product = self._listing(body), chosen(Product, body, "product_type")
        order = body.get("order")
        if body.get("smart_order_type") != "GTT" or not isinstance(order, dict) or listing.exchange == "MCX":
            raise refusal(BAD, "Not supported.")
        if not REFERENCE.fullmatch(str(body.get("reference_id"))) or order.get("order_type") != "LIMIT":
            raise refusal(BAD, "Invalid smart order.")
        legs, side = [self._leg(body, order, listing)], chosen(Side, order, "transaction_type")
        self._check_direction(body, legs[0], listing)
        gtt = dealt(
            lambda: self._desk.gtts.place(key=listing.key, kind=GttKind.SINGLE, side=side, product=product, legs=legs)
        )
        return enveloped(self._smart_row(gtt), 201)

    def modify_smart(self, call: Call) -> Reply:
        """What is not told stays as it is."""
        body, gtt = sent(call), self._smart(call.parts["gtt_id"])
        [old], order = gtt.legs, body.get("order")
        listing = self._desk.market.instruments[gtt.key]
        told = order if isinstance(order, dict) else {}
        leg = Leg(
            trigger_price=rate(body, "trigger_price") or old.trigger_price,
            price=rate(told, "price") or old.price,
            quantity=self._lots(body, listing) if body.get("quantity") else old.quantity,
        )
        changed = dealt(lambda: self._desk.gtts.modify(gtt.gtt_id, [leg]))
        names = ("smart_order_id", "smart_order_type", "status", "quantity")
        row = self._smart_row(changed)
        return enveloped({name: row[name] for name in names}, 202)

    def cancel_smart(self, call: Call) -> Reply:
        gtt = self._smart_asked(call)
        ended = self._smart_row(dealt(lambda: self._desk.gtts.cancel(gtt.gtt_id)))
        return enveloped({name: ended[name] for name in ("smart_order_id", "smart_order_type", "status")}, 202)

    def smart_status(self, call: Call) -> Reply:
        gtt = self._smart_asked(call)
        price = self._desk.market.price(gtt.key)
        more = {
            "segment": call.parts["segment"],
            "ltp": double(price.last) if price else None,
            "remark": gtt.message or None,
            "display_name": self._desk.market.instruments[gtt.key].name,
            "child_legs": None,
        }
        return success({**self._smart_row(gtt), **more})

    def smart_list(self, call: Call) -> Reply:
        """Without filters: active OCO orders of today, of which there are none. A month at most."""
        now = self._desk.exchange.now()
        start = asked_moment(call, "start_date_time") or now.replace(hour=0, minute=0)
        end = asked_moment(call, "end_date_time") or now
        if not timedelta() <= end - start <= LONGEST_WINDOW:
            raise refusal(BAD, "Invalid window.")
        wanted, segment = call.asked("status") or "ACTIVE", call.asked("segment")
        rows: list[dict[str, Json]] = [
            {"smart_order_id": smart_id(gtt), "smart_order_type": "GTT", "status": SMART_STATUSES[gtt.status]}
            for gtt in self._desk.gtts.all()
            if SMART_STATUSES[gtt.status] == wanted
            and segment in ("", self._smart_words(gtt)[0])
            and start <= gtt.created_at <= end + timedelta(seconds=1)
        ]
        found = rows if call.asked("smart_order_type") == "GTT" else []
        return success({"orders": paged(call, found, DEFAULT_SMART_PAGE, LONGEST_SMART_PAGE)})

    def _leg(self, body: Mapping[str, Json], order: Mapping[str, Json], listing: Listing) -> Leg:
        """Prices are texts here."""
        if not (isinstance(body.get("trigger_price"), str) and isinstance(order.get("price"), str)):
            raise refusal(BAD, "Prices are decimal strings.")
        price, trigger = rate(order, "price"), rate(body, "trigger_price")
        if price is None or trigger is None:
            raise refusal(BAD, "Invalid price.")
        return Leg(trigger_price=trigger, price=price, quantity=self._lots(body, listing))

    def _check_direction(self, body: Mapping[str, Json], leg: Leg, listing: Listing) -> None:
        price = self._desk.market.price(listing.key)
        upwards = price is not None and leg.trigger_price > price.last
        if body.get("trigger_direction") != ("UP" if upwards else "DOWN"):
            raise refusal(BAD, "Invalid trigger direction.")

    def _smart(self, name: str) -> Gtt:
        gtt = self._desk.gtts.get(name.removeprefix("gtt_"))
        if gtt is None:
            raise Refusal(error(*ABSENT))
        return gtt

    def _smart_asked(self, call: Call) -> Gtt:
        gtt = self._smart(call.parts["gtt_id"])
        if (call.parts["kind"], call.parts["segment"]) != ("GTT", self._smart_words(gtt)[0]):
            raise Refusal(error(*ABSENT))
        return gtt

    def _smart_words(self, gtt: Gtt) -> tuple[str, str]:
        return WORDS[self._desk.market.instruments[gtt.key].exchange]

    def _smart_row(self, gtt: Gtt) -> dict[str, Json]:
        [leg], listing = gtt.legs, self._desk.market.instruments[gtt.key]
        is_active = gtt.status is GttStatus.ACTIVE
        # Which side of the last price it waits on is not kept: a buyer is taken to wait below, a seller above.
        return {
            "smart_order_id": smart_id(gtt),
            "smart_order_type": "GTT",
            "status": SMART_STATUSES[gtt.status],
            "trading_symbol": listing.symbol,
            "exchange": self._smart_words(gtt)[1],
            "quantity": leg.quantity * listing.contract_multiplier,
            "product_type": gtt.product.value,
            "duration": "DAY",
            "order": {"order_type": "LIMIT", "price": f"{leg.price:.2f}", "transaction_type": gtt.side.value},
            "trigger_direction": "DOWN" if gtt.side is Side.BUY else "UP",
            "trigger_price": f"{leg.trigger_price:.2f}",
            "is_cancellation_allowed": is_active,
            "is_modification_allowed": is_active,
            "created_at": moment(gtt.created_at),
            "expire_at": moment(gtt.created_at + GTT_LIFE),
            "triggered_at": moment(gtt.updated_at) if gtt.status is GttStatus.TRIGGERED else None,
            "updated_at": moment(gtt.updated_at),
        }


def dealt(act: Callable[[], Done]) -> Done:
    """What the desk did; what it refuses is refused under the code that fits, in its own words where Groww has none."""
    try:
        return act()
    except Refused as refused:
        kind = REFUSALS.get(refused.why, BAD)
        raise refusal(kind, "" if kind in OWN_WORDS else refused.words) from None


def refusal(kind: tuple[int, str], words: str) -> Refusal:
    return Refusal(error(*kind, words))


def enveloped(payload: Json, status: int) -> Reply:
    return json_reply({"status": "SUCCESS", "payload": payload}, status)


def smart_id(gtt: Gtt) -> str:
    return f"gtt_{gtt.gtt_id}"


def paged(call: Call, rows: list[dict[str, Json]], default: int, longest: int) -> list[dict[str, Json]]:
    try:
        page, size = int(call.asked("page") or 0), int(call.asked("page_size") or default)
    except ValueError:
        raise refusal(BAD, "Invalid page.") from None
    if page < 0 or not 1 <= size <= longest:
        raise refusal(BAD, "Invalid page.")
    return rows[page * size : (page + 1) * size]


def sent(call: Call) -> Mapping[str, Json]:
    return call.json if isinstance(call.json, dict) else {}


def chosen(words: type[Word], body: Mapping[str, Json], name: str) -> Word:
    try:
        return words(str(body.get(name)))
    except ValueError:
        raise refusal(BAD, f"Invalid {name}.") from None


def rate(body: Mapping[str, Json], name: str) -> Decimal | None:
    """A price; 0 and null stand for none."""
    return exact(body, name) or None


def exact(body: Mapping[str, Json], name: str) -> Decimal:
    value = body.get(name)
    if value is None:
        return Decimal(0)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise refusal(BAD, f"Invalid {name}.") from None
    if not number.is_finite():
        raise refusal(BAD, f"Invalid {name}.")
    return number


def moment(at: datetime) -> str:
    return f"{at.astimezone(IST):%Y-%m-%dT%H:%M:%S}"


def asked_moment(call: Call, name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(call.asked(name)) if call.asked(name) else None
    except ValueError:
        raise refusal(BAD, f"Invalid {name}.") from None
    return at.replace(tzinfo=at.tzinfo or IST) if at else None
