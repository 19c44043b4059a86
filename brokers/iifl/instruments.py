"""XTS's name for an instrument: a segment, as a word or as a number, and the exchange's own number in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, Listing, OptionType
from brokers.errors import NotSupported, UnexpectedResponse
from brokers.iifl.spec import EXCHANGES
from brokers.masters import lines_of_text
from brokers.wire import Row, amount, day, number, optional_text, positive, required, text, translated

SEGMENTS = {exchange: word for word, exchange in EXCHANGES.items()}
SEGMENT_CODES = {
    Exchange.NSE: 1,
    Exchange.NFO: 2,
    Exchange.CDS: 3,
    Exchange.BSE: 11,
    Exchange.BFO: 12,
    Exchange.BCD: 13,
    Exchange.MCX: 51,
}
LATEST_SECOND = 1 << 33  # what is later counts another unit
ISIN = re.compile(r"IN[A-Z0-9]{10}")

SPREAD = "4"
KINDS = {
    "1": InstrumentKind.FUTURE,
    "2": InstrumentKind.OPTION,
    "8": InstrumentKind.EQUITY,
    "16": InstrumentKind.INDEX,
}
TYPE_CODES = {kind: code for code, kind in KINDS.items()}
OPTION_TYPES = {"3": OptionType.CE, "4": OptionType.PE}
OPTION_CODES = {option: code for code, option in OPTION_TYPES.items()}

HEAD = (
    *("ExchangeSegment", "ExchangeInstrumentID", "InstrumentType", "Name", "Description", "Series", "NameWithSeries"),
    *("InstrumentID", "PriceBand.High", "PriceBand.Low", "FreezeQty", "TickSize", "LotSize", "Multiplier"),
)
PRICE_SCALE = ("PriceNumerator", "PriceDenominator", "DetailedDescription")
CASH_COLUMNS = (
    *(*HEAD, "DisplayName", "ISIN", *PRICE_SCALE),
    *("ExtendedSurvIndicator", "CautionIndicator", "GSMIndicator"),
)
UNDERLYING = ("UnderlyingInstrumentId", "UnderlyingIndexName", "ContractExpiration")
FUTURE_COLUMNS = (*HEAD, *UNDERLYING, "DisplayName", *PRICE_SCALE)
OPTION_COLUMNS = (*HEAD, *UNDERLYING, "StrikePrice", "OptionType", "DisplayName", *PRICE_SCALE)
COLUMNS: Mapping[InstrumentKind, tuple[str, ...]] = {
    InstrumentKind.EQUITY: CASH_COLUMNS,
    InstrumentKind.INDEX: CASH_COLUMNS,
    InstrumentKind.FUTURE: FUTURE_COLUMNS,
    InstrumentKind.OPTION: OPTION_COLUMNS,
}


def quote_key(listing: Listing) -> tuple[int, int] | None:
    """Segment and number, as quotes want them; None for a share that neither exchange lists."""
    if listing.exchange not in SEGMENT_CODES or not listing.broker_token.isdigit():
        return None
    return SEGMENT_CODES[listing.exchange], int(listing.broker_token)


def candle_params(listing: Listing, first: date, last: date) -> dict[str, str]:
    """What to ask for: the segment as a word here. Raises NotSupported for what has no number in a segment of ours."""
    if quote_key(listing) is None:
        raise NotSupported("IIFL tells daily prices by the number of an instrument: this one has none there.")
    return {
        "exchangeSegment": SEGMENTS[listing.exchange],
        "exchangeInstrumentID": listing.broker_token,
        "startTime": f"{first:%b %d %Y} 000000",
        "endTime": f"{last:%b %d %Y} 235959",
        "compressionValue": "D",
    }


def wall_day(row: Row) -> date:
    """The day of a candle, whose `time` counts seconds from 1970 by a clock in India; quotes count from 1980."""
    seconds = number(required(row, "time"), "time")
    if seconds is None or not 0 < seconds < LATEST_SECOND:
        raise UnexpectedResponse("time", "is not a time in seconds")
    return datetime.fromtimestamp(int(seconds), UTC).date()  # as if the wall stood in Greenwich


def plain_symbol(trading_symbol: str) -> str:
    """`SBIN-EQ` is the `SBIN` of the holdings."""
    return trading_symbol.removesuffix("-EQ")


def valid_isin(value: str | None) -> str | None:
    """Index rows carry a name where shares carry their ISIN."""
    return value if value and ISIN.fullmatch(value) else None


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    """The rows of a reply to POST /apimarketdata/instruments/master, whose `result` is one long string."""
    return cut(lines_of_text(file, "result"))


def cut(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Rows of the master's lines, which have no header: the type in a line says what its columns are.

    Spreads, and types nobody holds, are left out. Extra columns at the end are ignored.
    """
    for line in lines:
        fields = line.split("|")
        kind = KINDS.get(fields[2]) if len(fields) > 2 else None
        if kind is not None:
            yield dict(zip(COLUMNS[kind], fields, strict=False))


