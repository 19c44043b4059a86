"""Kite's candles, simulated: whole days alone. Shapes: fixtures/zerodha/instruments_historical_minute.json.

An index stands where the one future of it stands that has a price, and has no volume. Chosen where the docs are silent:
the words of every refusal, and that 2,001 days are too many, as public clients know it. Minutes are not simulated.
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
# Kite's number of an index → the future.
INDICES = {"256265": "NFO:NIFTY26NOVFUT"}


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
        key = INDICES.get(token) or next((each.key for each in self.instruments if str(each.kite_token) == token), None)
        if key is None:
            raise refusal("invalid token")
        rows = [candle(bar, 0 if token in INDICES else bar.volume) for bar in self.bars(key, first, last)]
        return success({"candles": rows})


def refusal(words: str) -> Refusal:
    return Refusal(error(400, "InputException", words))


def asked_day(call: Call, name: str) -> date:
    try:
        return datetime.fromisoformat(call.asked(name)).date()
    except ValueError:
        raise refusal(f"invalid {name} date") from None


def candle(bar: Bar, volume: int) -> list[Json]:
    prices = [trimmed(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [f"{bar.day}T00:00:00+0530", *prices, volume]
