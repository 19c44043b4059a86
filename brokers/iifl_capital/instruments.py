"""IIFL Capital's name for an instrument: an exchange word and the exchange's own number."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import IO

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, Listing, OptionType
from brokers.errors import NotSupported
from brokers.iifl_capital.spec import COUNTED_IN_LOTS, EXCHANGES
from brokers.masters import csv_rows
from brokers.wire import Row, amount, day, optional_text, positive, required, text, translated

WORDS = {exchange: word for word, exchange in EXCHANGES.items()}
OPTION_TYPES = {"CE": OptionType.CE, "PE": OptionType.PE}
DAY_FORM = "%d-%b-%Y"
EXPIRY_LENGTH = len("30-Apr-2026")


def quote_key(listing: Listing) -> tuple[str, str] | None:
    """Exchange word and number, as quotes want them; None where there is no number to ask for."""
    if listing.exchange not in WORDS or not listing.broker_token.isdigit():
        return None
    return WORDS[listing.exchange], listing.broker_token


def candle_params(listing: Listing, first: date, last: date) -> dict[str, str]:
    """What to ask for, both days included. Raises NotSupported for what has no number at an exchange of ours."""
    key = quote_key(listing)
    if key is None:
        raise NotSupported("IIFL Capital tells daily prices by the number of an instrument: this one has none there.")
    word, number = key
    return {
        "exchange": word,
        "instrumentId": number,
        "interval": "1 day",
        "fromDate": f"{first:{DAY_FORM}}",
        "toDate": f"{last:{DAY_FORM}}",
    }


def plain_symbol(trading_symbol: str) -> str:
    """`INFY-EQ` is the `INFY` of other brokers."""
    return trading_symbol.removesuffix("-EQ")


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    return csv_rows(file)


def instrument(row: Row) -> list[Instrument]:
    """Map one line of a contract file (CSV or JSON, every field a text), read by the names of its columns.

    Their order, and whether there is an ISIN, is UNCONFIRMED: none is read. Prices are INR. Commodity orders count
    lots, so `Lot Size` is the units in one. `Expiry` may carry a time of day.
    """
    exchange = translated(EXCHANGES, required(row, "Exchange"), "Exchange")
    kind = _kind(row)
    lot_size = positive(row, "Lot Size")
    return [
        Instrument(
            exchange=exchange,
            kind=kind,
            tradingsymbol=plain_symbol(text(row, "Trading Symbol")),
            broker_token=text(row, "Instrument ID"),
            exchange_token=text(row, "Instrument ID"),
            name=optional_text(row, "Underlying Instrument Name"),
            contract=_contract(row, kind),
            lot_size=lot_size,
            tick_size=positive(row, "Tick Size"),
            multiplier=lot_size if exchange in COUNTED_IN_LOTS and lot_size else Decimal(1),
        )
    ]


def _kind(row: Row) -> InstrumentKind:
    if row.get("Option Type") in OPTION_TYPES:
        return InstrumentKind.OPTION
    if optional_text(row, "Expiry"):
        return InstrumentKind.FUTURE
    return InstrumentKind.INDEX if "INDEX" in text(row, "Instrument Type").upper() else InstrumentKind.EQUITY


def _contract(row: Row, kind: InstrumentKind) -> Contract | None:
    if kind not in (InstrumentKind.FUTURE, InstrumentKind.OPTION):
        return None
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "Underlying Instrument Symbol"),
        expiry=day(text(row, "Expiry")[:EXPIRY_LENGTH], "Expiry", DAY_FORM),
        strike=amount(row, "Strike Price") if option else None,
        option_type=translated(OPTION_TYPES, row["Option Type"], "Option Type") if option else None,
    )


def master_row(instrument: Instrument) -> dict[str, str]:
    """The line that `instrument` reads, for the round trip: what the contract file would say of it."""
    contract = instrument.contract
    option = contract.option_type if contract else None
    types = {InstrumentKind.OPTION: "OPT", InstrumentKind.FUTURE: "FUT"}
    suffix = "-EQ" if instrument.kind is InstrumentKind.EQUITY and instrument.exchange is Exchange.NSE else ""
    return {
        "Exchange": WORDS[instrument.exchange],
        "Instrument ID": instrument.broker_token,
        "Instrument Type": types.get(instrument.kind, instrument.kind.value),
        "Trading Symbol": f"{instrument.tradingsymbol}{suffix}",
        "Underlying Instrument Symbol": contract.underlying if contract else instrument.tradingsymbol,
        "Underlying Instrument Name": instrument.name or "",
        "Option Type": option or "",
        "Strike Price": str(contract.strike) if contract and option else "",
        "Expiry": contract.expiry.strftime(DAY_FORM) if contract else "",
        "Lot Size": str(instrument.lot_size or ""),
        "Tick Size": str(instrument.tick_size or ""),
    }
