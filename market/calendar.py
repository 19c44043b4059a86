"""Is a market open, until when, and which phase is it in? Pure: given the days and the time.

What the days do not tell is unknown, and unknown is never open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from brokers.domain import Exchange
from brokers.wire import IST

LOOK_AHEAD = timedelta(days=15)  # longer than any run of closed days


class Phase(StrEnum):
    PRE_OPEN = "PRE_OPEN"  # limit and market orders, changes, cancels
    PRE_OPEN_LIMIT = "PRE_OPEN_LIMIT"  # limit orders only
    PRE_OPEN_MATCHING = "PRE_OPEN_MATCHING"
    BUFFER = "BUFFER"
    CONTINUOUS = "CONTINUOUS"
    CAS_REFERENCE = "CAS_REFERENCE"  # no new orders: the reference price is made
    CAS = "CAS"  # limit and market orders
    CAS_LIMIT = "CAS_LIMIT"  # limit orders only
    CAS_MATCHING = "CAS_MATCHING"
    POST_CLOSE = "POST_CLOSE"  # at the closing price
    CLOSED = "CLOSED"


# In these the day's trading goes on. Before and after them orders may be taken, but the market is not open.
OPEN_PHASES = frozenset({Phase.CONTINUOUS, Phase.CAS_REFERENCE, Phase.CAS, Phase.CAS_LIMIT, Phase.CAS_MATCHING})


@dataclass(frozen=True, slots=True)
class Session:
    """One phase of a day, IST, `until` excluded. `cas`: for the closing auction, the others, or both (None)."""

    phase: Phase
    starts: time
    until: time
    cas: bool | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """One exchange's day. None for sessions: it trades, and its hours are not known. `note`: what is special in it."""

    sessions: tuple[Session, ...] | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """`is_open` None: not known; `phase` is then None too. `until` is the end of the phase.

    `next_open` is when trading next begins, as far as the days tell; None while it is open, or where they do not tell.
    """

    exchange: Exchange
    is_open: bool | None
    phase: Phase | None
    until: datetime | None
    next_open: datetime | None


def state(exchange: Exchange, now: datetime, days: Mapping[date, Day], *, cas_eligible: bool = False) -> MarketState:
    """The state of one exchange's market `now`, for shares of the closing auction or for the others.

    `days` are this exchange's, from today on for as long as `next_open` shall look ahead.
    """
    local = now.astimezone(IST)
    today = days.get(local.date())
    coming = _next_open(local, days, cas_eligible)
    if today is None or today.sessions is None:
        return MarketState(exchange=exchange, is_open=None, phase=None, until=None, next_open=coming)
    for session in _of(today, cas_eligible):
        if session.starts <= local.time() < session.until:
            until = _at(local.date(), session.until)
            is_open = session.phase in OPEN_PHASES
            return MarketState(
                exchange=exchange,
                is_open=is_open,
                phase=session.phase,
                until=until,
                next_open=None if is_open else coming,
            )
    return MarketState(
        exchange=exchange,
        is_open=False,
        phase=Phase.CLOSED,
        until=_next_phase(local, days, cas_eligible),
        next_open=coming,
    )


def _of(day: Day, cas_eligible: bool) -> Sequence[Session]:
    return [session for session in day.sessions or () if session.cas in (None, cas_eligible)]


def _starts(local: datetime, days: Mapping[date, Day], cas_eligible: bool) -> Iterator[tuple[datetime, Phase]]:
    """What begins after `local`, up to the first day that nobody knows."""
    day = local.date()
    while day <= local.date() + LOOK_AHEAD and (known := days.get(day)) is not None:
        for session in _of(known, cas_eligible):
            if (begins := _at(day, session.starts)) > local:
                yield begins, session.phase
        day += timedelta(days=1)


def _next_open(local: datetime, days: Mapping[date, Day], cas_eligible: bool) -> datetime | None:
    return next((begins for begins, phase in _starts(local, days, cas_eligible) if phase in OPEN_PHASES), None)


def _next_phase(local: datetime, days: Mapping[date, Day], cas_eligible: bool) -> datetime | None:
    return next((begins for begins, _ in _starts(local, days, cas_eligible)), None)


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, IST)
