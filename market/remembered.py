"""What the instrument master says, remembered for a while: it changes once a day, and is asked about all day long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

KEPT = timedelta(minutes=10)
# What no master lists may be of one that is still being loaded.
UNKNOWN_KEPT = KEPT / 20

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Answers by key. For many threads.

    Two that lack the same at once ask twice: who waited for another's answer would keep a database connection
    meanwhile, which the other may be waiting for.
    """

    def __init__(self, ask: Callable[[Collection[Key]], Mapping[Key, Value]]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._known: Mapping[Key, tuple[datetime, Value | None]] = {}

    def of(self, keys: Collection[Key], now: datetime) -> dict[Key, Value]:
        """What is known of these, without those that nothing is known of; asks once, for what is not remembered."""
        known = self._known
        lacking = {key for key in keys if key not in known or known[key][0] <= now}
        learnt = self._learn(lacking, now) if lacking else {}
        told = ((key, learnt.get(key) or known[key]) for key in keys)
        return {key: value for key, (_, value) in told if value is not None}

    def forget(self) -> None:
        """Ask anew at the next question."""
        with self._lock:
            self._known = {}

    def _learn(self, keys: Collection[Key], now: datetime) -> Mapping[Key, tuple[datetime, Value | None]]:
        found = self._ask(keys)
        learnt = {key: (now + (KEPT if key in found else UNKNOWN_KEPT), found.get(key)) for key in keys}
        with self._lock:
            still = {key: entry for key, entry in self._known.items() if entry[0] > now}
            self._known = still | learnt
        return learnt
