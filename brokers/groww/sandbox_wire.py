"""What the parts of the simulated Groww share: envelopes, and words for what an order is."""

from __future__ import annotations

from brokers.domain import OrderStatus
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Reply, json_reply

MESSAGES = {
    "GA000": "Internal error occurred",
    "GA001": "Bad request",
    "GA003": "Unable to serve request currently",
    "GA004": "Requested entity does not exist",
    "GA005": "User not authorised to perform this operation",
    "GA006": "Cannot process this request",
    "GA007": "Duplicate order reference id",
}
# our exchange → Groww's segment and exchange
WORDS = {
    "NSE": ("CASH", "NSE"),
    "BSE": ("CASH", "BSE"),
    "NFO": ("FNO", "NSE"),
    "BFO": ("FNO", "BSE"),
    "MCX": ("COMMODITY", "MCX"),
}
# The words of calls; the feed says APPROVED for OPEN. The day's end is told as a cancellation: no word is published.
STATUSES = {
    OrderStatus.PENDING: "ACKED",
    OrderStatus.OPEN: "OPEN",
    OrderStatus.PARTIALLY_FILLED: "OPEN",
    OrderStatus.TRIGGER_PENDING: "TRIGGER_PENDING",
    OrderStatus.FILLED: "EXECUTED",
    OrderStatus.CANCELLED: "CANCELLED",
    OrderStatus.EXPIRED: "CANCELLED",
    OrderStatus.REJECTED: "REJECTED",
}


# An index's number in the feed and the master: a word at NSE.
INDEX_TOKENS = {"SENSEX": "1"}


def trading_symbol(listing: Listing) -> str:
    """`INFY`, `NIFTY26DEC27000CE`; of an index what derivatives call it, `NIFTY`."""
    return listing.row["groww_symbol"] if listing.is_index else listing.symbol


def number_of(listing: Listing) -> str:
    own = trading_symbol(listing)
    return INDEX_TOKENS.get(own, own) if listing.is_index else listing.exchange_token


def success(payload: object) -> Reply:
    return json_reply({"status": "SUCCESS", "payload": payload})


def error(status: int, code: str, message: str = "") -> Reply:
    return json_reply(
        {"status": "FAILURE", "error": {"code": code, "message": message or MESSAGES[code], "metadata": None}}, status
    )
