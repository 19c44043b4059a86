"""Kite's candles, simulated: whole days alone. Shapes: fixtures/zerodha/instruments_historical_minute.json.

An index has no volume. Chosen where the docs are silent: the words of every refusal, and that
2,001 days are too many, as public clients know it. Minutes are not simulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from brokers.simulation.candles import Bar
from brokers.simulation.dialect import Route
from brokers.simulation.wire import Call, Json, Refusal, Reply, trimmed
from brokers.zerodha.sandbox_orders import KiteOrders
from brokers.zerodha.sandbox_wire import error, success

MOST_DAYS = 2000


class KiteCandles(KiteOrders):
    """What of the simulated Kite is about the past."""

    def candle_routes(self) -> Iterable[Route]:
        yield Route("GET", "/instruments/historical/{token}/{interval}", self.candles)

    def candles(self, call: Call) -> Reply:
        """Of `from` and `to` the day alone counts, with or without a time of day."""
        if call.parts["interval"] != "day":
            raise refusal("invalid interval")
        first, last = asked_day(call, "from"), asked_day(call, "to")
        if last < first:
            raise refusal("from date cannot be after to date")
        if (last - first).days >= MOST_DAYS:
            raise refusal(f"interval exceeds max limit: {MOST_DAYS} days")
        token = call.parts["token"]
        key = next((each.key for each in self.instruments if str(each.kite_token) == token), None)
        if key is None:
            raise refusal("invalid token")
        return success({"candles": [candle(bar) for bar in self.bars(key, first, last)]})


def refusal(words: str) -> Refusal:
    return Refusal(error(400, "InputException", words))


def asked_day(call: Call, name: str) -> date:
    try:
        return datetime.fromisoformat(call.asked(name)).date()
    except ValueError:
        raise refusal(f"invalid {name} date") from None


def candle(bar: Bar) -> list[Json]:
    prices = [trimmed(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [f"{bar.day}T00:00:00+0530", *prices, bar.volume]
