"""The instruments that the simulated exchanges list, read from instruments.csv.

One CSV row is one security or contract; a share listed at NSE and BSE becomes two `Listing`s.
Rows whose lot size nobody published are not listed: a guessed lot would be a wrong quantity.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

INSTRUMENTS_FILE = Path(__file__).with_name("instruments.csv")
CASH_KINDS = ("EQUITY", "ETF")
INDEX = "INDEX"
DEFAULT_DERIVATIVE_TICK = Decimal("0.05")

# (price below, tick): the exchanges' tick tiers for shares.
SHARE_TICK_TIERS = (
    (Decimal(250), Decimal("0.01")),
    (Decimal(1000), Decimal("0.05")),
    (Decimal(5000), Decimal("0.10")),
    (Decimal(10000), Decimal("0.50")),
    (Decimal(20000), Decimal("1.00")),
)
TOP_SHARE_TICK = Decimal("5.00")


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument at one exchange.

    `key` is `EXCHANGE:SYMBOL` (`NSE:INFY`, `NFO:NIFTY26DEC27000CE`). `row` is the whole CSV row, where a
    dialect finds its broker's own names (`angel_symbol`, `upstox_key`, `fyers_symbol`, `groww_symbol`, …).
    `lot_size` and `contract_multiplier`: MCX contracts have a lot of 1 and a multiplier of units per lot. An index has
    a lot of 0: nobody deals in it. Its `underlying` is what derivatives call it.
    """

    exchange: str
    symbol: str
    name: str
    kind: str
    isin: str | None
    exchange_token: str
    kite_token: int
    lot_size: int
    contract_multiplier: int
    underlying: str
    expiry: date | None
    strike: Decimal | None
    option_type: str
    row: Mapping[str, str]

    @property
    def key(self) -> str:
        return f"{self.exchange}:{self.symbol}"

    @property
    def is_cash(self) -> bool:
        return self.kind in CASH_KINDS

    @property
    def is_index(self) -> bool:
        return self.kind == INDEX

    def tick(self, price: Decimal) -> Decimal:
        """Return the price step in rupees at this price level."""
        if self.kind == "ETF":
            return Decimal("0.01")
        if self.kind != "EQUITY":
            return Decimal(self.row["tick_size"] or DEFAULT_DERIVATIVE_TICK)
        return next((tick for below, tick in SHARE_TICK_TIERS if price < below), TOP_SHARE_TICK)


class Instruments:
    """All listings, found by key, or by ISIN and exchange."""

    def __init__(self, listings: Iterator[Listing]) -> None:
        self.by_key = {listing.key: listing for listing in listings}
        self.by_isin = {(item.isin, item.exchange): item for item in self.by_key.values() if item.isin}

    def __iter__(self) -> Iterator[Listing]:
        return iter(self.by_key.values())

    def __getitem__(self, key: str) -> Listing:
        return self.by_key[key]

    def get(self, key: str) -> Listing | None:
        return self.by_key.get(key)

    def at(self, isin: str, exchange: str) -> Listing | None:
        return self.by_isin.get((isin, exchange))


@cache
def load_instruments() -> Instruments:
    """Read instruments.csv once; the result is immutable data."""
    with INSTRUMENTS_FILE.open(newline="", encoding="utf-8") as lines:
        return Instruments(listing for row in csv.DictReader(lines) if row["lot_size"] for listing in listings(row))


def listings(row: Mapping[str, str]) -> Iterator[Listing]:
    """Yield the one or two listings of a CSV row; an exchange whose token is unknown is left out."""
    if row["kind"] == INDEX:
        exchange, symbol = row["kite_symbol"].split(":", 1)
        token, kite_token = row["nse_token"] or row["bse_code"], row["kite_token_nse"] or row["kite_token_bse"]
        yield _listing(row, exchange, symbol, token, kite_token)
        return
    if row["kind"] not in CASH_KINDS:
        exchange, symbol = row["kite_symbol"].split(":", 1)
        yield _listing(row, exchange, symbol, row["upstox_key"].split("|")[1], row["kite_token_nse"])
        return
    for exchange, token, kite_token in (
        ("NSE", row["nse_token"], row["kite_token_nse"]),
        ("BSE", row["bse_code"], row["kite_token_bse"]),
    ):
        if token and kite_token:
            yield _listing(row, exchange, row["symbol"], token, kite_token)


def _listing(row: Mapping[str, str], exchange: str, symbol: str, token: str, kite_token: str) -> Listing:
    return Listing(
        exchange=exchange,
        symbol=symbol,
        name=row["name"],
        kind=row["kind"],
        isin=row["isin"] or None,
        exchange_token=token,
        kite_token=int(kite_token),
        lot_size=int(row["lot_size"]),
        contract_multiplier=int(row["contract_multiplier"]),
        underlying=row["underlying"],
        expiry=date.fromisoformat(row["expiry"]) if row["expiry"] else None,
        strike=Decimal(row["strike"]) if row["strike"] else None,
        option_type=row["option_type"],
        row=row,
    )
