"""What the views ask for in one call."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from brokers.domain import SEGMENT_OF, Exchange, Segment
from market.calendar import state
from market.days import days_of


def market_status(*, now: datetime) -> dict[str, Any]:
    """Every exchange's state; cash markets have a second one, for shares of the closing auction."""
    days = days_of(Exchange, now)
    markets = []
    for exchange, known in days.items():
        market: dict[str, Any] = asdict(state(exchange, now, known))
        is_cash = SEGMENT_OF[exchange] is Segment.EQUITY
        market["closing_auction"] = asdict(state(exchange, now, known, cas_eligible=True)) if is_cash else None
        markets.append(market)
    return {"as_of": now, "markets": markets}
