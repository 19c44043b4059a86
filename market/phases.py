"""The phase of the market in words, for the strip of every page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from brokers.domain import Exchange
from brokers.wire import IST
from market.calendar import MarketState, Phase, state
from market.days import days_of

# What trades longest on a day of shares: the closing auction's shares.
EXCHANGE = Exchange.NSE

WORDS = {
    Phase.PRE_OPEN: "Pre-open",
    Phase.PRE_OPEN_LIMIT: "Pre-open, limit orders",
    Phase.PRE_OPEN_MATCHING: "Pre-open, matching",
    Phase.BUFFER: "About to open",
    Phase.CONTINUOUS: "Market open",
    Phase.CAS_REFERENCE: "Closing auction, reference price",
    Phase.CAS: "Closing auction",
    Phase.CAS_LIMIT: "Closing auction, limit orders",
    Phase.CAS_MATCHING: "Closing auction, matching",
    Phase.POST_CLOSE: "Post-close",
    Phase.CLOSED: "Market closed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTold:
    """`words`: the phase. `then`: when it ends, or trading begins again; empty where the calendar does not tell."""

    is_open: bool | None
    words: str
    then: str


def told(now: datetime) -> PhaseTold:
    """NSE's shares, those of the closing auction among them."""
    return of(state(EXCHANGE, now, days_of([EXCHANGE], now)[EXCHANGE], cas_eligible=True), now)


def of(market: MarketState, now: datetime) -> PhaseTold:
    """Pure."""
    if market.phase is None:
        return PhaseTold(is_open=None, words="Hours not known", then=_then("opens", market.next_open, now))
    closed = market.phase is Phase.CLOSED
    then = _then("opens", market.next_open, now) if closed else _then("until", market.until, now)
    return PhaseTold(is_open=market.is_open, words=WORDS[market.phase], then=then)


def _then(word: str, at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    local, today = at.astimezone(IST), now.astimezone(IST).date()
    day = "" if local.date() == today else f"{local:%a} {local.day} {local:%b} "
    return f"{word} {day}{local:%H:%M}"
