"""Fyers' postback, simulated: the shape of fixtures/fyers/postback_order.json. How it is signed is not published."""

from __future__ import annotations

from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Json


def postback(told: Told) -> Json:
    return {
        "orderDateTime": f"{told.at.astimezone(IST):%d-%b-%Y %H:%M:%S}",
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
