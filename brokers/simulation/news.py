"""What a desk's streams and postbacks tell of its orders: each change once, unless a fault says otherwise."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import structs

from brokers.simulation.dealing import DeskOrder
from brokers.simulation.faults import FaultKind, Faults


class News:
    """Snapshots in the order in which they are told; the place of each is its `number`, from 1 on."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._told: list[DeskOrder] = []
        self._waiting: list[tuple[datetime, DeskOrder]] = []
        self._history: dict[str, list[DeskOrder]] = {}

    def add(self, order: DeskOrder, *, now: datetime, not_before: datetime) -> None:
        """Take down how an order stands. It is told at once, but `not_before`."""
        snapshot = structs.replace(order, deals=list(order.deals))
        self._history.setdefault(order.order_id, []).append(snapshot)
        late = self._faults.spend(FaultKind.LATE_UPDATES)
        twice = self._faults.spend(FaultKind.DUPLICATE_UPDATES) is not None
        if self._faults.spend(FaultKind.NO_UPDATES) is not None:
            return
        due = max(not_before, now + timedelta(milliseconds=late.milliseconds if late else 0))
        self._waiting.extend([(due, snapshot)] * (2 if twice else 1))
        self.latest(now)

    def history(self, order_id: str) -> list[DeskOrder]:
        """Return how an order stood after each of its changes, whatever was told of them; `number` counts them."""
        return list(self._history.get(order_id, []))

    def since(self, after: int, now: datetime) -> list[DeskOrder]:
        self.latest(now)
        return self._told[after:]

    def latest(self, now: datetime) -> int:
        """Return the number of what was told last."""
        waiting, self._waiting = self._waiting, []
        for due, snapshot in waiting:
            if due <= now:
                self._told.append(structs.replace(snapshot, number=len(self._told) + 1))
            else:
                self._waiting.append((due, snapshot))
        return len(self._told)
