"""What a live book is made of, read in threads: rows, and the brokers' answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async

from accounts.models import User
from brokers.domain import Streamed
from portfolio import services
from portfolio.domain import Source
from portfolio.engine import Loaded
from portfolio.wanted import Held, Listings

P = ParamSpec("P")
T = TypeVar("T")


async def in_a_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what reads rows or waits; the thread's database connection goes back to the pool."""
    answer: T = await database_sync_to_async(work, thread_sensitive=False)(*args, **kwargs)
    return answer


def known(user_id: int, listings: Listings, now: datetime, recent: timedelta) -> Loaded | None:
    """From the last good answers. None: no account is connected."""
    user = _user(user_id)
    try:
        sources = services.known_sources(user, now=now, recent=recent) if user is not None else None
    except services.NoBrokerConnections:
        sources = None
    return None if sources is None else Loaded(sources, {}, _listed(sources, listings, now))


def fetched(user_id: int, listings: Listings, now: datetime) -> Loaded | None:
    """From the brokers' answers now. None: no account is connected."""
    user = _user(user_id)
    if user is None:
        return None
    try:
        sources, borrowed = services.fetched_sources(user, now=now)
    except services.NoBrokerConnections:
        return None
    return Loaded(sources, borrowed, _listed(sources, listings, now))


def _user(user_id: int) -> User | None:
    return User.objects.filter(pk=user_id, is_active=True).first()


def _listed(sources: Iterable[Source], listings: Listings, now: datetime) -> list[Streamed]:
    held = [Held.of(source.portfolio) for source in sources if source.portfolio is not None]
    return listings.of(sorted(frozenset[str]().union(*(each.shares for each in held))), now)