def instrument(row: Row) -> list[Instrument]:
    """Map one line of POST /apimarketdata/instruments/master, cut up by `cut`.

    Wire: prices and `TickSize` are INR; `LotSize` is units on NSE and BSE. UNCONFIRMED on MCX, where `LotSize` is 1 or
    100 beside `Multiplier`. `ContractExpiration` is local time of day and all; only the day counts.
    """
    kind = translated(KINDS, required(row, "InstrumentType"), "InstrumentType")
    is_contract = kind in (InstrumentKind.FUTURE, InstrumentKind.OPTION)
    return [
        Instrument(
            exchange=translated(EXCHANGES, required(row, "ExchangeSegment"), "ExchangeSegment"),
            kind=kind,
            tradingsymbol=text(row, "Description" if is_contract else "Name"),
            broker_token=text(row, "ExchangeInstrumentID"),
            exchange_token=text(row, "ExchangeInstrumentID"),
            isin=None if is_contract else valid_isin(optional_text(row, "ISIN")),
            name=optional_text(row, "DetailedDescription"),
            contract=_contract(row, kind) if is_contract else None,
            lot_size=positive(row, "LotSize"),
            tick_size=positive(row, "TickSize"),
            multiplier=positive(row, "Multiplier") or Decimal(1),
            freeze_quantity=positive(row, "FreezeQty"),
            series=None if is_contract else optional_text(row, "Series"),
        )
    ]


def _contract(row: Row, kind: InstrumentKind) -> Contract:
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "Name"),
        expiry=day(text(row, "ContractExpiration")[:10], "ContractExpiration"),
        strike=amount(row, "StrikePrice") if option else None,
        option_type=translated(OPTION_TYPES, required(row, "OptionType"), "OptionType") if option else None,
    )


def master_row(instrument: Instrument) -> dict[str, str]:
    """The line that `instrument` reads, for the round trip: what the master would say of it."""
    contract = instrument.contract
    row = dict.fromkeys(COLUMNS[instrument.kind], "") | {
        "ExchangeSegment": SEGMENTS[instrument.exchange],
        "ExchangeInstrumentID": instrument.broker_token,
        "InstrumentType": TYPE_CODES[instrument.kind],
        "Name": contract.underlying if contract else instrument.tradingsymbol,
        "Description": instrument.tradingsymbol,
        "FreezeQty": str(instrument.freeze_quantity or 0),
        "TickSize": str(instrument.tick_size or 0),
        "LotSize": str(instrument.lot_size or 0),
        "Multiplier": str(instrument.multiplier),
        "DetailedDescription": instrument.name or "",
    }
    if contract is None:
        return row | {"ISIN": instrument.isin or "", "Series": instrument.series or ""}
    row["ContractExpiration"] = f"{contract.expiry.isoformat()}T00:00:00"
    if contract.option_type:
        row |= {"StrikePrice": str(contract.strike), "OptionType": OPTION_CODES[contract.option_type]}
    return row
