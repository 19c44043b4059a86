"""Kite's names for an instrument: `exchange:tradingsymbol`, and `instrument_token = exchange_token × 256 + segment`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import IO

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, Listing, OptionType
from brokers.errors import NotSupported
from brokers.masters import csv_rows
from brokers.wire import Row, amount, day, one_of, optional_text, positive, text, translated

SEGMENT_CODES = {
    Exchange.NSE: 1,
    Exchange.NFO: 2,
    Exchange.CDS: 3,
    Exchange.BSE: 4,
    Exchange.BFO: 5,
    Exchange.BCD: 6,
    Exchange.MCX: 7,
}


KINDS = {
    "EQ": InstrumentKind.EQUITY,
    "FUT": InstrumentKind.FUTURE,
    "CE": InstrumentKind.OPTION,
    "PE": InstrumentKind.OPTION,
}


def quote_key(listing: Listing) -> str:
    return f"{listing.exchange}:{listing.tradingsymbol}"


def history_token(listing: Listing) -> str:
    """Kite's own number, which candles are asked by. A name, as quotes are asked by, does not tell it."""
    token = listing.broker_token
    if not (token.isascii() and token.isdecimal()):
        raise NotSupported("Kite tells daily prices only by its own number of an instrument, which its master says.")
    return token


def instrument_token(exchange: Exchange, exchange_token: int) -> int:
    return exchange_token * 256 + SEGMENT_CODES[exchange]


def exchange_token(instrument_token: Decimal) -> str:
    return str(int(instrument_token) >> 8)


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    return csv_rows(file)


def instrument(row: Row) -> list[Instrument]:
    """Map one line of GET /instruments (CSV, every field a text).

    Wire: `strike` and `tick_size` are INR; `lot_size` is units on NSE, BSE, NFO and BFO, and 1 on MCX and currency,
    where orders count lots. No ISIN. An underlying's `name` is optional; without it a derivative has no contract.
    """
    exchange = one_of(Exchange, row, "exchange")
    kind = InstrumentKind.INDEX if row["segment"] == "INDICES" else translated(KINDS, row["instrument_type"], "type")
    return [
        Instrument(
            exchange=exchange,
            kind=kind,
            tradingsymbol=text(row, "tradingsymbol"),
            broker_token=text(row, "instrument_token"),
            exchange_token=text(row, "exchange_token"),
            name=optional_text(row, "name"),
            contract=_contract(row, kind),
            lot_size=positive(row, "lot_size"),
            tick_size=positive(row, "tick_size"),
        )
    ]


def _contract(row: Row, kind: InstrumentKind) -> Contract | None:
    if kind not in (InstrumentKind.FUTURE, InstrumentKind.OPTION) or not row.get("name"):
        return None
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "name"),
        expiry=day(text(row, "expiry"), "expiry"),
        strike=amount(row, "strike") if option else None,
        option_type=OptionType(row["instrument_type"]) if option else None,
    )


def master_row(instrument: Instrument) -> dict[str, str]:
    """The line that `instrument` reads, for the round trip: what Kite's dump would say of it."""
    contract, index = instrument.contract, instrument.kind is InstrumentKind.INDEX
    option = contract.option_type if contract else None
    return {
        "instrument_token": instrument.broker_token,
        "exchange_token": instrument.exchange_token or "",
        "tradingsymbol": instrument.tradingsymbol,
        "name": (contract.underlying if contract else instrument.name) or "",
        "last_price": "0.0",
        "expiry": contract.expiry.isoformat() if contract else "",
        "strike": str(contract.strike or 0) if contract else "0.0",
        "tick_size": str(instrument.tick_size or 0),
        "lot_size": str(instrument.lot_size or 0),
        "instrument_type": option or {InstrumentKind.FUTURE: "FUT"}.get(instrument.kind, "EQ"),
        "segment": "INDICES" if index else _segment(instrument),
        "exchange": instrument.exchange,
    }


def _segment(instrument: Instrument) -> str:
    suffix = {InstrumentKind.FUTURE: "-FUT", InstrumentKind.OPTION: "-OPT"}.get(instrument.kind, "")
    return f"{instrument.exchange}{suffix}"
