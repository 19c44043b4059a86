"""The calendar's rows: seeded from the data files, edited by support, read for `market.calendar`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError

from brokers import circulars
from brokers.domain import Exchange
from brokers.wire import IST
from market.calendar import LOOK_AHEAD, Day, MarketState, Phase, Session, state
from market.models import DayKind, MarketDay

KEYS = {"phase", "from", "until", "cas"}


def seed_calendar(model: type[MarketDay] = MarketDay) -> int:
    """Make the rows of the data files, and renew those that nobody edited; returns how many rows are new or changed.

    `model` is the migration's own form of MarketDay.
    """
    told = [day for year in circulars.years() for day in circulars.planned(year)]
    known = {(row.exchange, row.date): row for row in model.objects.filter(date__gte=min(day.date for day in told))}
    columns = ("kind", "sessions", "settles", "source", "note")
    new, changed = [], []
    for day in told:
        row = known.get((day.exchange, day.date))
        values = {column: getattr(day, column) for column in columns}
        if row is None:
            new.append(model(exchange=day.exchange, date=day.date, **values))
        elif row.edited_at is None and any(getattr(row, column) != value for column, value in values.items()):
            for column, value in values.items():
                setattr(row, column, value)
            changed.append(row)
    model.objects.bulk_create(new, batch_size=1000)
    model.objects.bulk_update(changed, columns, batch_size=1000)
    return len(new) + len(changed)


def days_of(exchanges: Iterable[Exchange], now: datetime) -> dict[Exchange, dict[date, Day]]:
    """What is known of each exchange's next days."""
    today = now.astimezone(IST).date()
    days: dict[Exchange, dict[date, Day]] = {exchange: {} for exchange in exchanges}
    rows = MarketDay.objects.filter(exchange__in=list(days), date__range=(today, today + LOOK_AHEAD))
    for row in rows:
        days[Exchange(row.exchange)][row.date] = day_of(row)
    return days


def market_state(exchange: Exchange, *, now: datetime, cas_eligible: bool = False) -> MarketState:
    return state(exchange, now, days_of([exchange], now)[exchange], cas_eligible=cas_eligible)


def day_of(row: MarketDay) -> Day:
    """A row's day. Open without hours is unknown."""
    if row.kind == DayKind.CLOSED:
        return Day(sessions=(), note=row.note)
    return Day(sessions=sessions_of(row.sessions) or None, note=row.note)


def sessions_of(wire: Any) -> tuple[Session, ...]:
    """Sessions as a row holds them. Raises ValidationError, saying which is wrong, for what support mistyped."""
    if not isinstance(wire, list):
        raise ValidationError("The sessions are a list.")
    sessions = tuple(_session(each, number) for number, each in enumerate(wire, 1))
    for cas in (True, False):
        ours = sorted((one for one in sessions if one.cas in (None, cas)), key=lambda one: one.starts)
        if any(one.until > later.starts for one, later in pairwise(ours)):
            raise ValidationError("Two sessions overlap.")
    return sessions


def _session(wire: Any, number: int) -> Session:
    if not isinstance(wire, Mapping) or not {"phase", "from", "until"} <= wire.keys() <= KEYS:
        raise ValidationError(f"Session {number} needs phase, from and until, and may have cas.")
    try:
        phase, starts, until = Phase(wire["phase"]), _hour(wire["from"]), _hour(wire["until"])
    except (ValueError, TypeError):
        raise ValidationError(f"Session {number} has a phase or a time (HH:MM) that does not exist.") from None
    if wire.get("cas") not in (None, True, False) or starts >= until:
        raise ValidationError(f"Session {number} ends before it begins, or its cas is neither true nor false.")
    return Session(phase, starts, until, wire.get("cas"))


def _hour(written: str) -> time:
    return datetime.strptime(written, "%H:%M").time()  # noqa: DTZ007 - an hour of the day
