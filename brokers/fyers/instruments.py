"""Fyers' names for an instrument: the ticker, `NSE:SBIN-EQ`, by which everything is asked, and the fyToken.

A fyToken is exchange (2 digits), segment (2), expiry yymmdd (zeros for cash) and the exchange's own number. It is the
one field of a row that tells segment and expiry for sure: a published MCX row names NSE as its exchange.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

from brokers.domain import Contract, Exchange, Instrument, InstrumentKind, Listing, OptionType
from brokers.errors import UnexpectedResponse
from brokers.masters import json_rows
from brokers.wire import IST, Row, amount, day, optional_text, positive, text, translated

# The first four digits of a fyToken.
EXCHANGE_OF = {
    "1010": Exchange.NSE,
    "1011": Exchange.NFO,
    "1012": Exchange.CDS,
    "1020": Exchange.NCO,
    "1120": Exchange.MCX,
    "1210": Exchange.BSE,
    "1211": Exchange.BFO,
    "1212": Exchange.BCD,
}
DIGITS = {exchange: digits for digits, exchange in EXCHANGE_OF.items()}
NO_EXPIRY = "000000"
INDEX_TYPE = 10
INDEX_SUFFIX = "-INDEX"
NO_STRIKE = Decimal(-1)
NO_OPTION = NO_SERIES = "XX"
MONTHS_OF_WEEKLIES = "123456789OND"
SERIES = re.compile(r"-[A-Z][A-Z0-9]$")  # `CENTRALBK-BE`, but not `BAJAJ-AUTO`
OPTION_NAME = re.compile(r"(?P<strike>\d+(\.\d+)?)(?P<type>CE|PE)")


def quote_key(listing: Listing) -> str:
    return listing.broker_token


def share_ticker(tradingsymbol: str) -> str:
    """The ticker of a share at NSE, from its name elsewhere, where the series stands only if it is not EQ."""
    return f"NSE:{tradingsymbol}" if SERIES.search(tradingsymbol) else f"NSE:{tradingsymbol}-EQ"


def plain_symbol(ticker: str, exchange: Exchange) -> str:
    """`NSE:SBIN-EQ` and `BSE:SBIN-A` are SBIN; series other than EQ stay, and so do the names of contracts."""
    symbol = ticker.partition(":")[2]
    if exchange is Exchange.BSE and not symbol.endswith(INDEX_SUFFIX):
        return symbol.rpartition("-")[0] or symbol
    return symbol.removesuffix("-EQ")


def exchange(fy_token: str) -> Exchange:
    return translated(EXCHANGE_OF, fy_token[:4], "fyToken")


def exchange_token(fy_token: str) -> str:
    if len(fy_token) < 11 or not fy_token.isdigit():
        raise UnexpectedResponse("fyToken", "is not a fyToken")
    return fy_token[10:]


def expiry(fy_token: str) -> date | None:
    written = fy_token[4:10]
    return None if written == NO_EXPIRY else day(written, "fyToken", "%y%m%d")


def contract(ticker: str, fy_token: str) -> Contract | None:
    """What a derivative's two names say together; None for shares, and where they do not fit each other.

    The ticker alone cannot be read: a monthly name has no day, and `24O3177.5` could be cut in several places. The
    expiry inside the fyToken says where its own code ends. (That derivatives carry it there is confirmed for currency
    alone, UNCONFIRMED for the others: hence both must agree.)
    """
    expires_on = expiry(fy_token)
    if expires_on is None:
        return None
    symbol = ticker.partition(":")[2]
    for code in _expiry_codes(expires_on):
        underlying, found, rest = symbol.partition(code)
        if not (underlying and found):
            continue
        if rest == "FUT":
            return Contract(underlying=underlying, expiry=expires_on)
        if option := OPTION_NAME.fullmatch(rest):
            return Contract(
                underlying=underlying,
                expiry=expires_on,
                strike=Decimal(option["strike"]),
                option_type=OptionType(option["type"]),
            )
    return None


def _expiry_codes(expires_on: date) -> Iterable[str]:
    """How a ticker may write this expiry: `26MAR` where it is the month's last, else `26303`."""
    yield f"{expires_on:%y%b}".upper()
    yield f"{expires_on:%y}{MONTHS_OF_WEEKLIES[expires_on.month - 1]}{expires_on:%d}"


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    """The values of one `*_sym_master.json`; its keys are their tickers again."""
    return json_rows(file)


