"""IIFL Capital's candles, simulated: whole days alone. Shapes: fixtures/iifl_capital/historicaldata*.json.

The list travels as a text, as the docs warn. Chosen where they are silent: no days are an empty list; whatever is wrong
with a request, an unknown number or more than a year among it, is EC801. Indices are not simulated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime

from brokers.iifl_capital.sandbox_account import error, success
from brokers.simulation.candles import Bar
from brokers.simulation.dialect import Route
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Call, Json, Refusal, Reply, double

MOST_DAYS = 365


class Candles:
    """The route of candles. `bars`: the days of a key; `by_number`: what trades, by exchange word and number."""

    def __init__(
        self, bars: Callable[[str, date, date], list[Bar]], by_number: Callable[[], Mapping[tuple[str, str], Listing]]
    ) -> None:
        self._bars = bars
        self._by_number = by_number

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/v1/marketdata/historicaldata", self.candles)

    def candles(self, call: Call) -> Reply:
        asked = call.json if isinstance(call.json, dict) else {}
        listing = self._by_number().get((str(asked.get("exchange")), str(asked.get("instrumentId"))))
        first, last = asked_day(asked, "fromDate"), asked_day(asked, "toDate")
        if listing is None or asked.get("interval") != "1 day" or not 0 <= (last - first).days < MOST_DAYS:
            raise bad_request()
        rows = [row(bar) for bar in self._bars(listing.key, first, last)]
        return success([{"candles": json.dumps(rows)}])


def bad_request() -> Refusal:
    return Refusal(error(400, "EC801", "Invalid request body."))


def asked_day(asked: Mapping[str, Json], name: str) -> date:
    try:
        return datetime.strptime(str(asked.get(name)), "%d-%b-%Y").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise bad_request() from None


def row(bar: Bar) -> Json:
    prices: list[Json] = [double(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [f"{bar.day}T00:00:00", *prices, bar.volume]
