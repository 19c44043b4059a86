"""Fyers' envelope and its names, as the simulated broker writes them."""

from __future__ import annotations

from datetime import datetime

from brokers.simulation.instruments import Listing
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Json, Reply, json_reply

PRODUCTS = {"CNC": "CNC", "NRML": "MARGIN", "MIS": "INTRADAY", "MTF": "MTF"}
# our exchange → (Fyers' exchange, segment, prefix of tickers, master file)
PLACES = {
    "NSE": (10, 10, "NSE", "NSE_CM"),
    "NFO": (10, 11, "NSE", "NSE_FO"),
    "CDS": (10, 12, "NSE", "NSE_CD"),
    "MCX": (11, 20, "MCX", "MCX_COM"),
    "BSE": (12, 10, "BSE", "BSE_CM"),
    "BFO": (12, 11, "BSE", "BSE_FO"),
}
BSE_GROUP = "A"


def success(payload: dict[str, Json], message: str = "") -> Reply:
    return json_reply({"s": "ok", "code": 200, "message": message, **payload})


def error(status: int, code: int, message: str) -> Reply:
    return json_reply({"s": "error", "code": code, "message": message}, status)


def series(listing: Listing) -> str:
    return listing.row["series"] if listing.exchange == "NSE" else BSE_GROUP


def ticker(listing: Listing) -> str:
    """`NSE:INFY-EQ`, `BSE:INFY-A`, `NSE:NIFTY50-INDEX`, `NSE:NIFTY26DEC27000PE`: derivatives stand under the house, not
    under NFO."""
    if listing.is_index:
        return listing.row["fyers_symbol"]
    prefix = PLACES[listing.exchange][2]
    return f"{prefix}:{listing.symbol}-{series(listing)}" if listing.is_cash else f"{prefix}:{listing.symbol}"


def fy_token(listing: Listing) -> str:
    """Exchange, segment, expiry and the exchange's number, without anything between."""
    exchange, segment, _, _ = PLACES[listing.exchange]
    expiry = f"{listing.expiry:%y%m%d}" if listing.expiry else "000000"
    return f"{exchange}{segment}{expiry}{listing.exchange_token}"


def wire_time(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%d-%b-%Y %H:%M:%S}"
