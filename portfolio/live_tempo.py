"""How fast a live host lives."""

from __future__ import annotations

from dataclasses import dataclass

from portfolio.limit_turns import PAUSE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """Seconds.

    `hosted`: how long the sign that somebody hosts a user outlives its host. `recent`: how old a last price may be that
    is taken over from Redis while its market is open. `unheard`: after so long without any batch nobody publishes.
    `settling`: how long it may take until what a new book holds is streamed.
    """

    round: float = 0.5
    lease: float = 4.0
    hosted: float = 5.0
    between_asking: float = 1.0  # however many orders change
    reconcile: float = 60.0
    recent: float = 30.0
    unheard: float = 5.0
    settling: float = 8.0
    asked_at_once: int = 8
    interval: float | None = None  # of deltas; None: as the settings say
    refresh: float | None = None
    refresh_unstreamed: float | None = None
    between_limits: float = PAUSE_SECONDS
