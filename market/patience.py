"""How patient a feed is: which silence is a fault, and how long it rests before it connects again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

SURE = 14.0  # a silence is a fault that comes by chance once in a million times: e⁻¹⁴
SECONDS_REMEMBERED = 30
MOST_DOUBTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds. Pauses between attempts double from `first` to `longest`, are cut by chance to no less than half, and
    are never below `least`, for brokers that punish whoever comes back at once. They begin anew after a `stable` life.

    While ticks are expected, a silence is a fault where chance would hardly bring it about: after `tick_silence` in a
    stream that ticks all the time, later the rarer it ticks, after `longest_silence` at the latest. Brokers tell the
    last price at once, so a stream that has told none is at fault after `first_tick`, and each time twice as long.
    """

    first: float = 0.5
    longest: float = 60.0
    least: float = 0.0
    stable: float = 60.0
    watch: float = 1.0
    tick_silence: float = 6.0
    longest_silence: float = 600.0
    first_tick: float = 30.0

    def patience(self, activity: float) -> float:
        """How long a stream may be without ticks that had some in such a part of its recent seconds, 0…1."""
        if not 0 < activity < 1:
            return self.tick_silence if activity else self.longest_silence
        likely = SURE / -math.log1p(-activity) * self.watch
        return min(max(likely, self.tick_silence), self.longest_silence)

    def pause(self, attempts: int, chance: float, asked: float = 0.0) -> float:
        """After so many failed attempts, at least 1; `chance` is in 0…1, `asked` what the broker asked for."""
        doubled = min(self.longest, self.first * 2.0 ** min(attempts - 1, 30))
        return max(doubled * (0.5 + chance / 2), self.least, asked)


class Watch:
    """When a connection was last heard, and how often it usually ticks."""

    def __init__(self, pace: Pace, now: datetime, before: Watch | None = None) -> None:
        self.last_frame: datetime | None = before.last_frame if before else None
        self.last_tick: datetime | None = before.last_tick if before else None
        self._pace = pace
        self._opened_at: datetime | None = None
        self._asked_at = self._heard_at = now
        self._expecting_since: datetime | None = None
        self._ticked_at: datetime | None = None  # on this connection, while ticks are expected
        # The part of the recent seconds that had ticks: up to the last such second, and up to the one before it, which
        # is not flattered by having just ticked.
        self._activity: float = before._activity if before else 0.0
        self._activity_before: float = before._activity_before if before else 0.0
        self._doubts: int = before._doubts if before else 0

    def age(self, now: datetime) -> float:
        """Seconds since it was opened; 0 if it never was."""
        return (now - self._opened_at).total_seconds() if self._opened_at is not None else 0.0

    def opened(self, now: datetime) -> None:
        self._opened_at = self._asked_at = self._heard_at = now

    def asked(self, now: datetime) -> None:
        """For prices of something more."""
        self._asked_at = now

    def heard(self, now: datetime, *, has_ticked: bool) -> None:
        self.last_frame = self._heard_at = now
        if not has_ticked:
            return
        self.last_tick = now
        if self._ticked_at is None:
            self._ticked_at, self._doubts = now, 0
            return
        silent = int((now - self._ticked_at).total_seconds() / self._pace.watch)
        if silent:
            self._activity_before = self._activity * (1 - 1 / SECONDS_REMEMBERED) ** (silent - 1)
            self._activity = self._activity_before + (1 - self._activity_before) / SECONDS_REMEMBERED
            self._ticked_at = now

    def fault(self, now: datetime, silence_seconds: float | None, *, is_expecting: bool) -> str | None:
        """Why it is taken for mute, if it is."""
        if silence_seconds is not None and now - self._heard_at > timedelta(seconds=silence_seconds):
            return f"Nothing was heard for {silence_seconds:g} seconds."
        if not is_expecting:
            self._expecting_since = self._ticked_at = None
            self._activity = self._activity_before = 0.0
            return None
        self._expecting_since = self._expecting_since or now
        if self._ticked_at is None:
            since, patience = max(self._asked_at, self._expecting_since), self._pace.first_tick * 2.0**self._doubts
        else:
            since = max(self.last_tick or self._ticked_at, self._expecting_since)
            patience = self._pace.patience(self._activity_before)
        if now - since <= timedelta(seconds=patience):
            return None
        if self._ticked_at is None:
            self._doubts = min(self._doubts + 1, MOST_DOUBTS)
        return f"No price for {patience:.0f} seconds."
