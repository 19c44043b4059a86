"""What the live host sends to a user's group, as JSON text. See docs/websocket.md."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from market.feed_states import Told
from portfolio.day_series import DaySeries
from portfolio.deltas import LiveDelta
from portfolio.domain import ConsolidatedPortfolio
from portfolio.presentation import instant, paise, present

SNAPSHOT, DELTA, PRICE_STATE = "PORTFOLIO_SNAPSHOT", "PORTFOLIO_DELTA", "PRICE_STATE"


class Place(NamedTuple):
    """Which book, and how many messages of it there were: a snapshot bears the number of the delta before it."""

    book: str
    number: int

    @property
    def next(self) -> Place:
        return Place(self.book, self.number + 1)


def snapshot(place: Place, portfolio: ConsolidatedPortfolio, series: DaySeries | None, now: datetime) -> str:
    return _text({**place._asdict(), "portfolio": present(portfolio), "series": _series(series, now)})


def delta(place: Place, changes: LiveDelta) -> str:
    return _text({**place._asdict(), "delta": present(changes)})


def feeds(brokers: Iterable[tuple[str, Told]]) -> list[dict[str, str]]:
    return [{"broker_type": slug, "state": told.state, "since": instant(told.since)} for slug, told in brokers]


def price_state(brokers: list[dict[str, str]], *, stale: bool, asked: bool, as_of: datetime | None) -> str:
    """`stale`: markets are open, and nothing that this book holds is streamed, or asked for with success.

    `asked`: nothing is streamed, and prices come by asking. `as_of`: of its latest price.
    """
    return _text(
        {"brokers": brokers, "stale": stale, "asked": asked, "as_of": None if as_of is None else instant(as_of)}
    )


def _series(series: DaySeries | None, now: datetime) -> dict[str, Any] | None:
    if series is None:
        return None
    points = [
        {"at": instant(point.at), "value": None if point.value is None else paise(point.value)}
        for point in series.points(now)
    ]
    return {"opens_at": instant(series.opens), "closes_at": instant(series.closes), "points": points}


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
