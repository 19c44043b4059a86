"""The indices that this house knows by name: one each, however a broker calls and numbers it. Pure.

An index has no number at its exchange that every broker repeats: Kite, Angel One and XTS count their own, and Kite's
could be a share's. Its price is therefore kept under a number from here, which is no share's: NSE's as the others write
it, BSE's short codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from brokers.domain import Exchange, Instrument, InstrumentKind

SUFFIX = "-INDEX"  # Fyers'


@dataclass(frozen=True, slots=True)
class Index:
    """`name` is the exchange's own. `underlying` is what derivatives call it, "" where there are none; `streamed_as`
    what brokers write whose names of an index are made of it, None where nobody published that. `spellings` are other
    symbols that masters list it under.
    """

    exchange: Exchange
    name: str
    exchange_token: str
    underlying: str = ""
    streamed_as: str | None = None
    spellings: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return identity_of(self.exchange, self.name)

    @property
    def key(self) -> tuple[Exchange, str]:
        return self.exchange, self.exchange_token


INDICES = (
    Index(Exchange.NSE, "NIFTY 50", "26000", "NIFTY", "Nifty 50"),
    Index(Exchange.NSE, "NIFTY BANK", "26009", "BANKNIFTY", "Nifty Bank"),
    Index(Exchange.BSE, "SENSEX", "1", "SENSEX", "SENSEX"),
    Index(Exchange.NSE, "INDIA VIX", "26017", "", "India VIX"),
    Index(Exchange.NSE, "NIFTY FIN SERVICE", "26037", "FINNIFTY", "Nifty Fin Service"),
    Index(Exchange.NSE, "NIFTY MID SELECT", "26074", "MIDCPNIFTY", None, ("NIFTY MIDCAP SELECT",)),
    Index(Exchange.NSE, "NIFTY NEXT 50", "26013", "NIFTYNXT50", "Nifty Next 50"),
    Index(Exchange.BSE, "BANKEX", "12", "BANKEX", "BANKEX"),
    Index(Exchange.BSE, "SENSEX50", "47", "SENSEX50"),
)
# Those that the market strip shows, in its order.
SHOWN = INDICES[:4]


def identity_of(exchange: str, name: str) -> str:
    return f"{exchange}|INDEX|{name.upper()}"


def known(exchange: str, tradingsymbol: str) -> Index | None:
    """The index that a master lists under this symbol; None: one that nobody here knows by name."""
    return _BY_SPELLING.get((exchange, _folded(tradingsymbol)))


def known_index(item: Instrument) -> Index | None:
    return known(item.exchange, item.tradingsymbol) if item.kind is InstrumentKind.INDEX else None


def exchange_token(item: Instrument) -> str | None:
    """The number under which a master's row is priced: of an index ours, or none, so that none is a share's."""
    if item.kind is not InstrumentKind.INDEX:
        return item.exchange_token
    found = known_index(item)
    return None if found is None else found.exchange_token


def _folded(tradingsymbol: str) -> str:
    return tradingsymbol.upper().removesuffix(SUFFIX).replace(" ", "")


_BY_SPELLING: Mapping[tuple[str, str], Index] = {
    (index.exchange, _folded(spelled)): index
    for index in INDICES
    for spelled in (index.name, index.underlying, *index.spellings)
    if spelled
}
BY_UNDERLYING: Mapping[str, Index] = {index.underlying: index for index in INDICES if index.underlying}
BY_IDENTITY: Mapping[str, Index] = {index.identity: index for index in INDICES}
