"""Groww's candles, simulated: whole days alone. Shape: fixtures/groww/historical_candles.json.

An index has no volume. What is wrong with a request, an unknown symbol or a span beyond the limit among it, is GA001,
as the docs say of bad requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta

from brokers.groww.sandbox_wire import WORDS, error, success, trading_symbol
from brokers.simulation.candles import Bar
from brokers.simulation.dialect import Route
from brokers.simulation.instruments import Instruments
from brokers.simulation.wire import Call, Json, Refusal, Reply, double

LONGEST = timedelta(days=180)
MINUTES_OF_A_DAY = 1440
OFFERED = (("CASH", "NSE"), ("CASH", "BSE"), ("FNO", "NSE"), ("FNO", "BSE"))


class Candles:
    """The route of candles. `bars`: the days of a key."""

    def __init__(self, bars: Callable[[str, date, date], list[Bar]], instruments: Instruments) -> None:
        self._bars = bars
        self._by_symbol = by_symbol(instruments)

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/v1/historical/candles", self.candles)

    def candles(self, call: Call) -> Reply:
        first, last = asked_time(call, "start_time"), asked_time(call, "end_time")
        words, symbol = (call.asked("segment"), call.asked("exchange")), call.asked("groww_symbol")
        key = self._by_symbol.get((*words, symbol))
        is_right = words in OFFERED and call.asked("candle_interval") == "1day" and first <= last <= first + LONGEST
        if key is None or not is_right:
            raise Refusal(error(400, "GA001"))
        bars = self._bars(key, first.date(), last.date())
        return success(
            {
                "candles": [row(bar) for bar in bars],
                "closing_price": double(bars[-1].close) if bars else None,
                "start_time": f"{first}",
                "end_time": f"{last}",
                "interval_in_minutes": MINUTES_OF_A_DAY,
            }
        )


def by_symbol(instruments: Instruments) -> Mapping[tuple[str, str, str], str]:
    """Segment, exchange and `groww_symbol` → our key."""
    found = {}
    for listing in instruments:
        if words := WORDS.get(listing.exchange):
            plain = listing.is_cash or listing.is_index
            symbol = f"{words[1]}-{trading_symbol(listing)}" if plain else listing.row["groww_symbol"]
            found[*words, symbol] = listing.key
    return found


def asked_time(call: Call, name: str) -> datetime:
    try:
        return datetime.strptime(call.asked(name), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - Indian time on both sides
    except ValueError:
        raise Refusal(error(400, "GA001")) from None


def row(bar: Bar) -> Json:
    prices: list[Json] = [double(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [f"{bar.day}T00:00:00", *prices, bar.volume, None]
