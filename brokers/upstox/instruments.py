"""Upstox's name for an instrument is its key, `NSE_EQ|INE009A01021`: for shares it contains the ISIN."""

from __future__ import annotations

from brokers.domain import Exchange, Listing

SEGMENTS = {
    Exchange.NSE: "NSE_EQ",
    Exchange.BSE: "BSE_EQ",
    Exchange.NFO: "NSE_FO",
    Exchange.BFO: "BSE_FO",
    Exchange.CDS: "NCD_FO",
    Exchange.BCD: "BCD_FO",
    Exchange.MCX: "MCX_FO",
    Exchange.NCO: "NSE_COM",
}
SHARE_SEGMENTS = frozenset({"NSE_EQ", "BSE_EQ"})


def quote_key(listing: Listing) -> str:
    return listing.broker_token


def share_key(exchange: Exchange, isin: str) -> str:
    return f"{SEGMENTS[exchange]}|{isin}"


def isin(instrument_key: str) -> str | None:
    """The ISIN inside a share's key; None for derivatives, whose key holds the exchange's number."""
    segment, _, identity = instrument_key.partition("|")
    return identity if segment in SHARE_SEGMENTS and identity else None


def plain_symbol(trading_symbol: str) -> str:
    """`SBIN-EQ`, as orders and positions write it, is the `SBIN` of the holdings."""
    return trading_symbol.removesuffix("-EQ")
