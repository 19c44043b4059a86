"""SmartAPI's postback, simulated: the shape of fixtures/angel_one/postback_order.json. Nothing is signed."""

from __future__ import annotations

from brokers.simulation.postbacks import Told
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Json


def postback(told: Told) -> Json:
    """Prices are numbers, quantities are texts."""
    stamp = f"{told.at.astimezone(IST):%d-%b-%Y %H:%M:%S}"
    return {
        "variety": "NORMAL",
        "ordertype": "MARKET",
        "producttype": "DELIVERY",
        "duration": "DAY",
        "price": 0.0,
        "triggerprice": 0.0,
        "quantity": "1",
        "disclosedquantity": "0",
        "squareoff": 0.0,
        "stoploss": 0.0,
        "trailingstoploss": 0.0,
        "tradingsymbol": "SBIN-EQ",
        "transactiontype": "BUY",
        "exchange": "NSE",
        "symboltoken": "3045",
        "ordertag": "",
        "instrumenttype": "",
        "strikeprice": -1.0,
        "optiontype": "",
        "expirydate": "",
        "lotsize": "1",
        "cancelsize": "0",
        "averageprice": 470.0,
        "filledshares": "1",
        "unfilledshares": "0",
        "orderid": told.order_id,
        "text": "",
        "status": "complete",
        "orderstatus": "complete",
        "updatetime": stamp,
        "exchtime": stamp,
        "exchorderupdatetime": stamp,
        "fillid": "",
        "filltime": "",
        "parentorderid": "",
        "clientcode": told.account_id,
    }
