"""A live host for one user, as the sockets know it: it pushes snapshots when asked, and numbered deltas."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

import msgspec

from brokers.domain import Exchange
from brokers.push import publish_json
from brokers.shared import redis
from portfolio.asking import HOST, WANTED
from portfolio.domain import LivePrice, Source
from portfolio.live import LiveBooks
from portfolio.presentation import present
from tests.portfolio.sources import INFY, NOW, SBIN, account, holding, source

LISTINGS = {(Exchange.NSE, "1594"): INFY, (Exchange.NSE, "3045"): SBIN}
NSE_INFY, NSE_SBIN = LISTINGS


def alices_sources() -> list[Source]:
    return [
        source("zerodha", account([holding(INFY, 10), holding(SBIN, 5, average="200", last="210", symbol="SBIN")])),
        source("upstox", account([holding(INFY, 3, last=None)])),
    ]


class FakeHost:
    """Holds the real engine's book; what it tells is what a host would."""

    def __init__(self, user_id: int, sources: Sequence[Source] | None = None) -> None:
        self.user_id = user_id
        self.books = LiveBooks(LISTINGS)
        self.held = self.books.hold(user_id, alices_sources() if sources is None else sources)
        self.book, self.number, self.ticks = uuid.uuid4().hex, 0, 0
        self.asked = 0
        self.is_mute = False
        self._lock = Lock()
        self._channel = redis().pubsub()
        self._thread = Thread(target=self._answer, daemon=True)

    def __enter__(self) -> Self:
        self._channel.subscribe(WANTED)
        assert self._channel.get_message(timeout=20) is not None
        redis().set(HOST.format(user_id=self.user_id), "fake")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        redis().publish(WANTED, "end")
        self._thread.join(20)
        self._channel.close()

    def leave(self) -> None:
        """It answers no more, and its sign of life has lapsed."""
        self.is_mute = True
        redis().delete(HOST.format(user_id=self.user_id))

    def _answer(self) -> None:
        for message in self._channel.listen():
            if message["data"] == b"end":
                return
            if message["data"] == str(self.user_id).encode() and not self.is_mute:
                self.asked += 1
                self.tell_all()

    @property
    def portfolio(self) -> dict[str, Any]:
        return present(self.held.portfolio(NOW + timedelta(seconds=self.ticks)))  # type: ignore[no-any-return]

    def tell_all(self) -> None:
        with self._lock:
            series = {"opens_at": "2026-11-23T03:45:00Z", "closes_at": "2026-11-23T10:00:00Z", "points": []}
            told = {"book": self.book, "number": self.number, "portfolio": self.portfolio, "series": series}
            self._push("PORTFOLIO_SNAPSHOT", told)

    def tick(self, price: int | str, instrument: Any = NSE_INFY, *, is_lost: bool = False) -> None:
        """One price moves, and the delta of it is told, or lost on the way."""
        with self._lock:
            self.ticks += 1
            now = NOW + timedelta(seconds=self.ticks)
            told = LivePrice(
                exchange=Exchange.NSE, price=Decimal(price), close=Decimal(104), source="zerodha", as_of=now
            )
            self.books.apply(instrument, told)
            self._tell_changes(is_lost=is_lost)

    def replace(self, sources: Sequence[Source]) -> int:
        """The brokers answer anew. Returns how many bytes the delta has."""
        with self._lock:
            self.ticks += 1
            self.books.hold(self.user_id, sources)
            return self._tell_changes(is_lost=False)

    def _tell_changes(self, *, is_lost: bool) -> int:
        delta = self.held.changes(NOW + timedelta(seconds=self.ticks))
        self.number += 1
        told = {"book": self.book, "number": self.number, "delta": present(delta)}
        return 0 if is_lost else self._push("PORTFOLIO_DELTA", told)

    def restart(self) -> None:
        """Another epoch: the numbers begin anew."""
        with self._lock:
            self.book, self.number = uuid.uuid4().hex, 0

    def _push(self, kind: str, data: dict[str, Any]) -> int:
        text = msgspec.json.encode(data)
        publish_json(self.user_id, kind, text.decode())
        return len(text)