def instrument(row: Row) -> list[Instrument]:
    """Map one value of a `*_sym_master.json` (an object keyed by ticker): the CSV lacks the units in a lot.

    Wire: `expiryDate` is epoch seconds as text, empty if there is none; `strikePrice` -1 is no strike. On MCX and
    currency `minLotSize` is 1, a lot, and `qtyMultiplier` the units in it. Indices have lot 0 and no ISIN.
    """
    fy_token, ticker = text(row, "fyToken"), text(row, "symTicker")
    place, kind = exchange(fy_token), _kind(row)
    return [
        Instrument(
            exchange=place,
            kind=kind,
            tradingsymbol=plain_symbol(ticker, place),
            broker_token=ticker,
            exchange_token=optional_text(row, "exToken"),
            isin=optional_text(row, "isin"),
            name=optional_text(row, "symDetails"),
            contract=_contract(row, kind),
            lot_size=positive(row, "minLotSize"),
            tick_size=positive(row, "tickSize"),
            multiplier=positive(row, "qtyMultiplier") or Decimal(1),
            freeze_quantity=positive(row, "qtyFreeze") if "qtyFreeze" in row else None,
            series=_series(row),
        )
    ]


def _kind(row: Row) -> InstrumentKind:
    """The instrument types are an open list, so what the row holds decides."""
    if row.get("optType") in set(OptionType):
        return InstrumentKind.OPTION
    if row.get("expiryDate"):
        return InstrumentKind.FUTURE
    return InstrumentKind.INDEX if row.get("exInstType") == INDEX_TYPE else InstrumentKind.EQUITY


def _series(row: Row) -> str | None:
    series = optional_text(row, "exSeries")
    return None if series == NO_SERIES else series


def _contract(row: Row, kind: InstrumentKind) -> Contract | None:
    if kind not in (InstrumentKind.FUTURE, InstrumentKind.OPTION):
        return None
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "underSym"),
        expiry=datetime.fromtimestamp(int(amount(row, "expiryDate")), IST).date(),
        strike=amount(row, "strikePrice") if option else None,
        option_type=OptionType(row["optType"]) if option else None,
    )


def master_row(instrument: Instrument) -> dict[str, Any]:
    """The object that `instrument` reads, for the round trip: what the master would say of it."""
    contract, future = instrument.contract, instrument.kind is InstrumentKind.FUTURE
    written = f"{contract.expiry:%y%m%d}" if contract else NO_EXPIRY
    digits = DIGITS[instrument.exchange]
    return {
        "fyToken": f"{digits}{written}{instrument.exchange_token or ''}",
        "isin": instrument.isin or "",
        "symDetails": instrument.name or "",
        "symTicker": instrument.broker_token,
        "exchange": int(digits[:2]),
        "segment": int(digits[2:]),
        "exToken": instrument.exchange_token or "",
        "optType": (contract.option_type if contract else None) or NO_OPTION,
        "underSym": contract.underlying if contract else instrument.tradingsymbol,
        "exInstType": INDEX_TYPE if instrument.kind is InstrumentKind.INDEX else 0,
        "minLotSize": instrument.lot_size or Decimal(0),
        "tickSize": instrument.tick_size or Decimal(0),
        "expiryDate": _end_of(contract.expiry) if contract else "",
        "strikePrice": contract.strike if contract and not future else NO_STRIKE,
        "qtyMultiplier": instrument.multiplier,
        "qtyFreeze": instrument.freeze_quantity,
        "exSeries": instrument.series or NO_SERIES,
    }


def _end_of(expires_on: date) -> str:
    """The close of the last day, 15:30 IST, in epoch seconds."""
    return str(int(datetime(expires_on.year, expires_on.month, expires_on.day, 15, 30, tzinfo=IST).timestamp()))
