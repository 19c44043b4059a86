"""Upstox's webhook, simulated: the shape of fixtures/upstox/webhook_order.json. Nothing is signed."""

from __future__ import annotations

from collections.abc import Mapping

from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Json


def postback(told: Told, row: Mapping[str, Json] | None) -> Json:
    """What is posted of an order, whose row is that of the book; without one, of a made-up order."""
    return news(row or made_up(told), told.account_id)


def news(row: Mapping[str, Json], account_id: str) -> dict[str, Json]:
    """An order as it is posted, and told by the portfolio stream."""
    return {
        "update_type": "order",
        "user_id": account_id,
        "userId": account_id,
        **row,
        "instrument_key": row["instrument_token"],
    }


def made_up(told: Told) -> dict[str, Json]:
    stamp = f"{told.at.astimezone(IST):%Y-%m-%d %H:%M:%S}"
    return {
        "exchange": "NSE",
        "instrument_token": "NSE_EQ|INE062A01020",
        "trading_symbol": "SBIN-EQ",
        "tradingsymbol": "SBIN-EQ",
        "product": "D",
        "order_type": "MARKET",
        "average_price": 470,
        "price": 0,
        "trigger_price": 0,
        "quantity": 1,
        "disclosed_quantity": 0,
        "pending_quantity": 0,
        "transaction_type": "BUY",
        "order_ref_id": "57744821658411",
        "exchange_order_id": "1000000001482421",
        "parent_order_id": None,
        "validity": "DAY",
        "status": "complete",
        "is_amo": False,
        "variety": "SIMPLE",
        "tag": None,
        "exchange_timestamp": stamp,
        "status_message": "",
        "order_id": told.order_id,
        "order_request_id": "1",
        "order_timestamp": stamp,
        "filled_quantity": 1,
        "guid": None,
        "placed_by": told.account_id,
        "status_message_raw": None,
    }
