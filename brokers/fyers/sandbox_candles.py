"""Fyers' history, simulated: whole days alone. Shapes: fixtures/fyers/history.json.

An index has no volume. Chosen where the docs are silent: the words of every refusal, and that an empty history is
`no_data` with an empty list. Minutes are not simulated.
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
        listing = self.by_ticker.get(call.asked("symbol"))
        if listing is None:
            raise Refusal(error(400, -300, "invalid symbol"))
        rows = [candle(bar) for bar in self.bars(listing.key, first, last)]
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


def candle(bar: Bar) -> list[Json]:
    """The time of a day is its midnight in UTC."""
    midnight = datetime(bar.day.year, bar.day.month, bar.day.day, tzinfo=UTC)
    prices = (double(price) for price in (bar.open, bar.high, bar.low, bar.close))
    return [int(midnight.timestamp()), *prices, bar.volume]
