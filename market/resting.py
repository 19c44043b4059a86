"""Who is not asked for daily prices for a while, for all processes: a broker, by its name, or an account,
by its id and the number of its session.

In the cache: while Redis is away nobody rests, and who fails is found out anew.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.core.cache import cache

PREFIX = "candles-rest:"


def rest(who: str, lasts: timedelta, *, now: datetime) -> None:
    cache.set(PREFIX + who, (now + lasts).isoformat(), timeout=max(1, round(lasts.total_seconds())))


def resting(everybody: Collection[str], *, now: datetime) -> set[str]:
    """Those among these whose rest is not over."""
    found = cache.get_many([PREFIX + who for who in everybody])
    return {key.removeprefix(PREFIX) for key, until in found.items() if datetime.fromisoformat(until) > now}
