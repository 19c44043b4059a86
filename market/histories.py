"""Reading the store: the past of many factors at once, and how much of it is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection as database

from brokers.domain import InstrumentKind
from brokers.wire import IST
from market import factors
from market.candle_models import CandleFill, DailyCandle
from market.factors import BETA_OF_PROXY, Candidate
from market.models import Instrument

USUAL_DAYS = 260
# Calendar days that hold a trading day, and some to spare for holidays.
CALENDAR_DAYS_EACH = 1.6
ADV_DAYS = 20
# A proxy, or another listing, is taken where the factor's own row holds less than this part of its days;
ENOUGH = 0.9
# or where that row ends before the other; and where it ends so long before, this part is enough.
STALE_AFTER = timedelta(days=7)
WORTH_IT = 0.5

READ = """
SELECT instrument_id, array_agg(day ORDER BY day), array_agg(close_price ORDER BY day),
       array_agg(volume ORDER BY day), array_agg(day ORDER BY day) FILTER (WHERE suspected_split)
FROM market_daily_candles WHERE instrument_id = ANY(%s) AND day > %s GROUP BY instrument_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The last days of one factor, oldest first; INR per unit and units, exact. Empty: nothing is held.

    `proxy` is the name of what its days are taken from where that is not the factor itself, `beta` how much it moves
    for each move of the proxy. The step to a day in `suspected` is no return: leave it out, and say so. `missing`
    counts the trading days of the same stretch that it has no close of; what was listed lately misses those before.
    """

    factor: str
    instrument_id: int | None = None
    days: tuple[date, ...] = ()
    closes: tuple[Decimal, ...] = ()
    volumes: tuple[Decimal | None, ...] = ()
    proxy: str | None = None
    beta: Decimal | None = None
    suspected: tuple[date, ...] = ()
    missing: int = 0

    @property
    def adv(self) -> Decimal | None:
        """Average daily volume, in units, over those of the last twenty days whose volume is known.

        None without any, and of a proxy: its volume is not the factor's.
        """
        known = [volume for volume in self.volumes[-ADV_DAYS:] if volume is not None]
        return sum(known, Decimal(0)) / len(known) if known and self.proxy is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the store holds of some factors. `trading_days` are those of the index, and where it ends before the others
    do, or has none, of all of them together.
    """

    series: Mapping[str, Series] = field(default_factory=dict)
    trading_days: tuple[date, ...] = ()


def histories(keys: Collection[str], *, days: int = USUAL_DAYS, now: datetime) -> dict[str, Series]:
    """The last `days` of each factor; one for every key."""
    return dict(past(keys, days=days, now=now).series)


def past(keys: Collection[str], *, days: int = USUAL_DAYS, now: datetime) -> Past:
    """The last `days` of each factor (see `market.factors` for what a key is), by six queries, however many they are.

    The index is read along: its days say which ones the market traded on.
    """
    today, index = now.astimezone(IST).date(), factors.index()
    candidates = factors.candidates_of({*keys, index}, today)
    ids = {candidate.instrument_id for some in candidates.values() for candidate in some}
    rows = _rows(ids, today - timedelta(days=round(days * CALENDAR_DAYS_EACH)), days)
    chosen = {key: _chosen(key, some, rows) for key, some in candidates.items()}
    traded = _traded(chosen[index], list(chosen.values()), days)
    return Past(
        series={key: _counted(chosen[key], traded) for key in keys},
        trading_days=traded,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    days: Sequence[date]
    closes: Sequence[Decimal]
    volumes: Sequence[Decimal | None]
    suspected: Sequence[date]


def _rows(ids: Collection[int], after: date, days: int) -> dict[int, _Row]:
    with database.cursor() as cursor:
        cursor.execute(READ, [list(ids), after])
        return {
            key: _Row(told[-days:], closes[-days:], volumes[-days:], suspected or ())
            for key, told, closes, volumes, suspected in cursor.fetchall()
        }


def _traded(index: Series, everything: Sequence[Series], days: int) -> tuple[date, ...]:
    """The index's days, and those after its last one: an index that was not told for weeks must not end the market."""
    later = {day for series in everything for day in series.days if not index.days or day > index.days[-1]}
    return (*index.days, *sorted(later))[-days:]


def _chosen(key: str, candidates: Sequence[Candidate], rows: Mapping[int, _Row]) -> Series:
    """Of the candidates that hold about as many days as any of them, the one whose days end last; of these the first.

    A crash of yesterday must not be missing because the index is told an hour later than its fund. One that ended
    weeks ago yields even to another that holds fewer days, but not to one that holds far fewer.
    """
    there = [each for each in candidates if each.instrument_id in rows]
    if not there:
        return Series(factor=key)
    count = {each: len(rows[each.instrument_id].days) for each in there}
    newest = max(rows[each.instrument_id].days[-1] for each in there)
    fresh = [each for each in there if rows[each.instrument_id].days[-1] >= newest - STALE_AFTER]
    if max(count[each] for each in fresh) >= WORTH_IT * max(count.values()):
        there = fresh
    most = max(count[each] for each in there)
    enough = [each for each in there if count[each] >= ENOUGH * most]
    best = max(enough, key=lambda each: rows[each.instrument_id].days[-1])
    row = rows[best.instrument_id]
    return Series(
        factor=key,
        instrument_id=best.instrument_id,
        days=tuple(row.days),
        closes=tuple(row.closes),
        volumes=tuple(row.volumes),
        proxy=best.proxy,
        beta=None if best.proxy is None else BETA_OF_PROXY,
        suspected=tuple(day for day in row.suspected if day > row.days[0]),
    )


def _counted(series: Series, traded: Sequence[date]) -> Series:
    return replace(series, missing=len(set(traded) - set(series.days)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some days of one instrument, oldest first; `next`: the day that the rest begins with, if there is any."""

    instrument: int
    kept_at: int | None
    state: str | None
    candles: Sequence[DailyCandle]
    next: date | None


def no_page(instrument: Instrument) -> Page:
    """As of an instrument that nobody wanted."""
    return Page(instrument=instrument.pk, kept_at=None, state=None, candles=(), next=None)


def page(instrument: Instrument, *, first: date, last: date, limit: int) -> Page:
    """What is held of an instrument, or of the share that is listed there, wherever its history is kept."""
    listings = [instrument.pk]
    if instrument.isin and instrument.kind == InstrumentKind.EQUITY:
        listings = factors.listings_of(instrument.isin) or listings
    fills = CandleFill.objects.in_bulk(listings)
    kept = max((fills[pk] for pk in listings if pk in fills), key=lambda fill: fill.day_count, default=None)
    rows = DailyCandle.objects.filter(instrument=kept.pk if kept else None, day__range=(first, last)).order_by("day")
    found = list(rows[: limit + 1])
    return Page(
        instrument=instrument.pk,
        kept_at=kept.pk if kept else None,
        state=kept.state if kept else None,
        candles=found[:limit],
        next=found[limit].day if len(found) > limit else None,
    )
