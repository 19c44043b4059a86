"""Kite's names for an instrument: `exchange:tradingsymbol`, and `instrument_token = exchange_token × 256 + segment`."""

from __future__ import annotations

from brokers.domain import Exchange, Listing

SEGMENT_CODES = {
    Exchange.NSE: 1,
    Exchange.NFO: 2,
    Exchange.CDS: 3,
    Exchange.BSE: 4,
    Exchange.BFO: 5,
    Exchange.BCD: 6,
    Exchange.MCX: 7,
}


def quote_key(listing: Listing) -> str:
    return f"{listing.exchange}:{listing.tradingsymbol}"


def instrument_token(exchange: Exchange, exchange_token: int) -> int:
    return exchange_token * 256 + SEGMENT_CODES[exchange]


def exchange_token(instrument_token: int) -> int:
    return instrument_token >> 8
