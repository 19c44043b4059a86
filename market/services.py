"""What the views ask for in one call."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from brokers.domain import SEGMENT_OF, Exchange, Segment
from brokers.wire import IST
from market.calendar import state
from market.days import days_of


def market_status(*, now: datetime) -> dict[str, Any]:
    """Every exchange's state, with what is special today; cash markets have a second one, for the closing auction."""
    days, today = days_of(Exchange, now), now.astimezone(IST).date()
    markets = []
    for exchange, known in days.items():
        market: dict[str, Any] = asdict(state(exchange, now, known))
        market["note"] = known[today].note if today in known else ""
        is_cash = SEGMENT_OF[exchange] is Segment.EQUITY
        market["closing_auction"] = asdict(state(exchange, now, known, cas_eligible=True)) if is_cash else None
        markets.append(market)
    return {"as_of": now, "markets": markets}
