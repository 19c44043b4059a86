"""Upstox's name for an instrument is its key, `NSE_EQ|INE009A01021`: for shares it contains the ISIN."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime, time
from decimal import Decimal
from typing import IO, Any, cast

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, Listing, OptionType
from brokers.masters import broken_if_cut, json_rows
from brokers.wire import IST, Row, amount, optional_text, positive, text, translated, written_flag

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
INDEX_SEGMENTS = {Exchange.NSE: "NSE_INDEX", Exchange.BSE: "BSE_INDEX", Exchange.MCX: "MCX_INDEX"}
EXCHANGE_OF = {segment: exchange for table in (SEGMENTS, INDEX_SEGMENTS) for exchange, segment in table.items()}
KINDS = {
    "FUT": InstrumentKind.FUTURE,
    "CE": InstrumentKind.OPTION,
    "PE": InstrumentKind.OPTION,
    "INDEX": InstrumentKind.INDEX,
}
PAISE = Decimal(100)
SHARE_SEGMENTS = frozenset({"NSE_EQ", "BSE_EQ"})


def quote_key(listing: Listing) -> str:
    return listing.broker_token


def share_key(exchange: Exchange, isin: str) -> str:
    return f"{SEGMENTS[exchange]}|{isin}"


def isin(instrument_key: str) -> str | None:
    """The ISIN inside a share's key; None for derivatives, whose key holds the exchange's number."""
    segment, _, identity = instrument_key.partition("|")
    return identity if segment in SHARE_SEGMENTS and identity else None


def exchange_token(instrument_key: str) -> str | None:
    """The exchange's number inside a derivative's key; None for shares, whose key holds the ISIN."""
    segment, _, identity = instrument_key.partition("|")
    return identity if segment not in SHARE_SEGMENTS and identity.isdigit() else None


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    """The objects of complete.json.gz: a gzip file, whatever the transport does."""
    with broken_if_cut(), gzip.open(file) as unpacked:
        yield from json_rows(cast(IO[bytes], unpacked))


def instrument(row: Row) -> list[Instrument]:
    """Map one object of the master (a bare JSON array, gzipped).

    Wire: `tick_size` is in paise; `expiry` is epoch milliseconds of 23:59:59 IST on the day; shares carry their series
    in `instrument_type`. MCX rows may carry `qty_multiplier`, the units in a lot.
    """
    segment = text(row, "segment")
    kind = _kind(segment, text(row, "instrument_type"))
    tick = positive(row, "tick_size") if "tick_size" in row else None
    return [
        Instrument(
            exchange=translated(EXCHANGE_OF, segment, "segment"),
            kind=kind,
            tradingsymbol=text(row, "trading_symbol"),
            broker_token=text(row, "instrument_key"),
            exchange_token=optional_text(row, "exchange_token"),
            isin=optional_text(row, "isin"),
            name=optional_text(row, "name"),
            contract=_contract(row, kind),
            lot_size=positive(row, "lot_size") if "lot_size" in row else None,
            tick_size=None if tick is None else tick / PAISE,
            multiplier=(positive(row, "qty_multiplier") if "qty_multiplier" in row else None) or Decimal(1),
            freeze_quantity=positive(row, "freeze_quantity") if "freeze_quantity" in row else None,
            series=text(row, "instrument_type") if kind is InstrumentKind.EQUITY else None,
            cas_eligible=written_flag(row, "cas_eligible"),
        )
    ]


def _kind(segment: str, word: str) -> InstrumentKind:
    if segment in SHARE_SEGMENTS:
        return InstrumentKind.EQUITY
    return translated(KINDS, word, "instrument_type")


def _contract(row: Row, kind: InstrumentKind) -> Contract | None:
    if kind not in (InstrumentKind.FUTURE, InstrumentKind.OPTION):
        return None
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "underlying_symbol"),
        expiry=datetime.fromtimestamp(int(amount(row, "expiry")) // 1000, IST).date(),
        strike=amount(row, "strike_price") if option else None,
        option_type=OptionType(row["instrument_type"]) if option else None,
    )


def master_row(instrument: Instrument) -> dict[str, Any]:
    """The object that `instrument` reads, for the round trip: what the master would say of it."""
    segments = INDEX_SEGMENTS if instrument.kind is InstrumentKind.INDEX else SEGMENTS
    row: dict[str, Any] = {
        "segment": segments[instrument.exchange],
        "name": instrument.name,
        "exchange": instrument.exchange,
        "instrument_key": instrument.broker_token,
        "exchange_token": instrument.exchange_token,
        "trading_symbol": instrument.tradingsymbol,
        "instrument_type": {InstrumentKind.FUTURE: "FUT", InstrumentKind.INDEX: "INDEX"}.get(
            instrument.kind, instrument.series or "EQ"
        ),
    }
    optional = {
        "isin": instrument.isin,
        "lot_size": instrument.lot_size,
        "tick_size": None if instrument.tick_size is None else instrument.tick_size * PAISE,
        "qty_multiplier": instrument.multiplier if instrument.multiplier != 1 else None,
        "freeze_quantity": instrument.freeze_quantity,
        "cas_eligible": instrument.cas_eligible,
    }
    row |= {name: value for name, value in optional.items() if value is not None}
    contract = instrument.contract
    if contract:
        end_of_day = datetime.combine(contract.expiry, time(23, 59, 59), IST)
        row |= {
            "underlying_symbol": contract.underlying,
            "expiry": int(end_of_day.timestamp()) * 1000,
            "strike_price": contract.strike or Decimal(0),
        }
        if contract.option_type:
            row["instrument_type"] = contract.option_type
    return row


def plain_symbol(trading_symbol: str) -> str:
    """`SBIN-EQ`, as orders and positions write it, is the `SBIN` of the holdings."""
    return trading_symbol.removesuffix("-EQ")
