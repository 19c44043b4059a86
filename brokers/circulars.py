"""What circulars say of a year: `data/<year>.json`, spread out into one row for every exchange and day.

The file holds hours from a date on, holidays, evenings, special sessions. It is the one table of them: the calendar of
`market` is seeded from it, and `hours` reads it. Pure, but for reading it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data")
SATURDAY = 5
Wire = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDay:
    """The columns of `market`'s MarketDay. `sessions` empty, though it is not CLOSED: their hours are not known."""

    exchange: str
    date: date
    kind: str
    sessions: Wire
    settles: bool
    source: str
    note: str


def years() -> tuple[int, ...]:
    return tuple(sorted(int(path.stem) for path in DATA.glob("[0-9]*.json")))


def planned(year: int) -> Iterator[PlannedDay]:
    """Every exchange and every day of the year, weekends too: they are known to be closed."""
    told = _told(year)
    special = {(exchange, each["date"]): each for each in told["special"] for exchange in each["exchanges"]}
    day = date(year, 1, 1)
    while day.year == year:
        for exchange, hours in told["exchanges"].items():
            yield _planned(told, exchange, hours, day, special.get((exchange, day.isoformat())))
        day += timedelta(days=1)


def planned_on(exchange: str, day: date) -> PlannedDay | None:
    """One day of it; None where no file tells of its year."""
    return _by_day(day.year).get((exchange, day))


def newest_sessions(exchange: str) -> Wire:
    """The usual sessions that it has had last, as far as circulars tell."""
    told = _told(max(years()))
    return _wire(told["hours"][told["exchanges"][exchange]][-1]["sessions"])


@cache
def _by_day(year: int) -> Mapping[tuple[str, date], PlannedDay]:
    return {(row.exchange, row.date): row for row in planned(year)} if year in years() else {}


@cache
def _told(year: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((DATA / f"{year}.json").read_text(encoding="utf-8"))
    return told


def _planned(told: dict[str, Any], exchange: str, hours: str, day: date, special: dict[str, Any] | None) -> PlannedDay:
    written, is_weekend = day.isoformat(), day.weekday() >= SATURDAY
    holiday = told["holidays"].get(written)
    usual = _wire(next(each["sessions"] for each in reversed(told["hours"][hours]) if each["from"] <= written))
    kind, sessions, note = "OPEN", usual, told["notes"].get(hours, "")
    if special is not None:
        kind, sessions, note = "SPECIAL", _wire(special["sessions"]), special["note"]
    elif is_weekend:
        kind, sessions, note = "CLOSED", [], ""
    elif holiday:
        kind, sessions, note = _holiday(told["evenings"], exchange, written, usual, holiday)
    return PlannedDay(
        exchange=exchange,
        date=day,
        kind=kind,
        sessions=sessions,
        settles=not is_weekend and not holiday,
        source=told["source"],
        note=note,
    )


def _holiday(evenings: dict[str, Any], exchange: str, written: str, usual: Wire, holiday: str) -> tuple[str, Wire, str]:
    """Closed, but for the evening where the exchange keeps one."""
    if exchange not in evenings["exchanges"] or written in evenings["shut"]:
        return "CLOSED", [], holiday
    evening = [session | {"from": evenings["from"]} for session in usual]
    return "SPECIAL", evening, f"{holiday}; {evenings['note']}"


def _wire(sessions: list[list[Any]]) -> Wire:
    names = ("phase", "from", "until", "cas")
    return [dict(zip(names, session, strict=False)) for session in sessions]
