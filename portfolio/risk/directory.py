"""Who is who in the risk book: what an instrument is, and which share or index it hangs on. Pure.

Filled from our own table of instruments (`portfolio/risk_rows.py`). What it does not know is read off the broker's row
where that says it, and else stays alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from brokers.domain import SEGMENT_OF, Contract, Exchange, Instrument, InstrumentKind, OptionType, Position, Segment
from market.identity import identity
from market.indices import BY_UNDERLYING
from portfolio.domain import AssetClass, InstrumentKey
from portfolio.risk.words import Kind, RiskClass
from portfolio.totals import asset_class

# What derivatives call an index, and what its own row is called at the exchange.
INDEX_NAMES: Mapping[str, tuple[Exchange, str]] = {
    underlying: (index.exchange, index.name) for underlying, index in BY_UNDERLYING.items()
}
RISK_OF_ASSET = {
    AssetClass.EQUITY: RiskClass.EQUITY,
    AssetClass.FUND: RiskClass.FUND,
    AssetClass.DEBT: RiskClass.DEBT,
    AssetClass.OTHER: RiskClass.OTHER,
}
CURRENCY_PAIR = re.compile(r"[A-Z]{6}")  # USDINR; what else trades there hangs on a bond
OPTION_SYMBOL = re.compile(r"\d\s*(CE|PE)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One instrument as our table has it. `identity` is that table's; a strike is in INR, `lot_size` in units.

    Of a share `isin` is its own; of a derivative `isin_of_underlying` is the share's it hangs on, None where that is no
    share. `risk_class` None: the ISIN says it.
    """

    identity: str
    isin: str | None = None
    underlying: str = ""
    expiry: date | None = None
    strike: Decimal | None = None
    option_type: OptionType | None = None
    lot_size: Decimal | None = None
    series: str = ""
    isin_of_underlying: str | None = None
    sector: str | None = None
    name: str | None = None
    risk_class: RiskClass | None = None

    @property
    def contract(self) -> Contract | None:
        if not self.underlying or self.expiry is None:
            return None
        return Contract(
            underlying=self.underlying, expiry=self.expiry, strike=self.strike, option_type=self.option_type
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """What is known, by the exchange's number, by symbol (exchange, symbol), and of shares by ISIN.

    `issuers` is the ISIN by the name that derivatives call the share, `sectors` the sector by ISIN. `spots` are the
    instruments that price an issuer (ISIN or name of an underlying) where a stream tells them; `futures` those of an
    exchange's underlying by expiry, the nearest first.
    """

    tokens: Mapping[InstrumentKey, Known] = field(default_factory=dict)
    symbols: Mapping[tuple[Exchange, str], Known] = field(default_factory=dict)
    shares: Mapping[str, Known] = field(default_factory=dict)
    issuers: Mapping[str, str] = field(default_factory=dict)
    sectors: Mapping[str, str] = field(default_factory=dict)
    spots: Mapping[str, tuple[InstrumentKey, ...]] = field(default_factory=dict)
    futures: Mapping[tuple[Exchange, str], tuple[tuple[date, InstrumentKey], ...]] = field(default_factory=dict)

    def share(self, isin: str | None, exchange: Exchange, symbol: str) -> Known | None:
        """A share by its ISIN, else by the exchange's symbol."""
        found = self.shares.get(isin) if isin else None
        return found or self.symbols.get((exchange, symbol))

    def contract(self, position: Position, token: str | None) -> Known | None:
        """A derivative by the exchange's number, else by its symbol; none that contradicts the broker's own row."""
        found = self.tokens.get((position.exchange, token)) if token else None
        found = found or self.symbols.get((position.exchange, position.tradingsymbol))
        said = position.contract
        if found is not None and said is not None and said.expiry != found.expiry:
            return None  # the number has been given away again
        return found

    def sector_of(self, isin: str | None) -> str | None:
        if not isin:
            return None
        known = self.shares.get(isin)
        return self.sectors.get(isin) or (known.sector if known else None)


NOTHING_KNOWN = Directory()


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A derivative as the book takes it: see `words.Line` for each."""

    instrument: str
    kind: Kind
    issuer: str
    issuer_isin: str | None
    underlying: str
    contract: Contract | None
    known: Known | None
    risk_class: RiskClass


def described(position: Position, token: str | None, unmatched: str, directory: Directory) -> Described:
    """What a broker's row of a derivative is. `unmatched` is its name where nobody says which contract it is."""
    known = directory.contract(position, token)
    contract = (known.contract if known else None) or position.contract
    underlying = contract.underlying.upper() if contract else ""
    isin = (known.isin_of_underlying if known else None) or directory.issuers.get(underlying)
    if SEGMENT_OF[position.exchange] is not Segment.FNO:
        isin = None
    instrument = (known.identity if known else None) or contract_identity(position, contract)
    if instrument is None:
        instrument = f"{position.exchange}|{token}" if token else unmatched
    return Described(
        instrument=instrument,
        kind=_kind(position, contract),
        issuer=isin or underlying or instrument,
        issuer_isin=isin,
        underlying=underlying,
        contract=contract,
        known=known,
        risk_class=(known.risk_class if known else None) or underlying_class(position.exchange, underlying),
    )


def contract_identity(position: Position, contract: Contract | None) -> str | None:
    """The key that our table would give to this contract."""
    if contract is None:
        return None
    kind = InstrumentKind.OPTION if contract.strike is not None else InstrumentKind.FUTURE
    return identity(
        Instrument(
            exchange=position.exchange,
            kind=kind,
            tradingsymbol=position.tradingsymbol,
            broker_token=position.broker_token,
            contract=contract,
        )
    )


def underlying_class(exchange: Exchange, underlying: str) -> RiskClass:
    """What a derivative hangs on, by where it trades and what it is called."""
    segment = SEGMENT_OF[exchange]
    if segment is Segment.COMMODITY:
        return RiskClass.COMMODITY
    if segment is Segment.CURRENCY:
        return RiskClass.CURRENCY if CURRENCY_PAIR.fullmatch(underlying) else RiskClass.DEBT
    if not underlying:
        return RiskClass.OTHER
    return RiskClass.INDEX if underlying in INDEX_NAMES else RiskClass.EQUITY


def share_class(isin: str | None, known: Known | None) -> RiskClass:
    if known is not None and known.risk_class is not None:
        return known.risk_class
    return RISK_OF_ASSET[asset_class(isin or (known.isin if known else None))]


def _kind(position: Position, contract: Contract | None) -> Kind:
    """Of a contract that nobody describes its symbol says at least whether it is an option: all brokers end it so."""
    if contract is not None:
        return Kind.OPTION if contract.strike is not None else Kind.FUTURE
    return Kind.OPTION if OPTION_SYMBOL.search(position.tradingsymbol.upper()) else Kind.FUTURE
