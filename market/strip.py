"""What stands at the head of every page: which markets are open and what comes next, and where the indices stand.

Prices are those that streams told, or that were asked for while a page was open; nobody is asked here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from django.conf import settings

from brokers import registry
from brokers.domain import ZERO, Exchange, Segment, Streamed
from brokers.shared import if_redis_is_there
from brokers.wire import IST
from market.calendar import OPEN_PHASES, Day, MarketState, Phase, state
from market.days import day_of, days_of
from market.indices import SHOWN, Index
from market.models import DayKind, Instrument, MarketDay
from market.quotes import Quote, quotes
from market.remembered import Remembered

PAISE = Decimal("0.01")
SOON = timedelta(days=6)
IDENTITIES = tuple(index.identity for index in SHOWN)
# Whose hours stand for a segment's.
HOUSES = {
    Segment.EQUITY: Exchange.NSE,
    Segment.FNO: Exchange.NFO,
    Segment.CURRENCY: Exchange.CDS,
    Segment.COMMODITY: Exchange.MCX,
}
PHASE_WORDS = {
    Phase.PRE_OPEN: "Pre-open",
    Phase.PRE_OPEN_LIMIT: "Pre-open",
    Phase.PRE_OPEN_MATCHING: "Pre-open",
    Phase.BUFFER: "Pre-open",
    Phase.POST_CLOSE: "After the close",
    Phase.CLOSED: "Closed",
}


class LevelState(StrEnum):
    LIVE = "LIVE"  # a stream tells it
    ASKED = "ASKED"  # no stream does, and a broker is asked for it
    CLOSED = "CLOSED"  # its market is closed: the last price there was
    STALE = "STALE"  # nothing tells it now, though its market is open
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where an index stands: points, not INR. None: not known; `reason` says why, or why it is not live.

    `instrument` is what the socket's price topic calls it, `source` the broker that told it.
    """

    name: str
    symbol: str
    exchange: Exchange
    instrument: str
    instrument_id: int | None
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    as_of: datetime | None = None
    source: str | None = None
    state: LevelState = LevelState.UNKNOWN
    reason: str | None = None

    @property
    def change(self) -> Decimal | None:
        if self.last_price is None or self.close_price is None:
            return None
        return self.last_price - self.close_price

    @property
    def change_percent(self) -> Decimal | None:
        """Rounded to two places, half up."""
        if self.change is None or not self.close_price:
            return None
        return (self.change * 100 / self.close_price).quantize(PAISE, ROUND_HALF_UP) + ZERO  # and no zero with a sign


