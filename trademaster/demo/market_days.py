"""A simulated market that is open at any hour: rows of the calendar, marked SIMULATED, for today and tomorrow.

Whether it is open stands in those rows alone. `keep_open`, called all the time, takes them on past midnight.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db import transaction

from brokers import circulars
from brokers.domain import Exchange
from brokers.wire import IST
from market.models import DayKind, MarketDay
from trademaster.demo.gate import require_simulation

SOURCE = "SIMULATED"
NOTE = "Simulated session: open all day"
# A row's hours end within its day: from 23:59 to midnight the market is closed.
SESSIONS = [{"phase": "CONTINUOUS", "from": "00:00", "until": "23:59"}]
SATURDAY = 5


def is_open_all_day() -> bool:
    return MarketDay.objects.filter(source=SOURCE).exists()


def open_all_day(now: datetime) -> None:
    """Open every exchange today and tomorrow, but for days whose hours support entered. Raises NotSimulated."""
    require_simulation()
    today = now.astimezone(IST).date()
    days = [today, today + timedelta(days=1)]
    with transaction.atomic():
        known = MarketDay.objects.filter(date__in=days)
        known.filter(edited_at=None).update(kind=DayKind.SPECIAL, sessions=SESSIONS, source=SOURCE, note=NOTE)
        there = set(known.values_list("exchange", "date"))
        MarketDay.objects.bulk_create(
            [_made(exchange, day) for exchange in Exchange for day in days if (exchange.value, day) not in there],
            ignore_conflicts=True,
        )


def keep_open(now: datetime) -> None:
    """Go on with it, if it is open. Raises NotSimulated."""
    require_simulation()
    if is_open_all_day():
        open_all_day(now)


@transaction.atomic
def follow_exchanges() -> None:
    """Give every day its own hours back; one that nobody knows is unknown again. Raises NotSimulated."""
    require_simulation()
    rows = list(MarketDay.objects.filter(source=SOURCE))
    years = {row.date.year for row in rows} & set(circulars.years())
    own = {(day.exchange, day.date): day for year in years for day in circulars.planned(year)}
    for row in rows:
        day = own.get((row.exchange, row.date))
        if day is None:
            row.delete()
            continue
        row.kind, row.sessions, row.settles = day.kind, day.sessions, day.settles
        row.source, row.note = day.source, day.note
        row.save(update_fields=["kind", "sessions", "settles", "source", "note"])


def _made(exchange: Exchange, day: date) -> MarketDay:
    return MarketDay(
        exchange=exchange,
        date=day,
        kind=DayKind.SPECIAL,
        sessions=SESSIONS,
        settles=day.weekday() < SATURDAY,
        source=SOURCE,
        note=NOTE,
    )
