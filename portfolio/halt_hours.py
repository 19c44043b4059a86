"""Until when the daily-loss lock stands: the day's last close at the exchanges where its owner holds something."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from accounts.models import User
from brokers.domain import Exchange
from brokers.wire import IST
from market.calendar import OPEN_PHASES
from market.days import days_of
from portfolio import services
from portfolio.services import NoBrokerConnections


def day_close(user: User, now: datetime) -> datetime:
    """The latest close of today that is still to come. Where none is known: the end of the day, IST."""
    local = now.astimezone(IST)
    days = days_of(_exchanges(user, now), now)
    ends = [
        datetime.combine(local.date(), session.until, IST)
        for by_date in days.values()
        if (day := by_date.get(local.date())) is not None
        for session in day.sessions or ()
        if session.phase in OPEN_PHASES
    ]
    unknown = any((day := each.get(local.date())) is None or day.sessions is None for each in days.values())
    later = [end for end in ends if end > now]
    if later and not unknown:
        return max(later)
    return datetime.combine(local.date() + timedelta(days=1), time(), IST)


def _exchanges(user: User, now: datetime) -> set[Exchange]:
    """By the brokers' last answers; without any, NSE."""
    try:
        sources = services.known_sources(user, now=now, recent=timedelta(0))
    except NoBrokerConnections:
        return {Exchange.NSE}
    books = [source.portfolio for source in sources if source.portfolio is not None]
    held = {line.exchange for book in books for line in book.holdings}
    return held | {line.exchange for book in books for line in book.positions} or {Exchange.NSE}
