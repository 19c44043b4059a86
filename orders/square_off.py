"""When a broker closes intraday positions by itself. Pure, over the rows of orders/data/square_off.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from brokers.domain import Segment
from brokers.wire import IST
from orders.tariffs import Window, window

ANY_BROKER = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareOff:
    broker: str
    segment: Segment
    window: Window
    at: time | None
    before_close: timedelta | None


class SquareOffs:
    """Every row. Raises KeyError or ValueError for a document that cannot be read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.auction_shares = time.fromisoformat(document["auction_shares"])
        self._rows = [
            SquareOff(
                broker=row["broker"],
                segment=Segment(row["segment"]),
                window=window(row),
                at=time.fromisoformat(row["at"]) if "at" in row else None,
                before_close=timedelta(minutes=row["before_close"]) if "before_close" in row else None,
            )
            for row in document["rows"]
        ]

    def of(
        self, broker: str, segment: Segment, on: date, *, is_auction_share: bool | None, closes_at: datetime | None
    ) -> datetime | None:
        """The moment on that day; None: not known. Not knowing whether it is a share of the closing auction is yes."""
        row = self._row(broker, segment, on)
        if row is None:
            return None
        if row.at is None:
            return None if closes_at is None or row.before_close is None else closes_at - row.before_close
        at = row.at
        if segment is Segment.EQUITY and is_auction_share is not False:
            at = min(at, self.auction_shares)
        return datetime.combine(on, at, IST)

    def _row(self, broker: str, segment: Segment, on: date) -> SquareOff | None:
        standing = [row for row in self._rows if row.segment is segment and row.window.holds(on)]
        for name in (broker, ANY_BROKER):
            for row in standing:
                if row.broker == name:
                    return row
        return None
