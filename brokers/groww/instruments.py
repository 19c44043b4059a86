"""Groww's name for an instrument is exchange and symbol, `NSE_INFY`: the key of its quotes, and our broker_token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import IO

from brokers.domain import (
    SEGMENT_OF,
    Contract,
    Exchange,
    Holding,
    Instrument,
    InstrumentKind,
    Listing,
    OptionType,
    Position,
    Segment,
)
from brokers.errors import NotSupported
from brokers.groww.spec import EXCHANGES
from brokers.masters import csv_rows
from brokers.wire import Row, amount, day, optional_text, positive, text, translated

# Ours → Groww's segment and exchange.
WORDS = {exchange: words for words, exchange in EXCHANGES.items()}
KINDS = {
    "EQ": InstrumentKind.EQUITY,
    "IDX": InstrumentKind.INDEX,
    "FUT": InstrumentKind.FUTURE,
    "CE": InstrumentKind.OPTION,
    "PE": InstrumentKind.OPTION,
}
PAISE = Decimal(100)
NO_STRIKE = "-0.01"  # what the master writes for a future
TEST_CONTRACT = "NSETEST"


def quote_key(exchange: Exchange, tradingsymbol: str) -> str:
    return f"{WORDS[exchange][1]}_{tradingsymbol}"


def candle_params(listing: Listing, first: date, last: date) -> dict[str, str]:
    """What to ask for: a share's or an index's `groww_symbol` is exchange and symbol.

    Raises NotSupported for contracts, whose `groww_symbol` cannot be made of their symbol.
    """
    if SEGMENT_OF[listing.exchange] is not Segment.EQUITY:
        raise NotSupported("Groww is asked here for daily prices of shares and indices alone.")
    segment, exchange = WORDS[listing.exchange]
    return {
        "exchange": exchange,
        "segment": segment,
        "groww_symbol": f"{exchange}-{listing.tradingsymbol}",
        "start_time": f"{first} 00:00:00",
        "end_time": f"{last} 23:59:59",
        "candle_interval": "1day",
    }


def segment_of(exchange: Exchange) -> str:
    return WORDS[exchange][0]


def listing_of(line: Holding | Position) -> Listing:
    return Listing(
        exchange=line.exchange, tradingsymbol=line.tradingsymbol, broker_token=line.broker_token, isin=line.isin
    )


def batches(listings: Iterable[Listing], size: int) -> Iterator[tuple[str, list[Listing]]]:
    """Cut listings into what one call may ask for: Groww's segment, and at most `size` listings of it."""
    by_segment: dict[str, list[Listing]] = {}
    for listing in listings:
        if listing.exchange in WORDS:
            by_segment.setdefault(segment_of(listing.exchange), []).append(listing)
    for segment, members in by_segment.items():
        for start in range(0, len(members), size):
            yield segment, members[start : start + size]


def plain_symbol(trading_symbol: str) -> str:
    """`RELIANCE-EQ`, which one sample of the documentation writes, is `RELIANCE` everywhere else."""
    return trading_symbol.removesuffix("-EQ")


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    return csv_rows(file)


def instrument(row: Row) -> list[Instrument]:
    """Map one line of instrument.csv (every field a text); the exchanges' own test contracts become nothing.

    Wire: `tick_size` is in paise for shares and in INR for contracts; a future's strike is -0.01; an index has a word
    for a token. ISIN in rows of shares only. Lots are units on NSE and BSE. `freeze_quantity` is the first size that is
    blocked (20001), where others write the last that passes.
    UNCONFIRMED on MCX, where `lot_size` 100 is read as units too.
    """
    words = (text(row, "segment"), text(row, "exchange"))
    kind = translated(KINDS, text(row, "instrument_type"), "instrument_type")
    if TEST_CONTRACT in text(row, "trading_symbol"):
        return []
    exchange, symbol = translated(EXCHANGES, words, "segment"), text(row, "trading_symbol")
    tick = positive(row, "tick_size")
    blocked = positive(row, "freeze_quantity") if "freeze_quantity" in row else None
    return [
        Instrument(
            exchange=exchange,
            kind=kind,
            tradingsymbol=symbol,
            broker_token=quote_key(exchange, symbol),
            exchange_token=text(row, "exchange_token"),
            isin=optional_text(row, "isin"),
            name=optional_text(row, "name"),
            contract=_contract(row, kind),
            lot_size=positive(row, "lot_size"),
            tick_size=tick / PAISE if tick is not None and kind is InstrumentKind.EQUITY else tick,
            freeze_quantity=None if blocked is None else blocked - 1,
            series=optional_text(row, "series"),
        )
    ]


def _contract(row: Row, kind: InstrumentKind) -> Contract | None:
    if kind not in (InstrumentKind.FUTURE, InstrumentKind.OPTION):
        return None
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "underlying_symbol"),
        expiry=day(text(row, "expiry_date"), "expiry_date"),
        strike=amount(row, "strike_price") if option else None,
        option_type=OptionType(row["instrument_type"]) if option else None,
    )


def master_row(instrument: Instrument) -> dict[str, str]:
    """The line that `instrument` reads, for the round trip: what the master would say of it."""
    segment, exchange = WORDS[instrument.exchange]
    contract, tick = instrument.contract, instrument.tick_size
    if tick is not None and instrument.kind is InstrumentKind.EQUITY:
        tick *= PAISE
    option = contract.option_type if contract else None
    types = {InstrumentKind.FUTURE: "FUT", InstrumentKind.INDEX: "IDX"}
    return {
        "exchange": exchange,
        "exchange_token": instrument.exchange_token or "",
        "trading_symbol": instrument.tradingsymbol,
        "groww_symbol": groww_symbol(instrument),
        "name": instrument.name or "",
        "instrument_type": option or types.get(instrument.kind, "EQ"),
        "segment": segment,
        "series": instrument.series or "",
        "isin": instrument.isin or "",
        "underlying_symbol": contract.underlying if contract else "",
        "expiry_date": contract.expiry.isoformat() if contract else "",
        "strike_price": _strike(contract),
        "lot_size": _written(instrument.lot_size),
        "tick_size": _written(tick),
        "freeze_quantity": _written(None if instrument.freeze_quantity is None else instrument.freeze_quantity + 1),
    }


def groww_symbol(instrument: Instrument) -> str:
    """`NSE-WIPRO`, `NSE-NIFTY-30Sep25-FUT`, `NSE-NIFTY-18Nov25-23400-CE`: what candles are asked by."""
    exchange, contract = WORDS[instrument.exchange][1], instrument.contract
    if contract is None:
        return f"{exchange}-{instrument.tradingsymbol}"
    kind = "FUT" if contract.strike is None else f"{_written(contract.strike)}-{contract.option_type}"
    return f"{exchange}-{contract.underlying}-{contract.expiry:%d%b%y}-{kind}"


def _strike(contract: Contract | None) -> str:
    if contract is None:
        return ""
    return NO_STRIKE if contract.strike is None else _written(contract.strike)


def _written(number: Decimal | None) -> str:
    """Without an exponent and without trailing zeros."""
    return "" if number is None else f"{number.normalize():f}"