NAMES = {
    Segment.EQUITY: "Shares",
    Segment.FNO: "F&O",
    Segment.CURRENCY: "Currency",
    Segment.COMMODITY: "Commodities",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHours:
    """One segment now. `words`: "Open", "Closed: Christmas"; `coming`: "Closes 15:30", "Opens Mon 09:15", or nothing.

    `is_open` and `phase` None: the calendar does not know this day. `changes_at` is when what `coming` says comes.
    """

    segment: Segment
    exchange: Exchange
    is_open: bool | None
    phase: Phase | None
    words: str
    coming: str
    changes_at: datetime | None

    @property
    def name(self) -> str:
        return NAMES[self.segment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    as_of: datetime
    segments: tuple[SegmentHours, ...]
    indices: tuple[Level, ...]

    @property
    def stale_since(self) -> datetime | None:
        """The oldest of those that nobody tells now; None where none is stale."""
        return min((each.as_of for each in self.indices if each.state is LevelState.STALE and each.as_of), default=None)


def strip(*, now: datetime) -> Strip:
    """Of this moment: three queries, or four, and one round trip to Redis, without which the indices are unknown."""
    segments = segment_hours(now=now)
    return Strip(as_of=now, segments=segments, indices=levels(now=now))


# --- indices ----------------------------------------------------------------------------------------------------------
def levels(*, now: datetime) -> tuple[Level, ...]:
    """The four of the strip, in its order."""
    ids = index_ids.of(IDENTITIES, now)
    told: Mapping[str, Quote] = {}
    is_read = False
    with if_redis_is_there("the levels of the indices"):
        told = {quote.instrument: quote for quote in quotes([_instrument(index) for index in SHOWN])}
        is_read = True
    days = days_of({index.exchange for index in SHOWN}, now)
    return tuple(
        _level(
            index,
            ids.get(index.identity),
            told.get(_instrument(index)),
            is_open=settings.MARKET_AROUND_THE_CLOCK or state(index.exchange, now, days[index.exchange]).is_open,
            is_read=is_read,
        )
        for index in SHOWN
    )


def _level(index: Index, pk: int | None, quote: Quote | None, *, is_open: bool | None, is_read: bool) -> Level:
    known = quote if quote is not None and quote.last_price is not None else None
    found, reason = _judged(known, is_open=is_open, is_read=is_read, is_listed=pk is not None)
    return Level(
        name=index.name,
        symbol=index.underlying or index.name,
        exchange=index.exchange,
        instrument=_instrument(index),
        instrument_id=pk,
        last_price=known.last_price if known else None,
        close_price=known.close_price if known else None,
        as_of=known.as_of if known else None,
        source=known.source if known else None,
        state=found,
        reason=reason,
    )


def _judged(
    quote: Quote | None, *, is_open: bool | None, is_read: bool, is_listed: bool
) -> tuple[LevelState, str | None]:
    if not is_read:
        return LevelState.UNKNOWN, "Prices cannot be read just now; they come back by themselves."
    if quote is None and not is_listed:
        return LevelState.UNKNOWN, "No broker's list of instruments that was read names this index."
    if quote is None:
        return LevelState.UNKNOWN, "None of the connected brokers has told it yet."
    if is_open is False:
        return LevelState.CLOSED, "Its market is closed: this is the last that was told."
    if quote.stale:
        return LevelState.STALE, "Nobody tells it just now: this is the last that was told."
    if quote.asked:
        return LevelState.ASKED, f"No stream tells it: {_name_of(quote.source)} is asked every few seconds."
    return LevelState.LIVE, None


def _name_of(source: str | None) -> str:
    return registry.load(source).spec.name if source in registry.slugs() else "a broker"


def _instrument(index: Index) -> str:
    return f"{index.exchange}:{index.exchange_token}"


def _ids(identities: Collection[str]) -> dict[str, int]:
    rows = Instrument.objects.filter(identity__in=identities, ended_on=None)
    return dict(rows.values_list("identity", "pk"))


# By identity, for all pages.
index_ids = Remembered(_ids)


class Watched:
    """What is streamed for the strip while any page is open: those of the four that a master lists."""

    def __init__(self) -> None:
        self._ids = Remembered(_ids)

    def now(self, now: datetime) -> frozenset[Streamed]:
        """Remembered for a while; asks the database where it is not known."""
        listed = self._ids.of(IDENTITIES, now)
        return frozenset(
            Streamed(*index.key, index_name=index.streamed_as) for index in SHOWN if index.identity in listed
        )


# --- hours ------------------------------------------------------------------------------------------------------------
def segment_hours(*, now: datetime) -> tuple[SegmentHours, ...]:
    """By the calendar's rows."""
    today = now.astimezone(IST).date()
    days = days_of(HOUSES.values(), now)
    notes = _notes(today)
    return tuple(
        _hours(segment, state(house, now, days[house]), days[house], now, notes.get(house, ""))
        for segment, house in HOUSES.items()
    )


def _notes(today: date) -> dict[Exchange, str]:
    """What the calendar says of a day on which an exchange does not trade as usual."""
    rows = MarketDay.objects.filter(exchange__in=list(HOUSES.values()), date=today).exclude(note="")
    return {Exchange(row.exchange): row.note for row in rows if not day_of(row).sessions or row.kind == DayKind.SPECIAL}


def _hours(segment: Segment, known: MarketState, days: Mapping[date, Day], now: datetime, note: str) -> SegmentHours:
    if known.is_open is None or known.phase is None:
        words = "Hours not known"
    else:
        words = "Open" if known.is_open else PHASE_WORDS[known.phase]
        words = f"{words}: {note}" if note else words
    changes_at = _closes(days, now) if known.is_open else known.next_open
    coming = "" if changes_at is None else f"{'Closes' if known.is_open else 'Opens'} {_when(changes_at, now)}"
    return SegmentHours(
        segment=segment,
        exchange=known.exchange,
        is_open=known.is_open,
        phase=known.phase,
        words=words,
        coming=coming,
        changes_at=changes_at,
    )


def _closes(days: Mapping[date, Day], now: datetime) -> datetime | None:
    """When the trading that goes on ends, for shares without a closing auction; phases that join each other are one."""
    local = now.astimezone(IST)
    day = days.get(local.date())
    end = local.time()
    for session in sorted(day.sessions or () if day else (), key=lambda each: each.starts):
        if session.phase in OPEN_PHASES and session.cas is not True and session.starts <= end < session.until:
            end = session.until
    return None if end == local.time() else datetime.combine(local.date(), end, IST)


def _when(at: datetime, now: datetime) -> str:
    """`09:15` today, `Mon 09:15` within the week, `2 Jan 09:15` beyond it."""
    local, today = at.astimezone(IST), now.astimezone(IST).date()
    if local.date() == today:
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if local.date() - today <= SOON else f"{local.day} {local:%b %H:%M}"
