"""Angel One's name for an instrument: exchange and token. The token is the exchange's own, but for indices.

A text symbol stands beside it, `SBIN-EQ` at NSE and `SBIN` at BSE, and orders must repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import IO

from brokers.angel_one.spec import EXCHANGES
from brokers.domain import SEGMENT_OF, Contract, Exchange, Instrument, InstrumentKind, OptionType, Segment
from brokers.masters import json_rows
from brokers.wire import Row, amount, day, optional_text, positive, text, translated, written_flag

KINDS = {
    "": InstrumentKind.EQUITY,
    "AMX": InstrumentKind.INDEX,
    "FUT": InstrumentKind.FUTURE,
    "OPT": InstrumentKind.OPTION,
}
DERIVATIVES = frozenset({InstrumentKind.FUTURE, InstrumentKind.OPTION})
PAISE = Decimal(100)
# What the master's strikes are multiplied by. UNCONFIRMED for BCD, which no published row shows.
STRIKE_SCALES = {Exchange.CDS: Decimal(10**7), Exchange.BCD: Decimal(10**7)}
EXPIRY_FORM = "%d%b%Y"
SERIES = re.compile(r"-[A-Z0-9]{2}$")
# Our kinds and segments in the master's words. A contract on an index is written as one on a share: we do not tell
# them apart.
TYPES = {
    (InstrumentKind.FUTURE, Segment.FNO): "FUTSTK",
    (InstrumentKind.OPTION, Segment.FNO): "OPTSTK",
    (InstrumentKind.FUTURE, Segment.CURRENCY): "FUTCUR",
    (InstrumentKind.OPTION, Segment.CURRENCY): "OPTCUR",
    (InstrumentKind.FUTURE, Segment.COMMODITY): "FUTCOM",
    (InstrumentKind.OPTION, Segment.COMMODITY): "OPTFUT",
}


def plain_symbol(symbol: str) -> str:
    """`SBIN-EQ` is everybody else's `SBIN`; other series keep their suffix, as they do elsewhere."""
    return symbol.removesuffix("-EQ")


def wire_symbol(exchange: Exchange, tradingsymbol: str) -> str:
    """The text that an order for a share must repeat: at NSE it always ends in a series."""
    if exchange is not Exchange.NSE or SERIES.search(tradingsymbol):
        return tradingsymbol
    return f"{tradingsymbol}-EQ"


def exchange_of(symbol: str) -> Exchange:
    """Where a share is listed, for rows that do not say: NSE's symbols end in a series, BSE's do not. UNCONFIRMED."""
    return Exchange.NSE if SERIES.search(symbol) else Exchange.BSE


def master_rows(file: IO[bytes]) -> Iterator[Row]:
    return json_rows(file)


def instrument(row: Row) -> list[Instrument]:
    """Map one object of the scrip master (a bare JSON array, every field a text).

    Wire: `strike` and `tick_size` are paise, currency strikes 10,000,000ths, UNCONFIRMED for every row of theirs;
    `lotsize` is units, on MCX too. `expiry` is `30MAR2026`, in older dumps `30Mar2026`. There is no ISIN.
    `name` is the underlying of a derivative, and the bare symbol of anything else.
    """
    exchange = translated(EXCHANGES, text(row, "exch_seg"), "exch_seg")
    kind = translated(KINDS, str(row.get("instrumenttype") or "")[:3], "instrumenttype")
    tick = positive(row, "tick_size")
    token = text(row, "token")
    return [
        Instrument(
            exchange=exchange,
            kind=kind,
            tradingsymbol=plain_symbol(text(row, "symbol")),
            broker_token=token,
            exchange_token=None if kind is InstrumentKind.INDEX else token,
            name=optional_text(row, "name"),
            contract=_contract(row, exchange, kind),
            lot_size=positive(row, "lotsize"),
            tick_size=None if tick is None else tick / PAISE,
            cas_eligible=written_flag(row, "is_cas_enabled"),
        )
    ]


def _contract(row: Row, exchange: Exchange, kind: InstrumentKind) -> Contract | None:
    if kind not in DERIVATIVES:
        return None
    option = kind is InstrumentKind.OPTION
    return Contract(
        underlying=text(row, "name"),
        expiry=expiry(text(row, "expiry"), "expiry"),
        strike=amount(row, "strike") / STRIKE_SCALES.get(exchange, PAISE) if option else None,
        option_type=translated(OptionType.__members__, text(row, "symbol")[-2:], "symbol") if option else None,
    )


def expiry(value: str, name: str) -> date:
    """`30MAR2026`, in any case."""
    return day(value, name, EXPIRY_FORM)


def master_row(instrument: Instrument) -> dict[str, str]:
    """The object that `instrument` reads, for the round trip: what the scrip master would say of it."""
    exchange, kind, contract = instrument.exchange, instrument.kind, instrument.contract
    share = kind is InstrumentKind.EQUITY
    strike = contract.strike if contract else None
    row = {
        "token": instrument.broker_token,
        "symbol": wire_symbol(exchange, instrument.tradingsymbol) if share else instrument.tradingsymbol,
        "name": (contract.underlying if contract else instrument.name) or "",
        "expiry": f"{contract.expiry:{EXPIRY_FORM}}".upper() if contract else "",
        "strike": f"{Decimal(-1) if strike is None else strike * STRIKE_SCALES.get(exchange, PAISE):f}",
        "lotsize": f"{instrument.lot_size or 0:f}",
        "instrumenttype": _type(instrument),
        "exch_seg": exchange,
        "tick_size": f"{(instrument.tick_size or 0) * PAISE:f}",
    }
    return row if instrument.cas_eligible is None else row | {"is_cas_enabled": str(instrument.cas_eligible).lower()}


def _type(instrument: Instrument) -> str:
    from_kind = {InstrumentKind.EQUITY: "", InstrumentKind.INDEX: "AMXIDX"}
    if instrument.kind in from_kind:
        return from_kind[instrument.kind]
    return TYPES[instrument.kind, SEGMENT_OF[instrument.exchange]]
