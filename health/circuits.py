"""What the circuit breakers say, as far as checks are concerned: whom to leave alone, and whom to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from brokers import breaker
from brokers.breaker import State

CLOSED, HALF_OPEN = "closed", "half_open"
# The circuit that guards what checks read.
READS = "portfolio"
# Those that checks close again.
TRIED_BY_CHECKS = frozenset({READS, "data"})
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Circuit(Protocol):
    """One broker's circuit for one kind of call: "orders", "data", "portfolio" or "session".

    `state` is closed, open (calls are refused until `retry_at`) or half_open (being tried). `reason` is ours to show.
    """

    @property
    def broker_type(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def opened_at(self) -> datetime | None: ...

    @property
    def retry_at(self) -> datetime | None: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Circuits:
    """All circuits at one moment, and the brokers at which a single probe is due."""

    states: Sequence[Circuit] = ()
    due_probes: Sequence[str] = ()

    def open_until(self, slug: str) -> datetime | None:
        """Until when the broker's accounts are not to be read; None where they may be. Past: it is being tried now."""
        return next(
            (
                circuit.retry_at or LONG_AGO
                for circuit in self.states
                if (circuit.broker_type, circuit.kind) == (slug, READS) and circuit.state != CLOSED
            ),
            None,
        )

    def away(self) -> Sequence[Circuit]:
        return [circuit for circuit in self.states if circuit.state != CLOSED]

    def of(self, slug: str) -> Sequence[Circuit]:
        return [circuit for circuit in self.states if circuit.broker_type == slug]

    def probes_due(self) -> Sequence[str]:
        return self.due_probes


def current(now: datetime) -> Circuits:
    """The circuits as they stand, in one look."""
    states = breaker.states(now=now)
    half_open = [
        circuit.broker_type for circuit in states if circuit.state is State.HALF_OPEN and circuit.kind == READS
    ]
    return Circuits(states, half_open)
