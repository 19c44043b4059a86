"""Whether markets are open, for processes that ask all the time: the calendar's rows, read now and then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from django.conf import settings

from brokers.domain import Exchange
from brokers.wire import IST
from market.calendar import OPEN_PHASES, Day, state
from market.days import days_of


class Hours:
    """`read` asks the database; all else goes by what it found last, and knows nothing before the first time.

    With MARKET_AROUND_THE_CLOCK every market is always open.
    """

    def __init__(self) -> None:
        self._days: Mapping[Exchange, Mapping[date, Day]] = {}

    def read(self, now: datetime) -> None:
        self._days = days_of(Exchange, now)

    def is_open(self, exchange: Exchange, now: datetime) -> bool:
        """Open for some shares at least: those of the closing auction trade on when the others have ended."""
        if settings.MARKET_AROUND_THE_CLOCK:
            return True
        days = self._days.get(exchange, {})
        return any(state(exchange, now, days, cas_eligible=eligible).is_open for eligible in (False, True))

    def trading_day(self, now: datetime) -> tuple[datetime, datetime] | None:
        """When today's trading of NSE's shares begins and ends; None without one, or where the hours are not known."""
        return self._trading_day(Exchange.NSE, now)

    def openings(self, now: datetime) -> dict[Exchange, datetime]:
        """When each exchange that trades today begins, or has begun."""
        found = {exchange: self._trading_day(exchange, now) for exchange in Exchange}
        return {exchange: each[0] for exchange, each in found.items() if each is not None}

    def _trading_day(self, exchange: Exchange, now: datetime) -> tuple[datetime, datetime] | None:
        today = now.astimezone(IST).date()
        if settings.MARKET_AROUND_THE_CLOCK:
            midnight = datetime.combine(today, time(), IST)
            return midnight, midnight + timedelta(days=1)
        day = self._days.get(exchange, {}).get(today)
        sessions = [each for each in (day.sessions or () if day else ()) if each.phase in OPEN_PHASES]
        if not sessions:
            return None
        begins, ends = min(each.starts for each in sessions), max(each.until for each in sessions)
        return datetime.combine(today, begins, IST), datetime.combine(today, ends, IST)
