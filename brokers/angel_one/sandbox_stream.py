"""SmartStream and the order-status socket, simulated: packets as in fixtures/angel_one/ws_binary_packets.json."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from brokers.angel_one.sandbox_wire import order_row
from brokers.domain import OrderStatus
from brokers.simulation.dealing import DeskOrder
from brokers.simulation.desk import Desk
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Market, Price
from brokers.simulation.streams import Frame, StreamSession

EXCHANGES = {1: "NSE", 2: "NFO", 3: "BSE", 4: "BFO", 5: "MCX", 13: "CDS"}
NCDEX = 7  # known, and nothing trades there
LTP, QUOTE, SNAP_QUOTE, DEPTH = 1, 2, 3, 4
DEPTH_EXCHANGE = 1
MOST_SUBSCRIBED, MOST_DEEP = 1000, 50  # a token counts once for each mode
SCALES = {"CDS": 10**7}
PAISE = 100
BAD_PAYLOAD = ("E1001", "Invalid Request Payload.")
OVER_LIMIT = ("E1002", "Invalid Request. Subscription Limit Exceeded")
STATE_CODES = {
    OrderStatus.PENDING: "AB09",
    OrderStatus.OPEN: "AB01",
    OrderStatus.PARTIALLY_FILLED: "AB01",
    OrderStatus.TRIGGER_PENDING: "AB10",
    OrderStatus.FILLED: "AB05",
    OrderStatus.CANCELLED: "AB02",
    OrderStatus.EXPIRED: "AB02",
    OrderStatus.REJECTED: "AB03",
}
# The fields of an order, in the published order; the first frame has them all, empty.
EMPTY_ORDER = {
    **dict.fromkeys(("variety", "ordertype", "ordertag", "producttype"), ""),
    **dict.fromkeys(("price", "triggerprice"), 0),
    **dict.fromkeys(("quantity", "disclosedquantity"), "0"),
    "duration": "",
    **dict.fromkeys(("squareoff", "stoploss", "trailingstoploss"), 0),
    **dict.fromkeys(("tradingsymbol", "transactiontype", "exchange", "symboltoken", "instrumenttype"), ""),
    "strikeprice": 0,
    **dict.fromkeys(("optiontype", "expirydate"), ""),
    **dict.fromkeys(("lotsize", "cancelsize"), "0"),
    "averageprice": 0,
    **dict.fromkeys(("filledshares", "unfilledshares", "orderid", "text", "status", "orderstatus"), ""),
    **dict.fromkeys(("updatetime", "exchtime", "exchorderupdatetime", "fillid", "filltime", "parentorderid"), ""),
}


class SmartStream(StreamSession):
    """One socket. What is subscribed is named by mode, exchange type and token."""

    def __init__(
        self, market: Market, by_token: Mapping[tuple[str, str], Listing], now: Callable[[], datetime]
    ) -> None:
        super().__init__(market)
        self._by_token = by_token
        self._now = now
        self._sequence = 0

    def received(self, frame: Frame) -> list[Frame]:
        """No success is acknowledged."""
        if frame == "ping":
            return ["pong"]
        said: object = None
        try:
            said = json.loads(frame)
            action, names = wished(said)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return [refusal(said, BAD_PAYLOAD)]
        if not action:
            for name in names:
                self.forget(name)
            return []
        new = [name for name in names if name not in self.subscribed]
        deep = [name for name in (*self.subscribed, *new) if name.startswith(f"{DEPTH} ")]
        if len(self.subscribed) + len(new) > MOST_SUBSCRIBED or len(deep) > MOST_DEEP:
            return [refusal(said, OVER_LIMIT)]
        for name in new:
            _, number, token = name.split(" ")
            listing = self._by_token.get((EXCHANGES.get(int(number), ""), token))
            if listing is not None:
                self.subscribed[name] = listing
        return []

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        """A message for each."""
        return [self._packet(name, listing, price) for name, listing, price in changed]

    def _packet(self, name: str, listing: Listing, price: Price) -> bytes:
        mode, number, token = name.split(" ")
        self._sequence += 1
        milliseconds = int(self._now().timestamp() * 1000)
        start = struct.pack("<BB25s", int(mode), int(number), token.encode())
        if int(mode) == DEPTH:
            steps = (
                struct.pack("<iih", quantity, wired, orders) for _, quantity, wired, orders in book(listing, price, 20)
            )
            return start + struct.pack("<qq", 0, milliseconds // 1000) + b"".join(steps)
        packet = start + struct.pack("<qqq", self._sequence, milliseconds, on_wire(price.last, listing))
        return packet + rest(int(mode), listing, price, milliseconds // 1000)


def wished(said: object) -> tuple[int, list[str]]:
    """The action, 1 or 0, and the names it is about. Raises ValueError, KeyError, TypeError or AttributeError."""
    if not isinstance(said, dict):
        raise TypeError
    action, mode, listed = said["action"], said["params"]["mode"], said["params"]["tokenList"]
    names = dict.fromkeys(
        f"{mode} {group['exchangeType']} {token}" for group in listed for token in group["tokens"] if token.isdecimal()
    )
    types = {group["exchangeType"] for group in listed}
    known = {DEPTH_EXCHANGE} if mode == DEPTH else {*EXCHANGES, NCDEX}
    if action not in (0, 1) or mode not in (LTP, QUOTE, SNAP_QUOTE, DEPTH) or not types <= known:
        raise ValueError
    return action, list(names)


def rest(mode: int, listing: Listing, price: Price, seconds: int) -> bytes:
    """What follows the last price: the day, in mode 2 and 3, and the depth and limits, in mode 3."""
    if mode == LTP:
        return b""
    average = round((price.high + price.low + price.last) / 3, 2)
    waiting = 100 * listing.lot_size
    day = [on_wire(value, listing) for value in (price.open, price.high, price.low, price.close)]
    packet = struct.pack(
        "<qqqddqqqq", listing.lot_size, on_wire(average, listing), price.volume, waiting, waiting, *day
    )
    if mode == QUOTE:
        return packet
    steps = (struct.pack("<hqqh", *step) for step in book(listing, price, 5))
    circuits = (price.close * Decimal("1.1"), price.close * Decimal("0.9"), price.high, price.low)
    limits = struct.pack("<4q", *(on_wire(value, listing) for value in circuits))
    return packet + struct.pack("<qqd", seconds, 0, 0.0) + b"".join(steps) + limits


def book(listing: Listing, price: Price, steps: int) -> Iterator[tuple[int, int, int, int]]:
    """Flag (1 to buy, 0 to sell), quantity, price on the wire, orders: the bids first, each side from the best."""
    for flag, side in ((1, -1), (0, 1)):
        for number in range(steps):
            beside = price.last + side * number * listing.tick(price.last)
            yield flag, listing.lot_size * (number + 1), on_wire(beside, listing), 1


def on_wire(value: Decimal, listing: Listing) -> int:
    return int(value * SCALES.get(listing.exchange, PAISE))


def refusal(said: object, error: tuple[str, str]) -> str:
    code, words = error
    correlation = said.get("correlationID", "") if isinstance(said, dict) else ""
    return json.dumps({"correlationID": correlation, "errorCode": code, "errorMessage": words})


class OrderStatusSocket(StreamSession):
    """Says that it is connected, and then how each order stands after each of its changes."""

    def __init__(self, market: Market, user_id: str, desk: Desk) -> None:
        super().__init__(market, desk)
        self._user_id = user_id

    def opened(self) -> list[Frame]:
        return [self._frame("AB00", EMPTY_ORDER)]

    def received(self, frame: Frame) -> list[Frame]:
        return []

    def prices(self, changed: list[tuple[str, Listing, Price]]) -> list[Frame]:
        return []

    def orders(self, changed: list[DeskOrder]) -> list[Frame]:
        rows = [(order, order_row(order, self.market.instruments[order.asked.key])) for order in changed]
        return [
            self._frame(STATE_CODES[order.status], {name: row[name] for name in EMPTY_ORDER}) for order, row in rows
        ]

    def _frame(self, code: str, row: Mapping[str, object]) -> str:
        """Neither the unique id nor the exchange's is among the fields."""
        frame = {
            "user-id": self._user_id,
            "status-code": "200",
            "order-status": code,
            "error-message": "",
            "orderData": row,
        }
        return json.dumps(frame)
