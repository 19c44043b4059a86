"""How far our clock is from others': the brokers', by the date of their replies, and the database's.

What is measured is the least by which they must differ: a reply's date counts whole seconds, and it was written at some
moment between our question and its answer. Kept in Redis for some minutes, for every process. Nothing is corrected.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

from django.db import connection as database

from brokers.shared import if_redis_is_there, redis

KEY = "clock:skews"
KEPT_SECONDS = 600
EVERY_SECONDS = 30.0
DATABASE = "the database"
_noted: dict[str, float] = {}


def least_skew(asked: float, answered: float, theirs: float, *, precision: float) -> Decimal:
    """Seconds, signed, by which our clock is ahead at least; 0 where they may agree.

    `theirs` is a moment that stands for any of the `precision` seconds after it; all since 1970.
    """
    earliest, latest = asked - theirs - precision, answered - theirs
    least = earliest if earliest > 0 else latest if latest < 0 else 0.0
    return Decimal(repr(round(least, 3)))


def hear(source: str, asked: float, answered: float, date: str | None) -> None:
    """A reply's `Date` header, noted now and then. Threads may call it: no rows here."""
    if date is None or time.monotonic() - _noted.get(source, -EVERY_SECONDS) < EVERY_SECONDS:
        return
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return
    _noted[source] = time.monotonic()
    _keep(source, least_skew(asked, answered, theirs, precision=1.0), answered)


def measure_database() -> Decimal:
    """Against PostgreSQL, which stamps nothing of ours, but whose machine keeps time, too."""
    asked = time.time()
    with database.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        (theirs,) = cursor.fetchone()
    answered = time.time()
    skew = least_skew(asked, answered, float(theirs), precision=0.0)
    _keep(DATABASE, skew, answered)
    return skew


def _keep(source: str, skew: Decimal, at: float) -> None:
    with if_redis_is_there("how far our clock is off"):
        redis().hset(KEY, source, f"{skew} {at:.0f}")
        redis().expire(KEY, KEPT_SECONDS)


def skews(now: datetime) -> dict[str, Decimal]:
    """By source, what was measured in the last minutes; none: it is not known."""
    found: dict[str, Decimal] = {}
    with if_redis_is_there("how far our clock is off"):
        for source, told in redis().hgetall(KEY).items():
            skew, _, at = _text(told).partition(" ")
            if abs((now - datetime.fromtimestamp(int(at), UTC)).total_seconds()) <= KEPT_SECONDS:
                found[_text(source)] = Decimal(skew)
    return found


def _text(told: bytes | str) -> str:
    return told.decode() if isinstance(told, bytes) else told


def forget() -> None:
    _noted.clear()
