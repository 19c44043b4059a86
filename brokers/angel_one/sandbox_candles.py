"""SmartAPI's candles, simulated: whole days alone. Shapes: fixtures/angel_one/candles.json and candles_request.json.

An index has no volume. Chosen where the docs are silent: a token that nobody knows is a symbol not found; what else is
wrong with a request, a span beyond the limit among it, is AB4018; no days at all are null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime

from brokers.angel_one.sandbox_wire import SECURE, UNKNOWN_SYMBOL, error, sent, success
from brokers.simulation.candles import Bar
from brokers.simulation.dialect import Route
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Call, Json, Refusal, Reply, double

MOST_DAYS = 2000
BAD_REQUEST = "AB4018"


class Candles:
    """The route of candles. `bars`: the days of a key; `by_token`: what trades, by exchange and token."""

    def __init__(
        self,
        bars: Callable[[str, date, date], list[Bar]],
        by_token: Callable[[], Mapping[tuple[str, str], Listing]],
    ) -> None:
        self._bars = bars
        self._by_token = by_token

    def routes(self) -> Iterable[Route]:
        yield Route("POST", f"{SECURE}/historical/v1/getCandleData", self.candles)

    def candles(self, call: Call) -> Reply:
        if sent(call, "interval") != "ONE_DAY":
            raise Refusal(error(BAD_REQUEST, "Interval is not simulated"))
        first, last = asked_day(call, "fromdate"), asked_day(call, "todate")
        if not 0 <= (last - first).days < MOST_DAYS:
            raise Refusal(error(BAD_REQUEST, f"Date range must be within {MOST_DAYS} days"))
        listing = self._by_token().get((sent(call, "exchange"), sent(call, "symboltoken")))
        if listing is None:
            raise Refusal(error(*UNKNOWN_SYMBOL))
        return success([row(bar) for bar in self._bars(listing.key, first, last)] or None)


def asked_day(call: Call, name: str) -> date:
    try:
        return datetime.strptime(sent(call, name), "%Y-%m-%d %H:%M").date()  # noqa: DTZ007 - Indian time on both sides
    except ValueError:
        raise Refusal(error(BAD_REQUEST, f"Invalid {name}")) from None


def row(bar: Bar) -> Json:
    prices: list[Json] = [double(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [f"{bar.day}T00:00:00+05:30", *prices, bar.volume]
