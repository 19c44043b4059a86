"""Kite's postback, simulated: fixtures/zerodha/postback.json, signed as the documentation says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from brokers.domain import OrderStatus
from brokers.simulation.postbacks import Told
from brokers.simulation.wire import Json
from brokers.zerodha.sandbox_wire import kite_time

UNPOSTED = ("tags", "modified")
# What is posted of an order that has not ended; an order that merely stands is not news.
CHANGED = {OrderStatus.PARTIALLY_FILLED: "UPDATE"}
SILENT = frozenset({OrderStatus.PENDING, OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING})


def postback(told: Told, row: Mapping[str, Json] | None) -> Json | None:
    """What is posted of an order, whose row is that of the book; without one, of a made-up order. None: nothing."""
    if told.order is None or row is None:
        return news(made_up(told), told.account_id, told.secret)
    if told.order.status in SILENT and not row["modified"]:
        return None
    word = CHANGED.get(told.order.status, "UPDATE" if told.order.status in SILENT else row["status"])
    return news({**row, "status": word}, told.account_id, told.secret)


def news(row: Mapping[str, Json], account_id: str, secret: str) -> dict[str, Json]:
    """An order as it is posted, and told by the ticker: without tags, with a signature over its id and its time."""
    signed = f"{row['order_id']}{row['order_timestamp']}{secret}"
    kept = {name: value for name, value in row.items() if name not in UNPOSTED}
    return {
        "user_id": account_id,
        "unfilled_quantity": row["pending_quantity"],
        "app_id": 1234,
        "checksum": hashlib.sha256(signed.encode()).hexdigest(),
        **kept,
    }


def made_up(told: Told) -> dict[str, Json]:
    stamp = kite_time(told.at)
    return {
        "placed_by": told.account_id,
        "order_id": told.order_id,
        "exchange_order_id": "1000000001482421",
        "parent_order_id": None,
        "status": "COMPLETE",
        "status_message": None,
        "status_message_raw": None,
        "order_timestamp": stamp,
        "exchange_update_timestamp": stamp,
        "exchange_timestamp": stamp,
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "SBIN",
        "instrument_token": 779521,
        "order_type": "MARKET",
        "transaction_type": "BUY",
        "validity": "DAY",
        "product": "CNC",
        "quantity": 1,
        "disclosed_quantity": 0,
        "price": 0,
        "trigger_price": 0,
        "average_price": 470,
        "filled_quantity": 1,
        "pending_quantity": 0,
        "cancelled_quantity": 0,
        "market_protection": 0,
        "meta": {},
        "tag": None,
        "guid": "XXXXXX",
    }
