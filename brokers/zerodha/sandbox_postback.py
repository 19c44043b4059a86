"""Kite's postback, simulated: fixtures/zerodha/postback.json, signed as the documentation says."""

from __future__ import annotations

import hashlib

from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Json


def postback(told: Told) -> Json:
    stamp = f"{told.at.astimezone(IST):%Y-%m-%d %H:%M:%S}"
    signed = f"{told.order_id}{stamp}{told.secret}"
    return {
        "user_id": told.account_id,
        "unfilled_quantity": 0,
        "app_id": 1234,
        "checksum": hashlib.sha256(signed.encode()).hexdigest(),
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
