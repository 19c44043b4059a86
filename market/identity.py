"""What makes two brokers' rows one instrument. Pure; docs/adr/0009 gives the reasons."""

from __future__ import annotations

from decimal import Decimal

from brokers.domain import SEGMENT_OF, Exchange, Instrument, InstrumentKind, Segment
from market.indices import identity_of, known_index

CONTRACTS = frozenset({InstrumentKind.FUTURE, InstrumentKind.OPTION})
# In these, brokers count lots, and a lot of 1 says nothing about its units.
COUNTED_IN_LOTS = frozenset({Segment.COMMODITY, Segment.CURRENCY})
RANKS = {InstrumentKind.FUTURE: 2, InstrumentKind.OPTION: 3}


def identity(item: Instrument) -> str | None:
    """The key of an instrument; None for a contract that its row does not describe.

    A share is the exchange's number: its ISIN may be missing in a master, and changes with a split. An index is its
    name, by whichever of its names it is listed.
    """
    if item.kind in CONTRACTS:
        contract = item.contract
        if contract is None:
            return None
        what = f"{plain(contract.strike)}|{contract.option_type}" if contract.strike is not None else "FUT"
        return f"{item.exchange}|{contract.underlying.upper()}|{contract.expiry.isoformat()}|{what}"
    if item.kind is InstrumentKind.INDEX:
        named = known_index(item)
        return named.identity if named is not None else identity_of(item.exchange, item.tradingsymbol)
    return f"{item.exchange}|{item.exchange_token}" if item.exchange_token else f"{item.exchange}|={item.tradingsymbol}"


def units_in_lot(item: Instrument) -> Decimal | None:
    """Units in one lot, whether the master writes them as the lot or as the multiplier; None where it does not say."""
    if SEGMENT_OF[item.exchange] not in COUNTED_IN_LOTS:
        return item.lot_size
    units = max(item.lot_size or Decimal(1), item.multiplier)
    return units if units > 1 else None


def search_rank(item: Instrument) -> int:
    """Shares and indices of NSE first, then those of other exchanges, futures, options."""
    return RANKS.get(item.kind, 0 if item.exchange is Exchange.NSE else 1)


def search_words(item: Instrument) -> str:
    """All that a search may ask for: `NIFTY 27000 CE 29 DEC 2026`, `INFY Infosys Ltd.`."""
    contract = item.contract
    if contract is None:
        return f"{item.tradingsymbol} {item.name or ''}".strip()
    strike = plain(contract.strike) if contract.strike is not None else ""
    words = (contract.underlying, strike, contract.option_type or "FUT", f"{contract.expiry:%d %b %Y}".upper())
    return " ".join(filter(None, words))


def is_isin(value: str) -> bool:
    """Twelve signs whose last is the check digit: Luhn's, letters counting as 10 to 35."""
    if len(value) != 12 or not value.isascii() or not value.isalnum() or value != value.upper():
        return False
    digits = "".join(str(int(sign, 36)) for sign in value)
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(each // 10 + each % 10 for each in doubled) % 10 == 0


def plain(number: Decimal) -> str:
    """Without an exponent and without trailing zeros."""
    return f"{number.normalize():f}"
