"""Keeping what was told of one instrument's days: new ones, disputes, corrections, or a whole series anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from django.db import transaction
from django.db.models import Count, Max, Min

from brokers.domain import Candle
from market.candle_checks import Step, is_adjusted_anew, is_same, is_sane, suspected_splits
from market.candle_models import CandleFill, DailyCandle
from market.models import Instrument

# As far back from a new day its neighbour before may lie: longer than any run of days without trading.
NEIGHBOURHOOD = timedelta(days=15)
LARGEST_PRICE = Decimal(10**15)  # the column's
PRICES = ("open_price", "high_price", "low_price", "close_price", "volume")


class Kept(StrEnum):
    STORED = "STORED"
    REPLACED = "REPLACED"  # the whole series, by one that is adjusted anew
    ADJUSTED = "ADJUSTED"  # nothing was changed: the series was adjusted anew, and must be asked for as a whole
    DROPPED = "DROPPED"  # so it was, but whoever tells it cannot tell all of it at once: the old one is gone
    TOO_LATE = "TOO_LATE"  # nothing was changed: somebody else took the row over


def keep(
    row: CandleFill,
    candles: Sequence[Candle],
    *,
    source: str,
    first: date,
    until: date,
    whole: bool,
    drops: bool = False,
    now: datetime,
) -> Kept:
    """Store what `source` told of `first` to `until`; `whole`: that is all that is wanted. `row` learns what is held.

    The first word of a day stays: another broker's differing close is a dispute, the same broker's a correction. Where
    the oldest days in common differ, the series stands on another adjustment, and is replaced whole or not touched; or,
    if it `drops`, forgotten, to grow again. While that is to be done no part is added to the old one.
    One transaction; `row` is not saved, but its columns of days are set.
    """
    sane = {candle.day: candle for candle in candles if is_sane(candle) and candle.high_price < LARGEST_PRICE}
    row.unreadable_count += len(candles) - len(sane)
    with transaction.atomic():
        still_ours = CandleFill.objects.select_for_update().filter(pk=row.pk, next_due_at=row.lease)
        if not still_ours.exists():
            return Kept.TOO_LATE
        tick = Instrument.objects.values_list("tick_size", flat=True).get(pk=row.pk)
        held = {each.day: each for each in DailyCandle.objects.filter(instrument=row.pk, day__range=(first, until))}
        kept = Kept.STORED
        is_pending = not whole and row.day_count > 0 and row.covered_from is None
        if is_pending or _is_adjusted_anew(held, sane, source, tick):
            if not whole and not drops:
                return Kept.ADJUSTED
            DailyCandle.objects.filter(instrument=row.pk).delete()
            if not whole:
                row.first_day, row.last_day, row.day_count = None, None, 0
                return Kept.DROPPED
            held, kept = {}, Kept.REPLACED
            row.source, row.replaced_at = source, now
            row.covered_from = row.covered_until = None
        _compare(held, sane, source, tick, now)
        new = [_row(row.pk, candle, source, now) for day, candle in sane.items() if day not in held]
        DailyCandle.objects.bulk_create(new, batch_size=1000)
        _mark_suspected(row.pk, first)
        _note(row, first, until, source)
    return kept


def _is_adjusted_anew(
    held: Mapping[date, DailyCandle], told: Mapping[date, Candle], source: str, tick: Decimal | None
) -> bool:
    """By the teller's own days, which it may not just correct; or by all of them."""
    closes = {day: each.close_price for day, each in told.items()}
    own = {day: each.close_price for day, each in held.items() if each.source == source}
    of_all = {day: each.close_price for day, each in held.items()}
    return is_adjusted_anew(own, closes, tick, same_source=True) or is_adjusted_anew(
        of_all, closes, tick, same_source=False
    )


def _row(instrument_id: int, candle: Candle, source: str, now: datetime) -> DailyCandle:
    return DailyCandle(
        instrument_id=instrument_id,
        day=candle.day,
        open_price=candle.open_price,
        high_price=candle.high_price,
        low_price=candle.low_price,
        close_price=candle.close_price,
        volume=candle.volume,
        source=source,
        fetched_at=now,
    )


def _compare(
    held: Mapping[date, DailyCandle], told: Mapping[date, Candle], source: str, tick: Decimal | None, now: datetime
) -> None:
    """Days that are there already: disputed by another broker, corrected by the one that told them."""
    disputed, corrected = [], []
    for day in held.keys() & told.keys():
        row, candle = held[day], told[day]
        if row.source == source:
            values = {name: getattr(candle, name) for name in PRICES}
            if any(getattr(row, name) != value for name, value in values.items()):
                for name, value in values.items():
                    setattr(row, name, value)
                row.fetched_at = now
                corrected.append(row)
        elif not is_same(row.close_price, candle.close_price, tick):
            said = (source, candle.close_price)
            if (row.disputed_by, row.disputed_close) != said:  # the same word again is no other dispute
                row.disputed_by, row.disputed_close = said
                row.disputes += 1
                disputed.append(row)
    DailyCandle.objects.bulk_update(disputed, ["disputes", "disputed_by", "disputed_close"], batch_size=1000)
    DailyCandle.objects.bulk_update(corrected, [*PRICES, "fetched_at"], batch_size=1000)


def _mark_suspected(instrument_id: int, first: date) -> None:
    """Judge the steps to `first` and all later days anew."""
    near = DailyCandle.objects.filter(instrument=instrument_id, day__gte=first - NEIGHBOURHOOD).order_by("day")
    rows = list(near.values_list("pk", "day", "open_price", "close_price", "suspected_split"))
    found = suspected_splits(Step(day, opened, closed) for _, day, opened, closed, _ in rows)
    for marked in (True, False):
        wrong = [pk for pk, day, _, _, was in rows[1:] if was is not marked and (day in found) is marked]
        if wrong:
            DailyCandle.objects.filter(pk__in=wrong).update(suspected_split=marked)


def _note(row: CandleFill, first: date, until: date, source: str) -> None:
    there = DailyCandle.objects.filter(instrument=row.pk).aggregate(
        first=Min("day"), last=Max("day"), count=Count("pk")
    )
    row.first_day, row.last_day, row.day_count = there["first"], there["last"], there["count"]
    row.covered_from = min(row.covered_from or first, first)
    row.covered_until = max(row.covered_until or until, until)
    row.source = row.source or (source if row.day_count else "")
