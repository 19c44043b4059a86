"""Fyers' history, simulated: whole days alone. Shapes: fixtures/fyers/history.json.

An index stands where the one future of it stands that has a price, and has no volume. Chosen where the docs are silent:
the words of every refusal, and that an empty history is `no_data` with an empty list. Minutes are not simulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from brokers.fyers.sandbox_orders import FyersOrders
from brokers.fyers.sandbox_wire import error
from brokers.simulation.candles import Bar
from brokers.simulation.dialect import Route
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

MOST_DAYS = 366
DAILY = ("D", "1D")
# Ticker of an index → the future.
INDICES = {"NSE:NIFTY50-INDEX": "NFO:NIFTY26NOVFUT"}


class FyersCandles(FyersOrders):
    """What of the simulated Fyers is about the past."""

    def candle_routes(self) -> Iterable[Route]:
        yield Route("GET", "/data/history", self.history)

    def history(self, call: Call) -> Reply:
        """No `code` in this one."""
        if call.asked("resolution") not in DAILY or call.asked("cont_flag") not in ("0", "1"):
            raise bad_input()
        first, last = asked_day(call, "range_from"), asked_day(call, "range_to")
        if not 0 <= (last - first).days < MOST_DAYS:
            raise bad_input()
        symbol = call.asked("symbol")
        listing = self.by_ticker.get(symbol)
        if listing is None and symbol not in INDICES:
            raise Refusal(error(400, -300, "invalid symbol"))
        bars = self.bars(listing.key if listing else INDICES[symbol], first, last)
        rows = [candle(bar, bar.volume if listing else 0) for bar in bars]
        return json_reply({"s": "ok" if rows else "no_data", "candles": rows})


def bad_input() -> Refusal:
    return Refusal(error(400, -50, "Invalid input"))


def asked_day(call: Call, name: str) -> date:
    """With `date_format` 1 a date, with 0 epoch seconds."""
    said = call.asked(name)
    try:
        if call.asked("date_format") == "1":
            return date.fromisoformat(said)
        return datetime.fromtimestamp(int(said), IST).date()
    except (ValueError, OverflowError, OSError):
        raise bad_input() from None


def candle(bar: Bar, volume: int) -> list[Json]:
    """The time of a day is its midnight in UTC."""
    midnight = datetime(bar.day.year, bar.day.month, bar.day.day, tzinfo=UTC)
    return [int(midnight.timestamp()), *(double(price) for price in (bar.open, bar.high, bar.low, bar.close)), volume]
