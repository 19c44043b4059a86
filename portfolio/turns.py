"""Whose page is told next: at once after a rest, and then once in each interval at most. Pure: no clock.

A change that comes within the interval waits for its end, and so do all that follow: one telling has them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush


class Turns:
    """Times are the caller's own, in seconds; they never run backwards."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._waiting: set[int] = set()
        self._queue: list[tuple[float, int]] = []  # when, and who: once for each that waits
        self._rests_until: dict[int, float] = {}

    def note(self, users: Iterable[int], now: float) -> None:
        """There is something to tell these."""
        for user_id in users:
            if user_id not in self._waiting:
                self._waiting.add(user_id)
                heappush(self._queue, (max(now, self._rests_until.get(user_id, now)), user_id))

    def take(self, now: float) -> int | None:
        """Who is to be told now, the longest due first; their next turn is an interval later. None: nobody."""
        if not self._queue or self._queue[0][0] > now:
            return None
        _, user_id = heappop(self._queue)
        self._waiting.discard(user_id)
        self._rests_until[user_id] = now + self.interval
        return user_id

    def next_at(self) -> float | None:
        """When somebody is due next; None while nobody waits."""
        return self._queue[0][0] if self._queue else None

    def forgo(self, user_id: int) -> None:
        """There was nothing to tell after all: the next change need not wait."""
        self._rests_until.pop(user_id, None)

    def forget(self, user_id: int) -> None:
        """Nobody is told here any more."""
        self.forgo(user_id)
        if user_id in self._waiting:
            self._waiting.discard(user_id)
            self._queue = [each for each in self._queue if each[1] != user_id]
            heapify(self._queue)
