"""XTS's candles, simulated: whole days alone. Shape: fixtures/iifl/md_ohlc.json.

An index has no volume. Chosen where nothing is published: a day's time is the last second
of its trading, no days are an empty text, more than a week is a bad request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time

from brokers.iifl.sandbox_account import SEGMENTS, bad_request, error, plain, success
from brokers.simulation.candles import Bar
from brokers.simulation.dialect import Route
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Call, Refusal, Reply

MOST_DAYS = 7
LAST_SECOND = time(15, 29, 59)
UNKNOWN_INSTRUMENT = (400, "e-instrument-0001", "Instrument not found")
# A segment goes by its word or its number.
SEGMENT_NUMBERS = {name: number for word, number, _ in SEGMENTS.values() for name in (word, str(number))}


class Candles:
    """The route of candles. `bars`: the days of a key; `by_number`: what trades, by segment and number."""

    def __init__(
        self, bars: Callable[[str, date, date], list[Bar]], by_number: Callable[[], Mapping[tuple[int, int], Listing]]
    ) -> None:
        self._bars = bars
        self._by_number = by_number

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/apimarketdata/instruments/ohlc", self.candles)

    def candles(self, call: Call) -> Reply:
        segment, number = call.asked("exchangeSegment"), call.asked("exchangeInstrumentID")
        if segment not in SEGMENT_NUMBERS or not number.isdigit():
            raise Refusal(bad_request("exchangeSegment", "is invalid", "any.allowOnly"))
        if call.asked("compressionValue") != "D":
            raise Refusal(bad_request("compressionValue", "must be D: nothing else is simulated", "any.allowOnly"))
        first, last = asked_day(call, "startTime"), asked_day(call, "endTime")
        if not 0 <= (last - first).days < MOST_DAYS:
            raise Refusal(bad_request("endTime", f"must be within {MOST_DAYS} days", "date.max"))
        listing = self._by_number().get((SEGMENT_NUMBERS[segment], int(number)))
        if listing is None:
            raise Refusal(error(*UNKNOWN_INSTRUMENT))
        rows = ",".join(row(bar) for bar in self._bars(listing.key, first, last))
        return success(
            {"exchangeSegment": segment, "exchangeInstrumentID": number, "dataReponse": rows},
            "s-instrument-0002",
            "Data found",
        )


def asked_day(call: Call, name: str) -> date:
    try:
        return datetime.strptime(call.asked(name), "%b %d %Y %H%M%S").date()  # noqa: DTZ007 - Indian time on both sides
    except ValueError:
        raise Refusal(bad_request(name, "is invalid", "date.base")) from None


def row(bar: Bar) -> str:
    """Seconds since 1970 of the clock on an Indian wall, prices, volume, open interest, and a bar at the end."""
    wall = int(datetime.combine(bar.day, LAST_SECOND, UTC).timestamp())
    prices = "|".join(plain(price) for price in (bar.open, bar.high, bar.low, bar.close))
    return f"{wall}|{prices}|{bar.volume}|0|"
