"""Upstox's envelope and its names, as the simulated broker writes them."""

from __future__ import annotations

from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Json, Reply, json_reply

PRODUCTS = {"CNC": "D", "NRML": "D", "MIS": "I", "MTF": "MTF"}
# our exchange → (Upstox segment, the exchange its instrument file names)
SEGMENTS = {
    "NSE": ("NSE_EQ", "NSE"),
    "BSE": ("BSE_EQ", "BSE"),
    "NFO": ("NSE_FO", "NSE"),
    "BFO": ("BSE_FO", "BSE"),
    "CDS": ("NCD_FO", "NSE"),
    "MCX": ("MCX_FO", "MCX"),
}


def success(data: object) -> Reply:
    return json_reply({"status": "success", "data": data})


def error(
    status: int, code: str, message: str, *, property_path: str | None = None, invalid_value: str | None = None
) -> Reply:
    """Word one error in both spellings, as live replies do."""
    entry = {
        "errorCode": code,
        "message": message,
        "propertyPath": property_path,
        "invalidValue": invalid_value,
        "error_code": code,
        "property_path": property_path,
        "invalid_value": invalid_value,
    }
    return json_reply({"status": "error", "errors": [entry]}, status)


def segment(listing: Listing) -> str:
    if listing.is_index:
        return f"{listing.exchange}_INDEX"
    return SEGMENTS[listing.exchange][0]


def instrument_key(listing: Listing) -> str:
    """`NSE_EQ|INE009A01021` for shares; `NSE_FO|61471` for contracts. Replies call it `instrument_token`."""
    return f"{segment(listing)}|{listing.isin}" if listing.is_cash else listing.row["upstox_key"]


def reply_key(listing: Listing) -> str:
    """`NSE_EQ:INFY`, `NSE_INDEX:Nifty 50`."""
    return f"{segment(listing)}:{listing.name if listing.is_index else listing.symbol}"


def index_row(listing: Listing) -> Json:
    """Seven fields, as the docs list them: no lot, no tick."""
    return {
        "segment": segment(listing),
        "name": listing.name,
        "exchange": listing.exchange,
        "instrument_type": "INDEX",
        "instrument_key": instrument_key(listing),
        "exchange_token": listing.exchange_token,
        "trading_symbol": listing.row["upstox_symbol"],
    }
