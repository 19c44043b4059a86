"""Fyers' postback, simulated: the shape of fixtures/fyers/postback_order.json. How it is signed is not published."""

from __future__ import annotations

from collections.abc import Mapping

from brokers.fyers.sandbox_wire import wire_time
from brokers.simulation.postbacks import Told
from brokers.simulation.wire import Json


def postback(told: Told, row: Mapping[str, Json] | None) -> Json:
    """What is posted of an order, whose row is that of the book, in fewer fields; without one, of a made-up order."""
    posted = made_up(told)
    return posted if row is None else {name: row[name] for name in posted}


def made_up(told: Told) -> dict[str, Json]:
    return {
        "orderDateTime": wire_time(told.at),
        "id": told.order_id,
        "exchOrdId": "2500000061319029",
        "side": 1,
        "segment": 10,
        "instrument": 0,
        "productType": "CNC",
        "status": 2,
        "qty": 1,
        "remainingQuantity": 0,
        "filledQty": 1,
        "limitPrice": 0,
        "stopPrice": 0,
        "type": 2,
        "discloseQty": 0,
        "dqQtyRem": 0,
        "orderValidity": "DAY",
        "source": "M",
        "fyToken": "10100000003045",
        "offlineOrder": False,
        "message": "Completed",
        "orderNumStatus": f"{told.order_id}:2",
        "tradedPrice": 470,
        "exchange": 10,
        "pan": "",
        "clientId": told.account_id,
        "symbol": "NSE:SBIN-EQ",
    }
